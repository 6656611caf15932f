//! `lore check`: looks through the catalog and compares it with both indexes.

use std::process::ExitCode;

use clap::Args;
use lore_index::CheckReport;

use crate::settings::Settings;
use crate::{open, print, progress};

/// Check the catalog and compare it with both indexes; exit code 1 where anything differs
#[derive(Debug, Args)]
pub struct Check {
    /// Compare without applying the changes that wait first
    #[arg(long)]
    as_is: bool,
}

impl Check {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where a process that serves nothing has the indexes, and where an index fails.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let report = match open::server(&settings).await? {
            Some(client) => {
                progress::say(&format!("{} compares them", client.owner));
                client.work(&format!("/v1/indexes/check?as_is={}", self.as_is)).await?
            }
            None => self.here(&settings).await?,
        };
        if settings.json {
            print::json(&report)?;
        } else {
            for difference in &report.differences {
                print::line(difference)?;
            }
            progress::say(&match report.differences.len() {
                0 => format!("{} documents, {} chunks: all agree", report.documents, report.chunks),
                count => format!(
                    "{} documents, {} chunks, {count} differences; `lore reindex` builds the indexes again",
                    report.documents, report.chunks
                ),
            });
        }
        Ok(if report.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn here(&self, settings: &Settings) -> anyhow::Result<CheckReport> {
        let index = open::index(settings, "lore check").await?;
        if !self.as_is {
            open::follow(&index).await?;
        }
        let report = index.check().await?;
        index.close().await?;
        Ok(report)
    }
}
