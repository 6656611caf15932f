//! `lore reindex`: builds both indexes again from the catalog.

use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use crate::progress::{Progress, Unit};
use crate::settings::Settings;
use crate::{open, print};

/// Build both indexes again from the catalog
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
        let shown = Progress::new("indexing", Unit::Count("documents"));
        let report = index.rebuild(&|done, total| shown.set(done, total)).await?;
        let seconds = started.elapsed().as_secs_f64();
        shown.finish(&format!(
            "indexed {} chunks in {seconds:.1} s; {} had to be embedded",
            report.chunks, report.embedded
        ));
        index.close().await?;
        if settings.json {
            print::json(&json!({"chunks": report.chunks, "embedded": report.embedded, "seconds": seconds}))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
