//! Keys of the run's folder, and of how often things are written to it.

use std::path::PathBuf;

use super::keys::Keys;
use super::value::Value;
use crate::error::TrainError;
use crate::run::{NEVER, Resume, RunSettings};

/// When something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Never,
    Steps,
    Epoch,
    Best,
}

/// The keys as they are written.
#[derive(Debug)]
pub(super) struct Raw {
    output_dir: Option<String>,
    logging_steps: Option<usize>,
    save: Option<When>,
    save_steps: Option<usize>,
    eval: Option<When>,
    eval_steps: Option<usize>,
    save_total_limit: Option<usize>,
    load_best: Option<bool>,
    greater: Option<bool>,
    early_stopping: Option<usize>,
    overwrite: Option<bool>,
    resume: Option<Value>,
    report_to: Option<Vec<String>>,
    plot: Option<bool>,
    seed: Option<u64>,
}

impl Raw {
    pub(super) fn read(keys: &mut Keys) -> Result<Self, TrainError> {
        let whens = [
            ("no", When::Never),
            ("never", When::Never),
            ("steps", When::Steps),
            ("epoch", When::Epoch),
            ("best", When::Best),
        ];
        keys.choice("metric_for_best_model", &["eval_loss", "loss"].map(|name| (name, ())))?;
        Ok(Self {
            output_dir: keys.text("output_dir")?,
            logging_steps: keys.count("logging_steps", 1)?,
            save: keys.choice("save_strategy", &whens)?,
            save_steps: keys.count("save_steps", 1)?,
            eval: keys.choice("eval_strategy", &whens[..4])?,
            eval_steps: keys.count("eval_steps", 1)?,
            save_total_limit: keys.count("save_total_limit", 1)?,
            load_best: keys.flag("load_best_model_at_end")?,
            greater: keys.flag("greater_is_better")?,
            early_stopping: keys.count("early_stopping_steps", 1)?,
            overwrite: keys.flag("overwrite_output_dir")?,
            resume: keys.any("resume_from_checkpoint"),
            report_to: keys.words("report_to")?,
            plot: keys.flag("plot_loss")?,
            seed: keys.whole("seed", 0, i128::from(u64::MAX))?.and_then(|seed| u64::try_from(seed).ok()),
        })
    }

    /// What all random choices start from.
    pub(super) fn seed(&self) -> u64 {
        self.seed.unwrap_or(42)
    }

    /// What they mean; `evaluates` says whether there are examples to evaluate on.
    pub(super) fn resolve(self, evaluates: bool, keys: &mut Keys) -> Result<RunSettings, TrainError> {
        let Some(output_dir) = self.output_dir else {
            return Err(keys.error("output_dir", "output_dir is missing; set it to a folder for the run"));
        };
        let save_steps = match self.save.unwrap_or(When::Steps) {
            When::Steps => Some(self.save_steps.unwrap_or(500)),
            When::Epoch => None,
            When::Never => Some(NEVER),
            When::Best => {
                let message =
                    "save_strategy best is not supported; use steps: the best checkpoint is kept in any case";
                return Err(keys.error("save_strategy", message));
            }
        };
        let logging_steps = self.logging_steps.unwrap_or(500);
        let eval_steps = match self.eval {
            Some(When::Steps) => Some(self.eval_steps.unwrap_or(logging_steps)),
            Some(When::Epoch | When::Best) => None,
            Some(When::Never) => Some(NEVER),
            None => self.eval_steps,
        };
        let never = self.eval == Some(When::Never);
        if !evaluates || never {
            let why = if evaluates {
                "eval_strategy is no; set it to steps or epoch"
            } else {
                "there is nothing to evaluate on; set val_size or eval_dataset"
            };
            let wants = [
                ("load_best_model_at_end", self.load_best == Some(true)),
                ("early_stopping_steps", self.early_stopping.is_some()),
                ("eval_strategy", !never && self.eval.is_some()),
            ];
            if let Some((key, _)) = wants.iter().find(|(_, wanted)| *wanted) {
                return Err(keys.error(key, format!("{key} is set, and {why}")));
            }
            keys.without_effect(&["eval_steps"], why);
        }
        if self.greater == Some(true) {
            return Err(keys.error(
                "greater_is_better",
                "the best checkpoint has the least loss; leave greater_is_better out",
            ));
        }
        // Where nothing is said, event files are written: they are small, and lie in the run's own folder.
        let mut tensorboard = self.report_to.is_none();
        for name in self.report_to.unwrap_or_default() {
            match name.to_ascii_lowercase().as_str() {
                "none" | "no" => {}
                "tensorboard" => tensorboard = true,
                other => {
                    let message = format!(
                        "report_to {other} is not supported; use none or tensorboard (metrics.jsonl is written in \
                         any case)"
                    );
                    return Err(keys.error("report_to", message));
                }
            }
        }
        let resume = match &self.resume {
            None => Resume::No,
            Some(value) => match (value.flag(), value.word()) {
                (Some(true), _) => Resume::Last,
                (Some(false), _) => Resume::No,
                (None, Some(path)) if !path.is_empty() => Resume::From(PathBuf::from(path)),
                _ => {
                    let message = format!(
                        "resume_from_checkpoint is {value}; set it to true or to a checkpoint's folder"
                    );
                    return Err(keys.error("resume_from_checkpoint", message));
                }
            },
        };
        Ok(RunSettings {
            output_dir: PathBuf::from(output_dir),
            logging_steps,
            save_steps,
            eval_steps,
            save_total_limit: self.save_total_limit,
            load_best_at_end: self.load_best.unwrap_or(false),
            early_stopping: self.early_stopping,
            overwrite: self.overwrite.unwrap_or(false),
            resume,
            tensorboard,
            plot: self.plot.unwrap_or(true),
        })
    }
}
