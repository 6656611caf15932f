//! A lease on a release's folder: a shared lock on a file beside it, which the kernel gives up with the process.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::ReleaseError;

/// The folder of lock files in the folder of releases; they are empty and never removed, so that two processes never lock
/// two files of one name.
const LOCKS: &str = ".leases";

/// Keeps a release's folder from being removed for as long as it lives.
#[derive(Debug)]
pub struct Lease {
    /// The release.
    pub id: String,
    _lock: File,
}

fn open(releases: &Path, id: &str) -> Result<(PathBuf, File), ReleaseError> {
    let folder = releases.join(LOCKS);
    std::fs::create_dir_all(&folder).map_err(|error| ReleaseError::io(&folder, error))?;
    lock_file(folder.join(id))
}

/// The file at `path`, made where it is not there, to be locked.
pub(super) fn lock_file(path: PathBuf) -> Result<(PathBuf, File), ReleaseError> {
    match File::options().read(true).write(true).create(true).truncate(false).open(&path) {
        Ok(file) => Ok((path, file)),
        Err(error) => Err(ReleaseError::io(&path, error)),
    }
}

/// A lease beside others; waits while the folder is being removed.
pub(super) fn shared(releases: &Path, id: &str) -> Result<Lease, ReleaseError> {
    let (path, file) = open(releases, id)?;
    file.lock_shared().map_err(|error| ReleaseError::io(&path, error))?;
    Ok(Lease { id: id.to_owned(), _lock: file })
}

/// The right to remove the folder; `None` where anybody has a lease.
pub(super) fn exclusive(releases: &Path, id: &str) -> Result<Option<Lease>, ReleaseError> {
    let (path, file) = open(releases, id)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lease { id: id.to_owned(), _lock: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(ReleaseError::io(&path, error)),
    }
}
