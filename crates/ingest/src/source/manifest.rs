//! `.lore.yaml`: what a folder says of its files.
//!
//! ```yaml
//! ignore: ["drafts/**"]
//! rules:
//!   - path: "board/**"
//!     acl: [board]
//!     tags: {department: board}
//!     date: 2026-03-12
//!     superseded_by: "board/minutes-2027.md"
//! ```
//!
//! Paths are relative to the folder of the manifest. Later rules add to earlier ones, nested folders' manifests to those
//! above: `acl`, `date` and `superseded_by` replace, `tags` merge. A document's access list that a person set holds
//! beside what is said here, until what is said here changes; then it is cut to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use jiff::civil::Date;
use lore_core::{Acl, DocumentMeta};
use serde::Deserialize;

/// Name of the file.
pub const MANIFEST: &str = ".lore.yaml";

/// Largest manifest in bytes.
const LARGEST: u64 = 1 << 20;

/// What is wrong with a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It could not be read.
    #[error("{path}: {source}")]
    Io {
        /// The manifest.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// It does not say what a manifest can say.
    #[error("{path}, line {line}: {message}")]
    Invalid {
        /// The manifest.
        path: PathBuf,
        /// Line, from 1; 0 where it is not known.
        line: u64,
        /// What is wrong and what to do.
        message: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    ignore: Vec<String>,
    #[serde(default)]
    rules: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    path: serde_saphyr::Spanned<String>,
    acl: Option<BTreeSet<String>>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    date: Option<serde_saphyr::Spanned<String>>,
    superseded_by: Option<String>,
}

#[derive(Debug)]
struct Rule {
    path: GlobMatcher,
    acl: Option<BTreeSet<String>>,
    tags: BTreeMap<String, String>,
    date: Option<Date>,
    superseded_by: Option<String>,
}

/// The manifest of one folder.
#[derive(Debug)]
pub struct Manifest {
    folder: PathBuf,
    ignore: Vec<GlobMatcher>,
    rules: Vec<Rule>,
}

impl Manifest {
    /// The manifest in `folder`, if there is one.
    ///
    /// # Errors
    /// Names the file, the line and, for an unknown key, the nearest known one.
    pub fn load(folder: &Path) -> Result<Option<Self>, ManifestError> {
        let path = folder.join(MANIFEST);
        let io = |source| ManifestError::Io { path: path.clone(), source };
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
            Ok(file) if file.len() > LARGEST => {
                let message =
                    format!("the manifest is larger than {LARGEST} bytes; split it among the folders");
                return Err(ManifestError::Invalid { path, line: 0, message });
            }
            Ok(_) => {}
        }
        let text = std::fs::read_to_string(&path).map_err(io)?;
        Self::parse(folder, &text).map(Some)
    }

    /// Reads `text` as the manifest of `folder`.
    ///
    /// # Errors
    /// As [`Manifest::load`].
    pub fn parse(folder: &Path, text: &str) -> Result<Self, ManifestError> {
        let path = folder.join(MANIFEST);
        let invalid = |line, message| ManifestError::Invalid { path: path.clone(), line, message };
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Self { folder: folder.to_owned(), ignore: Vec::new(), rules: Vec::new() });
        }
        let raw: Raw = serde_saphyr::from_str(text).map_err(|error| {
            let line = error.location().map_or(0, |l| l.line());
            invalid(line, explain(error.without_snippet()))
        })?;
        let glob = |line: u64, pattern: &str| {
            let built = GlobBuilder::new(pattern).literal_separator(true).build();
            built.map(|g| g.compile_matcher()).map_err(|e| invalid(line, format!("{e}")))
        };
        let ignore = raw.ignore.iter().map(|p| glob(line_of(text, p), p)).collect::<Result<_, _>>()?;
        let mut rules = Vec::with_capacity(raw.rules.len());
        for rule in raw.rules {
            let date = match &rule.date {
                None => None,
                Some(day) => Some(day.value.parse().map_err(|_| {
                    let message = format!("date '{}' is no date; write YYYY-MM-DD", day.value);
                    invalid(day.referenced.line(), message)
                })?),
            };
            rules.push(Rule {
                path: glob(rule.path.referenced.line(), &rule.path.value)?,
                acl: rule.acl,
                tags: rule.tags,
                date,
                superseded_by: rule.superseded_by,
            });
        }
        Ok(Self { folder: folder.to_owned(), ignore, rules })
    }

    /// The folder whose manifest this is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether `path` is ignored.
    pub fn ignores(&self, path: &Path) -> bool {
        path.strip_prefix(&self.folder).is_ok_and(|relative| self.ignore.iter().any(|g| g.is_match(relative)))
    }

    /// Adds to `meta` what the rules say of the file at `path`; names are given relative to `root`.
    pub fn apply(&self, path: &Path, root: &Path, meta: &mut DocumentMeta) {
        let Ok(relative) = path.strip_prefix(&self.folder) else { return };
        for rule in self.rules.iter().filter(|rule| rule.path.is_match(relative)) {
            if let Some(acl) = &rule.acl {
                meta.acl = Acl(acl.clone());
            }
            meta.tags.extend(rule.tags.iter().map(|(k, v)| (k.clone(), v.clone())));
            if let Some(date) = rule.date {
                meta.date = Some(date);
            }
            if let Some(name) = &rule.superseded_by {
                meta.superseded_by = Some(self.resolve(name, root));
            }
        }
    }

    /// The document name, relative to `root`, of the file that the manifest calls `name`.
    fn resolve(&self, name: &str, root: &Path) -> String {
        let mut path = self.folder.clone();
        for part in Path::new(name).components() {
            match part {
                Component::ParentDir => {
                    path.pop();
                }
                Component::CurDir => {}
                other => path.push(other),
            }
        }
        path.strip_prefix(root).map_or_else(|_| name.to_owned(), super::files::slashed)
    }
}

