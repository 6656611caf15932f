//! Tiles of Q8_0 weights.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use half::f16;

use super::rows::bytes_mut;
use super::{Line, PANEL, Q8_BLOCK, Quantised, TOKENS, Tile};
use crate::ops::Isa;
use crate::ops::team::for_pieces;

/// Bytes of a block in a file: the scale (f16) and 32 quants.
const FILE_BLOCK: usize = 2 + Q8_BLOCK;
/// Bytes of a panel's block.
const UNIT: usize = PANEL * Q8_BLOCK;
/// Bytes of a block of half a panel, which lie together.
const HALF: usize = UNIT / 2;
/// Bytes by which weights are called for before they are multiplied.
#[cfg(target_arch = "x86_64")]
const AHEAD: usize = 8 * HALF;
/// A file's rows of another type as Q8_0 blocks; `None` where they are no whole blocks. The step between two values is
/// 1/127 of a block's largest, well below what the coarser types lose already.
pub(super) fn requantise(kind: GgmlDType, bytes: &[u8], rows: usize, columns: usize) -> Option<Vec<u8>> {
    if !columns.is_multiple_of(kind.block_size().max(Q8_BLOCK)) || columns == 0 {
        return None;
    }
    let (from, to) = (columns / kind.block_size() * kind.type_size(), columns / Q8_BLOCK * FILE_BLOCK);
    if bytes.len() != rows * from {
        return None;
    }
    let mut out = vec![0u8; rows * to];
    let failed = AtomicBool::new(false);
    for_pieces(&mut out, PANEL * to, |at, out| {
        let (first, count) = (at / to, out.len() / to);
        let part = &bytes[first * from..(first + count) * from];
        match dequantised(kind, part, count, columns) {
            Ok(values) => {
                let blocks = values.as_chunks::<Q8_BLOCK>().0.iter();
                blocks
                    .zip(out.chunks_exact_mut(FILE_BLOCK))
                    .for_each(|(values, out)| file_block(values, out));
            }
            Err(error) => {
                tracing::warn!(?kind, %error, "blocks cannot be read");
                failed.store(true, Ordering::Relaxed);
            }
        }
    });
    (!failed.into_inner()).then_some(out)
}

fn dequantised(kind: GgmlDType, bytes: &[u8], rows: usize, columns: usize) -> candle_core::Result<Vec<f32>> {
    let storage = QStorage::from_data(bytes.into(), &Device::Cpu, kind)?;
    QTensor::new(storage, (rows, columns))?.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1()
}

/// A block of Q8_0 as files hold it.
fn file_block(values: &[f32; Q8_BLOCK], out: &mut [u8]) {
    let most = values.iter().fold(0f32, |most, value| most.max(value.abs()));
    let lost = values.iter().any(|value| value.is_nan());
    let scale = f16::from_f32(if lost { f32::NAN } else { most / 127.0 });
    let inverse = if scale.to_f32() > 0.0 { 1.0 / scale.to_f32() } else { 0.0 };
    out[..2].copy_from_slice(&scale.to_le_bytes());
    for (out, value) in out[2..].iter_mut().zip(values) {
        // The scale is rounded, so that the largest may come to more than 127.
        *out = (value * inverse).round_ties_even().clamp(-127.0, 127.0) as i8 as u8;
    }
}

/// Quants and scales of a file's rows, in panels.
pub(super) fn pack(bytes: &[u8], rows: usize, columns: usize) -> (Vec<Line>, Vec<Line>) {
    let blocks = columns / Q8_BLOCK;
    assert_eq!(bytes.len(), rows * blocks * FILE_BLOCK, "a matrix does not have its shape");
    let units = rows.div_ceil(PANEL) * blocks;
    let mut quants = vec![Line([128; 64]); units * UNIT / 64];
    let mut scales = vec![Line([0; 64]); units * PANEL * 2 / 64];
    let (out, out_scales) = (bytes_mut(&mut quants), bytes_mut(&mut scales));
    for (index, block) in bytes.chunks_exact(FILE_BLOCK).enumerate() {
        let (row, block_index) = (index / blocks, index % blocks);
        let unit = row / PANEL * blocks + block_index;
        let at = (unit * PANEL + row % PANEL) * 2;
        out_scales[at..at + 2].copy_from_slice(&block[..2]);
        let start =
            row / PANEL * blocks * UNIT + half_at(row % PANEL / 16, blocks, block_index) + row % 16 * 4;
        for (step, four) in block[2..].as_chunks::<4>().0.iter().enumerate() {
            let to = &mut out[start + step * 64..][..4];
            for (to, quant) in to.iter_mut().zip(four) {
                *to = quant ^ 0x80;
            }
        }
    }
    (quants, scales)
}

