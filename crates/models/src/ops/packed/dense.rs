//! Tiles of f32, f16 and bf16 weights.

use std::ops::Range;

use half::{bf16, f16};

use super::rows::bytes_mut;
use super::{Activations, Line, PANEL, TOKENS, Tile};
use crate::ops::Isa;
use crate::ops::isa::fma;

/// A type of weights.
pub(crate) trait Float: Copy {
    /// From its little-endian bytes.
    fn from_bytes(bytes: &[u8]) -> Self;
    /// To its bytes.
    fn put(self, bytes: &mut [u8]);
    /// As f32.
    fn widen(self) -> f32;
    /// The nearest value to an f32.
    fn narrow(value: f32) -> Self;
    /// Sixteen values as f32.
    ///
    /// # Safety
    /// `from` is readable for sixteen values; the machine has AVX-512 F.
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code, reason = "a vector load")]
    unsafe fn load16(from: *const Self) -> std::arch::x86_64::__m512;
}

/// Half precision widened without a branch or a look at what the machine can do, so that loops over it become vectors:
/// the exponent and mantissa are moved, and one multiplication corrects the exponent's bias, subnormals included.
#[inline(always)]
pub(crate) fn widen_half(value: f16) -> f32 {
    /// 2^112, the difference of the two formats' biases.
    const BIAS: f32 = f32::from_bits(0x7780_0000);
    let bits = u32::from(value.to_bits());
    let magnitude = (f32::from_bits((bits & 0x7fff) << 13) * BIAS).to_bits();
    let infinite = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(magnitude | infinite | (bits & 0x8000) << 16)
}

/// The nearest half; beyond the largest, that one: an infinite key or value would make a whole text no number.
#[inline(always)]
fn narrow_half(value: f32) -> f16 {
    const MOST: f32 = f16::MAX.to_f32_const();
    f16::from_f32(value.clamp(-MOST, MOST))
}

macro_rules! float {
    ($ty:ty, $size:literal, $widen:expr, $narrow:expr, $load:expr) => {
        impl Float for $ty {
            #[inline(always)]
            fn from_bytes(bytes: &[u8]) -> Self {
                let mut own = [0; $size];
                own.copy_from_slice(bytes);
                Self::from_le_bytes(own)
            }
            #[inline(always)]
            fn put(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
            #[inline(always)]
            fn widen(self) -> f32 {
                $widen(self)
            }
            #[inline(always)]
            fn narrow(value: f32) -> Self {
                $narrow(value)
            }
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code, reason = "a vector load")]
            #[inline(always)]
            unsafe fn load16(from: *const Self) -> std::arch::x86_64::__m512 {
                use std::arch::x86_64::*;
                // SAFETY: the caller's promise.
                unsafe { $load(from.cast()) }
            }
        }
    };
}

float!(f32, 4, |v: f32| v, |v: f32| v, |p: *const f32| _mm512_loadu_ps(p));
float!(f16, 2, widen_half, narrow_half, |p: *const __m256i| _mm512_cvtph_ps(_mm256_loadu_si256(p)));
float!(
    bf16,
    2,
    |v: bf16| f32::from_bits(u32::from(v.to_bits()) << 16),
    bf16::from_f32,
    |p: *const __m256i| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(
        _mm256_loadu_si256(p)
    )))
);

/// Row-major values as `[panel][column][32 rows]`, zero-filled at the end.
pub(super) fn pack<E: Float>(values: &[E], rows: usize, columns: usize) -> Vec<Line> {
    assert_eq!(values.len(), rows * columns, "a matrix does not have its shape");
    let size = size_of::<E>();
    let mut lines = vec![Line([0; 64]); (rows.div_ceil(PANEL) * columns * PANEL * size).div_ceil(64)];
    let bytes = bytes_mut(&mut lines);
    for (row, values) in values.chunks_exact(columns).enumerate() {
        let start = row / PANEL * columns * PANEL + row % PANEL;
        for (column, value) in values.iter().enumerate() {
            let at = (start + column * PANEL) * size;
            value.put(&mut bytes[at..at + size]);
        }
    }
    lines
}

