//! What a training would do, before it does: `lore train --dry-run`.

mod memory;
mod shape;
mod show;

use std::path::PathBuf;

use lore_models::decoder::DecoderConfig;
use lore_models::training::{Method, Precision, Quantization, Targets};
use serde::Serialize;

pub use self::memory::Memory;
use self::shape::Counts;
pub use self::show::count;
use crate::config::{ModelSettings, TrainConfig};
use crate::data::{BatchSize, Batching, Loaded, Order, Totals, batches};
use crate::optim::LearningRate;
use crate::run::{Resume, in_the_way, last_checkpoint, steps_of};

/// What a training would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// What it starts from.
    pub base: Base,
    /// What is trained, in words.
    pub method: String,
    /// Values that are trained,
    pub trained: usize,
    /// of so many, those of adapters included.
    pub values: usize,
    /// What is learned from.
    pub data: Data,
    /// How it is cut into batches.
    pub batches: Batches,
    /// Steps in all.
    pub steps: usize,
    /// Steps of them with a rising learning rate.
    pub warmup_steps: usize,
    /// How much memory that takes, about.
    pub memory: Memory,
    /// The run's folder.
    pub output_dir: PathBuf,
    /// The checkpoint that it would go on from.
    pub resumes_from: Option<PathBuf>,
    /// Whether the folder holds something that is neither gone on with nor overwritten, so that nothing would start.
    pub in_the_way: bool,
}

/// The model that a training starts from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Base {
    /// Its name, as configured.
    pub name: String,
    /// Whether only its shape is taken.
    pub random: bool,
    /// Its family.
    pub architecture: String,
    /// Its layers.
    pub layers: usize,
    /// Its values.
    pub values: usize,
    /// Type of its frozen weights.
    pub kind: String,
    /// Bytes of its frozen weights.
    pub bytes: u64,
}

/// Examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Data {
    /// Training examples.
    pub examples: usize,
    /// Their tokens,
    pub tokens: usize,
    /// and those of them that are learned.
    pub labels: usize,
    /// Tokens of the longest.
    pub longest: usize,
    /// Examples that are evaluated on.
    pub held_out: usize,
}

/// Batches.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Batches {
    /// What limits one, in words.
    pub of: String,
    /// Batches of the first epoch.
    pub per_epoch: usize,
    /// Batches of a step.
    pub per_step: usize,
    /// Tokens of the largest.
    pub largest: usize,
    /// Whether their size is found at the start, so that all of this is an estimate.
    pub found_at_start: bool,
}

/// The plan of a training as configured, of a model of this shape, on these examples; `free` is the memory that could be
/// taken, in bytes.
pub fn plan(config: &TrainConfig, shape: &DecoderConfig, loaded: &Loaded, free: Option<u64>) -> Plan {
    let counts = Counts::of(config, shape);
    let found = match config.data.batch {
        BatchSize::Auto { memory_limit } => {
            // No less than the longest example, no more than there are.
            let Totals { longest, tokens, .. } = loaded.report.train;
            Some(
                tokens_within(config, shape, &counts, memory_limit, free)
                    .clamp(longest.max(1), tokens.max(longest).max(1)),
            )
        }
        BatchSize::Sequences(_) | BatchSize::Tokens(_) => None,
    };
    let batching = Batching::new(&config.data, found.unwrap_or(config.data.cutoff_len));
    let first = batches(&loaded.train, batching, Order::new(&config.data), 0);
    let tokens = |batch: &Vec<usize>| batch.iter().map(|index| loaded.train[*index].tokens.len()).sum();
    let largest = first.iter().map(tokens).max().unwrap_or(0);
    let steps = steps_of(&loaded.train, &config.data, &config.optim, found);
    let output_dir = config.run.output_dir.clone();
    let resumes_from = match &config.run.resume {
        Resume::No => None,
        Resume::Last => last_checkpoint(&output_dir),
        Resume::From(folder) => Some(folder.clone()),
    };
    let Totals { examples, tokens, labels, longest } = loaded.report.train;
    Plan {
        base: base(config, shape, &counts),
        method: method(&config.method, config.optim.loraplus_ratio),
        trained: counts.trained,
        values: counts.base + counts.added,
        data: Data { examples, tokens, labels, longest, held_out: loaded.report.eval.examples },
        batches: Batches {
            of: match batching {
                Batching::Sequences(count) => format!("{count} examples"),
                Batching::Packed { rows, length } => {
                    format!("{rows} packed rows of {} tokens", count(length))
                }
                Batching::Tokens(tokens) => format!("{} tokens at most", count(tokens)),
            },
            per_epoch: first.len(),
            per_step: config.optim.accumulation,
            largest,
            found_at_start: found.is_some(),
        },
        steps,
        warmup_steps: LearningRate::new(&config.optim, steps).warmup(),
        memory: Memory::of(config, shape, &counts, largest),
        in_the_way: in_the_way(&config.run),
        output_dir,
        resumes_from,
    }
}

