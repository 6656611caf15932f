//! The parts of a decoder in training: which values are frozen, and which are parameters.

use candle_core::Var;

use super::{BottleneckActivation, Quantization};
use crate::nn::{Int8Matrix, Nf4Matrix};
use crate::weights::RawMatrix;

/// A value that is trained.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name, after Hugging Face and PEFT without PEFT's prefix: `model.layers.0.self_attn.q_proj.lora_A.weight`,
    /// `model.layers.0.mlp.down_proj.weight`, `model.layers.0.mlp.adapter.down.weight`.
    pub name: String,
    /// What it is.
    pub kind: ParameterKind,
    /// Its value, f32.
    pub value: Var,
}

/// What a parameter is, for those who treat kinds differently (weight decay, LoRA+).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// A matrix of the model.
    Weight,
    /// The embedding, which may be the output layer too.
    Embedding,
    /// A bias of the model or of an adapter.
    Bias,
    /// The weight of a norm.
    Norm,
    /// LoRA's `A`, `[rank, inputs]`.
    LoraA,
    /// LoRA's `B`, `[outputs, rank]`.
    LoraB,
    /// DoRA's magnitude, `[outputs]`.
    Magnitude,
    /// A matrix of a bottleneck.
    Bottleneck,
}

/// All parts of a decoder. Numbers are places in the list of parameters.
#[derive(Debug)]
pub struct Modules {
    /// `[vocabulary, hidden]`.
    pub embedding: Matrix,
    /// The layers.
    pub layers: Vec<LayerModules>,
    /// The last norm, `[hidden]`.
    pub norm: Vector,
    /// The output layer `[vocabulary, hidden]`; `None` where it is the embedding.
    pub output: Option<Projection>,
}

/// The parts of a layer.
#[derive(Debug)]
pub struct LayerModules {
    /// `[hidden]`.
    pub attention_norm: Vector,
    /// `[heads * head_dim, hidden]`.
    pub q: Projection,
    /// `[kv_heads * head_dim, hidden]`.
    pub k: Projection,
    /// `[kv_heads * head_dim, hidden]`.
    pub v: Projection,
    /// `[hidden, heads * head_dim]`.
    pub o: Projection,
    /// Norms of each query's and key's head, `[head_dim]` each (Qwen3).
    pub qk_norms: Option<(Vector, Vector)>,
    /// After attention's output.
    pub attention_adapter: Option<Bottleneck>,
    /// `[hidden]`.
    pub mlp_norm: Vector,
    /// `[intermediate, hidden]`.
    pub gate: Projection,
    /// `[intermediate, hidden]`.
    pub up: Projection,
    /// `[hidden, intermediate]`.
    pub down: Projection,
    /// After the MLP's output.
    pub mlp_adapter: Option<Bottleneck>,
}

/// A linear layer `[rows, columns]`.
#[derive(Debug)]
pub struct Projection {
    /// Such as `model.layers.0.self_attn.q_proj`.
    pub name: String,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
    /// Its weights.
    pub weight: Matrix,
    /// Its bias, `[rows]`.
    pub bias: Option<Vector>,
    /// Its low-rank difference.
    pub lora: Option<LoraParts>,
}

/// A low-rank difference: `y = W x + b + scale B A dropout(x)`; with a magnitude (DoRA, section 4)
/// `y = m / |W + scale B A| (W x' + scale B A x') + (x - x' through W) + b` as PEFT computes it, the norm taken row by row
/// and held constant in the backward pass.
#[derive(Clone, Debug)]
pub struct LoraParts {
    /// Parameter `[rank, columns]`.
    pub a: usize,
    /// Parameter `[rows, rank]`.
    pub b: usize,
    /// Parameter `[rows]`.
    pub magnitude: Option<usize>,
    /// What `B A x` is multiplied by.
    pub scale: f64,
    /// Share of the inputs that is left out.
    pub dropout: f64,
    /// Tells its dropout from that of other layers.
    pub stream: u64,
}

/// A bottleneck adapter: `x + up(activation(down(x) + b)) + b'`.
#[derive(Clone, Debug)]
pub struct Bottleneck {
    /// Parameter `[size, hidden]`.
    pub down: usize,
    /// Parameter `[size]`.
    pub down_bias: usize,
    /// Parameter `[hidden, size]`.
    pub up: usize,
    /// Parameter `[hidden]`.
    pub up_bias: usize,
    /// What stands between them.
    pub activation: BottleneckActivation,
}

/// A matrix's values.
#[derive(Debug)]
pub enum Matrix {
    /// Held constant.
    Frozen(FrozenMatrix),
    /// A parameter.
    Trained(usize),
}

/// A vector's values.
#[derive(Clone, Debug)]
pub enum Vector {
    /// Held constant.
    Frozen(Vec<f32>),
    /// A parameter.
    Trained(usize),
}

/// A matrix `[rows, columns]` that is held constant.
#[derive(Debug)]
pub enum FrozenMatrix {
    /// Floats, row-major; never a quantised [`RawMatrix`].
    Dense {
        /// Number of columns.
        columns: usize,
        /// The values.
        values: RawMatrix,
    },
    /// 4-bit NormalFloat.
    Nf4(Nf4Matrix),
    /// 8-bit whole numbers.
    Int8(Int8Matrix),
}

