//! `lore train`: a configuration becomes a run.

mod invented;
mod questions;
pub mod release;
mod watch;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use clap::Args;
use lore_index::Release;
use lore_models::GeneratorText;
use lore_models::text::TextOptions;
use lore_train::config::{self, TrainConfig};
use lore_train::data::{self, Example, Loaded};
use lore_train::plan::{Plan, context_note, plan};
use lore_train::run::{self, Base, End, Event, Inputs, Observer, Outcome, Resume};
use serde::Serialize;
use serde_json::json;

use self::questions::Made;
use self::watch::Watch;
pub use self::watch::summary;
use crate::examples::{HELD_OUT, Making};
use crate::settings::Settings;
use crate::{open, print, proc, progress, signals};

/// Exit code of a run that was told to stop, as a shell has it for SIGINT.
const STOPPED: u8 = 130;

/// Teach a language model by examples
#[derive(Debug, Args)]
pub struct Train {
    /// What is trained on what, such as configs/train/lora-sft.yaml
    #[arg(value_name = "CONFIG.yaml")]
    file: PathBuf,
    /// Keys laid over the file's, such as learning_rate=1e-4; key=null takes one away
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Only print what would be trained, how many steps and how much memory that takes
    #[arg(long, conflicts_with = "inspect")]
    dry_run: bool,
    /// Only print the first N examples as the model sees them; what is not learned is grey. Of questions, only some are made
    /// into examples for it
    #[arg(long, value_name = "N")]
    inspect: Option<usize>,
    /// Go on from the last checkpoint in the run's folder, if there is one
    #[arg(long)]
    resume: bool,
    /// Make a release of what was learned at the end, which then waits to be proven
    #[arg(long, conflicts_with_all = ["dry_run", "inspect"])]
    release: bool,
    /// Let other processes go first
    #[arg(long, hide = true)]
    pub gently: bool,
}

/// What a training starts with.
pub struct Ready {
    /// What was configured.
    pub config: TrainConfig,
    /// The base's files.
    pub path: PathBuf,
    text: Arc<GeneratorText>,
    /// Its examples.
    pub loaded: Loaded,
    /// Examples that were made of questions.
    made: Option<Made>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Ready {
    /// The questions that lie beside those that are learned, to test with.
    pub fn held_out(&self) -> Option<PathBuf> {
        let learned = self.config.rag.as_ref()?.train.first()?;
        let beside = self.config.data.train.get(*learned)?.path.with_file_name(HELD_OUT);
        beside.is_file().then_some(beside)
    }
}

/// What a run came to.
#[derive(Serialize)]
struct Done<'a> {
    #[serde(flatten)]
    outcome: &'a Outcome,
    /// The candidate that it became.
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<&'a Release>,
}

