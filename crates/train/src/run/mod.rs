//! The loop: steps, metrics, evaluation, checkpoints.
//!
//! [`train`] changes a net's parameters until the last step, an early stop, or a signal. Its folder holds:
//!
//! | file | what |
//! |---|---|
//! | `run.yaml` | settings as resolved, base, data, versions ([`RunRecord`]) |
//! | `metrics.jsonl` | a [`Line`] for each logging step and each evaluation |
//! | `tensorboard/` | the same for TensorBoard |
//! | `loss.svg`, `learning_rate.svg` | curves, at the end |
//! | `checkpoint-N/` | all that step N left behind; a run that goes on from it ends in the same bits |
//! | `adapter/` or `model/` | the trained values |

mod begin;
mod check;
mod checkpoint;
mod curves;
mod events;
mod folder;
mod lineage;
mod lock;
mod memory;
mod metrics;
mod observe;
mod output;
mod plan;
mod probe;
mod retention;
mod state;
mod step;
mod tensors;
mod trainer;

use std::path::PathBuf;

use serde::Serialize;

pub(crate) use begin::in_the_way;
pub use checkpoint::last_checkpoint;
pub use folder::EXAMPLES_FOLDER;
pub use lineage::{Base, DataRecord, RunRecord, base_fingerprint};
pub use metrics::{EvalMetrics, Line, StepMetrics, read_metrics};
pub use observe::{Event, Observer};
pub(crate) use plan::steps_of;
pub use state::Best;
pub use trainer::{End, Inputs, Outcome, train};

/// Steps between two of what no number of steps calls for, not even the last: for [`RunSettings::save_steps`] (a run that
/// is stopped writes a checkpoint all the same, and so does the best where it is wanted) and [`RunSettings::eval_steps`].
pub const NEVER: usize = usize::MAX;

/// Where and how often things are written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunSettings {
    /// The run's folder.
    pub output_dir: PathBuf,
    /// Steps between two lines of metrics.
    pub logging_steps: usize,
    /// Steps between two checkpoints, of which the last step has one, too; `None` for one at each epoch's end.
    pub save_steps: Option<usize>,
    /// Steps between two evaluations, after the last of which there is one, too; `None` for one at each epoch's end.
    pub eval_steps: Option<usize>,
    /// Checkpoints that are kept beside the best.
    pub save_total_limit: Option<usize>,
    /// Whether the best checkpoint's values are what the run ends with.
    pub load_best_at_end: bool,
    /// Evaluations without a better loss after which the run ends.
    pub early_stopping: Option<usize>,
    /// Whether an output folder with other files may be used.
    pub overwrite: bool,
    /// Where to go on from.
    pub resume: Resume,
    /// Whether TensorBoard's event files are written.
    pub tensorboard: bool,
    /// Whether curves are drawn at the end.
    pub plot: bool,
}

impl RunSettings {
    /// A run in `output_dir` that logs every tenth step, writes a checkpoint at each epoch's end and keeps all.
    pub fn new(output_dir: impl Into<PathBuf>) -> Self {
        Self {
            output_dir: output_dir.into(),
            logging_steps: 10,
            save_steps: None,
            eval_steps: None,
            save_total_limit: None,
            load_best_at_end: false,
            early_stopping: None,
            overwrite: false,
            resume: Resume::No,
            tensorboard: true,
            plot: true,
        }
    }
}

/// Where a run goes on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resume {
    /// Nowhere: it begins.
    No,
    /// The last checkpoint of its folder, or the beginning where there is none.
    Last,
    /// This checkpoint.
    From(PathBuf),
}
