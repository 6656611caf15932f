//! `lore eval retrieval`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use lore_query::eval::{dataset, retrieval};

use super::corpus::Corpus;
use crate::asking::without_generator;
use crate::commands::search::Mode;
use crate::print;
use crate::progress::{Progress, Unit};
use crate::settings::Settings;

/// Retrieval: nDCG@10, MRR@10, recall@10 and recall@100
#[derive(Debug, Args)]
pub struct Retrieval {
    /// BEIR folder, or a SQuAD-format file (its answerable questions, its paragraphs)
    #[arg(long, value_name = "PATH")]
    dataset: PathBuf,
    /// Judgements of a BEIR folder
    #[arg(long, default_value = "test")]
    split: String,
    /// Which retrievers look
    #[arg(long, default_value = "hybrid")]
    mode: Mode,
    /// Keep catalog and indexes in this folder, to measure again without building them
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

impl Retrieval {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where the data set cannot be read, and where a search fails.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let set = dataset::retrieval_set(&self.dataset, &self.split)?;
        let settings = without_generator(&settings);
        let corpus = Corpus::of_texts(&settings, set.documents.clone(), self.keep.as_deref()).await?;
        let shown = Progress::new("searching", Unit::Count("queries"));
        let total = set.queries.len() as u64;
        let name =
            self.dataset.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let progress = |done: usize| shown.set(done as u64, total);
        let report =
            retrieval::run(&corpus.parts.retriever, &name, &set, self.mode.into(), &progress).await?;
        shown.finish("");
        corpus.close().await?;
        print::report(settings.json, &report)?;
        Ok(ExitCode::SUCCESS)
    }
}
