//! The kernels of [`super::attend`]: scores, their softmax, and the mixture of values, for every instruction set.

use super::{BLOCK, KEYS, WIDTH};
use crate::ops::Isa;
use crate::ops::elementwise::exp2;
use crate::ops::isa::{fma, for_each_isa};
use crate::ops::packed::Float;

/// Calls for `count` values from memory.
pub(super) fn fetch<E>(from: *const E, count: usize) {
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
    pub(super) fn soften(scores: &mut [f32], most: &mut f32, total: &mut f32, sums: &mut [f32]) {
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
pub(super) unsafe fn score<E: Float>(
    isa: Isa,
    rows: usize,
    q: *const f32,
    keys: *const E,
    dim: usize,
    out: *mut f32,
) {
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
pub(super) unsafe fn mix<E: Float>(
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
