//! A tiny net, examples, and a run of them.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{DType, Var};
use lore_models::decoder::{DecoderConfig, Rope, RopeScaling};
use lore_models::training::{LoraOptions, Method, Precision, TrainNet, TrainOptions};
use lore_train::TrainError;
use lore_train::config::{DeviceKind, ModelSettings, Stage, TemplateSettings, TrainConfig};
use lore_train::data::{BatchSize, DataSettings, Example};
use lore_train::optim::{OptimSettings, Schedule, Warmup};
use lore_train::run::{Base, Event, Inputs, Line, Outcome, RunSettings, StepMetrics, read_metrics, train};

/// Two layers over 31 tokens.
pub fn shape() -> DecoderConfig {
    DecoderConfig {
        architecture: "tiny".into(),
        vocabulary: 31,
        hidden: 16,
        intermediate: 24,
        heads: 4,
        kv_heads: 2,
        head_dim: 4,
        windows: vec![None; 2],
        norm_epsilon: 1e-5,
        rope: Rope { theta: 1000.0, scaling: RopeScaling::Default },
        qkv_bias: false,
        output_bias: false,
        mlp_bias: false,
        qk_norm: false,
        tied: true,
        context: 64,
    }
}

pub fn lora() -> Method {
    Method::Lora(LoraOptions { rank: 4, alpha: 8.0, dropout: 0.2, ..LoraOptions::default() })
}

/// A net with the CPU's own passes.
pub fn net_with(method: Method, precision: Precision) -> TrainNet {
    TrainNet::random(shape(), 0.2, TrainOptions { precision, ..TrainOptions::new(method) }).unwrap()
}

/// The reference net on candle's graph, in `kind`.
pub fn net_in(method: Method, kind: DType) -> TrainNet {
    net_with(method, Precision::Fp32).on_graph(kind)
}

pub fn net() -> TrainNet {
    net_with(lora(), Precision::Fp32)
}

/// `count` examples of 4 to 12 tokens; the first third of each is a prompt.
pub fn examples(count: usize, seed: u64) -> Vec<Example> {
    let mut state = seed;
    let mut next = move |end: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % end
    };
    (0..count)
        .map(|index| {
            let length = 4 + next(9) as usize;
            Example {
                id: format!("{seed}:{index}"),
                tokens: (0..length).map(|_| next(31) as u32).collect(),
                labelled: (0..length).map(|at| at >= length / 3).collect(),
                documents: vec![format!("doc-{}", index % 3)],
            }
        })
        .collect()
}

/// Batches of two sequences, two of them a step; dropout, warm-up, and a line of metrics for each step.
pub fn config(folder: &Path, method: Method) -> TrainConfig {
    TrainConfig {
        stage: Stage::Sft,
        model: ModelSettings::Random { name: "tiny".into(), deviation: 0.2 },
        method,
        precision: Precision::Fp32,
        quantization: None,
        quantization_cache: None,
        gradient_checkpointing: false,
        rag: None,
        invent: None,
        template: TemplateSettings::default(),
        device: DeviceKind::Cpu,
        data: DataSettings { batch: BatchSize::Sequences(2), seed: 5, ..DataSettings::default() },
        optim: OptimSettings {
            learning_rate: 1e-2,
            weight_decay: 0.01,
            accumulation: 2,
            max_steps: Some(10),
            schedule: Schedule::Cosine,
            warmup: Warmup::Steps(3),
            ..OptimSettings::default()
        },
        run: RunSettings { logging_steps: 1, save_steps: Some(4), ..RunSettings::new(folder) },
        seed: 42,
    }
}

pub fn base() -> Base {
    Base { name: "tiny".into(), path: None, fingerprint: "seed 42".into() }
}

/// A run over 14 examples and 5 held-out ones; `watch` may ask it to stop by answering true.
pub fn run_watched(
    net: &TrainNet,
    config: &TrainConfig,
    mut watch: impl FnMut(&Event<'_>) -> bool,
) -> Result<Outcome, TrainError> {
    let (train_on, held_out) = (examples(14, 1), examples(5, 2));
    let inputs =
        Inputs { train: &train_on, held_out: &held_out, base: base(), questions: ["a".to_owned()].into() };
    let stop = AtomicBool::new(false);
    let mut observer = |event: &Event<'_>| {
        if watch(event) {
            stop.store(true, Ordering::Relaxed);
        }
    };
    train(net, &inputs, config, &mut observer, &stop)
}

pub fn run(net: &TrainNet, config: &TrainConfig) -> Result<Outcome, TrainError> {
    run_watched(net, config, |_| false)
}

/// The bits of all parameters.
pub fn bits(net: &TrainNet) -> Vec<u32> {
    let values = |value: &Var| value.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    net.parameters().iter().flat_map(|parameter| values(&parameter.value)).map(f32::to_bits).collect()
}

/// What does not depend on the clock in a run's metrics.
pub fn timeless(folder: &Path) -> Vec<String> {
    let lines = read_metrics(&folder.join("metrics.jsonl")).unwrap();
    let keep = |line: Line| match line {
        Line::Step(StepMetrics { step, epoch, loss, grad_norm, learning_rate, tokens, labels, .. }) => {
            format!("{step} {epoch} {loss:?} {grad_norm:?} {learning_rate:?} {tokens} {labels}")
        }
        Line::Eval(eval) => format!("eval {} {:?} {}", eval.step, eval.eval_loss, eval.eval_labels),
    };
    lines.into_iter().map(keep).collect()
}

/// Names in a folder, hidden ones included.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Sets all values of a parameter.
pub fn spoil(value: &Var, number: f32) {
    value.set(&(value.as_tensor().zeros_like().unwrap() + f64::from(number)).unwrap()).unwrap();
}

/// Makes a net that is trained whole so sure of itself that it does not recover.
pub fn ruin(net: &TrainNet) {
    let norm = net.parameters().iter().find(|parameter| parameter.name == "model.norm.weight").unwrap();
    spoil(&norm.value, 50.0);
}
