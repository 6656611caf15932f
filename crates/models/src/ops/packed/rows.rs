//! Single rows out of packed matrices, for embeddings that are also the output layer.

use half::f16;

use super::q8::half_at;
use super::{Float, Line, PANEL, Q8_BLOCK};

/// The bytes of `lines`.
pub(super) fn bytes(lines: &[Line]) -> &[u8] {
    #[allow(unsafe_code, reason = "a line is 64 bytes without padding")]
    // SAFETY: `Line` is `repr(C)` over 64 bytes.
    unsafe {
        std::slice::from_raw_parts(lines.as_ptr().cast::<u8>(), size_of_val(lines))
    }
}

/// The bytes of `lines`, to be filled.
pub(super) fn bytes_mut(lines: &mut [Line]) -> &mut [u8] {
    #[allow(unsafe_code, reason = "a line is 64 bytes without padding, and any bytes make one")]
    // SAFETY: `Line` is `repr(C)` over 64 bytes.
    unsafe {
        std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<u8>(), size_of_val(lines))
    }
}

pub(super) fn dense<E: Float>(lines: &[Line], row: usize, out: &mut [f32]) {
    let (panel, within) = (row / PANEL, row % PANEL);
    let bytes = bytes(lines);
    let start = panel * out.len() * PANEL;
    for (column, value) in out.iter_mut().enumerate() {
        let at = (start + column * PANEL + within) * size_of::<E>();
        *value = E::from_bytes(&bytes[at..at + size_of::<E>()]).widen();
    }
}

pub(super) fn q8(quants: &[Line], scales: &[Line], row: usize, out: &mut [f32]) {
    let blocks = out.len() / Q8_BLOCK;
    let (panel, half, within) = (row / PANEL, row % PANEL / 16, row % 16);
    let (quants, scales) = (bytes(quants), bytes(scales));
    for block in 0..blocks {
        let unit = panel * blocks + block;
        let start = panel * blocks * PANEL * Q8_BLOCK + half_at(half, blocks, block);
        let at = (unit * PANEL + row % PANEL) * 2;
        let scale = f16::from_le_bytes([scales[at], scales[at + 1]]).to_f32();
        for (i, value) in out[block * Q8_BLOCK..][..Q8_BLOCK].iter_mut().enumerate() {
            let quant = quants[start + i / 4 * 64 + within * 4 + i % 4];
            *value = scale * f32::from(quant as i16 - 128);
        }
    }
}
