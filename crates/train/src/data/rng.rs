//! Random numbers that are the same for the same seed, on every machine and in every version.

use lore_core::random::{Random, finalise};

/// The numbers of one use of a seed.
pub(super) struct Rng(Random);

impl Rng {
    /// For one use of a seed; other `streams` of it give other numbers.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let start = Random::new(seed).next();
        Self(Random::new(start ^ finalise(stream.wrapping_add(0x632b_e59b_d9b4_e019))))
    }

    /// From 0 to below 1.
    pub(super) fn uniform(&mut self) -> f64 {
        self.0.unit()
    }

    /// From 0 to below `end`, by the high half of a product (Lemire 2019, without its rejection: the bias is below 2^-32
    /// for any number of examples that fits memory).
    pub(super) fn below(&mut self, end: usize) -> usize {
        let wide = u128::from(self.0.next()) * end as u128;
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// Another order (Fisher and Yates; Knuth, volume 2, algorithm P).
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
