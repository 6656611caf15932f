//! Attention within sequences, forward and backward, a stretch of queries at a time, so that no matrix of all scores is ever
//! kept: the backward pass computes the probabilities again.

use candle_core::{D, DType, Device, Result, Tensor};

use super::leaves::wide;
use crate::ops::paged::Heads;

/// Queries of a sequence that are looked at together.
const QUERIES: usize = 512;

/// Queries of a stretch and the keys that any of them sees, as places in the batch.
struct Stretch {
    query: usize,
    queries: usize,
    key: usize,
    keys: usize,
}

/// What the stretches of these sequences are.
fn stretches(lengths: &[usize], window: Option<usize>) -> Vec<Stretch> {
    let (mut all, mut start) = (Vec::new(), 0);
    for length in lengths {
        for from in (0..*length).step_by(QUERIES) {
            let queries = QUERIES.min(length - from);
            let first = window.map_or(0, |window| (from + 1).saturating_sub(window));
            let keys = from + queries - first;
            all.push(Stretch { query: start + from, queries, key: start + first, keys });
        }
        start += length;
    }
    all
}

/// Attention of queries `[tokens, heads, dim]` over keys and values `[tokens, kv heads, dim]`: `[tokens, heads * dim]`.
pub(super) fn forward(
    heads: &Heads,
    lengths: &[usize],
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
) -> Result<Tensor> {
    let mut outs = Vec::new();
    for stretch in stretches(lengths, heads.window) {
        let (q, k, v) = (stretch.grouped(heads, q)?, stretch.seen(k)?, stretch.seen(v)?);
        let out = stretch.probabilities(heads, &q, &k)?.to_dtype(q.dtype())?.matmul(&v)?;
        outs.push(stretch.ungrouped(heads, &out)?);
    }
    Tensor::cat(&outs, 0)?.reshape((q.dim(0)?, heads.query * heads.dim))
}

/// The gradients of queries, keys and values, from that of [`forward`]'s output.
pub(super) fn backward(
    heads: &Heads,
    lengths: &[usize],
    [q, k, v]: [&Tensor; 3],
    gradient: &Tensor,
) -> Result<[Tensor; 3]> {
    let tokens = q.dim(0)?;
    let kind = q.dtype();
    let gradient = gradient.reshape(q.shape())?;
    let mut dq = Vec::new();
    let mut dk = k.zeros_like()?.to_dtype(wide(kind))?;
    let mut dv = dk.clone();
    for stretch in stretches(lengths, heads.window) {
        let (q, k, v) = (stretch.grouped(heads, q)?, stretch.seen(k)?, stretch.seen(v)?);
        let gradient = stretch.grouped(heads, &gradient)?;
        let p = stretch.probabilities(heads, &q, &k)?;
        let own_dv = p.to_dtype(kind)?.t()?.matmul(&gradient)?;
        let dp = gradient.matmul(&v.t()?)?.to_dtype(p.dtype())?;
        // The softmax's Jacobian: p (dp - sum(p dp)).
        let mean = (&p * &dp)?.sum_keepdim(D::Minus1)?;
        let scores = ((dp.broadcast_sub(&mean)? * p)? / (heads.dim as f64).sqrt())?.to_dtype(kind)?;
        dq.push(stretch.ungrouped(heads, &scores.matmul(&k)?)?);
        let own_dk = scores.t()?.matmul(&q)?;
        dk = (dk + stretch.unseen(&own_dk, tokens)?)?;
        dv = (dv + stretch.unseen(&own_dv, tokens)?)?;
    }
    Ok([Tensor::cat(&dq, 0)?, dk.to_dtype(kind)?, dv.to_dtype(kind)?])
}

impl Stretch {
    /// Of `[tokens, heads, dim]`: `[kv, group * queries, dim]`.
    fn grouped(&self, heads: &Heads, x: &Tensor) -> Result<Tensor> {
        let group = heads.query / heads.kv;
        let x = x.narrow(0, self.query, self.queries)?.reshape((self.queries, heads.kv, group, heads.dim))?;
        x.permute((1, 2, 0, 3))?.contiguous()?.reshape((heads.kv, group * self.queries, heads.dim))
    }

    /// The way back: `[queries, heads, dim]`.
    fn ungrouped(&self, heads: &Heads, x: &Tensor) -> Result<Tensor> {
        let group = heads.query / heads.kv;
        let x = x.reshape((heads.kv, group, self.queries, heads.dim))?.permute((2, 0, 1, 3))?;
        x.contiguous()?.reshape((self.queries, heads.query, heads.dim))
    }

    /// Of `[tokens, kv, dim]`: `[kv, keys, dim]`.
    fn seen(&self, x: &Tensor) -> Result<Tensor> {
        x.narrow(0, self.key, self.keys)?.transpose(0, 1)?.contiguous()
    }

    /// The way back, in wide sums: `[tokens, kv, dim]`, zeros elsewhere.
    fn unseen(&self, x: &Tensor, tokens: usize) -> Result<Tensor> {
        let x = x.transpose(0, 1)?.contiguous()?.to_dtype(wide(x.dtype()))?;
        x.pad_with_zeros(0, self.key, tokens - self.key - self.keys)
    }

    /// `[kv, group * queries, keys]`, in f32 or f64.
    fn probabilities(&self, heads: &Heads, q: &Tensor, k: &Tensor) -> Result<Tensor> {
        let kind = wide(q.dtype());
        let scores = q.matmul(&k.t()?)?.to_dtype(kind)?;
        let scores = (scores / (heads.dim as f64).sqrt())?;
        let group = heads.query / heads.kv;
        let mask = self.mask(heads.window, kind, q.device())?;
        let scores = scores.reshape((heads.kv, group, self.queries, self.keys))?.broadcast_add(&mask)?;
        let scores = scores.reshape((heads.kv, group * self.queries, self.keys))?;
        let powers = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
        powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)
    }

    /// Zero where a key is seen, minus infinity where it is not: `[queries, keys]`.
    fn mask(&self, window: Option<usize>, kind: DType, device: &Device) -> Result<Tensor> {
        let mut mask = vec![0f32; self.queries * self.keys];
        for (i, row) in mask.chunks_exact_mut(self.keys).enumerate() {
            let at = self.query + i;
            let first = window.map_or(0, |window| (at + 1).saturating_sub(window));
            for (j, value) in row.iter_mut().enumerate() {
                let key = self.key + j;
                if key > at || key < first {
                    *value = f32::NEG_INFINITY;
                }
            }
        }
        Tensor::from_vec(mask, (self.queries, self.keys), device)?.to_dtype(kind)
    }
}
