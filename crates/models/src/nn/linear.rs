//! Linear layers, by how their weights are kept.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{CpuStorage, CustomOp1, D, Device, Layout, Module, Result, Shape, Tensor};

use super::{Lora, Nf4, plain, with_values};
use crate::ops::Isa;
use crate::ops::packed::{Activations, PackedMatrix, Product, Quantised, products};
use crate::weights::RawMatrix;

/// `y = W x + b` over the last dimension, `W` `[outputs, inputs]`.
#[derive(Debug)]
pub enum Linear {
    /// Floating-point weights.
    Dense(Dense),
    /// A layer with a low-rank difference that can be trained.
    Lora(Lora),
    /// Weights in blocks of a GGML type.
    Quantized(Quantized),
    /// Weights in 4-bit NormalFloat.
    Nf4(Nf4),
}

/// Floating-point weights: a tensor that can be trained, or frozen ones in a kernel's layout.
#[derive(Clone, Debug)]
pub struct Dense {
    weight: DenseWeight,
    bias: Option<Tensor>,
}

#[derive(Clone, Debug)]
enum DenseWeight {
    Tensor(Tensor),
    Packed(Arc<PackedMatrix>),
}

/// Weights in blocks of a GGML type, frozen.
#[derive(Clone, Debug)]
pub struct Quantized {
    weight: QuantizedWeight,
    bias: Option<Tensor>,
}

#[derive(Clone)]
enum QuantizedWeight {
    /// In our own layout.
    Packed(Arc<PackedMatrix>),
    /// Types that candle multiplies.
    Blocks(Arc<QTensor>),
}

impl std::fmt::Debug for QuantizedWeight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Packed(matrix) => matrix.fmt(f),
            Self::Blocks(tensor) => write!(f, "{:?}{:?}", tensor.dtype(), tensor.shape()),
        }
    }
}

impl Dense {
    /// From tensors, which may be trained.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight: DenseWeight::Tensor(weight), bias }
    }
}

impl Linear {
    /// A frozen layer from a file's weights `[outputs, inputs]` and bias `[outputs]`.
    ///
    /// # Errors
    /// When a GGML type's blocks do not fit the shape.
    pub fn frozen(raw: RawMatrix, outputs: usize, inputs: usize, bias: Option<Vec<f32>>) -> Result<Self> {
        let bias = bias.map(|bias| Tensor::from_vec(bias, outputs, &Device::Cpu)).transpose()?;
        let quantized = matches!(raw, RawMatrix::Quantized { .. });
        Ok(match PackedMatrix::pack(raw, outputs, inputs) {
            Ok(packed) => Self::over(Arc::new(packed), quantized, bias),
            Err(RawMatrix::Quantized { kind, bytes }) => {
                let weight = QuantizedWeight::Blocks(Arc::new(blocks(kind, bytes, outputs, inputs)?));
                Self::Quantized(Quantized { weight, bias })
            }
            Err(other) => candle_core::bail!("{other:?} has no packed form"),
        })
    }

    /// A layer whose weights are shared, such as an output layer that is the embedding.
    pub(crate) fn shared(packed: Arc<PackedMatrix>) -> Self {
        let quantized = packed.wants_quantised();
        Self::over(packed, quantized, None)
    }

    /// A layer over shared blocks.
    pub(crate) fn shared_blocks(blocks: Arc<QTensor>) -> Self {
        Self::Quantized(Quantized { weight: QuantizedWeight::Blocks(blocks), bias: None })
    }

    fn over(packed: Arc<PackedMatrix>, quantized: bool, bias: Option<Tensor>) -> Self {
        if quantized {
            Self::Quantized(Quantized { weight: QuantizedWeight::Packed(packed), bias })
        } else {
            Self::Dense(Dense { weight: DenseWeight::Packed(packed), bias })
        }
    }

