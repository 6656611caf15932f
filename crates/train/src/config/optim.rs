//! Keys of the optimiser, its learning rate, and the length of the run.

use super::keys::{Allowed, Keys};
use super::value::Value;
use crate::error::TrainError;
use crate::optim::{DecayForm, OptimSettings, Schedule, Warmup};

/// `lr_scheduler_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Constant,
    ConstantWithWarmup,
    Linear,
    Cosine,
    CosineWithMinLr,
    WarmupStableDecay,
}

/// The keys as they are written.
#[derive(Debug)]
pub(super) struct Raw {
    learning_rate: Option<f64>,
    weight_decay: Option<f64>,
    beta1: Option<f64>,
    beta2: Option<f64>,
    epsilon: Option<f64>,
    max_grad_norm: Option<f64>,
    accumulation: Option<usize>,
    epochs: Option<f64>,
    max_steps: Option<i128>,
    kind: Option<Kind>,
    options: Vec<(String, Value)>,
    warmup_steps: Option<f64>,
    warmup_ratio: Option<f64>,
}

impl Raw {
    pub(super) fn read(keys: &mut Keys) -> Result<Self, TrainError> {
        // All of them are AdamW.
        let names = ["adamw_torch", "adamw_torch_fused", "adamw", "adamw_hf"];
        keys.choice("optim", &names.map(|name| (name, ())))?;
        let kinds = [
            ("constant", Kind::Constant),
            ("constant_with_warmup", Kind::ConstantWithWarmup),
            ("linear", Kind::Linear),
            ("cosine", Kind::Cosine),
            ("cosine_with_min_lr", Kind::CosineWithMinLr),
            ("warmup_stable_decay", Kind::WarmupStableDecay),
        ];
        Ok(Self {
            learning_rate: keys.number("learning_rate", Allowed::Above(0.0))?,
            weight_decay: keys.number("weight_decay", Allowed::From(0.0))?,
            beta1: keys.number("adam_beta1", Allowed::Below(0.0, 1.0))?,
            beta2: keys.number("adam_beta2", Allowed::Below(0.0, 1.0))?,
            epsilon: keys.number("adam_epsilon", Allowed::Above(0.0))?,
            max_grad_norm: keys.number("max_grad_norm", Allowed::From(0.0))?,
            accumulation: keys.count("gradient_accumulation_steps", 1)?,
            epochs: keys.number("num_train_epochs", Allowed::Above(0.0))?,
            max_steps: keys.whole("max_steps", -1, 1_000_000_000)?,
            kind: keys.choice("lr_scheduler_type", &kinds)?,
            options: keys.map("lr_scheduler_kwargs")?,
            warmup_steps: keys.number("warmup_steps", Allowed::From(0.0))?,
            warmup_ratio: keys.number("warmup_ratio", Allowed::Within(0.0, 1.0))?,
        })
    }

    pub(super) fn resolve(
        self,
        loraplus_ratio: Option<f64>,
        keys: &mut Keys,
    ) -> Result<OptimSettings, TrainError> {
        let learning_rate = self.learning_rate.unwrap_or(5e-5);
        let mut warmup = self.warmup(keys)?;
        let kind = self.kind.unwrap_or(Kind::Linear);
        if kind == Kind::Constant && !matches!(warmup, Warmup::Steps(0)) {
            let why = "lr_scheduler_type: constant begins at once; constant_with_warmup does not";
            keys.without_effect(&["warmup_steps", "warmup_ratio"], why);
            warmup = Warmup::Steps(0);
        }
        let schedule = schedule(kind, &self.options, learning_rate, keys)?;
        // As in transformers: -1 and 0 leave the length to the epochs.
        let max_steps =
            self.max_steps.and_then(|steps| usize::try_from(steps).ok()).filter(|steps| *steps > 0);
        if max_steps.is_some() {
            keys.without_effect(&["num_train_epochs"], "max_steps decides");
        }
        Ok(OptimSettings {
            learning_rate,
            weight_decay: self.weight_decay.unwrap_or(0.0),
            beta1: self.beta1.unwrap_or(0.9),
            beta2: self.beta2.unwrap_or(0.999),
            epsilon: self.epsilon.unwrap_or(1e-8),
            max_grad_norm: self.max_grad_norm.unwrap_or(1.0),
            accumulation: self.accumulation.unwrap_or(1),
            epochs: self.epochs.unwrap_or(3.0),
            max_steps,
            schedule,
            warmup,
            loraplus_ratio,
        })
    }