impl Train {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where the configuration, the model or the examples cannot be used, and where the run fails; what was saved
    /// before stays.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let ready = self.ready(&settings).await?;
        if let Some(count) = self.inspect {
            inspect(&settings, &ready, count)?;
            return Ok(ExitCode::SUCCESS);
        }
        let plan = {
            let shape = lore_train::model_shape(&ready.path)?;
            ready.config.method.check_names(&shape)?;
            if let Some(note) = context_note(&ready.config, &shape) {
                progress::say(&format!("note: {note}"));
            }
            plan(&ready.config, &shape, &ready.loaded, free_memory())
        };
        if self.dry_run {
            if settings.json {
                print::json(&plan)?;
            } else {
                print::line(&plan.to_string())?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        warn_of_memory(&plan);
        if self.release {
            // What it will go into is there, rather than known to be absent after hours.
            open::catalog(&settings).await?;
        }
        let ended = release::Ended {
            folder: ready.config.run.output_dir.clone(),
            name: None,
            base: ready.path.clone(),
            method: ready.config.method.clone(),
        };
        let held_out = ready.held_out();
        let stop = stop_flag()?;
        let outcome = open::blocking(move || train(ready, Watch::new, &stop)).await?;
        if !settings.json {
            for line in watch::summary(&outcome) {
                print::line(&line)?;
            }
        }
        let release = match self.release {
            true => release::candidate(&settings, ended, &outcome).await.context(
                "no release was made of what was learned; `lore merge` and `lore releases add` go on from there",
            )?,
            false => None,
        };
        match &release {
            _ if settings.json => print::json(&Done { outcome: &outcome, release: release.as_ref() })?,
            Some(release) => print::line(&release::told(release, held_out.as_deref()))?,
            None => {}
        }
        Ok(if outcome.end == End::Stopped { ExitCode::from(STOPPED) } else { ExitCode::SUCCESS })
    }

    /// Reads configuration, tokenizer and examples.
    async fn ready(&self, settings: &Settings) -> anyhow::Result<Ready> {
        let (file, overrides) = (self.file.clone(), self.overrides.clone());
        let mut loaded = open::blocking(move || config::load(&file, &overrides)).await?;
        // A checkpoint that the configuration names stays.
        if self.resume && loaded.config.run.resume == Resume::No {
            loaded.config.run.resume = Resume::Last;
        }
        // Each question gives at least one example, where it gives any.
        let most = self.inspect.map(|count| count.saturating_mul(2).saturating_add(8));
        let ready = ready(settings, loaded, None, &Making { most, ..Making::ALL }).await?;
        for note in &ready.notes {
            progress::say(&format!("note: {note}"));
        }
        Ok(ready)
    }
}

/// Reads tokenizer and examples of a configuration; `kept` is the folder of a run that goes on, whose examples are taken.
///
/// # Errors
/// Fails where the base or the examples cannot be had.
pub async fn ready(
    settings: &Settings,
    loaded: config::Loaded,
    kept: Option<&Path>,
    making: &Making<'_>,
) -> anyhow::Result<Ready> {
    let config::Loaded { mut config, mut notes } = loaded;
    notes.extend(config.take_adapter()?);
    if making.most.is_some() {
        // Of a part nothing is held out: it may be smaller than what is.
        config.data.val_size = 0.0;
        config.data.eval.clear();
        if let Some(rag) = &mut config.rag {
            rag.eval.clear();
        }
    }
    let path = open::training_base(settings, config.model.name()).await?;
    let text = Arc::new(text(&config, &path).await?);
    let (data, made) = questions::made(settings, &config, &text, config.model.name(), kept, making).await?;
    let (stage, reader) = (config.stage, text.clone());
    let loaded = open::blocking(move || data::load(&data, stage, &reader)).await?;
    notes.extend(told(&loaded));
    Ok(Ready { config, path, text, loaded, made, notes })
}

/// The base's tokenizer and chat template.
async fn text(config: &TrainConfig, path: &Path) -> anyhow::Result<GeneratorText> {
    let template = config.template.clone();
    let options = TextOptions {
        chat_template: template.file,
        fallback_template: template.plain.then(|| data::PLAIN_TEMPLATE.to_owned()),
    };
    let (path, name) = (path.to_owned(), config.model.name().to_owned());
    open::blocking(move || {
        GeneratorText::open(&path, &options).with_context(|| format!("cannot use the tokenizer of {name}"))
    })
    .await
}

/// What is odd about the examples; how many there are is told with the plan.
fn told(loaded: &Loaded) -> Vec<String> {
    let (report, mut notes) = (&loaded.report, Vec::new());
    if report.truncated > 0 {
        notes.push(format!("{} examples were shortened to cutoff_len", report.truncated));
    }
    if report.split > 0 {
        notes.push(format!("{} conversations became several examples", report.split));
    }
    for (what, problems) in
        [("lines that are not valid were skipped", &report.bad), ("lines were left out", &report.dropped)]
    {
        if problems.count > 0 {
            notes.push(format!("{} {what}:\n{problems}", problems.count));
        }
    }
    notes.extend(report.notes.iter().cloned());
    notes
}

/// Bytes that could still be taken.
pub fn free_memory() -> Option<u64> {
    proc::bytes("/proc/meminfo", "MemAvailable")
}

/// Says beforehand where the memory is not enough.
fn warn_of_memory(plan: &Plan) {
    let Some(free) = free_memory().filter(|free| *free < plan.memory.total()) else { return };
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    progress::say(&format!(
        "warning: this takes about {:.1} GB, and {:.1} GB are free; smaller batches, gradient_checkpointing: true or \
         quantization_bit: 4 take less (`--dry-run` tells what takes how much)",
        gigabytes(plan.memory.total()),
        gigabytes(free)
    ));
}

/// A flag that becomes true at the first SIGINT or SIGTERM.
fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let (stop, set) = (signals::stop_signal()?, flag.clone());
    tokio::spawn(async move {
        signals::stopped(stop).await;
        progress::say("stopping with a checkpoint; another signal stops at once");
        set.store(true, Ordering::Relaxed);
    });
    Ok(flag)
}

/// Opens the net and trains it; blocks. `watch` is given the net's number of values.
///
/// # Errors
/// Fails where the net cannot be opened, and where the run fails.
pub fn train<W: Observer>(
    ready: Ready,
    watch: impl FnOnce(usize) -> W,
    stop: &AtomicBool,
) -> anyhow::Result<Outcome> {
    let Ready { config, path, loaded, made, .. } = ready;
    progress::say(&format!("loading {}", config.model.name()));
    let net = config.open_net(&path).with_context(|| format!("cannot train {}", config.model.name()))?;
    let base = Base {
        name: config.model.name().to_owned(),
        fingerprint: run::base_fingerprint(&path)?,
        path: Some(path),
    };
    let questions = made.as_ref().map(|made| made.learned.clone()).unwrap_or_default();
    let inputs = Inputs { train: &loaded.train, held_out: &loaded.eval, base, questions };
    let mut watch = watch(net.values());
    let mut observer = |event: &Event<'_>| {
        // Not before, since a run begins in an empty folder.
        if let (Event::Begun { .. }, Some(made)) = (event, &made)
            && let Err(error) = made.keep(&config.run.output_dir)
        {
            progress::say(&format!("warning: {}", print::chain(&error)));
        }
        watch.event(event);
    };
    Ok(run::train(&net, &inputs, &config, &mut observer, stop)?)
}

/// Prints the first examples in the order in which they would be seen.
fn inspect(settings: &Settings, ready: &Ready, count: usize) -> anyhow::Result<()> {
    let Ready { config, text, loaded, .. } = ready;
    let batching = data::Batching::new(&config.data, config.data.cutoff_len);
    let batches = data::batches(&loaded.train, batching, data::Order::new(&config.data), 0);
    let first = batches.iter().flatten().filter_map(|index| loaded.train.get(*index)).take(count);
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    for example in first {
        if settings.json {
            let Example { id, tokens, labelled, documents } = example;
            let (shown, spans) = (text.decode(tokens), data::spans(example, text));
            print::json(&json!({
                "id": id, "documents": documents, "tokens": tokens, "learned": labelled, "text": shown,
                "spans": spans,
            }))?;
        } else {
            print::line(&data::show(example, text, colour))?;
        }
    }
    Ok(())
}
