//! The learning rate as a function of the step; the formulas are those of transformers' `optimization.py`.

use std::f64::consts::PI;

use super::{DecayForm, OptimSettings, Schedule, Warmup};

/// A schedule over a known number of steps.
#[derive(Clone, Debug, PartialEq)]
pub struct LearningRate {
    highest: f64,
    schedule: Schedule,
    warmup: usize,
    steps: usize,
}

impl LearningRate {
    /// The schedule of a training of `steps` steps.
    pub fn new(settings: &OptimSettings, steps: usize) -> Self {
        let warmup = match settings.warmup {
            Warmup::Steps(warmup) => warmup,
            Warmup::Ratio(ratio) => (steps as f64 * ratio).ceil() as usize,
        };
        Self { highest: settings.learning_rate, schedule: settings.schedule, warmup, steps }
    }

    /// Steps of the warm-up.
    pub fn warmup(&self) -> usize {
        self.warmup
    }

    /// The learning rate after `done` steps, so that of the first step is `at(0)`.
    pub fn at(&self, done: usize) -> f64 {
        self.highest * self.factor(done)
    }

    /// The learning rate over the highest.
    fn factor(&self, done: usize) -> f64 {
        let (warmup, steps) = (self.warmup, self.steps);
        let rising = done as f64 / warmup.max(1) as f64;
        // Steps after the warm-up, and how much of them is done.
        let rest = steps.saturating_sub(warmup).max(1) as f64;
        let progress = (done as f64 - warmup as f64) / rest;
        match self.schedule {
            Schedule::WarmupStableDecay { decay_steps, min_lr_rate, decay } => {
                let lifted = |factor: f64| (factor * (1.0 - min_lr_rate) + min_lr_rate).max(0.0);
                // Where warm-up and decay do not fit, the decay has begun when the warm-up ends.
                let (done, end) = (done as f64, steps as f64);
                let stable_end = end - decay_steps as f64;
                if done < warmup as f64 {
                    lifted(rising)
                } else if done < stable_end {
                    1.0
                } else if done < end {
                    lifted(decay.at((done - stable_end) / decay_steps.max(1) as f64))
                } else {
                    min_lr_rate
                }
            }
            _ if done < warmup => rising,
            Schedule::Constant => 1.0,
            Schedule::Linear => ((steps as f64 - done as f64) / rest).max(0.0),
            Schedule::Cosine => half_cosine(progress).max(0.0),
            Schedule::CosineWithMinLr { min_lr_rate } => {
                (half_cosine(progress) * (1.0 - min_lr_rate) + min_lr_rate).max(0.0)
            }
        }
    }
}

impl DecayForm {
    fn at(self, progress: f64) -> f64 {
        match self {
            Self::Linear => 1.0 - progress,
            Self::Cosine => half_cosine(progress),
            Self::OneMinusSqrt => 1.0 - progress.sqrt(),
        }
    }
}

