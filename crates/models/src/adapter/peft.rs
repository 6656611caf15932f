//! An adapter's folder, opened.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::config::{self, AdapterKind, Record};
use super::lowrank::LowRank;
use super::{CONFIG_FILE, PREFIX, RECORD_FILE, VALUES_FILE};
use crate::decoder::{DecoderConfig, TensorSpec};
use crate::error::{ModelsError, read_json};
use crate::training::{LoraOptions, Targets};
use crate::weights::{Weights, hex};

/// An adapter: its settings, and its values in a mapped file.
#[derive(Debug)]
pub struct Adapter {
    folder: PathBuf,
    kind: AdapterKind,
    base: Option<String>,
    record: Record,
    values: Weights,
    /// Names of tensors without PEFT's prefix.
    names: BTreeSet<String>,
}

/// Ends of names of low-rank tensors.
const LORA_A: &str = ".lora_A.weight";
const LORA_B: &str = ".lora_B.weight";
const MAGNITUDE: &str = ".lora_magnitude_vector";

impl Adapter {
    /// Opens a folder that PEFT or [`super::save`] wrote.
    ///
    /// # Errors
    /// When a file is absent or damaged, or it is an adapter of a kind that is not implemented; the message names it.
    pub fn open(folder: &Path) -> Result<Self, ModelsError> {
        let path = folder.join(CONFIG_FILE);
        if !path.is_file() {
            return Err(ModelsError::Missing { folder: folder.to_owned(), wanted: CONFIG_FILE });
        }
        let map: Map<String, Value> = read_json(&path)?;
        let parsed = config::parse(&path, &map)?;
        let file = folder.join(VALUES_FILE);
        if !file.is_file() {
            if folder.join("adapter_model.bin").is_file() {
                let what = "an adapter in a pickle (save it again in PEFT with safe_serialization=True)";
                return Err(ModelsError::unsupported(folder, what));
            }
            return Err(ModelsError::Missing { folder: folder.to_owned(), wanted: VALUES_FILE });
        }
        let record = folder.join(RECORD_FILE);
        let record = if record.is_file() { read_json(&record)? } else { Record::default() };
        let values = Weights::open_file(&file)?;
        let names: BTreeSet<String> =
            values.names().map(|name| name.strip_prefix(PREFIX).unwrap_or(name).to_owned()).collect();
        let adapter =
            Self { folder: folder.to_owned(), kind: parsed.kind, base: parsed.base, record, values, names };
        adapter.check_names(&file)?;
        Ok(adapter)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it is.
    pub fn kind(&self) -> &AdapterKind {
        &self.kind
    }

    /// The base that it was trained on, as its settings name it.
    pub fn base(&self) -> Option<&str> {
        self.base.as_deref()
    }

    /// What PEFT has no key for.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Twelve hexadecimal digits that tell it from other adapters.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.values.fingerprint());
        hash.update(format!("{:?}", self.kind));
        hex(&hash.finalize(), 6)
    }

