//! Releases on the disk: immutable folders named by the hash of their content, leased while they are used.
//!
//! - [`store`]: makes, checks and removes the folders under `<data>/releases/`.
//! - [`lease`]: keeps a folder from being removed while an engine runs from it, in whichever process.
//! - [`swap`]: what a model must show before it takes another's place.
//!
//! What is known of a release beside its files (its name, lineage and verdict) stands in the catalog.

pub mod lease;
pub mod store;
pub mod swap;

use std::path::{Path, PathBuf};

pub use lease::Lease;
pub use store::{ReleaseStore, Stored};
pub use swap::{Room, warm_up};

/// What can go wrong with a release's folder.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The disk is full.
    #[error(
        "no space left on the disk of {path}; free some (`lore releases prune` removes old releases) and try again"
    )]
    DiskFull {
        /// The file or folder.
        path: PathBuf,
    },
    /// What is to become a release is no model.
    #[error(
        "{path} holds no model; name a folder with config.json, tokenizer.json and .safetensors files, or a .gguf file"
    )]
    NoModel {
        /// The file or folder.
        path: PathBuf,
    },
    /// A folder is to be an adapter's and is none.
    #[error("{path} holds no adapter; name a folder with adapter_config.json and adapter_model.safetensors")]
    NoAdapter {
        /// The folder.
        path: PathBuf,
    },
    /// A folder holds more than a model.
    #[error("{path} holds more than {most} files; name the folder of the merged model itself")]
    TooMany {
        /// The folder.
        path: PathBuf,
        /// The limit.
        most: usize,
    },
    /// Text that is no release's id.
    #[error("{0:?} is no id of a release; `lore releases list` shows them")]
    BadId(String),
    /// The folder is not there.
    #[error("the folder of release {id} is not there; add the model again with `lore releases add`")]
    Missing {
        /// The release.
        id: String,
    },
    /// The folder's content is not what it was.
    #[error(
        "the files of release {id} are not what they were when it was made (they hash to {found}); add the model again \
         with `lore releases add`"
    )]
    Damaged {
        /// The release.
        id: String,
        /// What the files hash to now.
        found: String,
    },
    /// Somebody uses the folder.
    #[error(
        "release {id} is in use by an engine that still runs from it; try again when its last answer has ended"
    )]
    Leased {
        /// The release.
        id: String,
    },
}

impl ReleaseError {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path: path.to_owned() }
            }
            _ => Self::Io { path: path.to_owned(), source },
        }
    }
}
