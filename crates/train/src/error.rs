//! What can go wrong.

use std::path::PathBuf;

/// Why a training did not begin or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A configuration that cannot be used.
    #[error("{path}: {message}", path = path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Which key, why, and what to write instead.
        message: String,
    },
    /// A key that cannot be used.
    #[error("{place}: {message}")]
    Key {
        /// File and line, or the command line.
        place: String,
        /// The key, where the text could be read that far.
        key: Option<String>,
        /// The line of the file, from 1.
        line: Option<u64>,
        /// Which key, why, and what to write instead.
        message: String,
    },
    /// A data file that cannot be used.
    #[error("{path}{at}: {message}", path = path.display(), at = line.map_or_else(String::new, |line| format!(":{line}")))]
    Data {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: Option<usize>,
        /// What is wrong with it.
        message: String,
    },
    /// A setting that cannot be, or not with these data or this model.
    #[error("{key}: {message}")]
    Settings {
        /// The key.
        key: &'static str,
        /// Why, and what to write instead.
        message: String,
    },
    /// Lines of data files that are not valid.
    #[error("{count} lines of the data cannot be used:\n{0}\nmend them, or leave them out with skip_bad_lines: true", count = .0.count)]
    BadLines(Box<crate::data::Problems>),
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that cannot be written.
    #[error("cannot write {path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A disk without room, or a limit on the size of files.
    #[error("the disk is full: {path} needs {needed} bytes ({source}); make room and go on with resume_from_checkpoint; earlier checkpoints are intact", path = path.display())]
    DiskFull {
        /// What was being written.
        path: PathBuf,
        /// Bytes that it has in all.
        needed: u64,
        /// What the system said.
        source: std::io::Error,
    },
    /// A checkpoint that cannot be gone on from.
    #[error("cannot go on from {path}: {message}", path = path.display())]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// A training that cannot run as it is set up.
    #[error("{0}")]
    Setup(String),
    /// A loss or gradient that is no number.
    #[error("{what} is not finite at step {step} (examples {examples}); the last good checkpoint is {checkpoint}", examples = some(examples), checkpoint = checkpoint.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string()))]
    NotFinite {
        /// The loss or the gradient.
        what: &'static str,
        /// Optimiser step, from 1.
        step: usize,
        /// Ids of the batch's examples.
        examples: Vec<String>,
        /// Where to go on from.
        checkpoint: Option<PathBuf>,
    },
    /// From the model.
    #[error(transparent)]
    Model(#[from] lore_models::ModelsError),
    /// From a tensor operation.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// So many ids of a batch are printed.
const PRINTED: usize = 20;

fn some(ids: &[String]) -> String {
    let printed = ids.iter().take(PRINTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match ids.len().checked_sub(PRINTED) {
        Some(more) if more > 0 => format!("{printed} and {more} more"),
        _ => printed,
    }
}
