//! `lore releases prune`.

use std::process::ExitCode;

use clap::Args;
use lore_inference::release::{ReleaseError, ReleaseStore};
use serde::Serialize;

use super::show::size;
use crate::settings::Settings;
use crate::{open, print, progress};

/// Remove the files of retired, rejected and failed releases
#[derive(Debug, Args)]
pub struct Prune {
    /// Keep the files of so many of them, those used last; the live one, candidates and the one that a rollback leads to
    /// are always kept
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    keep: usize,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Pruned {
    release: String,
    id: String,
    bytes: u64,
}

#[derive(Serialize)]
struct InUse {
    release: String,
    id: String,
}

#[derive(Serialize)]
struct Report {
    removed: Vec<Pruned>,
    in_use: Vec<InUse>,
    bytes: u64,
    dry_run: bool,
}

impl Prune {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where a folder cannot be removed.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let catalog = open::catalog(&settings).await?;
        let store = ReleaseStore::of(&settings.data_dir);
        let Self { keep, dry_run } = self;
        let report = open::blocking(move || {
            let mut report = Report { removed: Vec::new(), in_use: Vec::new(), bytes: 0, dry_run };
            for release in catalog.prunable_releases(keep)? {
                let (label, id) = (release.label(), release.id.clone());
                let outcome = if dry_run {
                    Ok(Some(store.bytes(&id).unwrap_or(0)))
                } else {
                    catalog.remove_release::<anyhow::Error>(&id, || Ok(store.remove(&id)?))
                };
                match outcome {
                    Ok(None) => {}
                    Ok(Some(bytes)) => {
                        report.bytes += bytes;
                        report.removed.push(Pruned { release: label, id, bytes });
                    }
                    Err(error) if is_leased(&error) => report.in_use.push(InUse { release: label, id }),
                    Err(error) => return Err(error.context(format!("cannot remove {label}"))),
                }
            }
            if !dry_run {
                store.sweep()?;
            }
            anyhow::Ok(report)
        })
        .await?;
        if settings.json {
            print::json(&report)?;
            return Ok(ExitCode::SUCCESS);
        }
        for Pruned { release, bytes, .. } in &report.removed {
            print::line(&format!("{release}  {}", size(*bytes)))?;
        }
        for InUse { release, .. } in &report.in_use {
            progress::say(&format!("{release} stays: an engine still runs from it"));
        }
        let what = if dry_run { "would be freed" } else { "freed" };
        progress::say(&format!("{} bytes {what} ({})", report.bytes, size(report.bytes)));
        Ok(ExitCode::SUCCESS)
    }
}

fn is_leased(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(ReleaseError::Leased { .. }))
}
