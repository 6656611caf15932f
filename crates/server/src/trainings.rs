//! What the server knows of trainings beside the catalog's queue: it is given as functions, since what reads configurations and
//! models stands behind it.

use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::ApiError;

/// The outcome of one of the functions.
pub type Asked<T> = Pin<Box<dyn Future<Output = Result<T, DeskError>> + Send>>;

/// A function of [`TrainingDesk`].
pub type Ask<Q, T> = Arc<dyn Fn(Q) -> Asked<T> + Send + Sync>;

/// Reads configurations, examples and what can be chosen.
#[derive(Clone)]
pub struct TrainingDesk {
    /// Reads a configuration; and its examples too, where that is asked for.
    pub check: Ask<CheckRequest, TrainingCheck>,
    /// The first examples as the model sees them.
    pub preview: Ask<PreviewRequest, TrainingPreview>,
    /// What can be chosen.
    pub choices: Ask<(), TrainingChoices>,
    /// What a release, named by its whole id, learned from; `None` where no record tells it.
    pub learned: Ask<String, Option<ReleaseLearned>>,
    /// Removes what a training, named by its id, left on the disk.
    pub remove: Ask<String, ()>,
    /// The folder that paths in configurations are seen from.
    pub base: String,
}

/// Why something cannot be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeskError {
    /// What was asked for makes no sense; for the one who asks.
    Refused(String),
    /// Others are being answered.
    Busy,
    /// Something failed; for the log.
    Failed(String),
}

impl From<DeskError> for ApiError {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Refused(message) => Self::invalid("bad_config", message),
            DeskError::Busy => {
                Self::too_many(5, "examples of another training are being read; try again when that is done")
            }
            DeskError::Failed(cause) => Self::internal(cause),
        }
    }
}

/// A configuration to be checked.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// YAML text, or an object of its keys.
    #[schema(value_type = Object)]
    pub config: serde_json::Value,
    /// Whether the examples are read too, which takes a while and gives exact steps and memory.
    #[serde(default)]
    pub whole: bool,
}

/// A configuration whose examples are to be shown.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewRequest {
    /// YAML text, or an object of its keys.
    #[schema(value_type = Object)]
    pub config: serde_json::Value,
    /// Examples, 1 to 20; 3 where it is left out.
    #[serde(default)]
    pub count: Option<usize>,
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigProblem {
    /// The key, where it is one.
    pub key: Option<String>,
    /// Its line, from 1.
    pub line: Option<u64>,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// What a configuration means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TrainingCheck {
    /// Whether it could start.
    pub ok: bool,
    /// What is wrong.
    pub problems: Vec<ConfigProblem>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// Every setting as it was resolved.
    #[schema(value_type = Option<Object>)]
    pub settings: Option<serde_json::Value>,
    /// Base, method, and the most memory that it takes; null where the base is not here.
    #[schema(value_type = Option<Object>)]
    pub outline: Option<serde_json::Value>,
    /// Examples, steps and memory, where the examples were read.
    #[schema(value_type = Option<Object>)]
    pub plan: Option<serde_json::Value>,
    /// Bytes that are free.
    pub free_memory: Option<u64>,
}

/// A stretch of an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreviewSpan {
    /// Its text, special tokens by name.
    pub text: String,
    /// Whether the model learns to write it.
    pub learned: bool,
    /// Its tokens.
    pub tokens: usize,
}

/// An example as the model sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreviewExample {
    /// Data set and line, or its own id.
    pub id: String,
    /// Documents and versions that it was made from.
    pub documents: Vec<String>,
    /// Its text.
    pub spans: Vec<PreviewSpan>,
}

/// The first examples of a training.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrainingPreview {
    /// The examples, in the order in which they would be seen.
    pub examples: Vec<PreviewExample>,
    /// What was said while they were read.
    pub notes: Vec<String>,
}

/// A model that can be taught.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BaseChoice {
    /// What `model_name_or_path` is set to.
    pub value: String,
    /// `built_in`, `configured`, `release` or `folder`.
    pub kind: String,
    /// What a person calls it.
    pub label: String,
}

/// A data set that can be learned from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatasetChoice {
    /// What `dataset` is set to.
    pub value: String,
    /// `questions`, `messages`, `alpaca`, `sharegpt` or `text`.
    pub format: String,
    /// Its lines.
    pub rows: u64,
    /// `file`, or `feedback` where it is made of what people said.
    pub kind: String,
    /// The folder of the documents that its questions are about, where they lie beside it.
    pub documents: Option<String>,
    /// Whether it is what models are tested with, which is never learned.
    pub held_out: bool,
}

/// A setting that can be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ParameterChoice {
    /// Its key.
    pub key: String,
    /// The group that it is shown in.
    pub group: String,
    /// `number`, `whole`, `flag`, `choice`, `text` or `list`.
    pub kind: String,
    /// What holds where it is left out.
    #[schema(value_type = Option<Object>)]
    pub default: Option<serde_json::Value>,
    /// Words of a choice.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub words: Vec<String>,
    /// Least and most of a number that make sense.
    pub bounds: Option<(f64, f64)>,
    /// Methods that it is for; empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub methods: Vec<String>,
}

/// A configuration to begin with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PresetChoice {
    /// Its name.
    pub name: String,
    /// YAML.
    pub config: String,
}

/// What can be chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TrainingChoices {
    /// Models.
    pub bases: Vec<BaseChoice>,
    /// Data sets.
    pub datasets: Vec<DatasetChoice>,
    /// Settings.
    pub parameters: Vec<ParameterChoice>,
    /// Configurations to begin with.
    pub presets: Vec<PresetChoice>,
    /// Folders that paths may lie in.
    pub folders: Vec<String>,
    /// Live documents of this catalog.
    pub documents: u64,
    /// How a trainer is started.
    pub start_with: String,
    /// Whether the server starts one itself.
    pub starts_itself: bool,
}

/// What a release learned from, beside documents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseLearned {
    /// Training examples.
    pub examples: u64,
    /// Held-out examples.
    pub held_out: u64,
    /// Tokens of the training examples.
    pub tokens: u64,
    /// Tokens that were learned.
    pub labels: u64,
    /// Pairs of question and answer that became examples.
    pub pairs: u64,
    /// Those of them that are feedback, as far as it is still stored.
    pub feedback: u64,
    /// Steps.
    pub steps: u64,
    /// Values that were trained.
    pub trained: u64,
}
