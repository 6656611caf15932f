//! Folders and files that are there whole or not at all.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use lore_core::ids::hex;
use lore_models::record::{MODEL, RUN};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::TrainError;

/// Where an adapter lies in a run's folder.
pub(super) const ADAPTER: &str = "adapter";
/// The folder of a run with the examples that were made of questions for it.
pub const EXAMPLES_FOLDER: &str = "examples";
/// Figures, a line each; a checkpoint has those up to its step under the same name.
pub(super) const METRICS: &str = "metrics.jsonl";
/// The same for TensorBoard.
pub(super) const TENSORBOARD: &str = "tensorboard";
/// The curve of the loss.
pub(super) const LOSS: &str = "loss.svg";
/// The curve of the learning rate.
pub(super) const LEARNING_RATE: &str = "learning_rate.svg";
/// What begins the name of a checkpoint, before its step.
pub(super) const CHECKPOINT: &str = "checkpoint-";
/// What a run leaves in its folder beside checkpoints and examples.
pub(super) const OWN: [&str; 7] = [METRICS, TENSORBOARD, RUN, LOSS, LEARNING_RATE, ADAPTER, MODEL];
/// What begins the names of folders and files that a run writes under other names first.
const WRITTEN: [&str; 7] = [CHECKPOINT, ADAPTER, MODEL, METRICS, RUN, LOSS, LEARNING_RATE];

/// What a file is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileRecord {
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

/// The disk; in tests one that fills up.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// Bytes that still fit, for tests.
    pub room: Option<Cell<u64>>,
}

impl Disk {
    fn take(&self, bytes: usize) -> io::Result<()> {
        let Some(room) = &self.room else { return Ok(()) };
        let left = room.get().checked_sub(bytes as u64).ok_or(ErrorKind::StorageFull)?;
        room.set(left);
        Ok(())
    }
}

/// A folder that is being written under another name.
#[derive(Debug)]
pub(super) struct Staged<'a> {
    disk: &'a Disk,
    target: PathBuf,
    temporary: PathBuf,
    /// Bytes of all files, for the message when they do not fit.
    expected: u64,
    files: BTreeMap<String, FileRecord>,
}

/// What ends the names of folders that are not finished.
const UNFINISHED: &str = ".unfinished";
/// What ends the names of folders that are being removed.
const REMOVED: &str = ".removed";
/// What ends the names of unfinished adapters and models.
const PART: &str = ".part";

impl<'a> Staged<'a> {
    /// A new folder beside `target`, which stays as it is until [`Staged::commit`].
    pub fn new(disk: &'a Disk, target: &Path, expected: u64) -> Result<Self, TrainError> {
        let temporary = hidden(target, UNFINISHED);
        remove(&temporary)?;
        let staged = Self { disk, target: target.into(), temporary, expected, files: BTreeMap::new() };
        fs::create_dir_all(&staged.temporary).map_err(|e| staged.failed(e))?;
        Ok(staged)
    }

    /// Its files so far.
    pub fn files(&self) -> &BTreeMap<String, FileRecord> {
        &self.files
    }

    /// Writes a file and sees to it that it is on the disk.
    pub fn file(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), TrainError> {
        let file = File::create(self.temporary.join(name)).map_err(|e| self.failed(e))?;
        let writer = Writer { disk: self.disk, file, hash: Sha256::new(), bytes: 0 };
        let mut writer = BufWriter::with_capacity(1 << 16, writer);
        let result = write(&mut writer).and_then(|()| writer.flush());
        let writer = match (result, writer.into_parts()) {
            (Ok(()), (writer, _)) => writer,
            (Err(error), _) => return Err(self.failed(error)),
        };
        writer.file.sync_all().map_err(|e| self.failed(e))?;
        let record = FileRecord { bytes: writer.bytes, sha256: hex(&writer.hash.finalize()) };
        self.files.insert(name.to_owned(), record);
        Ok(())
    }

    /// Gives it its name; an older folder of that name goes.
    pub fn commit(self) -> Result<PathBuf, TrainError> {
        sync_folder(&self.temporary).map_err(|e| self.failed(e))?;
        discard(&self.target)?;
        fs::rename(&self.temporary, &self.target).map_err(|e| self.failed(e))?;
        if let Some(parent) = self.target.parent() {
            sync_folder(parent).map_err(|e| self.failed(e))?;
        }
        Ok(self.target.clone())
    }

