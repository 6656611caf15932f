//! All that a step leaves behind, on the disk.
//!
//! A checkpoint is a folder `checkpoint-N`: `parameters.safetensors`, `optimizer.safetensors` (both f32), `state.json`,
//! `metrics.jsonl` up to its step, and `manifest.json` with what it belongs to and each file's SHA-256. The folder is
//! written under another name, brought to the disk, and renamed, so that there is never half of one.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use lore_core::ids::hex;
use lore_models::training::Parameter;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::folder::{CHECKPOINT, Disk, FileRecord, METRICS, Staged, discard};
use super::lineage::Identity;
use super::retention::Retention;
use super::state::State;
use super::tensors::{self, Entry, bytes_of};
use crate::error::TrainError;
use crate::optim::{AdamW, Moments};

const PARAMETERS: &str = "parameters.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
const MANIFEST: &str = "manifest.json";
/// The only way of writing them so far.
const FORMAT: u32 = 1;
/// Room for everything but tensors and metrics, in bytes.
const REST: u64 = 64 << 10;

#[derive(Serialize, Deserialize)]
struct Manifest {
    format: u32,
    lore: String,
    step: usize,
    identity: Identity,
    files: BTreeMap<String, FileRecord>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    state: State,
    /// Steps that each parameter with moments took.
    moments: BTreeMap<String, u64>,
}

/// The checkpoints of a run's folder.
#[derive(Debug)]
pub(super) struct Checkpoints {
    folder: PathBuf,
    retention: Retention,
}

/// What goes into a checkpoint.
pub(super) struct Snapshot<'a> {
    pub parameters: &'a [Parameter],
    pub optimiser: &'a AdamW,
    pub state: &'a State,
    pub identity: &'a Identity,
    pub metrics: &'a [u8],
}

/// What came out of one, beside the parameters.
pub(super) struct Restored {
    pub state: State,
    pub metrics: Vec<u8>,
}

impl Checkpoints {
    pub fn new(folder: &Path, keep: Option<usize>) -> Self {
        Self { folder: folder.into(), retention: Retention { last: keep } }
    }

    pub fn path(&self, step: usize) -> PathBuf {
        self.folder.join(format!("{CHECKPOINT}{step}"))
    }

    /// The checkpoint of a step, here or beside the one that the run went on from.
    pub fn find(&self, step: usize, from: Option<&Path>) -> Option<PathBuf> {
        let own = self.path(step);
        let other = from.map(|from| from.with_file_name(format!("{CHECKPOINT}{step}")));
        [Some(own), other].into_iter().flatten().find(|path| path.is_dir())
    }

    /// A folder that is named as a checkpoint and is none of ours.
    pub fn foreign(&self) -> Option<PathBuf> {
        self.steps().into_iter().map(|step| self.path(step)).find(|path| !is_checkpoint(path))
    }

    /// Steps of the checkpoints there, ascending.
    pub fn steps(&self) -> Vec<usize> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let mut steps: Vec<_> = entries.flatten().filter_map(|entry| step_of(&entry.file_name())).collect();
        steps.sort_unstable();
        steps
    }

    /// The last one.
    pub fn last(&self) -> Option<PathBuf> {
        self.steps().last().map(|step| self.path(*step))
    }

    /// Writes one; then those go that are neither the best nor among the last.
    pub fn save(&self, disk: &Disk, snapshot: &Snapshot<'_>) -> Result<PathBuf, TrainError> {
        let step = snapshot.state.step;
        let path = write(disk, &self.path(step), snapshot)?;
        let best = snapshot.state.best.map(|best| best.step);
        for step in self.retention.surplus(&self.steps(), best) {
            discard(&self.path(step))?;
        }
        Ok(path)
    }

    /// Removes those from a step on.
    pub fn remove_from(&self, step: usize) -> Result<(), TrainError> {
        self.steps().into_iter().filter(|other| *other >= step).try_for_each(|step| discard(&self.path(step)))
    }
}

/// The last checkpoint of a run's folder.
pub fn last_checkpoint(folder: &Path) -> Option<PathBuf> {
    Checkpoints::new(folder, None).last()
}