/// Where a block of half a panel begins in the panel's quants.
#[inline(always)]
pub(super) fn half_at(half: usize, blocks: usize, block: usize) -> usize {
    (half * blocks + block) * HALF
}

/// Where a tile's operands lie.
struct Operands {
    blocks: usize,
    quants: *const u8,
    /// f16.
    scales: *const u16,
    x: *const i8,
    x_scales: *const f32,
    x_offsets: *const i32,
}

/// One tile.
pub(super) fn tile(
    isa: Isa,
    quants: &[Line],
    scales: &[Line],
    panel: usize,
    x: &Quantised,
    tokens: Range<usize>,
    at: &Tile,
) {
    let blocks = x.columns / Q8_BLOCK;
    let operands = Operands {
        blocks,
        quants: quants[panel * blocks * UNIT / 64..(panel + 1) * blocks * UNIT / 64].as_ptr().cast(),
        scales: scales[panel * blocks..(panel + 1) * blocks].as_ptr().cast(),
        x: x.quants[tokens.start * x.columns..tokens.end * x.columns].as_ptr(),
        x_scales: x.scales[tokens.start * blocks..tokens.end * blocks].as_ptr(),
        x_offsets: x.offsets[tokens.start * blocks..tokens.end * blocks].as_ptr(),
    };
    #[allow(unsafe_code, reason = "pointers into the packed weights and the activations")]
    // SAFETY: the slices above have what the tile reads; the caller made `at` within the output.
    unsafe {
        match tokens.len() {
            1 => run::<1>(isa, &operands, at),
            2 => run::<2>(isa, &operands, at),
            3 => run::<3>(isa, &operands, at),
            4 => run::<4>(isa, &operands, at),
            5 => run::<5>(isa, &operands, at),
            TOKENS => run::<TOKENS>(isa, &operands, at),
            7 => run_half::<7>(isa, &operands, at),
            MOST_TOKENS => run_half::<MOST_TOKENS>(isa, &operands, at),
            count => unreachable!("a tile of {count} tokens"),
        }
    }
}

/// Most tokens of a tile where weights come from memory: sixteen outputs at a time then leave registers for eight.
pub(super) const MOST_TOKENS: usize = 8;

/// # Safety
/// As [`portable`], for `T` of 7 or 8.
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn run_half<const T: usize>(isa: Isa, operands: &Operands, at: &Tile) {
    // SAFETY: the caller's promises; the instructions were found.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if isa == Isa::Avx512 && has_vnni() {
            return vnni512_halves::<T>(operands, at);
        }
        run::<T>(isa, operands, at);
    }
}

/// Whether the machine multiplies bytes in vectors of 512 bits.
#[cfg(target_arch = "x86_64")]
fn has_vnni() -> bool {
    is_x86_feature_detected!("avx512vnni")
}

/// # Safety
/// As [`portable`].
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn run<const T: usize>(isa: Isa, operands: &Operands, at: &Tile) {
    // SAFETY: the caller's promises; the instructions were found.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if isa == Isa::Avx512 && has_vnni() {
            return vnni512::<T>(operands, at);
        }
        #[cfg(target_arch = "x86_64")]
        if isa != Isa::Portable {
            return avx2::<T>(operands, at);
        }
        let _ = isa;
        portable::<T>(operands, at);
    }
}

