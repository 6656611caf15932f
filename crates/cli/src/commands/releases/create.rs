//! `lore releases add`, and how a training run becomes a release.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use lore_core::DocumentId;
use lore_index::{Catalog, NewRelease, Release, ReleaseOrigin, ReleaseSource};
use lore_inference::release::ReleaseStore;
use lore_models::record::{self, RUN};
use serde::Deserialize;

use crate::settings::Settings;
use crate::{open, print, progress};

/// Longest record in bytes.
const RUN_BYTES: u64 = 16 << 20;

/// Take in a merged model as a candidate
#[derive(Debug, Args)]
pub struct Add {
    /// Folder of the model (as `lore merge` writes it), or a .gguf file
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
    /// Folder of an adapter that is computed beside the model's weights instead of being merged
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// What it is called [default: the folder's or file's name]
    #[arg(long)]
    name: Option<String>,
    /// The record of the run that made it [default: run.yaml with the adapter, else with the model, or in the run's folder]
    #[arg(long, value_name = "FILE")]
    run: Option<PathBuf>,
}

/// A model that is to become a release.
#[derive(Clone, Debug)]
pub struct NewModel {
    /// Its folder, or its GGUF file.
    pub model: PathBuf,
    /// The folder of an adapter that is computed beside its weights, where it is not merged.
    pub adapter: Option<PathBuf>,
    /// What it is called; by default as its folder or file.
    pub name: Option<String>,
    /// The run's record, where it does not lie with the adapter or the model, or in the folder of a run above.
    pub run: Option<PathBuf>,
}

