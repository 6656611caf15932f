//! Random numbers that are the same for the same seed, on every machine and in every version.

/// SplitMix64 (Steele, Lea and Flood 2014, figure 16).
pub(super) struct Rng {
    state: u64,
}

impl Rng {
    /// For one use of a seed; other `streams` of it give other numbers.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = Self { state: seed };
        let start = rng.next();
        Self { state: start ^ mix(stream.wrapping_add(0x632b_e59b_d9b4_e019)) }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// From 0 to below 1.
    pub(super) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From 0 to below `end`, by the high half of a product (Lemire 2019, without its rejection: the bias is below 2^-32
    /// for any number of examples that fits memory).
    pub(super) fn below(&mut self, end: usize) -> usize {
        let wide = u128::from(self.next()) * end as u128;
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// Another order (Fisher and Yates; Knuth, volume 2, algorithm P).
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// SplitMix64's finaliser.
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
