//! Causal attention of whole sequences, forwards and backwards, without a matrix of all scores.
//!
//! Blocks of queries pass over the keys that they see; the backward pass computes the probabilities again from the kept
//! logarithms of their sums (Dao et al. 2022, "FlashAttention", algorithms 1 and 4, with whole rows of scores).

use std::sync::{Mutex, PoisonError};

use super::Shared;
use super::element::{Element, Real, most, sum, vectorised};
use super::matmul::{BLOCK, Panels, View, matmul};
use crate::ops::paged::Heads;
use crate::ops::team::for_chunks;

/// Queries of a block.
const QUERIES: usize = BLOCK;

/// Queries, keys and values of sequences that lie one after the other: `[tokens, heads, dim]`, queries and keys rotated.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a, E> {
    pub q: &'a [E],
    pub k: &'a [E],
    pub v: &'a [E],
    pub heads: Heads,
    pub lengths: &'a [usize],
}

struct Scratch<E: Element> {
    /// Keys and values as columns, and as rows.
    panels: [Panels; 3],
    scores: Vec<E::Wide>,
    more: Vec<E::Wide>,
    mixed: Vec<E::Wide>,
    p: Vec<E>,
    ds: Vec<E>,
    dk: Vec<E::Wide>,
    dv: Vec<E::Wide>,
}

impl<E: Element> Scratch<E> {
    fn new() -> Self {
        Self {
            panels: Default::default(),
            scores: Vec::new(),
            more: Vec::new(),
            mixed: Vec::new(),
            p: Vec::new(),
            ds: Vec::new(),
            dk: Vec::new(),
            dv: Vec::new(),
        }
    }
}

impl<'a, E: Element> Input<'a, E> {
    /// Calls `work` for each sequence and query head, on all threads: first token, length, head, and buffers with anything
    /// in them.
    fn each(&self, work: impl Fn(usize, usize, usize, &mut Scratch<E>) + Sync) {
        let mut starts = Vec::with_capacity(self.lengths.len());
        let mut start = 0;
        for length in self.lengths {
            starts.push((start, *length));
            start += length;
        }
        // The longest first, so that no thread is left with one at the end.
        starts.sort_by_key(|(_, length)| std::cmp::Reverse(*length));
        let heads = self.heads.query;
        let next = std::sync::atomic::AtomicUsize::new(0);
        let all = starts.len() * heads;
        // As many as there are threads, and used again by whoever comes next.
        let free: Mutex<Vec<Scratch<E>>> = Mutex::new(Vec::new());
        let list = || free.lock().unwrap_or_else(PoisonError::into_inner);
        for_chunks(all, |range| {
            for _ in range {
                let item = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let (start, length) = starts[item / heads];
                let mut own = list().pop().unwrap_or_else(Scratch::new);
                work(start, length, item % heads, &mut own);
                list().push(own);
            }
        });
    }

    /// Rows `start..start + length` of a head.
    fn head(
        values: &'a [E],
        start: usize,
        length: usize,
        head: usize,
        heads: usize,
        dim: usize,
    ) -> View<'a, E> {
        View::strided(&values[(start * heads + head) * dim..], length, dim, heads * dim)
    }

    fn factor(&self) -> E::Wide {
        E::Wide::of(1.0 / (self.heads.dim as f64).sqrt())
    }
}

/// The keys, from an even one on, that queries `first..first + count` see.
fn seen(first: usize, count: usize, window: Option<usize>) -> (usize, usize) {
    let from = window.map_or(0, |window| (first + 1).saturating_sub(window));
    (from - from % super::kernel::PANEL, first + count)
}

