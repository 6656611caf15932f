//! Ownership of a data folder's indexes: one process at a time, told to the others by a file.
//!
//! The truth is the lock (`flock` on `owner.lock`), which the kernel frees when its holder dies; `owner.json` only says who
//! it is, and is not believed when nobody holds the lock.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{IndexError, Result};

/// The lock's file name in the data folder.
const LOCK: &str = "owner.lock";
/// The file that says who holds it.
const INFO: &str = "owner.json";
/// How long to try for the lock: somebody who only looks ([`Owner::current`]) holds it for an instant, and an owner needs
/// one to say who it is.
const PATIENCE: Duration = Duration::from_millis(300);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// Who owns a data folder's indexes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerInfo {
    /// Process id.
    pub pid: u32,
    /// The command, such as `lore serve`.
    pub command: String,
    /// Base URL of its HTTP API, if it serves one.
    pub url: Option<String>,
    /// Secret that makes a caller on this machine the local owner (the file is readable by the user alone).
    pub token: Option<String>,
}

/// The lock on a data folder's indexes; dropping it frees them.
#[derive(Debug)]
pub struct Owner {
    folder: PathBuf,
    command: String,
    /// Holds the lock until it is closed, after `drop` has removed the information.
    _lock: File,
}

impl Owner {
    /// Takes the lock of `folder` (`flock` on `owner.lock`), or says who has it (`IndexError::Locked`).
    ///
    /// # Errors
    /// `Locked` when another owner lives; `Io` and `DiskFull` when the files cannot be written.
    pub fn take(folder: &Path, command: &str) -> Result<Self> {
        make_private(folder)?;
        let lock = open_lock(folder, true)?;
        let path = folder.join(LOCK);
        if !within_patience(|| try_lock(&path, lock.try_lock()))? {
            return Err(locked(read_info(folder)?));
        }
        let owner = Self { folder: folder.to_owned(), command: command.to_owned(), _lock: lock };
        owner.write_info(None, None)?;
        Ok(owner)
    }

    /// Tells other processes where this owner serves (written to `owner.json`, mode 0600, atomically).
    pub fn publish(&self, url: &str, token: &str) -> Result<()> {
        self.write_info(Some(url), Some(token))
    }

    /// The present owner, if a live process holds the lock.
    ///
    /// An owner that has not said yet who it is has process id 0.
    pub fn current(folder: &Path) -> Result<Option<OwnerInfo>> {
        let path = folder.join(LOCK);
        if !path.exists() {
            return Ok(None);
        }
        let lock = open_lock(folder, false)?;
        // Shared, so that two who only look do not take each other for an owner.
        if try_lock(&path, lock.try_lock_shared())? {
            return Ok(None);
        }
        let mut info = None;
        within_patience(|| {
            info = read_info(folder)?;
            Ok(info.is_some())
        })?;
        let unknown = || OwnerInfo { pid: 0, command: "another lore".into(), url: None, token: None };
        Ok(Some(info.unwrap_or_else(unknown)))
    }

    fn write_info(&self, url: Option<&str>, token: Option<&str>) -> Result<()> {
        let info = OwnerInfo {
            pid: std::process::id(),
            command: self.command.clone(),
            url: url.map(str::to_owned),
            token: token.map(str::to_owned),
        };
        let text = serde_json::to_string_pretty(&info)
            .map_err(|error| IndexError::Invalid(format!("the owner cannot be written: {error}")))?;
        let path = self.folder.join(INFO);
        let temporary = self.folder.join(".owner.json.tmp");
        let write = || {
            // One that a killed owner left could have another mode.
            match std::fs::remove_file(&temporary) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(text.as_bytes())?;
            std::fs::rename(&temporary, &path)
        };
        write().map_err(|error| IndexError::io(&path, error))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // Not found is fine, and so is a stale file: nobody believes it without the lock.
        let _ = std::fs::remove_file(self.folder.join(INFO));
    }
}

/// Makes a data folder that is not there yet, for its user alone.
///
/// # Errors
/// `Io` and `DiskFull` where it cannot be made.
pub(crate) fn make_private(folder: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| IndexError::io(folder, error))
}

fn open_lock(folder: &Path, create: bool) -> Result<File> {
    let path = folder.join(LOCK);
    File::options()
        .read(true)
        .write(true)
        .create(create)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| IndexError::io(&path, error))
}

fn try_lock(path: &Path, outcome: std::result::Result<(), TryLockError>) -> Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(IndexError::io(path, error)),
    }
}

/// Tries until it succeeds or [`PATIENCE`] has passed.
fn within_patience(mut attempt: impl FnMut() -> Result<bool>) -> Result<bool> {
    let start = Instant::now();
    while !attempt()? {
        if start.elapsed() >= PATIENCE {
            return Ok(false);
        }
        std::thread::sleep(PAUSE);
    }
    Ok(true)
}

/// What `owner.json` says, if it says anything that can be read.
fn read_info(folder: &Path) -> Result<Option<OwnerInfo>> {
    let path = folder.join(INFO);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(serde_json::from_str(&text).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(IndexError::io(&path, error)),
    }
}

fn locked(info: Option<OwnerInfo>) -> IndexError {
    match info {
        Some(OwnerInfo { pid, command, url: Some(url), .. }) => IndexError::Locked {
            by: format!("`{command}` (process {pid})"),
            next: format!("it serves at {url}; use it there, or stop it with `kill {pid}`"),
        },
        Some(OwnerInfo { pid, command, .. }) => IndexError::Locked {
            by: format!("`{command}` (process {pid})"),
            next: format!("wait until it ends, or stop it with `kill {pid}`"),
        },
        None => IndexError::Locked {
            by: "another lore".into(),
            next: "wait until it ends and run the command again".into(),
        },
    }
}
