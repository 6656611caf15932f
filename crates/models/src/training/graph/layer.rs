//! The parts of a layer in differentiable operations. Sums are taken, and vectors applied, in f32 (or f64); products and what
//! is kept are in the type of the activations.

use candle_core::{D, DType, Result, Tensor};
use rayon::prelude::*;

use super::leaves::{Leaves, wide};
use super::parts::{LayerParts, LinearPart, MatrixPart, VectorPart};
use crate::decoder::DecoderConfig;
use crate::nn::rope::Tables;
use crate::ops::paged::Heads;
use crate::training::dropout::keeps;
use crate::training::{Bottleneck, BottleneckActivation, LoraParts};

/// What all layers of a step share.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub config: &'a DecoderConfig,
    pub kind: DType,
    pub rotation: Tables,
    pub dropout: Option<Dropout>,
}

/// What tells a step's dropout from another's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dropout {
    pub seed: u64,
    pub step: u64,
}

/// A graph's operations, over its parameters.
#[derive(Clone, Copy)]
pub(super) struct Graph<'a> {
    pub context: &'a Context<'a>,
    pub leaves: &'a Leaves<'a>,
}

impl Context<'_> {
    /// The heads of a layer.
    pub fn heads(&self, layer: usize) -> Heads {
        let DecoderConfig { heads, kv_heads, head_dim, ref windows, .. } = *self.config;
        Heads { query: heads, kv: kv_heads, dim: head_dim, window: windows[layer] }
    }
}

