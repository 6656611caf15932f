//! What a run was made from.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use lore_core::ids::hex;
use lore_models::training::TrainNet;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::config::TrainConfig;
use crate::data::{BatchSize, Example};
use crate::error::TrainError;

/// The model that a run starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Its name, as configured.
    pub name: String,
    /// Its folder or file, where it has one.
    pub path: Option<PathBuf>,
    /// What tells it from others, such as [`base_fingerprint`].
    pub fingerprint: String,
}

/// The examples of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataRecord {
    /// SHA-256 over ids, tokens and labels of all examples in their order.
    pub hash: String,
    /// Training examples.
    pub examples: usize,
    /// Held-out examples.
    pub held_out: usize,
    /// Tokens of the training examples.
    pub tokens: usize,
    /// Tokens of them that are learned.
    pub labels: usize,
    /// Documents and versions that they were made from, and those of the runs that made what this one goes on from.
    pub documents: BTreeSet<String>,
    /// What tells the questions apart that became examples, of this run and of those before.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub questions: BTreeSet<String>,
}

/// What a later run takes over from a record, whatever else it holds.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Earlier {
    data: Learned,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Learned {
    documents: BTreeSet<String>,
    questions: BTreeSet<String>,
}

impl DataRecord {
    /// The record of these examples.
    pub(super) fn new(train: &[Example], held_out: &[Example]) -> Self {
        Self {
            hash: data_hash(train, held_out),
            examples: train.len(),
            held_out: held_out.len(),
            tokens: train.iter().map(|example| example.tokens.len()).sum(),
            labels: train.iter().map(Example::labels).sum(),
            documents: train.iter().flat_map(|example| example.documents.iter().cloned()).collect(),
            questions: BTreeSet::new(),
        }
    }

    /// Adds what the run of the record at `path` learned from: a model that goes on from its model has learned that too.
    ///
    /// # Errors
    /// When it cannot be read or is none.
    pub(super) fn add_earlier(&mut self, path: &Path) -> Result<(), TrainError> {
        let text =
            fs::read_to_string(path).map_err(|source| TrainError::Read { path: path.into(), source })?;
        let Earlier { data } = serde_saphyr::from_str(&text).map_err(|error| {
            let message = format!("it is no record of a run, which it is taken for: {error}");
            TrainError::Config { path: path.into(), message }
        })?;
        self.documents.extend(data.documents);
        self.questions.extend(data.questions);
        Ok(())
    }
}

/// `run.yaml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Version of the program.
    pub lore: String,
    /// When the run was begun or gone on with, in seconds since 1970.
    pub started: u64,
    /// What all random choices start from.
    pub seed: u64,
    /// The model that it starts from.
    pub base: Base,
    /// What it learns from.
    pub data: DataRecord,
    /// Values that are trained.
    pub trained_values: usize,
    /// Values in all.
    pub values: usize,
    /// Steps in all.
    pub steps: usize,
    /// Most tokens of a batch, where they were found by trying.
    pub batch_tokens: Option<usize>,
    /// The checkpoint that it goes on from.
    pub resumed_from: Option<PathBuf>,
    /// All settings.
    pub config: Value,
}

impl RunRecord {
    /// The record in a run's folder.
    ///
    /// # Errors
    /// When it cannot be read or is none.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let text =
            fs::read_to_string(path).map_err(|source| TrainError::Read { path: path.into(), source })?;
        serde_saphyr::from_str(&text)
            .map_err(|error| TrainError::Config { path: path.into(), message: error.to_string() })
    }

    pub(super) fn to_yaml(&self) -> Result<String, TrainError> {
        serde_saphyr::to_string(self)
            .map_err(|error| TrainError::Setup(format!("settings do not fit YAML: {error}")))
    }
}

/// SHA-256 over ids, tokens and labels of all examples in their order.
fn data_hash(train: &[Example], held_out: &[Example]) -> String {
    let mut hash = Sha256::new();
    for examples in [train, held_out] {
        hash.update((examples.len() as u64).to_le_bytes());
        for Example { id, tokens, labelled, .. } in examples {
            hash.update((id.len() as u64).to_le_bytes());
            hash.update(id);
            hash.update((tokens.len() as u64).to_le_bytes());
            for (token, labelled) in tokens.iter().zip(labelled) {
                hash.update(token.to_le_bytes());
                hash.update([u8::from(*labelled)]);
            }
        }
    }
    hex(&hash.finalize())
}

