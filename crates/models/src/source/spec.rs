//! What is asked for: a model's name, its revision, and the hashes that it must have.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::SourceError;
use super::known;

/// A file of a model with its length and hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Path inside the model folder, with `/`.
    pub path: String,
    /// Length.
    pub bytes: u64,
    /// SHA-256 in lowercase hexadecimal.
    pub sha256: String,
}

/// A Python wheel that holds a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WheelSpec {
    /// Package name as pip knows it.
    pub package: String,
    /// Exact version.
    pub version: String,
    /// Folder of the model inside the wheel, without a slash at the end.
    pub inner_path: String,
}

/// A model that is asked for.
///
/// ```
/// use lore_models::source::ModelSpec;
///
/// let spec: ModelSpec = "BAAI/bge-m3@main".parse()?;
/// assert_eq!((spec.name(), spec.revision()), ("BAAI/bge-m3", Some("main")));
/// # Ok::<(), lore_models::source::SourceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSpec {
    name: String,
    revision: Option<String>,
    path: Option<PathBuf>,
    file: Option<String>,
    pins: Vec<Pin>,
    wheel: Option<WheelSpec>,
}

impl ModelSpec {
    /// Reads `ORGANISATION/NAME`, `ORGANISATION/NAME@REVISION` or a path (with a leading `/`, `./`, `../` or `~/`); a
    /// name may end in `:FILE.gguf`, where one file of the repository is the whole model.
    ///
    /// A model of the known-models table brings its revision, pins and wheel along, unless another revision is named.
    ///
    /// # Errors
    /// [`SourceError::Name`].
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        if let Some(path) = as_path(text) {
            return Ok(Self {
                name: text.to_owned(),
                revision: None,
                path: Some(path),
                file: None,
                pins: Vec::new(),
                wheel: None,
            });
        }
        let bad = |reason| SourceError::Name { name: text.to_owned(), reason };
        let (whole, file) = match text.split_once(':') {
            Some((whole, file)) => (whole, Some(file)),
            None => (text, None),
        };
        if file.is_some_and(|file| !is_gguf_name(file)) {
            return Err(bad("what follows `:` is no name of a .gguf file"));
        }
        let (name, revision) = match whole.split_once('@') {
            Some((name, revision)) => (name, Some(revision)),
            None => (whole, None),
        };
        let segments: Vec<&str> = name.split('/').collect();
        if segments.len() > 2 {
            return Err(bad("it has more than one slash"));
        }
        if !segments.iter().all(|s| is_word(s)) {
            return Err(bad(
                "each part has letters, digits, `.`, `_` and single `-`, and starts with a letter or digit",
            ));
        }
        if !revision.is_none_or(|r| r.split('/').all(is_word)) {
            return Err(bad("the revision is no branch, tag or commit"));
        }
        let known =
            known::find(name).filter(|_| file.is_none()).filter(|k| revision.is_none_or(|r| r == k.revision));
        Ok(Self {
            name: name.to_owned(),
            revision: revision.map(str::to_owned),
            path: None,
            file: file.map(str::to_owned),
            pins: known.map(known::KnownModel::pins).unwrap_or_default(),
            wheel: known.and_then(known::KnownModel::wheel),
        })
    }

    /// The same model, refused unless its files are exactly these.
    #[must_use]
    pub fn with_pins(mut self, pins: Vec<Pin>) -> Self {
        self.pins = pins;
        self
    }

    /// The same model, with the wheel to find it in.
    #[must_use]
    pub fn with_wheel(mut self, wheel: WheelSpec) -> Self {
        self.wheel = Some(wheel);
        self
    }

    /// Name without revision; the text itself for a path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The revision that was named.
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// The folder, when a path was given.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The one file of the repository that is the model, where one was named.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// What is to be opened of `found`, where the model was found: its folder, or its one file.
    pub fn weights(&self, found: &Path) -> PathBuf {
        match &self.file {
            Some(file) => found.join(file),
            None => found.to_owned(),
        }
    }

    /// The same model, one file of it.
    ///
    /// # Errors
    /// [`SourceError::Name`] where that is no name of a `.gguf` file.
    pub fn with_file(mut self, file: &str) -> Result<Self, SourceError> {
        if !is_gguf_name(file) {
            return Err(SourceError::Name {
                name: format!("{}:{file}", self.name),
                reason: "what follows `:` is no name of a .gguf file",
            });
        }
        self.file = Some(file.to_owned());
        (self.pins, self.wheel) = (Vec::new(), None);
        Ok(self)
    }

    /// The files it must have; empty where any are taken.
    pub fn pins(&self) -> &[Pin] {
        &self.pins
    }

    /// The wheel that holds it.
    pub fn wheel(&self) -> Option<&WheelSpec> {
        self.wheel.as_ref()
    }

    /// Name of its folder in the cache: `ORGANISATION--NAME`, with `@REVISION` and `:FILE` where they were named.
    pub fn folder(&self) -> String {
        let mut name = self.name.replace('/', "--");
        if let Some(revision) = &self.revision {
            name.push('@');
            name.push_str(&revision.replace('/', "--"));
        }
        if let Some(file) = &self.file {
            name.push(':');
            name.push_str(file);
        }
        name
    }

    /// The revision to ask the hub for.
    pub(super) fn hub_revision(&self) -> &str {
        if let Some(revision) = &self.revision {
            return revision;
        }
        match known::find(&self.name) {
            Some(known) if !self.pins.is_empty() => known.revision,
            _ => "main",
        }
    }
}

impl FromStr for ModelSpec {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        Self::parse(text)
    }
}

fn as_path(text: &str) -> Option<PathBuf> {
    if let Some(rest) = text.strip_prefix("~/") {
        return std::env::home_dir().map(|home| home.join(rest));
    }
    let is_path = Path::new(text).is_absolute() || text.starts_with("./") || text.starts_with("../");
    (is_path || text == "." || text == "..").then(|| PathBuf::from(text))
}

/// A path segment that is safe in folder names and addresses; `--` is left to join segments.
fn is_word(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    text.len() <= 96
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(inner)
        && !text.contains("--")
        && !text.contains("..")
}

/// The name of a GGUF file at the top of a repository.
fn is_gguf_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    text.len() <= 128 && super::files::is_gguf(text) && !text.starts_with('.') && text.chars().all(inner)
}
