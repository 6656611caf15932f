//! The tile with AVX-512 and with AVX2.
#![allow(unsafe_code, reason = "vector intrinsics over raw pointers; the promises are those of `tile::run`")]

use std::arch::x86_64::*;

use super::tile::Tile;
use crate::ops::LANES;

/// `R * V` accumulators of sixteen tokens each stay in registers.
///
/// # Safety
/// As `tile::run`.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn avx512<const R: usize, const V: usize, const STEP: usize, const ROW: usize>(
    tile: &Tile,
) {
    // SAFETY: the caller's promises cover every access below.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); V]; R];
        let mut a = tile.a;
        let mut b = tile.b;
        for _ in 0..tile.depth {
            let mut x = [_mm512_setzero_ps(); V];
            for v in 0..V {
                x[v] = _mm512_loadu_ps(b[v]);
                b[v] = b[v].add(LANES);
            }
            for r in 0..R {
                let w = _mm512_set1_ps(*a.add(r * ROW));
                for v in 0..V {
                    sums[r][v] = _mm512_fmadd_ps(w, x[v], sums[r][v]);
                }
            }
            a = a.add(STEP);
        }
        for r in 0..R {
            if r < tile.rows {
                let bias =
                    if tile.bias.is_null() { _mm512_setzero_ps() } else { _mm512_set1_ps(*tile.bias.add(r)) };
                for v in 0..V {
                    let c = tile.c[v].add(r * LANES);
                    let mut sum = _mm512_add_ps(sums[r][v], bias);
                    if tile.accumulate {
                        sum = _mm512_add_ps(sum, _mm512_loadu_ps(c));
                    }
                    _mm512_storeu_ps(c, sum);
                }
            }
        }
    }
}

/// As [`avx512`], in parts of four or six rows by one block: at most twelve accumulators of eight tokens.
///
/// # Safety
/// As `tile::run`.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn avx2<const R: usize, const V: usize, const STEP: usize, const ROW: usize>(tile: &Tile) {
    // SAFETY: the caller's promises; each part lies within the tile.
    unsafe {
        for v in 0..V {
            if R.is_multiple_of(6) {
                for first in (0..R).step_by(6) {
                    avx2_part::<6, STEP, ROW>(tile, v, first);
                }
            } else {
                const { assert!(R.is_multiple_of(4)) };
                for first in (0..R).step_by(4) {
                    avx2_part::<4, STEP, ROW>(tile, v, first);
                }
            }
        }
    }
}

/// Rows `first..first + R` of block `v`.
///
/// # Safety
/// As `tile::run`.
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2_part<const R: usize, const STEP: usize, const ROW: usize>(
    tile: &Tile,
    v: usize,
    first: usize,
) {
    const HALF: usize = LANES / 2;
    // SAFETY: the caller's promises cover every access below.
    unsafe {
        let mut sums = [[_mm256_setzero_ps(); 2]; R];
        let mut a = tile.a.add(first * ROW);
        let mut b = tile.b[v];
        for _ in 0..tile.depth {
            let x = [_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(HALF))];
            for r in 0..R {
                let w = _mm256_broadcast_ss(&*a.add(r * ROW));
                for h in 0..2 {
                    sums[r][h] = _mm256_fmadd_ps(w, x[h], sums[r][h]);
                }
            }
            a = a.add(STEP);
            b = b.add(LANES);
        }
        for r in 0..R {
            if first + r < tile.rows {
                let bias = if tile.bias.is_null() { 0.0 } else { *tile.bias.add(first + r) };
                for h in 0..2 {
                    let c = tile.c[v].add((first + r) * LANES + h * HALF);
                    let mut sum = _mm256_add_ps(sums[r][h], _mm256_set1_ps(bias));
                    if tile.accumulate {
                        sum = _mm256_add_ps(sum, _mm256_loadu_ps(c));
                    }
                    _mm256_storeu_ps(c, sum);
                }
            }
        }
    }
}
