//! `lore eval gate`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use lore_query::eval::{AnswerReport, QuestionOutcome, gate};

use crate::settings::Settings;
use crate::verdict;

/// Judge a candidate by two files of outcomes; exit code 1 where it fails
#[derive(Debug, Args)]
pub struct Gate {
    /// What the candidate did, as `lore eval answers --outcomes` writes it
    #[arg(long, value_name = "FILE")]
    candidate: PathBuf,
    /// What the incumbent did on the same questions
    #[arg(long, value_name = "FILE")]
    incumbent: PathBuf,
}

impl Gate {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where a file cannot be read, and where the two are not of the same questions.
    pub fn run(self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let (candidate, incumbent) = (read(&self.candidate)?, read(&self.incumbent)?);
        let judged = gate::gate(&candidate, &incumbent, &settings.config.gate)?;
        verdict::print(settings.json, &judged)?;
        Ok(if judged.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// A report from outcomes, one a line; it goes by the file's name.
fn read(path: &Path) -> anyhow::Result<AnswerReport> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let outcome = |(number, line): (usize, &str)| -> anyhow::Result<QuestionOutcome> {
        serde_json::from_str(line).with_context(|| format!("{}, line {}", path.display(), number + 1))
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let outcomes = lines.map(outcome).collect::<anyhow::Result<_>>()?;
    Ok(AnswerReport::new(path.display().to_string(), outcomes))
}
