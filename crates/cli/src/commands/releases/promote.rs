//! `lore releases promote` and `lore releases rollback`: through the server that owns the data folder, else in the catalog
//! alone, which the next server follows.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::bail;
use clap::Args;
use lore_core::{Caller, EXTRACTIVE, ReleaseName};
use lore_index::Release;
use lore_inference::release::ReleaseStore;
use lore_server::Switched;
use lore_server::routes::releases::PromoteRequest;
use serde_json::json;

use super::Named;
use crate::settings::Settings;
use crate::{open, print, progress, writer};

/// Make a release write the answers; a running server loads it beside the one before
#[derive(Debug, Args)]
pub struct Promote {
    #[command(flatten)]
    named: Named,
    /// Even though it did not pass an evaluation; needs --reason
    #[arg(long, requires = "reason")]
    force: bool,
    /// Why it is forced; kept
    #[arg(long, value_name = "TEXT", requires = "force")]
    reason: Option<String>,
}

/// Go back to what was live before
#[derive(Debug, Args)]
pub struct Rollback {
    /// Only if this release is live
    #[arg(value_name = "RELEASE")]
    release: Option<String>,
}

impl Promote {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where the release is not proven, cannot be run, or does not fit into the memory.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let Self { named: Named { release }, force, reason } = self;
        let reason = reason.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
        if force && reason.is_none() {
            bail!("--reason is empty; say why the release is forced");
        }
        let started = Instant::now();
        let catalog = open::catalog(&settings).await?;
        let (looking, forced) = (catalog.clone(), reason.clone());
        let base = settings.config.generator.model().is_some();
        let found = open::blocking(move || looking.may_promote(&release, forced.as_deref(), base)).await?;
        let request = PromoteRequest { force, reason: reason.clone() };
        let path = format!("/v1/releases/{}/promote", found.id);
        if let Some(done) = through_server(&settings, &path, &request).await? {
            return tell(&settings, &done);
        }
        let before = before(&catalog).await?;
        // It shows that it can be run before it is live.
        drop(writer::named_release(&settings, &catalog, found.release_name(), "go live").await?);
        // A server that has started meanwhile would go on with what it began with.
        if let Some(done) = through_server(&settings, &path, &request).await? {
            return tell(&settings, &done);
        }
        let by = Caller::local().id;
        let release =
            open::blocking(move || catalog.promote_release(&found.id, reason.as_deref(), &by)).await?;
        let done = Switched {
            model: release.label(),
            release: Some(release),
            before,
            seconds: started.elapsed().as_secs_f64(),
        };
        tell(&settings, &done)
    }
}

impl Rollback {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where no release is live, or another than the one named, and where the one before is damaged.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let started = Instant::now();
        let catalog = open::catalog(&settings).await?;
        let (looking, wanted) = (catalog.clone(), self.release);
        let from = open::blocking(move || looking.before_live(wanted.as_deref())).await?.from.id;
        let path = format!("/v1/releases/{from}/rollback");
        if let Some(done) = through_server(&settings, &path, &json!({})).await? {
            return tell(&settings, &done);
        }
        let before = before(&catalog).await?;
        let store = ReleaseStore::of(&settings.data_dir);
        let looking = catalog.clone();
        // Nobody prunes it before it is live.
        let _lease = open::blocking(move || {
            let Some(to) = looking.before_live(None)?.to else { return anyhow::Ok(None) };
            let lease = store.lease(&to.id)?;
            store.verify(&to.id)?;
            Ok(Some(lease))
        })
        .await?;
        // As for promoting.
        if let Some(done) = through_server(&settings, &path, &json!({})).await? {
            return tell(&settings, &done);
        }
        let back = open::blocking(move || catalog.roll_back(&from, &Caller::local().id)).await?;
        let configured = settings.config.generator.model().map(crate::settings::GeneratorConfig::name);
        let model = back.to.as_ref().map(Release::label).or(configured);
        let done = Switched {
            model: model.unwrap_or_else(|| EXTRACTIVE.to_owned()),
            release: back.to,
            before,
            seconds: started.elapsed().as_secs_f64(),
        };
        tell(&settings, &done)
    }
}

/// Has the server that owns the data folder do it, where one does.
async fn through_server(
    settings: &Settings,
    path: &str,
    request: &impl serde::Serialize,
) -> anyhow::Result<Option<Switched>> {
    let Some(client) = open::server(settings).await? else { return Ok(None) };
    progress::say(&format!("{} loads it and answers meanwhile", client.owner));
    Ok(Some(client.work_with(path, request).await?))
}

/// What is live, by name.
async fn before(catalog: &lore_index::Catalog) -> anyhow::Result<String> {
    let catalog = catalog.clone();
    let live = open::blocking(move || catalog.live_release()).await?;
    Ok(live.as_ref().map_or_else(|| "the model of the settings".to_owned(), ReleaseName::label))
}

fn tell(settings: &Settings, done: &Switched) -> anyhow::Result<ExitCode> {
    if settings.json {
        print::json(done)?;
    } else {
        print::line(&format!("{} writes now, after {} ({:.1} s)", done.model, done.before, done.seconds))?;
        for source in done.release.iter().flat_map(|release| &release.gone) {
            progress::say(&format!("it learned from {}, which is gone", source.source.name));
        }
    }
    Ok(ExitCode::SUCCESS)
}
