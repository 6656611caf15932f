//! The loop.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use lore_models::training::{Gradients, TrainNet};
use serde::Serialize;

use super::begin::begin;
use super::checkpoint::{Checkpoints, Snapshot, restore_parameters};
use super::events::EventFile;
use super::folder::{Disk, LEARNING_RATE, LOSS, write_file};
use super::lineage::{Base, Identity};
use super::lock::FolderLock;
use super::memory::peak_memory;
use super::metrics::{EvalMetrics, Line, MetricsFile, StepMetrics, read_metrics};
use super::observe::{Event, Observer};
use super::output;
use super::plan::Plan;
use super::state::{Best, State};
use super::{NEVER, curves};
use crate::config::TrainConfig;
use crate::data::Example;
use crate::error::TrainError;
use crate::optim::{AdamW, LearningRate};

/// What a run learns from, and on top of what.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// Training examples.
    pub train: &'a [Example],
    /// Held-out examples; none for a run without evaluations.
    pub held_out: &'a [Example],
    /// The model that the net was opened from.
    pub base: Base,
    /// What tells the questions apart that became training examples; none where none did.
    pub questions: BTreeSet<String>,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// All steps are done.
    Finished,
    /// Evaluations no longer became better.
    Early,
    /// It was told to stop; it can be gone on with.
    Stopped,
}

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Why it ended.
    pub end: End,
    /// Steps done.
    pub steps: usize,
    /// Epochs done.
    pub epochs: f64,
    /// Mean of all steps' losses.
    pub train_loss: f64,
    /// The last evaluation.
    pub eval: Option<EvalMetrics>,
    /// The best evaluation.
    pub best: Option<Best>,
    /// Tokens seen.
    pub tokens: u64,
    /// Tokens in a second of the steps.
    pub tokens_per_s: f64,
    /// Seconds from its beginning, pauses left out.
    pub elapsed: f64,
    /// The last checkpoint.
    pub checkpoint: Option<PathBuf>,
    /// Folder of the trained values; none where the run was told to stop, or where a whole model has no base with files.
    pub output: Option<PathBuf>,
}

