//! Data sets of questions: examples are made of them before a training reads its data.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use lore_core::Generator;
use lore_models::GeneratorText;
use lore_models::record::RUN;
use lore_query::training::{AnswerForm, RagConfig};
use lore_train::config::{RagSettings, TrainConfig};
use lore_train::data::{DataSettings, DatasetSpec, Format};
use lore_train::run::{EXAMPLES_FOLDER, RunRecord};
use serde_json::json;
use tempfile::TempDir;

use super::invented;
use crate::examples::{self, Making, Wanted};
use crate::settings::Settings;
use crate::{open, progress};

/// The file of exercises that were made of documents.
const EXERCISES: &str = "exercises.jsonl";

/// Files of examples that were made of questions; removed at the end.
#[derive(Debug)]
pub struct Made {
    folder: TempDir,
    files: Vec<PathBuf>,
    /// What tells the questions apart that are learned.
    pub learned: BTreeSet<String>,
}

impl Made {
    /// Copies the files into the folder of a run.
    ///
    /// # Errors
    /// Fails where they cannot be written.
    pub fn keep(&self, run: &Path) -> anyhow::Result<()> {
        let folder = run.join(EXAMPLES_FOLDER);
        let copied = || {
            std::fs::create_dir_all(&folder)?;
            for file in &self.files {
                std::fs::copy(file, folder.join(file.file_name().unwrap_or_default()))?;
            }
            std::io::Result::Ok(())
        };
        copied().with_context(|| format!("cannot write {}", folder.display()))
    }
}

/// The data that `config` names, with files of examples in the place of questions.
///
/// A run that goes on takes the examples that it began with, from `kept`, where it has them all: documents may have changed
/// since, and others would not fit its checkpoint.
///
/// # Errors
/// As [`examples::make`].
pub async fn made(
    settings: &Settings,
    config: &TrainConfig,
    text: &Arc<GeneratorText>,
    model: &str,
    kept: Option<&Path>,
    making: &Making<'_>,
) -> anyhow::Result<(DataSettings, Option<Made>)> {
    let mut data = config.data.clone();
    if let Some(found) = kept.and_then(|run| again(config, run)) {
        return Ok((found.0, Some(found.1)));
    }
    if config.rag.is_none() && config.invent.is_none() {
        return Ok((data, None));
    }
    let folder = tempfile::Builder::new().prefix("lore-train-").tempdir()?;
    let mut made = Made { folder, files: Vec::new(), learned: BTreeSet::new() };
    if let Some(rag) = &config.rag {
        let reader = examples::reader(text, model, data.cutoff_len);
        of_questions(settings, (rag, &reader), (&mut data, &mut made), making).await?;
    }
    if let Some(mut invent) = config.invent.clone() {
        invent.config.count = making.most.unwrap_or(usize::MAX).min(invent.config.count);
        let file = made.folder.path().join(EXERCISES);
        let (limits, path) = (settings.config.limits.clone(), file.clone());
        open::blocking(move || invented::write(&invent, &limits, &path)).await?;
        made.files.push(file.clone());
        data.train.insert(0, exercises(&file));
    }
    Ok((data, Some(made)))
}

/// Name of the file of examples that are made of the data set at `index`.
fn file_name(prefix: &str, index: usize, set: &DatasetSpec) -> String {
    let stem = set.path.file_stem().unwrap_or_default().to_string_lossy();
    format!("{prefix}{}-{stem}.jsonl", index + 1)
}

/// The data with the examples that the run in folder `run` began with, where all of them are there.
fn again(config: &TrainConfig, run: &Path) -> Option<(DataSettings, Made)> {
    let kept = run.join(EXAMPLES_FOLDER);
    if !kept.is_dir() || (config.rag.is_none() && config.invent.is_none()) {
        return None;
    }
    let learned = RunRecord::read(&run.join(RUN)).ok()?.data.questions;
    let folder = tempfile::Builder::new().prefix("lore-train-").tempdir().ok()?;
    let (mut data, mut files) = (config.data.clone(), Vec::new());
    let mut take = |name: &str| {
        let file = folder.path().join(name);
        std::fs::copy(kept.join(name), &file).ok()?;
        files.push(file.clone());
        Some(file)
    };
    if let Some(rag) = &config.rag {
        for (sets, which, prefix) in [(&mut data.train, &rag.train, ""), (&mut data.eval, &rag.eval, "eval-")]
        {
            for (index, set) in sets.iter_mut().enumerate().filter(|(index, _)| which.contains(index)) {
                set.path = take(&file_name(prefix, index, set))?;
            }
        }
    }
    if config.invent.is_some() {
        let file = take(EXERCISES)?;
        data.train.insert(0, exercises(&file));
    }
    progress::say("the examples are those that the run began with");
    Some((data, Made { folder, files, learned }))
}

