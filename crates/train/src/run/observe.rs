//! What a run tells those who watch it.

use std::path::Path;

use super::metrics::{EvalMetrics, StepMetrics};
use super::trainer::Outcome;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// Batches of this many tokens are tried for how much memory they take.
    Probing {
        /// Tokens of the batch.
        tokens: usize,
        /// The process' peak in bytes while a step of them was computed, with what the optimiser will add; `None` where
        /// they did not fit or it is unknown.
        peak: Option<u64>,
    },
    /// The first step is about to begin.
    Begun {
        /// Steps in all.
        steps: usize,
        /// Steps that were done before, where the run goes on from a checkpoint.
        done: usize,
        /// Training examples.
        examples: usize,
        /// Held-out examples.
        held_out: usize,
        /// Most tokens of a batch, where those are what limits it.
        batch_tokens: Option<usize>,
        /// Values that are trained.
        trained: usize,
    },
    /// A step is done.
    Step {
        /// Its own figures, whether or not they are logged.
        metrics: &'a StepMetrics,
        /// Whether they went into the log, averaged since the last.
        logged: bool,
        /// Steps in all.
        steps: usize,
        /// Seconds that the other steps will take.
        left: f64,
    },
    /// A step was left out: a gradient overflowed in fp16, and the loss' scale was halved.
    Skipped {
        /// The step.
        step: usize,
        /// The new scale.
        scale: f64,
    },
    /// A part of an evaluation is done.
    Evaluating {
        /// Batches done.
        done: usize,
        /// Batches in all.
        of: usize,
    },
    /// An evaluation is done.
    Evaluated {
        /// Its figures.
        metrics: &'a EvalMetrics,
        /// Whether there was none better before.
        best: bool,
    },
    /// A checkpoint lies on the disk.
    Saved {
        /// Its folder.
        folder: &'a Path,
        /// Its step.
        step: usize,
    },
    /// The run is over.
    Ended(&'a Outcome),
}

/// Who watches a run.
pub trait Observer {
    /// Called on the run's own thread, which waits.
    fn event(&mut self, event: &Event<'_>);
}

impl<F: FnMut(&Event<'_>)> Observer for F {
    fn event(&mut self, event: &Event<'_>) {
        self(event);
    }
}
