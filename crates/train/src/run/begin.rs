//! From settings to a run that can take its first step.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use lore_models::record::{self, MODEL, RUN};
use lore_models::training::{Batch, Gradients, Precision, TrainNet};

use super::check::check;
use super::checkpoint::{Checkpoints, is_checkpoint, last_checkpoint, restore};
use super::events::EventFile;
use super::folder::{
    ADAPTER, Disk, EXAMPLES_FOLDER, METRICS, OWN, TENSORBOARD, clean, failed, remove, write_file,
};
use super::lineage::{Base, DataRecord, Identity, RunRecord};
use super::memory::{available, forget_peak, peak_memory, resident};
use super::metrics::MetricsFile;
use super::observe::{Event, Observer};
use super::plan::Plan;
use super::probe::{Search, Trial, most_tokens};
use super::state::State;
use super::trainer::{Inputs, Trainer};
use super::{Resume, RunSettings};
use crate::config::{ModelSettings, TrainConfig};
use crate::data::{BatchSize, Example};
use crate::error::TrainError;
use crate::optim::{AdamW, LearningRate, LossScaler};

/// Makes a run ready.
pub(super) fn begin<'a>(
    disk: &'a Disk,
    net: &'a TrainNet,
    inputs: &'a Inputs<'a>,
    config: &'a TrainConfig,
    observer: &'a mut dyn Observer,
    stop: &'a AtomicBool,
) -> Result<Trainer<'a>, TrainError> {
    let Inputs { train, held_out, base, questions } = inputs;
    if train.is_empty() {
        return Err(TrainError::Setup("there is nothing to train on: the data sets have no examples".into()));
    }
    check(net, inputs, config)?;
    let folder = &config.run.output_dir;
    fs::create_dir_all(folder).map_err(|error| failed(folder, 0, error))?;
    let lock = super::lock::FolderLock::take(folder)?;
    let checkpoints = Checkpoints::new(folder, config.run.save_total_limit);
    let from = prepare(config, &checkpoints)?;
    let mut data = DataRecord::new(train, held_out);
    data.questions.clone_from(questions);
    for earlier in earlier(base, &config.model, from.as_deref()) {
        data.add_earlier(&earlier)?;
    }
    let identity = Identity::new(base, &data.hash, config, net);
    let mut optimiser = AdamW::new(&config.optim, net.parameters().len());
    let scaler = match config.precision {
        Precision::Fp16 => LossScaler::dynamic(),
        Precision::Fp32 | Precision::Bf16 => LossScaler::none(),
    };
    let (mut state, mut metrics) = (State::new(scaler), Vec::new());
    if let Some(path) = &from {
        let advice = advice(path, config);
        let restored = restore(path, &identity, net.parameters(), &mut optimiser, advice.as_deref())?;
        (state, metrics) = (restored.state, restored.metrics);
        let there = state.best.is_none_or(|best| checkpoints.find(best.step, Some(path)).is_some());
        if config.run.load_best_at_end && !there {
            // Made under settings that did not keep it: the best is looked for from here on.
            tracing::warn!(step = ?state.best.map(|best| best.step), "the best checkpoint so far is gone");
            (state.best, state.worse) = (None, 0);
        }
    }
    if from.as_deref().is_some_and(|path| within(path, folder)) {
        // The steps after it are taken again, and come to the same.
        checkpoints.remove_from(state.step + 1)?;
    } else if config.run.overwrite || folder.join(RUN).exists() {
        forget(folder, &checkpoints)?;
    }
    if let (BatchSize::Auto { memory_limit }, None) = (config.data.batch, state.batch_tokens) {
        state.batch_tokens = Some(probe(net, train, memory_limit, observer, stop)?);
    }
    let plan = Plan::new(train, &config.data, &config.optim, state.batch_tokens);
    let record = RunRecord {
        lore: env!("CARGO_PKG_VERSION").into(),
        started: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        seed: config.seed,
        base: base.clone(),
        data,
        trained_values: net.trained_values(),
        values: net.values(),
        steps: plan.steps,
        batch_tokens: state.batch_tokens,
        resumed_from: from.clone(),
        config: serde_json::to_value(config).map_err(|error| {
            TrainError::Setup(format!("the settings cannot be written: {error}; name paths in UTF-8"))
        })?,
    };
    write_file(disk, &folder.join(RUN), record.to_yaml()?.as_bytes())?;
    let metrics = MetricsFile::begin(disk, folder.join(METRICS), &metrics)?;
    let events = match config.run.tensorboard {
        true => Some(EventFile::begin(disk, &folder.join(TENSORBOARD), state.step)?),
        false => None,
    };
    observer.event(&Event::Begun {
        steps: plan.steps,
        done: state.step,
        examples: train.len(),
        held_out: held_out.len(),
        batch_tokens: state.batch_tokens,
        trained: net.trained_values(),
    });
    Ok(Trainer {
        rate: LearningRate::new(&config.optim, plan.steps),
        gradients: Gradients::new(net.parameters().len()),
        // A checkpoint of another folder is not one of this run's.
        saved_at: from.as_deref().filter(|path| within(path, folder)).map(|_| state.step),
        from,
        since: Instant::now(),
        disk,
        net,
        inputs,
        config,
        observer,
        stop,
        identity,
        checkpoints,
        optimiser,
        plan,
        state,
        metrics,
        events,
        _lock: lock,
    })
}

