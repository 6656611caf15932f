//! Which of lore-nano and extraction answered better when both were last measured.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::settings::{Choice, GeneratorConfig};

/// The measurement's file in the data folder.
const FILE: &str = "measured.json";

/// How well one of both answered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Share of the questions that were answered rightly, or rightly refused.
    pub right: f64,
    /// Share of the answerable questions whose answer holds the right one.
    pub contains_gold: f64,
    /// Share of the citations whose document is a right one.
    pub citation_precision: f64,
    /// Share of the unanswerable questions that were refused.
    pub refusal_recall: f64,
    /// Share of the answerable questions that were refused.
    pub false_refusals: f64,
}

/// Both on the same questions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The questions' file.
    pub dataset: String,
    /// How many.
    pub questions: usize,
    /// The version of lore-nano, by its files.
    pub version: String,
    /// lore-nano.
    pub nano: Scores,
    /// The supporting sentences.
    pub extraction: Scores,
}

impl Measured {
    /// The last measurement of the present lore-nano in `data_dir`, else the one that comes with it.
    pub fn last(data_dir: &Path) -> Self {
        let read = || {
            let text = std::fs::read_to_string(path(data_dir)).ok()?;
            match serde_json::from_str::<Self>(&text) {
                Ok(measured) => Some(measured).filter(|measured| measured.version == lore_nano::version()),
                Err(error) => {
                    tracing::warn!(%error, "the measurement in the data folder cannot be read; it is not used");
                    None
                }
            }
        };
        read().unwrap_or_else(Self::shipped)
    }

    /// The measurement that comes with lore-nano.
    #[allow(clippy::expect_used, reason = "the file is part of the binary, and a test reads it")]
    pub fn shipped() -> Self {
        serde_json::from_slice(lore_nano::EVALUATION).expect("the measurement that comes with the binary")
    }

    /// Keeps it in `data_dir`.
    ///
    /// # Errors
    /// Fails where it cannot be written.
    pub fn keep(&self, data_dir: &Path) -> anyhow::Result<PathBuf> {
        let path = path(data_dir);
        let writing = || {
            std::fs::create_dir_all(data_dir)?;
            let mut file = tempfile::NamedTempFile::new_in(data_dir)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.persist(&path)?;
            anyhow::Ok(())
        };
        writing().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Who writes, by this.
    pub fn choice(&self) -> Choice {
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        let nano = self.nano.right > self.extraction.right;
        let (who, other) = if nano {
            (lore_nano::NAME, "the sentences as the search scores them")
        } else {
            ("the sentences that the search scores best", lore_nano::NAME)
        };
        let (won, lost) = match nano {
            true => (self.nano.right, self.extraction.right),
            false => (self.extraction.right, self.nano.right),
        };
        Choice {
            model: nano.then(GeneratorConfig::nano),
            reason: format!(
                "{who}: right on {} of {} questions of {}, {other} on {}",
                percent(won),
                self.questions,
                self.dataset,
                percent(lost)
            ),
        }
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn measured(nano: f64, extraction: f64) -> Measured {
        let scores = |right| Scores {
            right,
            contains_gold: 0.5,
            citation_precision: 0.5,
            refusal_recall: 0.5,
            false_refusals: 0.1,
        };
        Measured {
            dataset: "test.jsonl".into(),
            questions: 100,
            version: lore_nano::version().to_owned(),
            nano: scores(nano),
            extraction: scores(extraction),
        }
    }

    #[test]
    fn the_better_one_writes_and_the_reason_says_so() {
        let better = measured(0.7, 0.6).choice();
        assert_eq!(better.model.unwrap().model, "lore-nano");
        assert!(
            better.reason.starts_with("lore-nano: right on 70 % of 100 questions of test.jsonl"),
            "{}",
            better.reason
        );
        let worse = measured(0.6, 0.6).choice();
        assert!(worse.model.is_none() && worse.reason.contains("lore-nano on 60 %"), "{}", worse.reason);
    }

    #[test]
    fn the_shipped_measurement_is_of_the_shipped_model() {
        let shipped = Measured::shipped();
        assert_eq!(shipped.version, lore_nano::version());
        assert!(shipped.questions >= 100 && shipped.nano.right > 0.3 && shipped.extraction.right > 0.3);
    }

    #[test]
    fn a_measurement_of_the_same_model_counts_before_the_shipped_one() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Measured::last(folder.path()), Measured::shipped());
        let own = measured(0.1, 0.2);
        own.keep(folder.path()).unwrap();
        assert_eq!(Measured::last(folder.path()), own);
        Measured { version: "older".into(), ..own }.keep(folder.path()).unwrap();
        assert_eq!(Measured::last(folder.path()), Measured::shipped());
        std::fs::write(path(folder.path()), "{").unwrap();
        assert_eq!(Measured::last(folder.path()), Measured::shipped());
    }
}