/// The mixture of values `[tokens, query heads, dim]`, and for each query and head the logarithm of its scores' sum.
pub(crate) fn forward<E: Element>(input: &Input<'_, E>, out: &mut [E], sums: &mut [E::Wide]) {
    let (heads, dim) = (input.heads, input.heads.dim);
    let factor = input.factor();
    let (out, sums) = (Shared::of(out), Shared::of(sums));
    let group = heads.query / heads.kv;
    input.each(|start, length, head, own| {
        let Scratch { panels: [keys, values, _], scores, p, mixed, .. } = own;
        let kv = head / group;
        keys.pack(&Input::head(input.k, start, length, kv, heads.kv, dim).t());
        values.pack(&Input::head(input.v, start, length, kv, heads.kv, dim));
        let q = Input::head(input.q, start, length, head, heads.query, dim);
        for first in (0..length).step_by(QUERIES) {
            let count = QUERIES.min(length - first);
            let (from, to) = seen(first, count, heads.window);
            let width = (to - from).next_multiple_of(2);
            scores.resize(count * width, E::Wide::default());
            p.resize(count * width, E::default());
            mixed.resize(count * dim, E::Wide::default());
            keys.multiply(q.part(first, count), 0, (from, to), scores, width);
            for row in 0..count {
                let (scores, p) = (&mut scores[row * width..][..width], &mut p[row * width..][..width]);
                let query = first + row;
                let least =
                    heads.window.map_or(0, |window| (query + 1).saturating_sub(window)).max(from) - from;
                let sum = soften(&mut scores[..query + 1 - from], least, factor, p);
                sums.part((start + query) * heads.query + head, 1)[0] = sum;
            }
            let seen = View::strided(p, count, width, width);
            let inner = (to - from).next_multiple_of(E::kernel().depth);
            values.multiply(seen.columns_part(0, inner), from, (0, dim), mixed, dim);
            for row in 0..count {
                let out = out.part(((start + first + row) * heads.query + head) * dim, dim);
                for (out, value) in out.iter_mut().zip(&mixed[row * dim..][..dim]) {
                    *out = E::narrow(*value);
                }
            }
        }
    });
}

/// The softmax of `scores[least..]` times `factor`, the rest zeros; gives the logarithm of the sum.
#[inline(always)]
fn soften<E: Element>(scores: &mut [E::Wide], least: usize, factor: E::Wide, p: &mut [E]) -> E::Wide {
    vectorised(
        #[inline(always)]
        || {
            let seen = &mut scores[least..];
            let top = most(seen);
            for score in seen.iter_mut() {
                *score = ((*score - top) * factor).exp_negative();
            }
            let seen = &*seen;
            let total = sum::<E::Wide>(
                seen.len(),
                #[inline(always)]
                |i| seen[i],
            );
            let share = E::Wide::of(1.0) / total;
            p[..least].fill(E::default());
            let end = least + seen.len();
            for (p, score) in p[least..end].iter_mut().zip(seen) {
                *p = E::narrow(*score * share);
            }
            p[end..].fill(E::default());
            top * factor + E::Wide::of(total.wide().ln())
        },
    )
}

