//! Keys of the examples and of the batches.

use std::path::{Path, PathBuf};

use super::Stage;
use super::dataset_info::Described;
use super::keys::{Allowed, Keys};
use super::value::Value;
use crate::data::{BatchSize, DataSettings, DatasetSpec, Format, Mix};
use crate::error::TrainError;

/// `mix_strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    Concat,
    Under,
    Over,
    Once,
}

/// The keys as they are written.
#[derive(Debug)]
pub(super) struct Raw {
    train: Option<Vec<String>>,
    eval: Option<Vec<String>>,
    folder: Option<String>,
    format: Option<Format>,
    val_size: Option<f64>,
    cutoff_len: Option<usize>,
    train_on_prompt: Option<bool>,
    mask_history: Option<bool>,
    packing: Option<bool>,
    neat_packing: Option<bool>,
    strategy: Option<Strategy>,
    probabilities: Option<Vec<String>>,
    max_samples: Option<usize>,
    sequences: Option<usize>,
    tokens: Option<Value>,
    memory_limit: Option<Value>,
    seed: Option<u64>,
}

impl Raw {
    pub(super) fn read(keys: &mut Keys) -> Result<Self, TrainError> {
        let formats = [
            ("alpaca", Format::Alpaca),
            ("sharegpt", Format::Sharegpt),
            ("messages", Format::Messages),
            ("openai", Format::Messages),
            ("text", Format::Text),
        ];
        let strategies = [
            ("concat", Strategy::Concat),
            ("interleave_under", Strategy::Under),
            ("interleave_over", Strategy::Over),
            ("interleave_once", Strategy::Once),
        ];
        keys.text("template")?;
        keys.flag("enable_thinking")?;
        keys.flag("preserve_thinking")?;
        Ok(Self {
            train: keys.words("dataset")?,
            eval: keys.words("eval_dataset")?,
            folder: keys.text("dataset_dir")?,
            format: keys.choice("dataset_format", &formats)?,
            val_size: keys.number("val_size", Allowed::From(0.0))?,
            cutoff_len: keys.count("cutoff_len", 2)?,
            train_on_prompt: keys.flag("train_on_prompt")?,
            mask_history: keys.flag("mask_history")?,
            packing: keys.flag("packing")?,
            neat_packing: keys.flag("neat_packing")?,
            strategy: keys.choice("mix_strategy", &strategies)?,
            probabilities: keys.words("interleave_probs")?,
            max_samples: keys.count("max_samples", 1)?,
            sequences: keys.count("per_device_train_batch_size", 1)?,
            tokens: keys.any("batch_tokens"),
            memory_limit: keys.any("memory_limit"),
            seed: keys.whole("data_seed", 0, i128::from(u64::MAX))?.and_then(|seed| u64::try_from(seed).ok()),
        })
    }

