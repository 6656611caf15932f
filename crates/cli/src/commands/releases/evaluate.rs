//! `lore releases evaluate`: the candidate and what is live answer the same questions, and the gate decides.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use jiff::Timestamp;
use lore_core::{Live, Serving};
use lore_index::{Catalog, Release, ReleaseVerdict};
use lore_inference::release::ReleaseStore;
use lore_query::eval::gate::distinct;
use lore_query::eval::{AnswerReport, GateVerdict, evaluate_pair, gate};
use lore_query::training;
use serde_json::json;

use super::Named;
use super::create::learned_questions;
use crate::asking::without_generator;
use crate::commands::eval::answers::DataSet;
use crate::progress::{Progress, Unit};
use crate::settings::Settings;
use crate::{open, print, progress, verdict, writer};

/// The word for the model of the settings.
const BASE: &str = "base";
/// The word for no language model.
const NONE: &str = "none";
/// The word for the live release, or where there is none the model of the settings.
const LIVE: &str = "live";

/// Prove a release: it and what is live answer the same questions; exit code 1 where it does not pass
#[derive(Debug, Args)]
pub struct Evaluate {
    #[command(flatten)]
    named: Named,
    /// Questions that it did not learn from (.jsonl, or a SQuAD-format file)
    #[arg(long, value_name = "FILE")]
    dataset: PathBuf,
    /// Documents of a .jsonl file [default: DIR, where the questions lie in DIR/questions]
    #[arg(long, value_name = "DIR")]
    documents: Option<PathBuf>,
    /// Compare with live (the live release, else the model of the settings), base (the latter), none, or a release
    #[arg(long, value_name = "MODEL", default_value = LIVE)]
    against: String,
    /// Only the first so many questions
    #[arg(long)]
    limit: Option<usize>,
    /// Keep catalog and indexes in this folder, to measure again without building them
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Write each question's outcome to PATH.candidate.jsonl and PATH.incumbent.jsonl, as `lore eval gate` reads them
    #[arg(long, value_name = "PATH")]
    outcomes: Option<PathBuf>,
}

impl Evaluate {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where a side cannot be run, where the questions cannot be read, and where a question fails.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        // What can be refused is refused before models are loaded and asked.
        settings.config.gate.check().map_err(anyhow::Error::msg)?;
        let catalog = open::catalog(&settings).await?;
        let (looking, wanted) = (catalog.clone(), self.named.release.clone());
        let release = open::blocking(move || looking.release(&wanted)).await?.release;
        let DataSet { questions, documents } = self.data_set(&settings, &release).await?;
        let outcomes = self.outcomes.as_deref().map(Outcomes::create).transpose()?;
        let name = release.release_name();
        let candidate = writer::named_release(&settings, &catalog, name, "be evaluated").await?;
        let incumbent = incumbent(&settings, &catalog, &self.against, &release).await?;
        let against = Serving::called(incumbent.as_ref()).to_owned();

        let corpus = documents.index(&without_generator(&settings), self.keep.as_deref()).await?;
        let shown = Progress::new("asking both", Unit::Count("questions"));
        let total = questions.len() as u64;
        let done = |done: usize| shown.set(done as u64, total);
        let asked = |serving| corpus.parts.answerer.clone().with_live(Live::new(serving));
        let (new, old) = evaluate_pair(&asked(Some(candidate)), &asked(incumbent), &questions, &done).await?;
        shown.finish("");
        corpus.close().await?;
        if let Some(outcomes) = outcomes {
            outcomes.write(&new, &old)?;
        }

        let found = gate(&new, &old, &settings.config.gate)?;
        let kept_verdict = ReleaseVerdict {
            passed: found.passed,
            reasons: found.reasons.clone(),
            against,
            at: Timestamp::now(),
        };
        // Means and ids alone: what was answered holds text of documents, which may be deleted one day.
        let report = json!({
            "gate": found,
            "candidate": {"model": new.model, "means": new.means},
            "incumbent": {"model": old.model, "means": old.means},
            "dataset": self.dataset.file_name().map(|name| name.to_string_lossy()),
        });
        let kept = report.clone();
        let judged = open::blocking(move || catalog.judge_release(&release.id, &kept_verdict, &kept)).await?;
        if settings.json {
            print::json(&json!({"release": judged, "report": report}))?;
        } else {
            tell(&judged, &found)?;
        }
        Ok(if found.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Evaluate {
    /// The data set, as far as it is asked; refuses questions that count twice, and those that the release has learned.
    async fn data_set(&self, settings: &Settings, release: &Release) -> anyhow::Result<DataSet> {
        let (store, id) = (ReleaseStore::of(&settings.data_dir), release.id.clone());
        let (path, documents) = (self.dataset.clone(), self.documents.clone());
        let limit = self.limit.unwrap_or(usize::MAX);
        let label = release.label();
        open::blocking(move || {
            let mut set = DataSet::read(&path, documents.as_deref())?;
            set.questions.truncate(limit);
            let questions = &set.questions;
            distinct(questions.iter().map(|question| question.id.as_str()))
                .with_context(|| path.display().to_string())?;
            let learned = training::learned(questions, &learned_questions(&store, &id)?);
            if let Some(first) = learned.first() {
                bail!(
                    "{label} learned from {} of the {} questions of {}, such as {}; name questions that it did not learn",
                    learned.len(),
                    questions.len(),
                    path.display(),
                    first.id
                );
            }
            Ok(set)
        })
        .await
    }
}

/// Whom the candidate is compared with; `None` where no language model writes.
async fn incumbent(
    settings: &Settings,
    catalog: &Catalog,
    against: &str,
    candidate: &Release,
) -> anyhow::Result<Option<Serving>> {
    let catalog = catalog.clone();
    let found = match against {
        NONE => return Ok(None),
        BASE => None,
        LIVE => open::blocking(move || catalog.live_release()).await?,
        wanted => {
            let wanted = wanted.to_owned();
            Some(open::blocking(move || catalog.release(&wanted)).await?.release.release_name())
        }
    };
    match found {
        Some(release) if release.id == candidate.id => {
            bail!("{} would be compared with itself; name another with --against", release.label())
        }
        Some(release) => {
            let label = release.label();
            match writer::release(settings, release).await {
                Ok(serving) => Ok(Some(serving)),
                Err(error) => bail!("{label} cannot be compared with: {error}"),
            }
        }
        None => writer::configured(settings).await,
    }
}

fn tell(release: &Release, found: &GateVerdict) -> anyhow::Result<()> {
    verdict::print(false, found)?;
    if found.passed {
        progress::say(&format!("`lore releases promote {}` makes it live", release.label()));
    }
    Ok(())
}

/// Files of outcomes, one for each side; made before anybody is asked.
struct Outcomes([(PathBuf, File); 2]);

impl Outcomes {
    fn create(path: &Path) -> anyhow::Result<Self> {
        let side = |side: &str| {
            let mut whole = path.as_os_str().to_owned();
            whole.push(format!(".{side}.jsonl"));
            let path = PathBuf::from(whole);
            let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
            anyhow::Ok((path, file))
        };
        Ok(Self([side("candidate")?, side("incumbent")?]))
    }

    /// Writes what `lore eval gate` reads.
    fn write(self, candidate: &AnswerReport, incumbent: &AnswerReport) -> anyhow::Result<()> {
        for ((path, file), report) in self.0.into_iter().zip([candidate, incumbent]) {
            print::json_lines(file, &report.outcomes)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}
