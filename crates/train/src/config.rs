//! A training's configuration.

use std::path::PathBuf;

use lore_models::training::{Method, Precision, Quantization};
use serde::Serialize;

use crate::data::DataSettings;
use crate::optim::OptimSettings;
use crate::run::RunSettings;

/// Everything that a training is told, resolved and checked.
#[derive(Clone, Debug, Serialize)]
pub struct TrainConfig {
    /// What kind of training.
    pub stage: Stage,
    /// What it starts from.
    pub model: ModelSettings,
    /// What is trained.
    pub method: Method,
    /// Type of activations and frozen weights.
    pub precision: Precision,
    /// Type of the frozen linears, where it has fewer bits.
    pub quantization: Option<Quantization>,
    /// Folder that keeps quantised bases.
    pub quantization_cache: Option<PathBuf>,
    /// Whether most activations are computed again in the backward pass.
    pub gradient_checkpointing: bool,
    /// The examples.
    pub data: DataSettings,
    /// How parameters change.
    pub optim: OptimSettings,
    /// Where and how often things are written.
    pub run: RunSettings,
    /// What all random choices start from.
    pub seed: u64,
}

/// A kind of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// On plain text, every token.
    Pt,
    /// On instructions and answers.
    Sft,
}

/// The model that a training starts from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelSettings {
    /// A folder, a file, or a name for the configured sources.
    Files {
        /// As in the key `model_name_or_path`.
        name: String,
        /// An adapter to go on from.
        adapter: Option<PathBuf>,
    },
    /// Random weights of a configuration's shape (`init: random`); the tokenizer lies beside the configuration.
    Random {
        /// Folder with `config.json` and the tokenizer's files.
        folder: PathBuf,
        /// Standard deviation of the weights.
        deviation: f32,
    },
}
