//! `lore bench embed`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::peak_rss_mb;
use crate::settings::Settings;
use crate::{open, print};

/// Embedding: tokens per second for texts of one length
#[derive(Debug, Args)]
pub struct Embed {
    /// Tokens of each text
    #[arg(long, default_value_t = 128)]
    length: usize,
    /// Texts embedded together
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// How long to measure
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
}

impl Embed {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where the embedder cannot be loaded, or cannot take texts of that length.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let encoder = open::encoder(&settings).await?;
        let model = encoder.info().id;
        let (length, batch) = (self.length, self.batch);
        let found =
            open::blocking(move || lore_models::bench::embed(&encoder, length, batch, self.seconds)).await?;
        let report = json!({
            "model": model,
            "length": length,
            "batch": batch,
            "tokens_per_s": found.tokens_per_s,
            "p50_ms": found.p50_ms,
            "p95_ms": found.p95_ms,
            "p99_ms": found.p99_ms,
            "peak_rss_mb": peak_rss_mb(),
        });
        print::report(settings.json, &report)?;
        Ok(ExitCode::SUCCESS)
    }
}
