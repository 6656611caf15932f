//! Examples: read from files, turned into token ids with labels, and put together into batches.

use std::path::PathBuf;

use serde::Serialize;

/// Which examples, and how they become batches.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataSettings {
    /// What is trained on.
    pub train: Vec<DatasetSpec>,
    /// What is evaluated on; empty where `val_size` takes a part of the former.
    pub eval: Vec<DatasetSpec>,
    /// Part of the training examples that is held out: below 1 a share, from 1 a number.
    pub val_size: f64,
    /// Most tokens of an example.
    pub cutoff_len: usize,
    /// Whether questions are learned too.
    pub train_on_prompt: bool,
    /// Whether only the last answer of a conversation is learned.
    pub mask_history: bool,
    /// Whether short examples are joined into sequences of `cutoff_len`; they never see each other.
    pub packing: bool,
    /// How data sets are mixed.
    pub mix: Mix,
    /// Most examples of each data set.
    pub max_samples: Option<usize>,
    /// What makes a batch.
    pub batch: BatchSize,
    /// What shuffling starts from.
    pub seed: u64,
}

/// A data set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DatasetSpec {
    /// Name for messages.
    pub name: String,
    /// File.
    pub path: PathBuf,
    /// How its lines are read; `None` looks at the first.
    pub format: Option<Format>,
    /// Other names of fields than the format's own, from the field's role.
    pub columns: Vec<(String, String)>,
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
    /// `text`, or lines of plain text.
    Text,
}

/// How data sets are mixed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mix {
    /// All of them, one after the other, then shuffled.
    Concat,
    /// Drawn by probability until the first has ended.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Data set and line, such as `train:17`, or the example's own id.
    pub id: String,
    /// Token ids.
    pub tokens: Vec<u32>,
    /// Whether each token is learned.
    pub labelled: Vec<bool>,
    /// Ids of documents and versions that it was made from, for the lineage.
    pub documents: Vec<String>,
}
