//! One step, and one evaluation.

use std::time::Instant;

use lore_models::training::BatchLoss;

use super::metrics::{EvalMetrics, Line, StepMetrics};
use super::observe::Event;
use super::state::Window;
use super::trainer::Trainer;
use crate::data::{assemble, ids};
use crate::error::TrainError;
use crate::optim::clipping;

impl Trainer<'_> {
    /// Takes a step; false where it was told to stop before the step was done, and nothing changed.
    pub fn step(&mut self) -> Result<bool, TrainError> {
        let begun = Instant::now();
        let _span = tracing::debug_span!("step", step = self.state.step + 1).entered();
        let batches = self.plan.step(self.state.epoch, self.state.batch);
        let examples = self.inputs.train;
        // A step's loss is the mean over all its labels, however they are spread over its batches.
        let assembled: Vec<_> = batches.iter().map(|batch| assemble(examples, batch)).collect();
        let labels = assembled.iter().map(|batch| batch.labels()).sum::<usize>();
        let tokens = assembled.iter().map(|batch| batch.tokens.len() as u64).sum::<u64>();
        let loss_scale = self.state.scaler.scale();
        let scale = loss_scale / labels.max(1) as f64;
        self.gradients.clear();
        let mut loss = BatchLoss::default();
        let mut calls = self.state.calls;
        for (batch, indexes) in assembled.iter().zip(&batches) {
            if self.stopped() {
                return Ok(false);
            }
            let own = self.net.forward_backward(batch, scale, calls, &mut self.gradients)?;
            if !own.sum.is_finite() {
                return Err(self.not_finite("the loss", self.state.step + 1, ids(examples, indexes)));
            }
            calls += 1;
            loss += own;
        }
        let norm = self.gradients.norm()? / loss_scale;
        let Some(skip) = self.state.scaler.update(!norm.is_finite()) else {
            let all = batches.iter().flat_map(|batch| ids(examples, batch)).collect();
            return Err(self.not_finite("the gradient", self.state.step + 1, all));
        };
        let learning_rate = self.rate.at(self.state.taken);
        if !skip {
            // Clipping and taking the scale back are one factor: the scale is a power of two, which rounds nothing.
            let factor = clipping(norm, self.config.optim.max_grad_norm) / loss_scale as f32;
            self.optimiser.step(self.net.parameters(), &self.gradients, learning_rate, factor)?;
            self.state.taken += 1;
        }
        self.gradients.clear();
        self.state.calls = calls;
        self.state.step += 1;
        self.state.tokens += tokens;
        self.state.labels += labels as u64;
        self.state.batch += batches.len();
        if self.state.batch >= self.plan.epoch(self.state.epoch).len() {
            (self.state.epoch, self.state.batch) = (self.state.epoch + 1, 0);
        }
        let seconds = begun.elapsed().as_secs_f64();
        self.state.window.add(loss.mean(), tokens, seconds);
        self.state.whole.add(loss.mean(), tokens, seconds);
        self.report(loss.mean(), norm, learning_rate, tokens as f64 / seconds.max(1e-9), skip)?;
        Ok(true)
    }

    /// Logs the step where that is due, and tells those who watch.
    fn report(
        &mut self,
        loss: f64,
        norm: f64,
        learning_rate: f64,
        tokens_per_s: f64,
        skipped: bool,
    ) -> Result<(), TrainError> {
        let step = self.state.step;
        let steps = self.plan.steps;
        let logged = step.is_multiple_of(self.config.run.logging_steps.max(1)) || step == steps;
        let metrics = self.step_metrics(loss, norm, learning_rate, tokens_per_s);
        if logged {
            let window = std::mem::take(&mut self.state.window);
            let (loss, tokens_per_s) = (window.mean(), window.tokens_per_s());
            self.log(&Line::Step(StepMetrics { loss, tokens_per_s, ..metrics.clone() }))?;
        }
        if skipped {
            self.observer.event(&Event::Skipped { step, scale: self.state.scaler.scale() });
        }
        let Window { seconds, steps: done, .. } = self.state.whole;
        let left = seconds / done.max(1) as f64 * steps.saturating_sub(step) as f64;
        self.observer.event(&Event::Step { metrics: &metrics, logged, steps, left });
        Ok(())
    }

    fn not_finite(&self, what: &'static str, step: usize, examples: Vec<String>) -> TrainError {
        let checkpoint = self.checkpoints.last();
        TrainError::NotFinite { what, step, examples, checkpoint }
    }

    /// The loss on all held-out examples; `None` where it was told to stop.
    pub fn evaluate(&mut self) -> Result<Option<EvalMetrics>, TrainError> {
        let begun = Instant::now();
        let examples = self.inputs.held_out;
        let batches = self.plan.held_out(examples);
        let mut loss = BatchLoss::default();
        for (done, batch) in batches.iter().enumerate() {
            if self.stopped() {
                return Ok(None);
            }
            self.observer.event(&Event::Evaluating { done, of: batches.len() });
            let own = self.net.loss(&assemble(examples, batch))?;
            if !own.sum.is_finite() {
                return Err(self.not_finite("the evaluation's loss", self.state.step, ids(examples, batch)));
            }
            loss += own;
        }
        Ok(Some(EvalMetrics {
            step: self.state.step,
            epoch: self.epochs(),
            eval_loss: loss.mean(),
            // JSON has no infinity.
            eval_perplexity: loss.mean().exp().min(f64::MAX),
            eval_examples: examples.len(),
            eval_labels: loss.labels,
            eval_seconds: begun.elapsed().as_secs_f64(),
        }))
    }
}
