//! Causal attention over keys and values in blocks, with grouped heads and an optional window.
//!
//! A block holds [`BLOCK`] tokens of one layer, per key-value head: keys as `[feature][BLOCK]`, so that a query's
//! feature is broadcast against 32 keys at once, values as `[BLOCK][padded feature]`, so that a probability is
//! broadcast against a value's features. Queries are taken in tiles of up to 32 rows (tokens times the heads that share
//! a key-value head), keys in chunks that stay in the cache while all rows of the tile pass; the softmax is rescaled
//! from chunk to chunk (Milakov and Gimelshein 2018; Dao et al. 2022).

mod kernels;

use std::cell::RefCell;

use self::kernels::{fetch, mix, score, soften};
use super::Isa;
use super::packed::Float;
use super::team::{for_chunks, for_chunks_of};

/// Tokens of a block.
pub const BLOCK: usize = 32;
/// Rows of a tile.
const ROWS: usize = 32;
/// Rows of a kernel's call.
const PART: usize = 8;
/// Blocks of a chunk of keys.
const CHUNK: usize = 2;
/// Keys of a chunk.
const KEYS: usize = CHUNK * BLOCK;
/// Tokens that are written faster than threads are called together.
const FEW: usize = 32;
/// Values' features are padded to whole vectors of this many.
pub(crate) const WIDTH: usize = 32;

/// Keys and values of one layer.
#[derive(Clone, Copy)]
pub(crate) struct Layer<E> {
    /// `[block][kv head][head_dim][BLOCK]`.
    pub keys: *mut E,
    /// `[block][kv head][BLOCK][padded head_dim]`.
    pub values: *mut E,
}

#[allow(unsafe_code, reason = "shared by the threads of one step, which write disjoint tokens")]
// SAFETY: tokens are written by one task each, and read only after all are written.
unsafe impl<E> Sync for Layer<E> {}

impl<E> Layer<E> {
    /// Where the `at`-th key feature lies.
    fn key(&self, at: usize) -> *mut E {
        self.keys.wrapping_add(at)
    }

    /// Where the `at`-th value feature lies.
    fn value(&self, at: usize) -> *mut E {
        self.values.wrapping_add(at)
    }
}

/// The heads' shape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    pub query: usize,
    pub kv: usize,
    pub dim: usize,
    /// Tokens that a query looks back over, itself included.
    pub window: Option<usize>,
}

impl Heads {
    /// Length of a value in a block.
    pub fn padded(&self) -> usize {
        self.dim.next_multiple_of(WIDTH)
    }

    fn group(&self) -> usize {
        self.query / self.kv
    }
}

/// Tokens of one sequence in a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch<'a> {
    /// First row of the step's activations.
    pub row: usize,
    /// Number of rows.
    pub count: usize,
    /// Position of the first.
    pub start: usize,
    /// The sequence's blocks, for all positions up to the last.
    pub blocks: &'a [u32],
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch { values: Vec::new() }) };
}

/// Queries, scores and sums of a tile.
struct Scratch {
    values: Vec<f32>,
}

