//! `lore eval reading`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use lore_query::eval::reading::{self, ReadingConfig};

use super::answers::{conclude, open};
use crate::asking::Writer;
use crate::progress::{Progress, Unit};
use crate::settings::Settings;

/// Reading: the right sentence of given passages, refusals where there is none
#[derive(Debug, Args)]
pub struct Reading {
    /// SQuAD-format file, or questions (.jsonl) that name the document of unanswerable ones, too
    #[arg(long, value_name = "FILE")]
    dataset: PathBuf,
    /// As for `lore eval answers`
    #[arg(long, value_name = "DIR")]
    documents: Option<PathBuf>,
    #[command(flatten)]
    writer: Writer,
    /// Questions with an answer, and as many without one
    #[arg(long, default_value_t = ReadingConfig::default().questions)]
    questions: usize,
    /// Passages of a question: its own and the nearest others
    #[arg(long, default_value_t = ReadingConfig::default().passages)]
    passages: usize,
    /// What the drawing of questions starts from
    #[arg(long, default_value_t = ReadingConfig::default().seed)]
    seed: u64,
    /// Keep catalog and indexes in this folder, to measure again without building them
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Write each question's outcome to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    outcomes: Option<PathBuf>,
}

impl Reading {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where the data set cannot be read, and where a question fails.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        if self.passages == 0 || self.questions == 0 {
            bail!("--passages and --questions must be 1 at least");
        }
        let mut settings = self.writer.apply(settings)?;
        // Nothing is refused: how sure an answer is tells at which threshold it would be.
        settings.config.answer.support_threshold = 0.0;
        settings.config.answer.generate.ask_threshold = 0.0;
        settings.config.answer.generate.quotes.refuse_at = f32::INFINITY;
        let (corpus, questions) =
            open(&settings, &self.dataset, self.documents.as_deref(), self.keep.as_deref()).await?;
        let config = ReadingConfig { questions: self.questions, passages: self.passages, seed: self.seed };
        let shown = Progress::new("reading", Unit::Count("answers"));
        let total = 3 * self.questions as u64;
        let progress = |done: usize| shown.set(done as u64, total);
        let (report, outcomes) = reading::run(&corpus.parts.answerer, &questions, config, &progress).await?;
        shown.finish("");
        conclude(&settings, corpus, self.outcomes.as_deref(), &report, &outcomes).await
    }
}