/// Records of the runs that made what this one goes on from: the base, an adapter, a checkpoint.
fn earlier(base: &Base, model: &ModelSettings, from: Option<&Path>) -> Vec<PathBuf> {
    let (base, adapter) = match model {
        ModelSettings::Files { adapter, .. } => (base.path.as_deref(), adapter.as_deref()),
        // Its weights are not taken.
        ModelSettings::Random { .. } => (None, None),
    };
    let base = base.and_then(record::of_model);
    base.into_iter().chain([adapter, from].into_iter().flatten().filter_map(record::of_adapter)).collect()
}

/// Whether the run's folder holds something that the run neither goes on with nor may overwrite.
pub(crate) fn in_the_way(run: &RunSettings) -> bool {
    let folder = &run.output_dir;
    let own = match &run.resume {
        Resume::No => false,
        Resume::Last => true,
        Resume::From(checkpoint) => within(checkpoint, folder),
    };
    let used = || fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    !own && !run.overwrite && used()
}

/// Sees to the folder; says which checkpoint to go on from.
fn prepare(config: &TrainConfig, checkpoints: &Checkpoints) -> Result<Option<PathBuf>, TrainError> {
    let folder = &config.run.output_dir;
    let from = match &config.run.resume {
        Resume::From(path) if !path.is_dir() => {
            let message =
                "there is no such folder; name a checkpoint, or set resume_from_checkpoint: true".into();
            return Err(TrainError::Checkpoint { path: path.clone(), message });
        }
        Resume::From(path) => {
            if let Some(last) = last_checkpoint(path).filter(|_| !is_checkpoint(path)) {
                let message = format!(
                    "it is the folder of a run; set resume_from_checkpoint to one of its checkpoints, such as {}",
                    last.display()
                );
                return Err(TrainError::Checkpoint { path: path.clone(), message });
            }
            Some(path.clone())
        }
        Resume::Last => checkpoints.last(),
        Resume::No => None,
    };
    if in_the_way(&config.run) {
        return Err(TrainError::Setup(format!(
            "{} is not empty; name another output_dir, set overwrite_output_dir: true, or go on with \
             resume_from_checkpoint: true",
            folder.display()
        )));
    }
    // They would be replaced, be it by one of the same step or as one too many.
    if let Some(path) = checkpoints.foreign() {
        return Err(TrainError::Setup(format!(
            "{} is there and no run of this program made it; move it away, or name another output_dir",
            path.display()
        )));
    }
    // Those are replaced at the end, or at the beginning where there is nothing to go on from.
    let made = folder.join(RUN).exists();
    let results = [ADAPTER, MODEL].map(|name| folder.join(name));
    if let Some(path) = results.iter().find(|path| path.exists() && !config.run.overwrite) {
        let why = match (made, &from) {
            (true, Some(_)) => None,
            (true, None) => Some("is what a run ended with, and there is no checkpoint to go on from"),
            (false, _) => Some("is there and no run made it"),
        };
        if let Some(why) = why {
            return Err(TrainError::Setup(format!(
                "{} {why}; name another output_dir, or set overwrite_output_dir: true",
                path.display()
            )));
        }
    }
    if made {
        clean(folder)?;
    }
    Ok(from)
}

