//! What can go wrong while a model is read or run.

use std::path::{Path, PathBuf};

/// Why a model could not be loaded or gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file that the model needs is not there.
    #[error("{} has no {wanted}; fetch the model again, or name a folder that holds one", folder.display())]
    Missing {
        /// The model's folder.
        folder: PathBuf,
        /// The files of which one was needed.
        wanted: &'static str,
    },
    /// A file is not what its name says.
    #[error("{} is not valid: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A tensor is absent or has another shape or type than the configuration says.
    #[error("tensor {name} of {}: {message}", path.display())]
    Tensor {
        /// The file, or the model's folder where it has several.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// The model is of a kind that is not implemented.
    #[error("{} asks for {what}, which is not supported; choose another model", path.display())]
    Unsupported {
        /// The file that asks.
        path: PathBuf,
        /// What it asks for.
        what: String,
    },
    /// A text or token list that the model cannot take.
    #[error("the model cannot take this: {message}")]
    Input {
        /// What is wrong.
        message: String,
    },
    /// A chat that cannot become a prompt: there is no chat template, or it refuses.
    #[error("{message}")]
    Template {
        /// What is wrong, for whoever asked.
        message: String,
    },
    /// A result was NaN or infinite.
    #[error("the model's result for text {index} is not finite; its weights are damaged or overflow f32")]
    NotFinite {
        /// Position of the text in the call.
        index: usize,
    },
    /// An operation on tensors failed.
    #[error("an operation on tensors failed: {0}")]
    Operation(#[from] candle_core::Error),
    /// The threads could not be started.
    #[error("cannot start {threads} threads: {message}")]
    Threads {
        /// How many.
        threads: usize,
        /// The cause.
        message: String,
    },
}

impl ModelsError {
    /// For `map_err` of what reads `path`.
    pub(crate) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<'_> {
        |source| Self::Read { path: path.to_owned(), source }
    }

    /// For `map_err` of what writes `path`.
    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<'_> {
        |source| Self::Write { path: path.to_owned(), source }
    }

    pub(crate) fn invalid(path: &Path, message: impl ToString) -> Self {
        Self::Invalid { path: path.to_owned(), message: message.to_string() }
    }

    pub(crate) fn unsupported(path: &Path, what: impl Into<String>) -> Self {
        Self::Unsupported { path: path.to_owned(), what: what.into() }
    }

    pub(crate) fn tensor(path: &Path, name: &str, message: impl Into<String>) -> Self {
        Self::Tensor { path: path.to_owned(), name: name.to_owned(), message: message.into() }
    }
}

/// Reads and parses a JSON file.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ModelsError> {
    let bytes = std::fs::read(path).map_err(|source| ModelsError::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes).map_err(|error| ModelsError::invalid(path, error))
}
