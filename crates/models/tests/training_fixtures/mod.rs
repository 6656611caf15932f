//! The fixtures of `fixtures/training`: tiny models in training, and what transformers, PEFT and PyTorch compute with them.
//!
//! The tests of lore-train's optimiser read them too.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use lore_models::training::{
    Batch, FreezeOptions, Gradients, Layers, LoraOptions, Method, Precision, Quantization, Targets, TrainNet,
    TrainOptions,
};
use serde::Deserialize;

/// The folder of the fixtures.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures/training")
}

/// What is in a JSON file of the fixtures.
pub fn json<T: serde::de::DeserializeOwned>(name: &str) -> T {
    serde_json::from_slice(&std::fs::read(fixtures().join(name)).unwrap()).unwrap()
}

/// What is in a safetensors file of the fixtures, all f32.
pub fn tensors(name: &str) -> HashMap<String, Tensor> {
    let file = fixtures().join(format!("{name}.safetensors"));
    candle_core::safetensors::load(file, &Device::Cpu).unwrap()
}

/// Sequences of tokens with the marks of those that are learned.
pub type Sequences = Vec<(Vec<u32>, Vec<bool>)>;

/// All sequences as one batch.
pub fn batch(sequences: &Sequences) -> Batch {
    let mut batch = Batch::default();
    for (tokens, labelled) in sequences {
        batch.push(tokens, labelled);
    }
    batch
}

#[derive(Deserialize)]
pub struct Cases {
    pub batch: Sequences,
    pub cases: Vec<Case>,
}

#[derive(Deserialize)]
pub struct Case {
    pub name: String,
    pub family: String,
    pub method: MethodSpec,
    /// Name of the file with logits and gradients.
    pub file: String,
    /// Names of what is trained.
    pub trained: Vec<String>,
    /// The summed loss, and over how many labels.
    pub sum: f64,
    pub labels: usize,
    /// Standard deviation of the logits.
    pub std: f64,
    /// How far off PyTorch is in a type.
    pub pytorch: HashMap<String, Off>,
}

/// The largest difference of a logit.
#[derive(Deserialize)]
pub struct Off {
    pub logits: f64,
}

/// How a model is trained, as `make.py` writes it.
#[derive(Clone, Deserialize)]
pub struct MethodSpec {
    kind: String,
    #[serde(default)]
    rank: usize,
    #[serde(default)]
    alpha: f64,
    #[serde(default)]
    rank_stabilised: bool,
    #[serde(default)]
    pub dora: bool,
    #[serde(default)]
    save: Vec<String>,
    targets: Option<Vec<String>>,
    #[serde(default)]
    parts: Vec<String>,
    pub base: Option<String>,
}

impl MethodSpec {
    pub fn method(&self) -> Method {
        match self.kind.as_str() {
            "full" => Method::Full,
            "lora" => Method::Lora(LoraOptions {
                rank: self.rank,
                alpha: self.alpha,
                dropout: 0.0,
                targets: self.targets.clone().map_or(Targets::All, Targets::Named),
                rank_stabilised: self.rank_stabilised,
                dora: self.dora,
                modules_to_save: self.save.clone(),
            }),
            // All of these models have two layers, of which the last is named.
            "freeze" => {
                let (inner, outer): (Vec<&String>, Vec<_>) =
                    self.parts.iter().partition(|part| part.starts_with("layers.1"));
                let modules = inner.into_iter().filter_map(|part| part.strip_prefix("layers.1."));
                let extra = outer.into_iter().map(|part| part.trim_start_matches("model."));
                Method::Freeze(FreezeOptions {
                    layers: Layers::Last(1),
                    modules: modules.map(str::to_owned).collect(),
                    extra: extra.map(str::to_owned).collect(),
                })
            }
            other => panic!("{other}"),
        }
    }

    pub fn options(&self, precision: Precision) -> TrainOptions {
        let quantization = self.base.as_ref().map(|base| match base.as_str() {
            "nf4" => Quantization::nf4(false),
            "int8" => Quantization::Int8,
            other => panic!("{other}"),
        });
        TrainOptions { precision, quantization, ..TrainOptions::new(self.method()) }
    }
}

/// The net of a family's model with adapters at their starts.
pub fn open(family: &str, options: TrainOptions) -> TrainNet {
    let net = TrainNet::open(&fixtures().join(family), options).unwrap();
    let starts = tensors(&format!("{family}-starts"));
    for parameter in net.parameters() {
        if let Some(start) = starts.get(&parameter.name) {
            parameter.value.set(start).unwrap();
        }
    }
    net
}

/// Loss and gradients of the mean loss of a batch, the gradient first multiplied by `scale`, then divided by it.
pub fn gradients(net: &TrainNet, batch: &Batch, scale: f64) -> (f64, Gradients) {
    let mut gradients = Gradients::new(net.parameters().len());
    let factor = scale / batch.labels() as f64;
    let loss = net.forward_backward(batch, factor, 0, &mut gradients).unwrap();
    assert_eq!(loss.labels, batch.labels());
    if scale != 1.0 {
        gradients.scale(1.0 / scale).unwrap();
    }
    (loss.sum, gradients)
}

/// All values, in f64.
pub fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The length of all values.
pub fn length(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// The length of `own - exact` over that of `exact`.
pub fn relative(own: &Tensor, exact: &Tensor) -> f64 {
    assert_eq!(own.dims(), exact.dims());
    let (own, exact) = (values(own), values(exact));
    let off: Vec<f64> = own.iter().zip(&exact).map(|(own, exact)| own - exact).collect();
    length(&off) / length(&exact)
}

/// The largest difference.
pub fn apart(own: &Tensor, exact: &Tensor) -> f64 {
    assert_eq!(own.dims(), exact.dims());
    let pairs = values(own).into_iter().zip(values(exact));
    pairs
        .map(|(own, exact)| if own.is_finite() { (own - exact).abs() } else { f64::INFINITY })
        .fold(0.0, f64::max)
}

/// Whether something is farther off than it may be.
pub fn beyond(off: f64, gate: f64) -> bool {
    off.is_nan() || off > gate
}