    pub(super) fn resolve(self, stage: Stage, keys: &mut Keys) -> Result<DataSettings, TrainError> {
        let described = Described::read(Path::new(self.folder.as_deref().unwrap_or("data")))?;
        let named = |key: &str, names: &[String], keys: &mut Keys| -> Result<Vec<DatasetSpec>, TrainError> {
            names.iter().map(|name| self.dataset(key, name, stage, &described, keys)).collect()
        };
        let train = named("dataset", self.train.as_deref().unwrap_or_default(), keys)?;
        let eval = named("eval_dataset", self.eval.as_deref().unwrap_or_default(), keys)?;
        if train.is_empty() {
            let message = "dataset is missing; set it to a file of examples, or to names of dataset_dir's dataset_info.json";
            return Err(keys.error("dataset", message));
        }
        let val_size = self.val_size.unwrap_or(0.0);
        if val_size >= 1.0 && val_size.fract() != 0.0 {
            let message = format!(
                "val_size is {val_size}; set it to a share below 1, or to a whole number of examples"
            );
            return Err(keys.error("val_size", message));
        }
        if val_size > 0.0 && !eval.is_empty() {
            return Err(keys.error("val_size", "val_size and eval_dataset are both set; leave one out"));
        }
        let (on_prompt, history) = (self.train_on_prompt == Some(true), self.mask_history == Some(true));
        if stage == Stage::Pt {
            keys.without_effect(&["train_on_prompt", "mask_history"], "plain text has no questions");
        } else if on_prompt && history {
            let message = "train_on_prompt and mask_history are both true; leave one out";
            return Err(keys.error("mask_history", message));
        }
        if stage == Stage::Sft {
            keys.without_effect(&["template"], "the model's own chat template is used, as in serving");
            let why = "thinking in an answer is learned where the answer has it";
            keys.without_effect(&["enable_thinking", "preserve_thinking"], why);
        } else {
            keys.without_effect(&["template"], "plain text has none");
        }
        let mix = self.mix(train.len(), keys)?;
        let packing = self.packing(stage, keys)?;
        Ok(DataSettings {
            train,
            eval,
            val_size,
            cutoff_len: self.cutoff_len.unwrap_or(2048),
            train_on_prompt: on_prompt && stage == Stage::Sft,
            mask_history: history && stage == Stage::Sft,
            packing,
            mix,
            max_samples: self.max_samples,
            batch: self.batch(keys)?,
            // The caller puts the run's seed here where none is set.
            seed: self.seed.unwrap_or(NO_SEED),
        })
    }

    fn dataset(
        &self,
        key: &str,
        name: &str,
        stage: Stage,
        described: &Described,
        keys: &mut Keys,
    ) -> Result<DatasetSpec, TrainError> {
        if let Some(spec) = described.find(name, stage, &mut keys.notes)? {
            return Ok(spec);
        }
        let beside = described.folder().join(name);
        let Some(path) = [PathBuf::from(name), beside].into_iter().find(|path| path.exists()) else {
            let message = format!(
                "dataset `{name}` is neither a file nor a name in {}; set {key} to a file of examples",
                described.path().display()
            );
            return Err(keys.error(key, message));
        };
        let format = match (self.format, stage) {
            (None | Some(Format::Text), Stage::Pt) => Some(Format::Text),
            (Some(Format::Text), Stage::Sft) => {
                let message =
                    "dataset_format text has no answers; use stage: pt, or a file of another format";
                return Err(keys.error("dataset_format", message));
            }
            (format, Stage::Sft) => format,
            (Some(_), Stage::Pt) => {
                let message = "stage: pt reads plain text; use dataset_format: text, or stage: sft";
                return Err(keys.error("dataset_format", message));
            }
        };
        let name =
            path.file_stem().map_or_else(|| name.to_owned(), |stem| stem.to_string_lossy().into_owned());
        Ok(DatasetSpec { name, path, format, columns: Vec::new() })
    }

    fn mix(&self, datasets: usize, keys: &Keys) -> Result<Mix, TrainError> {
        let strategy = self.strategy.unwrap_or(Strategy::Concat);
        let Some(written) = &self.probabilities else {
            // Without probabilities they take turns.
            let equal = vec![1.0 / datasets as f64; datasets];
            return Ok(match strategy {
                Strategy::Concat => Mix::Concat,
                Strategy::Under => Mix::InterleaveUnder(equal),
                Strategy::Over => Mix::InterleaveOver(equal),
                Strategy::Once => return Err(once(keys)),
            });
        };
        let numbers: Option<Vec<f64>> = written.iter().map(|number| number.parse().ok()).collect();
        let Some(numbers) = numbers.filter(|n| n.iter().all(|p: &f64| p.is_finite() && *p > 0.0)) else {
            let message = "interleave_probs has something that is no number above 0; write one number for each data set";
            return Err(keys.error("interleave_probs", message));
        };
        if numbers.len() != datasets {
            let message = format!("interleave_probs has {} numbers for {datasets} data sets", numbers.len());
            return Err(keys.error("interleave_probs", message));
        }
        let sum: f64 = numbers.iter().sum();
        if (sum - 1.0).abs() > 0.01 {
            let message = format!("interleave_probs sum up to {sum}; let them sum up to 1");
            return Err(keys.error("interleave_probs", message));
        }
        let shares = numbers.iter().map(|number| number / sum).collect();
        match strategy {
            Strategy::Under => Ok(Mix::InterleaveUnder(shares)),
            Strategy::Over => Ok(Mix::InterleaveOver(shares)),
            Strategy::Once => Err(once(keys)),
            Strategy::Concat => {
                let message = "interleave_probs are for mix_strategy: interleave_under or interleave_over";
                Err(keys.error("interleave_probs", message))
            }
        }
    }