/// What to do where examples that are made anew at each start are others than those of a checkpoint.
fn advice(checkpoint: &Path, config: &TrainConfig) -> Option<String> {
    config.rag.as_ref()?;
    let folder = checkpoint.parent()?.join(EXAMPLES_FOLDER);
    folder.is_dir().then(|| {
        format!(
            "examples are made of documents and questions, which changed since: to go on with those of then, set dataset \
             to the files in {} (eval_dataset to those that begin with eval-) and dataset_format to messages",
            folder.display()
        )
    })
}

/// Whether a checkpoint is one of a run's folder.
fn within(checkpoint: &Path, folder: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().ok();
    whole(checkpoint).is_some_and(|path| path.parent().map(Path::to_owned) == whole(folder))
}

/// Removes what an earlier run left in the folder.
fn forget(folder: &Path, checkpoints: &Checkpoints) -> Result<(), TrainError> {
    checkpoints.remove_from(0)?;
    OWN.iter().try_for_each(|name| remove(&folder.join(name)))
}

/// Share of what is free that a run may take where nothing was said.
const FREE: f64 = 0.75;
/// Bytes of a parameter's moments, which the steps that are tried do without.
const MOMENTS: u64 = 8;

/// The most tokens of a batch that fit, found by computing steps of the longest examples.
fn probe(
    net: &TrainNet,
    examples: &[Example],
    limit: Option<u64>,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<usize, TrainError> {
    let on_cpu = net.options().device.is_cpu();
    let moments = MOMENTS * net.trained_values() as u64;
    let before = resident().filter(|_| on_cpu);
    let limit = before.and_then(|now| limit.or_else(|| Some(now + (available()? as f64 * FREE) as u64)));
    let mut longest: Vec<&Example> = examples.iter().collect();
    longest.sort_by_key(|example| std::cmp::Reverse(example.tokens.len()));
    let search = Search {
        smallest: longest.first().map_or(1, |example| example.tokens.len()),
        most: examples.iter().map(|example| example.tokens.len()).sum(),
        limit,
        before: before.unwrap_or_default() + moments,
    };
    let stopped = || stop.load(Ordering::Relaxed);
    if stopped() {
        return Ok(search.smallest);
    }
    let mut gradients = Gradients::new(net.parameters().len());
    let found = most_tokens(search, |tokens| {
        // The run ends before its first step, so that what is found does not matter.
        if stopped() {
            return Ok(Trial::TooMuch);
        }
        let mut batch = Batch::default();
        for example in &longest {
            if !batch.tokens.is_empty() && batch.tokens.len() + example.tokens.len() > tokens {
                break;
            }
            batch.push(&example.tokens, &example.labelled);
        }
        gradients.clear();
        forget_peak();
        let trial = match net.forward_backward(&batch, 1.0, 0, &mut gradients) {
            Ok(_) => {
                let peak = peak_memory().filter(|_| limit.is_some());
                peak.map_or(Trial::Unknown, |peak| Trial::Peak(peak + moments))
            }
            // An accelerator that has no room says so; what else may be wrong shows with the smallest batch.
            Err(_) if !on_cpu && tokens > search.smallest => Trial::TooMuch,
            Err(error) => return Err(error.into()),
        };
        let peak = if let Trial::Peak(peak) = trial { Some(peak) } else { None };
        observer.event(&Event::Probing { tokens, peak });
        Ok(trial)
    })?;
    tracing::debug!(tokens = found, "tokens of a batch");
    Ok(found)
}
