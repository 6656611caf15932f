//! `lore eval answers`, `lore eval grounding` and `lore eval calibrate`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use lore_query::eval::{EvalDocument, EvalQuestion, answers, calibrate, dataset, grounding};
use serde::Serialize;

use super::corpus::{Corpus, documents_of};
use crate::asking::{Writer, without_generator};
use crate::print;
use crate::progress::{Progress, Unit};
use crate::settings::Settings;

/// Answers: F1, gold answer contained, citations, refusals
#[derive(Debug, Args)]
pub struct Answers {
    /// SQuAD-format file, or questions (.jsonl)
    #[arg(long, value_name = "FILE")]
    dataset: PathBuf,
    /// Documents of a .jsonl file [default: DIR, where the questions lie in DIR/questions]
    #[arg(long, value_name = "DIR")]
    documents: Option<PathBuf>,
    #[command(flatten)]
    writer: Writer,
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

/// Grounding: right and wrong statements that are accepted as supported
#[derive(Debug, Args)]
pub struct Grounding {
    /// As for `lore eval answers`; its questions name their sources with quotes
    #[arg(long, value_name = "FILE")]
    dataset: PathBuf,
    /// As for `lore eval answers`
    #[arg(long, value_name = "DIR")]
    documents: Option<PathBuf>,
    /// Only the first so many questions
    #[arg(long)]
    limit: Option<usize>,
    /// Keep catalog and indexes in this folder, to measure again without building them
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Write each statement's outcome to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    outcomes: Option<PathBuf>,
}

/// Compute the weights of the extractive answerer from questions with known sources
#[derive(Debug, Args)]
pub struct Calibrate {
    /// As for `lore eval answers`; never the questions that are tested with
    #[arg(long, value_name = "FILE")]
    dataset: PathBuf,
    /// As for `lore eval answers`
    #[arg(long, value_name = "DIR")]
    documents: Option<PathBuf>,
    /// Largest share of answerable questions that may be refused
    #[arg(long, default_value_t = 0.1)]
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
        let settings = self.writer.apply(settings)?;
        let (corpus, mut questions) =
            open(&settings, &self.dataset, self.documents.as_deref(), self.keep.as_deref()).await?;
        questions.truncate(self.limit.unwrap_or(usize::MAX));
        let shown = Progress::new("asking", Unit::Count("questions"));
        let total = questions.len() as u64;
        let progress = |done: usize| shown.set(done as u64, total);
        let (report, outcomes) = answers::run(&corpus.parts.answerer, &questions, &progress).await?;
        shown.finish("");
        conclude(&settings, corpus, self.outcomes.as_deref(), &report, &outcomes).await
    }
}

impl Grounding {
    /// Runs the command.
    ///
    /// # Errors
    /// As [`Answers::run`].
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let (corpus, mut questions) = open(
            &without_generator(&settings),
            &self.dataset,
            self.documents.as_deref(),
            self.keep.as_deref(),
        )
        .await?;
        questions.truncate(self.limit.unwrap_or(usize::MAX));
        let shown = Progress::new("checking", Unit::Count("questions"));
        let total = questions.len() as u64;
        let progress = |done: usize| shown.set(done as u64, total);
        let (report, outcomes) = grounding::run(&corpus.parts.answerer, &questions, &progress).await?;
        shown.finish("");
        conclude(&settings, corpus, self.outcomes.as_deref(), &report, &outcomes).await
    }
}

impl Calibrate {
    /// Runs the command.
    ///
    /// # Errors
    /// As [`Answers::run`].
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let (corpus, questions) = open(
            &without_generator(&settings),
            &self.dataset,
            self.documents.as_deref(),
            self.keep.as_deref(),
        )
        .await?;
        let shown = Progress::new("reading", Unit::Count("questions"));
        let total = questions.len() as u64;
        let progress = |done: usize| shown.set(done as u64, total);
        let found =
            calibrate::run(&corpus.parts.answerer, &questions, self.max_false_refusals, &progress).await?;
        shown.finish("");
        corpus.close().await?;
        print::report(settings.json, &found)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The documents of a data set, indexed, and its questions.
pub(super) async fn open(
    settings: &Settings,
    path: &Path,
    documents: Option<&Path>,
    kept: Option<&Path>,
) -> anyhow::Result<(Corpus, Vec<EvalQuestion>)> {
    let DataSet { questions, documents } = DataSet::read(path, documents)?;
    Ok((documents.index(settings, kept).await?, questions))
}

/// A data set as its file has it.
pub(crate) struct DataSet {
    /// The questions.
    pub questions: Vec<EvalQuestion>,
    /// What they are about.
    pub documents: Documents,
}

/// Documents of a data set before they are indexed.
pub(crate) enum Documents {
    /// The file brings them.
    Texts(Vec<EvalDocument>),
    /// They lie in this folder.
    Folder(PathBuf),
}

impl DataSet {
    /// Reads the file at `path`; the documents of a .jsonl file are in the folder `documents`, or where its questions lie.
    ///
    /// # Errors
    /// Fails where it is no data set, and where no folder of documents is known.
    pub fn read(path: &Path, documents: Option<&Path>) -> anyhow::Result<Self> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("jsonl") => {
                let questions = dataset::own_questions(path)?;
                Ok(Self { questions, documents: Documents::Folder(documents_of(path, documents)?) })
            }
            Some("json") if documents.is_some() => {
                bail!("a SQuAD-format file brings its own documents; leave --documents out")
            }
            Some("json") => {
                let (documents, questions) = dataset::squad(path)?;
                Ok(Self { questions, documents: Documents::Texts(documents) })
            }
            _ => bail!(
                "{} is neither a SQuAD-format .json file nor a .jsonl file of questions",
                path.display()
            ),
        }
    }
}

impl Documents {
    /// Indexes them, in folder `kept` or a temporary one.
    ///
    /// # Errors
    /// As [`Corpus::of_texts`].
    pub async fn index(self, settings: &Settings, kept: Option<&Path>) -> anyhow::Result<Corpus> {
        match self {
            Self::Texts(documents) => Corpus::of_texts(settings, documents, kept).await,
            Self::Folder(folder) => Corpus::of_folder(settings, &folder, kept).await,
        }
    }
}

/// Closes the corpus, and gives out the report and, where a file is named for them, the outcomes behind it.
pub(super) async fn conclude(
    settings: &Settings,
    corpus: Corpus,
    path: Option<&Path>,
    report: &impl Serialize,
    outcomes: &[impl Serialize],
) -> anyhow::Result<ExitCode> {
    corpus.close().await?;
    if let Some(path) = path {
        let writing = || print::json_lines(File::create(path)?, outcomes);
        writing().with_context(|| format!("cannot write {}", path.display()))?;
    }
    print::report(settings.json, report)?;
    Ok(ExitCode::SUCCESS)
}
