//! `lore reindex`: builds both indexes again from the catalog.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use lore_core::Embedder;
use lore_index::{Catalog, RebuildState, RebuildStatus};
use lore_ingest::RecutReport;
use serde::Deserialize;
use serde_json::json;

use crate::client::Client;
use crate::progress::{self, Progress, Unit};
use crate::settings::Settings;
use crate::{intake, open, print};

/// How often the server is asked how far it is.
const LOOK: Duration = Duration::from_millis(300);

/// What a server says of its indexes.
#[derive(Deserialize)]
struct Indexes {
    rebuild: RebuildStatus,
}

/// Build both indexes again from the catalog, and cut documents again where the settings changed
#[derive(Debug, Args)]
pub struct Reindex {}

impl Reindex {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where a process that serves nothing has the indexes, and where a model or an index fails.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let started = Instant::now();
        let catalog;
        let (recut, chunks, embedded) = match open::server(&settings).await? {
            Some(client) => {
                // The catalog takes writers beside the server, which follows it.
                catalog = open::catalog(&settings).await?;
                let recut = recut(&settings, &catalog, &open::embedder(&settings).await?).await?;
                let (chunks, embedded) = there(&client).await?;
                (recut, chunks, embedded)
            }
            None => {
                let index = open::index(&settings, "lore reindex").await?;
                catalog = index.catalog().clone();
                let recut = recut(&settings, &catalog, index.embedder()).await?;
                let shown = Progress::new("indexing", Unit::Count("documents"));
                let report = index.rebuild(&|done, total| shown.set(done, total)).await?;
                shown.finish("");
                index.close().await?;
                (recut, report.chunks, report.embedded)
            }
        };
        let seconds = started.elapsed().as_secs_f64();
        progress::say(&format!("indexed {chunks} chunks in {seconds:.1} s; {embedded} had to be embedded"));
        // What is left of texts that nobody has any more, such as the vectors of another way of cutting.
        open::blocking(move || catalog.vacuum()).await?;
        if settings.json {
            print::json(&json!({
                "recut": recut.recut,
                "not_recut": recut.failed.len(),
                "chunks": chunks,
                "embedded": embedded,
                "seconds": seconds,
            }))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Cuts the documents again that are cut for other settings or another embedder.
async fn recut(settings: &Settings, catalog: &Catalog, embedder: &Embedder) -> anyhow::Result<RecutReport> {
    let ingester = intake::ingester(settings, catalog, embedder);
    open::blocking(move || {
        if ingester.stale()?.is_empty() {
            return Ok(RecutReport::default());
        }
        let shown = Progress::new("cutting", Unit::Count("documents"));
        let report = ingester.recut_stale(&mut |done, total| shown.set(done, total))?;
        shown.finish(&format!("cut {} documents again", report.recut));
        for (name, reason) in &report.failed {
            progress::say(&format!("{name} stays as it was cut: {reason}"));
        }
        anyhow::Ok(report)
    })
    .await
}

/// Lets the server build them, which answers from the old ones meanwhile; chunks, and those embedded.
async fn there(client: &Client) -> anyhow::Result<(u64, u64)> {
    progress::say(&format!("{} builds them and answers meanwhile", client.owner));
    let shown = Progress::new("indexing", Unit::Count("documents"));
    let mut status: RebuildStatus = client.work("/v1/indexes/rebuild").await?;
    loop {
        match status.state {
            RebuildState::Running => shown.set(status.done, status.total),
            RebuildState::Done => {
                shown.finish("");
                return Ok((status.chunks, status.embedded));
            }
            RebuildState::Failed => bail!("{}", status.error.unwrap_or_default()),
            RebuildState::None => {
                bail!("{} was started again meanwhile; run the command again", client.owner)
            }
        }
        tokio::time::sleep(LOOK).await;
        status = client.get::<Indexes>("/v1/indexes").await?.rebuild;
    }
}
