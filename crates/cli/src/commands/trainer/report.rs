//! What a trainer says of its training, once a second, and what it hears in turn.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lore_index::{Catalog, TrainerOrder, TrainingFigure, TrainingPhase, TrainingProgress};
use lore_train::run::{Event, Observer};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::{proc, signals};

/// How often it is said how far the training is.
const SAY: Duration = Duration::from_secs(1);
/// Most figures that wait to be said; older ones make room.
const WAITING: usize = 2000;

/// What the training's thread leaves and the reporter takes.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    progress: TrainingProgress,
    figures: Vec<TrainingFigure>,
}

impl Shared {
    /// Where a training stands that goes on, or begins.
    pub fn new(before: &TrainingProgress) -> Self {
        let progress = TrainingProgress {
            step: before.step,
            steps: before.steps,
            checkpoint: before.checkpoint,
            ..TrainingProgress::default()
        };
        Self(Arc::new(Mutex::new(State { progress, figures: Vec::new() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is said.
    pub fn set(&self, change: impl FnOnce(&mut TrainingProgress)) {
        change(&mut self.state().progress);
    }

    /// What is to be said now; figures are taken.
    fn take(&self) -> (TrainingProgress, Vec<TrainingFigure>) {
        let mut state = self.state();
        (state.progress.clone(), std::mem::take(&mut state.figures))
    }

    /// Puts figures back that could not be said.
    fn put_back(&self, mut figures: Vec<TrainingFigure>) {
        let mut state = self.state();
        figures.append(&mut state.figures);
        state.figures = figures;
        state.bound();
    }

    /// Who hears the run of a net with so many values; `forget` hears the step that the run goes on from.
    pub fn observer(self, values: usize, forget: impl FnOnce(u64)) -> impl Observer {
        let mut forget = Some(forget);
        move |event: &Event<'_>| {
            if let Event::Begun { done, .. } = event
                && let Some(forget) = forget.take()
            {
                forget(*done as u64);
            }
            self.hear(event, values);
        }
    }

    fn hear(&self, event: &Event<'_>, values: usize) {
        let mut state = self.state();
        let State { progress, figures } = &mut *state;
        match event {
            Event::Probing { .. } => progress.phase = TrainingPhase::Probing,
            Event::Begun { steps, done, examples, held_out, batch_tokens, trained } => {
                progress.phase = TrainingPhase::Training;
                (progress.step, progress.steps) = (*done as u64, *steps as u64);
                (progress.examples, progress.held_out) = (*examples as u64, *held_out as u64);
                (progress.trained, progress.values) = (*trained as u64, values as u64);
                progress.batch_tokens = batch_tokens.map(|tokens| tokens as u64);
                progress.checkpoint = (*done > 0).then_some(*done as u64);
            }
            Event::Step { metrics, steps, left, .. } => {
                progress.phase = TrainingPhase::Training;
                (progress.step, progress.steps) = (metrics.step as u64, *steps as u64);
                progress.epoch = metrics.epoch;
                progress.left = Some(*left);
                progress.loss = Some(metrics.loss);
                progress.tokens_per_s = Some(metrics.tokens_per_s);
                progress.peak_memory = metrics.peak_memory;
                let mut own = json!(metrics);
                own["memory"] = json!(proc::bytes("/proc/self/status", "VmRSS"));
                figures.push(TrainingFigure { step: metrics.step as u64, eval: false, figures: own });
            }
            Event::Evaluating { .. } => progress.phase = TrainingPhase::Evaluating,
            Event::Evaluated { metrics, best } => {
                progress.eval_loss = Some(metrics.eval_loss);
                if *best {
                    progress.best_loss = Some(metrics.eval_loss);
                }
                figures.push(TrainingFigure {
                    step: metrics.step as u64,
                    eval: true,
                    figures: json!(metrics),
                });
            }
            Event::Saved { step, .. } => progress.checkpoint = Some(*step as u64),
            Event::Skipped { step, .. } => {
                tracing::debug!(step, "a step was left out");
            }
            Event::Ended(_) => progress.left = None,
        }
        state.bound();
    }
}

impl State {
    /// Lets the oldest figures go where the catalog cannot be written for long; the run's own file has them all.
    fn bound(&mut self) {
        let over = self.figures.len().saturating_sub(WAITING);
        self.figures.drain(..over);
    }
}

/// Says how far a training is until it is ended.
pub struct Reporter {
    end: watch::Sender<bool>,
    saying: JoinHandle<()>,
}

impl Reporter {
    /// Starts: sets `halt` where the catalog says so, or `stop` does.
    pub fn start(
        catalog: &Catalog,
        id: &str,
        trainer: &str,
        shared: Shared,
        halt: Arc<AtomicBool>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let (end, ended) = watch::channel(false);
        let own = Own { catalog: catalog.clone(), id: id.to_owned(), trainer: trainer.to_owned() };
        let saying = tokio::spawn(async move {
            loop {
                let (progress, figures) = shared.take();
                match own.say(progress, figures.clone()).await {
                    Some(TrainerOrder::End | TrainerOrder::Lost) => halt.store(true, Ordering::Relaxed),
                    Some(TrainerOrder::GoOn) => {}
                    None => shared.put_back(figures),
                }
                if *ended.borrow() {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(SAY) => {}
                    () = signals::stopped(ended.clone()) => {}
                    () = signals::stopped(stop.clone()), if !*stop.borrow() => {}
                }
                if *stop.borrow() {
                    halt.store(true, Ordering::Relaxed);
                }
            }
        });
        Self { end, saying }
    }

    /// Says the last of it.
    pub async fn end(self) {
        self.end.send_replace(true);
        if let Err(error) = self.saying.await {
            tracing::warn!(%error, "the last figures of a training were not stored");
        }
    }
}

/// A training and its trainer.
struct Own {
    catalog: Catalog,
    id: String,
    trainer: String,
}

impl Own {
    async fn say(&self, progress: TrainingProgress, figures: Vec<TrainingFigure>) -> Option<TrainerOrder> {
        let (catalog, id, trainer) = (self.catalog.clone(), self.id.clone(), self.trainer.clone());
        let begun = Instant::now();
        let said =
            crate::open::blocking(move || catalog.report_training(&id, &trainer, &progress, &figures)).await;
        match said {
            Ok(order) => Some(order),
            Err(error) => {
                let seconds = begun.elapsed().as_secs_f64();
                tracing::warn!(error = crate::print::chain(&error), seconds, "a report could not be stored");
                None
            }
        }
    }
}
