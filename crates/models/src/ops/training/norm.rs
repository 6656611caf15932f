//! RMSNorm over rows, forwards and backwards.

use super::element::{Element, Real, sum, vectorised};
use crate::ops::team::{for_chunks, for_pieces};

/// Values of a thread's piece of work, about.
const PIECE: usize = 16_384;

#[inline(always)]
fn inverse_root<E: Element>(x: &[E], epsilon: f32) -> E::Wide {
    let square = sum::<E::Wide>(
        x.len(),
        #[inline(always)]
        |i| {
            let v = x[i].widen();
            v * v
        },
    );
    let mean = square / E::Wide::of(x.len() as f64);
    E::Wide::of(1.0) / (mean + E::Wide::of(f64::from(epsilon))).root()
}

/// `y = x r w` with `r = 1 / sqrt(mean(x²) + epsilon)`, row by row (Zhang and Sennrich 2019, equation 4).
pub(crate) fn forward<E: Element>(x: &[E], weight: &[E::Wide], epsilon: f32, out: &mut [E]) {
    let width = weight.len();
    let piece = (PIECE / width).max(1) * width;
    for_pieces(out, piece, |at, out| {
        vectorised(
            #[inline(always)]
            || {
                let x = &x[at..at + out.len()];
                for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
                    let scale = inverse_root(x, epsilon);
                    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
                        *out = E::narrow(x.widen() * scale * *weight);
                    }
                }
            },
        );
    });
}

/// `dx += r (w dy - x r² mean(w dy x))`.
pub(crate) fn backward<E: Element>(x: &[E], weight: &[E::Wide], epsilon: f32, dy: &[E], dx: &mut [E]) {
    let width = weight.len();
    let piece = (PIECE / width).max(1) * width;
    for_pieces(dx, piece, |at, dx| {
        vectorised(
            #[inline(always)]
            || {
                let (x, dy) = (&x[at..at + dx.len()], &dy[at..at + dx.len()]);
                let rows = x.chunks_exact(width).zip(dy.chunks_exact(width));
                for ((x, dy), dx) in rows.zip(dx.chunks_exact_mut(width)) {
                    let scale = inverse_root(x, epsilon);
                    let along = sum::<E::Wide>(
                        width,
                        #[inline(always)]
                        |i| weight[i] * dy[i].widen() * x[i].widen(),
                    );
                    let back = along / E::Wide::of(width as f64) * scale * scale;
                    for (((dx, x), dy), weight) in dx.iter_mut().zip(x).zip(dy).zip(weight) {
                        let own = scale * (*weight * dy.widen() - x.widen() * back);
                        *dx = E::narrow(dx.widen() + own);
                    }
                }
            },
        );
    });
}

/// The weight's gradient: the sum over rows of `dy x r`.
pub(crate) fn weight_gradient<E: Element>(x: &[E], epsilon: f32, dy: &[E], width: usize) -> Vec<E::Wide> {
    let rows = x.len() / width;
    let total = std::sync::Mutex::new(Vec::new());
    // Parts of the same size in every run, added in order: the sum does not depend on who was first.
    const PART: usize = 64;
    for_chunks(rows.div_ceil(PART), |range| {
        for part in range {
            let mut own = vec![E::Wide::default(); width];
            vectorised(
                #[inline(always)]
                || {
                    for row in part * PART..rows.min((part + 1) * PART) {
                        let (x, dy) = (&x[row * width..][..width], &dy[row * width..][..width]);
                        let scale = inverse_root(x, epsilon);
                        for ((own, x), dy) in own.iter_mut().zip(x).zip(dy) {
                            *own += dy.widen() * x.widen() * scale;
                        }
                    }
                },
            );
            if let Ok(mut total) = total.lock() {
                total.push((part, own));
            }
        }
    });
    let mut parts = total.into_inner().unwrap_or_default();
    parts.sort_by_key(|(part, _)| *part);
    let mut sum = vec![E::Wide::default(); width];
    for (_, part) in parts {
        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    sum
}

/// The sum of all rows, for a bias's gradient.
pub(crate) fn column_sums<E: Element>(dy: &[E], width: usize) -> Vec<E::Wide> {
    let mut sum = vec![E::Wide::default(); width];
    for row in dy.chunks_exact(width) {
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value.widen());
    }
    sum
}
