//! `lore bench ingest`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use lore_index::{Catalog, Index, Owner, VectorBackend};
use lore_ingest::IngestOptions;
use serde_json::json;

use super::peak_rss_mb;
use crate::settings::Settings;
use crate::{intake, open, print};

/// Ingestion: pages per second, indexing and embedding included
#[derive(Debug, Args)]
pub struct Ingest {
    /// Files and folders
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

impl Ingest {
    /// Runs the command.
    ///
    /// # Errors
    /// As `lore ingest`.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let folder = tempfile::Builder::new().prefix("lore-bench-").tempdir()?;
        let path = folder.path().to_owned();
        let owner = Owner::take(&path, "lore bench ingest")?;
        let catalog = open::blocking(move || Catalog::open(&path)).await?;
        let embedder = open::embedder(&settings).await?;
        let ingester = intake::ingester(&settings, &catalog, &embedder);

        let started = Instant::now();
        let report = intake::folders(&ingester, self.paths, IngestOptions::default(), false).await?;
        let parse_seconds = started.elapsed().as_secs_f64();
        let mut config = settings.config.index.clone();
        config.vectors = VectorBackend::Edge;
        let index = Index::open(catalog, config, embedder, owner).await?;
        let followed = open::follow(&index).await?;
        index.close().await?;
        let seconds = started.elapsed().as_secs_f64();

        let per_second = |count: u64, seconds: f64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let found = json!({
            "documents": report.added,
            "failed": report.failed,
            "skipped": report.skipped,
            "pages": report.pages,
            "chunks": report.chunks,
            "embedded": followed.embedded,
            "seconds": seconds,
            "pages_per_s": per_second(report.pages, seconds),
            "parse_seconds": parse_seconds,
            "parse_pages_per_s": per_second(report.pages, parse_seconds),
            "peak_rss_mb": peak_rss_mb(),
        });
        print::report(settings.json, &found)?;
        Ok(ExitCode::SUCCESS)
    }
}
