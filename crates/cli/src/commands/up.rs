//! `lore up`: from nothing to a running service.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use lore_ingest::IngestOptions;
use serde_json::json;

use crate::service::Door;
use crate::settings::Settings;
use crate::{intake, open, print, progress, signals};

/// Folder that is taken in where it lies in the current folder.
const CORPUS: &str = "docs-corpus";
/// A question that the documents of [`CORPUS`] answer.
const QUESTION: &str = "How many vacation days does a new employee in Munich get?";

/// Fetch the embedder, take in ./docs-corpus, serve
#[derive(Debug, Args)]
pub struct Up {
    /// Documents to take in [default: ./docs-corpus if there is one]
    #[arg(long, value_name = "PATH")]
    corpus: Option<PathBuf>,
    /// Address to listen on [default: that of the settings, 127.0.0.1:8787]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
}

impl Up {
    /// Runs the command.
    ///
    /// # Errors
    /// As `lore serve`, and as `lore ingest`.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let stop = signals::stop_signal()?;
        let listen = self.listen.unwrap_or_else(|| settings.config.listen.clone());
        // Socket and lock first: a busy port is heard of before the long work, not after it.
        let door = Door::open(&settings, &listen, "lore up").await?;
        let opened = tokio::select! {
            opened = door.index(&settings) => opened?,
            () = signals::stopped(stop.clone()) => return Ok(ExitCode::FAILURE),
        };
        let (room, index) = opened;
        let catalog = index.catalog().clone();

        let example = self.corpus.is_none() && PathBuf::from(CORPUS).is_dir();
        let corpus = self.corpus.or_else(|| example.then(|| CORPUS.into()));
        if let Some(corpus) = corpus {
            let ingester = intake::ingester(&settings, &catalog, index.embedder());
            let options = IngestOptions { stop: intake::stop_flag(&stop), ..IngestOptions::default() };
            let report = intake::folders(&ingester, vec![corpus], options, false).await?;
            progress::say(&intake::summary(&report));
        }
        if intake::follow(&index, &stop).await?.is_none() || *stop.borrow() {
            progress::say("stopped; run the command again to go on");
            index.close().await?;
            return Ok(ExitCode::FAILURE);
        }

        let (documents, chunks) = open::blocking(move || catalog.counts()).await?;
        let (model, url) = (index.embedder().info().id.clone(), room.url());
        index.publish(&url, room.token())?;
        if settings.json {
            print::json(&json!({"url": url, "model": model, "documents": documents, "chunks": chunks}))?;
        } else if !settings.quiet {
            print::line(&format!("embedder   {model}"))?;
            print::line(&format!("documents  {documents} ({chunks} chunks)"))?;
            print::line(&format!("serving    {url}"))?;
            let question = if example { QUESTION } else { "..." };
            print::line(&format!("ask        lore ask \"{question}\""))?;
        }
        room.serve(&settings, async { Ok(index) }, true, stop).await?;
        Ok(ExitCode::SUCCESS)
    }
}
