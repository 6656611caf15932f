//! A training's configuration: a YAML file with LLaMA-Factory's key names, checked and resolved.
//!
//! [`load`] reads the keys one by one (`keys`), each with what it may be; a key that nobody asks for is one of
//! LLaMA-Factory's that changes nothing here, or is not supported (`other`), or an error with the nearest known name. Then
//! the rooms `model`, `datasets`, `optim` and `run` say what the keys mean together. Paths are seen from the folder that
//! the command runs in, as LLaMA-Factory has it.

mod datasets;
mod keys;
mod model;
mod optim;
mod other;
mod run;
mod value;

use std::path::{Path, PathBuf};

use lore_models::training::{Method, Precision, Quantization};
use serde::Serialize;

use crate::data::{BatchSize, DataSettings};
use crate::error::TrainError;
use crate::invent::InventConfig;
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
    /// Data sets of questions, which become examples first.
    pub rag: Option<RagSettings>,
    /// Exercises, which are made first and come before all other examples.
    pub invent: Option<InventSettings>,
    /// How conversations become text.
    pub template: TemplateSettings,
    /// How parameters change.
    pub optim: OptimSettings,
    /// Where it is computed.
    pub device: DeviceKind,
    /// Where and how often things are written.
    pub run: RunSettings,
    /// What all random choices start from.
    pub seed: u64,
}

/// A configuration, and what is to be told of its file.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: TrainConfig,
    /// Keys that have no effect, and why; a sentence each.
    pub notes: Vec<String>,
}

/// Reads the configuration in `path`, with `overrides` (`key=value`) laid over it.
///
/// # Errors
/// When the file cannot be read; when a key is unknown or not supported, its value is not what it may be, or it
/// contradicts another; when a data set is nowhere. The message names the line, the key, and what to write.
pub fn load(path: &Path, overrides: &[String]) -> Result<Loaded, TrainError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| TrainError::Read { path: path.to_owned(), source })?;
    parse(&text, path, overrides)
}

/// As [`load`], of the text of file `path`.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str, path: &Path, overrides: &[String]) -> Result<Loaded, TrainError> {
    let mut keys = keys::Keys::parse(text, path, overrides)?;
    let model = model::Raw::read(&mut keys)?;
    let data = datasets::Raw::read(&mut keys)?;
    let optim = optim::Raw::read(&mut keys)?;
    let run = run::Raw::read(&mut keys)?;
    keys.finish()?;
    let model = model.resolve(&mut keys)?;
    let seed = run.seed();
    let datasets::Resolved { data, rag, invent, template } = data.resolve(model.stage, seed, &mut keys)?;
    let optim = optim.resolve(model.loraplus_ratio, &mut keys)?;
    let run = run.resolve(!data.eval.is_empty() || data.val_size > 0.0, &mut keys)?;
    if matches!(data.batch, BatchSize::Auto { memory_limit: Some(_) }) && model.device != DeviceKind::Cpu {
        let message = "memory_limit counts the process' memory, and is for device: cpu; leave it out, so that batches \
                       fill the device, or set batch_tokens to a number";
        return Err(keys.error("memory_limit", message));
    }
    let config = TrainConfig {
        stage: model.stage,
        model: model.model,
        method: model.method,
        precision: model.precision,
        quantization: model.quantization,
        quantization_cache: model.quantization_cache,
        gradient_checkpointing: model.gradient_checkpointing,
        data,
        rag,
        invent,
        template,
        optim,
        device: model.device,
        run,
        seed,
    };
    Ok(Loaded { config, notes: keys.notes })
}

/// Where a training is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// On the CPU, with our own kernels.
    #[default]
    Cpu,
    /// On a CUDA device, counted from 0.
    Cuda(usize),
}

impl DeviceKind {
    /// `cpu`, `cuda`, or `cuda:N`.
    fn parse(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "cpu" => Some(Self::Cpu),
            "cuda" => Some(Self::Cuda(0)),
            other => other.strip_prefix("cuda:")?.parse().ok().map(Self::Cuda),
        }
    }
}

/// Data sets of questions with known sources (`dataset_format: questions`): the caller makes examples of them in the shape
/// of serving, and puts those files in their place, before [`crate::data::load`] reads any.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RagSettings {
    /// Which of [`DataSettings::train`].
    pub train: Vec<usize>,
    /// Which of [`DataSettings::eval`].
    pub eval: Vec<usize>,
    /// Folder of the documents that the questions are about; `None` for the documents of the data folder.
    pub documents: Option<PathBuf>,
    /// How answers are worded: `quote`, `short`, or `short_then_quote`.
    pub answer: Option<String>,
    /// Share of the questions that are asked a second time without the passages that answer them.
    pub no_answer_share: Option<f64>,
    /// Share of the questions without an answer that are asked.
    pub unanswerable_share: Option<f64>,
    /// Passages of a prompt; `None` as in serving.
    pub passages: Option<usize>,
    /// Examples of a question for a model that points; `None` for one.
    pub variants: Option<usize>,
}

/// Exercises for a model that points at sentences (`invent_from`): the caller makes them of these documents, writes them to
/// a file in the shape of serving, and puts that before the other data sets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InventSettings {
    /// Folders and files of documents.
    pub from: Vec<PathBuf>,
    /// How many and of what sort.
    pub config: InventConfig,
    /// Whether answers say the words that answer behind a tag (`rag_answer: short`).
    pub words: bool,
}

/// How conversations become text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TemplateSettings {
    /// Whether a model without a chat template gets [`crate::data::PLAIN_TEMPLATE`] (`template: default`).
    pub plain: bool,
    /// A chat template in the place of the model's own (`chat_template`).
    pub file: Option<PathBuf>,
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
        /// As in the key `model_name_or_path`: of it only `config.json` and the tokenizer's files are read.
        name: String,
        /// Standard deviation of the weights.
        deviation: f32,
    },
}

impl ModelSettings {
    /// As in the key `model_name_or_path`.
    pub fn name(&self) -> &str {
        match self {
            Self::Files { name, .. } | Self::Random { name, .. } => name,
        }
    }
}
