//! Causal attention over keys and values in blocks, with grouped heads and an optional window.
//!
//! A block holds [`BLOCK`] tokens of one layer, per key-value head: keys as `[feature][BLOCK]`, so that a query's
//! feature is broadcast against 32 keys at once, values as `[BLOCK][padded feature]`, so that a probability is
//! broadcast against a value's features. Queries are taken in tiles of up to 32 rows (tokens times the heads that share
//! a key-value head), keys in chunks that stay in the cache while all rows of the tile pass; the softmax is rescaled
//! from chunk to chunk (Milakov and Gimelshein 2018; Dao et al. 2022).

use std::cell::RefCell;

use super::Isa;
use super::elementwise::exp2;
use super::isa::{fma, for_each_isa};
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

/// Calls for `count` values from memory.
fn fetch<E>(from: *const E, count: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..count * size_of::<E>()).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        #[allow(unsafe_code, reason = "a prefetch reads nothing; every x86-64 machine has it")]
        // SAFETY: a prefetch of any address is harmless.
        unsafe {
            _mm_prefetch::<_MM_HINT_T1>(from.cast::<i8>().wrapping_add(line));
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (from, count);
}

for_each_isa! {
    /// One row's chunk: scores become `2^(score - most)`, and what was summed before is scaled to the new maximum.
    fn soften(scores: &mut [f32], most: &mut f32, total: &mut f32, sums: &mut [f32]) {
        let mut wide = [f32::NEG_INFINITY; 16];
        for scores in scores.as_chunks::<16>().0 {
            for (wide, score) in wide.iter_mut().zip(scores) {
                *wide = if *score > *wide { *score } else { *wide };
            }
        }
        let new = wide.iter().copied().fold(*most, f32::max);
        if new == f32::NEG_INFINITY {
            scores.fill(0.0);
            return;
        }
        if new > *most {
            let factor = exp2::<FUSED>(*most - new);
            *total *= factor;
            for sum in sums {
                *sum *= factor;
            }
            *most = new;
        }
        let mut added = [0f32; 16];
        for scores in scores.as_chunks_mut::<16>().0 {
            for (added, score) in added.iter_mut().zip(scores) {
                let masked = *score == f32::NEG_INFINITY;
                let power = exp2::<FUSED>(*score - new);
                *score = if masked { 0.0 } else { power };
                *added += *score;
            }
        }
        *total += added.iter().sum::<f32>();
    }
}

/// Calls a kernel for a number of rows known when it is compiled.
macro_rules! for_rows {
    ($rows:expr, $kernel:ident::<$e:ident>($($arg:expr),*)) => {
        match $rows {
            1 => $kernel::<$e, 1>($($arg),*),
            2 => $kernel::<$e, 2>($($arg),*),
            3 => $kernel::<$e, 3>($($arg),*),
            4 => $kernel::<$e, 4>($($arg),*),
            5 => $kernel::<$e, 5>($($arg),*),
            6 => $kernel::<$e, 6>($($arg),*),
            7 => $kernel::<$e, 7>($($arg),*),
            _ => $kernel::<$e, 8>($($arg),*),
        }
    };
}

/// Scores of `rows` queries `[rows, dim]` with a block's keys, to `out[row * KEYS..][..BLOCK]`.
///
/// # Safety
/// The pointers are valid for that.
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn score<E: Float>(isa: Isa, rows: usize, q: *const f32, keys: *const E, dim: usize, out: *mut f32) {
    // SAFETY: the caller's promises; the instructions were found.
    unsafe {
        match isa {
            // Four rows fill the registers. All rows' sums are added up in one order, however many there are, so that what
            // a token sees is the same to the last bit however its prompt is cut into steps.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if rows > 4 => {
                score(isa, 4, q, keys, dim, out);
                score(isa, rows - 4, q.add(4 * dim), keys, dim, out.add(4 * KEYS));
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => for_rows!(rows, score_avx512::<E>(q, keys, dim, out)),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => for_rows!(rows, score_avx2::<E>(q, keys, dim, out)),
            _ => for_rows!(rows, score_plain::<E>(q, keys, dim, out)),
        }
    }
}

/// Adds `sum over keys of p[row][key] * values[key]` to `sums[row]`, for `rows` rows and all features.
///
/// # Safety
/// The pointers are valid for that.
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn mix<E: Float>(
    isa: Isa,
    rows: usize,
    p: *const f32,
    keys: usize,
    values: *const E,
    padded: usize,
    sums: *mut f32,
) {
    // SAFETY: the caller's promises; the instructions were found.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => for_rows!(rows, mix_avx512::<E>(p, keys, values, padded, sums)),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => for_rows!(rows, mix_avx2::<E>(p, keys, values, padded, sums)),
            _ => for_rows!(rows, mix_plain::<E>(p, keys, values, padded, sums)),
        }
    }
}

#[allow(unsafe_code, reason = "a kernel over raw pointers")]
#[inline(always)]
unsafe fn score_body<E: Float, const R: usize, const FUSED: bool>(
    q: *const f32,
    keys: *const E,
    dim: usize,
    out: *mut f32,
) {
    let mut sums = [[0f32; BLOCK]; R];
    for feature in 0..dim {
        // SAFETY: the caller's promise.
        let keys = unsafe { keys.add(feature * BLOCK).cast::<[E; BLOCK]>().read() };
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            let q = unsafe { *q.add(row * dim + feature) };
            for (sum, key) in sums.iter_mut().zip(keys) {
                *sum = fma::<FUSED>(key.widen(), q, *sum);
            }
        }
    }
    for (row, sums) in sums.into_iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { out.add(row * KEYS).cast::<[f32; BLOCK]>().write(sums) };
    }
}