    fn warmup(&self, keys: &Keys) -> Result<Warmup, TrainError> {
        let steps = self.warmup_steps.unwrap_or(0.0);
        let ratio = self.warmup_ratio.unwrap_or(0.0);
        match (steps > 0.0, ratio > 0.0) {
            (true, true) => {
                Err(keys.error("warmup_ratio", "warmup_steps and warmup_ratio are both set; leave one out"))
            }
            (false, true) => Ok(Warmup::Ratio(ratio)),
            // As in transformers 5.
            (true, false) if steps < 1.0 => Ok(Warmup::Ratio(steps)),
            (_, false) if steps.fract() != 0.0 || steps > 1e9 => {
                let message =
                    format!("warmup_steps is {steps}; set it to a whole number of steps, or a share below 1");
                Err(keys.error("warmup_steps", message))
            }
            (_, false) => Ok(Warmup::Steps(steps as usize)),
        }
    }
}

/// Where options of a schedule stand.
const OPTIONS: &str = "lr_scheduler_kwargs";

fn schedule(
    kind: Kind,
    options: &[(String, Value)],
    learning_rate: f64,
    keys: &Keys,
) -> Result<Schedule, TrainError> {
    let known: &[&str] = match kind {
        Kind::Constant | Kind::ConstantWithWarmup | Kind::Linear | Kind::Cosine => &[],
        Kind::CosineWithMinLr => &["min_lr", "min_lr_rate"],
        Kind::WarmupStableDecay => &["num_decay_steps", "min_lr_ratio", "decay_type"],
    };
    if let Some((key, _)) = options.iter().find(|(key, _)| !known.contains(&key.as_str())) {
        let message = match known {
            [] => format!("this lr_scheduler_type takes no {OPTIONS}, and `{key}` is one"),
            known => format!("unknown key `{key}` in {OPTIONS}; known are {}", known.join(", ")),
        };
        return Err(keys.error(OPTIONS, message));
    }
    let get = |name: &str| options.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let share = |name: &str, most: f64| match get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.number().filter(|number| (0.0..=most).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                Err(keys.error(OPTIONS, format!("{name} is {value}; set it to a number from 0 to {most}")))
            }
        },
    };
    Ok(match kind {
        Kind::Constant | Kind::ConstantWithWarmup => Schedule::Constant,
        Kind::Linear => Schedule::Linear,
        Kind::Cosine => Schedule::Cosine,
        Kind::CosineWithMinLr => match (share("min_lr", learning_rate)?, share("min_lr_rate", 1.0)?) {
            (Some(lowest), None) => Schedule::CosineWithMinLr { min_lr_rate: lowest / learning_rate },
            (None, Some(min_lr_rate)) => Schedule::CosineWithMinLr { min_lr_rate },
            (None, None) => {
                let message = "cosine_with_min_lr wants lr_scheduler_kwargs: {min_lr_rate: 0.1}, or min_lr";
                return Err(keys.error("lr_scheduler_type", message));
            }
            (Some(_), Some(_)) => {
                return Err(keys.error(OPTIONS, "min_lr and min_lr_rate are both set; leave one out"));
            }
        },
        Kind::WarmupStableDecay => {
            let Some(decay_steps) = get("num_decay_steps") else {
                let message = "warmup_stable_decay wants lr_scheduler_kwargs: {num_decay_steps: N}";
                return Err(keys.error("lr_scheduler_type", message));
            };
            let steps = decay_steps.whole().and_then(|steps| usize::try_from(steps).ok());
            let decay = match get("decay_type").and_then(Value::word).as_deref() {
                None | Some("linear") => DecayForm::Linear,
                Some("cosine") => DecayForm::Cosine,
                Some("1-sqrt") => DecayForm::OneMinusSqrt,
                Some(other) => {
                    let message = format!("decay_type is `{other}`; set it to one of linear, cosine, 1-sqrt");
                    return Err(keys.error(OPTIONS, message));
                }
            };
            Schedule::WarmupStableDecay {
                decay_steps: steps.ok_or_else(|| {
                    let message =
                        format!("num_decay_steps is {decay_steps}; set it to a whole number from 0 on");
                    keys.error(OPTIONS, message)
                })?,
                min_lr_rate: share("min_lr_ratio", 1.0)?.unwrap_or(0.0),
                decay,
            }
        }
    })
}
