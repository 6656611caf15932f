//! `lore.json`: what was pulled into a model folder, from where, with which hashes.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::error::SourceError;
use super::files;
use super::spec::Pin;

/// Name of the file.
pub(super) const FILE: &str = "lore.json";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub name: String,
    /// The hub's commit, where one is known.
    pub revision: Option<String>,
    /// Where it came from.
    pub source: String,
    /// Whether the hashes were known before the pull.
    pub pinned: bool,
    /// Seconds since 1970.
    pub pulled_at: u64,
    pub files: Vec<Pin>,
}

impl Manifest {
    pub(super) fn now() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
    }

    /// The manifest of a folder; `None` where there is none that can be read.
    pub(super) fn read(dir: &Path) -> Option<Self> {
        let bytes = std::fs::read(dir.join(FILE)).ok()?;
        let manifest: Self = serde_json::from_slice(&bytes)
            .inspect_err(|error| tracing::warn!(folder = %dir.display(), %error, "lore.json cannot be read"))
            .ok()?;
        manifest.files.iter().all(|pin| files::is_inside(&pin.path)).then_some(manifest)
    }

    /// Writes and syncs it.
    pub(super) fn write(&self, dir: &Path) -> Result<(), SourceError> {
        let path = dir.join(FILE);
        let io = |cause| SourceError::io("write", &path, cause);
        let mut file = File::create(&path).map_err(io)?;
        serde_json::to_writer_pretty(&mut file, self).map_err(|error| io(error.into()))?;
        file.write_all(b"\n").and_then(|()| file.sync_all()).map_err(io)
    }

    /// The first file that is missing or has another length; a quick look that reads no contents.
    pub(super) fn quick_fault(&self, dir: &Path) -> Option<String> {
        self.files.iter().find_map(|pin| match std::fs::metadata(dir.join(&pin.path)) {
            Ok(meta) if meta.len() == pin.bytes => None,
            Ok(meta) => Some(format!("{} has {} bytes, expected {}", pin.path, meta.len(), pin.bytes)),
            Err(_) => Some(format!("{} is missing", pin.path)),
        })
    }
}
