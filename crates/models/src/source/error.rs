//! Why a model could not be had, and what to do about it.

use std::path::{Path, PathBuf};

/// One source's try at a model.
#[derive(Debug)]
pub struct Attempt {
    /// The source, as people read it, such as `hub` or `wheel`.
    pub source: String,
    /// Why it gave nothing.
    pub reason: SourceError,
}

/// Why a model could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The name is not one of a model.
    #[error(
        "`{name}` is no model name: {reason}; write ORGANISATION/NAME, ORGANISATION/NAME@REVISION or a path"
    )]
    Name {
        /// What was given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No place for the cache.
    #[error("no cache folder: neither LORE_CACHE_DIR, XDG_CACHE_HOME nor HOME is set; set LORE_CACHE_DIR")]
    NoCacheDir,
    /// Offline, and the model is not on this machine.
    #[error(
        "{model} is not on this machine (looked in {}) and offline is set; fetch it while a network is there with `lore models pull {model}`",
        paths(looked)
    )]
    Offline {
        /// The model.
        model: String,
        /// Folders that do not hold it.
        looked: Vec<PathBuf>,
    },
    /// Offline, and the model on this machine is not whole.
    #[error(
        "{model} on this machine is damaged ({fault}) and offline is set; fetch it again while a network is there with `lore models pull {model}`"
    )]
    Damaged {
        /// The model.
        model: String,
        /// The first fault.
        fault: String,
    },
    /// Every source was tried.
    #[error("could not get {model}: {}; next step: {next}", attempts(tries))]
    Unavailable {
        /// The model.
        model: String,
        /// The tries, in their order.
        tries: Vec<Attempt>,
        /// What the reader can do.
        next: String,
    },
    /// The bytes are not the ones that were pinned or announced.
    #[error(
        "{file} has SHA-256 {actual}, expected {expected}; the source holds something else or the transfer went wrong"
    )]
    Hash {
        /// Path inside the model folder.
        file: String,
        /// Wanted SHA-256, in hexadecimal.
        expected: String,
        /// SHA-256 of what came.
        actual: String,
    },
    /// The length is not the one that was pinned or announced.
    #[error("{file} has {actual} bytes, expected {expected}")]
    Size {
        /// Path inside the model folder.
        file: String,
        /// Wanted bytes.
        expected: u64,
        /// Bytes that came; when more came than wanted, those until it was stopped.
        actual: u64,
    },
    /// The disk has no room.
    #[error(
        "the disk of {} is full: {free} MB free{}; free some space or set LORE_CACHE_DIR to another disk",
        path.display(),
        needed.map(|mb| format!(", about {mb} MB needed")).unwrap_or_default()
    )]
    DiskFull {
        /// Where it was to be written.
        path: PathBuf,
        /// Needed, in megabytes, where known.
        needed: Option<u64>,
        /// Free, in megabytes.
        free: u64,
    },
    /// A file operation failed.
    #[error("could not {action} {}: {cause}", path.display())]
    Io {
        /// Verb, such as `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's word.
        cause: std::io::Error,
    },
    /// Another process holds the lock for too long.
    #[error(
        "another process has been fetching {model} for {seconds} s; wait for it, or end it and try again"
    )]
    Busy {
        /// The model.
        model: String,
        /// Seconds waited.
        seconds: u64,
    },
    /// No connection, or no answer in time.
    #[error("{host}: {reason}")]
    Unreachable {
        /// Scheme, host and port.
        host: String,
        /// The innermost cause.
        reason: String,
    },
    /// The server's answer is a refusal.
    #[error("{url} answered {status}{}", hint(*status))]
    Status {
        /// What was asked for.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// The transfer broke off and could not be continued; what has come is kept for the next try.
    #[error(
        "{file} broke off after {done} bytes: {reason}; the part is kept, run the same command again to continue"
    )]
    Interrupted {
        /// Path inside the model folder.
        file: String,
        /// Bytes on disk.
        done: u64,
        /// The last cause.
        reason: String,
    },
    /// The repository's list of files could not be read.
    #[error("could not list the files of {model}: {reason}")]
    Listing {
        /// The model.
        model: String,
        /// The cause.
        reason: String,
    },
    /// Files that every model needs are not there.
    #[error("{place} lacks {}", missing.join(", "))]
    Incomplete {
        /// Folder or repository.
        place: String,
        /// What is missing.
        missing: Vec<String>,
    },
    /// The folder named by the configuration is not there or does not hold the model.
    #[error("{} holds no {model}", path.display())]
    NotInDir {
        /// The configured folder.
        path: PathBuf,
        /// The model.
        model: String,
    },
    /// A model was named by its path, and nothing is there.
    #[error("there is no model at {}; correct the path, or write ORGANISATION/NAME for one of the hub's", path.display())]
    NotThere {
        /// The path.
        path: PathBuf,
    },
    /// No wheel is known for the model.
    #[error("no wheel is known for it; name package, version and inner_path in the configuration")]
    NoWheel,
    /// No Python interpreter.
    #[error("no Python found (tried {}); install Python 3 with pip, or name the interpreter", tried.join(", "))]
    NoPython {
        /// Commands tried.
        tried: Vec<String>,
    },
    /// Python without pip.
    #[error("{python} has no pip; install it with `{python} -m ensurepip` or your system's python3-pip")]
    NoPip {
        /// The interpreter.
        python: String,
    },
    /// pip failed.
    #[error("pip could not download {package}: {reason}")]
    Pip {
        /// Package and version.
        package: String,
        /// The last lines of pip's own message.
        reason: String,
    },
    /// pip took too long.
    #[error("pip did not finish downloading {package} within {seconds} s")]
    PipTimeout {
        /// Package and version.
        package: String,
        /// The limit.
        seconds: u64,
    },
    /// What pip brought is not a readable wheel.
    #[error("the wheel {wheel} cannot be used: {reason}")]
    Wheel {
        /// File name.
        wheel: String,
        /// The cause.
        reason: String,
    },
    /// No hashes to compare with.
    #[error(
        "{model} was copied by hand, so no hashes were recorded; remove it and run `lore models pull {model}` to have them"
    )]
    NoRecord {
        /// The model.
        model: String,
    },
    /// A model of that name is not installed.
    #[error("{model} is not installed in {}; `lore models list` shows what is", path.display())]
    NotInstalled {
        /// The model.
        model: String,
        /// The folder of the models.
        path: PathBuf,
    },
}

impl SourceError {
    /// Wraps an IO error of `path`; a full disk gets its own variant.
    pub(super) fn io(action: &'static str, path: &Path, cause: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        if matches!(cause.kind(), StorageFull | QuotaExceeded) {
            return Self::DiskFull { path: path.to_owned(), needed: None, free: super::files::free_mb(path) };
        }
        Self::Io { action, path: path.to_owned(), cause }
    }

    /// Whether trying the next source would fail for the same reason.
    pub(super) fn ends_it(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::Io { .. } | Self::Busy { .. })
    }
}

fn attempts(tries: &[Attempt]) -> String {
    tries.iter().map(|t| format!("{}: {}", t.source, t.reason)).collect::<Vec<_>>().join("; ")
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn hint(status: u16) -> &'static str {
    match status {
        401 => " (no such model, or it needs a token: set HF_TOKEN)",
        403 => " (your token has no access: accept the model's terms on the hub)",
        404 => " (no such model, revision or file)",
        429 => " (too many requests: set HF_TOKEN or try again later)",
        _ => "",
    }
}