/// The plain reference.
///
/// # Safety
/// The operands are readable for `blocks` blocks of a panel and of `T` tokens, `at` is writable for `T` tokens.
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn portable<const T: usize>(operands: &Operands, at: &Tile) {
    let Operands { blocks, quants, scales, x, x_scales, .. } = *operands;
    let mut sums = [[0f32; PANEL]; T];
    for block in 0..blocks {
        // SAFETY: the caller's promise.
        let (halves, scales) = unsafe {
            (
                [0, 1].map(|half| std::slice::from_raw_parts(quants.add(half_at(half, blocks, block)), HALF)),
                std::slice::from_raw_parts(scales.add(block * PANEL), PANEL),
            )
        };
        for (token, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            let (x, x_scale) = unsafe {
                let from = x.add((token * blocks + block) * Q8_BLOCK);
                (std::slice::from_raw_parts(from, Q8_BLOCK), *x_scales.add(token * blocks + block))
            };
            for (row, sum) in sums.iter_mut().enumerate() {
                let mut whole = 0i32;
                for (step, four) in x.as_chunks::<4>().0.iter().enumerate() {
                    let weights = &halves[row / 16][step * 64 + row % 16 * 4..][..4];
                    for (weight, value) in weights.iter().zip(four) {
                        whole += (i32::from(*weight) - 128) * i32::from(*value);
                    }
                }
                *sum += f16::from_bits(scales[row]).to_f32() * x_scale * whole as f32;
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
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn vnni512<const T: usize>(operands: &Operands, at: &Tile) {
    use std::arch::x86_64::*;
    let Operands { blocks, quants, scales, x, x_scales, x_offsets } = *operands;
    let mut sums = [[_mm512_setzero_ps(); 2]; T];
    for block in 0..blocks {
        // SAFETY: the caller's promise.
        unsafe {
            let [first, second] = [0, 1].map(|half| quants.add(half_at(half, blocks, block)));
            let mut whole = [[_mm512_setzero_si512(); 2]; T];
            for (token, whole) in whole.iter_mut().enumerate() {
                *whole = [_mm512_set1_epi32(*x_offsets.add(token * blocks + block)); 2];
            }
            for step in 0..Q8_BLOCK / 4 {
                let low = _mm512_load_si512(first.add(step * 64).cast());
                let high = _mm512_load_si512(second.add(step * 64).cast());
                for (token, whole) in whole.iter_mut().enumerate() {
                    let from = x.add((token * blocks + block) * Q8_BLOCK + step * 4);
                    let value = _mm512_set1_epi32(from.cast::<i32>().read_unaligned());
                    whole[0] = _mm512_dpbusd_epi32(whole[0], low, value);
                    whole[1] = _mm512_dpbusd_epi32(whole[1], high, value);
                }
            }
            let scale = [
                _mm512_cvtph_ps(_mm256_load_si256(scales.add(block * PANEL).cast())),
                _mm512_cvtph_ps(_mm256_load_si256(scales.add(block * PANEL + 16).cast())),
            ];
            for (token, (sums, whole)) in sums.iter_mut().zip(&whole).enumerate() {
                let x_scale = _mm512_set1_ps(*x_scales.add(token * blocks + block));
                for half in 0..2 {
                    let factor = _mm512_mul_ps(scale[half], x_scale);
                    sums[half] = _mm512_fmadd_ps(factor, _mm512_cvtepi32_ps(whole[half]), sums[half]);
                }
            }
        }
    }
    for (token, sums) in sums.iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { store512(at, token, *sums) };
    }
}

/// As [`vnni512`], one half of the outputs after the other.
///
/// # Safety
/// As [`portable`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn vnni512_halves<const T: usize>(operands: &Operands, at: &Tile) {
    use std::arch::x86_64::*;
    let Operands { blocks, quants, scales, x, x_scales, x_offsets } = *operands;
    let mut both = [[_mm512_setzero_ps(); 2]; T];
    for half in 0..2 {
        let mut sums = [_mm512_setzero_ps(); T];
        for block in 0..blocks {
            // SAFETY: the caller's promise.
            unsafe {
                let unit = quants.add(half_at(half, blocks, block));
                let mut whole = [_mm512_setzero_si512(); T];
                for (token, whole) in whole.iter_mut().enumerate() {
                    *whole = _mm512_set1_epi32(*x_offsets.add(token * blocks + block));
                }
                for step in 0..Q8_BLOCK / 4 {
                    _mm_prefetch::<_MM_HINT_T0>(unit.wrapping_add(AHEAD + step * 64).cast());
                    let weights = _mm512_load_si512(unit.add(step * 64).cast());
                    for (token, whole) in whole.iter_mut().enumerate() {
                        let from = x.add((token * blocks + block) * Q8_BLOCK + step * 4);
                        let value = _mm512_set1_epi32(from.cast::<i32>().read_unaligned());
                        *whole = _mm512_dpbusd_epi32(*whole, weights, value);
                    }
                }
                let from = scales.add(block * PANEL + half * 16);
                let scale = _mm512_cvtph_ps(_mm256_load_si256(from.cast()));
                for (token, (sum, whole)) in sums.iter_mut().zip(&whole).enumerate() {
                    let x_scale = _mm512_set1_ps(*x_scales.add(token * blocks + block));
                    let factor = _mm512_mul_ps(scale, x_scale);
                    *sum = _mm512_fmadd_ps(factor, _mm512_cvtepi32_ps(*whole), *sum);
                }
            }
        }
        for (both, sum) in both.iter_mut().zip(sums) {
            both[half] = sum;
        }
    }
    for (token, sums) in both.iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { store512(at, token, *sums) };
    }
}

/// As [`Tile::store`], 32 sums in two vectors.
///
/// # Safety
/// As [`Tile::store`]; the machine has AVX-512 F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
pub(super) unsafe fn store512(at: &Tile, token: usize, sums: [std::arch::x86_64::__m512; 2]) {
    use std::arch::x86_64::*;
    for (half, mut sum) in sums.into_iter().enumerate() {
        let rows = at.rows.saturating_sub(half * 16).min(16);
        let mask = ((1u32 << rows) - 1) as __mmask16;
        // SAFETY: the caller's promise; the mask keeps to `rows`.
        unsafe {
            // Past the end where no rows are left, and then neither read nor written.
            let out = at.out.wrapping_add(token * at.stride + half * 16);
            if !at.bias.is_null() {
                sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, at.bias.wrapping_add(half * 16)));
            }
            if at.accumulate {
                sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, out));
            }
            _mm512_mask_storeu_ps(out, mask, sum);
        }
    }
}