/// What can be said of a training before its examples are read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outline {
    /// What it starts from.
    pub base: Base,
    /// What is trained, in words.
    pub method: String,
    /// Values that are trained,
    pub trained: usize,
    /// of so many, those of adapters included.
    pub values: usize,
    /// Most tokens of a batch.
    pub batch_tokens: usize,
    /// Memory, where the largest batch has all of them.
    pub memory: Memory,
}

/// The outline of a training of a model of this shape; `free` is the memory that could be taken, in bytes.
pub fn outline(config: &TrainConfig, shape: &DecoderConfig, free: Option<u64>) -> Outline {
    let counts = Counts::of(config, shape);
    let length = config.data.cutoff_len;
    let batch_tokens = match config.data.batch {
        BatchSize::Auto { memory_limit } => {
            tokens_within(config, shape, &counts, memory_limit, free).max(length)
        }
        BatchSize::Tokens(tokens) => tokens.max(length),
        BatchSize::Sequences(count) => count.saturating_mul(length),
    };
    Outline {
        base: base(config, shape, &counts),
        method: method(&config.method, config.optim.loraplus_ratio),
        trained: counts.trained,
        values: counts.base + counts.added,
        batch_tokens,
        memory: Memory::of(config, shape, &counts, batch_tokens),
    }
}

/// Most tokens of a batch under the limit that was set, or three quarters of what is free.
fn tokens_within(
    config: &TrainConfig,
    shape: &DecoderConfig,
    counts: &Counts,
    memory_limit: Option<u64>,
    free: Option<u64>,
) -> usize {
    let limit = memory_limit.or(free.map(|free| free / 4 * 3)).unwrap_or(0);
    Memory::tokens_under(config, shape, counts, limit)
}

/// Says where examples may be longer than what the model was made for.
pub fn context_note(config: &TrainConfig, shape: &DecoderConfig) -> Option<String> {
    let (length, context) = (config.data.cutoff_len, shape.context);
    (length > context).then(|| {
        format!(
            "cutoff_len is {length}, and the model was made for at most {context} tokens; longer examples teach it places \
             that it does not know"
        )
    })
}

fn base(config: &TrainConfig, shape: &DecoderConfig, counts: &Counts) -> Base {
    let precision = match config.precision {
        Precision::Fp32 => "fp32",
        Precision::Bf16 => "bf16",
        Precision::Fp16 => "fp16",
    };
    Base {
        name: config.model.name().to_owned(),
        random: matches!(config.model, ModelSettings::Random { .. }),
        architecture: shape.architecture.clone(),
        layers: shape.layers(),
        values: counts.base,
        kind: match config.quantization {
            None => precision.to_owned(),
            Some(Quantization::Nf4 { double: false, .. }) => format!("nf4 and {precision}"),
            Some(Quantization::Nf4 { double: true, .. }) => {
                format!("nf4 with quantised scales and {precision}")
            }
            Some(Quantization::Int8) => format!("int8 and {precision}"),
        },
        bytes: counts.frozen_bytes,
    }
}

/// What is trained, in words.
fn method(method: &Method, plus: Option<f64>) -> String {
    let some = |names: &[String], all: &str| match names {
        [] => all.to_owned(),
        names => names.join(", "),
    };
    match method {
        Method::Full => "full: every value".into(),
        Method::Freeze(freeze) => {
            use lore_models::training::Layers;
            let layers = match &freeze.layers {
                Layers::All => "all layers".to_owned(),
                Layers::Last(count) => format!("the last {count} layers"),
                Layers::First(count) => format!("the first {count} layers"),
                Layers::These(these) => format!("layers {these:?}"),
            };
            let extra = match freeze.extra.as_slice() {
                [] => String::new(),
                names => format!(", and {}", names.join(", ")),
            };
            format!("freeze: {} of {layers}{extra}", some(&freeze.modules, "everything"))
        }
        Method::Lora(lora) => {
            let mut words = format!("lora: rank {}, alpha {}", lora.rank, lora.alpha);
            if lora.dropout > 0.0 {
                words += &format!(", dropout {}", lora.dropout);
            }
            words += &match &lora.targets {
                Targets::All => ", on all linears".to_owned(),
                Targets::Named(names) => format!(", on {}", names.join(", ")),
            };
            for (set, name) in [(lora.rank_stabilised, "rsLoRA"), (lora.dora, "DoRA")] {
                if set {
                    words += &format!(", {name}");
                }
            }
            if let Some(ratio) = plus {
                words += &format!(", LoRA+ {ratio}");
            }
            if !lora.modules_to_save.is_empty() {
                words += &format!(", with {} as a whole", lora.modules_to_save.join(", "));
            }
            words
        }
        Method::Bottleneck(bottleneck) => {
            let activation = format!("{:?}", bottleneck.activation).to_lowercase();
            format!("adapter: two bottlenecks of {} a layer, {activation}", bottleneck.size)
        }
    }
}
