//! Examples: read from files, turned into token ids with labels, and put together into batches.
//!
//! - [`resolve`]: names of data sets become files, by LLaMA-Factory's `dataset_info.json`.
//! - [`load`]: files become [`Example`]s: read, checked, rendered by the chat template, shortened, held out, mixed.
//! - [`batches`] and [`assemble`]: examples become batches, the same for the same seed and epoch.
//! - [`show`]: an example as a person reads it.

use std::path::PathBuf;

use serde::Serialize;

mod batches;
mod cut;
mod documents;
mod formats;
mod info;
mod lines;
mod load;
mod mix;
mod read;
mod record;
mod render;
mod report;
mod rng;
mod show;

pub use batches::{Batching, Order, assemble, batches, by_length, ids};
pub use formats::format_of;
pub use info::resolve;
pub use load::{Loaded, load};
pub use report::{LoadReport, Problem, Problems, SetReport, Totals};
pub use show::{Span, show, spans};

/// A chat template for models that have none (`template: default`); whoever serves what was trained under it needs it.
///
/// It goes into `TextOptions::fallback_template`.
pub const PLAIN_TEMPLATE: &str = include_str!("plain.jinja");

/// Which examples, and how they become batches.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataSettings {
    /// What is trained on.
    pub train: Vec<DatasetSpec>,
    /// What is evaluated on, beside what `val_size` takes from the former.
    pub eval: Vec<DatasetSpec>,
    /// Part of the training examples that is held out: below 1 a share, from 1 a number.
    pub val_size: f64,
    /// Most tokens of an example.
    pub cutoff_len: usize,
    /// Whether questions are learned too.
    pub train_on_prompt: bool,
    /// Whether only the last answer of a conversation is learned.
    pub mask_history: bool,
    /// Whether prompts ask the model to think, where its template can; served answers do not (`enable_thinking`).
    pub thinking: bool,
    /// Whether short examples are joined into sequences of `cutoff_len`; they never see each other. In the stage `pt`,
    /// documents are joined and cut into such sequences instead.
    pub packing: bool,
    /// Whether lines that are not valid are left out and reported, where otherwise nothing starts.
    pub skip_bad_lines: bool,
    /// How data sets are mixed.
    pub mix: Mix,
    /// Most examples of each data set: its first.
    pub max_samples: Option<usize>,
    /// What makes a batch.
    pub batch: BatchSize,
    /// Whether examples are seen about in the order of their files, as a curriculum needs it.
    pub ordered: bool,
    /// What shuffling starts from.
    pub seed: u64,
}

impl Default for DataSettings {
    fn default() -> Self {
        Self {
            train: Vec::new(),
            eval: Vec::new(),
            val_size: 0.0,
            cutoff_len: 2048,
            train_on_prompt: false,
            mask_history: false,
            thinking: false,
            packing: false,
            skip_bad_lines: false,
            mix: Mix::Concat,
            max_samples: None,
            batch: BatchSize::Sequences(1),
            ordered: false,
            seed: 42,
        }
    }
}

/// A data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatasetSpec {
    /// Name for messages.
    pub name: String,
    /// File, or folder of files.
    pub path: PathBuf,
    /// How its lines are read; `None` looks at the first.
    pub format: Option<Format>,
    /// Other names than the format's own, by what they name: fields (`prompt`, `messages`), and within conversations
    /// fields (`role_tag`, `content_tag`) and speakers (`user_tag`).
    pub columns: Vec<(String, String)>,
    /// Examples that are drawn by chance, each once before any again; `None` takes all.
    pub samples: Option<usize>,
}

impl DatasetSpec {
    /// A file whose first line says its format.
    pub fn file(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), path: path.into(), format: None, columns: Vec::new(), samples: None }
    }
}

/// How the examples of a file are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `instruction`, `input`, `output`, `system`, `history`.
    Alpaca,
    /// `conversations` of `from` and `value`.
    Sharegpt,
    /// `messages` of `role` and `content`.
    Messages,
    /// `text`, or files of plain text.
    Text,
}

/// How data sets are mixed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mix {
    /// All of them, one after the other, then shuffled.
    Concat,
    /// Drawn by probability until the first has ended; no probabilities for equal ones.
    InterleaveUnder(Vec<f64>),
    /// Drawn by probability until the last has ended; shorter ones begin again.
    InterleaveOver(Vec<f64>),
}

/// What makes a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchSize {
    /// A number of sequences.
    Sequences(usize),
    /// As many sequences of about one length as have this many tokens together.
    Tokens(usize),
    /// The most tokens whose step fits a limit of memory in bytes, found by trying.
    Auto {
        /// Most bytes of the process; `None` takes three quarters of what is free.
        memory_limit: Option<u64>,
    },
}

/// An example as the model sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Example {
    /// Data set and line, such as `train:17`, or the example's own id; with `#2` where it is the second of a line.
    pub id: String,
    /// Token ids.
    pub tokens: Vec<u32>,
    /// Whether each token is learned; the first never is, whatever stands here.
    pub labelled: Vec<bool>,
    /// Ids of documents and versions that it was made from, for the lineage.
    pub documents: Vec<String>,
}

impl Example {
    /// Tokens that are learned.
    pub fn labels(&self) -> usize {
        self.labelled.iter().skip(1).filter(|labelled| **labelled).count()
    }
}
