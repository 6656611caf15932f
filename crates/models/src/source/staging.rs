//! The folder in which a model comes together before it gets its name.
//!
//! It outlives a failed try, so that the next one goes on from its parts. The plan in it tells what the parts belong to:
//! parts of another source or revision are thrown away, except where hashes are pinned and the origin does not matter.

use std::path::{Path, PathBuf};

use super::error::SourceError;
use super::files;
use super::manifest::Manifest;
use super::part::{Expect, PartFile};
use super::spec::Pin;

const PLAN: &str = ".plan";

pub(super) struct Staging {
    dir: PathBuf,
}

impl Staging {
    /// Opens the folder for a plan; what another plan left there is removed.
    pub(super) fn open(dir: &Path, plan: &str) -> Result<Self, SourceError> {
        let marker = dir.join(PLAN);
        let io = |cause| SourceError::io("prepare", dir, cause);
        if std::fs::read_to_string(&marker).ok().as_deref() != Some(plan) {
            if dir.exists() {
                std::fs::remove_dir_all(dir).map_err(io)?;
            }
            std::fs::create_dir_all(dir).map_err(io)?;
            std::fs::write(&marker, plan).map_err(io)?;
        }
        Ok(Self { dir: dir.to_owned() })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file that an earlier try finished, when it is still what is expected.
    pub(super) fn finished(&self, expect: &Expect) -> Option<Pin> {
        let path = self.dir.join(&expect.path);
        let meta = std::fs::metadata(&path).ok()?;
        if expect.bytes.is_some_and(|bytes| bytes != meta.len()) {
            return None;
        }
        let pin = files::pin_of(&self.dir, &expect.path).ok()?;
        expect.sha256.as_ref().is_none_or(|sha256| *sha256 == pin.sha256).then_some(pin)
    }

    /// Bytes still to come for these files.
    pub(super) fn remaining(&self, expected: &[Expect]) -> u64 {
        let size = |path: PathBuf| std::fs::metadata(path).map_or(0, |meta| meta.len());
        let here = |path: &str| size(self.dir.join(path)) + size(self.dir.join(format!("{path}.part")));
        expected.iter().map(|e| e.bytes.unwrap_or(0).saturating_sub(here(&e.path))).sum()
    }

    pub(super) fn part(&self, expect: &Expect) -> Result<PartFile, SourceError> {
        PartFile::open(&self.dir, expect)
    }

    /// An empty folder for files that do not belong to the model; removed when the guard is dropped.
    pub(super) fn scratch(&self) -> Result<Scratch, SourceError> {
        let dir = self.dir.join(".scratch");
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).map_err(|cause| SourceError::io("create", &dir, cause))?;
        Ok(Scratch { dir })
    }

    /// Writes the manifest and gives the folder its name; what stood there before is removed.
    pub(super) fn publish(self, place: &Path, manifest: &Manifest) -> Result<(), SourceError> {
        self.drop_strangers(manifest)?;
        manifest.write(&self.dir)?;
        let mut folders: Vec<PathBuf> = manifest
            .files
            .iter()
            .filter_map(|pin| Some(self.dir.join(&pin.path).parent()?.to_owned()))
            .collect();
        folders.push(self.dir.clone());
        folders.sort();
        folders.dedup();
        for folder in &folders {
            files::sync_dir(folder)?;
        }
        let io = |cause| SourceError::io("rename", place, cause);
        if place.exists() {
            let mut old = self.dir.clone().into_os_string();
            old.push(".old");
            let old = PathBuf::from(old);
            let _ = std::fs::remove_dir_all(&old);
            std::fs::rename(place, &old).map_err(io)?;
            std::fs::rename(&self.dir, place).map_err(io)?;
            let _ = std::fs::remove_dir_all(&old);
        } else {
            std::fs::rename(&self.dir, place).map_err(io)?;
        }
        place.parent().map_or(Ok(()), files::sync_dir)
    }

    /// Removes the plan, and parts of files that the model does not have.
    fn drop_strangers(&self, manifest: &Manifest) -> Result<(), SourceError> {
        let _ = std::fs::remove_file(self.dir.join(PLAN));
        for (path, _) in files::walk(&self.dir)? {
            if !manifest.files.iter().any(|pin| pin.path == path) {
                let full = self.dir.join(&path);
                std::fs::remove_file(&full).map_err(|cause| SourceError::io("remove", &full, cause))?;
            }
        }
        Ok(())
    }
}

pub(super) struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