/// The exercises as a data set.
fn exercises(file: &Path) -> DatasetSpec {
    DatasetSpec { format: Some(Format::Messages), ..DatasetSpec::file("exercises", file) }
}

/// Puts files of examples in the place of those of questions.
async fn of_questions(
    settings: &Settings,
    (rag, reader): (&RagSettings, &Generator),
    (data, made): (&mut DataSettings, &mut Made),
    making: &Making<'_>,
) -> anyhow::Result<()> {
    let mut settings = settings.clone();
    if let Some(passages) = rag.passages {
        settings.config.answer.passages = passages;
    }
    let named = |sets: &[DatasetSpec], which: &[usize]| -> Vec<PathBuf> {
        which.iter().filter_map(|index| sets.get(*index)).map(|set| set.path.clone()).collect()
    };
    let all = [named(&data.train, &rag.train), named(&data.eval, &rag.eval)].concat();
    for (sets, which, prefix) in [(&mut data.train, &rag.train, ""), (&mut data.eval, &rag.eval, "eval-")] {
        for (index, set) in sets.iter_mut().enumerate().filter(|(index, _)| which.contains(index)) {
            let wanted = wanted(rag, set, &all, data.seed)?;
            let mut examples = examples::make(&settings, &wanted, reader, making).await?;
            if prefix.is_empty() {
                made.learned.append(&mut examples.learned);
            }
            let report = &examples.report;
            progress::say(&format!(
                "{} questions became {} examples: {} with an answer, {} without the passages for it, {} of questions that \
                 the documents do not answer; prompts of {:.0} tokens on average",
                report.questions,
                examples.examples.len(),
                report.answers,
                report.without_source,
                report.unanswerable,
                report.prompt_tokens
            ));
            let file = made.folder.path().join(file_name(prefix, index, set));
            examples::write(&file, &examples)?;
            set.path.clone_from(&file);
            made.files.push(file);
        }
    }
    Ok(())
}

/// `all` are the files of questions of all sets.
fn wanted(rag: &RagSettings, set: &DatasetSpec, all: &[PathBuf], seed: u64) -> anyhow::Result<Wanted> {
    let default = RagConfig::default();
    let answer = match &rag.answer {
        // One of the words that the configuration allows, which are those of the form.
        Some(word) => serde_json::from_value::<AnswerForm>(json!(word)).context("rag_answer")?,
        None => default.answer,
    };
    Ok(Wanted {
        questions: vec![set.path.clone()],
        documents: rag.documents.clone(),
        beside: all.to_vec(),
        held_out: None,
        rag: RagConfig {
            answer,
            no_answer_share: rag.no_answer_share.unwrap_or(default.no_answer_share),
            unanswerable_share: rag.unanswerable_share.unwrap_or(default.unanswerable_share),
            variants: rag.variants.unwrap_or(default.variants),
            seed,
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn rag(answer: Option<&str>) -> RagSettings {
        RagSettings {
            train: vec![0],
            eval: Vec::new(),
            documents: Some("docs".into()),
            answer: answer.map(str::to_owned),
            no_answer_share: Some(0.5),
            unanswerable_share: Some(0.4),
            passages: None,
            variants: None,
        }
    }

    #[test]
    fn settings_reach_the_making_of_examples() {
        let set = DatasetSpec::file("q", "q.jsonl");
        for (word, form) in [
            ("short_then_quote", AnswerForm::ShortThenQuote),
            ("quote", AnswerForm::Quote),
            ("short", AnswerForm::Short),
        ] {
            let wanted = wanted(&rag(Some(word)), &set, &[], 7).unwrap();
            assert_eq!(
                wanted.rag,
                RagConfig {
                    answer: form,
                    no_answer_share: 0.5,
                    unanswerable_share: 0.4,
                    variants: 1,
                    seed: 7
                }
            );
            assert_eq!((wanted.documents, wanted.questions), (Some("docs".into()), vec!["q.jsonl".into()]));
        }
        assert_eq!(wanted(&rag(None), &set, &[], 7).unwrap().rag.answer, AnswerForm::default());
    }

    #[test]
    fn examples_are_kept_in_the_run() {
        let made = tempfile::tempdir().unwrap();
        let file = made.path().join("1-train.jsonl");
        std::fs::write(&file, "{}").unwrap();
        let run = tempfile::tempdir().unwrap();
        Made { folder: made, files: vec![file], learned: BTreeSet::new() }.keep(run.path()).unwrap();
        assert_eq!(std::fs::read_to_string(run.path().join("examples/1-train.jsonl")).unwrap(), "{}");
    }
}
