//! `lore models`: fetches, lists and verifies models.

use std::process::ExitCode;

use clap::Subcommand;
use lore_models::source::{ModelSpec, known_models};
use serde::Serialize;

use crate::settings::Settings;
use crate::{open, print, progress};

/// Fetch, list and verify models
#[derive(Debug, Subcommand)]
pub enum Models {
    /// Fetch models [default: those that the settings name]
    Pull {
        /// Names on the hub, such as BAAI/bge-m3, with @REVISION if wanted
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// List the models that are here, and those known by name
    List,
    /// Compare a model's files with what they were when it was fetched; exit code 1 where any differs
    Verify {
        /// Names on the hub [default: those that the settings name]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
}

#[derive(Serialize)]
struct Pulled {
    name: String,
    path: std::path::PathBuf,
}

impl Models {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where a model can be had from no source; the message names every try.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        match self {
            Models::Pull { names } => {
                for name in or_configured(names, &settings) {
                    let path = open::model(&settings, &name).await?;
                    if settings.json {
                        print::json(&Pulled { name, path })?;
                    } else {
                        print::line(&format!("{name} {}", path.display()))?;
                    }
                }
            }
            Models::List => {
                let store = open::model_store()?;
                let folder = store.path().to_owned();
                let installed = open::blocking(move || store.list()).await?;
                if settings.json {
                    print::json(&installed)?;
                    return Ok(ExitCode::SUCCESS);
                }
                let mut rows: Vec<Vec<String>> = installed
                    .iter()
                    .map(|m| {
                        vec![m.name.clone(), format!("{:.0} MB", m.bytes as f64 / 1e6), m.source.clone()]
                    })
                    .collect();
                for known in known_models().iter().filter(|k| installed.iter().all(|m| m.name != k.name)) {
                    rows.push(vec![
                        known.name.to_owned(),
                        "-".into(),
                        "not here; `lore models pull` fetches it".into(),
                    ]);
                }
                print::table(&["name", "size", "source"], &rows)?;
                progress::say(&format!("in {}", folder.display()));
            }
            Models::Verify { names } => return verify(&settings, or_configured(names, &settings)).await,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// `names`, or the models that the settings name.
fn or_configured(names: Vec<String>, settings: &Settings) -> Vec<String> {
    if names.is_empty() {
        let reranker = settings.config.reranker.iter().map(|r| r.model.clone());
        std::iter::once(settings.config.embedder.model.clone()).chain(reranker).collect()
    } else {
        names
    }
}

async fn verify(settings: &Settings, names: Vec<String>) -> anyhow::Result<ExitCode> {
    let mut whole = true;
    for name in names {
        let (spec, store) = (ModelSpec::parse(&name)?, open::model_store()?);
        let damage = open::blocking(move || store.verify(&spec)).await?;
        whole &= damage.is_empty();
        if settings.json {
            let files: Vec<&str> = damage.iter().map(|d| d.file.as_str()).collect();
            print::json(&serde_json::json!({"name": name, "damaged": files}))?;
            continue;
        }
        for file in &damage {
            let what = if file.actual.is_some() { "has another content" } else { "is missing" };
            print::line(&format!("{name}: {} {what}; `lore models pull` fetches it again", file.file))?;
        }
        if damage.is_empty() {
            print::line(&format!("{name}: all files are as they were fetched"))?;
        }
    }
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
