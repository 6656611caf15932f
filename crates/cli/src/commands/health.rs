//! `lore health`: asks a server whether it is up; for health checks of containers.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use crate::settings::{self, Settings};
use crate::{client, print};

/// Ask a server whether it is up; exit code 1 where it is not
#[derive(Debug, Args)]
pub struct Health {
    /// Base address of the server [default: that of the settings]
    #[arg(long)]
    url: Option<String>,
    /// Ask whether it can answer questions, too
    #[arg(long)]
    ready: bool,
}

impl Health {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where nobody answers, or the answer is no.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let url = match self.url {
            Some(url) => url,
            None => client::local_url(settings::socket_address(&settings.config.listen)?),
        };
        let path = if self.ready { "readyz" } else { "healthz" };
        let asked = format!("{}/{path}", url.trim_end_matches('/'));
        let response = client::http(Duration::from_secs(5))?
            .get(&asked)
            .send()
            .await
            .with_context(|| format!("no answer from {asked}; `lore serve` starts a server"))?;
        let status = response.status();
        let body = response.text().await.unwrap_or_default();
        print::line(body.trim())?;
        Ok(if status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
