//! One process at a time fetches a model.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use super::error::SourceError;
use super::options::{OnProgress, Progress};

/// Held until dropped. The file stays: removing it would let two processes lock two files of one name.
pub(super) struct ModelLock {
    _file: File,
}

impl ModelLock {
    /// Takes the lock at `path`, waiting for at most `limit`.
    pub(super) fn take(
        path: &Path,
        model: &str,
        limit: Duration,
        progress: OnProgress<'_>,
    ) -> Result<Self, SourceError> {
        let io = |cause| SourceError::io("lock", path, cause);
        let file =
            File::options().create(true).truncate(false).write(true).read(true).open(path).map_err(io)?;
        let start = Instant::now();
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::Error(cause)) => return Err(io(cause)),
                Err(TryLockError::WouldBlock) => {}
            }
            if !told {
                told = true;
                tracing::info!(model, "another process fetches the model; waiting for it");
                progress(Progress::Waiting { model: model.to_owned() });
            }
            if start.elapsed() >= limit {
                return Err(SourceError::Busy { model: model.to_owned(), seconds: limit.as_secs() });
            }
            std::thread::sleep(Duration::from_millis(100).min(limit));
        }
    }
}
