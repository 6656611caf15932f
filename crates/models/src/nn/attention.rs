//! Self-attention: projections, norms of heads, rotation, and what looks back.

use candle_core::{D, DType, Result, Tensor};

use super::{Bottleneck, Linear, RmsNorm, Rotation, bottleneck, with_values};
use crate::decoder::kv_cache::Step;
use crate::ops::paged::Heads;

/// Self-attention with grouped heads (Ainslie et al. 2023).
#[derive(Debug)]
pub(crate) struct Attention {
    pub q: Linear,
    pub k: Linear,
    pub v: Linear,
    pub o: Linear,
    /// Norms of each query's and key's head (Qwen3).
    pub norms: Option<(RmsNorm, RmsNorm)>,
    pub heads: Heads,
    /// Over its output.
    pub adapter: Option<Bottleneck>,
}

/// What a step's tokens look back over.
pub(crate) enum Past<'a, 'b> {
    /// Their sequences' cached keys and values, to which theirs are added.
    Cached(&'a mut Step<'b>),
    /// Each other alone: sequences of these lengths, one after the other. Gradients flow.
    Whole(&'a [usize]),
}

impl Attention {
    /// `residual + attention(x)`, both `[tokens, hidden]`.
    pub fn forward_onto(
        &self,
        layer: usize,
        x: &Tensor,
        residual: &Tensor,
        rotation: &Rotation,
        past: &mut Past<'_, '_>,
    ) -> Result<Tensor> {
        let tokens = x.dim(0)?;
        let [mut q, mut k, v] = Linear::forward_each([&self.q, &self.k, &self.v], x)?;
        if let Some((q_norm, k_norm)) = &self.norms {
            q = q_norm.forward(&q.reshape((tokens * self.heads.query, self.heads.dim))?)?;
            k = k_norm.forward(&k.reshape((tokens * self.heads.kv, self.heads.dim))?)?;
        }
        let seen = match past {
            Past::Cached(step) => {
                let rotated = |x: &Tensor, heads| {
                    with_values(x, |x| {
                        let mut x = x.to_vec();
                        rotation.apply(&mut x, heads);
                        x
                    })
                };
                let (q, k) = (rotated(&q, self.heads.query)?, rotated(&k, self.heads.kv)?);
                let out = with_values(&v, |v| step.attend(layer, self.heads, &q, &k, v))?;
                Tensor::from_vec(out, (tokens, self.heads.query * self.heads.dim), x.device())?
            }
            Past::Whole(lengths) => self.whole(&q, &k, &v, rotation, lengths)?,
        };
        bottleneck::onto(&self.o, self.adapter.as_ref(), &seen, residual)
    }

    /// The plain reference, through which gradients flow: each sequence's scores as one matrix.
    fn whole(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        rotation: &Rotation,
        lengths: &[usize],
    ) -> Result<Tensor> {
        let Heads { query, kv, dim, window } = self.heads;
        let tokens: usize = lengths.iter().sum();
        let q = rotation.differentiable(&q.reshape((tokens, query, dim))?)?;
        let k = rotation.differentiable(&k.reshape((tokens, kv, dim))?)?;
        let v = v.reshape((tokens, kv, dim))?;
        let mut outs = Vec::with_capacity(lengths.len());
        let mut start = 0;
        for length in lengths.iter().copied() {
            let group = query / kv;
            // [kv, group * length, dim] against [kv, length, dim].
            let q = q.narrow(0, start, length)?.reshape((length, kv, group, dim))?.permute((1, 2, 0, 3))?;
            let q = q.contiguous()?.reshape((kv, group * length, dim))?;
            let k = k.narrow(0, start, length)?.transpose(0, 1)?.contiguous()?;
            let v = v.narrow(0, start, length)?.transpose(0, 1)?.contiguous()?;
            let scores = (q.matmul(&k.t()?)? / (dim as f64).sqrt())?.reshape((kv, group, length, length))?;
            let masked: Vec<f32> = (0..length)
                .flat_map(|i| {
                    let first = window.map_or(0, |window| (i + 1).saturating_sub(window));
                    (0..length).map(move |j| if j <= i && j >= first { 0.0 } else { f32::NEG_INFINITY })
                })
                .collect();
            let mask = Tensor::from_vec(masked, (1, 1, length, length), q.device())?.to_dtype(q.dtype())?;
            // The plain softmax; candle's fused one has no gradient.
            let scores = scores.broadcast_add(&mask)?.to_dtype(DType::F32)?;
            let scores = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
            let p = scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?.to_dtype(q.dtype())?;
            let out = p.reshape((kv, group * length, length))?.matmul(&v)?;
            let out = out.reshape((kv, group, length, dim))?.permute((2, 0, 1, 3))?;
            outs.push(out.contiguous()?.reshape((length, query * dim))?);
            start += length;
        }
        Tensor::cat(&outs, 0)
    }
}