impl Graph<'_> {
    /// From a layer's input `[tokens, hidden]` to its rotated queries and keys, and its values: `[tokens, heads, dim]` each.
    pub fn before_attention(&self, layer: &LayerParts, x: &Tensor) -> Result<[Tensor; 3]> {
        let DecoderConfig { heads, kv_heads, head_dim, .. } = *self.context.config;
        let tokens = x.dim(0)?;
        let x = self.norm(&layer.attention_norm, x)?;
        let mut q = self.linear(&layer.q, &x)?.reshape((tokens, heads, head_dim))?;
        let mut k = self.linear(&layer.k, &x)?.reshape((tokens, kv_heads, head_dim))?;
        let v = self.linear(&layer.v, &x)?.reshape((tokens, kv_heads, head_dim))?;
        if let Some((q_norm, k_norm)) = &layer.qk_norms {
            q = self.norm(q_norm, &q)?;
            k = self.norm(k_norm, &k)?;
        }
        Ok([self.context.rotation.rotate(&q)?, self.context.rotation.rotate(&k)?, v])
    }

    /// From a layer's input and what its attention saw, `[tokens, heads * dim]`, to its output `[tokens, hidden]`.
    pub fn after_attention(&self, layer: &LayerParts, x: &Tensor, seen: &Tensor) -> Result<Tensor> {
        let out = self.linear(&layer.o, seen)?;
        let x = (x + self.adapted(layer.attention_adapter.as_ref(), out)?)?;
        let normed = self.norm(&layer.mlp_norm, &x)?;
        let gate = self.linear(&layer.gate, &normed)?;
        let gate = gate.to_dtype(wide(self.context.kind))?.silu()?.to_dtype(self.context.kind)?;
        let out = self.linear(&layer.down, &(gate * self.linear(&layer.up, &normed)?)?)?;
        x + self.adapted(layer.mlp_adapter.as_ref(), out)?
    }

    /// `x / sqrt(mean(x²) + epsilon) * weight` over the last dimension (Zhang and Sennrich 2019, equation 4).
    pub fn norm(&self, weight: &VectorPart, x: &Tensor) -> Result<Tensor> {
        let x = x.to_dtype(wide(self.context.kind))?;
        let mean = x.sqr()?.mean_keepdim(D::Minus1)?;
        let root = (mean + f64::from(self.context.config.norm_epsilon))?.sqrt()?;
        let normed = x.broadcast_div(&root)?.broadcast_mul(&self.vector(weight)?)?;
        normed.to_dtype(self.context.kind)
    }

    /// A linear layer with its bias and its low-rank difference, for `[tokens, columns]`.
    pub fn linear(&self, part: &LinearPart, x: &Tensor) -> Result<Tensor> {
        let y = self.product(&part.weight, x)?;
        let y = match &part.lora {
            Some(lora) => self.with_lora(&part.weight, lora, x, y)?,
            None => y,
        };
        match &part.bias {
            Some(bias) => self.plus(&y, &self.vector(bias)?),
            None => Ok(y),
        }
    }

    /// `x Wᵀ`.
    pub fn product(&self, weight: &MatrixPart, x: &Tensor) -> Result<Tensor> {
        match weight {
            MatrixPart::Frozen(frozen) => frozen.multiply(x),
            MatrixPart::Trained(parameter) => x.contiguous()?.matmul(&self.leaves.narrow(*parameter)?.t()?),
        }
    }

    /// `base`, which is `W x`, with the low-rank difference: as PEFT computes it where there is a magnitude (Liu et al. 2024,
    /// "DoRA", equation 5; its section 4.3 holds the norm constant).
    fn with_lora(&self, weight: &MatrixPart, lora: &LoraParts, x: &Tensor, base: Tensor) -> Result<Tensor> {
        let dropped = self.dropped(lora, x)?;
        let (a, b) = (self.leaves.wide(lora.a)?, (self.leaves.wide(lora.b)? * lora.scale)?);
        let kind = self.context.kind;
        let input = dropped.as_ref().unwrap_or(x).contiguous()?;
        let low = input.matmul(&a.to_dtype(kind)?.t()?)?;
        let delta = low.matmul(&b.to_dtype(kind)?.t()?)?;
        let Some(magnitude) = lora.magnitude else { return base + delta };
        let whole = match weight {
            MatrixPart::Frozen(frozen) => frozen.values()?.to_dtype(a.dtype())?,
            MatrixPart::Trained(parameter) => self.leaves.wide(*parameter)?.detach(),
        };
        let whole = (whole + b.detach().matmul(&a.detach())?)?;
        let norm = whole.sqr()?.sum(1)?.sqrt()?;
        let ratio = (self.leaves.wide(magnitude)? / norm)?;
        let (base, delta) = (base.to_dtype(a.dtype())?, delta.to_dtype(a.dtype())?);
        let y = match dropped {
            None => (base + delta)?.broadcast_mul(&ratio)?,
            // With dropout the weight's own part of the difference sees what is left of the input too.
            Some(dropped) => {
                let own = self.product(weight, &dropped)?.to_dtype(a.dtype())?;
                let own = own.broadcast_mul(&(&ratio - 1.0)?)?;
                ((base + own)? + delta.broadcast_mul(&ratio)?)?
            }
        };
        y.to_dtype(kind)
    }

    /// What dropout leaves of `[tokens, columns]`; `None` where there is none.
    fn dropped(&self, lora: &LoraParts, x: &Tensor) -> Result<Option<Tensor>> {
        let Some(Dropout { seed, step }) = self.context.dropout.filter(|_| lora.dropout > 0.0) else {
            return Ok(None);
        };
        let count = x.elem_count() as u64;
        let kept = (0..count).into_par_iter();
        let kept = kept.map(|element| u8::from(keeps(seed, step, lora.stream, element, lora.dropout)));
        let kept = Tensor::from_vec(kept.collect::<Vec<_>>(), x.shape(), x.device())?;
        let kind = wide(self.context.kind);
        let factors = (kept.to_dtype(kind)? / (1.0 - lora.dropout))?;
        (x.to_dtype(kind)? * factors)?.to_dtype(self.context.kind).map(Some)
    }

    /// `x + up(activation(down(x)))` (Houlsby et al. 2019, section 2), or `x`.
    fn adapted(&self, adapter: Option<&Bottleneck>, x: Tensor) -> Result<Tensor> {
        let Some(adapter) = adapter else { return Ok(x) };
        let leaves = self.leaves;
        let low = x.contiguous()?.matmul(&leaves.narrow(adapter.down)?.t()?)?;
        let low = low.to_dtype(wide(self.context.kind))?.broadcast_add(&leaves.wide(adapter.down_bias)?)?;
        let low = match adapter.activation {
            BottleneckActivation::Silu => low.silu()?,
            // Without a gradient at zero.
            BottleneckActivation::Relu => {
                let positive = low.detach().gt(0.0)?.to_dtype(low.dtype())?;
                (low * positive)?
            }
        };
        let high = low.to_dtype(self.context.kind)?.matmul(&leaves.narrow(adapter.up)?.t()?)?;
        x + self.plus(&high, &leaves.wide(adapter.up_bias)?)?
    }

    fn plus(&self, y: &Tensor, bias: &Tensor) -> Result<Tensor> {
        y.to_dtype(bias.dtype())?.broadcast_add(bias)?.to_dtype(self.context.kind)
    }

    fn vector(&self, vector: &VectorPart) -> Result<Tensor> {
        match vector {
            VectorPart::Frozen(values) => Ok(values.clone()),
            VectorPart::Trained(parameter) => self.leaves.wide(*parameter),
        }
    }
}
