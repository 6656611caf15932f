//! Figures of a run, a line of JSON each.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::folder::{Disk, append, failed, write_file};
use crate::error::TrainError;

/// Figures of the steps since the last line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// Steps done.
    pub step: usize,
    /// Epochs done.
    pub epoch: f64,
    /// Mean of the steps' losses, each the mean over its labels, in nats.
    pub loss: f64,
    /// Length of the last step's gradient before it was clipped; none where it overflowed.
    pub grad_norm: Option<f64>,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Tokens so far.
    pub tokens: u64,
    /// Labels so far: tokens that were learned.
    pub labels: u64,
    /// Tokens in a second of the steps.
    pub tokens_per_s: f64,
    /// Seconds since the run began, without pauses.
    pub elapsed: f64,
    /// Most bytes that the process ever had.
    pub peak_memory: Option<u64>,
    /// What the loss is multiplied with, in fp16.
    pub loss_scale: Option<f64>,
}

/// Figures of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalMetrics {
    /// Steps done.
    pub step: usize,
    /// Epochs done.
    pub epoch: f64,
    /// Mean over all labels, in nats.
    pub eval_loss: f64,
    /// `exp` of it, and `f64::MAX` where that is more.
    pub eval_perplexity: f64,
    /// Examples.
    pub eval_examples: usize,
    /// Labels.
    pub eval_labels: usize,
    /// Seconds that it took.
    pub eval_seconds: f64,
}

/// A line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// Of steps.
    Step(StepMetrics),
    /// Of an evaluation.
    Eval(EvalMetrics),
}

/// The lines of a `metrics.jsonl`.
///
/// # Errors
/// When it cannot be read, or a line is none of ours.
pub fn read_metrics(path: &Path) -> Result<Vec<Line>, TrainError> {
    let read = |source| TrainError::Read { path: path.into(), source };
    let text = fs::read_to_string(path).map_err(read)?;
    let lines = text.lines().enumerate().map(|(index, line)| {
        serde_json::from_str(line).map_err(|error| TrainError::Data {
            path: path.into(),
            line: Some(index + 1),
            message: error.to_string(),
        })
    });
    lines.collect()
}

/// `metrics.jsonl`, to which lines are added.
pub(super) struct MetricsFile {
    path: PathBuf,
    file: File,
}

impl MetricsFile {
    /// The file with what it is to hold at first: nothing, or the lines up to the checkpoint.
    pub fn begin(disk: &Disk, path: PathBuf, content: &[u8]) -> Result<Self, TrainError> {
        write_file(disk, &path, content)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(|e| failed(&path, 0, e))?;
        Ok(Self { path, file })
    }

    pub fn add(&mut self, disk: &Disk, line: &Line) -> Result<(), TrainError> {
        let text = serde_json::to_string(line).map_err(|e| failed(&self.path, 0, e.into()))?;
        append(disk, &self.path, &mut self.file, format!("{text}\n").as_bytes())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of it, for a checkpoint.
    pub fn content(&self) -> Result<Vec<u8>, TrainError> {
        fs::read(&self.path).map_err(|source| TrainError::Read { path: self.path.clone(), source })
    }
}