/// Trains `net` as `config` says, in the folder `config.run.output_dir`.
///
/// Where `stop` becomes true, the step that is being computed is given up, a checkpoint is written, and the run ends.
/// From a checkpoint, a run goes on as if it had never stopped: its parameters, losses and evaluations are the same to
/// the bit.
///
/// # Errors
/// When the folder is in use, a checkpoint is damaged or belongs to another training, a loss or gradient is not finite, a
/// file cannot be written, or the net cannot compute a batch. Checkpoints that were written before stay whole.
pub fn train(
    net: &TrainNet,
    inputs: &Inputs<'_>,
    config: &TrainConfig,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Outcome, TrainError> {
    train_on(&Disk::default(), net, inputs, config, observer, stop)
}

pub(super) fn train_on(
    disk: &Disk,
    net: &TrainNet,
    inputs: &Inputs<'_>,
    config: &TrainConfig,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Outcome, TrainError> {
    let mut trainer = begin(disk, net, inputs, config, observer, stop)?;
    let end = trainer.steps()?;
    trainer.end(end)
}

/// A run that is under way.
pub(super) struct Trainer<'a> {
    pub disk: &'a Disk,
    pub net: &'a TrainNet,
    pub inputs: &'a Inputs<'a>,
    pub config: &'a TrainConfig,
    pub observer: &'a mut dyn Observer,
    pub stop: &'a AtomicBool,
    pub identity: Identity,
    pub checkpoints: Checkpoints,
    /// The checkpoint that it goes on from.
    pub from: Option<PathBuf>,
    pub optimiser: AdamW,
    pub rate: LearningRate,
    pub gradients: Gradients,
    pub plan: Plan<'a>,
    pub state: State,
    pub metrics: MetricsFile,
    pub events: Option<EventFile>,
    /// Since when `state.elapsed` was not counted on.
    pub since: Instant,
    /// The step of the last checkpoint.
    pub saved_at: Option<usize>,
    /// Keeps other runs out of the folder.
    pub _lock: FolderLock,
}

impl Trainer<'_> {
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// All steps, with what is due after each.
    fn steps(&mut self) -> Result<End, TrainError> {
        // A run that was stopped in an evaluation makes up for it first.
        loop {
            if self.state.step > 0 && !self.evaluate_if_due()? {
                return Ok(End::Stopped);
            }
            self.save_if_due()?;
            let patience = self.config.run.early_stopping;
            if patience.is_some_and(|patience| self.state.worse >= patience) {
                return Ok(End::Early);
            }
            if self.state.step >= self.plan.steps {
                return Ok(End::Finished);
            }
            if self.stopped() || !self.step()? {
                return Ok(End::Stopped);
            }
        }
    }

    /// Whether something that is done every so many steps, or at each epoch's end, and at the end of the run, is due now.
    fn due(&self, every: Option<usize>) -> bool {
        let State { step, batch, .. } = self.state;
        match every {
            Some(NEVER) => false,
            _ if step >= self.plan.steps => true,
            Some(steps) => step.is_multiple_of(steps.max(1)),
            None => batch == 0,
        }
    }

    /// Evaluates where that is due; false where it was told to stop.
    fn evaluate_if_due(&mut self) -> Result<bool, TrainError> {
        let due = !self.inputs.held_out.is_empty() && self.due(self.config.run.eval_steps);
        if !due || self.state.evaluated_at == Some(self.state.step) {
            return Ok(true);
        }
        let Some(metrics) = self.evaluate()? else { return Ok(false) };
        let best = self.state.evaluated(metrics.clone());
        self.log(&Line::Eval(metrics.clone()))?;
        self.observer.event(&Event::Evaluated { metrics: &metrics, best });
        let run = &self.config.run;
        let wanted = run.save_steps != Some(NEVER) || run.load_best_at_end || run.early_stopping.is_some();
        if best && wanted {
            self.save()?;
        }
        Ok(true)
    }

    fn save_if_due(&mut self) -> Result<(), TrainError> {
        if self.state.step > 0 && self.due(self.config.run.save_steps) { self.save() } else { Ok(()) }
    }

    /// Writes a checkpoint of this step, where there is none.
    fn save(&mut self) -> Result<(), TrainError> {
        if self.saved_at == Some(self.state.step) {
            return Ok(());
        }
        self.count_time();
        let snapshot = Snapshot {
            parameters: self.net.parameters(),
            optimiser: &self.optimiser,
            state: &self.state,
            identity: &self.identity,
            metrics: &self.metrics.content()?,
        };
        let folder = self.checkpoints.save(self.disk, &snapshot)?;
        self.saved_at = Some(self.state.step);
        self.observer.event(&Event::Saved { folder: &folder, step: self.state.step });
        Ok(())
    }

    pub fn log(&mut self, line: &Line) -> Result<(), TrainError> {
        self.metrics.add(self.disk, line)?;
        if let Some(events) = &mut self.events {
            events.add(self.disk, line)?;
        }
        Ok(())
    }

    /// Brings `state.elapsed` up to now.
    pub fn count_time(&mut self) -> f64 {
        let now = Instant::now();
        self.state.elapsed += now.duration_since(self.since).as_secs_f64();
        self.since = now;
        self.state.elapsed
    }

    /// Epochs done.
    pub fn epochs(&mut self) -> f64 {
        let State { epoch, batch, .. } = self.state;
        if batch == 0 {
            // At an epoch's end, the next need not be laid out for this.
            return epoch as f64;
        }
        epoch as f64 + batch as f64 / self.plan.epoch(epoch).len().max(1) as f64
    }

    /// Writes what a run ends with.
    fn end(mut self, end: End) -> Result<Outcome, TrainError> {
        let folder = self.config.run.output_dir.clone();
        let wanted = end == End::Stopped || self.config.run.save_steps != Some(NEVER);
        if wanted && self.state.step > 0 {
            self.save()?;
        }
        let output = if end == End::Stopped { None } else { self.save_values(&folder)? };
        if self.config.run.plot {
            self.draw(&folder)?;
        }
        let outcome = Outcome {
            end,
            steps: self.state.step,
            epochs: self.epochs(),
            train_loss: self.state.whole.mean(),
            eval: self.state.last_eval.take(),
            best: self.state.best,
            tokens: self.state.tokens,
            tokens_per_s: self.state.whole.tokens_per_s(),
            elapsed: self.count_time(),
            checkpoint: self.checkpoints.last(),
            output,
        };
        self.observer.event(&Event::Ended(&outcome));
        Ok(outcome)
    }

    fn save_values(&self, folder: &Path) -> Result<Option<PathBuf>, TrainError> {
        let best = self.state.best.filter(|best| best.step != self.state.step);
        let best = best.and_then(|best| self.checkpoints.find(best.step, self.from.as_deref()));
        if let Some(best) = best.filter(|_| self.config.run.load_best_at_end) {
            restore_parameters(&best, self.net.parameters())?;
        }
        output::save(self.net, &self.inputs.base, folder)
    }

    fn draw(&self, folder: &Path) -> Result<(), TrainError> {
        let lines = read_metrics(self.metrics.path())?;
        let name = folder.file_name().map_or_else(|| "run".into(), |name| name.to_string_lossy());
        for (file, curve) in
            [(LOSS, curves::loss(&name, &lines)), (LEARNING_RATE, curves::learning_rate(&name, &lines))]
        {
            write_file(self.disk, &folder.join(file), curve.as_bytes())?;
        }
        Ok(())
    }

    /// Figures of a step.
    pub fn step_metrics(
        &mut self,
        loss: f64,
        norm: f64,
        learning_rate: f64,
        tokens_per_s: f64,
    ) -> StepMetrics {
        StepMetrics {
            step: self.state.step,
            epoch: self.epochs(),
            loss,
            grad_norm: norm.is_finite().then_some(norm),
            learning_rate,
            tokens: self.state.tokens,
            labels: self.state.labels,
            tokens_per_s,
            elapsed: self.count_time(),
            peak_memory: peak_memory(),
            loss_scale: self.state.scaler.is_dynamic().then(|| self.state.scaler.scale()),
        }
    }
}
