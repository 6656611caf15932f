//! Cross-entropy of a row of logits, and its gradient.

use super::element::{Element, Real, sum, vectorised};

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
            let mut most = [logits[0]; 16];
            let (whole, rest) = logits.as_chunks::<16>();
            for chunk in whole {
                for (most, value) in most.iter_mut().zip(chunk) {
                    *most = if *value > *most { *value } else { *most };
                }
            }
            let mut top = most[0];
            for value in most.iter().chain(rest) {
                top = if *value > top { *value } else { top };
            }
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