    fn packing(&self, stage: Stage, keys: &Keys) -> Result<bool, TrainError> {
        if self.neat_packing == Some(true) && self.packing == Some(false) {
            let message = "neat_packing is true and packing is false; leave one out (packed examples never see each other)";
            return Err(keys.error("neat_packing", message));
        }
        let wanted = self.packing == Some(true) || self.neat_packing == Some(true);
        if wanted && self.tokens.is_some() {
            let message =
                "packing and batch_tokens both join examples up to a number of tokens; leave one out";
            return Err(
                keys.error(if self.packing == Some(true) { "packing" } else { "neat_packing" }, message)
            );
        }
        // As LLaMA-Factory has it: text is packed where the file does not say.
        Ok(wanted || (stage == Stage::Pt && self.packing.is_none() && self.tokens.is_none()))
    }

    fn batch(&self, keys: &mut Keys) -> Result<BatchSize, TrainError> {
        let limit = match &self.memory_limit {
            None => None,
            Some(value) => Some(bytes(value).ok_or_else(|| {
                let message = format!("memory_limit is {value}; set it to a size such as 8GB");
                keys.error("memory_limit", message)
            })?),
        };
        let Some(tokens) = &self.tokens else {
            keys.without_effect(&["memory_limit"], "it is for batch_tokens: auto");
            return Ok(BatchSize::Sequences(self.sequences.unwrap_or(8)));
        };
        if self.sequences.is_some() {
            let message = "batch_tokens and per_device_train_batch_size are both set; leave one out (key=null on the \
                           command line takes one away)";
            return Err(keys.error("batch_tokens", message));
        }
        match (tokens.word().as_deref(), tokens.whole()) {
            (Some("auto"), _) => Ok(BatchSize::Auto { memory_limit: limit }),
            (_, Some(number @ 1..=1_000_000_000)) => {
                keys.without_effect(&["memory_limit"], "it is for batch_tokens: auto");
                Ok(BatchSize::Tokens(usize::try_from(number).unwrap_or(usize::MAX)))
            }
            _ => {
                let message =
                    format!("batch_tokens is {tokens}; set it to a whole number from 1 on, or to auto");
                Err(keys.error("batch_tokens", message))
            }
        }
    }
}

/// Stands for a `data_seed` that is not set.
pub(super) const NO_SEED: u64 = u64::MAX;

fn once(keys: &Keys) -> TrainError {
    let message =
        "mix_strategy interleave_once is not supported; use concat, which sees every example once too";
    keys.error("mix_strategy", message)
}

/// A number of bytes: a number, or one with kB, MB, GB (powers of 1000) or KiB, MiB, GiB (of 1024).
fn bytes(value: &Value) -> Option<u64> {
    if let Some(number) = value.whole() {
        return u64::try_from(number).ok().filter(|bytes| *bytes > 0);
    }
    let Value::Text(text) = value else { return None };
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..digits].parse().ok()?;
    let factor: u64 = match text[digits..].trim() {
        "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    Some((number * factor as f64) as u64).filter(|bytes| *bytes > 0)
}