/// The step in a checkpoint's name.
fn step_of(name: &OsStr) -> Option<usize> {
    name.to_str()?.strip_prefix(CHECKPOINT)?.parse().ok()
}

/// Whether a folder is a checkpoint of ours, be it damaged.
pub(super) fn is_checkpoint(folder: &Path) -> bool {
    [MANIFEST, PARAMETERS].iter().any(|name| folder.join(name).is_file())
}

fn write(disk: &Disk, target: &Path, snapshot: &Snapshot<'_>) -> Result<PathBuf, TrainError> {
    let Snapshot { parameters, optimiser, state, identity, metrics } = snapshot;
    let moments = || {
        let pairs = parameters.iter().zip(optimiser.moments());
        pairs.filter_map(|(parameter, moments)| Some((parameter, moments.as_ref()?)))
    };
    let values = |parameter: &Parameter| parameter.value.elem_count();
    let all = parameters.iter().map(values).sum::<usize>();
    let expected = bytes_of(all + 2 * moments().map(|(parameter, _)| values(parameter)).sum::<usize>());
    let mut staged = Staged::new(disk, target, expected + metrics.len() as u64 + REST)?;
    let entries: Vec<_> = parameters
        .iter()
        .map(|parameter| Entry {
            name: parameter.name.clone(),
            shape: parameter.value.dims().to_vec(),
            values: Box::new(|| Ok(parameter.value.flatten_all()?.to_vec1()?.into())),
        })
        .collect();
    staged.file(PARAMETERS, |out| tensors::write(out, &entries))?;
    let entries: Vec<_> = moments()
        .flat_map(|(parameter, moments)| {
            let name = &parameter.name;
            let shape = parameter.value.dims().to_vec();
            let (first, second) = (shape.clone(), shape);
            [
                Entry { name: format!("{name}.exp_avg"), shape: first, values: Box::new(|| moments.first()) },
                Entry {
                    name: format!("{name}.exp_avg_sq"),
                    shape: second,
                    values: Box::new(|| moments.second()),
                },
            ]
        })
        .collect();
    staged.file(OPTIMIZER, |out| tensors::write(out, &entries))?;
    let steps = moments().map(|(parameter, moments)| (parameter.name.clone(), moments.steps)).collect();
    let saved = Saved { state: (*state).clone(), moments: steps };
    staged.file(STATE, |out| Ok(serde_json::to_writer_pretty(out, &saved)?))?;
    staged.file(METRICS, |out| out.write_all(metrics))?;
    let manifest = Manifest {
        format: FORMAT,
        lore: env!("CARGO_PKG_VERSION").into(),
        step: state.step,
        identity: (*identity).clone(),
        files: staged.files().clone(),
    };
    staged.file(MANIFEST, |out| Ok(serde_json::to_writer_pretty(out, &manifest)?))?;
    staged.commit()
}

/// Puts parameters and moments back, once everything was found whole and to belong to this run; `advice` says what to do
/// where it was made from other examples.
pub(super) fn restore(
    path: &Path,
    identity: &Identity,
    parameters: &[Parameter],
    optimiser: &mut AdamW,
    advice: Option<&str>,
) -> Result<Restored, TrainError> {
    let invalid = |message: String| TrainError::Checkpoint { path: path.into(), message };
    let manifest = manifest(path)?;
    let differences = identity.differences(&manifest.identity);
    if !differences.is_empty() {
        let mut message = format!(
            "{}; use the settings that it was made with, or begin anew in another output_dir",
            differences.join("; ")
        );
        if let Some(advice) = advice.filter(|_| identity.data != manifest.identity.data) {
            message += "; ";
            message += advice;
        }
        return Err(invalid(message));
    }
    let saved: Saved = serde_json::from_slice(&checked(path, &manifest, STATE)?)
        .map_err(|error| invalid(format!("{STATE} is damaged: {error}")))?;
    let metrics = checked(path, &manifest, METRICS)?;
    // Nothing is changed before all of it was read.
    let values = read_parameters(path, &manifest, parameters)?;
    let bytes = checked(path, &manifest, OPTIMIZER)?;
    let file_path = path.join(OPTIMIZER);
    let mut file = tensors::File::new(&file_path, &bytes)?;
    for (index, parameter) in parameters.iter().enumerate() {
        let Some(steps) = saved.moments.get(&parameter.name) else { continue };
        let mut take = |end: &str| file.take(&format!("{}.{end}", parameter.name), parameter.value.dims());
        let (first, second) = (take("exp_avg")?, take("exp_avg_sq")?);
        optimiser.restore(index, Moments::new(*steps, first, second, &parameter.value)?);
    }
    put(parameters, values)?;
    Ok(Restored { state: saved.state, metrics })
}