/// Bytes multiplied in pairs: |weight| times x with the sign of the weight. A weight may be -128 (its absolute value is
/// 128 as an unsigned byte), x is from -127 to 127: no pair's sum leaves 16 bits, and no sign is lost.
///
/// # Safety
/// As [`portable`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn avx2<const T: usize>(operands: &Operands, at: &Tile) {
    use std::arch::x86_64::*;
    let Operands { blocks, quants, scales, x, x_scales, .. } = *operands;
    let (ones, flip) = (_mm256_set1_epi16(1), _mm256_set1_epi8(-128));
    let mut sums = [[0f32; PANEL]; T];
    for block in 0..blocks {
        for eight in 0..PANEL / 8 {
            // SAFETY: the caller's promise; rows `8 * eight..` of the unit.
            unsafe {
                let unit = quants.add(half_at(eight / 2, blocks, block) + eight % 2 * 32);
                let scale = _mm256_cvtph_ps(_mm_loadu_si128(scales.add(block * PANEL + eight * 8).cast()));
                for (token, sums) in sums.iter_mut().enumerate() {
                    let mut whole = _mm256_setzero_si256();
                    let from = x.add((token * blocks + block) * Q8_BLOCK);
                    for step in 0..Q8_BLOCK / 4 {
                        let weight = _mm256_xor_si256(_mm256_loadu_si256(unit.add(step * 64).cast()), flip);
                        let value = _mm256_set1_epi32(from.add(step * 4).cast::<i32>().read_unaligned());
                        let pairs =
                            _mm256_maddubs_epi16(_mm256_abs_epi8(weight), _mm256_sign_epi8(value, weight));
                        whole = _mm256_add_epi32(whole, _mm256_madd_epi16(pairs, ones));
                    }
                    let x_scale = _mm256_set1_ps(*x_scales.add(token * blocks + block));
                    let at = sums.as_mut_ptr().add(eight * 8);
                    let factor = _mm256_mul_ps(scale, x_scale);
                    let sum = _mm256_fmadd_ps(factor, _mm256_cvtepi32_ps(whole), _mm256_loadu_ps(at));
                    _mm256_storeu_ps(at, sum);
                }
            }
        }
    }
    for (token, sums) in sums.iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { at.store(token, sums) };
    }
}
