//! What is known of trainings.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a training stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TrainingState {
    /// It waits for a trainer.
    Queued,
    /// A trainer has it.
    Running,
    /// It waits for a person, with a checkpoint where a step was done.
    Paused,
    /// A trainer has it and writes the last checkpoint.
    Stopping,
    /// It came to its end.
    Succeeded,
    /// It broke off; `error` says why.
    Failed,
    /// A person stopped it.
    Stopped,
}

impl TrainingState {
    const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::Paused,
        Self::Stopping,
        Self::Succeeded,
        Self::Failed,
        Self::Stopped,
    ];

    /// Its name in the catalog and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether a trainer has it.
    pub fn is_held(self) -> bool {
        matches!(self, Self::Running | Self::Stopping)
    }
}

/// What a person wants of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TrainingControl {
    /// It waits, with a checkpoint.
    Pause,
    /// It goes on from its last checkpoint.
    Resume,
    /// It ends, with a checkpoint.
    Stop,
}

/// What a training does at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TrainingPhase {
    /// Model and examples are read.
    #[default]
    Preparing,
    /// The size of batches is being found.
    Probing,
    /// Steps are taken.
    Training,
    /// Held-out examples are computed.
    Evaluating,
    /// A release is made of what was learned.
    Releasing,
    /// The release and what is live answer the same questions.
    Proving,
}

/// How far a training is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct TrainingProgress {
    /// What it does.
    pub phase: TrainingPhase,
    /// Steps done.
    pub step: u64,
    /// Steps in all; 0 where that is not known yet.
    pub steps: u64,
    /// Epochs done.
    pub epoch: f64,
    /// Training examples.
    pub examples: u64,
    /// Held-out examples.
    pub held_out: u64,
    /// Values that are trained.
    pub trained: u64,
    /// Values in all.
    pub values: u64,
    /// Most tokens of a batch, where those are what limits it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_tokens: Option<u64>,
    /// Questions that examples were made of, while they are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made: Option<u64>,
    /// All questions of the data set that examples are made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_make: Option<u64>,
    /// Seconds that the other steps will take, about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<f64>,
    /// Loss of the last step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Loss of the last evaluation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_loss: Option<f64>,
    /// The best evaluation's loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_loss: Option<f64>,
    /// Step of the last checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<u64>,
    /// Tokens in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_s: Option<f64>,
    /// Most bytes that the trainer had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    /// Questions that both have answered, while a release is proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<u64>,
    /// What a person should know of settings, examples and outcome.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What becomes of a training's outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingOutcome {
    /// Whether a release is made of it.
    pub release: bool,
    /// The file of questions that the release is proven with; without, those that lie beside the learned ones, where there are.
    pub prove_with: Option<String>,
    /// The folder of the documents of those questions.
    pub documents: Option<String>,
}

/// A training that is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTraining {
    /// What a person calls it; a release takes the same name.
    pub name: String,
    /// The configuration as it was given: YAML.
    pub config: String,
    /// What becomes of what it learns.
    pub outcome: TrainingOutcome,
    /// The folder that paths in it are seen from.
    pub base: String,
    /// Who wants it.
    pub by: String,
}

/// A training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Training {
    /// Identifier (UUID version 7).
    pub id: String,
    /// What a person calls it.
    pub name: String,
    /// The configuration as it was given: YAML.
    pub config: String,
    /// What becomes of what it learns.
    pub outcome: TrainingOutcome,
    /// Where it stands.
    pub state: TrainingState,
    /// What a person wants of it, until that is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<TrainingControl>,
    /// Who gave it.
    pub by: String,
    /// When it was given.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When a trainer took it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// When its trainer was last heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub heard_at: Option<Timestamp>,
    /// How far it is.
    pub progress: TrainingProgress,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Id of the release that came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The folder that paths in its configuration are seen from.
    #[serde(skip)]
    pub base: String,
}

/// Figures of a step, or of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TrainingFigure {
    /// Steps done.
    pub step: u64,
    /// Whether it is an evaluation's.
    pub eval: bool,
    /// The figures, as in a run's `metrics.jsonl`.
    #[schema(value_type = Object)]
    pub figures: serde_json::Value,
}

/// A trainer that was heard of not long ago.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrainerSeen {
    /// Its name: host and process.
    pub name: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it was last heard.
    #[schema(value_type = String, format = DateTime)]
    pub heard_at: Timestamp,
    /// Whether it is alive, as far as one can hear.
    pub alive: bool,
}

/// What a trainer is to do with the training that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrainerOrder {
    /// Go on.
    GoOn,
    /// End with a checkpoint, since a person wants it to pause or to stop.
    End,
    /// Give it up: it was deleted, or another trainer has it.
    Lost,
}

/// What a training came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrainingEnd {
    /// Its end, with the release that was made.
    Succeeded {
        /// Id of the release.
        release: Option<String>,
    },
    /// An error.
    Failed(String),
    /// It ended with a checkpoint since it was told to: paused or stopped, as a person wanted, or waiting again where the
    /// trainer itself had to end.
    ToldTo,
}
