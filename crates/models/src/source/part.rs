//! A file that is being written: `<file>.part`, hashed as it grows, renamed when it is whole and right.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use lore_core::ids::hex;
use sha2::{Digest, Sha256};

use super::error::SourceError;
use super::files;
use super::spec::Pin;

/// What a file is expected to be.
#[derive(Clone, Debug)]
pub(super) struct Expect {
    pub path: String,
    pub bytes: Option<u64>,
    pub sha256: Option<String>,
}

impl From<&Pin> for Expect {
    fn from(pin: &Pin) -> Self {
        Self { path: pin.path.clone(), bytes: Some(pin.bytes), sha256: Some(pin.sha256.clone()) }
    }
}

pub(super) struct PartFile {
    expect: Expect,
    part: PathBuf,
    place: PathBuf,
    file: File,
    hasher: Sha256,
    len: u64,
    /// Whether bytes of an earlier run are in it.
    resumed: bool,
}

impl PartFile {
    /// Opens `<dir>/<path>.part`, going on where an earlier try stopped.
    pub(super) fn open(dir: &Path, expect: &Expect) -> Result<Self, SourceError> {
        let place = dir.join(&expect.path);
        let part = dir.join(format!("{}.part", expect.path));
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent).map_err(|cause| SourceError::io("create", parent, cause))?;
        }
        let io = |cause| SourceError::io("open", &part, cause);
        let mut file =
            File::options().create(true).truncate(false).read(true).write(true).open(&part).map_err(io)?;
        let mut hasher = Sha256::new();
        // Leaves the cursor at the end.
        let len = files::absorb(&mut file, &mut hasher).map_err(io)?;
        let mut this = Self { expect: expect.clone(), part, place, file, hasher, len, resumed: len > 0 };
        if expect.bytes.is_some_and(|bytes| len > bytes) {
            this.restart()?;
        }
        Ok(this)
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn expect(&self) -> &Expect {
        &self.expect
    }

    /// Whether it has all its bytes; never, where the length is not known.
    pub(super) fn is_full(&self) -> bool {
        self.expect.bytes == Some(self.len)
    }

    pub(super) fn resumed(&self) -> bool {
        self.resumed
    }

    /// Empties it.
    pub(super) fn restart(&mut self) -> Result<(), SourceError> {
        use std::io::Seek;
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .map_err(|cause| SourceError::io("write", &self.part, cause))?;
        self.hasher = Sha256::new();
        self.len = 0;
        self.resumed = false;
        Ok(())
    }

    /// Appends; more than the expected length is refused before it reaches the disk.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), SourceError> {
        let len = self.len + bytes.len() as u64;
        if let Some(expected) = self.expect.bytes.filter(|&expected| len > expected) {
            let _ = std::fs::remove_file(&self.part);
            return Err(SourceError::Size { file: self.expect.path.clone(), expected, actual: len });
        }
        self.file.write_all(bytes).map_err(|cause| SourceError::io("write", &self.part, cause))?;
        self.hasher.update(bytes);
        self.len = len;
        Ok(())
    }

    /// Length or hash fault of what has been written.
    pub(super) fn fault(&self) -> Option<SourceError> {
        let file = self.expect.path.clone();
        if let Some(expected) = self.expect.bytes.filter(|&bytes| bytes != self.len) {
            return Some(SourceError::Size { file, expected, actual: self.len });
        }
        let actual = hex(&self.hasher.clone().finalize());
        let expected = self.expect.sha256.clone().filter(|sha256| *sha256 != actual)?;
        Some(SourceError::Hash { file, expected, actual })
    }

    /// Syncs and renames it when it is right, removes it when it is not.
    pub(super) fn finish(self) -> Result<Pin, SourceError> {
        if let Some(fault) = self.fault() {
            let _ = std::fs::remove_file(&self.part);
            return Err(fault);
        }
        self.file.sync_all().map_err(|cause| SourceError::io("sync", &self.part, cause))?;
        std::fs::rename(&self.part, &self.place)
            .map_err(|cause| SourceError::io("rename", &self.part, cause))?;
        let sha256 = hex(&self.hasher.finalize());
        Ok(Pin { path: self.expect.path, bytes: self.len, sha256 })
    }
}