    /// The low-rank difference of a module `[rows, columns]`, if it has one.
    ///
    /// # Errors
    /// When its tensors do not fit each other, the module or the settings.
    pub fn low_rank(
        &self,
        module: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Option<LowRank>, ModelsError> {
        let AdapterKind::Lora(lora) = &self.kind else { return Ok(None) };
        if !self.has_low_rank(module) {
            return Ok(None);
        }
        let rank = lora.rank_of(module);
        let a = self.read(&format!("{module}{LORA_A}"), &[rank, columns])?;
        let b = self.read(&format!("{module}{LORA_B}"), &[rows, rank])?;
        let magnitude = match lora.dora {
            true => Some(self.read(&format!("{module}{MAGNITUDE}"), &[rows])?),
            false => None,
        };
        Ok(Some(LowRank { rank, rows, columns, a, b, magnitude, scale: lora.scale_of(module) }))
    }

    /// Whether a module has a low-rank difference.
    pub fn has_low_rank(&self, module: &str) -> bool {
        self.names.contains(&format!("{module}{LORA_A}"))
    }

    /// A tensor of the base that the adapter replaces (`modules_to_save`), if it does.
    ///
    /// # Errors
    /// When it has another shape.
    pub fn replaced(&self, name: &str, shape: &[usize]) -> Result<Option<Vec<f32>>, ModelsError> {
        if !self.replaces(name) {
            return Ok(None);
        }
        self.read(name, shape).map(Some)
    }

    /// Whether the adapter replaces this tensor of the base.
    pub fn replaces(&self, name: &str) -> bool {
        matches!(self.kind, AdapterKind::Lora(_)) && self.names.contains(name)
    }

    /// A tensor of the adapter by its parameter's name, as f32.
    ///
    /// # Errors
    /// When it is absent or has another shape.
    pub fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelsError> {
        let full = format!("{PREFIX}{name}");
        let full = if self.values.contains(&full) { full.as_str() } else { name };
        let path = self.folder.join(VALUES_FILE);
        let tensor = self
            .values
            .tensor(full)
            .map_err(|_| ModelsError::tensor(&path, full, "absent, or not of type f32, f16 or bf16"))?;
        if tensor.shape() != shape {
            let message = format!(
                "its shape is {:?}, but the base and adapter_config.json make it {shape:?}; is it for another base?",
                tensor.shape()
            );
            return Err(ModelsError::tensor(&path, full, message));
        }
        let mut values = vec![0.0; shape.iter().product()];
        tensor.copy(0, &mut values);
        if values.iter().any(|value| !value.is_finite()) {
            return Err(ModelsError::tensor(&path, full, "it has values that are not finite"));
        }
        Ok(values)
    }

    /// Names of its tensors, without PEFT's prefix.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The options that make a net with the same parameters, for training on from a LoRA.
    pub fn lora_options(&self) -> Option<LoraOptions> {
        let AdapterKind::Lora(lora) = &self.kind else { return None };
        let modules = |ending| self.names().filter_map(move |name| name.strip_suffix(ending));
        let mut saved: Vec<String> = self
            .names()
            .filter(|name| !is_low_rank(name))
            .filter_map(|name| name.rsplit_once('.').map(|(module, _)| module.to_owned()))
            .collect();
        // PEFT saves both copies of a tied embedding; here it is one.
        if lora.ensure_tied && saved.iter().any(|name| name == "model.embed_tokens") {
            saved.retain(|name| name != "lm_head");
        }
        saved.dedup();
        Some(LoraOptions {
            rank: lora.rank,
            alpha: lora.alpha,
            dropout: lora.dropout,
            targets: Targets::Named(modules(LORA_A).map(str::to_owned).collect()),
            rank_stabilised: lora.rank_stabilised,
            dora: lora.dora,
            modules_to_save: saved,
        })
    }

    /// Compares its tensors with a base of this shape: every tensor has a place, and what the settings name is there.
    ///
    /// # Errors
    /// When a tensor has no place, or a module that the settings name has no tensors.
    pub fn check(&self, config: &DecoderConfig) -> Result<(), ModelsError> {
        let file = self.folder.join(VALUES_FILE);
        let mut known: BTreeSet<String> = BTreeSet::new();
        match &self.kind {
            AdapterKind::Lora(lora) => {
                let mut tensors = config.tensors();
                tensors.push(TensorSpec { name: "lm_head.weight".into(), shape: Vec::new() });
                for spec in &tensors {
                    let module = spec.module();
                    if spec.is_layer_linear() {
                        known.extend([LORA_A, LORA_B, MAGNITUDE].map(|ending| format!("{module}{ending}")));
                        let there = self.has_low_rank(module);
                        let whole = self.names.contains(&spec.name);
                        if lora.targets.require(module) && !there && !whole {
                            let message = "absent, though target_modules names it; the adapter is not whole";
                            return Err(ModelsError::tensor(&file, &format!("{module}{LORA_A}"), message));
                        }
                    }
                }
                known.extend(tensors.into_iter().map(|spec| spec.name));
            }
            AdapterKind::Bottleneck(_) => {
                for layer in 0..config.layers() {
                    for part in ["self_attn", "mlp"] {
                        for end in ["down.weight", "down.bias", "up.weight", "up.bias"] {
                            let name = format!("model.layers.{layer}.{part}.adapter.{end}");
                            if !self.names.contains(&name) {
                                return Err(ModelsError::tensor(
                                    &file,
                                    &name,
                                    "absent; is it for another base?",
                                ));
                            }
                            known.insert(name);
                        }
                    }
                }
            }
        }
        match self.names().find(|name| !known.contains(*name)) {
            Some(name) => {
                let message = "the base has no place for it; is the adapter for another base?";
                Err(ModelsError::tensor(&file, name, message))
            }
            None => Ok(()),
        }
    }

    /// Refuses tensors of kinds that are not implemented, and pairs that are not whole.
    fn check_names(&self, file: &Path) -> Result<(), ModelsError> {
        let AdapterKind::Lora(lora) = &self.kind else { return Ok(()) };
        if self.names.is_empty() {
            return Err(ModelsError::invalid(file, "it has no tensors"));
        }
        for name in self.names() {
            let refuse = |what: &str| Err(ModelsError::unsupported(file, format!("{what} ({name})")));
            if name.contains("lora_embedding_") || name.starts_with("model.embed_tokens.lora_") {
                return refuse(
                    "a low-rank difference of the embedding (train it whole: modules_to_save [embed_tokens])",
                );
            }
            if name.contains("trainable_tokens") {
                return refuse("trained rows of the embedding");
            }
            if name.contains(".lora_") && !is_low_rank(name) {
                return refuse("a tensor of another kind of LoRA");
            }
            if name.starts_with("lm_head.lora_") {
                return refuse(
                    "a low-rank difference of the output layer (train it whole: modules_to_save [lm_head])",
                );
            }
            if name.ends_with(MAGNITUDE) && !lora.dora {
                return Err(ModelsError::tensor(file, name, "a magnitude, though use_dora is false"));
            }
            let other = match (name.strip_suffix(LORA_A), name.strip_suffix(LORA_B)) {
                (Some(module), _) => format!("{module}{LORA_B}"),
                (_, Some(module)) => format!("{module}{LORA_A}"),
                _ => continue,
            };
            if !self.names.contains(&other) {
                return Err(ModelsError::tensor(file, name, format!("there is no {other} for it")));
            }
        }
        Ok(())
    }
}

fn is_low_rank(name: &str) -> bool {
    [LORA_A, LORA_B, MAGNITUDE].iter().any(|ending| name.ends_with(ending))
}
