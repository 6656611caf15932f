//! Numbers by chance that are the same for the same seed, on every machine and in every version.

/// SplitMix64's increment.
const INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's finaliser (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", figure 16).
#[inline]
pub fn finalise(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A step of SplitMix64 from this state: what a counter or a seed is made into.
#[inline]
pub fn mix(state: u64) -> u64 {
    finalise(state.wrapping_add(INCREMENT))
}

/// The upper 53 of random bits as a number from 0 to below 1.
#[inline]
pub fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// A text's hash, for a seed of its own (FNV-1a).
pub fn fnv(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// A stream of numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of its own for each text, whatever else is drawn.
    pub fn of(seed: u64, text: &str) -> Self {
        Self(mix(seed ^ fnv(text)))
    }

    /// The next 64 bits.
    #[allow(clippy::should_implement_trait, reason = "a stream without an end is no iterator")]
    pub fn next(&mut self) -> u64 {
        let bits = mix(self.0);
        self.0 = self.0.wrapping_add(INCREMENT);
        bits
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        unit(self.next())
    }

    /// 0 to below `bound`; 0 for a bound of 0. The bias of the remainder is below `bound / 2^64`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_reference() {
        // Vigna's splitmix64.c, state 1234567.
        let mut random = Random::new(1_234_567);
        let first = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([random.next(), random.next(), random.next()], first);
        assert_eq!(fnv("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(
            (Random::new(5).below(0), unit(0), Random::of(1, "a").next()),
            (0, 0.0, Random::of(1, "a").next())
        );
    }
}
