//! `lore models`: fetches, lists and verifies models.

use std::process::ExitCode;

use clap::Subcommand;
use lore_models::source::{ModelSpec, known_models};
use serde::Serialize;

use super::new_model::NewModel;
use crate::settings::{GeneratorConfig, Settings};
use crate::{open, print, progress};

/// Fetch, list and verify models
#[derive(Debug, Subcommand)]
pub enum Models {
    /// Fetch models [default: those that the settings name]
    Pull {
        /// Names on the hub, such as BAAI/bge-m3, with @REVISION or :FILE.gguf if wanted
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
    New(NewModel),
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
                for wanted in or_configured(names, &settings) {
                    let (name, path) = match wanted {
                        Wanted::Named(name) => {
                            let path = open::model(&settings, &name).await?;
                            (name, path)
                        }
                        Wanted::Generator(config) => {
                            (config.name(), open::generator_files(&settings, &config).await?)
                        }
                    };
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
                let configured = or_configured(Vec::new(), &settings).into_iter();
                let configured = configured.filter(|wanted| wanted.spec().is_ok_and(|s| s.path().is_none()));
                let mut absent: Vec<String> = configured.map(|wanted| wanted.name()).collect();
                absent.extend(known_models().iter().map(|known| known.name.to_owned()));
                absent.retain(|name| installed.iter().all(|m| m.name != *name));
                absent.sort();
                absent.dedup();
                for name in absent {
                    rows.push(vec![name, "-".into(), "not here; `lore models pull` fetches it".into()]);
                }
                print::table(&["name", "size", "source"], &rows)?;
                progress::say(&format!("in {}", folder.display()));
            }
            Models::New(args) => return args.run(settings).await,
            Models::Verify { names } => return verify(&settings, or_configured(names, &settings)).await,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A model that a command is about.
enum Wanted {
    /// By its name; it comes from the embedder's sources.
    Named(String),
    /// The generator of the settings; it comes from its own.
    Generator(Box<GeneratorConfig>),
}

impl Wanted {
    fn name(&self) -> String {
        match self {
            Self::Named(name) => name.clone(),
            Self::Generator(config) => config.name(),
        }
    }

    fn spec(&self) -> anyhow::Result<ModelSpec> {
        match self {
            Self::Named(name) => Ok(ModelSpec::parse(name)?),
            Self::Generator(config) => config.spec(),
        }
    }
}

/// `names`, or the models that the settings name.
fn or_configured(names: Vec<String>, settings: &Settings) -> Vec<Wanted> {
    let config = &settings.config;
    let generator = config.generator.model();
    if names.is_empty() {
        let reranker = config.reranker.iter().map(|r| r.model.clone());
        let named = std::iter::once(config.embedder.model.clone()).chain(reranker).map(Wanted::Named);
        named.chain(generator.map(|config| Wanted::Generator(Box::new(config.clone())))).collect()
    } else {
        let wanted = |name: String| match generator.filter(|config| config.name() == name) {
            Some(config) => Wanted::Generator(Box::new(config.clone())),
            None => Wanted::Named(name),
        };
        names.into_iter().map(wanted).collect()
    }
}

async fn verify(settings: &Settings, wanted: Vec<Wanted>) -> anyhow::Result<ExitCode> {
    let mut whole = true;
    for wanted in wanted {
        let (spec, store) = (wanted.spec()?, open::model_store()?);
        let name = wanted.name();
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
