//! The scale of an fp16 training's loss.

use serde::{Deserialize, Serialize};

/// A loss in fp16 is multiplied by as much as its gradients can bear (Micikevicius et al. 2018, section 3.2).
///
/// It starts at 65,536, halves whenever a gradient overflows, and doubles after 2,000 steps without.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LossScaler {
    #[serde(with = "crate::exact")]
    scale: f64,
    good: u32,
    /// 1 where the type of the gradients needs no scale.
    fixed: bool,
}

/// Steps without an overflow after which the scale doubles.
const INTERVAL: u32 = 2000;
/// Where gradients overflow below this, no scale helps.
const LOWEST: f64 = 1.0 / 1024.0;
/// Over this, f32 itself might overflow.
const HIGHEST: f64 = (1u64 << 40) as f64;

impl LossScaler {
    /// For fp16.
    pub fn dynamic() -> Self {
        Self { scale: 65_536.0, good: 0, fixed: false }
    }

    /// No scaling, for the other types.
    pub fn none() -> Self {
        Self { scale: 1.0, good: 0, fixed: true }
    }

    /// What the loss is multiplied with.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Whether there is a scale at all.
    pub fn is_dynamic(&self) -> bool {
        !self.fixed
    }

    /// Tells it how a step went; says whether the step is to be skipped. `None` where gradients overflow and the scale is
    /// not why.
    pub fn update(&mut self, overflow: bool) -> Option<bool> {
        match (overflow, self.fixed) {
            (true, true) => None,
            (true, false) if self.scale <= LOWEST => None,
            (true, false) => {
                self.scale /= 2.0;
                self.good = 0;
                Some(true)
            }
            (false, true) => Some(false),
            (false, false) => {
                self.good += 1;
                if self.good == INTERVAL {
                    self.good = 0;
                    self.scale = (self.scale * 2.0).min(HIGHEST);
                }
                Some(false)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn it_halves_on_overflow_and_doubles_after_2000_good_steps() {
        let mut scaler = LossScaler::dynamic();
        assert_eq!((scaler.update(true), scaler.scale()), (Some(true), 32_768.0));
        for _ in 0..1999 {
            assert_eq!((scaler.update(false), scaler.scale()), (Some(false), 32_768.0));
        }
        assert_eq!((scaler.update(false), scaler.scale()), (Some(false), 65_536.0));
        // An overflow starts the count anew, and a saved scaler goes on where it was.
        for _ in 0..1500 {
            scaler.update(false);
        }
        scaler.update(true);
        let text = serde_json::to_string(&scaler).unwrap();
        let mut scaler: LossScaler = serde_json::from_str(&text).unwrap();
        for _ in 0..1999 {
            scaler.update(false);
        }
        assert_eq!(scaler.scale(), 32_768.0);
        scaler.update(false);
        assert_eq!(scaler.scale(), 65_536.0);
    }

    #[test]
    fn an_overflow_that_no_scale_cures_is_an_error() {
        let mut scaler = LossScaler::dynamic();
        let skipped = std::iter::from_fn(|| scaler.update(true)).take(1000).count();
        assert_eq!(skipped, 26);
        assert_eq!(LossScaler::none().update(true), None);
    }
}
