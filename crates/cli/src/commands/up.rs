//! `lore up`: from nothing to a running service.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use lore_index::Index;
use lore_ingest::{IngestEvent, IngestOptions};
use lore_server::Lifecycle;
use serde_json::json;
use tokio::sync::watch;

use crate::asking::Writer;
use crate::service::{Door, START};
use crate::settings::{GeneratorConfig, Settings};
use crate::{intake, open, print, progress, signals};

/// Folder that is taken in where it lies in the current folder.
const CORPUS: &str = "docs-corpus";
/// A question that the documents of [`CORPUS`] answer.
const QUESTION: &str = "How many vacation days does a new employee in Munich get?";

/// Fetch the models, take in ./docs-corpus, serve
#[derive(Debug, Args)]
pub struct Up {
    /// Documents to take in [default: ./docs-corpus if there is one]
    #[arg(long, value_name = "PATH")]
    corpus: Option<PathBuf>,
    /// Address to listen on [default: that of the settings, 127.0.0.1:8787]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    #[command(flatten)]
    writer: Writer,
}

impl Up {
    /// Runs the command.
    ///
    /// # Errors
    /// As `lore serve`, and as `lore ingest`.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let settings = self.writer.apply(settings)?;
        let stop = signals::stop_signal()?;
        let listen = self.listen.unwrap_or_else(|| settings.config.listen.clone());
        let example = self.corpus.is_none() && PathBuf::from(CORPUS).is_dir();
        let corpus = self.corpus.or_else(|| example.then(|| CORPUS.into()));
        if let Some(corpus) = corpus.as_ref().filter(|corpus| !corpus.exists()) {
            bail!("there is no {} to take in", corpus.display());
        }
        let door = Door::open(&settings, &listen, "lore up").await?;
        let url = door.url();
        progress::say(&format!("listening on {url}; questions are answered when all is taken in"));
        let mut whole = false;
        let first = async |index: Index, lifecycle: Lifecycle| {
            if let Some(corpus) = corpus {
                take_in(&settings, &index, &lifecycle, corpus, &stop).await?;
            } else {
                let catalog = index.catalog().clone();
                let (documents, _) = open::blocking(move || catalog.counts()).await?;
                progress::say(&format!(
                    "there is no ./{CORPUS} here: serving the {documents} documents that {} has; \
                     --corpus PATH takes a folder in",
                    settings.data_dir.display()
                ));
            }
            if *stop.borrow() || intake::follow(&index, &stop).await?.is_none() {
                return Ok(());
            }
            whole = true;
            let catalog = index.catalog().clone();
            let (documents, chunks) = open::blocking(move || catalog.counts()).await?;
            let model = &index.embedder().info().id;
            let catalog = index.catalog().clone();
            let release = open::blocking(move || catalog.live_release()).await?;
            let release = release.filter(|_| !settings.own_writer).map(|release| release.label());
            let released = release.is_some();
            let generator = release.or(settings.config.generator.model().map(GeneratorConfig::name));
            if settings.json {
                print::json(&json!({
                    "url": url, "model": model, "generator": generator, "documents": documents, "chunks": chunks,
                }))?;
            } else if !settings.quiet {
                print::line(&format!("embedder   {model}"))?;
                print::line(&format!("generator  {}", generator.as_deref().unwrap_or("none")))?;
                // Who writes was left open: which it is, why, and what would be better.
                if let Some(reason) = settings.config.generator.reason().filter(|_| !released) {
                    print::line(&format!("           {reason}"))?;
                    print::line("           a larger model: lore up --generator Qwen/Qwen3-0.6B")?;
                }
                print::line(&format!("documents  {documents} ({chunks} chunks)"))?;
                print::line(&format!("serving    {url}"))?;
                let question = if example { QUESTION } else { "..." };
                print::line(&format!("ask        lore ask \"{question}\""))?;
            }
            Ok(())
        };
        door.serve(&settings, true, stop.clone(), first).await?;
        if !whole {
            progress::say("stopped; run the command again to go on");
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Takes `corpus` in and says in the readiness how far that is.
async fn take_in(
    settings: &Settings,
    index: &Index,
    lifecycle: &Lifecycle,
    corpus: PathBuf,
    stop: &watch::Receiver<bool>,
) -> anyhow::Result<()> {
    lifecycle.wait_for(START, "the documents are being taken in");
    let ingester = intake::ingester(settings, index.catalog(), index.embedder());
    let options = IngestOptions { stop: intake::stop_flag(stop), ..IngestOptions::default() };
    let (readiness, indexes) = (lifecycle.clone(), index.clone());
    let (mut done, mut known) = (0, 0);
    let heard = move |event: &IngestEvent| {
        match event {
            IngestEvent::Discovered { total, .. } => known = *total,
            IngestEvent::Finished { .. } => done += 1,
            _ => return,
        }
        indexes.nudge();
        let reason = format!("the documents are being taken in: {} of {known} files", known.min(done));
        readiness.wait_for(START, &reason);
    };
    let report = intake::folders_heard(&ingester, vec![corpus], options, false, heard).await?;
    progress::say(&intake::summary(&report));
    if !report.stopped {
        lifecycle.wait_for(START, "the documents are being indexed");
    }
    Ok(())
}
