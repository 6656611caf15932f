//! The company in `docs-corpus`: every document parses, and every quote of the questions stands verbatim in its text.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use lore_core::Limits;
use lore_ingest::parse::{detect, parse};
use serde_json::Value;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs-corpus")
}

fn questions(split: &str) -> Vec<Value> {
    let path = corpus().join(format!("questions/{split}.jsonl"));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, out) } else { out.push(path) }
    }
}

fn texts() -> BTreeMap<String, String> {
    let root = corpus();
    let mut paths = Vec::new();
    files(&root.join("documents"), &mut paths);
    paths
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            let bytes = std::fs::read(&path).unwrap();
            let format = detect(&name, &bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
            let parsed =
                parse(format, &bytes, &name, &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
            (name, parsed.text)
        })
        .collect()
}

#[test]
fn every_quote_stands_verbatim_in_its_document() {
    let texts = texts();
    assert!(texts.len() >= 60, "{} documents", texts.len());
    let mut missing = Vec::new();
    for (split, at_least) in [("train", 300), ("test", 150)] {
        let questions = questions(split);
        assert!(questions.len() >= at_least, "{} {split} questions", questions.len());
        for question in &questions {
            let sources = question["sources"].as_array().unwrap();
            assert_eq!(question["answerable"].as_bool().unwrap(), !sources.is_empty(), "{}", question["id"]);
            for source in sources {
                let (document, quote) =
                    (source["document"].as_str().unwrap(), source["quote"].as_str().unwrap());
                let text = texts.get(document).unwrap_or_else(|| panic!("{}: no {document}", question["id"]));
                if !text.contains(quote) {
                    missing.push(format!("{} {document}: {quote}", question["id"]));
                }
            }
        }
    }
    assert!(
        missing.is_empty(),
        "{} quotes do not stand in their text:\n{}",
        missing.len(),
        missing.join("\n")
    );
}

#[test]
fn the_answer_stands_in_a_quote_and_the_splits_share_none() {
    let mut quotes: BTreeMap<&str, BTreeSet<(String, String)>> = BTreeMap::new();
    for split in ["train", "test"] {
        for question in questions(split) {
            let sources = question["sources"].as_array().unwrap().clone();
            for part in question["answer"].as_str().unwrap().split("; ").filter(|p| !p.is_empty()) {
                let held = sources.iter().any(|s| s["quote"].as_str().unwrap().contains(part));
                assert!(held, "{}: no quote holds {part:?}", question["id"]);
            }
            for source in sources {
                let pair = (
                    source["document"].as_str().unwrap().to_owned(),
                    source["quote"].as_str().unwrap().to_owned(),
                );
                quotes.entry(split).or_default().insert(pair);
            }
        }
    }
    let shared: Vec<_> = quotes["train"].intersection(&quotes["test"]).collect();
    assert!(shared.is_empty(), "{shared:?}");
}

/// No test question says a training question again: their character n-grams agree by less than 0.8 (Dice). Follow-ups
/// are left out: their words are few and their matter is in the conversation.
#[test]
fn no_test_question_paraphrases_a_training_question() {
    let grams = |text: &str| -> BTreeSet<Vec<char>> {
        let chars: Vec<char> = text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
        let size = if chars.iter().any(|c| ('\u{4e00}'..'\u{a000}').contains(c)) { 2 } else { 3 };
        chars.windows(size).map(<[char]>::to_vec).collect()
    };
    let train: Vec<_> = questions("train")
        .iter()
        .filter(|q| q.get("history").is_none())
        .map(|q| (q["id"].clone(), grams(q["question"].as_str().unwrap())))
        .collect();
    for question in questions("test").iter().filter(|q| q.get("history").is_none()) {
        let own = grams(question["question"].as_str().unwrap());
        for (id, other) in &train {
            let common = own.intersection(other).count() as f64;
            let share = common / (own.len() + other.len()) as f64 * 2.0;
            assert!(share < 0.8, "{} says {id} again ({share:.2})", question["id"]);
        }
    }
}
