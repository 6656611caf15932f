//! `lore config`: the settings in force.

use std::process::ExitCode;

use clap::Args;

use crate::print;
use crate::settings::{DEFAULTS, Settings};

/// Print the settings in force
#[derive(Debug, Args)]
pub struct Config {
    /// Print the defaults instead, with what each key does: the start of a settings file
    #[arg(long)]
    defaults: bool,
}

impl Config {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where stdout is gone.
    pub fn run(self, settings: &Settings) -> anyhow::Result<ExitCode> {
        if self.defaults {
            print::line(DEFAULTS.trim_end())?;
        } else if settings.json {
            print::json(&settings.config.clone().redacted())?;
        } else {
            print::line(serde_saphyr::to_string(&settings.config.clone().redacted())?.trim_end())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
