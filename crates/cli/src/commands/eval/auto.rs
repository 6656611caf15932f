//! `lore eval auto`: which of lore-nano and extraction answers better, for `generator: auto`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use lore_core::Live;
use lore_query::eval::{AnswerReport, evaluate_pair};
use serde_json::json;

use super::answers::open;
use crate::asking::without_generator;
use crate::measured::{Measured, Scores};
use crate::progress::{self, Progress, Unit};
use crate::settings::{Generator, GeneratorConfig, Settings};
use crate::{print, writer};

/// Measure lore-nano and extraction on the same questions; `generator: auto` goes by the outcome from the next start on
#[derive(Debug, Args)]
pub struct Auto {
    /// As for `lore eval answers`
    #[arg(long, value_name = "FILE")]
    dataset: PathBuf,
    /// As for `lore eval answers`
    #[arg(long, value_name = "DIR")]
    documents: Option<PathBuf>,
    /// Only the first so many questions
    #[arg(long)]
    limit: Option<usize>,
    /// Measure alone: generator: auto stays as it was
    #[arg(long)]
    dry_run: bool,
    /// Keep catalog and indexes in this folder, to measure again without building them
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

impl Auto {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where the data set cannot be read, a question fails, or the outcome cannot be kept.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let mut with_nano = settings.clone();
        with_nano.config.generator = Generator::Model(Box::new(GeneratorConfig::nano()));
        let nano = writer::configured(&with_nano).await?;
        let (corpus, mut questions) = open(
            &without_generator(&settings),
            &self.dataset,
            self.documents.as_deref(),
            self.keep.as_deref(),
        )
        .await?;
        questions.truncate(self.limit.unwrap_or(usize::MAX));
        let shown = Progress::new("asking both", Unit::Count("questions"));
        let total = questions.len() as u64;
        let done = |done: usize| shown.set(done as u64, total);
        let extraction = &corpus.parts.answerer;
        let pointing = extraction.clone().with_live(Live::new(nano));
        let (nano, extraction) = evaluate_pair(&pointing, extraction, &questions, &done).await?;
        shown.finish("");
        // It holds the indexes, whose folder goes with the corpus.
        drop(pointing);
        corpus.close().await?;
        let name = self.dataset.file_name().map(|name| name.to_string_lossy().into_owned());
        let measured = Measured {
            dataset: name.unwrap_or_default(),
            questions: questions.len(),
            version: lore_nano::version().to_owned(),
            nano: scores(&nano),
            extraction: scores(&extraction),
        };
        let least = settings.config.gate.min_questions;
        if measured.questions < least && !self.dry_run {
            bail!(
                "{} questions tell too little: gate.min_questions is {least}; ask more, or add --dry-run",
                measured.questions
            );
        }
        if !self.dry_run {
            let path = measured.keep(&settings.data_dir)?;
            progress::say(&format!("kept in {}", path.display()));
        }
        if settings.json {
            print::json(&json!({"measured": measured, "choice": measured.choice().reason}))?;
        } else {
            print::line(&format!("generator: auto is {}", measured.choice().reason))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn scores(report: &AnswerReport) -> Scores {
    let right = report.outcomes.iter().filter(|outcome| outcome.is_right()).count();
    let means = &report.means;
    Scores {
        right: right as f64 / report.outcomes.len().max(1) as f64,
        contains_gold: means.contains_gold,
        citation_precision: means.citation_precision,
        refusal_recall: means.refusal_recall,
        false_refusals: means.false_refusals,
    }
}
