//! Attention within sequences, forward and backward. Sequences of similar lengths go together, padded to the longest, so that a
//! device has a few large products to do and not many small ones; of long ones a stretch of queries at a time, so that no matrix
//! of all scores is ever kept: the backward pass computes the probabilities again.

use candle_core::{D, DType, Device, Result, Tensor};

use super::leaves::wide;
use crate::ops::paged::Heads;

/// Queries of a sequence that are looked at together.
const QUERIES: usize = 512;
/// Scores of a head that are in memory at a time, unless one stretch of one sequence has more.
const SCORES: usize = 1 << 23;
/// A sequence goes with longer ones if it is at least this share of the longest: padding is computed with too.
const SIMILAR: f64 = 0.75;

/// How a batch's sequences are put together.
#[derive(Debug)]
pub(super) struct Arrangement {
    groups: Vec<Group>,
    /// For each token its place among all places of all groups, one group behind the other.
    back: Tensor,
}

/// Sequences that are looked at together.
#[derive(Debug)]
struct Group {
    count: usize,
    /// Places of each sequence.
    longest: usize,
    /// For each place the token that stands there, or the number of all tokens where none does: `[count * longest]`.
    tokens: Tensor,
}

/// A stretch of the queries of a group's sequences, and the keys that any of them sees.
#[derive(Clone, Copy)]
struct Stretch {
    query: usize,
    queries: usize,
    key: usize,
    keys: usize,
}

/// Queries, keys, values or what is like them, of a group: `[count, heads, longest, dim]`.
struct Padded<'a> {
    heads: &'a Heads,
    group: &'a Group,
}

impl Arrangement {
    /// Of sequences of these lengths, one behind the other.
    pub fn new(lengths: &[usize], device: &Device) -> Result<Self> {
        let tokens: usize = lengths.iter().sum();
        let mut sequences = Vec::with_capacity(lengths.len());
        let mut start = 0;
        for length in lengths.iter().copied().filter(|length| *length > 0) {
            sequences.push((start, length));
            start += length;
        }
        sequences.sort_by_key(|(start, length)| (std::cmp::Reverse(*length), *start));
        let mut back = vec![0; tokens];
        let (mut groups, mut before) = (Vec::new(), 0);
        let mut rest = sequences.as_slice();
        while let Some((_, longest)) = rest.first().copied() {
            let most = (SCORES / (longest * longest.min(QUERIES))).max(1);
            let similar = |(_, length): &&(usize, usize)| *length as f64 >= longest as f64 * SIMILAR;
            let count = rest.iter().take(most).take_while(similar).count();
            let (together, others) = rest.split_at(count);
            let mut places = vec![tokens as u32; count * longest];
            for ((start, length), places) in together.iter().zip(places.chunks_exact_mut(longest)) {
                for (at, place) in places.iter_mut().take(*length).enumerate() {
                    *place = (start + at) as u32;
                    back[start + at] = (before + at) as u32;
                }
                before += longest;
            }
            let places = Tensor::from_vec(places, count * longest, device)?;
            groups.push(Group { count, longest, tokens: places });
            rest = others;
        }
        Ok(Self { groups, back: Tensor::from_vec(back, tokens, device)? })
    }

    /// Attention of queries `[tokens, heads, dim]` over keys and values `[tokens, kv heads, dim]`: `[tokens, heads * dim]`.
    pub fn forward(&self, heads: &Heads, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        let [all_q, all_k, all_v] = [with_nothing(q)?, with_nothing(k)?, with_nothing(v)?];
        let mut outs = Vec::new();
        for group in &self.groups {
            let padded = Padded { heads, group };
            let [q, k, v] = [padded.of(&all_q)?, padded.of(&all_k)?, padded.of(&all_v)?];
            let mut seen = Vec::new();
            for stretch in group.stretches(heads.window) {
                let (q, k, v) = (padded.queries(&stretch, &q)?, stretch.keys(&k)?, stretch.keys(&v)?);
                let out = padded.probabilities(&stretch, &q, &k)?.to_dtype(v.dtype())?.matmul(&v)?;
                seen.push(padded.ungrouped(&stretch, &out)?);
            }
            outs.push(group.flat(&Tensor::cat(&seen, 2)?)?);
        }
        self.tokens(&outs)?.reshape((q.dim(0)?, heads.query * heads.dim))
    }

