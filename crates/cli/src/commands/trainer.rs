//! `lore trainer`: takes trainings from the catalog's queue, one at a time, beside a server or without one.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use clap::Args;
use lore_index::{Catalog, Training, TrainingEnd, TrainingPhase};
use lore_train::run::{End, Resume, last_checkpoint};
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;

use self::report::{Reporter, Shared};
use crate::commands::releases::evaluate::{Proof, prove};
use crate::commands::train::{self, Ready, release};
use crate::examples::Making;
use crate::settings::Settings;
use crate::trainings::{Roots, config, feedback, folder};
use crate::{open, print, signals};

mod report;

/// How often the queue is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How often an idle trainer says that it is alive, which writes to the catalog.
const SPEAK: Duration = Duration::from_secs(15);
/// How often the end of a training is told to a catalog that cannot be written; hours of work hang on it.
const TELLS: u32 = 10;

/// Do the trainings that were queued on the web page or over HTTP, one at a time
#[derive(Debug, Args)]
pub struct Trainer {
    /// End when the queue is empty
    #[arg(long)]
    once: bool,
    /// End when stdin does, as a server has it that started this
    #[arg(long, hide = true)]
    beside_server: bool,
}

impl Trainer {
    /// Runs the command until it is stopped; a training that runs then writes a checkpoint and waits for the next trainer.
    ///
    /// # Errors
    /// Fails where the catalog does.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let stop = match self.beside_server {
            true => until_stdin_ends(signals::stop_signal()?),
            false => signals::stop_signal()?,
        };
        let catalog = open::catalog(&settings).await?;
        let name = format!("{}-{}-{:04x}", host(), std::process::id(), rand::random::<u16>());
        tracing::info!(trainer = name, data_dir = %settings.data_dir.display(), "waiting for trainings");
        let outcome = self.take(&settings, &catalog, &name, &stop).await;
        let (forgetting, forgotten) = (catalog.clone(), name.clone());
        open::blocking(move || forgetting.forget_trainer(&forgotten)).await?;
        outcome.map(|()| ExitCode::SUCCESS)
    }

    async fn take(
        &self,
        settings: &Settings,
        catalog: &Catalog,
        name: &str,
        stop: &watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let mut heard: Option<Instant> = None;
        while !*stop.borrow() {
            let (asking, claimer) = (catalog.clone(), name.to_owned());
            let speaks = heard.is_none_or(|heard| heard.elapsed() >= SPEAK);
            if speaks {
                heard = Some(Instant::now());
            }
            let next = open::blocking(move || {
                if speaks {
                    asking.hear_trainer(&claimer)?;
                }
                asking.claim_training(&claimer)
            })
            .await;
            match next {
                Ok(Some(training)) => one(settings, catalog, name, training, stop).await?,
                Ok(None) if self.once => return Ok(()),
                Ok(None) => {
                    tokio::select! {
                        () = tokio::time::sleep(LOOK) => {}
                        () = signals::stopped(stop.clone()) => {}
                    }
                }
                Err(error) => {
                    tracing::warn!(
                        error = print::chain(&error),
                        "the queue cannot be read; it is tried again"
                    );
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
        Ok(())
    }
}

/// Does one training, and notes what it came to.
async fn one(
    settings: &Settings,
    catalog: &Catalog,
    name: &str,
    training: Training,
    stop: &watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let id = training.id.clone();
    tracing::info!(training = id, name = training.name, "a training begins");
    let shared = Shared::new(&training.progress);
    let halt = Arc::new(AtomicBool::new(false));
    let reporter = Reporter::start(catalog, &id, name, shared.clone(), halt.clone(), stop.clone());
    let done = job(settings, catalog, &training, name, &shared, &halt).await;
    reporter.end().await;
    let end = match done {
        Ok(end) => end,
        // An error of what was being stopped tells nothing.
        Err(error) if halt.load(Ordering::Relaxed) => {
            tracing::debug!(
                training = id,
                error = print::chain(&error),
                "it ended while it was being stopped"
            );
            TrainingEnd::ToldTo
        }
        Err(error) => {
            tracing::warn!(training = id, error = print::chain(&error), "a training failed");
            TrainingEnd::Failed(print::chain(&error))
        }
    };
    tracing::info!(training = id, ?end, "a training ended");
    if !tell_end(catalog, &id, name, end).await? {
        tracing::warn!("the training was deleted, or another trainer has taken it");
    }
    Ok(())
}

/// Notes in the catalog what a training came to; false where this trainer has it no more.
async fn tell_end(catalog: &Catalog, id: &str, name: &str, end: TrainingEnd) -> anyhow::Result<bool> {
    let mut tried = 0;
    loop {
        let (ending, end) = (catalog.clone(), end.clone());
        let (id, trainer) = (id.to_owned(), name.to_owned());
        let told = open::blocking(move || ending.end_training(&id, &trainer, &end)).await;
        tried += 1;
        match told {
            Err(error) if tried < TELLS => {
                tracing::warn!(error = print::chain(&error), "the end could not be noted; it is tried again");
                tokio::time::sleep(LOOK).await;
            }
            told => return told,
        }
    }
}

/// Runs a training, makes its release and proves it.
async fn job(
    settings: &Settings,
    catalog: &Catalog,
    training: &Training,
    name: &str,
    shared: &Shared,
    halt: &Arc<AtomicBool>,
) -> anyhow::Result<TrainingEnd> {
    let told =
        |done, total| shared.set(|progress| (progress.made, progress.to_make) = (Some(done), Some(total)));
    let making = Making { told: &told, ..Making::ALL };
    // Examples are made one by one, and nothing of them is kept where they are not all there.
    let ready = tokio::select! {
        ready = ready(settings, catalog, training, &making) => Some(ready),
        () = told_to(halt) => None,
    };
    shared.set(|progress| (progress.made, progress.to_make) = (None, None));
    let Some(ready) = ready else { return Ok(TrainingEnd::ToldTo) };
    let ready = ready?;
    shared.set(|progress| progress.notes.clone_from(&ready.notes));
    if halt.load(Ordering::Relaxed) {
        return Ok(TrainingEnd::ToldTo);
    }
    let ended = release::Ended {
        folder: ready.config.run.output_dir.clone(),
        name: Some(training.name.clone()),
        base: ready.path.clone(),
        method: ready.config.method.clone(),
    };
    let held_out = ready.held_out();
    let forget = {
        let (catalog, id, name) = (catalog.clone(), training.id.clone(), name.to_owned());
        move |step| {
            if let Err(error) = catalog.forget_figures(&id, &name, step) {
                tracing::warn!(%error, "figures of steps that are taken again could not be removed");
            }
        }
    };
    let (watching, stop) = (shared.clone(), halt.clone());
    let outcome =
        open::blocking(move || train::train(ready, |values| watching.observer(values, forget), &stop))
            .await?;
    if outcome.end == End::Stopped {
        return Ok(TrainingEnd::ToldTo);
    }
    for line in train::summary(&outcome) {
        shared.set(|progress| progress.notes.push(line.clone()));
    }
    if !training.outcome.release {
        return Ok(TrainingEnd::Succeeded { release: None });
    }
    shared.set(|progress| progress.phase = TrainingPhase::Releasing);
    let release = release::candidate(settings, ended, &outcome)
        .await
        .context("no release was made of what was learned")?;
    let Some(release) = release else { return Ok(TrainingEnd::ToldTo) };
    let succeeded = TrainingEnd::Succeeded { release: Some(release.id.clone()) };
    let base = Path::new(&training.base);
    let dataset = training.outcome.prove_with.as_deref().map(|file| base.join(file)).or(held_out);
    let Some(dataset) = dataset else {
        shared.set(|progress| {
            progress
                .notes
                .push("no questions to prove the release with; `lore releases evaluate` does so".into());
        });
        return Ok(succeeded);
    };
    shared.set(|progress| progress.phase = TrainingPhase::Proving);
    let documents = training.outcome.documents.as_deref().map(|folder| base.join(folder));
    let proof = Proof::new(release.id.clone(), dataset, documents);
    let asked = |done: u64, total: u64| {
        shared.set(|progress| (progress.asked, progress.left) = (Some(done), Some((total - done) as f64)));
    };
    // The release is there, whatever comes of this; `lore releases evaluate` proves it later.
    let said = tokio::select! {
        proven = prove(settings, &proof, &asked) => match proven {
            Ok(proven) => proven.verdict.reasons,
            Err(error) => vec![format!("the release could not be proven: {}", print::chain(&error))],
        },
        () = told_to(halt) => vec!["the release was not proven, since the trainer was told to stop".to_owned()],
    };
    shared.set(|progress| {
        progress.left = None;
        progress.notes.extend(said.iter().cloned());
    });
    Ok(succeeded)
}

/// Ends when the training is told to.
async fn told_to(halt: &AtomicBool) {
    while !halt.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK).await;
    }
}

