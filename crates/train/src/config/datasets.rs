//! Keys of the examples and of the batches.

use std::path::{Path, PathBuf};

use super::keys::{Allowed, Keys};
use super::value::Value;
use super::{InventSettings, RagSettings, Stage, TemplateSettings};
use crate::data::{self, BatchSize, DataSettings, DatasetSpec, Format, Mix};
use crate::error::TrainError;
use crate::invent::InventConfig;

/// `mix_strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    Concat,
    Under,
    Over,
    Once,
}

/// `dataset_format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Of(Format),
    Questions,
}

/// What the keys mean.
#[derive(Debug)]
pub(super) struct Resolved {
    pub data: DataSettings,
    pub rag: Option<RagSettings>,
    pub invent: Option<InventSettings>,
    pub template: TemplateSettings,
}

/// The keys as they are written.
#[derive(Debug)]
pub(super) struct Raw {
    train: Option<Vec<String>>,
    eval: Option<Vec<String>>,
    folder: Option<String>,
    format: Option<Form>,
    rag_documents: Option<String>,
    rag_answer: Option<&'static str>,
    rag_no_answer_share: Option<f64>,
    rag_unanswerable_share: Option<f64>,
    rag_passages: Option<usize>,
    rag_variants: Option<usize>,
    invent_from: Option<Vec<String>>,
    invent_count: Option<usize>,
    invent_sentences: Option<usize>,
    invent_no_answer_share: Option<f64>,
    template: Option<String>,
    chat_template: Option<String>,
    thinking: Option<bool>,
    skip_bad_lines: Option<bool>,
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
    ordered: Option<bool>,
    seed: Option<u64>,
}

impl Raw {
    pub(super) fn read(keys: &mut Keys) -> Result<Self, TrainError> {
        let formats = [
            ("alpaca", Form::Of(Format::Alpaca)),
            ("sharegpt", Form::Of(Format::Sharegpt)),
            ("messages", Form::Of(Format::Messages)),
            ("openai", Form::Of(Format::Messages)),
            ("text", Form::Of(Format::Text)),
            ("questions", Form::Questions),
        ];
        let strategies = [
            ("concat", Strategy::Concat),
            ("interleave_under", Strategy::Under),
            ("interleave_over", Strategy::Over),
            ("interleave_once", Strategy::Once),
        ];
        keys.flag("preserve_thinking")?;
        Ok(Self {
            train: keys.words("dataset")?,
            eval: keys.words("eval_dataset")?,
            folder: keys.text("dataset_dir")?,
            format: keys.choice("dataset_format", &formats)?,
            rag_documents: keys.text("rag_documents")?,
            rag_answer: keys.choice("rag_answer", &RAG_ANSWERS.map(|word| (word, word)))?,
            rag_no_answer_share: keys.number("rag_no_answer_share", Allowed::Within(0.0, 1.0))?,
            rag_unanswerable_share: keys.number("rag_unanswerable_share", Allowed::Within(0.0, 1.0))?,
            rag_passages: keys.count("rag_passages", 1)?,
            rag_variants: keys.count("rag_variants", 1)?,
            invent_from: keys.words("invent_from")?,
            invent_count: keys.count("invent_count", 1)?,
            invent_sentences: keys.count("invent_sentences", 2)?,
            invent_no_answer_share: keys.number("invent_no_answer_share", Allowed::Within(0.0, 1.0))?,
            template: keys.text("template")?,
            chat_template: keys.text("chat_template")?,
            thinking: keys.flag("enable_thinking")?,
            skip_bad_lines: keys.flag("skip_bad_lines")?,
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
            ordered: keys.flag("disable_shuffling")?,
            seed: keys.whole("data_seed", 0, i128::from(u64::MAX))?.and_then(|seed| u64::try_from(seed).ok()),
        })
    }

