//! The tile `C[r] += sum over k of A[k][r] * B[k]`, where `B[k]` and `C[r]` are one or two vectors of sixteen tokens.

use crate::ops::{Isa, LANES};

/// The operands of a tile of `R` rows by `V` blocks.
pub(crate) struct Tile {
    /// Number of products of each sum.
    pub depth: usize,
    /// Scalars; row `r` of step `k` is `a[k * STEP + r * ROW]`.
    pub a: *const f32,
    /// Per block, step `k` is the sixteen values from `b[k * 16]`.
    pub b: [*const f32; 2],
    /// Per block, row `r` is the sixteen values from `c[r * 16]`.
    pub c: [*mut f32; 2],
    /// Added to each row; null for none.
    pub bias: *const f32,
    /// Whether what `c` holds is added too.
    pub accumulate: bool,
    /// Rows stored; the others are computed and dropped.
    pub rows: usize,
}

/// Computes a tile.
///
/// # Safety
/// `a` is readable for `depth` steps of all `R` rows, `b[..V]` for `depth` vectors, `c[..V]` writable for `rows`
/// vectors, `bias` null or readable for `R` values; no other thread touches `c`. The machine has the instructions.
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
#[inline(always)]
pub(crate) unsafe fn run<const R: usize, const V: usize, const STEP: usize, const ROW: usize>(
    isa: Isa,
    tile: &Tile,
) {
    // SAFETY: the caller's promises are those of each version.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => super::x86::avx512::<R, V, STEP, ROW>(tile),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => super::x86::avx2::<R, V, STEP, ROW>(tile),
            _ => portable::<R, V, STEP, ROW>(tile),
        }
    }
}

/// The tile in plain loops, four rows of one block at a time: sixteen NEON registers, or as many SSE ones.
///
/// # Safety
/// As [`run`].
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn portable<const R: usize, const V: usize, const STEP: usize, const ROW: usize>(tile: &Tile) {
    const PART: usize = 4;
    const { assert!(R.is_multiple_of(PART)) };
    for v in 0..V {
        for first in (0..R).step_by(PART) {
            let mut sums = [[0f32; LANES]; PART];
            for k in 0..tile.depth {
                // SAFETY: the caller's promise on `b`.
                let b = unsafe { tile.b[v].add(k * LANES).cast::<[f32; LANES]>().read() };
                for (r, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: the caller's promise on `a`.
                    let a = unsafe { *tile.a.add(k * STEP + (first + r) * ROW) };
                    for l in 0..LANES {
                        sum[l] = crate::ops::isa::fma::<{ cfg!(target_arch = "aarch64") }>(a, b[l], sum[l]);
                    }
                }
            }
            for (r, sum) in sums.iter_mut().enumerate().take(tile.rows.saturating_sub(first)) {
                // SAFETY: rows below `tile.rows` are writable; the bias has `R` values.
                unsafe {
                    let c = tile.c[v].add((first + r) * LANES).cast::<[f32; LANES]>();
                    let bias = if tile.bias.is_null() { 0.0 } else { *tile.bias.add(first + r) };
                    let before = if tile.accumulate { c.read() } else { [0.0; LANES] };
                    for l in 0..LANES {
                        sum[l] += bias + before[l];
                    }
                    c.write(*sum);
                }
            }
        }
    }
}
