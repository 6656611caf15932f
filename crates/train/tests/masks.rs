//! Token ids and label masks against transformers' `apply_chat_template`, made by `fixtures/masks/make.py`.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use lore_models::text::{GeneratorText, TextOptions};
use lore_train::config::Stage;
use lore_train::data::{DataSettings, DatasetSpec, load};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Case {
    family: String,
    thinking: bool,
    messages: Vec<Value>,
    examples: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    ids: Vec<u32>,
    /// From where to where a token is of an answer.
    answers: Vec<(usize, usize)>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/masks")
}

fn cases() -> Vec<Case> {
    let cases: Vec<Case> =
        serde_json::from_slice(&std::fs::read(fixtures().join("expected.json")).unwrap()).unwrap();
    assert_eq!(cases.len(), 27);
    cases
}

/// The examples of one conversation as tokens and marks.
fn examples(case: &Case, line: &Value, settings: DataSettings) -> Vec<(Vec<u32>, Vec<bool>)> {
    static TEXTS: LazyLock<HashMap<&str, GeneratorText>> = LazyLock::new(|| {
        let open =
            |name| (name, GeneratorText::open(&fixtures().join(name), &TextOptions::default()).unwrap());
        ["qwen2.5", "qwen3", "llama3", "mistral"].map(open).into()
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.jsonl");
    std::fs::write(&file, format!("{line}\n")).unwrap();
    let settings =
        DataSettings { train: vec![DatasetSpec::file("chat", file)], thinking: case.thinking, ..settings };
    let loaded = load(&settings, Stage::Sft, &TEXTS[case.family.as_str()]).unwrap();
    loaded.train.into_iter().map(|example| (example.tokens, example.labelled)).collect()
}

fn marks(expected: &Expected) -> Vec<bool> {
    let mut marks = vec![false; expected.ids.len()];
    for (start, end) in &expected.answers {
        marks[*start..*end].fill(true);
    }
    marks
}

#[test]
fn answers_are_what_transformers_adds_for_them() {
    for case in cases() {
        let own = examples(&case, &json!({"messages": case.messages}), DataSettings::default());
        let theirs: Vec<_> = case.examples.iter().map(|of| (of.ids.clone(), marks(of))).collect();
        assert_eq!(own, theirs, "{} with thinking {}: {:?}", case.family, case.thinking, case.messages);
    }
}

#[test]
fn without_history_only_the_last_answer_is_learned() {
    for case in cases() {
        let settings = DataSettings { mask_history: true, ..DataSettings::default() };
        let own = examples(&case, &json!({"messages": case.messages}), settings);
        let last = case.examples.last().unwrap();
        let only = Expected { ids: last.ids.clone(), answers: vec![*last.answers.last().unwrap()] };
        assert_eq!(own, [(only.ids.clone(), marks(&only))], "{}: {:?}", case.family, case.messages);
    }
}

#[test]
fn the_same_conversation_in_sharegpts_form_is_the_same_example() {
    for case in cases() {
        let turns: Vec<Value> = case
            .messages
            .iter()
            .map(|message| {
                let from = match message["role"].as_str().unwrap() {
                    "user" => "human",
                    "assistant" => "gpt",
                    other => other,
                };
                json!({"from": from, "value": message["content"]})
            })
            .collect();
        let own = examples(&case, &json!({"conversations": turns}), DataSettings::default());
        let theirs: Vec<_> = case.examples.iter().map(|of| (of.ids.clone(), marks(of))).collect();
        assert_eq!(own, theirs, "{}: {:?}", case.family, case.messages);
    }
}