    /// The gradients of queries, keys and values, from that of [`Arrangement::forward`]'s output.
    pub fn backward(&self, heads: &Heads, [q, k, v]: [&Tensor; 3], gradient: &Tensor) -> Result<[Tensor; 3]> {
        let kind = q.dtype();
        let [all_q, all_k, all_v] = [with_nothing(q)?, with_nothing(k)?, with_nothing(v)?];
        // Nothing comes from padding, whose gradient is zero.
        let all_gradients = with_nothing(&gradient.reshape(q.shape())?)?;
        let mut outs = [Vec::new(), Vec::new(), Vec::new()];
        for group in &self.groups {
            let padded = Padded { heads, group };
            let [all_q, all_k, all_v] = [padded.of(&all_q)?, padded.of(&all_k)?, padded.of(&all_v)?];
            let gradients = padded.of(&all_gradients)?;
            let mut dq = Vec::new();
            let mut dk = all_k.zeros_like()?.to_dtype(wide(kind))?;
            let mut dv = dk.clone();
            for stretch in group.stretches(heads.window) {
                let (q, k, v) =
                    (padded.queries(&stretch, &all_q)?, stretch.keys(&all_k)?, stretch.keys(&all_v)?);
                let gradient = padded.queries(&stretch, &gradients)?;
                let p = padded.probabilities(&stretch, &q, &k)?;
                let own_dv = p.to_dtype(kind)?.t()?.matmul(&gradient)?;
                let dp = gradient.matmul(&v.t()?)?.to_dtype(p.dtype())?;
                // The softmax's Jacobian: p (dp - sum(p dp)).
                let mean = (&p * &dp)?.sum_keepdim(D::Minus1)?;
                let scores = (dp.broadcast_sub(&mean)? * p)?.affine(1.0 / (heads.dim as f64).sqrt(), 0.0)?;
                let scores = scores.to_dtype(kind)?;
                dq.push(padded.ungrouped(&stretch, &scores.matmul(&k)?)?);
                let own_dk = scores.t()?.matmul(&q)?;
                dk = (dk + padded.unseen(&stretch, &own_dk)?)?;
                dv = (dv + padded.unseen(&stretch, &own_dv)?)?;
            }
            outs[0].push(group.flat(&Tensor::cat(&dq, 2)?)?);
            outs[1].push(group.flat(&dk.to_dtype(kind)?)?);
            outs[2].push(group.flat(&dv.to_dtype(kind)?)?);
        }
        let [dq, dk, dv] = outs;
        Ok([self.tokens(&dq)?, self.tokens(&dk)?, self.tokens(&dv)?])
    }

    /// From the places of all groups, `[places, heads, dim]` each, to the tokens, `[tokens, heads, dim]`.
    fn tokens(&self, groups: &[Tensor]) -> Result<Tensor> {
        Tensor::cat(groups, 0)?.index_select(&self.back, 0)
    }
}

/// With a row of zeros behind, which stands for padding.
fn with_nothing(x: &Tensor) -> Result<Tensor> {
    x.pad_with_zeros(0, 0, 1)?.contiguous()
}

impl Group {
    fn stretches(&self, window: Option<usize>) -> Vec<Stretch> {
        let stretch = |from: usize| {
            let queries = QUERIES.min(self.longest - from);
            let key = window.map_or(0, |window| (from + 1).saturating_sub(window));
            Stretch { query: from, queries, key, keys: from + queries - key }
        };
        (0..self.longest).step_by(QUERIES).map(stretch).collect()
    }

    /// Of `[count, heads, longest, dim]`: `[places, heads, dim]`.
    fn flat(&self, x: &Tensor) -> Result<Tensor> {
        let (count, heads, longest, dim) = x.dims4()?;
        x.transpose(1, 2)?.contiguous()?.reshape((count * longest, heads, dim))
    }
}

