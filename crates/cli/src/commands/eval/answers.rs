//! `lore eval answers` and `lore eval calibrate`.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use lore_query::eval::{EvalQuestion, QuestionOutcome, answers, calibrate, dataset};

use super::corpus::Corpus;
use crate::print;
use crate::progress::{Progress, Unit};
use crate::settings::{Generator, Settings};

/// Answers: F1, gold answer contained, citations, refusals
#[derive(Debug, Args)]
pub struct Answers {
    /// SQuAD-format file, or questions (.jsonl) whose folder lies in a documents folder
    #[arg(long, value_name = "FILE")]
    dataset: PathBuf,
    /// Who answers
    #[arg(long, default_value = "none")]
    generator: Generator,
    /// Only the first so many questions
    #[arg(long)]
    limit: Option<usize>,
    /// Keep catalog and indexes in this folder, to measure again without building them
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Write each question's outcome to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    outcomes: Option<PathBuf>,
}

/// Compute the weights of the extractive answerer from questions with known sources
#[derive(Debug, Args)]
pub struct Calibrate {
    /// As for `lore eval answers`; never the questions that are tested with
    #[arg(long, value_name = "FILE")]
    dataset: PathBuf,
    /// Largest share of answerable questions that may be refused
    #[arg(long, default_value_t = 0.05)]
    max_false_refusals: f64,
    /// Keep catalog and indexes in this folder, to measure again without building them
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

impl Answers {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where the data set cannot be read, and where a question fails.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let Generator::None = self.generator;
        let (corpus, mut questions) = open(&settings, &self.dataset, self.keep.as_deref()).await?;
        questions.truncate(self.limit.unwrap_or(usize::MAX));
        let shown = Progress::new("asking", Unit::Count("questions"));
        let total = questions.len() as u64;
        let progress = |done: usize| shown.set(done as u64, total);
        let (report, outcomes) = answers::run(&corpus.parts.answerer, &questions, &progress).await?;
        shown.finish("");
        corpus.close().await?;
        if let Some(path) = &self.outcomes {
            write_outcomes(path, &outcomes).with_context(|| format!("cannot write {}", path.display()))?;
        }
        if settings.json {
            print::json(&report)?;
        } else {
            print::fields(&report)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Calibrate {
    /// Runs the command.
    ///
    /// # Errors
    /// As [`Answers::run`].
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let (corpus, questions) = open(&settings, &self.dataset, self.keep.as_deref()).await?;
        let shown = Progress::new("reading", Unit::Count("questions"));
        let total = questions.len() as u64;
        let progress = |done: usize| shown.set(done as u64, total);
        let found =
            calibrate::run(&corpus.parts.answerer, &questions, self.max_false_refusals, &progress).await?;
        shown.finish("");
        corpus.close().await?;
        if settings.json {
            print::json(&found)?;
        } else {
            print::fields(&found)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The documents of a data set, indexed, and its questions.
async fn open(
    settings: &Settings,
    path: &Path,
    kept: Option<&Path>,
) -> anyhow::Result<(Corpus, Vec<EvalQuestion>)> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("jsonl") => {
            let questions = dataset::own_questions(path)?;
            let path = path.canonicalize()?;
            let Some(folder) = path.parent().and_then(Path::parent) else {
                bail!("{} lies in no documents folder", path.display());
            };
            Ok((Corpus::of_folder(settings, folder, kept).await?, questions))
        }
        Some("json") => {
            let (documents, questions) = dataset::squad(path)?;
            Ok((Corpus::of_texts(settings, documents, kept).await?, questions))
        }
        _ => bail!("{} is neither a SQuAD-format .json file nor a .jsonl file of questions", path.display()),
    }
}

fn write_outcomes(path: &Path, outcomes: &[QuestionOutcome]) -> anyhow::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for outcome in outcomes {
        serde_json::to_writer(&mut file, outcome)?;
        file.write_all(b"\n")?;
    }
    Ok(file.flush()?)
}
