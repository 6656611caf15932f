//! The loop: steps, metrics, evaluation, checkpoints.

use std::path::PathBuf;

/// Where and how often things are written.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSettings {
    /// The run's folder.
    pub output_dir: PathBuf,
    /// Steps between two lines of metrics.
    pub logging_steps: usize,
    /// Steps between two checkpoints; `None` for one at each epoch's end.
    pub save_steps: Option<usize>,
    /// Steps between two evaluations; `None` for one at each epoch's end.
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

/// Where a run goes on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Nowhere: it begins.
    No,
    /// The last checkpoint of its folder, or the beginning where there is none.
    Last,
    /// This checkpoint.
    From(PathBuf),
}