#[allow(unsafe_code, reason = "a kernel over raw pointers")]
#[inline(always)]
unsafe fn mix_body<E: Float, const R: usize, const FUSED: bool>(
    p: *const f32,
    keys: usize,
    values: *const E,
    padded: usize,
    sums: *mut f32,
) {
    for first in (0..padded).step_by(WIDTH) {
        let mut own = [[0f32; WIDTH]; R];
        for key in 0..keys {
            // SAFETY: the caller's promise.
            let value = unsafe { values.add(key * padded + first).cast::<[E; WIDTH]>().read() };
            for (row, own) in own.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                let p = unsafe { *p.add(row * KEYS + key) };
                for (sum, value) in own.iter_mut().zip(value) {
                    *sum = fma::<FUSED>(value.widen(), p, *sum);
                }
            }
        }
        for (row, own) in own.iter().enumerate() {
            for (feature, own) in own.iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe { *sums.add(row * padded + first + feature) += own };
            }
        }
    }
}

#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn score_plain<E: Float, const R: usize>(q: *const f32, keys: *const E, dim: usize, out: *mut f32) {
    // SAFETY: the caller's promises.
    unsafe { score_body::<E, R, { cfg!(target_arch = "aarch64") }>(q, keys, dim, out) }
}

#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn mix_plain<E: Float, const R: usize>(
    p: *const f32,
    keys: usize,
    values: *const E,
    padded: usize,
    sums: *mut f32,
) {
    // SAFETY: the caller's promises.
    unsafe { mix_body::<E, R, { cfg!(target_arch = "aarch64") }>(p, keys, values, padded, sums) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn score_avx2<E: Float, const R: usize>(q: *const f32, keys: *const E, dim: usize, out: *mut f32) {
    // SAFETY: the caller's promises.
    unsafe { score_body::<E, R, true>(q, keys, dim, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn mix_avx2<E: Float, const R: usize>(
    p: *const f32,
    keys: usize,
    values: *const E,
    padded: usize,
    sums: *mut f32,
) {
    // SAFETY: the caller's promises.
    unsafe { mix_body::<E, R, true>(p, keys, values, padded, sums) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn score_avx512<E: Float, const R: usize>(q: *const f32, keys: *const E, dim: usize, out: *mut f32) {
    use std::arch::x86_64::*;
    // Even and odd features have sums of their own, so that few rows do not wait for each other's additions.
    let mut sums = [[[_mm512_setzero_ps(); 2]; R]; 2];
    let mut feature = 0;
    while feature < dim {
        let parts = 2.min(dim - feature);
        for (part, sums) in sums.iter_mut().enumerate().take(parts) {
            // SAFETY: the caller's promises.
            unsafe {
                let low = E::load16(keys.add((feature + part) * BLOCK));
                let high = E::load16(keys.add((feature + part) * BLOCK + 16));
                for (row, sums) in sums.iter_mut().enumerate() {
                    let q = _mm512_set1_ps(*q.add(row * dim + feature + part));
                    sums[0] = _mm512_fmadd_ps(low, q, sums[0]);
                    sums[1] = _mm512_fmadd_ps(high, q, sums[1]);
                }
            }
        }
        feature += parts;
    }
    let [even, odd] = sums;
    for (row, (even, odd)) in even.iter().zip(odd).enumerate() {
        // SAFETY: the caller's promises.
        unsafe {
            _mm512_storeu_ps(out.add(row * KEYS), _mm512_add_ps(even[0], odd[0]));
            _mm512_storeu_ps(out.add(row * KEYS + 16), _mm512_add_ps(even[1], odd[1]));
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn mix_avx512<E: Float, const R: usize>(
    p: *const f32,
    keys: usize,
    values: *const E,
    padded: usize,
    sums: *mut f32,
) {
    let mut first = 0;
    // Few rows take twice the features at once, for as many sums in flight.
    while R <= 4 && first + 2 * WIDTH <= padded {
        // SAFETY: the caller's promises.
        unsafe { mix_features::<E, R, 4>(p, keys, values.add(first), padded, sums.add(first)) };
        first += 2 * WIDTH;
    }
    while first < padded {
        // SAFETY: the caller's promises.
        unsafe { mix_features::<E, R, 2>(p, keys, values.add(first), padded, sums.add(first)) };
        first += WIDTH;
    }
}

/// `V` vectors of sixteen features.
///
/// # Safety
/// As [`mix`], from the first of the features on.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn mix_features<E: Float, const R: usize, const V: usize>(
    p: *const f32,
    keys: usize,
    values: *const E,
    padded: usize,
    sums: *mut f32,
) {
    use std::arch::x86_64::*;
    // SAFETY: the caller's promises.
    unsafe {
        let mut own = [[_mm512_setzero_ps(); V]; R];
        for (row, own) in own.iter_mut().enumerate() {
            for (vector, own) in own.iter_mut().enumerate() {
                *own = _mm512_loadu_ps(sums.add(row * padded + vector * 16));
            }
        }
        for key in 0..keys {
            let mut value = [_mm512_setzero_ps(); V];
            for (vector, value) in value.iter_mut().enumerate() {
                *value = E::load16(values.add(key * padded + vector * 16));
            }
            for (row, own) in own.iter_mut().enumerate() {
                let p = _mm512_set1_ps(*p.add(row * KEYS + key));
                for (own, value) in own.iter_mut().zip(value) {
                    *own = _mm512_fmadd_ps(value, p, *own);
                }
            }
        }
        for (row, own) in own.iter().enumerate() {
            for (vector, own) in own.iter().enumerate() {
                _mm512_storeu_ps(sums.add(row * padded + vector * 16), *own);
            }
        }
    }
}

#[cfg(test)]
mod tests;
