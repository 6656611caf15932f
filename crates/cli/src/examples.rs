//! Training examples made of questions, over the documents that these are about.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use lore_core::{Generator, GeneratorInfo};
use lore_index::Catalog;
use lore_models::GeneratorText;
use lore_query::eval::gate::distinct;
use lore_query::eval::{EvalQuestion, dataset};
use lore_query::training::{self, RagConfig, RagSet};

use crate::asking::without_generator;
use crate::commands::eval::corpus::{Corpus, documents_of};
use crate::progress::{self, Progress, Unit};
use crate::settings::Settings;
use crate::{open, print};

/// The held-out questions, where they lie beside those that are learned and no other file is named.
pub const HELD_OUT: &str = "test.jsonl";
/// The folder of files of questions in the folder of their documents.
const QUESTIONS: &str = "questions";
/// Most skipped questions that are told one by one.
const TOLD: usize = 20;

/// What examples are made of.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Files of questions.
    pub questions: Vec<PathBuf>,
    /// The folder of their documents; `None`: the data folder, where it has them, else the folder whose folder `questions`
    /// the first file lies in.
    pub documents: Option<PathBuf>,
    /// Other files of questions of the same training.
    pub beside: Vec<PathBuf>,
    /// Questions that must not be learned; `None`: each `test.jsonl` that lies beside a file of questions, of these or of
    /// `beside`, or beside the documents.
    pub held_out: Option<PathBuf>,
    /// How questions become examples.
    pub rag: RagConfig,
}

/// How much is made, and who hears how far it is.
#[derive(Clone, Copy)]
pub struct Making<'a> {
    /// Most questions of each file, spread over it; `None`: all of them.
    pub most: Option<usize>,
    /// Hears the questions done, and how many there are.
    pub told: &'a (dyn Fn(u64, u64) + Send + Sync),
}

impl Making<'static> {
    /// Everything, with nobody who hears.
    pub const ALL: Self = Self { most: None, told: &|_, _| {} };
}

/// A handle to the tokenizer and the chat template of the model that learns; it writes nothing. An example has at most
/// `cutoff_len` tokens.
pub fn reader(text: &Arc<GeneratorText>, name: &str, cutoff_len: usize) -> Generator {
    let info =
        GeneratorInfo { id: name.to_owned(), context_tokens: cutoff_len, answer_style: text.answer_style() };
    Generator::channel(info, text.counter(), text.chat_encoder(name.to_owned()), 1).0
}

/// Makes the examples; `text` is as [`reader`] gives it. What was skipped is said.
///
/// # Errors
/// Fails where a file cannot be read, a question is held out, the documents cannot be had, or a search fails.
pub async fn make(
    settings: &Settings,
    wanted: &Wanted,
    text: &Generator,
    making: &Making<'_>,
) -> anyhow::Result<RagSet> {
    let mut questions = questions(wanted)?;
    if let Some(most) = making.most.filter(|most| *most < questions.len()) {
        progress::say(&format!("note: examples were made of {most} of {} questions", questions.len()));
        spread(&mut questions, most);
    }
    let settings = without_generator(settings);
    let corpus = corpus(&settings, wanted, &questions).await?;
    let shown = Progress::new("making examples", Unit::Count("questions"));
    let total = questions.len() as u64;
    let progress = |done: usize| {
        shown.set(done as u64, total);
        (making.told)(done as u64, total);
    };
    let set = training::build(&corpus.parts.answerer, text, &questions, &wanted.rag, &progress).await?;
    shown.finish("");
    corpus.close().await?;
    for skipped in set.skipped.iter().take(TOLD) {
        progress::say(&format!("skipped {}: {}", skipped.id, skipped.reason));
    }
    if set.skipped.len() > TOLD {
        progress::say(&format!("skipped {} more", set.skipped.len() - TOLD));
    }
    if set.examples.is_empty() {
        bail!("none of the {total} questions became an example");
    }
    Ok(set)
}

/// Keeps `most` of the items, spread evenly.
fn spread<T>(items: &mut Vec<T>, most: usize) {
    let all = items.len();
    let mut at = 0;
    items.retain(|_| {
        at += 1;
        // Those at which the share that is kept reaches the next whole number.
        at * most / all > (at - 1) * most / all
    });
}

/// Writes the examples as JSON lines; the file is there whole or not at all.
///
/// # Errors
/// Fails where it cannot be written.
pub fn write(path: &Path, set: &RagSet) -> anyhow::Result<()> {
    let writing = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        print::json_lines(&mut file, &set.examples)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        anyhow::Ok(())
    };
    writing().with_context(|| format!("cannot write {}", path.display()))
}

/// The questions, none of which is held out.
fn questions(wanted: &Wanted) -> anyhow::Result<Vec<EvalQuestion>> {
    let mut held_out = Vec::new();
    for path in held_out_files(wanted) {
        let questions = dataset::own_questions(&path)?;
        held_out.push((path, questions));
    }
    let mut questions: Vec<EvalQuestion> = Vec::new();
    for path in &wanted.questions {
        if held_out.iter().any(|(held_out, _)| same_file(path, held_out)) {
            bail!(
                "{} holds the questions that models are tested with, which are never learned; name another file",
                path.display()
            );
        }
        let read = dataset::own_questions(path)?;
        for (other, tested) in &held_out {
            training::refuse_held_out(&read, tested)
                .with_context(|| format!("{} and {}", path.display(), other.display()))?;
        }
        questions.extend(read);
    }
    distinct(questions.iter().map(|question| question.id.as_str()))?;
    Ok(questions)
}