fn half_cosine(progress: f64) -> f64 {
    0.5 * (1.0 + (PI * progress).cos())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rates(schedule: Schedule, warmup: Warmup) -> Vec<f64> {
        let settings = OptimSettings { learning_rate: 2e-4, schedule, warmup, ..OptimSettings::default() };
        let rate = LearningRate::new(&settings, 12);
        (0..14).map(|done| rate.at(done)).collect()
    }

    /// What transformers 5.24 says for 3 steps of warm-up and 12 in all.
    #[test]
    fn schedules_are_transformers_own() {
        let three = |decay_steps, decay| Schedule::WarmupStableDecay { decay_steps, min_lr_rate: 0.1, decay };
        let high = 2e-4;
        let up = [0.0, 6.666666666666667e-05, 0.00013333333333333334, high];
        let expected: [(Schedule, &[f64]); 8] = [
            (Schedule::Constant, &[high; 10]),
            (
                Schedule::Linear,
                &[
                    0.00017777777777777779,
                    0.00015555555555555556,
                    0.00013333333333333334,
                    0.00011111111111111112,
                    8.888888888888889e-05,
                    6.666666666666667e-05,
                    4.4444444444444447e-05,
                    2.2222222222222223e-05,
                    0.0,
                    0.0,
                ],
            ),
            (
                Schedule::Cosine,
                &[
                    0.00019396926207859084,
                    0.0001766044443118978,
                    0.00015000000000000001,
                    0.00011736481776669306,
                    8.263518223330697e-05,
                    5.000000000000002e-05,
                    2.339555568810221e-05,
                    6.030737921409169e-06,
                    0.0,
                    6.030737921409157e-06,
                ],
            ),
            (
                Schedule::CosineWithMinLr { min_lr_rate: 0.1 },
                &[
                    0.00019457233587073176,
                    0.00017894399988070803,
                    0.000155,
                    0.00012562833599002375,
                    9.437166400997628e-05,
                    6.500000000000002e-05,
                    4.1056000119291995e-05,
                    2.542766412926825e-05,
                    2e-05,
                    2.542766412926824e-05,
                ],
            ),
            (
                three(4, DecayForm::Linear),
                &[
                    high,
                    high,
                    high,
                    high,
                    high,
                    0.000155,
                    0.00011000000000000002,
                    6.500000000000001e-05,
                    2e-05,
                    2e-05,
                ],
            ),
            (
                three(4, DecayForm::Cosine),
                &[
                    high,
                    high,
                    high,
                    high,
                    high,
                    0.00017363961030678927,
                    0.00011000000000000002,
                    4.6360389693210735e-05,
                    2e-05,
                    2e-05,
                ],
            ),
            (
                three(4, DecayForm::OneMinusSqrt),
                &[
                    high,
                    high,
                    high,
                    high,
                    high,
                    0.00011000000000000002,
                    7.272077938642143e-05,
                    4.411542731880106e-05,
                    2e-05,
                    2e-05,
                ],
            ),
            (
                three(11, DecayForm::Linear),
                &[
                    0.0001509090909090909,
                    0.00013454545454545455,
                    0.0001181818181818182,
                    0.00010181818181818184,
                    8.545454545454545e-05,
                    6.90909090909091e-05,
                    5.272727272727272e-05,
                    3.636363636363637e-05,
                    2e-05,
                    2e-05,
                ],
            ),
        ];
        for (schedule, after) in expected {
            let mut begin = up;
            if let Schedule::WarmupStableDecay { decay_steps, .. } = schedule {
                begin = [2e-05, 8e-05, 0.00014, if decay_steps == 4 { high } else { 0.00016727272727272728 }];
            }
            for (done, (rate, expected)) in
                rates(schedule, Warmup::Steps(3)).iter().zip(begin.iter().chain(after)).enumerate()
            {
                assert!((rate - expected).abs() <= 1e-19, "{schedule:?} after {done}: {rate} {expected}");
            }
        }
    }

    #[test]
    fn a_share_of_the_steps_is_rounded_up() {
        let settings = OptimSettings { warmup: Warmup::Ratio(0.21), ..OptimSettings::default() };
        assert_eq!(LearningRate::new(&settings, 10).warmup(), 3);
        assert_eq!(LearningRate::new(&settings, 0).warmup(), 0);
    }

    proptest! {
        #[test]
        fn a_factor_lies_between_0_and_1(steps in 0usize..50, warmup in 0usize..60, decay in 0usize..60, at in 0usize..80) {
            let decay_form = [DecayForm::Linear, DecayForm::Cosine, DecayForm::OneMinusSqrt];
            let three = decay_form
                .map(|form| Schedule::WarmupStableDecay { decay_steps: decay, min_lr_rate: 0.1, decay: form });
            let min = Schedule::CosineWithMinLr { min_lr_rate: 0.2 };
            for schedule in [Schedule::Constant, Schedule::Linear, Schedule::Cosine, min].into_iter().chain(three) {
                let settings =
                    OptimSettings { schedule, warmup: Warmup::Steps(warmup), ..OptimSettings::default() };
                let factor = LearningRate::new(&settings, steps).factor(at);
                prop_assert!((0.0..=1.0).contains(&factor), "{schedule:?}: {factor}");
            }
        }
    }
}
