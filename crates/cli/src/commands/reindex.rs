//! `lore reindex`: builds both indexes again from the catalog.

use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use lore_index::Index;
use lore_ingest::RecutReport;
use serde_json::json;

use crate::progress::{self, Progress, Unit};
use crate::settings::Settings;
use crate::{intake, open, print};

/// Build both indexes again from the catalog, and cut documents again where the settings changed
#[derive(Debug, Args)]
pub struct Reindex {}

impl Reindex {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where another process has the indexes, and where a model or an index fails.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let started = Instant::now();
        let index = open::index(&settings, "lore reindex").await?;
        let recut = recut(&settings, &index).await?;
        let shown = Progress::new("indexing", Unit::Count("documents"));
        let report = index.rebuild(&|done, total| shown.set(done, total)).await?;
        let seconds = started.elapsed().as_secs_f64();
        shown.finish(&format!(
            "indexed {} chunks in {seconds:.1} s; {} had to be embedded",
            report.chunks, report.embedded
        ));
        // What is left of texts that nobody has any more, such as the vectors of another way of cutting.
        let catalog = index.catalog().clone();
        open::blocking(move || catalog.vacuum()).await?;
        index.close().await?;
        if settings.json {
            print::json(&json!({
                "recut": recut.recut,
                "not_recut": recut.failed.len(),
                "chunks": report.chunks,
                "embedded": report.embedded,
                "seconds": seconds,
            }))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Cuts the documents again that are cut for other settings or another embedder.
async fn recut(settings: &Settings, index: &Index) -> anyhow::Result<RecutReport> {
    let ingester = intake::ingester(settings, index.catalog(), index.embedder());
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