impl FrozenMatrix {
    /// Row-major values in a type of few bits.
    ///
    /// # Errors
    /// When there are not `rows * columns` values, or one is not finite.
    pub(crate) fn quantised(
        values: &[f32],
        rows: usize,
        columns: usize,
        quantization: Quantization,
    ) -> candle_core::Result<Self> {
        Ok(match quantization {
            Quantization::Nf4 { double, .. } => {
                Self::Nf4(Nf4Matrix::quantise(values, rows, columns, double)?)
            }
            Quantization::Int8 => Self::Int8(Int8Matrix::quantise(values, rows, columns)?),
        })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Dense { columns, values } => {
                let values = match values {
                    RawMatrix::F32(values) => values.len(),
                    RawMatrix::F16(values) => values.len(),
                    RawMatrix::Bf16(values) => values.len(),
                    RawMatrix::Quantized { .. } => 0,
                };
                values / (*columns).max(1)
            }
            Self::Nf4(matrix) => matrix.rows(),
            Self::Int8(matrix) => matrix.rows(),
        }
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        match self {
            Self::Dense { columns, .. } => *columns,
            Self::Nf4(matrix) => matrix.columns(),
            Self::Int8(matrix) => matrix.columns(),
        }
    }

    /// Writes the values from `start` on (row-major) into `out`, as f32.
    ///
    /// # Panics
    /// When there are fewer values than `out` holds.
    pub fn copy(&self, start: usize, out: &mut [f32]) {
        match self {
            Self::Dense { values, .. } => match values {
                RawMatrix::F32(values) => out.copy_from_slice(&values[start..start + out.len()]),
                RawMatrix::F16(values) => {
                    let values = &values[start..start + out.len()];
                    out.iter_mut().zip(values).for_each(|(out, value)| *out = value.to_f32());
                }
                RawMatrix::Bf16(values) => {
                    let values = &values[start..start + out.len()];
                    out.iter_mut().zip(values).for_each(|(out, value)| *out = value.to_f32());
                }
                RawMatrix::Quantized { .. } => unreachable!("a frozen matrix of floats has no blocks"),
            },
            Self::Nf4(matrix) => matrix.dequantise(start, out),
            Self::Int8(matrix) => matrix.dequantise(start, out),
        }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Dense { columns, values } => {
                let size = if matches!(values, RawMatrix::F32(_)) { 4 } else { 2 };
                self.rows() * columns * size
            }
            Self::Nf4(matrix) => matrix.bytes(),
            Self::Int8(matrix) => matrix.bytes(),
        }
    }
}

impl LayerModules {
    /// The linears, in the order q, k, v, o, gate, up, down.
    pub fn projections(&self) -> [&Projection; 7] {
        [&self.q, &self.k, &self.v, &self.o, &self.gate, &self.up, &self.down]
    }

    /// As [`LayerModules::projections`], to be changed.
    pub(crate) fn projections_mut(&mut self) -> [&mut Projection; 7] {
        let Self { q, k, v, o, gate, up, down, .. } = self;
        [q, k, v, o, gate, up, down]
    }
}

impl LayerModules {
    /// Whether anything of it is trained.
    fn is_trained(&self) -> bool {
        let vector = |vector: &Vector| matches!(vector, Vector::Trained(_));
        let linear = |projection: &Projection| {
            matches!(projection.weight, Matrix::Trained(_))
                || projection.lora.is_some()
                || projection.bias.as_ref().is_some_and(vector)
        };
        self.projections().into_iter().any(linear)
            || [&self.attention_norm, &self.mlp_norm].into_iter().any(vector)
            || self.qk_norms.as_ref().is_some_and(|(q, k)| vector(q) || vector(k))
            || self.attention_adapter.is_some()
            || self.mlp_adapter.is_some()
    }
}

impl Modules {
    /// The lowest layer whose backward pass has something to find: 0 where the embedding is trained, the number of layers
    /// where nothing of them is.
    pub(crate) fn lowest_trained(&self) -> usize {
        if matches!(self.embedding, Matrix::Trained(_)) {
            return 0;
        }
        self.layers.iter().position(LayerModules::is_trained).unwrap_or(self.layers.len())
    }

    /// Values that are frozen.
    pub fn frozen_values(&self) -> usize {
        let matrix = |matrix: &Matrix| match matrix {
            Matrix::Frozen(frozen) => frozen.rows() * frozen.columns(),
            Matrix::Trained(_) => 0,
        };
        let vector = |vector: &Vector| match vector {
            Vector::Frozen(values) => values.len(),
            Vector::Trained(_) => 0,
        };
        let projection = |of: &Projection| matrix(&of.weight) + of.bias.as_ref().map_or(0, vector);
        let layer = |layer: &LayerModules| {
            let norms = layer.qk_norms.as_ref().map_or(0, |(q, k)| vector(q) + vector(k));
            let linears = layer.projections().into_iter().map(projection).sum::<usize>();
            vector(&layer.attention_norm) + vector(&layer.mlp_norm) + norms + linears
        };
        let layers = self.layers.iter().map(layer).sum::<usize>();
        matrix(&self.embedding) + vector(&self.norm) + self.output.as_ref().map_or(0, projection) + layers
    }

    /// Bytes of everything that is frozen.
    pub fn frozen_bytes(&self) -> usize {
        let matrix = |matrix: &Matrix| match matrix {
            Matrix::Frozen(frozen) => frozen.bytes(),
            Matrix::Trained(_) => 0,
        };
        let layers = self.layers.iter().flat_map(LayerModules::projections);
        let linears = layers.chain(&self.output).map(|projection| matrix(&projection.weight)).sum::<usize>();
        matrix(&self.embedding) + linears
    }
}
