//! Data: formats, masks, shortening, plain text, mixing, batches, and what a person sees of them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod batches;
mod cutoff;
mod documents;
#[allow(dead_code, reason = "it is shared with another crate's tests, which use more of it")]
#[path = "../../../models/tests/text/families.rs"]
mod families;
mod formats;
mod info;
mod loading;
mod masks;
mod show;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use lore_models::text::{GeneratorText, TextOptions};
use lore_train::TrainError;
use lore_train::config::Stage;
use lore_train::data::{DataSettings, DatasetSpec, Example, Loaded, PLAIN_TEMPLATE, load};
use serde_json::{Value, json};

/// A family's text by its name, opened once; those without a template have the plain one.
fn text(family: &str) -> &'static GeneratorText {
    static TEXTS: LazyLock<HashMap<String, GeneratorText>> = LazyLock::new(|| {
        let open = |family: families::Family| {
            let folder = family.folder();
            let options =
                TextOptions { fallback_template: Some(PLAIN_TEMPLATE.to_owned()), ..TextOptions::default() };
            (family.name.clone(), GeneratorText::open(folder.path(), &options).unwrap())
        };
        families::families().into_iter().map(open).collect()
    });
    &TEXTS[family]
}

/// A folder with files.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The file as a data set called `set`.
    fn spec(&self, name: &str) -> DatasetSpec {
        DatasetSpec::file("set", self.path(name))
    }

    fn settings(&self, name: &str) -> DataSettings {
        DataSettings { train: vec![self.spec(name)], ..DataSettings::default() }
    }
}

/// Examples of lines of JSON.
fn lines(values: &[Value]) -> String {
    values.iter().map(|value| format!("{value}\n")).collect()
}

fn sft(lines: &str, family: &str, change: impl FnOnce(&mut DataSettings)) -> Result<Loaded, TrainError> {
    let files = Files::new(&[("data.jsonl", lines)]);
    let mut settings = files.settings("data.jsonl");
    change(&mut settings);
    load(&settings, Stage::Sft, text(family))
}

/// A conversation in OpenAI's format: a question, an answer, and so on; `system` first where it is not empty.
fn chat(system: &str, contents: &[&str]) -> Value {
    let mut messages = Vec::new();
    if !system.is_empty() {
        messages.push(json!({"role": "system", "content": system}));
    }
    for (at, content) in contents.iter().enumerate() {
        messages.push(json!({"role": if at % 2 == 0 { "user" } else { "assistant" }, "content": content}));
    }
    json!({"messages": messages})
}

/// What is learned of an example, special tokens by name.
fn learned(example: &Example, text: &GeneratorText) -> String {
    let ids: Vec<u32> =
        (1..example.tokens.len()).filter(|at| example.labelled[*at]).map(|at| example.tokens[at]).collect();
    written(&ids, text)
}

/// Tokens as text, special ones by name.
fn written(ids: &[u32], text: &GeneratorText) -> String {
    let bytes: Vec<u8> = ids
        .iter()
        .flat_map(|id| text.name(*id).map_or_else(|| text.piece(*id), str::as_bytes))
        .copied()
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
