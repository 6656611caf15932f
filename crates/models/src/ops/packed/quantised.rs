//! Activations quantised for products with Q8_0 weights.

use super::Q8_BLOCK;
use crate::ops::Isa;
use crate::ops::isa::for_each_isa;
use crate::ops::team::for_chunks;

/// Activations whose largest is below count as zeros: 127 over it would be no finite number.
const LEAST: f32 = 1e-30;

/// Activations as Q8_0: per token and block of 32 inputs a scale and whole numbers from -127 to 127.
pub(crate) struct Quantised {
    pub(super) columns: usize,
    pub(super) quants: Vec<i8>,
    pub(super) scales: Vec<f32>,
    /// Minus 128 times the block's sum: takes the weights' offset away again.
    pub(super) offsets: Vec<i32>,
}

impl Quantised {
    /// Quantises `[tokens, columns]`; `columns` is a multiple of 32.
    pub fn of(isa: Isa, values: &[f32], columns: usize) -> Self {
        let blocks = values.len() / Q8_BLOCK;
        let mut quants = vec![0i8; values.len()];
        let mut scales = vec![0f32; blocks];
        let mut offsets = vec![0i32; blocks];
        let part = (columns / Q8_BLOCK).max(1);
        if blocks <= 2 * part {
            quantise(isa, values, &mut quants, &mut scales, &mut offsets);
        } else {
            let slots: Vec<_> = values
                .chunks(part * Q8_BLOCK)
                .zip(quants.chunks_mut(part * Q8_BLOCK))
                .zip(scales.chunks_mut(part).zip(offsets.chunks_mut(part)))
                .map(std::sync::Mutex::new)
                .collect();
            for_chunks(slots.len(), |range| {
                for slot in &slots[range] {
                    // Each slot is taken once; the lock only hands it over.
                    if let Ok(mut slot) = slot.lock() {
                        let ((values, quants), (scales, offsets)) = &mut *slot;
                        quantise(isa, values, quants, scales, offsets);
                    }
                }
            });
        }
        Self { columns, quants, scales, offsets }
    }

    /// Whether these are `tokens` rows of `columns`.
    pub fn fits(&self, tokens: usize, columns: usize) -> bool {
        self.columns == columns && self.quants.len() == tokens * columns
    }
}

/// Quantises whole blocks; all four slices are of the same number of blocks.
fn quantise(isa: Isa, values: &[f32], quants: &mut [i8], scales: &mut [f32], offsets: &mut [i32]) {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512 {
        let values = values.as_chunks::<Q8_BLOCK>().0;
        let quants = quants.as_chunks_mut::<Q8_BLOCK>().0;
        #[allow(unsafe_code, reason = "a kernel for instructions that were found")]
        // SAFETY: `Isa::available` found AVX-512.
        unsafe {
            quantise_avx512(values, quants, scales, offsets);
        }
        return;
    }
    quantise_plain(isa, values, quants, scales, offsets);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn quantise_avx512(
    values: &[[f32; Q8_BLOCK]],
    quants: &mut [[i8; Q8_BLOCK]],
    scales: &mut [f32],
    offsets: &mut [i32],
) {
    use std::arch::x86_64::*;
    for ((values, quants), (scale, offset)) in values.iter().zip(quants).zip(scales.iter_mut().zip(offsets)) {
        #[allow(unsafe_code, reason = "vector loads and stores of whole blocks")]
        // SAFETY: a block is 32 values; its quants are 32 bytes.
        unsafe {
            let low = _mm512_loadu_ps(values.as_ptr());
            let high = _mm512_loadu_ps(values.as_ptr().add(16));
            let most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(low), _mm512_abs_ps(high)));
            // The quants of what is no number are 0, so the scale has to tell.
            let lost = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(low, high) != 0;
            *scale = if lost { f32::NAN } else { most / 127.0 };
            let inverse = _mm512_set1_ps(if most > LEAST { 127.0 / most } else { 0.0 });
            // Rounds to the nearest, ties to even.
            let low = _mm512_cvtps_epi32(_mm512_mul_ps(low, inverse));
            let high = _mm512_cvtps_epi32(_mm512_mul_ps(high, inverse));
            // What is no number comes out as the least integer; the sum means nothing then.
            *offset = _mm512_reduce_add_epi32(_mm512_add_epi32(low, high)).wrapping_mul(-128);
            _mm_storeu_si128(quants.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(low));
            _mm_storeu_si128(quants.as_mut_ptr().add(16).cast(), _mm512_cvtepi32_epi8(high));
        }
    }
}

for_each_isa! {
    /// The plain reference.
    fn quantise_plain(values: &[f32], quants: &mut [i8], scales: &mut [f32], offsets: &mut [i32]) {
        let _ = FUSED;
        let blocks = values.as_chunks::<Q8_BLOCK>().0.iter().zip(quants.as_chunks_mut::<Q8_BLOCK>().0);
        for ((values, quants), (scale, offset)) in blocks.zip(scales.iter_mut().zip(offsets)) {
            let mut most = [0f32; 16];
            for (i, value) in values.iter().enumerate() {
                most[i % 16] = most[i % 16].max(value.abs());
            }
            let most = most.iter().copied().fold(0f32, f32::max);
            let lost = values.iter().fold(false, |lost, value| lost | value.is_nan());
            *scale = if lost { f32::NAN } else { most / 127.0 };
            let inverse = if most > LEAST { 127.0 / most } else { 0.0 };
            let mut whole = [0i32; Q8_BLOCK];
            for (whole, value) in whole.iter_mut().zip(values) {
                *whole = (value * inverse).round_ties_even() as i32;
            }
            *offset = -128 * whole.iter().sum::<i32>();
            for (quant, whole) in quants.iter_mut().zip(whole) {
                *quant = whole as i8;
            }
        }
    }
}
