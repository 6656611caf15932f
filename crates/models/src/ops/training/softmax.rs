//! Cross-entropy of a row of logits, and its gradient.

use super::element::{Element, Real, most, sum, vectorised};

/// The cross-entropy of `target` in nats; `gradient` becomes `scale (softmax(logits) - 1[target])`, where it is wanted.
///
/// The logits are overwritten.
pub(crate) fn cross_entropy<E: Element>(
    logits: &mut [E::Wide],
    target: usize,
    scale: f64,
    gradient: Option<&mut [E]>,
) -> f64 {
    let own = logits[target];
    vectorised(
        #[inline(always)]
        || {
            let top = most(logits);
            for value in logits.iter_mut() {
                *value = (*value - top).exp_negative();
            }
            let powers = &*logits;
            let total = sum::<E::Wide>(
                powers.len(),
                #[inline(always)]
                |i| powers[i],
            );
            if let Some(gradient) = gradient {
                let share = E::Wide::of(scale / total.wide());
                for (gradient, power) in gradient.iter_mut().zip(powers) {
                    *gradient = E::narrow(*power * share);
                }
                gradient[target] = E::narrow(powers[target] * share - E::Wide::of(scale));
            }
            // What is no number anywhere makes the loss none: the maximum skips it, the sum does not.
            total.wide().ln() + top.wide() - own.wide()
        },
    )
}