/// Writes keys and values `[rows, kv heads * dim]` of the stretches into their blocks; keys are already rotated.
///
/// # Safety
/// All block numbers are below the layer's number of blocks, and cover the stretches' positions.
#[allow(unsafe_code, reason = "writes through the layer's pointers")]
pub(crate) unsafe fn write<E: Float>(
    layer: Layer<E>,
    heads: Heads,
    stretches: &[Stretch<'_>],
    keys: &[f32],
    values: &[f32],
) {
    let (dim, padded) = (heads.dim, heads.padded());
    let rows: Vec<(usize, &Stretch<'_>)> =
        stretches.iter().flat_map(|stretch| (0..stretch.count).map(move |token| (token, stretch))).collect();
    let one = |token: usize, stretch: &Stretch<'_>| {
        let position = stretch.start + token;
        let (block, slot) = (stretch.blocks[position / BLOCK] as usize, position % BLOCK);
        for head in 0..heads.kv {
            let from = ((stretch.row + token) * heads.kv + head) * dim;
            let unit = block * heads.kv + head;
            for feature in 0..dim {
                // SAFETY: the caller's promise on blocks; `slot` is below BLOCK, `feature` below dim.
                unsafe {
                    *layer.key((unit * dim + feature) * BLOCK + slot) = E::narrow(keys[from + feature]);
                    *layer.value((unit * BLOCK + slot) * padded + feature) =
                        E::narrow(values[from + feature]);
                }
            }
        }
    };
    if rows.len() < FEW {
        return rows.iter().for_each(|(token, stretch)| one(*token, stretch));
    }
    for_chunks(rows.len(), |range| rows[range].iter().for_each(|(token, stretch)| one(*token, stretch)));
}

/// Attention of queries `[rows, heads * dim]`, rotated and not scaled, into `out` of the same shape.
///
/// # Safety
/// As [`write`], and all positions up to each stretch's last have been written.
#[allow(unsafe_code, reason = "reads through the layer's pointers, and threads write disjoint rows")]
pub(crate) unsafe fn attend<E: Float>(
    isa: Isa,
    layer: Layer<E>,
    heads: Heads,
    stretches: &[Stretch<'_>],
    queries: &[f32],
    out: &mut [f32],
) {
    struct Out(*mut f32);
    // SAFETY: tasks write disjoint rows and heads.
    unsafe impl Sync for Out {}
    impl Out {
        fn get(&self) -> *mut f32 {
            self.0
        }
    }
    let mut tasks = Vec::new();
    for stretch in stretches {
        let rows = stretch.count * heads.group();
        for head in 0..heads.kv {
            for first in (0..rows).step_by(ROWS) {
                tasks.push((*stretch, head, first..rows.min(first + ROWS)));
            }
        }
    }
    // The longest first, so that no thread is left alone with one at the end.
    tasks.sort_by_key(|(stretch, _, rows)| std::cmp::Reverse(stretch.start * heads.group() + rows.end));
    let target = Out(out.as_mut_ptr());
    let tasks = &tasks;
    let seen = |stretch: &Stretch<'_>| stretch.count * (stretch.start + stretch.count);
    let work = stretches.iter().map(seen).sum::<usize>() * heads.query * heads.dim;
    for_chunks_of(work, tasks.len(), |range| {
        SCRATCH.with_borrow_mut(|scratch| {
            for (stretch, head, rows) in &tasks[range] {
                // SAFETY: the caller's promises.
                unsafe {
                    tile(isa, layer, heads, stretch, *head, rows.clone(), queries, target.get(), scratch)
                };
            }
        });
    });
}

/// # Safety
/// As [`attend`].
#[allow(unsafe_code, reason = "reads and writes through pointers")]
#[allow(clippy::too_many_arguments, reason = "one tile's coordinates")]
unsafe fn tile<E: Float>(
    isa: Isa,
    layer: Layer<E>,
    heads: Heads,
    stretch: &Stretch<'_>,
    head: usize,
    rows: std::ops::Range<usize>,
    queries: &[f32],
    out: *mut f32,
    scratch: &mut Scratch,
) {
    let (dim, padded, group, count) = (heads.dim, heads.padded(), heads.group(), rows.len());
    scratch.values.resize(ROWS * (dim + KEYS + padded + 2), 0.0);
    let (q, rest) = scratch.values.split_at_mut(ROWS * dim);
    let (scores, rest) = rest.split_at_mut(ROWS * KEYS);
    let (sums, rest) = rest.split_at_mut(ROWS * padded);
    let (most, total) = rest.split_at_mut(ROWS);
    sums[..count * padded].fill(0.0);
    most.fill(f32::NEG_INFINITY);
    total.fill(0.0);

    // Where a row's query and output begin.
    let place = |row: usize| ((stretch.row + row / group) * heads.query + head * group + row % group) * dim;
    let position = |row: usize| stretch.start + row / group;
    let first_seen = |row: usize| heads.window.map_or(0, |window| (position(row) + 1).saturating_sub(window));
    // Scores to base 2, so that the exponential is a shift.
    let scale = std::f32::consts::LOG2_E / (dim as f32).sqrt();
    for (at, row) in rows.clone().enumerate() {
        for (to, from) in q[at * dim..][..dim].iter_mut().zip(&queries[place(row)..][..dim]) {
            *to = from * scale;
        }
    }

    // Chunks begin at the same keys whichever rows the tile has, so that sums are rescaled at the same places.
    let low = first_seen(rows.start) / KEYS * CHUNK;
    let high = position(rows.end - 1) / BLOCK + 1;
    for chunk in (low..high).step_by(CHUNK) {
        let blocks = chunk..high.min(chunk + CHUNK);
        if count <= PART {
            // Few rows wait for memory, and blocks lie apart: those of the next chunk are called for in time.
            for block in blocks.end..high.min(blocks.end + CHUNK) {
                let unit = stretch.blocks[block] as usize * heads.kv + head;
                fetch(layer.key(unit * dim * BLOCK), dim * BLOCK);
                fetch(layer.value(unit * BLOCK * padded), padded * BLOCK);
            }
        }
        for (at, block) in blocks.clone().enumerate() {
            let unit = stretch.blocks[block] as usize * heads.kv + head;
            let keys = layer.keys.wrapping_add(unit * dim * BLOCK).cast_const();
            for part in (0..count).step_by(PART) {
                // SAFETY: the caller's promises; `part..` rows of the tile.
                unsafe {
                    let from = q.as_ptr().add(part * dim);
                    let to = scores.as_mut_ptr().add(part * KEYS + at * BLOCK);
                    score(isa, PART.min(count - part), from, keys, dim, to);
                }
            }
        }
        let start = chunk * BLOCK;
        let keys = blocks.len() * BLOCK;
        for (at, row) in rows.clone().enumerate() {
            let from = first_seen(row).saturating_sub(start).min(keys);
            let to = (position(row) + 1).saturating_sub(start).min(keys);
            let scores = &mut scores[at * KEYS..][..keys];
            scores[..from].fill(f32::NEG_INFINITY);
            scores[to.max(from)..].fill(f32::NEG_INFINITY);
            let sums = &mut sums[at * padded..][..padded];
            soften(isa, scores, &mut most[at], &mut total[at], sums);
        }
        for (at, block) in blocks.enumerate() {
            let unit = stretch.blocks[block] as usize * heads.kv + head;
            let values = layer.values.wrapping_add(unit * BLOCK * padded).cast_const();
            // Past the last position lies what an earlier sequence left; its probability is 0, but it may not be read
            // as if it were a number.
            let known = (position(rows.end - 1) + 1 - block * BLOCK).min(BLOCK);
            for part in (0..count).step_by(PART) {
                // SAFETY: the caller's promises; `part..` rows of the tile.
                unsafe {
                    let from = scores.as_ptr().add(part * KEYS + at * BLOCK);
                    let to = sums.as_mut_ptr().add(part * padded);
                    mix(isa, PART.min(count - part), from, known, values, padded, to);
                }
            }
        }
    }
    for (at, row) in rows.enumerate() {
        let inverse = 1.0 / total[at];
        for (feature, sum) in sums[at * padded..][..dim].iter().enumerate() {
            // SAFETY: this row and head are this task's alone.
            unsafe { *out.add(place(row) + feature) = sum * inverse };
        }
    }
}

#[cfg(test)]
mod tests;
