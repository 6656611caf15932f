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
use lore_query::eval::answers::QuestionOutcome;
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
/// Most questions whose outcomes are kept.
const KEPT: usize = 2000;
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

/// How a release is proven.
#[derive(Clone, Debug)]
pub struct Proof {
    /// Which release.
    pub release: String,
    /// The questions.
    pub dataset: PathBuf,
    /// Their documents, where those do not lie around the questions.
    pub documents: Option<PathBuf>,
    /// Whom it is compared with.
    pub against: String,
    /// Only the first so many questions.
    pub limit: Option<usize>,
    /// Where catalog and indexes are kept.
    pub keep: Option<PathBuf>,
    /// Where each question's outcome is written.
    pub outcomes: Option<PathBuf>,
}

impl Proof {
    /// Of `release` by the questions in `dataset`, against what is live.
    pub fn new(release: String, dataset: PathBuf, documents: Option<PathBuf>) -> Self {
        let against = LIVE.to_owned();
        Self { release, dataset, documents, against, limit: None, keep: None, outcomes: None }
    }
}

/// What a proof found.
pub struct Proven {
    /// The release, judged.
    pub release: Release,
    /// What the gate says.
    pub verdict: GateVerdict,
    /// What is kept.
    pub report: serde_json::Value,
}

impl Evaluate {
    /// Runs the command.
    ///
    /// # Errors
    /// As [`prove`].
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let Self { named, dataset, documents, against, limit, keep, outcomes } = self;
        let proof = Proof { release: named.release, dataset, documents, against, limit, keep, outcomes };
        let shown = Progress::new("asking both", Unit::Count("questions"));
        let done = |done: u64, total: u64| shown.set(done, total);
        let Proven { release, verdict, report } = prove(&settings, &proof, &done).await?;
        shown.finish("");
        if settings.json {
            print::json(&json!({"release": release, "report": report}))?;
        } else {
            tell(&release, &verdict)?;
        }
        Ok(if verdict.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Has a release and what it is compared with answer the same questions, and keeps what the gate says of that; `progress` hears
/// how many questions both have answered, of how many.
///
/// # Errors
/// Fails where a side cannot be run, where the questions cannot be read or were learned, and where a question fails.
pub async fn prove(
    settings: &Settings,
    proof: &Proof,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> anyhow::Result<Proven> {
    // What can be refused is refused before models are loaded and asked.
    settings.config.gate.check().map_err(anyhow::Error::msg)?;
    let catalog = open::catalog(settings).await?;
    let (looking, wanted) = (catalog.clone(), proof.release.clone());
    let release = open::blocking(move || looking.release(&wanted)).await?.release;
    let DataSet { questions, documents } = data_set(settings, proof, &release).await?;
    let outcomes = proof.outcomes.as_deref().map(Outcomes::create).transpose()?;
    let name = release.release_name();
    let candidate = writer::named_release(settings, &catalog, name, "be evaluated").await?;
    let incumbent = incumbent(settings, &catalog, &proof.against, &release).await?;
    let against = Serving::called(incumbent.as_ref()).to_owned();

    let corpus = documents.index(&without_generator(settings), proof.keep.as_deref()).await?;
    let total = questions.len() as u64;
    let done = |done: usize| progress(done as u64, total);
    let asked = |serving| corpus.parts.answerer.clone().with_live(Live::new(serving));
    let (new, old) = evaluate_pair(&asked(Some(candidate)), &asked(incumbent), &questions, &done).await?;
    corpus.close().await?;
    if let Some(outcomes) = outcomes {
        outcomes.write(&new, &old)?;
    }

    let found = gate(&new, &old, &settings.config.gate)?;
    let verdict = ReleaseVerdict {
        passed: found.passed,
        reasons: found.reasons.clone(),
        against,
        at: Timestamp::now(),
    };
    // Questions and figures alone: what was answered holds text of documents, which may be deleted one day.
    let report = json!({
        "gate": found,
        "candidate": {"model": new.model, "means": new.means},
        "incumbent": {"model": old.model, "means": old.means},
        "questions": side_by_side(&new, &old),
        "dataset": proof.dataset.file_name().map(|name| name.to_string_lossy()),
    });
    let kept = report.clone();
    let release = open::blocking(move || catalog.judge_release(&release.id, &verdict, &kept)).await?;
    Ok(Proven { release, verdict: found, report })
}

/// Each question with how both did, without what they answered.
fn side_by_side(new: &AnswerReport, old: &AnswerReport) -> Vec<serde_json::Value> {
    let side = |outcome: &QuestionOutcome| {
        json!({
            "right": outcome.is_right(), "answered": outcome.answered, "f1": outcome.f1,
            "citation_precision": outcome.citation_precision, "citation_recall": outcome.citation_recall,
            "support": outcome.support, "confidence": outcome.confidence, "ms": outcome.ms, "cited": outcome.cited,
        })
    };
    let pairs = new.outcomes.iter().zip(&old.outcomes).take(KEPT);
    let row = |(new, old): (&QuestionOutcome, &QuestionOutcome)| {
        json!({
            "id": new.id, "question": new.question, "lang": new.lang, "kind": new.kind, "answerable": new.answerable,
            "sources": new.sources, "candidate": side(new), "incumbent": side(old),
        })
    };
    pairs.map(row).collect()
}

/// The data set, as far as it is asked; refuses questions that count twice, and those that the release has learned.
async fn data_set(settings: &Settings, proof: &Proof, release: &Release) -> anyhow::Result<DataSet> {
    let (store, id) = (ReleaseStore::of(&settings.data_dir), release.id.clone());
    let (path, documents) = (proof.dataset.clone(), proof.documents.clone());
    let limit = proof.limit.unwrap_or(usize::MAX);
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
