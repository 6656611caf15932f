//! `lore serve`: owns the indexes of a data folder and answers over HTTP.

use std::process::ExitCode;

use clap::Args;

use crate::asking::Writer;
use crate::service::Door;
use crate::settings::Settings;
use crate::{print, signals};

/// Serve the HTTP API and keep the indexes up to date
#[derive(Debug, Args)]
pub struct Serve {
    /// Address to listen on [default: that of the settings, 127.0.0.1:8787]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    #[command(flatten)]
    writer: Writer,
    /// Leave uploaded documents to `lore worker`
    #[arg(long)]
    no_worker: bool,
}

impl Serve {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where another process owns the data folder, the port is in use, a key is missing, or a model cannot be had.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let settings = self.writer.apply(settings)?;
        let stop = signals::stop_signal()?;
        let listen = self.listen.unwrap_or_else(|| settings.config.listen.clone());
        let door = Door::open(&settings, &listen, "lore serve").await?;
        if !settings.quiet {
            print::line(&format!("serving {}", door.url()))?;
        }
        door.serve(&settings, !self.no_worker, stop, async |_, _| Ok(())).await?;
        Ok(ExitCode::SUCCESS)
    }
}