/// Puts a checkpoint's parameters back, and nothing else.
pub(super) fn restore_parameters(path: &Path, parameters: &[Parameter]) -> Result<(), TrainError> {
    let values = read_parameters(path, &manifest(path)?, parameters)?;
    put(parameters, values)
}

fn put(parameters: &[Parameter], values: Vec<Vec<f32>>) -> Result<(), TrainError> {
    for (parameter, values) in parameters.iter().zip(values) {
        let value = &parameter.value;
        value.set(&Tensor::from_vec(values, value.shape(), value.device())?)?;
    }
    Ok(())
}

fn read_parameters(
    path: &Path,
    manifest: &Manifest,
    parameters: &[Parameter],
) -> Result<Vec<Vec<f32>>, TrainError> {
    let bytes = checked(path, manifest, PARAMETERS)?;
    let file_path = path.join(PARAMETERS);
    let mut file = tensors::File::new(&file_path, &bytes)?;
    let take = |parameter: &Parameter| file.take(&parameter.name, parameter.value.dims());
    let values = parameters.iter().map(take).collect::<Result<_, _>>()?;
    match file.rest() {
        None => Ok(values),
        Some(name) => Err(TrainError::Checkpoint {
            path: path.into(),
            message: format!("{name} is not trained here; it was made by another training"),
        }),
    }
}

fn manifest(path: &Path) -> Result<Manifest, TrainError> {
    let invalid = |message: String| TrainError::Checkpoint { path: path.into(), message };
    let bytes = fs::read(path.join(MANIFEST)).map_err(|error| {
        invalid(format!("{MANIFEST} cannot be read ({error}); it is no whole checkpoint"))
    })?;
    let manifest: Manifest = serde_json::from_slice(&bytes)
        .map_err(|error| invalid(format!("{MANIFEST} is damaged ({error}); {}", earlier(path))))?;
    match manifest.format {
        FORMAT => Ok(manifest),
        other => Err(invalid(format!("it has format {other}, and this version reads {FORMAT}"))),
    }
}

/// Reads a file that is what it was when it was written.
fn checked(path: &Path, manifest: &Manifest, name: &str) -> Result<Vec<u8>, TrainError> {
    let invalid = |what: String| TrainError::Checkpoint {
        path: path.into(),
        message: format!("{name} {what}; {}", earlier(path)),
    };
    let record = manifest.files.get(name).ok_or_else(|| invalid("is not in the manifest".into()))?;
    let bytes = fs::read(path.join(name)).map_err(|error| invalid(format!("cannot be read ({error})")))?;
    if bytes.len() as u64 != record.bytes {
        return Err(invalid(format!("has {} bytes of {}", bytes.len(), record.bytes)));
    }
    if hex(&Sha256::digest(&bytes)) != record.sha256 {
        return Err(invalid("was changed after it was written".into()));
    }
    Ok(bytes)
}

/// What to do about a damaged checkpoint.
fn earlier(path: &Path) -> String {
    let step = path.file_name().and_then(step_of);
    let before = path.parent().zip(step).and_then(|(folder, step)| {
        let all = Checkpoints::new(folder, None);
        all.steps().into_iter().rfind(|other| *other < step).map(|step| all.path(step))
    });
    match before {
        Some(before) => format!("remove it, or set resume_from_checkpoint to {}", before.display()),
        None => "remove it and begin anew".into(),
    }
}