    fn failed(&self, error: io::Error) -> TrainError {
        failed(&self.target, self.expected, error)
    }
}

impl Drop for Staged<'_> {
    /// What was not finished makes room again; after [`Staged::commit`] there is nothing of that name.
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.temporary);
    }
}

struct Writer<'a> {
    disk: &'a Disk,
    file: File,
    hash: Sha256,
    bytes: u64,
}

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.take(bytes.len())?;
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// What a failed write of `path` is to the caller.
pub(super) fn failed(path: &Path, needed: u64, source: io::Error) -> TrainError {
    let path = path.to_owned();
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            TrainError::DiskFull { path, needed, source }
        }
        _ => TrainError::Write { path, source },
    }
}

/// Writes a small file so that it is there whole or not at all.
pub(super) fn write_file(disk: &Disk, path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let temporary = hidden(path, UNFINISHED);
    let write = || {
        disk.take(bytes.len())?;
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        failed(path, bytes.len() as u64, error)
    })
}

/// Appends to a file.
pub(super) fn append(disk: &Disk, path: &Path, file: &mut File, bytes: &[u8]) -> Result<(), TrainError> {
    let write = disk.take(bytes.len()).and_then(|()| file.write_all(bytes));
    write.map_err(|error| failed(path, bytes.len() as u64, error))
}

/// Removes a folder that others may be looking at: first its name, then its files.
pub(super) fn discard(folder: &Path) -> Result<(), TrainError> {
    if !folder.exists() {
        return Ok(());
    }
    let away = hidden(folder, REMOVED);
    remove(&away)?;
    fs::rename(folder, &away)
        .and_then(|()| fs::remove_dir_all(&away))
        .map_err(|source| TrainError::Write { path: folder.into(), source })
}

/// Removes what a run that was killed left unfinished in `folder`, which is known to be a run's.
pub(super) fn clean(folder: &Path) -> Result<(), TrainError> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let own =
            name.strip_prefix('.').is_some_and(|name| WRITTEN.iter().any(|start| name.starts_with(start)));
        if own && [UNFINISHED, REMOVED, PART].iter().any(|end| name.ends_with(end)) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a file or folder, where there is one.
pub(super) fn remove(path: &Path) -> Result<(), TrainError> {
    let result = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match result {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(TrainError::Write { path: path.into(), source: error })
        }
        _ => Ok(()),
    }
}

/// A hidden name beside `path`.
fn hidden(path: &Path, end: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}{end}"))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_appears_whole_and_takes_an_older_ones_place() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("checkpoint-1");
        for text in ["old", "new"] {
            let disk = Disk::default();
            let mut staged = Staged::new(&disk, &target, 3).unwrap();
            staged.file("a", |out| out.write_all(text.as_bytes())).unwrap();
            assert_eq!(target.exists(), text == "new");
            let record = staged.files()["a"].clone();
            assert_eq!((record.bytes, record.sha256), (3, hex(&Sha256::digest(text))));
            assert_eq!(staged.commit().unwrap(), target);
            assert_eq!(fs::read_to_string(target.join("a")).unwrap(), text);
        }
        assert_eq!(names(place.path()), ["checkpoint-1"]);
    }

    #[test]
    fn a_full_disk_leaves_nothing_behind_and_says_what_did_not_fit() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("checkpoint-1");
        let disk = Disk { room: Some(Cell::new(100_000)) };
        let mut staged = Staged::new(&disk, &target, 123_456).unwrap();
        staged.file("a", |out| out.write_all(&[0; 90_000])).unwrap();
        let error = staged.file("b", |out| out.write_all(&[0; 33_456])).unwrap_err();
        assert!(matches!(error, TrainError::DiskFull { needed: 123_456, .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("123456 bytes") && text.contains("checkpoint-1 needs"), "{text}");
        drop(staged);
        assert!(names(place.path()).is_empty());
    }

    #[test]
    fn what_a_killed_run_left_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let staged = Staged::new(&disk, &place.path().join("checkpoint-1"), 0).unwrap();
        std::mem::forget(staged);
        fs::write(place.path().join(".film.part"), "").unwrap();
        assert_eq!(names(place.path()), [".checkpoint-1.unfinished", ".film.part"]);
        clean(place.path()).unwrap();
        assert_eq!(names(place.path()), [".film.part"]);
    }
}