impl Stretch {
    /// Of `[count, kv, longest, dim]`: `[count * kv, keys, dim]`.
    fn keys(&self, x: &Tensor) -> Result<Tensor> {
        let (count, kv, _, dim) = x.dims4()?;
        x.narrow(2, self.key, self.keys)?.contiguous()?.reshape((count * kv, self.keys, dim))
    }

    /// Zero where a key is seen, minus infinity where it is not: `[queries, keys]`. Padding stands behind, where nothing sees it.
    fn mask(&self, window: Option<usize>, kind: DType, device: &Device) -> Result<Tensor> {
        let shape = (self.queries, self.keys);
        let at = |from: usize, count: usize| Tensor::arange(from as u32, (from + count) as u32, device);
        let queries = at(self.query, self.queries)?.reshape((self.queries, 1))?;
        let keys = at(self.key, self.keys)?.reshape((1, self.keys))?;
        let mut hidden = queries.broadcast_lt(&keys)?;
        if let Some(window) = window {
            let beyond = (keys.to_dtype(DType::F64)? + window as f64)?;
            hidden = (hidden + queries.to_dtype(DType::F64)?.broadcast_ge(&beyond)?)?;
        }
        let [none, zero] = [f32::NEG_INFINITY, 0.0].map(|value| Tensor::full(value, shape, device));
        hidden.where_cond(&none?, &zero?)?.to_dtype(kind)
    }
}

impl Padded<'_> {
    /// Of `[tokens + 1, heads, dim]`.
    fn of(&self, x: &Tensor) -> Result<Tensor> {
        let Group { count, longest, tokens } = self.group;
        let (_, heads, dim) = x.dims3()?;
        x.index_select(tokens, 0)?.reshape((*count, *longest, heads, dim))?.transpose(1, 2)?.contiguous()
    }

    /// Of `[count, heads, longest, dim]`: `[count * kv, group * queries, dim]`.
    fn queries(&self, stretch: &Stretch, x: &Tensor) -> Result<Tensor> {
        let x = x.narrow(2, stretch.query, stretch.queries)?.contiguous()?;
        x.reshape((self.batch(), self.shared() * stretch.queries, self.heads.dim))
    }

    /// The way back: `[count, heads, queries, dim]`.
    fn ungrouped(&self, stretch: &Stretch, x: &Tensor) -> Result<Tensor> {
        x.reshape((self.group.count, self.heads.query, stretch.queries, self.heads.dim))
    }

    /// From `[count * kv, keys, dim]` to `[count, kv, longest, dim]` in wide sums, zeros elsewhere.
    fn unseen(&self, stretch: &Stretch, x: &Tensor) -> Result<Tensor> {
        let x = x.reshape((self.group.count, self.heads.kv, stretch.keys, self.heads.dim))?;
        let behind = self.group.longest - stretch.key - stretch.keys;
        x.to_dtype(wide(x.dtype()))?.pad_with_zeros(2, stretch.key, behind)
    }

    /// `[count * kv, group * queries, keys]`, in f32 or f64.
    fn probabilities(&self, stretch: &Stretch, q: &Tensor, k: &Tensor) -> Result<Tensor> {
        let kind = wide(q.dtype());
        let scores = q.matmul(&k.t()?)?.to_dtype(kind)?.affine(1.0 / (self.heads.dim as f64).sqrt(), 0.0)?;
        let mask = stretch.mask(self.heads.window, kind, q.device())?;
        let apart = (self.batch() * self.shared(), stretch.queries, stretch.keys);
        let scores = scores.reshape(apart)?.broadcast_add(&mask)?;
        let together = (self.batch(), self.shared() * stretch.queries, stretch.keys);
        candle_nn::ops::softmax_last_dim(&scores.reshape(together)?)
    }

    fn batch(&self) -> usize {
        self.group.count * self.heads.kv
    }

    /// Query heads that share a key head.
    fn shared(&self) -> usize {
        self.heads.query / self.heads.kv
    }
}
