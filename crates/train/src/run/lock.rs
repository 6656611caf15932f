//! One run at a time in a folder.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::error::TrainError;

/// A lock on a run's folder, which the kernel gives up with the process.
///
/// It lies on the folder itself, so that no file is left in it. Where the system locks no folders, there is none.
#[derive(Debug)]
pub(super) struct FolderLock(Option<File>);

impl FolderLock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`TrainError::Setup`] where another run has it.
    pub fn take(folder: &Path) -> Result<Self, TrainError> {
        let Ok(file) = File::open(folder) else { return Ok(Self(None)) };
        match file.try_lock() {
            Ok(()) => Ok(Self(Some(file))),
            Err(TryLockError::WouldBlock) => Err(TrainError::Setup(format!(
                "another run is under way in {}; wait for its end, or name another output_dir",
                folder.display()
            ))),
            Err(TryLockError::Error(error)) => {
                tracing::debug!(%error, folder = %folder.display(), "the folder cannot be locked");
                Ok(Self(None))
            }
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing is not enough where a child that is just being started still has the descriptor.
        if let Some(file) = &self.0 {
            let _ = file.unlock();
        }
    }
}
