//! What a run learned becomes a release that waits to be proven.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use lore_index::Release;
use lore_models::adapter::{self, BaseValues, MergeOptions, OutputFormat};
use lore_models::record::RUN;
use lore_models::training::Method;
use lore_train::run::{End, Outcome};

use crate::commands::releases::create::{self, NewModel};
use crate::settings::Settings;
use crate::{open, progress};

/// Random prompts over which merged and unmerged logits are compared.
const PROMPTS: usize = 4;

/// A run that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its folder.
    pub folder: PathBuf,
    /// What the release is called; by default as the folder.
    pub name: Option<String>,
    /// The base's files.
    pub base: PathBuf,
    /// What was trained.
    pub method: Method,
}

/// Makes a candidate of it; `None` where the run was told to stop.
///
/// # Errors
/// When merging fails or merged and unmerged logits differ, and as [`create::create`].
pub async fn candidate(
    settings: &Settings,
    ended: Ended,
    outcome: &Outcome,
) -> anyhow::Result<Option<Release>> {
    if outcome.end == End::Stopped {
        progress::say("no release was made, since the run is not at its end");
        return Ok(None);
    }
    let Some(output) = outcome.output.clone() else {
        bail!("the run left no model that could become a release");
    };
    let catalog = open::catalog(settings).await?;
    let Ended { folder, name, base, method } = ended;
    // In the run's folder, since the other one for temporary files may be small.
    let place = tempfile::Builder::new().prefix(".merged-").tempdir_in(&folder);
    let place = place.with_context(|| format!("cannot write {}", folder.display()))?;
    let (model, adapter) = match method {
        Method::Full | Method::Freeze(_) => (output, None),
        Method::Bottleneck(_) => (base, Some(output)),
        Method::Lora(_) => {
            progress::say("merging what was learned into the base");
            let merged = place.path().join("model");
            let options = MergeOptions {
                adapter: output,
                base,
                out: merged.clone(),
                format: OutputFormat::Safetensors(None),
                base_values: BaseValues::Trained,
                shard_bytes: adapter::SHARD_BYTES,
                prompts: PROMPTS,
            };
            open::blocking(move || adapter::merge(&options)).await.context("cannot merge the adapter")?;
            (merged, None)
        }
    };
    let name = match name {
        Some(name) => name,
        None => create::name_of(&folder)?,
    };
    let new = NewModel { model, adapter, name: Some(name), run: Some(folder.join(RUN)) };
    Ok(Some(create::create(settings, &catalog, new).await?))
}

/// What to do next with a candidate; `held_out` are the questions to test with, where they are known.
pub fn told(release: &Release, held_out: Option<&Path>) -> String {
    let (state, label) = (release.state.name(), release.label());
    let dataset = held_out.map_or_else(|| "FILE".to_owned(), |path| path.display().to_string());
    format!("{state} {label}; prove it with `lore releases evaluate {label} --dataset {dataset}`")
}
