//! Folders of an index that replace each other: a new one is built beside the one in use, then named the current one.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use crate::error::{IndexError, Result};
use crate::mark::Mark;

/// File that names the generation in use.
const CURRENT: &str = "CURRENT";
/// End of the name of the file with a generation's mark.
const MARK: &str = ".mark";

/// The generations of one index: `ROOT/CURRENT` holds the name of the one in use.
#[derive(Clone, Debug)]
pub(crate) struct Generations {
    root: PathBuf,
    kind: String,
}

impl Generations {
    /// The generations under `root` whose names start with `kind`; others were made for another format or embedder.
    pub(crate) fn new(root: PathBuf, kind: &str) -> Result<Self> {
        fs::create_dir_all(&root).map_err(|e| IndexError::io(&root, e))?;
        Ok(Self { root, kind: kind.to_owned() })
    }

    /// Name of the generation in use, if there is one of this kind.
    pub(crate) fn current(&self) -> Result<Option<String>> {
        let ours = |name: &String| {
            let rest = name.strip_prefix(self.kind.as_str()).and_then(|r| r.strip_prefix('-'));
            rest.is_some_and(|r| !r.is_empty())
        };
        Ok(self.named()?.filter(ours))
    }

    /// Name of the generation in use, of whatever kind.
    pub(crate) fn named(&self) -> Result<Option<String>> {
        let path = self.root.join(CURRENT);
        match fs::read_to_string(&path) {
            Ok(name) => {
                let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
                Ok((plain && !name.is_empty()).then_some(name))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => Ok(None),
            Err(e) => Err(IndexError::io(&path, e)),
        }
    }

    /// The mark that [`Generations::set_mark`] left for generation `name`.
    pub(crate) fn mark(&self, name: &str) -> Result<Option<Mark>> {
        let path = self.root.join(format!("{name}{MARK}"));
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.parse().ok()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => Ok(None),
            Err(e) => Err(IndexError::io(&path, e)),
        }
    }

    /// Keeps the last change that was applied to generation `name` beside it, for what cannot keep it itself. Replaced
    /// atomically; the machine losing power may take it back, which hides a backup put back and nothing else.
    pub(crate) fn set_mark(&self, name: &str, mark: Mark) -> Result<()> {
        let path = self.root.join(format!("{name}{MARK}"));
        let temporary = self.root.join("MARK.new");
        let write = || {
            fs::write(&temporary, mark.to_string())?;
            fs::rename(&temporary, &path)
        };
        write().map_err(|e| IndexError::io(&path, e))
    }

    /// A name that no generation had before.
    pub(crate) fn fresh(&self) -> String {
        let id = uuid::Uuid::now_v7().simple().to_string();
        format!("{}-{id}", self.kind)
    }

    /// The folder of a generation.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Makes `name` the generation in use, atomically and durably.
    pub(crate) fn promote(&self, name: &str) -> Result<()> {
        let temporary = self.root.join("CURRENT.new");
        let write = || {
            let mut file = fs::File::create(&temporary)?;
            file.write_all(name.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, self.root.join(CURRENT))?;
            fs::File::open(&self.root)?.sync_all()
        };
        write().map_err(|e| IndexError::io(&self.root, e))
    }

    /// As [`Generations::sweep`]; what cannot be removed now is tried again at the next opening.
    pub(crate) fn sweep_or_warn(&self) {
        if let Err(error) = self.sweep() {
            tracing::warn!(%error, "an index that is not used any more cannot be removed");
        }
    }

    /// Removes all generations but the one in use.
    pub(crate) fn sweep(&self) -> Result<()> {
        self.sweep_but("")
    }

    /// Removes all generations but the one that `CURRENT` names and `kept`.
    pub(crate) fn sweep_but(&self, kept: &str) -> Result<()> {
        let current = self.named()?;
        for entry in fs::read_dir(&self.root).map_err(|e| IndexError::io(&self.root, e))? {
            let entry = entry.map_err(|e| IndexError::io(&self.root, e))?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_str().unwrap_or_default();
            let generation = name.strip_suffix(MARK).unwrap_or(name);
            if current.as_deref() == Some(generation) || generation == kept {
                continue;
            }
            if path.is_dir() {
                fs::remove_dir_all(&path).map_err(|e| IndexError::io(&path, e))?;
            } else if generation != name {
                fs::remove_file(&path).map_err(|e| IndexError::io(&path, e))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn generations_replace_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let generations = Generations::new(folder.path().join("lexical"), "v1").unwrap();
        assert_eq!(generations.current().unwrap(), None);
        let (a, b) = (generations.fresh(), generations.fresh());
        for name in [&a, &b] {
            fs::create_dir(generations.folder(name)).unwrap();
        }
        generations.promote(&a).unwrap();
        assert_eq!(generations.current().unwrap(), Some(a.clone()));
        generations.promote(&b).unwrap();
        generations.sweep().unwrap();
        assert!(!generations.folder(&a).exists() && generations.folder(&b).exists());
        let other = Generations::new(folder.path().join("lexical"), "v2").unwrap();
        assert_eq!(other.current().unwrap(), None, "made for another format");
    }

    #[test]
    fn a_name_with_a_path_in_it_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let generations = Generations::new(folder.path().to_owned(), "v1").unwrap();
        fs::write(folder.path().join(CURRENT), "v1-../../etc").unwrap();
        assert_eq!(generations.current().unwrap(), None);
    }
}