/// The parts of a run's record that tell where a model comes from; all else is kept in the release's copy.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RunFile {
    lore: Option<String>,
    seed: Option<u64>,
    base: Base,
    data: Data,
    config: Option<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Base {
    name: Option<String>,
    fingerprint: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Data {
    hash: Option<String>,
    /// `DOCUMENT@VERSION`.
    documents: BTreeSet<String>,
    /// What tells the questions apart that were learned.
    questions: BTreeSet<String>,
}

impl Add {
    /// Runs the command.
    ///
    /// # Errors
    /// As [`create`].
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let catalog = open::catalog(&settings).await?;
        let Self { model, adapter, name, run } = self;
        let new = NewModel { model, adapter, name, run };
        let release = create(&settings, &catalog, new).await?;
        if settings.json {
            print::json(&release)?;
        } else {
            let (state, label) = (release.state.name(), release.label());
            progress::say(&format!(
                "{state} {label}; prove it with `lore releases evaluate {label} --dataset FILE`"
            ));
            print::line(&release.id)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Makes a release of a merged model: its files are copied into the data folder under the hash of their content, and the
/// catalog has it as a candidate. The same files give the same release, however often.
///
/// # Errors
/// Fails where there is no model, where the run's record cannot be read, on a full disk, and where the catalog does.
pub async fn create(settings: &Settings, catalog: &Catalog, new: NewModel) -> anyhow::Result<Release> {
    let (store, catalog) = (ReleaseStore::of(&settings.data_dir), catalog.clone());
    open::blocking(move || {
        let NewModel { model, adapter, name, run } = new;
        let run = run.or_else(|| match &adapter {
            // The base's own run is not the one that made the adapter.
            Some(adapter) => record::of_adapter(adapter),
            None => record::of_model(&model),
        });
        if run.is_none() {
            progress::say("no record of a run: the documents that it learned from are not known");
        }
        let run = run.map(|path| read(&path)).transpose()?;
        let name = match name {
            Some(name) => name,
            None => name_of(&model)?,
        };
        let (origin, sources) = match &run {
            Some((text, path)) => origin(text, path, &catalog)?,
            None => Default::default(),
        };
        let more: Vec<(&str, &[u8])> = run.iter().map(|(text, _)| (RUN, text.as_bytes())).collect();
        // Nothing is copied for a name that the catalog refuses.
        lore_index::catalog::check_release_name(&name)?;
        let stored = store.add_adapted(&model, adapter.as_deref(), &more)?;
        // Nobody prunes it before the catalog knows it.
        let _lease = store.lease(&stored.id)?;
        anyhow::Ok(catalog.add_release(&NewRelease {
            id: stored.id,
            name,
            bytes: stored.bytes,
            origin,
            sources,
        })?)
    })
    .await
}

/// What tells the questions apart that release `id` learned, by the record in its folder; none where it has none.
///
/// # Errors
/// Fails where the record cannot be read.
pub fn learned_questions(store: &ReleaseStore, id: &str) -> anyhow::Result<BTreeSet<String>> {
    let path = store.path(id).join(RUN);
    if !path.is_file() {
        return Ok(BTreeSet::new());
    }
    let (text, path) = read(&path)?;
    Ok(parse(&text, &path)?.data.questions)
}

fn parse(text: &str, path: &Path) -> anyhow::Result<RunFile> {
    serde_saphyr::from_str(text)
        .map_err(|error| anyhow::anyhow!("{}: {}", path.display(), first_line(&error.to_string())))
}

fn read(path: &Path) -> anyhow::Result<(String, PathBuf)> {
    let whole = || format!("cannot read {}", path.display());
    if std::fs::metadata(path).with_context(whole)?.len() > RUN_BYTES {
        bail!("{} has more than {RUN_BYTES} bytes; it is no record of a run", path.display());
    }
    Ok((std::fs::read_to_string(path).with_context(whole)?, path.to_owned()))
}

/// The last part of a path, made into a release's name.
///
/// # Errors
/// Fails where nothing is there.
pub fn name_of(model: &Path) -> anyhow::Result<String> {
    let whole = model.canonicalize().with_context(|| format!("cannot read {}", model.display()))?;
    let last = if whole.is_dir() { whole.file_name() } else { whole.file_stem() };
    let name = last.unwrap_or_default().to_string_lossy();
    let fits = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    Ok(name.chars().map(fits).take(64).collect())
}

/// Where a model comes from, by the record of its run.
fn origin(text: &str, path: &Path, catalog: &Catalog) -> anyhow::Result<(ReleaseOrigin, Vec<ReleaseSource>)> {
    let run = parse(text, path)?;
    let mut sources = Vec::new();
    for named in run.data.documents {
        let parts = named.rsplit_once('@').and_then(|(document, version)| {
            Some((document.parse::<DocumentId>().ok()?, version.parse::<u32>().ok()?))
        });
        let Some((document, version)) = parts else {
            bail!("{}: {named:?} is no DOCUMENT@VERSION; data.documents lists those", path.display());
        };
        let name = catalog.document(document)?.map_or_else(|| document.to_string(), |found| found.name);
        sources.push(ReleaseSource { document, version, name });
    }
    let config = run.config.map(|config| serde_saphyr::to_string(&config)).transpose();
    let origin = ReleaseOrigin {
        base: run.base.name,
        base_hash: run.base.fingerprint,
        data_hash: run.data.hash,
        config: config.map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?,
        seed: run.seed,
        code_version: run.lore,
    };
    Ok((origin, sources))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or("not valid YAML")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_runs_record_tells_where_a_model_comes_from() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(folder.path()).unwrap();
        let document = DocumentId::from_source("upload:a.md");
        let text = format!(
            "lore: 0.1.0\nstarted: 5\nseed: 18446744073709551615\nbase: {{name: tiny, path: /x, fingerprint: ff}}\n\
             data: {{hash: aa, examples: 3, documents: ['{document}@2', '{document}@1']}}\n\
             config: {{finetuning_type: lora, lora_rank: 8}}\n"
        );
        let (origin, sources) = origin(&text, Path::new("run.yaml"), &catalog).unwrap();
        assert_eq!((origin.base.as_deref(), origin.base_hash.as_deref()), (Some("tiny"), Some("ff")));
        assert_eq!((origin.seed, origin.code_version.as_deref()), (Some(u64::MAX), Some("0.1.0")));
        assert!(origin.config.unwrap().contains("lora_rank: 8"));
        assert_eq!(sources.iter().map(|s| s.version).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(
            sources[0].name,
            document.to_string(),
            "a document that is not here has its id for a name"
        );
        let (nothing, none) = super::origin("{}", Path::new("run.yaml"), &catalog).unwrap();
        assert!(nothing == ReleaseOrigin::default() && none.is_empty());
        let wrong = super::origin("data: {documents: [x]}", Path::new("run.yaml"), &catalog).unwrap_err();
        assert!(wrong.to_string().contains("DOCUMENT@VERSION"), "{wrong}");
    }

    #[test]
    fn a_folder_names_its_release() {
        let folder = tempfile::tempdir().unwrap();
        let merged = folder.path().join("hand book (3)");
        std::fs::create_dir(&merged).unwrap();
        assert_eq!(name_of(&merged).unwrap(), "hand-book--3-");
        assert!(name_of(&folder.path().join("missing")).is_err());
    }
}