/// Reads configuration and examples; a run that has checkpoints goes on from the last.
async fn ready(
    settings: &Settings,
    catalog: &Catalog,
    training: &Training,
    making: &Making<'_>,
) -> anyhow::Result<Ready> {
    let base = Path::new(&training.base);
    if std::env::current_dir().ok().as_deref() != Some(base) {
        std::env::set_current_dir(base).with_context(|| {
            format!("its paths are seen from {}, which cannot be entered", base.display())
        })?;
    }
    let run = folder(&settings.data_dir, &training.id);
    let (text, output, data_dir) = (training.config.clone(), run.clone(), settings.data_dir.clone());
    let outcome = training.outcome.clone();
    let (roots, catalog) = (Roots::new(base, &data_dir), catalog.clone());
    let mut loaded = open::blocking(move || {
        feedback::renew_for(&text, &data_dir, &catalog)?;
        for (key, path) in [("prove_with", &outcome.prove_with), ("documents", &outcome.documents)] {
            if let Some(path) = path {
                roots.check(key, Path::new(path)).map_err(anyhow::Error::msg)?;
            }
        }
        config::read(&text, &output, &roots).map_err(|problem| anyhow!("{}", problem.message))
    })
    .await?;
    let begun = last_checkpoint(&run).is_some();
    if begun || loaded.config.run.resume == Resume::No {
        loaded.config.run.resume = Resume::Last;
    }
    // What a try without a checkpoint left there is its own.
    loaded.config.run.overwrite |= !begun;
    train::ready(settings, loaded, begun.then_some(run.as_path()), making).await
}

/// What this machine is called.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String =
        name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || "-.".contains(*c)).collect();
    if name.is_empty() { "trainer".into() } else { name }
}

/// A value that becomes true when `stop` does, or when stdin ends.
fn until_stdin_ends(stop: watch::Receiver<bool>) -> watch::Receiver<bool> {
    let (end, ended) = watch::channel(false);
    tokio::spawn(async move {
        let (mut stdin, mut bytes) = (tokio::io::stdin(), [0; 64]);
        let closed = async { while matches!(stdin.read(&mut bytes).await, Ok(1..)) {} };
        tokio::select! {
            () = closed => {}
            () = signals::stopped(stop) => {}
        }
        end.send_replace(true);
    });
    ended
}
