//! The rotation of queries and keys, forwards and backwards.

use super::element::{Element, Real, vectorised};
use crate::nn::Rotation;
use crate::ops::team::for_pieces;

/// Rotates `[tokens, heads, dim]` in place, or back (the gradient of a rotation is the opposite one, with the same factor).
pub(crate) fn rotate<E: Element>(rotation: &Rotation, values: &mut [E], heads: usize, back: bool) {
    let (half, cos, sin) = rotation.halves();
    let row = heads * 2 * half;
    if half == 0 || values.is_empty() {
        return;
    }
    let sign = E::Wide::of(if back { -1.0 } else { 1.0 });
    for_pieces(values, 16 * row, |at, values| {
        vectorised(
            #[inline(always)]
            || {
                for (token, values) in values.chunks_exact_mut(row).enumerate() {
                    let first = (at / row + token) * half;
                    let (cos, sin) = (&cos[first..][..half], &sin[first..][..half]);
                    for head in values.chunks_exact_mut(2 * half) {
                        let (first, second) = head.split_at_mut(half);
                        for i in 0..half {
                            let (c, s) =
                                (E::Wide::of(f64::from(cos[i])), E::Wide::of(f64::from(sin[i])) * sign);
                            let (a, b) = (first[i].widen(), second[i].widen());
                            first[i] = E::narrow(a * c - b * s);
                            second[i] = E::narrow(b * c + a * s);
                        }
                    }
                }
            },
        );
    });
}
