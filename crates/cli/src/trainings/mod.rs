//! Trainings that come over HTTP: which configurations and paths are taken, and what a person is shown before one starts.
//!
//! `paths` bounds what may be read, [`config`] makes a configuration of what was given, `child` reads examples in a process of
//! its own, so that the server stays small and quick; `choices`, `parameters` and `feedback` tell what there is. [`desk()`] puts
//! them together for the server; `lore trainer` reads configurations by the same [`config`].

mod child;
mod choices;
pub mod config;
pub mod feedback;
mod parameters;
mod paths;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use lore_index::Catalog;
use lore_inference::release::ReleaseStore;
use lore_models::record::RUN;
use lore_server::trainings::{
    Ask, Asked, CheckRequest, DeskError, PreviewRequest, ReleaseLearned, TrainingCheck, TrainingDesk,
};
use lore_train::run::RunRecord;
use serde_json::json;

pub use self::paths::Roots;
use crate::commands::train::free_memory;
use crate::settings::Settings;
use crate::{open, print};

/// The folder of trainings in the data folder.
const FOLDER: &str = "trainings";

/// The folder of the training `id`.
pub fn folder(data_dir: &Path, id: &str) -> PathBuf {
    data_dir.join(FOLDER).join(id)
}

/// What all functions of the desk share.
struct Desk {
    settings: Settings,
    catalog: Catalog,
    roots: Roots,
    /// Held by whoever reads examples.
    reading: tokio::sync::Semaphore,
}

/// What the server asks about trainings.
///
/// # Errors
/// Fails where the current folder cannot be told.
pub fn desk(settings: &Settings, catalog: &Catalog) -> anyhow::Result<TrainingDesk> {
    let base = std::env::current_dir().context("the current folder cannot be told")?;
    let desk = Arc::new(Desk {
        settings: settings.clone(),
        catalog: catalog.clone(),
        roots: Roots::new(&base, &settings.data_dir),
        reading: tokio::sync::Semaphore::new(1),
    });
    Ok(TrainingDesk {
        check: ask(&desk, |desk, request| async move { desk.check(request).await }),
        preview: ask(&desk, |desk, request: PreviewRequest| async move {
            let text = text_of(&request.config);
            desk.config(&text).await?.map_err(|problem| DeskError::Refused(problem.message))?;
            let _alone = desk.reading.try_acquire().map_err(|_| DeskError::Busy)?;
            child::preview(&desk.settings, &text, request.count.unwrap_or(3)).await
        }),
        choices: ask(&desk, |desk, ()| async move {
            let settings = desk.settings.clone();
            let (catalog, roots) = (desk.catalog.clone(), desk.roots.clone());
            open::blocking(move || choices::choices(&settings, &catalog, &roots)).await.map_err(failed)
        }),
        learned: ask(&desk, |desk, id: String| async move {
            let (settings, catalog) = (desk.settings.clone(), desk.catalog.clone());
            open::blocking(move || learned(&settings, &catalog, &id)).await.map_err(failed)
        }),
        remove: ask(&desk, |desk, id: String| async move {
            let folder = folder(&desk.settings.data_dir, &id);
            // An id of the catalog's, which has no separators; a folder that was never made is as good as one that is gone.
            open::blocking(move || match std::fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(anyhow::Error::new(error).context(format!("cannot remove {}", folder.display())))
                }
                _ => Ok(()),
            })
            .await
            .map_err(failed)
        }),
        base: base.display().to_string(),
    })
}

/// A function for the server, which may call it at any time.
fn ask<Q, T, W, F>(desk: &Arc<Desk>, work: W) -> Ask<Q, T>
where
    W: Fn(Arc<Desk>, Q) -> F + Send + Sync + 'static,
    F: Future<Output = Result<T, DeskError>> + Send + 'static,
{
    let desk = desk.clone();
    Arc::new(move |request| Box::pin(work(desk.clone(), request)) as Asked<T>)
}

fn failed(error: anyhow::Error) -> DeskError {
    DeskError::Failed(print::chain(&error))
}

fn text_of(config: &serde_json::Value) -> String {
    config.as_str().map_or_else(|| config.to_string(), str::to_owned)
}

impl Desk {
    /// The configuration of `text`, or the first thing that is wrong with it.
    async fn config(&self, text: &str) -> Result<config::Outcome, DeskError> {
        let (roots, settings, text) = (self.roots.clone(), self.settings.clone(), text.to_owned());
        let catalog = self.catalog.clone();
        open::blocking(move || {
            feedback::renew_for(&text, &settings.data_dir, &catalog)?;
            let folder = folder(&settings.data_dir, "new");
            anyhow::Ok(config::read(&text, &folder, &roots))
        })
        .await
        .map_err(failed)
    }

    async fn check(&self, request: CheckRequest) -> Result<TrainingCheck, DeskError> {
        let text = text_of(&request.config);
        let mut out = TrainingCheck { free_memory: free_memory(), ..TrainingCheck::default() };
        let loaded = match self.config(&text).await? {
            Ok(loaded) => loaded,
            Err(problem) => {
                out.problems.push(problem);
                return Ok(out);
            }
        };
        out.notes.clone_from(&loaded.notes);
        out.settings = serde_json::to_value(&loaded.config).ok();
        let (free, here) = (out.free_memory, loaded.config.clone());
        out.outline =
            open::blocking(move || anyhow::Ok(config::outline(&here, free))).await.map_err(failed)?;
        out.ok = true;
        if request.whole {
            let _alone = self.reading.try_acquire().map_err(|_| DeskError::Busy)?;
            match child::plan(&self.settings, &text).await? {
                Ok((plan, notes)) => {
                    out.notes = notes;
                    out.plan = Some(plan);
                }
                Err(problem) => {
                    out.ok = false;
                    out.problems.push(problem);
                }
            }
        }
        Ok(out)
    }
}

/// What a release learned from, by the record in its folder.
fn learned(settings: &Settings, catalog: &Catalog, id: &str) -> anyhow::Result<Option<ReleaseLearned>> {
    let path = ReleaseStore::of(&settings.data_dir).path(id).join(RUN);
    if !path.is_file() {
        return Ok(None);
    }
    // A record of another program has other parts, and tells nothing here.
    let Ok(record) = RunRecord::read(&path) else { return Ok(None) };
    let count = |number: usize| number as u64;
    let data = &record.data;
    Ok(Some(ReleaseLearned {
        examples: count(data.examples),
        held_out: count(data.held_out),
        tokens: count(data.tokens),
        labels: count(data.labels),
        // Each pair leaves two marks: of its id and of its words.
        pairs: count(data.questions.len() / 2),
        feedback: feedback::learned(catalog, &data.questions)?,
        steps: count(record.steps),
        trained: count(record.trained_values),
    }))
}

/// Memory as JSON, with its sum.
fn with_total(mut memory: serde_json::Value, total: u64) -> serde_json::Value {
    if let Some(map) = memory.as_object_mut() {
        map.insert("total".into(), json!(total));
    }
    memory
}