/// Gradients of queries, keys and values, from that of the mixture.
pub(crate) fn backward<E: Element>(
    input: &Input<'_, E>,
    out: &[E],
    sums: &[E::Wide],
    dout: &[E],
    (dq, dk, dv): (&mut [E], &mut [E], &mut [E]),
) {
    let (heads, dim) = (input.heads, input.heads.dim);
    let factor = input.factor();
    let group = heads.query / heads.kv;
    let tokens: usize = input.lengths.iter().sum();
    // A key's gradient is the sum over the queries' heads that share it; each head writes its own first.
    let parts = if group == 1 { 0 } else { tokens * heads.query * dim };
    let (mut dk_parts, mut dv_parts) = (vec![E::Wide::default(); parts], vec![E::Wide::default(); parts]);
    {
        let dq = Shared::of(dq);
        let (dk, dv) = (Shared::of(&mut *dk), Shared::of(&mut *dv));
        let (dk_parts, dv_parts) = (Shared::of(&mut dk_parts), Shared::of(&mut dv_parts));
        input.each(|start, length, head, own| {
            let Scratch { panels: [keys, values, rows], scores, more, mixed, p, ds, dk: own_k, dv: own_v } =
                own;
            let kv = head / group;
            let k = Input::head(input.k, start, length, kv, heads.kv, dim);
            let v = Input::head(input.v, start, length, kv, heads.kv, dim);
            keys.pack(&k.t());
            values.pack(&v.t());
            rows.pack(&k);
            let q = Input::head(input.q, start, length, head, heads.query, dim);
            let o = Input::head(out, start, length, head, heads.query, dim);
            let d = Input::head(dout, start, length, head, heads.query, dim);
            // Transposed: `[dim, length]`.
            for sums in [&mut *own_k, &mut *own_v] {
                sums.clear();
                sums.resize(dim * length, E::Wide::default());
            }
            for first in (0..length).step_by(QUERIES) {
                let count = QUERIES.min(length - first);
                let (from, to) = seen(first, count, heads.window);
                let width = (to - from).next_multiple_of(2);
                for buffer in [&mut *scores, &mut *more] {
                    buffer.resize(count * width, E::Wide::default());
                }
                for buffer in [&mut *p, &mut *ds] {
                    buffer.resize(count * width, E::default());
                }
                mixed.resize(count * dim, E::Wide::default());
                let (q, o, d) = (q.part(first, count), o.part(first, count), d.part(first, count));
                keys.multiply(q, 0, (from, to), scores, width);
                values.multiply(d, 0, (from, to), more, width);
                for row in 0..count {
                    let query = first + row;
                    let least =
                        heads.window.map_or(0, |window| (query + 1).saturating_sub(window)).max(from) - from;
                    let range = least..query + 1 - from;
                    let lse = sums[(start + query) * heads.query + head];
                    let (scores, more) = (&scores[row * width..][..width], &more[row * width..][..width]);
                    let (p, ds) = (&mut p[row * width..][..width], &mut ds[row * width..][..width]);
                    vectorised(
                        #[inline(always)]
                        || {
                            let (o, d) = (o.row(row), d.row(row));
                            let along = sum::<E::Wide>(
                                dim,
                                #[inline(always)]
                                |i| o[i].widen() * d[i].widen(),
                            );
                            p[..range.start].fill(E::default());
                            ds[..range.start].fill(E::default());
                            for i in range.clone() {
                                let exponent = scores[i] * factor - lse;
                                let zero = E::Wide::default();
                                let own = (if exponent > zero { zero } else { exponent }).exp_negative();
                                p[i] = E::narrow(own);
                                ds[i] = E::narrow(own * (more[i] - along) * factor);
                            }
                            p[range.end..].fill(E::default());
                            ds[range.end..].fill(E::default());
                        },
                    );
                }
                let ds = View::strided(ds, count, width, width);
                let inner = (to - from).next_multiple_of(E::kernel().depth);
                rows.multiply(ds.columns_part(0, inner), from, (0, dim), mixed, dim);
                for row in 0..count {
                    let dq = dq.part(((start + first + row) * heads.query + head) * dim, dim);
                    for (dq, value) in dq.iter_mut().zip(&mixed[row * dim..][..dim]) {
                        *dq = E::narrow(*value);
                    }
                }
                let width = to - from;
                matmul(q.t(), ds.columns_part(0, width), &mut own_k[from..], length);
                let p = View::strided(p, count, width, width.next_multiple_of(2));
                matmul(d.t(), p, &mut own_v[from..], length);
            }
            for token in 0..length {
                if group == 1 {
                    let at = ((start + token) * heads.kv + kv) * dim;
                    let (dk, dv) = (dk.part(at, dim), dv.part(at, dim));
                    for i in 0..dim {
                        dk[i] = E::narrow(own_k[i * length + token]);
                        dv[i] = E::narrow(own_v[i * length + token]);
                    }
                } else {
                    let at = ((start + token) * heads.query + head) * dim;
                    let (dk, dv) = (dk_parts.part(at, dim), dv_parts.part(at, dim));
                    for i in 0..dim {
                        dk[i] = own_k[i * length + token];
                        dv[i] = own_v[i * length + token];
                    }
                }
            }
        });
    }
    if group > 1 {
        for (parts, out) in [(&dk_parts, dk), (&dv_parts, dv)] {
            for (parts, out) in parts.chunks_exact(group * dim).zip(out.chunks_exact_mut(dim)) {
                for (i, out) in out.iter_mut().enumerate() {
                    let mut total = parts[i];
                    for head in 1..group {
                        total += parts[head * dim + i];
                    }
                    *out = E::narrow(total);
                }
            }
        }
    }
}
