//! How parameters change.
//!
//! - [`AdamW`]: moments and the step.
//! - [`clipping`]: how much of a gradient is taken.
//! - [`LearningRate`]: the schedule.
//! - `LossScaler`: what keeps fp16's gradients from vanishing.

mod adamw;
mod clip;
mod scaler;
mod schedule;

use serde::Serialize;

pub use adamw::AdamW;
pub(crate) use adamw::Moments;
pub use clip::clipping;
pub(crate) use scaler::LossScaler;
pub use schedule::LearningRate;

/// AdamW, its learning rate, and what is done to gradients before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OptimSettings {
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Decoupled weight decay (Loshchilov and Hutter 2019); norms and biases have none.
    pub weight_decay: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Longest gradient; longer ones are shortened. 0 for any length.
    pub max_grad_norm: f64,
    /// Batches of a step.
    pub accumulation: usize,
    /// Times that all examples are seen.
    pub epochs: f64,
    /// Steps, in the place of epochs.
    pub max_steps: Option<usize>,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// Steps of rising learning rate.
    pub warmup: Warmup,
    /// Learning rate of LoRA's `B` over that of `A` (Hayou et al. 2024, "LoRA+").
    pub loraplus_ratio: Option<f64>,
}

impl Default for OptimSettings {
    /// transformers' defaults.
    fn default() -> Self {
        Self {
            learning_rate: 5e-5,
            weight_decay: 0.0,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            max_grad_norm: 1.0,
            accumulation: 1,
            epochs: 3.0,
            max_steps: None,
            schedule: Schedule::Linear,
            warmup: Warmup::Steps(0),
            loraplus_ratio: None,
        }
    }
}

/// How the learning rate changes after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Not at all.
    Constant,
    /// To zero along a line.
    Linear,
    /// To zero along half a cosine.
    Cosine,
    /// To a share of the highest along half a cosine.
    CosineWithMinLr {
        /// Lowest over highest.
        min_lr_rate: f64,
    },
    /// Three stages: warm-up, stable, decay.
    WarmupStableDecay {
        /// Steps of the last stage.
        decay_steps: usize,
        /// Lowest over highest.
        min_lr_rate: f64,
        /// Form of the decay.
        decay: DecayForm,
    },
}

/// Form of the third stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DecayForm {
    /// A line.
    Linear,
    /// Half a cosine.
    Cosine,
    /// One less the root of the share that is done (Hägele et al. 2024).
    OneMinusSqrt,
}

/// The first stage's length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Warmup {
    /// In steps.
    Steps(usize),
    /// As a share of all steps.
    Ratio(f64),
}