/// SHA-256 over a model's file, or over its folder's configuration and weights with their names.
///
/// # Errors
/// When one cannot be read.
pub fn base_fingerprint(path: &Path) -> Result<String, TrainError> {
    let read = |source| TrainError::Read { path: path.into(), source };
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let counts = |file: &PathBuf| {
            let end = file.extension().unwrap_or_default();
            file.file_name().is_some_and(|name| name == "config.json")
                || end == "safetensors"
                || end == "gguf"
        };
        let entries = fs::read_dir(path).map_err(read)?;
        files = entries.flatten().map(|entry| entry.path()).filter(counts).collect();
        files.sort();
    }
    let mut hash = Sha256::new();
    for file in files {
        let read = |source| TrainError::Read { path: file.clone(), source };
        if path.is_dir() {
            hash.update(file.file_name().unwrap_or_default().as_encoded_bytes());
        }
        hash.update(file_hash(&file).map_err(read)?);
    }
    Ok(hex(&hash.finalize()))
}

fn file_hash(path: &Path) -> io::Result<impl AsRef<[u8]>> {
    let mut file = File::open(path)?;
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hash.finalize()),
            read => hash.update(&piece[..read]),
        }
    }
}

/// What has to be the same for a run to go on in the same bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// Fingerprint of the base.
    pub base: String,
    /// Hash of the examples.
    pub data: String,
    /// Settings that change what is computed.
    pub settings: Value,
}

impl Identity {
    pub fn new(base: &Base, data: &str, config: &TrainConfig, net: &TrainNet) -> Self {
        let TrainConfig { stage, method, precision, quantization, data: examples, optim, seed, .. } = config;
        let batch = match examples.batch {
            // How much memory there is may change; what was found is in the checkpoint.
            BatchSize::Auto { .. } => json!("auto"),
            other => json!(other),
        };
        let settings = json!({
            "stage": stage,
            "method": method,
            "precision": precision,
            "quantization": quantization,
            "optim": optim,
            "batch": batch,
            "packing": examples.packing,
            "data_seed": examples.seed,
            "disable_shuffling": examples.ordered,
            "seed": seed,
            "device": if net.options().device.is_cpu() { "cpu" } else { "accelerator" },
        });
        Self { base: base.fingerprint.clone(), data: data.into(), settings: numbers_as_text(settings) }
    }

    /// What differs in `other`, in words; none where nothing does.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.base != other.base {
            found.push("it was made from another base model".into());
        }
        if self.data != other.data {
            found.push("it was made from other examples".into());
        }
        compare("", &self.settings, &other.settings, &mut found);
        found
    }
}

/// Numbers as their digits, which are the same after they were written and read.
fn numbers_as_text(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::String(number.to_string()),
        Value::Array(values) => values.into_iter().map(numbers_as_text).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, numbers_as_text(value))).collect(),
        other => other,
    }
}

fn compare(place: &str, own: &Value, other: &Value, found: &mut Vec<String>) {
    match (own, other) {
        (Value::Object(own), Value::Object(other)) => {
            let keys: BTreeSet<&String> = own.keys().chain(other.keys()).collect();
            for key in keys {
                let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                compare(&place, &of(own), &of(other), found);
            }
        }
        _ if own == other => {}
        _ => {
            let words = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            found.push(format!("{place} is {} here and {} there", words(own), words(other)));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn differences_are_named() {
        let identity = |base: &str, rate: f64| Identity {
            base: base.into(),
            data: "d".into(),
            settings: numbers_as_text(json!({ "optim": { "learning_rate": rate, "epochs": 3 }, "seed": 1 })),
        };
        let own = identity("a", 0.001);
        assert!(own.differences(&own).is_empty());
        let found = own.differences(&identity("b", 0.01));
        assert_eq!(
            found,
            ["it was made from another base model", "optim.learning_rate is 0.001 here and 0.01 there"]
        );
    }

    #[test]
    fn a_base_is_known_by_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let print = || base_fingerprint(folder.path()).unwrap();
        fs::write(folder.path().join("config.json"), "{}").unwrap();
        fs::write(folder.path().join("model.safetensors"), "1").unwrap();
        let first = print();
        fs::write(folder.path().join("README.md"), "").unwrap();
        assert_eq!(print(), first);
        fs::write(folder.path().join("model.safetensors"), "2").unwrap();
        assert_ne!(print(), first);
        assert!(base_fingerprint(&folder.path().join("absent")).is_err());
    }

    #[test]
    fn examples_are_known_by_ids_tokens_and_labels() {
        let example = |id: &str, tokens: &[u32], label| Example {
            id: id.into(),
            tokens: tokens.to_vec(),
            labelled: vec![label; tokens.len()],
            documents: vec![],
        };
        let one = [example("a", &[1, 2], true)];
        let hash = data_hash(&one, &[]);
        assert_eq!(data_hash(&one.clone(), &[]), hash);
        for other in [example("b", &[1, 2], true), example("a", &[1, 3], true), example("a", &[1, 2], false)]
        {
            assert_ne!(data_hash(&[other], &[]), hash);
        }
        assert_ne!(data_hash(&[], &one), hash);
    }
}
