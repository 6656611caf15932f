//! Ownership of a data folder's indexes: one process at a time, told to the others by a file.
#![allow(unused_variables, clippy::todo, reason = "contract")]

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Result;

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
    _file: std::fs::File,
}

impl Owner {
    /// Takes the lock of `folder` (`flock` on `owner.lock`), or says who has it (`IndexError::Locked`).
    pub fn take(folder: &Path, command: &str) -> Result<Self> {
        todo!()
    }
    /// Tells other processes where this owner serves (written to `owner.json`, mode 0600, atomically).
    pub fn publish(&self, url: &str, token: &str) -> Result<()> {
        todo!()
    }
    /// The present owner, if a live process holds the lock.
    pub fn current(folder: &Path) -> Result<Option<OwnerInfo>> {
        todo!()
    }
}