    /// `W x + b` for `[.., inputs]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if let (Some(packed), true) = (self.packed(), plain(x)) {
            let [y] = each([(packed, self.bias())], x, None)?;
            return Ok(y);
        }
        let y = match self {
            // These add their own bias.
            Self::Lora(lora) => return lora.forward(x),
            Self::Nf4(nf4) => return nf4.forward(x),
            Self::Dense(Dense { weight: DenseWeight::Tensor(weight), .. }) => multiply(x, weight)?,
            Self::Dense(Dense { weight: DenseWeight::Packed(packed), .. })
            | Self::Quantized(Quantized { weight: QuantizedWeight::Packed(packed), .. }) => {
                x.contiguous()?.apply_op1(Frozen(packed.clone()))?
            }
            Self::Quantized(Quantized { weight: QuantizedWeight::Blocks(blocks), .. }) => {
                if x.track_op() {
                    multiply(x, &blocks.dequantize(x.device())?.to_dtype(x.dtype())?)?
                } else {
                    QMatMul::QTensor(blocks.clone()).forward(&x.contiguous()?)?
                }
            }
        };
        match self.bias() {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }

    /// `residual + W x + b`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward_onto(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        match self.packed() {
            Some(packed) if plain(x) && plain(residual) => {
                let [y] = each([(packed, self.bias())], x, Some(residual))?;
                Ok(y)
            }
            _ => self.forward(x)? + residual,
        }
    }

    /// Several layers over the same input, as one piece of work where they allow it.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward_each<const N: usize>(layers: [&Self; N], x: &Tensor) -> Result<[Tensor; N]> {
        let packed: Vec<_> =
            layers.iter().filter_map(|layer| layer.packed().map(|packed| (packed, layer.bias()))).collect();
        if let (Ok(packed), true) = (<[_; N]>::try_from(packed), plain(x)) {
            return each(packed, x, None);
        }
        let mut out = Vec::with_capacity(N);
        for layer in layers {
            out.push(layer.forward(x)?);
        }
        out.try_into().map_err(|_| candle_core::Error::Msg("as many outputs as layers".into()))
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.shape().0
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.shape().1
    }

    /// Bytes of the weights in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Dense(Dense { weight: DenseWeight::Tensor(weight), .. }) => {
                weight.elem_count() * weight.dtype().size_in_bytes()
            }
            Self::Quantized(Quantized { weight: QuantizedWeight::Blocks(blocks), .. }) => {
                blocks.storage_size_in_bytes()
            }
            Self::Lora(lora) => {
                let (a, b) = (lora.delta().a(), lora.delta().b());
                let delta = [a, b].iter().map(|t| t.elem_count() * t.dtype().size_in_bytes()).sum::<usize>();
                lora.base().bytes() + delta
            }
            Self::Nf4(nf4) => nf4.weight().bytes(),
            _ => self.packed().map_or(0, PackedMatrix::bytes),
        }
    }

    fn shape(&self) -> (usize, usize) {
        match self {
            Self::Lora(lora) => lora.base().shape(),
            Self::Nf4(nf4) => (nf4.weight().rows(), nf4.weight().columns()),
            Self::Dense(Dense { weight: DenseWeight::Tensor(weight), .. }) => {
                (weight.dims()[0], weight.dims()[1])
            }
            Self::Quantized(Quantized { weight: QuantizedWeight::Blocks(blocks), .. }) => {
                (blocks.shape().dims()[0], blocks.shape().dims()[1])
            }
            Self::Dense(Dense { weight: DenseWeight::Packed(packed), .. })
            | Self::Quantized(Quantized { weight: QuantizedWeight::Packed(packed), .. }) => {
                (packed.rows(), packed.columns())
            }
        }
    }

    fn packed(&self) -> Option<&PackedMatrix> {
        match self {
            Self::Dense(Dense { weight: DenseWeight::Packed(packed), .. })
            | Self::Quantized(Quantized { weight: QuantizedWeight::Packed(packed), .. }) => Some(packed),
            _ => None,
        }
    }

    fn bias(&self) -> Option<&Tensor> {
        match self {
            Self::Dense(Dense { bias, .. }) | Self::Quantized(Quantized { bias, .. }) => bias.as_ref(),
            Self::Lora(lora) => lora.base().bias(),
            Self::Nf4(nf4) => nf4.bias(),
        }
    }
}

/// A tensor of GGML blocks.
///
/// # Errors
/// When the blocks do not fit the shape.
pub(crate) fn blocks(kind: GgmlDType, bytes: Vec<u8>, rows: usize, columns: usize) -> Result<QTensor> {
    let expected = rows * columns / kind.block_size() * kind.type_size();
    if !columns.is_multiple_of(kind.block_size()) || bytes.len() != expected {
        candle_core::bail!("{} bytes of {kind:?} are no matrix of {rows} by {columns}", bytes.len());
    }
    QTensor::new(QStorage::from_data(bytes.into(), &Device::Cpu, kind)?, (rows, columns))
}

