//! What can go wrong below a search.

use std::path::{Path, PathBuf};

use lore_core::ModelError;

/// An error of the catalog or an index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The catalog's database failed.
    #[error("the catalog failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The disk is full.
    #[error("no space left on the disk of {path}; free some and run the command again, nothing was lost")]
    DiskFull {
        /// The file or folder.
        path: PathBuf,
    },
    /// Another process owns the indexes.
    #[error("the data folder is in use by {by}; {next}")]
    Locked {
        /// Who.
        by: String,
        /// What to do.
        next: String,
    },
    /// The catalog was written by a newer Lore.
    #[error("the catalog has schema version {found}, this lore knows up to {known}; use a newer lore")]
    NewerSchema {
        /// In the file.
        found: u32,
        /// In this program.
        known: u32,
    },
    /// The lexical index failed.
    #[error("the lexical index failed: {0}; `lore reindex` rebuilds it")]
    Lexical(String),
    /// The vector index failed.
    #[error("the vector index failed: {0}; `lore reindex` rebuilds it")]
    Vector(String),
    /// The vector server does not answer.
    #[error(
        "the vector server at {url} cannot be reached ({reason}); start it, or set `index.vectors.server.url` to where it is"
    )]
    Unreachable {
        /// Its address.
        url: String,
        /// What the last try met.
        reason: String,
    },
    /// The embedder failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The jobs' queue is full.
    #[error("{waiting} jobs are waiting, which is the limit; try again later")]
    QueueFull {
        /// How many.
        waiting: usize,
    },
    /// No more feedback is taken.
    #[error("{most} pieces of feedback are stored, which is the limit; raise limits.feedback_entries")]
    FeedbackFull {
        /// The limit.
        most: usize,
    },
    /// A conversation takes no more turns.
    #[error(
        "the conversation has {most} turns, which is the limit (limits.conversation_turns); begin a new one"
    )]
    ConversationFull {
        /// The limit.
        most: usize,
    },
    /// No release is called that.
    #[error("there is no release {wanted}; `lore releases list` shows them")]
    UnknownRelease {
        /// What was asked for.
        wanted: String,
    },
    /// Several releases are called that.
    #[error("{wanted} names {}; write more of the id", releases.join(", "))]
    AmbiguousRelease {
        /// What was asked for.
        wanted: String,
        /// Some of them.
        releases: Vec<String>,
    },
    /// A release may not go live.
    #[error(
        "{release} {why}; `lore releases evaluate` proves a release, and --force --reason TEXT makes it live all the same"
    )]
    Unproven {
        /// Which release.
        release: String,
        /// Why not.
        why: String,
    },
    /// The folder of a release was removed.
    #[error("the folder of {release} was removed; `lore releases add` takes the model in again")]
    ReleaseRemoved {
        /// Which release.
        release: String,
    },
    /// No release is live.
    #[error("no release is live; `lore releases list` shows what could be promoted")]
    NothingLive,
    /// Another release is live.
    #[error("{release} is not live; `lore releases list` shows what is")]
    NotLive {
        /// Which release.
        release: String,
    },
    /// Stored data is not what it should be.
    #[error("stored data is damaged: {0}; `lore check` shows what else is")]
    Damaged(String),
    /// An argument makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// A task was cancelled.
    #[error("the work was cancelled")]
    Cancelled,
}

/// Result of this crate.
pub type Result<T, E = IndexError> = std::result::Result<T, E>;

impl IndexError {
    /// The error of an operation on the file or folder `path`; a full disk or quota becomes [`IndexError::DiskFull`].
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path: path.to_owned() }
            }
            _ => Self::Io { path: path.to_owned(), source },
        }
    }
}