/// One tile.
pub(super) fn tile<E: Float>(
    isa: Isa,
    lines: &[Line],
    columns: usize,
    panel: usize,
    x: &Activations<'_>,
    tokens: Range<usize>,
    at: &Tile,
) {
    let count = tokens.len();
    let weights = lines.as_ptr().cast::<E>().wrapping_add(panel * columns * PANEL);
    let values = x.values[tokens.start * columns..tokens.end * columns].as_ptr();
    #[allow(unsafe_code, reason = "pointers into the packed weights and the activations")]
    // SAFETY: the panel has `columns` steps of 32 weights, `values` holds `count` rows of `columns`; the caller made
    // `at` within the output.
    unsafe {
        match count {
            1 => run::<E, 1>(isa, weights, columns, values, at),
            2 => run::<E, 2>(isa, weights, columns, values, at),
            3 => run::<E, 3>(isa, weights, columns, values, at),
            4 => run::<E, 4>(isa, weights, columns, values, at),
            5 => run::<E, 5>(isa, weights, columns, values, at),
            TOKENS => run::<E, TOKENS>(isa, weights, columns, values, at),
            _ => unreachable!("a tile of {count} tokens"),
        }
    }
}

/// # Safety
/// As [`portable`].
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn run<E: Float, const T: usize>(isa: Isa, w: *const E, columns: usize, x: *const f32, at: &Tile) {
    // SAFETY: the caller's promises; `Isa::available` found the instructions.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if isa == Isa::Avx512 {
            return avx512::<E, T>(w, columns, x, at);
        }
        #[cfg(target_arch = "x86_64")]
        if isa == Isa::Avx2 {
            return avx2::<E, T>(w, columns, x, at);
        }
        let _ = isa;
        portable::<E, T, { cfg!(target_arch = "aarch64") }>(w, columns, x, at);
    }
}

/// # Safety
/// As [`portable`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn avx2<E: Float, const T: usize>(w: *const E, columns: usize, x: *const f32, at: &Tile) {
    // SAFETY: the caller's promises.
    unsafe { portable::<E, T, true>(w, columns, x, at) }
}

/// The plain reference.
///
/// # Safety
/// `w` is readable for `columns * 32` values, `x` for `T * columns`, `at` writable for `T` tokens.
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
#[inline(always)]
unsafe fn portable<E: Float, const T: usize, const FUSED: bool>(
    w: *const E,
    columns: usize,
    x: *const f32,
    at: &Tile,
) {
    let mut sums = [[0f32; PANEL]; T];
    for column in 0..columns {
        // SAFETY: the caller's promise.
        let weights = unsafe { w.add(column * PANEL).cast::<[E; PANEL]>().read() };
        for (token, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            let value = unsafe { *x.add(token * columns + column) };
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = fma::<FUSED>(weight.widen(), value, *sum);
            }
        }
    }
    for (token, sums) in sums.iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { at.store(token, sums) };
    }
}

/// # Safety
/// As [`portable`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn avx512<E: Float, const T: usize>(w: *const E, columns: usize, x: *const f32, at: &Tile) {
    use std::arch::x86_64::*;
    let mut sums = [[_mm512_setzero_ps(); 2]; T];
    for column in 0..columns {
        // SAFETY: the caller's promise.
        unsafe {
            let low = E::load16(w.add(column * PANEL));
            let high = E::load16(w.add(column * PANEL + 16));
            for (token, sums) in sums.iter_mut().enumerate() {
                let value = _mm512_set1_ps(*x.add(token * columns + column));
                sums[0] = _mm512_fmadd_ps(low, value, sums[0]);
                sums[1] = _mm512_fmadd_ps(high, value, sums[1]);
            }
        }
    }
    for (token, sums) in sums.iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { super::q8::store512(at, token, *sums) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_widened_exactly() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits);
            let (own, expected) = (widen_half(half), half.to_f32());
            assert!(own.to_bits() == expected.to_bits() || own.is_nan() && expected.is_nan(), "{bits:#x}");
        }
    }
}
