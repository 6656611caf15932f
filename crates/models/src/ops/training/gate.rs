//! The gate of the MLP and the non-linearities of bottlenecks, forwards and backwards.

use super::Shared;
use super::element::{Element, Real, vectorised};
use crate::ops::team::for_pieces;
use crate::training::BottleneckActivation;

/// Values of a thread's piece of work.
const PIECE: usize = 16_384;

/// `1 / (1 + e^-x)`.
#[inline(always)]
fn sigmoid<R: Real>(x: R) -> R {
    let zero = R::default();
    let positive = x >= zero;
    let power = (if positive { -x } else { x }).exp_negative();
    (if positive { R::of(1.0) } else { power }) / (R::of(1.0) + power)
}

/// `silu(gate) up` (Shazeer 2020, equation 6).
pub(crate) fn swiglu<E: Element>(gate: &[E], up: &[E], out: &mut [E]) {
    for_pieces(out, PIECE, |at, out| {
        vectorised(
            #[inline(always)]
            || {
                let (gate, up) = (&gate[at..at + out.len()], &up[at..at + out.len()]);
                for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                    let gate = gate.widen();
                    *out = E::narrow(gate * sigmoid(gate) * up.widen());
                }
            },
        );
    });
}

/// From the gradient of [`swiglu`]'s output to those of gate and up, which take its inputs' place.
pub(crate) fn swiglu_backward<E: Element>(gate: &mut [E], up: &mut [E], dy: &[E]) {
    for_pieces(gate, PIECE, {
        let up = Shared::of(up);
        move |at, gate| {
            let up = up.part(at, gate.len());
            vectorised(
                #[inline(always)]
                || {
                    let dy = &dy[at..at + gate.len()];
                    for ((gate, up), dy) in gate.iter_mut().zip(up).zip(dy) {
                        let (g, u, d) = (gate.widen(), up.widen(), dy.widen());
                        let s = sigmoid(g);
                        let silu = g * s;
                        *gate = E::narrow(d * u * (s + silu * (E::Wide::of(1.0) - s)));
                        *up = E::narrow(d * silu);
                    }
                },
            );
        }
    });
}

/// A bottleneck's non-linearity.
pub(crate) fn activate<E: Element>(kind: BottleneckActivation, x: &[E], out: &mut [E]) {
    for (out, x) in out.iter_mut().zip(x) {
        let x = x.widen();
        *out = E::narrow(match kind {
            BottleneckActivation::Relu => {
                if x > E::Wide::default() {
                    x
                } else {
                    E::Wide::default()
                }
            }
            BottleneckActivation::Silu => x * sigmoid(x),
        });
    }
}

/// The gradient of a bottleneck's non-linearity, in the place of `dy`.
pub(crate) fn activate_backward<E: Element>(kind: BottleneckActivation, x: &[E], dy: &mut [E]) {
    for (dy, x) in dy.iter_mut().zip(x) {
        let (x, d) = (x.widen(), dy.widen());
        let slope = match kind {
            BottleneckActivation::Relu if x > E::Wide::default() => E::Wide::of(1.0),
            BottleneckActivation::Relu => E::Wide::default(),
            BottleneckActivation::Silu => {
                let s = sigmoid(x);
                s + x * s * (E::Wide::of(1.0) - s)
            }
        };
        *dy = E::narrow(d * slope);
    }
}
