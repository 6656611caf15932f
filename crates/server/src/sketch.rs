//! Quantiles of durations from counts in buckets of growing width.
//!
//! Bucket `i` holds what lies between `LEAST * g^(i-1)` and `LEAST * g^i`, where `g = (1 + ERROR) / (1 - ERROR)`; a value in
//! its middle is then off by a share of `ERROR` at most (Masson et al. 2019, "DDSketch", section 2). Sketches that are
//! added give what one sketch of all values would.

/// A quantile is off by this share at most, for durations from a millisecond to ten minutes; shorter and longer ones count
/// as these.
pub const ERROR: f64 = 0.05;
/// Shortest duration that is told apart, in seconds.
const LEAST: f64 = 0.001;
/// Longest.
const MOST: f64 = 600.0;

fn growth() -> f64 {
    (1.0 + ERROR) / (1.0 - ERROR)
}

/// Counts of durations; at most 134 buckets, and only those that hold something take memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// Bucket and count, by bucket.
    buckets: Vec<(u8, u32)>,
}

impl Sketch {
    /// Counts a duration.
    pub fn add(&mut self, seconds: f64) {
        let seconds = if seconds.is_nan() { LEAST } else { seconds.clamp(LEAST, MOST) };
        // At most 134, so that it fits.
        let bucket = ((seconds / LEAST).ln() / growth().ln()).ceil() as u8;
        self.count(bucket, 1);
    }

    /// Counts all that `other` counted.
    pub fn merge(&mut self, other: &Sketch) {
        for (bucket, count) in &other.buckets {
            self.count(*bucket, *count);
        }
    }

    fn count(&mut self, bucket: u8, by: u32) {
        match self.buckets.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => {
                if let Some((_, count)) = self.buckets.get_mut(at) {
                    *count = count.saturating_add(by);
                }
            }
            Err(at) => self.buckets.insert(at, (bucket, by)),
        }
    }

    /// Durations counted.
    pub fn len(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// The duration in seconds that a share `q` of all do not exceed (nearest rank); none where nothing was counted.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = (q.clamp(0.0, 1.0) * self.len() as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let (bucket, _) = self.buckets.iter().find(|(_, count)| {
            seen += u64::from(*count);
            seen >= rank
        })?;
        let upper = LEAST * growth().powi(i32::from(*bucket));
        Some(upper * 2.0 / (1.0 + growth()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Durations from two milliseconds to minutes, spread over the orders of magnitude, in no order.
    fn durations() -> Vec<f64> {
        (0..2000_u32).map(|n| 0.002 * 1.0055_f64.powi((n * 1103 % 2000) as i32)).collect()
    }

    #[test]
    fn quantiles_are_off_by_no_more_than_is_said() {
        let mut sorted = durations();
        let mut sketch = Sketch::default();
        sorted.iter().for_each(|seconds| sketch.add(*seconds));
        sorted.sort_by(f64::total_cmp);
        for q in [0.0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0] {
            let rank = (q * sorted.len() as f64).ceil().max(1.0) as usize;
            let (found, right) = (sketch.quantile(q).unwrap_or_default(), sorted[rank - 1]);
            assert!((found - right).abs() <= right * (ERROR + 1e-9), "{q}: {found} for {right}");
        }
        assert_eq!(sketch.len(), 2000);
    }

    #[test]
    fn sketches_add_up() {
        let (mut all, mut odd, mut even) = (Sketch::default(), Sketch::default(), Sketch::default());
        for (n, seconds) in durations().into_iter().enumerate() {
            all.add(seconds);
            if n % 2 == 0 { even.add(seconds) } else { odd.add(seconds) }
        }
        odd.merge(&even);
        assert_eq!(odd, all);
    }

    #[test]
    fn what_makes_no_sense_takes_no_memory_and_breaks_nothing() {
        let mut sketch = Sketch::default();
        assert_eq!(sketch.quantile(0.5), None);
        for seconds in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 1e9] {
            sketch.add(seconds);
        }
        assert_eq!((sketch.len(), sketch.buckets.len()), (6, 2));
        let longest = sketch.quantile(1.0).unwrap_or_default();
        assert!((longest - MOST).abs() <= MOST * ERROR, "{longest}");
    }
}
