//! A step of AdamW over slices.

use rayon::prelude::*;

use super::Isa;
use super::isa::{fma, for_each_isa};

/// What a step multiplies with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamwStep {
    /// Of each gradient, before anything else: clipping and the loss's scale.
    pub gradient: f32,
    /// Of each parameter: one less learning rate times weight decay.
    pub keep: f32,
    /// One less the first moment's decay.
    pub first: f32,
    /// The second moment's decay.
    pub beta2: f32,
    /// One less the second moment's decay.
    pub second: f32,
    /// Root of the second moment's bias, `sqrt(1 - beta2^t)`.
    pub root: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Learning rate over the first moment's bias, `1 - beta1^t`, negated.
    pub step: f32,
}

/// Values for which a thread of its own is worth waking.
const PIECE: usize = 1 << 15;

/// Changes parameters and moments by one step (Loshchilov and Hutter 2019, algorithm 2).
///
/// The order of roundings is that of `torch.optim.AdamW` on a CPU with fused multiply-add.
///
/// # Panics
/// When lengths differ.
pub fn adamw(
    isa: Isa,
    step: AdamwStep,
    values: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    gradient: &[f32],
) {
    let length = values.len();
    assert!(first.len() == length && second.len() == length && gradient.len() == length, "lengths differ");
    if length <= PIECE {
        return piece(isa, step, values, first, second, gradient);
    }
    let moments = first.par_chunks_mut(PIECE).zip(second.par_chunks_mut(PIECE));
    let pieces = values.par_chunks_mut(PIECE).zip(moments).zip(gradient.par_chunks(PIECE));
    pieces
        .for_each(|((values, (first, second)), gradient)| piece(isa, step, values, first, second, gradient));
}

for_each_isa! {
    fn piece(step: AdamwStep, values: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32]) {
        let moments = first.iter_mut().zip(second);
        for ((value, (m, v)), gradient) in values.iter_mut().zip(moments).zip(gradient) {
            let g = gradient * step.gradient;
            // torch's `lerp` starts from the nearer end.
            *m = if step.first < 0.5 {
                fma::<FUSED>(step.first, g - *m, *m)
            } else {
                fma::<FUSED>(step.first - 1.0, g - *m, g)
            };
            *v = fma::<FUSED>(step.second * g, g, *v * step.beta2);
            let denominator = v.sqrt() / step.root + step.epsilon;
            *value = *value * step.keep + (step.step * *m) / denominator;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::random::Numbers;

    #[test]
    fn every_instruction_set_and_number_of_threads_takes_the_same_step() {
        let length = 3 * PIECE + 17;
        let mut numbers = Numbers::new(7);
        let start: [Vec<f32>; 4] = std::array::from_fn(|_| numbers.normals(length, 1.0));
        let step = AdamwStep {
            gradient: 0.7,
            keep: 0.999,
            first: 0.1,
            beta2: 0.999,
            second: 0.001,
            root: 0.0316,
            epsilon: 1e-8,
            step: -0.01,
        };
        let [values, first, second, gradient] = start;
        let second: Vec<f32> = second.into_iter().map(f32::abs).collect();
        let run = |isa, at_once: bool| {
            let (mut values, mut first, mut second) = (values.clone(), first.clone(), second.clone());
            if at_once {
                piece(isa, step, &mut values, &mut first, &mut second, &gradient);
            } else {
                adamw(isa, step, &mut values, &mut first, &mut second, &gradient);
            }
            [values, first, second]
        };
        let plain = run(Isa::Portable, true);
        for isa in Isa::available() {
            assert!(run(isa, true) == run(isa, false), "{isa:?}: threads change the result");
            for (values, plain) in run(isa, false).iter().zip(&plain) {
                for (value, plain) in values.iter().zip(plain) {
                    assert!((value - plain).abs() <= 1e-6 * plain.abs().max(1.0), "{isa:?}: {value} {plain}");
                }
            }
        }
    }
}