/// `x Wᵀ` for `[.., inputs]`.
fn multiply(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let mut shape = x.dims().to_vec();
    let inputs = x.dim(D::Minus1)?;
    let y = x.reshape(((), inputs))?.matmul(&weight.t()?)?;
    if let Some(last) = shape.last_mut() {
        *last = weight.dim(0)?;
    }
    y.reshape(shape)
}

/// Products of packed matrices with the same plain input, onto a residual where one is given.
fn each<const N: usize>(
    layers: [(&PackedMatrix, Option<&Tensor>); N],
    x: &Tensor,
    residual: Option<&Tensor>,
) -> Result<[Tensor; N]> {
    let inputs = x.dim(D::Minus1)?;
    let tokens = x.elem_count() / inputs.max(1);
    for (packed, _) in layers {
        if packed.columns() != inputs {
            candle_core::bail!("a layer over {} inputs got {:?}", packed.columns(), x.shape());
        }
        if residual.is_some_and(|residual| residual.elem_count() != tokens * packed.rows()) {
            candle_core::bail!("a residual of another shape than {tokens} by {}", packed.rows());
        }
    }
    let isa = Isa::detect();
    let outs = with_values(x, |values| -> Result<[Vec<f32>; N]> {
        let quantised = layers
            .iter()
            .any(|(packed, _)| packed.wants_quantised())
            .then(|| Quantised::of(isa, values, inputs));
        let mut outs = layers.map(|(packed, _)| vec![0f32; tokens * packed.rows()]);
        if let Some(residual) = residual {
            for out in &mut outs {
                with_values(residual, |residual| out.copy_from_slice(residual))?;
            }
        }
        let mut biases = [const { None }; N];
        for (slot, (_, bias)) in biases.iter_mut().zip(layers) {
            *slot = bias.map(|bias| with_values(bias, <[f32]>::to_vec)).transpose()?;
        }
        let mut work: Vec<Product<'_>> = Vec::with_capacity(N);
        for ((out, (packed, _)), bias) in outs.iter_mut().zip(layers).zip(&biases) {
            let (weights, bias) = (packed, bias.as_deref());
            work.push(Product { weights, bias, out, accumulate: residual.is_some() });
        }
        products(isa, &Activations { tokens, values, quantised: quantised.as_ref() }, &mut work);
        drop(work);
        Ok(outs)
    })??;
    let mut tensors = Vec::with_capacity(N);
    for (out, (packed, _)) in outs.into_iter().zip(layers) {
        let mut shape = x.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = packed.rows();
        }
        tensors.push(Tensor::from_vec(out, shape, x.device())?);
    }
    tensors.try_into().map_err(|_| candle_core::Error::Msg("as many outputs as layers".into()))
}

/// `x Wᵀ` with frozen weights in a gradient's graph: the backward pass gives the input's gradient only.
struct Frozen(Arc<PackedMatrix>);

impl CustomOp1 for Frozen {
    fn name(&self) -> &'static str {
        "frozen-linear"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (CpuStorage::F32(values), Some((from, to))) = (storage, layout.contiguous_offsets()) else {
            candle_core::bail!("a frozen layer wants contiguous f32 values in memory");
        };
        let mut shape = layout.dims().to_vec();
        let values = &values[from..to];
        let (rows, columns) = (self.0.rows(), self.0.columns());
        if shape.last() != Some(&columns) {
            candle_core::bail!("a layer over {columns} inputs got {shape:?}");
        }
        let tokens = values.len() / columns;
        let isa = Isa::detect();
        let quantised = self.0.wants_quantised().then(|| Quantised::of(isa, values, columns));
        let mut out = vec![0f32; tokens * rows];
        let product = Product { weights: &self.0, bias: None, out: &mut out, accumulate: false };
        products(isa, &Activations { tokens, values, quantised: quantised.as_ref() }, &mut [product]);
        if let Some(last) = shape.last_mut() {
            *last = rows;
        }
        Ok((CpuStorage::F32(out), shape.into()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (rows, columns) = (self.0.rows(), self.0.columns());
        let mut weight = vec![0f32; rows * columns];
        for (row, out) in weight.chunks_exact_mut(columns.max(1)).enumerate() {
            self.0.row(row, out);
        }
        let weight = Tensor::from_vec(weight, (rows, columns), grad.device())?;
        let mut shape = grad.dims().to_vec();
        let flat = grad.reshape(((), rows))?.matmul(&weight)?;
        if let Some(last) = shape.last_mut() {
            *last = columns;
        }
        flat.reshape(shape).map(Some)
    }
}
