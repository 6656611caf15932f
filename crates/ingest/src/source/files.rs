//! The files of a folder: walked in a fixed order, each with what the manifests say of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ignore::{DirEntry, WalkBuilder};
use lore_core::{DocumentMeta, Format};

use super::manifest::{MANIFEST, Manifest, ManifestError};

/// A file of gitignore rules for Lore alone.
pub const IGNORE_FILE: &str = ".loreignore";

/// A file to ingest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Canonical path.
    pub path: PathBuf,
    /// `file://` URI of the path.
    pub source: String,
    /// Path relative to the ingested folder, with `/`; the file name where a single file is ingested.
    pub name: String,
    /// Format by the extension; the content has the last word.
    pub format: Format,
    /// Size in bytes when the folder was walked.
    pub size: u64,
    /// What the manifests say.
    pub meta: DocumentMeta,
}

/// A file that is not for Lore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedFile {
    /// Path relative to the ingested folder.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What a walk found.
#[derive(Debug, Default)]
pub struct Walk {
    /// Canonical path of the folder or file that was walked.
    pub root: PathBuf,
    /// Files to ingest, in order of their paths.
    pub files: Vec<SourceFile>,
    /// Files that are no documents.
    pub skipped: Vec<SkippedFile>,
    /// Folders and files that could not be read; then nothing may be concluded from a file's absence.
    pub errors: Vec<String>,
}

/// Why a path could not be walked at all.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// The path cannot be opened.
    #[error("{path}: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A manifest is wrong; nothing is ingested, since access lists may depend on it.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// The manifests in force, by folder; those of outer folders come first.
#[derive(Debug, Default)]
struct Manifests {
    by_folder: BTreeMap<PathBuf, Manifest>,
    error: Option<ManifestError>,
}

impl Manifests {
    fn add(&mut self, folder: &Path) {
        if self.by_folder.contains_key(folder) {
            return;
        }
        match Manifest::load(folder) {
            Ok(Some(manifest)) => {
                self.by_folder.insert(folder.to_owned(), manifest);
            }
            Ok(None) => {}
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
    }

    fn above<'a>(&'a self, path: &Path) -> Vec<&'a Manifest> {
        let mut found: Vec<&Manifest> =
            path.ancestors().skip(1).filter_map(|folder| self.by_folder.get(folder)).collect();
        found.reverse();
        found
    }
}

/// Walks `path`, a folder or a file, leaving out hidden files, what `.loreignore` and the manifests ignore, symbolic
/// links, and everything under `exclude`.
///
/// Manifests of the folders above `path` are in force too, so that a part of a folder has the access lists that it has
/// within the whole.
///
/// # Errors
/// [`WalkError`] where the path itself cannot be opened, or a manifest is wrong. What cannot be read further down is in
/// [`Walk::errors`].
pub fn walk(path: &Path, exclude: &[PathBuf]) -> Result<Walk, WalkError> {
    let io = |source| WalkError::Io { path: path.to_owned(), source };
    let root = path.canonicalize().map_err(io)?;
    let is_file = root.metadata().map_err(io)?.is_file();
    let base = if is_file { root.parent().unwrap_or(&root).to_owned() } else { root.clone() };
    let mut manifests = Manifests::default();
    let mut above: Vec<&Path> = base.ancestors().collect();
    above.reverse();
    above.into_iter().for_each(|folder| manifests.add(folder));
    if let Some(error) = manifests.error {
        return Err(error.into());
    }
    let manifests = Arc::new(Mutex::new(manifests));
    let mut found = Walk { root: root.clone(), ..Walk::default() };
    let mut builder = WalkBuilder::new(&root);
    builder
        .standard_filters(false)
        .hidden(true)
        .parents(true)
        .follow_links(false)
        .add_custom_ignore_filename(IGNORE_FILE)
        .sort_by_file_name(std::ffi::OsStr::cmp);
    let (seen, excluded) = (manifests.clone(), exclude.to_vec());
    builder.filter_entry(move |entry| {
        let mut manifests = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let path = entry.path();
        if excluded.iter().any(|e| path.starts_with(e))
            || manifests.above(path).iter().any(|m| m.ignores(path))
        {
            return false;
        }
        if entry.file_type().is_some_and(|t| t.is_dir()) {
            manifests.add(path);
        }
        true
    });
    for entry in builder.build() {
        let manifests = manifests.lock().unwrap_or_else(PoisonError::into_inner);
        match entry {
            Ok(entry) => take(&entry, &root, &base, &manifests, &mut found),
            Err(error) if error.io_error().is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound) => {
                // Gone while we walked.
            }
            Err(error) => found.errors.push(error.to_string()),
        }
    }
    let mut manifests = manifests.lock().unwrap_or_else(PoisonError::into_inner);
    match manifests.error.take() {
        Some(error) => Err(error.into()),
        None => Ok(found),
    }
}

fn take(entry: &DirEntry, root: &Path, base: &Path, manifests: &Manifests, found: &mut Walk) {
    let path = entry.path();
    let Some(kind) = entry.file_type() else { return };
    let name = slashed(path.strip_prefix(base).unwrap_or(path));
    let mut skip =
        |reason: &str| found.skipped.push(SkippedFile { name: name.clone(), reason: reason.into() });
    if kind.is_dir() || path.file_name().is_some_and(|n| n == MANIFEST || n == IGNORE_FILE) {
        return;
    }
    if kind.is_symlink() {
        let inside = path.canonicalize().is_ok_and(|target| target.starts_with(root));
        return skip(if inside {
            "a symbolic link; its target is taken where it stands"
        } else {
            "a symbolic link that leaves the folder; ingest its target by its own path"
        });
    }
    if !kind.is_file() {
        return skip("neither a file nor a folder");
    }
    if path.to_str().is_none() {
        return skip("its name is not valid UTF-8; rename it");
    }
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let Some(format) = Format::from_extension(extension) else {
        return skip(&match extension {
            "" => "no file extension tells its format".to_owned(),
            other => format!("files of type '{other}' are not supported"),
        });
    };
    let size = match entry.metadata() {
        Ok(file) => file.len(),
        Err(error) if error.io_error().is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound) => return,
        Err(error) => return found.errors.push(format!("{name}: {error}")),
    };
    let mut meta = DocumentMeta::default();
    for manifest in manifests.above(path) {
        manifest.apply(path, base, &mut meta);
    }
    found.files.push(SourceFile { source: file_uri(path), path: path.to_owned(), name, format, size, meta });
}

/// The `file://` URI of an absolute path; everything but unreserved characters (RFC 3986, section 2.3) and `/` is
/// percent-encoded.
pub fn file_uri(path: &Path) -> String {
    let mut out = String::from("file://");
    for byte in path.to_string_lossy().bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(byte as char)
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The path with `/` between its parts.
pub(crate) fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path.components().map(|c| c.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}
