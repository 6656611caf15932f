//! What is trained, and how.

use std::path::PathBuf;

use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};

/// The type in which activations and frozen weights are kept while training; trained values are always f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    Fp32,
    /// bfloat16: f32's range in half the memory.
    #[default]
    Bf16,
    /// IEEE half precision, which wants its loss scaled.
    Fp16,
}

impl Precision {
    /// candle's name.
    pub fn dtype(self) -> DType {
        match self {
            Self::Fp32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::Fp16 => DType::F16,
        }
    }
}

/// Which values are trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// All of them.
    Full,
    /// Those of some layers or modules.
    Freeze(FreezeOptions),
    /// Low-rank differences (Hu et al. 2021).
    Lora(LoraOptions),
    /// Bottleneck adapters after attention and MLP (Houlsby et al. 2019).
    Bottleneck(BottleneckOptions),
}

impl Method {
    /// Whether the tensor of this name, of layer `layer` of `layers` or of none, is trained itself.
    pub fn trains(&self, tensor: &str, layer: Option<usize>, layers: usize) -> bool {
        let named = |names: &[String]| names.iter().any(|name| within(tensor, name));
        match (self, layer) {
            (Self::Full, _) => true,
            (Self::Freeze(freeze), Some(layer)) => {
                (freeze.modules.is_empty() || named(&freeze.modules)) && freeze.layers.contain(layer, layers)
            }
            (Self::Freeze(freeze), None) => named(&freeze.extra),
            (Self::Lora(lora), _) => named(&lora.modules_to_save),
            (Self::Bottleneck(_), _) => false,
        }
    }
}

/// Which layers of a decoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layers {
    /// Every one.
    All,
    /// The last n.
    Last(usize),
    /// The first n.
    First(usize),
    /// These, counted from 0.
    These(Vec<usize>),
}

impl Layers {
    /// Whether layer `index` of `count` is meant.
    pub fn contain(&self, index: usize, count: usize) -> bool {
        match self {
            Self::All => index < count,
            Self::Last(n) => index < count && index + n >= count,
            Self::First(n) => index < count.min(*n),
            Self::These(these) => index < count && these.contains(&index),
        }
    }
}

/// What is not frozen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeOptions {
    /// Layers with something that is trained.
    pub layers: Layers,
    /// Parts of those layers, such as `mlp`, `self_attn`, `q_proj` or `input_layernorm`; none names all.
    pub modules: Vec<String>,
    /// Modules outside the layers, such as `embed_tokens`, `norm` or `lm_head`.
    pub extra: Vec<String>,
}

/// Which linears of each layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Targets {
    /// Every one of the layers.
    All,
    /// Those whose name is, or ends in, one of these (`q_proj`, `mlp.down_proj`).
    Named(Vec<String>),
}

impl Targets {
    /// Whether the linear of this name, such as `model.layers.0.mlp.down_proj`, is one of them.
    pub fn contain(&self, linear: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|name| ends(linear, name)),
        }
    }
}

/// Whether `name` is `wanted` or ends in it after a dot.
pub(crate) fn ends(name: &str, wanted: &str) -> bool {
    name.strip_suffix(wanted).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether a tensor lies within the module `wanted`: some whole parts of its name in a row.
pub(super) fn within(tensor: &str, wanted: &str) -> bool {
    format!(".{tensor}.").contains(&format!(".{wanted}."))
}

/// Low-rank adaptation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoraOptions {
    /// Rows of `A`.
    pub rank: usize,
    /// `B A x` is multiplied by `alpha / rank`.
    pub alpha: f64,
    /// Share of the inputs of `A` that is left out, 0 to below 1.
    pub dropout: f64,
    /// Linears that get a difference.
    pub targets: Targets,
    /// Whether `alpha` is divided by the root of the rank instead (Kalajdzievski 2023).
    pub rank_stabilised: bool,
    /// Whether the weight's direction and magnitude are trained apart (Liu et al. 2024, "DoRA").
    pub dora: bool,
    /// Modules that are trained whole and saved with the adapter, such as `embed_tokens`, `lm_head` or `norm`.
    pub modules_to_save: Vec<String>,
}

impl Default for LoraOptions {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            dropout: 0.0,
            targets: Targets::All,
            rank_stabilised: false,
            dora: false,
            modules_to_save: Vec::new(),
        }
    }
}

/// The non-linearity of a bottleneck.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BottleneckActivation {
    /// `max(x, 0)`.
    Relu,
    /// `x sigmoid(x)`.
    #[default]
    Silu,
}

/// Bottleneck adapters: `x + up(activation(down(x)))` on what attention and MLP put out, before the residual is added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BottleneckOptions {
    /// Length between the two linears.
    pub size: usize,
    /// What stands between them.
    pub activation: BottleneckActivation,
}

/// A type with few bits that the frozen linears are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantization {
    /// 4-bit NormalFloat (Dettmers et al. 2023).
    Nf4 {
        /// Whether the scales are quantised too.
        double: bool,
        /// Whether the embedding, and the output layer, are kept in this type too; bitsandbytes leaves them.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        embedding: bool,
    },
    /// 8-bit whole numbers with a scale for each row (Dettmers et al. 2022, "LLM.int8()", vector-wise).
    Int8,
}

impl Quantization {
    /// NF4 of the layers' linears.
    pub const fn nf4(double: bool) -> Self {
        Self::Nf4 { double, embedding: false }
    }

    /// Whether a matrix is kept in this type: one of the layers' linears, or the embedding or output layer.
    pub fn covers(self, in_layer: bool) -> bool {
        in_layer || matches!(self, Self::Nf4 { embedding: true, .. })
    }
}

/// How a net is made ready for training.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// What is trained.
    pub method: Method,
    /// Type of activations and frozen weights.
    pub precision: Precision,
    /// Type of the frozen linears, where it has fewer bits.
    pub quantization: Option<Quantization>,
    /// Folder that keeps quantised bases, to be mapped at the next start.
    pub quantization_cache: Option<PathBuf>,
    /// Whether most activations are computed again in the backward pass instead of being kept.
    pub gradient_checkpointing: bool,
    /// What random values start from: new parameters, and dropout.
    pub seed: u64,
    /// Where it runs.
    pub device: Device,
}

impl TrainOptions {
    /// `method` on the CPU, in bf16, without quantisation or checkpointing.
    pub fn new(method: Method) -> Self {
        Self {
            method,
            precision: Precision::default(),
            quantization: None,
            quantization_cache: None,
            gradient_checkpointing: false,
            seed: 42,
            device: Device::Cpu,
        }
    }
}
