//! Where a run stands, beside its parameters and moments.

use serde::{Deserialize, Serialize};

use super::metrics::EvalMetrics;
use crate::optim::LossScaler;

/// Everything that the next step depends on, and what was counted so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// Steps done, those that were skipped included.
    pub step: usize,
    /// Steps that the optimiser took: the place in the schedule.
    pub taken: usize,
    /// The next batch's epoch, from 0.
    pub epoch: usize,
    /// The next batch's place in its epoch.
    pub batch: usize,
    /// Batches computed, for the dropout.
    pub calls: u64,
    /// The loss' scale.
    pub scaler: LossScaler,
    /// Most tokens of a batch, where they were found by trying.
    pub batch_tokens: Option<usize>,
    /// Tokens seen.
    pub tokens: u64,
    /// Tokens learned.
    pub labels: u64,
    /// Seconds since the beginning, pauses left out.
    #[serde(with = "crate::exact")]
    pub elapsed: f64,
    /// What was not logged yet.
    pub window: Window,
    /// All of it.
    pub whole: Window,
    /// The step of the last evaluation.
    pub evaluated_at: Option<usize>,
    /// Its figures.
    pub last_eval: Option<EvalMetrics>,
    /// The best evaluation.
    pub best: Option<Best>,
    /// Evaluations since then.
    pub worse: usize,
}

/// The best evaluation of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Its step.
    pub step: usize,
    /// Its loss.
    #[serde(with = "crate::exact")]
    pub loss: f64,
}

/// Sums over some steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Window {
    /// Of the steps' mean losses.
    #[serde(with = "crate::exact")]
    pub loss: f64,
    /// Of steps.
    pub steps: usize,
    /// Of tokens.
    pub tokens: u64,
    /// Of the seconds that steps took.
    #[serde(with = "crate::exact")]
    pub seconds: f64,
}

impl Window {
    pub fn add(&mut self, loss: f64, tokens: u64, seconds: f64) {
        self.loss += loss;
        self.steps += 1;
        self.tokens += tokens;
        self.seconds += seconds;
    }

    /// The mean of the steps' mean losses, as transformers logs it.
    pub fn mean(&self) -> f64 {
        self.loss / self.steps.max(1) as f64
    }

    pub fn tokens_per_s(&self) -> f64 {
        self.tokens as f64 / self.seconds.max(1e-9)
    }
}

impl State {
    pub fn new(scaler: LossScaler) -> Self {
        Self {
            step: 0,
            taken: 0,
            epoch: 0,
            batch: 0,
            calls: 0,
            scaler,
            batch_tokens: None,
            tokens: 0,
            labels: 0,
            elapsed: 0.0,
            window: Window::default(),
            whole: Window::default(),
            evaluated_at: None,
            last_eval: None,
            best: None,
            worse: 0,
        }
    }

    /// Takes note of an evaluation; says whether it is the best.
    pub fn evaluated(&mut self, metrics: EvalMetrics) -> bool {
        let loss = metrics.eval_loss;
        self.evaluated_at = Some(self.step);
        self.last_eval = Some(metrics);
        let better = self.best.is_none_or(|best| loss < best.loss);
        if better {
            self.best = Some(Best { step: self.step, loss });
            self.worse = 0;
        } else {
            self.worse += 1;
        }
        better
    }
}
