//! `lore worker`: parses uploads beside a server. It needs the catalog only; the server follows.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::sync::Notify;

use crate::settings::Settings;
use crate::{intake, open, signals};

/// Take in documents that were uploaded to a server
#[derive(Debug, Args)]
pub struct Worker {}

impl Worker {
    /// Runs the command until it is stopped.
    ///
    /// # Errors
    /// Fails where the catalog does in a way that waiting does not mend.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let stop = signals::stop_signal()?;
        let catalog = open::catalog(&settings).await?;
        let embedder = open::embedder(&settings).await?;
        let ingester = intake::ingester(&settings, &catalog, &embedder);
        // Only the tokenizer is needed from here on.
        drop(embedder);
        tracing::info!(data_dir = %settings.data_dir.display(), "waiting for uploads");
        intake::worker(ingester, Arc::new(Notify::new()), stop, None, |_| ()).await??;
        Ok(ExitCode::SUCCESS)
    }
}