    /// What they mean; `seed` is the run's, for where the examples have none of their own.
    pub(super) fn resolve(self, stage: Stage, seed: u64, keys: &mut Keys) -> Result<Resolved, TrainError> {
        let (train, asked) = self.sets("dataset", self.train.as_deref().unwrap_or_default(), stage, keys)?;
        let (eval, eval_asked) =
            self.sets("eval_dataset", self.eval.as_deref().unwrap_or_default(), stage, keys)?;
        let invent = self.invent(stage, seed, keys)?;
        if train.is_empty() && invent.is_none() {
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
        let thinking = self.thinking == Some(true);
        let template = TemplateSettings {
            plain: self.template.as_deref() == Some("default"),
            file: self.chat_template.clone().map(PathBuf::from),
        };
        match stage {
            Stage::Pt => {
                let of_chats =
                    ["train_on_prompt", "mask_history", "template", "chat_template", "enable_thinking"];
                keys.without_effect(&of_chats, "stage: pt reads plain text");
            }
            Stage::Sft if on_prompt && history => {
                let message = "train_on_prompt and mask_history are both true; leave one out";
                return Err(keys.error("mask_history", message));
            }
            Stage::Sft if !template.plain => {
                keys.without_effect(
                    &["template"],
                    "conversations are written as in serving, by the model's files",
                );
            }
            Stage::Sft => {}
        }
        keys.without_effect(&["preserve_thinking"], "what answers hold is learned, and nothing else");
        let rag = self.rag(asked, eval_asked, keys)?;
        let mix = self.mix(train.len(), keys)?;
        let packing = self.packing(stage, keys)?;
        let data = DataSettings {
            train,
            eval,
            val_size,
            cutoff_len: self.cutoff_len.unwrap_or(2048),
            train_on_prompt: on_prompt && stage == Stage::Sft,
            mask_history: history && stage == Stage::Sft,
            thinking: thinking && stage == Stage::Sft,
            packing,
            skip_bad_lines: self.skip_bad_lines.unwrap_or(false),
            mix,
            max_samples: self.max_samples,
            batch: self.batch(keys)?,
            ordered: self.ordered.unwrap_or(false),
            seed: self.seed.unwrap_or(seed),
        };
        Ok(Resolved { data, rag, invent, template })
    }

    /// The data sets that `key` names, and which of them have no format of their own.
    fn sets(
        &self,
        key: &str,
        names: &[String],
        stage: Stage,
        keys: &Keys,
    ) -> Result<(Vec<DatasetSpec>, Vec<usize>), TrainError> {
        let folder = Path::new(self.folder.as_deref().unwrap_or("data"));
        // The place of the key tells more than the folder that was searched.
        let mut sets = data::resolve(folder, names).map_err(|error| match error {
            TrainError::Data { line: None, message, .. } => keys.error(key, format!("{key}: {message}")),
            other => other,
        })?;
        let open = (0..sets.len()).filter(|index| sets[*index].format.is_none()).collect();
        for set in sets.iter_mut().filter(|set| set.format.is_none()) {
            set.format = match (self.format, stage) {
                (None, Stage::Sft) => None,
                (None | Some(Form::Of(Format::Text)), Stage::Pt) => Some(Format::Text),
                (Some(_), Stage::Pt) => {
                    let message = "stage: pt reads plain text; use dataset_format: text, or stage: sft";
                    return Err(keys.error("dataset_format", message));
                }
                (Some(Form::Of(Format::Text)), Stage::Sft) => {
                    let message =
                        "dataset_format text has no answers; use stage: pt, or a file of another format";
                    return Err(keys.error("dataset_format", message));
                }
                (Some(Form::Of(format)), Stage::Sft) => Some(format),
                // What is made of questions.
                (Some(Form::Questions), Stage::Sft) => Some(Format::Messages),
            };
        }
        Ok((sets, open))
    }

    fn rag(
        &self,
        train: Vec<usize>,
        eval: Vec<usize>,
        keys: &mut Keys,
    ) -> Result<Option<RagSettings>, TrainError> {
        if self.format != Some(Form::Questions) {
            let of_questions = [
                "rag_documents",
                "rag_answer",
                "rag_no_answer_share",
                "rag_unanswerable_share",
                "rag_passages",
                "rag_variants",
            ];
            keys.without_effect(&of_questions, "it is for dataset_format: questions");
            return Ok(None);
        }
        let documents = self.rag_documents.clone().map(PathBuf::from);
        if let Some(folder) = documents.as_deref().filter(|folder| !folder.is_dir()) {
            let message = format!("rag_documents is {}, and there is no such folder", folder.display());
            return Err(keys.error("rag_documents", message));
        }
        Ok(Some(RagSettings {
            train,
            eval,
            documents,
            answer: self.rag_answer.map(str::to_owned),
            no_answer_share: self.rag_no_answer_share,
            unanswerable_share: self.rag_unanswerable_share,
            passages: self.rag_passages,
            variants: self.rag_variants,
        }))
    }

    fn invent(&self, stage: Stage, seed: u64, keys: &mut Keys) -> Result<Option<InventSettings>, TrainError> {
        let Some(from) = self.invent_from.as_ref().filter(|from| !from.is_empty()) else {
            let of_inventing = ["invent_count", "invent_sentences", "invent_no_answer_share"];
            keys.without_effect(&of_inventing, "invent_from names no documents");
            return Ok(None);
        };
        if stage == Stage::Pt {
            return Err(keys.error("invent_from", "invent_from makes questions with answers; use stage: sft"));
        }
        let from: Vec<PathBuf> = from.iter().map(PathBuf::from).collect();
        if let Some(missing) = from.iter().find(|path| !path.exists()) {
            let message = format!("invent_from names {}, and there is nothing", missing.display());
            return Err(keys.error("invent_from", message));
        }
        let default = InventConfig::default();
        let config = InventConfig {
            count: self.invent_count.unwrap_or(default.count),
            sentences: self.invent_sentences.unwrap_or(default.sentences),
            unanswerable: self.invent_no_answer_share.unwrap_or(default.unanswerable),
            seed: self.seed.unwrap_or(seed),
            ..default
        };
        let words = self.rag_answer.is_some_and(|answer| answer != "quote");
        Ok(Some(InventSettings { from, config, words }))
    }

    fn mix(&self, datasets: usize, keys: &Keys) -> Result<Mix, TrainError> {
        let strategy = self.strategy.unwrap_or(Strategy::Concat);
        let Some(written) = &self.probabilities else {
            return Ok(match strategy {
                Strategy::Concat => Mix::Concat,
                Strategy::Under => Mix::InterleaveUnder(Vec::new()),
                Strategy::Over => Mix::InterleaveOver(Vec::new()),
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

/// How answers to questions may be worded.
const RAG_ANSWERS: [&str; 3] = ["short_then_quote", "quote", "short"];

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