/// The files of questions that must not be learned, each once.
fn held_out_files(wanted: &Wanted) -> Vec<PathBuf> {
    if let Some(named) = &wanted.held_out {
        return vec![named.clone()];
    }
    let mut folders: Vec<PathBuf> = Vec::new();
    let mut around = |documents: &Path| {
        let places = [Some(documents), documents.parent()];
        folders
            .extend(places.into_iter().flatten().flat_map(|place| [place.join(QUESTIONS), place.to_owned()]));
    };
    let whole = |path: &Path| path.canonicalize().ok();
    if let Some(documents) = wanted.documents.as_deref().and_then(whole) {
        around(&documents);
    }
    let files: Vec<PathBuf> =
        wanted.questions.iter().chain(&wanted.beside).filter_map(|path| whole(path)).collect();
    for folder in files.iter().filter_map(|path| path.parent()) {
        if let Some(documents) = folder.parent().filter(|_| folder.ends_with(QUESTIONS)) {
            around(documents);
        }
    }
    folders.extend(files.iter().filter_map(|path| path.parent()).map(Path::to_owned));
    let found: BTreeSet<PathBuf> =
        folders.iter().map(|folder| folder.join(HELD_OUT)).filter(|path| path.is_file()).collect();
    found.into_iter().collect()
}

fn same_file(a: &Path, b: &Path) -> bool {
    a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b)
}

/// The documents that the questions are about, indexed.
async fn corpus(settings: &Settings, wanted: &Wanted, questions: &[EvalQuestion]) -> anyhow::Result<Corpus> {
    if let Some(folder) = &wanted.documents {
        return Corpus::of_folder(settings, folder, None).await;
    }
    if Catalog::is_in(&settings.data_dir) {
        let catalog = open::catalog(settings).await?;
        let (missing, named) = training::missing_documents(&catalog, questions).await?;
        if missing < named {
            return Corpus::of_data(settings, catalog).await;
        }
    }
    let first = wanted.questions.first().context("no file of questions is named")?;
    let folder = documents_of(first, None)?;
    progress::say(&format!("the data folder has none of their documents; taking in {}", folder.display()));
    Corpus::of_folder(settings, &folder, None).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const LINE: &str = r#"{"id":"ID","lang":"en","question":"How many days?","answer":"30","sources":[],"answerable":true,"kind":"lookup"}"#;

    #[test]
    fn what_models_are_tested_with_is_not_learned() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, id: &str, question: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, LINE.replace("ID", id).replace("How many days?", question)).unwrap();
            path
        };
        let (train, test) = (file("train.jsonl", "a", "How many?"), file("test.jsonl", "b", "How far?"));
        let wanted = |path: &Path, held_out: Option<&Path>| Wanted {
            questions: vec![path.to_owned()],
            documents: None,
            beside: Vec::new(),
            held_out: held_out.map(Path::to_owned),
            rag: RagConfig::default(),
        };
        assert_eq!(questions(&wanted(&train, None)).unwrap().len(), 1);
        let refused = |wanted: &Wanted| format!("{:#}", questions(wanted).unwrap_err());
        assert!(refused(&wanted(&test, None)).contains("which are never learned"));
        // Also by what is in the file, wherever it lies.
        let copy = file("copy.jsonl", "c", "how FAR");
        assert!(refused(&wanted(&copy, None)).contains("training question c is held-out question b"));
        let other = file("other.jsonl", "a", "How high?");
        assert!(
            refused(&wanted(&train, Some(&other))).contains("training question a is held-out question a")
        );
        let twice = Wanted { questions: vec![train.clone(), other], ..wanted(&train, None) };
        assert!(refused(&twice).contains("two questions have the id a"));
    }

    #[test]
    fn items_are_kept_from_all_over() {
        let kept = |all: usize, most: usize| {
            let mut items: Vec<usize> = (0..all).collect();
            spread(&mut items, most);
            items
        };
        assert_eq!(kept(10, 3), [3, 6, 9]);
        assert_eq!(kept(7, 7), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(kept(1000, 16).len(), 16);
    }

    #[test]
    fn what_is_tested_anywhere_is_learned_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, id: &str, question: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, LINE.replace("ID", id).replace("How many days?", question)).unwrap();
            path
        };
        let train = file("own/train.jsonl", "a", "How far?");
        let other = file("house/questions/train.jsonl", "b", "How many?");
        let wanted = |documents: Option<&str>, beside: &[&PathBuf]| Wanted {
            questions: vec![train.clone()],
            documents: documents.map(|name| folder.path().join(name)),
            beside: beside.iter().map(|path| (*path).clone()).collect(),
            held_out: None,
            rag: RagConfig::default(),
        };
        let tested = file("house/questions/test.jsonl", "c", "how FAR");
        assert_eq!(questions(&wanted(None, &[])).unwrap().len(), 1);
        std::fs::create_dir_all(folder.path().join("house/docs")).unwrap();
        for wanted in [wanted(None, &[&other]), wanted(Some("house"), &[]), wanted(Some("house/docs"), &[])] {
            let refused = format!("{:#}", questions(&wanted).unwrap_err());
            assert!(refused.contains("training question a is held-out question c"), "{refused}");
        }
        // Each of several files, not only those beside the first.
        let two = Wanted { questions: vec![other.clone(), train.clone()], ..wanted(None, &[]) };
        assert!(questions(&two).is_err());
        let two = Wanted { questions: vec![train.clone(), other], ..wanted(None, &[]) };
        assert!(questions(&two).is_err());
        let all = Wanted { questions: vec![tested], ..wanted(None, &[]) };
        assert!(format!("{:#}", questions(&all).unwrap_err()).contains("which are never learned"));
    }
}
