//! Dropout whose choices are a function of where a value stands, so that every back end leaves out the same values, in the
//! forward pass and in the backward pass, without a mask being kept.

use lore_core::random::{mix, unit};

/// Whether the value at `element` (row-major among all tokens of the batch) is kept; kept ones are divided by
/// `1 - dropout`.
///
/// `stream` tells one layer's dropout from another's ([`super::LoraParts`]), `step` one call's from another's.
#[inline]
pub(crate) fn keeps(seed: u64, step: u64, stream: u64, element: u64, dropout: f64) -> bool {
    // Four rounds, so that no two of the four numbers can stand for each other.
    unit(mix(mix(mix(mix(seed) ^ step) ^ stream) ^ element)) >= dropout
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(seed: u64, step: u64, stream: u64, dropout: f64) -> Vec<bool> {
        (0..20_000).map(|element| keeps(seed, step, stream, element, dropout)).collect()
    }

    fn share(kept: &[bool]) -> f64 {
        kept.iter().filter(|kept| **kept).count() as f64 / kept.len() as f64
    }

    #[test]
    fn as_many_are_left_out_as_were_asked_for() {
        for dropout in [0.05, 0.1, 0.5, 0.9] {
            // Five standard deviations of a binomial share.
            let bound = 5.0 * (dropout * (1.0 - dropout) / 20_000f64).sqrt();
            for (seed, step, stream) in [(0, 0, 0), (42, 7, 3), (u64::MAX, u64::MAX, 1)] {
                let share = share(&kept(seed, step, stream, dropout));
                assert!((share - (1.0 - dropout)).abs() < bound, "{dropout}: {share}");
            }
        }
        assert!(kept(1, 2, 3, 0.0).into_iter().all(|kept| kept));
    }

    #[test]
    fn steps_streams_and_seeds_choose_for_themselves() {
        let own = kept(1, 2, 3, 0.5);
        assert_eq!(own, kept(1, 2, 3, 0.5));
        for other in [kept(2, 1, 3, 0.5), kept(1, 3, 2, 0.5), kept(3, 2, 1, 0.5), kept(1, 2, 4, 0.5)] {
            let same: Vec<bool> = own.iter().zip(&other).map(|(own, other)| own == other).collect();
            assert!((share(&same) - 0.5).abs() < 0.02, "{}", share(&same));
        }
    }
}
