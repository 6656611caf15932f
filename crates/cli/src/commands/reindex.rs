//! `lore reindex`: builds both indexes again from the catalog.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use lore_index::{RebuildState, RebuildStatus};
use serde::Deserialize;
use serde_json::json;

use crate::client::Client;
use crate::progress::{Progress, Unit};
use crate::settings::Settings;
use crate::{open, print, progress};

/// How often the server is asked how far it is.
const LOOK: Duration = Duration::from_millis(300);

/// What a server says of its indexes.
#[derive(Deserialize)]
struct Indexes {
    rebuild: RebuildStatus,
}

/// Build both indexes again from the catalog
#[derive(Debug, Args)]
pub struct Reindex {}

impl Reindex {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where a process that serves nothing has the indexes, and where a model or an index fails.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let started = Instant::now();
        let shown = Progress::new("indexing", Unit::Count("documents"));
        let (chunks, embedded) = match open::server(&settings).await? {
            Some(client) => there(&client, &shown).await?,
            None => {
                let index = open::index(&settings, "lore reindex").await?;
                let report = index.rebuild(&|done, total| shown.set(done, total)).await?;
                index.close().await?;
                (report.chunks, report.embedded)
            }
        };
        let seconds = started.elapsed().as_secs_f64();
        shown.finish(&format!("indexed {chunks} chunks in {seconds:.1} s; {embedded} had to be embedded"));
        if settings.json {
            print::json(&json!({"chunks": chunks, "embedded": embedded, "seconds": seconds}))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Lets the server build them, which answers from the old ones meanwhile; chunks, and those embedded.
async fn there(client: &Client, shown: &Progress) -> anyhow::Result<(u64, u64)> {
    progress::say(&format!("{} builds them and answers meanwhile", client.owner));
    let mut status: RebuildStatus = client.work("/v1/indexes/rebuild").await?;
    loop {
        match status.state {
            RebuildState::Running => shown.set(status.done, status.total),
            RebuildState::Done => return Ok((status.chunks, status.embedded)),
            RebuildState::Failed => bail!("{}", status.error.unwrap_or_default()),
            RebuildState::None => {
                bail!("{} was started again meanwhile; run the command again", client.owner)
            }
        }
        tokio::time::sleep(LOOK).await;
        status = client.get::<Indexes>("/v1/indexes").await?.rebuild;
    }
}