/// The error in words, without its location.
fn explain(error: &serde_saphyr::Error) -> String {
    match error {
        serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => {
            let near = nearest(field, expected);
            let hint = near.map_or_else(
                || format!("known keys are {}", expected.join(", ")),
                |near| format!("did you mean '{near}'?"),
            );
            format!("unknown key '{field}'; {hint}")
        }
        other => {
            let text = other.to_string();
            let first = text.lines().next().unwrap_or_default();
            first.trim_start_matches("error: ").to_owned()
        }
    }
}

/// The known key most like `field`, if any is near.
fn nearest<'a>(field: &str, known: &[&'a str]) -> Option<&'a str> {
    let scored = known.iter().map(|k| (distance(field, k), *k)).min()?;
    (scored.0 <= 1 + scored.1.len() / 3).then_some(scored.1)
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (diagonal + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}

fn line_of(text: &str, pattern: &str) -> u64 {
    text.lines().position(|line| line.contains(pattern)).map_or(0, |i| i as u64 + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const TEXT: &str = "ignore: [\"drafts/**\"]\nrules:\n  - path: \"**\"\n    tags: {a: x, b: 1}\n    acl: [one]\n  \
                        - path: \"sub/*.md\"\n    tags: {b: y}\n    acl: [two]\n    date: 2026-01-02\n    superseded_by: sub/new.md\n";

    #[test]
    fn later_rules_add() {
        let manifest = Manifest::parse(Path::new("/r/in"), TEXT).unwrap();
        let mut meta = DocumentMeta::default();
        manifest.apply(Path::new("/r/in/sub/old.md"), Path::new("/r"), &mut meta);
        assert_eq!(meta.tags, [("a".into(), "x".into()), ("b".into(), "y".into())].into());
        assert_eq!(meta.acl.0, ["two".to_owned()].into());
        assert_eq!(meta.date, Some(jiff::civil::date(2026, 1, 2)));
        assert_eq!(meta.superseded_by.as_deref(), Some("in/sub/new.md"));
        let mut meta = DocumentMeta::default();
        manifest.apply(Path::new("/r/in/sub/deep/old.md"), Path::new("/r"), &mut meta);
        assert_eq!(meta.acl.0, ["one".to_owned()].into());
        assert!(manifest.ignores(Path::new("/r/in/drafts/a/b.md")));
        assert!(!manifest.ignores(Path::new("/r/in/a/drafts")));
    }

    #[test]
    fn errors_name_the_line_and_the_nearest_key() {
        let error = |text: &str| Manifest::parse(Path::new("/r"), text).unwrap_err().to_string();
        assert_eq!(
            error("rules:\n  - path: a\n    superseded: b\n"),
            "/r/.lore.yaml, line 3: unknown key 'superseded'; did you mean 'superseded_by'?"
        );
        assert_eq!(
            error("ignored: [a]\n"),
            "/r/.lore.yaml, line 1: unknown key 'ignored'; did you mean 'ignore'?"
        );
        assert!(error("zzzzzz: 1\n").ends_with("known keys are ignore, rules"));
        assert_eq!(
            error("rules:\n  - path: a\n    date: soon\n"),
            "/r/.lore.yaml, line 3: date 'soon' is no date; write YYYY-MM-DD"
        );
        assert!(error("rules:\n  - acl: [a]\n").contains("path"));
        assert!(error("rules:\n  - path: \"[a\"\n").starts_with("/r/.lore.yaml, line 2: "));
        assert!(error("rules: [").starts_with("/r/.lore.yaml, line "));
    }

    #[test]
    fn an_empty_manifest_says_nothing() {
        assert!(Manifest::parse(Path::new("/r"), "# nothing\n").is_ok());
    }
}
