//! The formats of files.

use lore_train::TrainError;
use lore_train::config::Stage;
use lore_train::data::{DataSettings, DatasetSpec, Format, load};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{Files, chat, lines, sft, text, written};

/// The texts of examples as Qwen2.5 writes them.
fn chats(settings: &DataSettings) -> Vec<String> {
    let loaded = load(settings, Stage::Sft, text("qwen2.5")).unwrap();
    loaded.train.iter().map(|example| written(&example.tokens, text("qwen2.5"))).collect()
}

/// The text of a conversation as Qwen2.5 writes it.
fn qwen(turns: &[(&str, &str)]) -> String {
    turns.iter().map(|(role, content)| format!("<|im_start|>{role}\n{content}<|im_end|>\n")).collect()
}

fn one(line: &Value, change: impl FnOnce(&mut DatasetSpec)) -> String {
    let files = Files::new(&[("data.jsonl", &lines(std::slice::from_ref(line)))]);
    let mut settings = files.settings("data.jsonl");
    change(&mut settings.train[0]);
    chats(&settings).remove(0)
}

fn columns(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(role, name)| ((*role).to_owned(), (*name).to_owned())).collect()
}

#[test]
fn alpaca_has_instructions_inputs_history_and_columns() {
    let wanted = qwen(&[
        ("system", "S"),
        ("user", "h1"),
        ("assistant", "a1"),
        ("user", "Do\nthis"),
        ("assistant", "Done"),
    ]);
    let usual = json!({"instruction": "Do", "input": "this", "output": "Done", "system": "S", "history": [["h1", "a1"]]});
    assert_eq!(one(&usual, |_| ()), wanted);
    let other = json!({"p": "Do", "q": "this", "r": "Done", "s": "S", "h": [["h1", "a1"]]});
    let named = [("prompt", "p"), ("query", "q"), ("response", "r"), ("system", "s"), ("history", "h")];
    assert_eq!(one(&other, |spec| spec.columns = columns(&named)), wanted);
    let plain = json!({"prompt": "Do\nthis", "response": "Done", "system": "S", "history": [["h1", "a1"]]});
    assert_eq!(one(&plain, |_| ()), wanted);
    let null = json!({"instruction": "Do", "input": null, "output": "Done", "history": null, "system": "S", "more": 1});
    assert_eq!(one(&null, |_| ()), qwen(&[("system", "S"), ("user", "Do"), ("assistant", "Done")]));
}

#[test]
fn sharegpt_has_five_speakers_and_tags() {
    let line = json!({"system": "S", "tools": "[]", "conversations": [
        {"from": "human", "value": "Q"}, {"from": "function_call", "value": "{\"name\": \"f\"}"},
        {"from": "observation", "value": "42"}, {"from": "gpt", "value": "A"},
    ]});
    let wanted = qwen(&[
        ("system", "S"),
        ("user", "Q"),
        ("assistant", "{\"name\": \"f\"}"),
        ("user", "42"),
        ("assistant", "A"),
    ]);
    assert_eq!(one(&line, |_| ()), wanted);
    let line = json!({"turns": [
        {"who": "rules", "says": "S"}, {"who": "person", "says": "Q"}, {"who": "call", "says": "{\"name\": \"f\"}"},
        {"who": "result", "says": "42"}, {"who": "model", "says": "A"},
    ]});
    let named = [
        ("messages", "turns"),
        ("role_tag", "who"),
        ("content_tag", "says"),
        ("system_tag", "rules"),
        ("user_tag", "person"),
        ("assistant_tag", "model"),
        ("function_tag", "call"),
        ("observation_tag", "result"),
    ];
    assert_eq!(one(&line, |spec| spec.columns = columns(&named)), wanted);
}

#[test]
fn messages_have_roles_and_contents_in_parts() {
    let line = json!({"id": "own", "documents": ["d1@3", "d2@1"], "messages": [
        {"role": "developer", "content": "S"},
        {"role": "user", "content": [{"type": "text", "text": "Q"}, {"type": "text", "text": "?"}]},
        {"role": "assistant", "content": "A"},
    ]});
    let loaded = sft(&lines(&[line, chat("S", &["Q?", "A"])]), "qwen2.5", |_| ()).unwrap();
    let [first, second] = loaded.train.as_slice() else { panic!("{loaded:?}") };
    assert_eq!(
        (first.id.as_str(), first.documents.as_slice()),
        ("own", ["d1@3".to_owned(), "d2@1".to_owned()].as_slice())
    );
    assert_eq!((second.id.as_str(), second.documents.len()), ("set:2", 0));
    assert_eq!((&first.tokens, &first.labelled), (&second.tokens, &second.labelled));
    // Some files have the list under ShareGPT's name.
    let conversations = json!({"conversations": chat("S", &["Q?", "A"])["messages"]});
    assert_eq!(one(&conversations, |_| ()), written(&second.tokens, text("qwen2.5")));
}

#[test]
fn arrays_and_lines_give_the_same_examples() {
    let values: Vec<Value> = (0..5).map(|at| chat("", &[&format!("Q{at}"), &format!("A{at}")])).collect();
    let pretty = serde_json::to_string_pretty(&values).unwrap();
    let files = Files::new(&[
        ("a.json", &pretty),
        ("b.jsonl", &lines(&values)),
        ("c.json", &lines(&values)),
        ("d", &pretty),
    ]);
    let first = chats(&files.settings("a.json"));
    assert_eq!(first.len(), 5);
    for other in ["b.jsonl", "c.json", "d"] {
        assert_eq!(chats(&files.settings(other)), first, "{other}");
    }
}

#[test]
fn a_folder_is_all_its_files_in_order() {
    let line = |name: &str| lines(&[chat("", &[name, name])]);
    let files = Files::new(&[
        ("set/b.jsonl", &line("b")),
        ("set/a/x.json", &line("a")),
        ("set/.hidden/c.jsonl", "no"),
        ("set/readme.rst", "no"),
    ]);
    let loaded = load(&files.settings("set"), Stage::Sft, text("qwen2.5")).unwrap();
    let ids: Vec<&str> = loaded.train.iter().map(|example| example.id.as_str()).collect();
    assert_eq!(ids, ["set/a/x.json:1", "set/b.jsonl:1"]);
}

#[test]
fn every_bad_line_is_named() {
    let content = [
        r#"{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}"#,
        r#"{"messages": [{"role": "user", "content": "Q"}"#,
        r#"{"messages": [{"role": "user", "content": "Q"}]}"#,
        r#"{"messages": [{"role": "robot", "content": "Q"}, {"role": "assistant", "content": "A"}]}"#,
        r#"{"messages": [{"role": "user", "content": 7}, {"role": "assistant", "content": "A"}]}"#,
        r#"{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": ""}]}"#,
        r#"{"messages": "Q"}"#,
        r#"{"text": "Q"}"#,
        "[1]",
        "",
        r#"{"messages": [{"role": "assistant", "content": "A"}]}"#,
        r#"{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A", "tool_calls": [{}]}]}"#,
        r#"{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}], "tools": [{}]}"#,
        r#"{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant"}]}"#,
    ];
    let files = Files::new(&[("data.jsonl", &content.join("\n"))]);
    let settings = files.settings("data.jsonl");
    let error = load(&settings, Stage::Sft, text("qwen2.5")).unwrap_err();
    let TrainError::BadLines(bad) = &error else { panic!("{error}") };
    let told: Vec<(usize, &str)> = bad.first.iter().map(|bad| (bad.line, bad.message.as_str())).collect();
    let wanted = [
        (2, "is no JSON: EOF while parsing a list at column 46"),
        (3, "has no answer to learn"),
        (
            4,
            "message 1: \"role\" is \"robot\"; known are system, user, assistant, tool, function_call, developer, human, gpt",
        ),
        (5, "message 1: \"content\" is a number; it must be a text"),
        (6, "message 2: is an empty answer; there is nothing to learn"),
        (7, "\"messages\" is a text; it must be a list"),
        (8, "has no \"messages\"; its fields are [text]"),
        (9, "is no object"),
        (11, "begins with an answer; put the question before it, or a system message"),
        (
            12,
            "message 2: has \"tool_calls\", which chat templates are not given here; write the call into the content",
        ),
        (
            13,
            "has \"tools\", which chat templates are not given here; describe the tools in the system message",
        ),
        (14, "message 2: has no \"content\"; its fields are [role]"),
    ];
    assert_eq!(told, wanted);
    let whole = error.to_string();
    assert!(whole.starts_with("12 lines of the data cannot be used:\n"), "{whole}");
    assert!(whole.contains("data.jsonl:9: is no object\n"), "{whole}");
    assert!(whole.ends_with("\nmend them, or leave them out with skip_bad_lines: true"), "{whole}");
    let loaded =
        load(&DataSettings { skip_bad_lines: true, ..settings }, Stage::Sft, text("qwen2.5")).unwrap();
    assert_eq!((loaded.train.len(), loaded.report.bad.count), (1, 12));
    assert!(loaded.report.to_string().contains("12 bad lines skipped:\n"));
}

#[test]
fn many_bad_lines_are_counted() {
    let good = chat("", &["Q", "A"]).to_string();
    let content = format!("{good}\n{}", "{}\n".repeat(500));
    let error = sft(&content, "qwen2.5", |_| ()).unwrap_err().to_string();
    assert!(error.starts_with("500 lines"), "{error}");
    assert!(error.contains("\nand 450 more\n"), "{error}");
}

#[test]
fn a_templates_refusal_is_the_lines() {
    let line = json!({"messages": [
        {"role": "user", "content": "Q"}, {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"},
    ]});
    let error = sft(&lines(&[line]), "mistral", |_| ()).unwrap_err().to_string();
    assert!(
        error.contains("data.jsonl:1: the model's chat template refuses the chat: questions and answers"),
        "{error}"
    );
}

#[test]
fn what_is_no_data_set_says_what_to_do() {
    let files = Files::new(&[
        ("a.csv", "x"),
        ("b.jsonl", "{\"colour\": 1}\n"),
        ("c.jsonl", "{\n  \"text\": 1\n}\n"),
        ("d.md", "# Text\n"),
        ("e.jsonl", "\n"),
        ("f.jsonl", "{\"text\": \"plain\"}\n"),
        ("g.jsonl", "{\"prompt\": \"Q\", \"chosen\": \"A\", \"rejected\": \"B\"}\n"),
    ]);
    let told =
        |name: &str, stage| load(&files.settings(name), stage, text("qwen2.5")).unwrap_err().to_string();
    assert!(
        told("a.csv", Stage::Sft)
            .ends_with(".csv files are not read; write its examples as .jsonl, one object a line")
    );
    let unknown = told("b.jsonl", Stage::Sft);
    assert!(
        unknown.contains("b.jsonl:1: its fields [colour] are of no known format; name the format"),
        "{unknown}"
    );
    assert!(
        told("c.jsonl", Stage::Pt).contains("the object does not end on its line; write one object a line")
    );
    assert!(told("d.md", Stage::Sft).contains("is plain text, which stage: pt learns"));
    assert!(told("e.jsonl", Stage::Sft).starts_with("dataset: set gave no example to train on"));
    assert!(told("f.jsonl", Stage::Sft).contains("f.jsonl:1: is plain text, which stage: pt learns"));
    let pairs = told("g.jsonl", Stage::Sft);
    assert!(
        pairs.contains("g.jsonl:1: its lines have chosen and rejected answers, which the stages rm and dpo"),
        "{pairs}"
    );
    assert!(told("none.jsonl", Stage::Sft).contains("cannot read"));
    let chat = Files::new(&[("data.jsonl", &lines(&[chat("", &["Q", "A"])]))]);
    let error = load(&chat.settings("data.jsonl"), Stage::Pt, text("qwen2.5")).unwrap_err().to_string();
    assert!(error.contains("data.jsonl:1: is a conversation, which stage: sft learns"), "{error}");
}

#[test]
fn a_format_that_is_given_is_not_guessed() {
    let line = json!({"instruction": "Do", "output": "Done", "text": "Do. Done"});
    let files = Files::new(&[("data.jsonl", &lines(&[line]))]);
    let mut settings = files.settings("data.jsonl");
    let formats = |settings: &DataSettings, stage| {
        load(settings, stage, text("qwen2.5")).unwrap().report.sets[0].format
    };
    assert_eq!(formats(&settings, Stage::Sft), Some(Format::Alpaca));
    settings.train[0].format = Some(Format::Text);
    assert_eq!(formats(&settings, Stage::Pt), Some(Format::Text));
    assert!(load(&settings, Stage::Sft, text("qwen2.5")).is_err());
}

proptest! {
    /// Whatever stands in a file, there is an answer and no panic.
    #[test]
    fn any_file_is_read_or_refused(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "[", "]", "{", "}", ",", ":", "\"", "\\", "\n", " ", "1", "null", "\"messages\"", "\"role\"", "\"user\"",
            "\"assistant\"", "\"content\"", "\"text\"", "{\"instruction\": \"Q\", \"output\": \"A\"}", "\u{feff}", "<|endoftext|>",
            "{\"messages\": [{\"role\": \"user\", \"content\": \"Q\"}, {\"role\": \"assistant\", \"content\": \"A\"}]}",
        ]), 0..24),
        name in prop::sample::select(vec!["a.json", "a.jsonl", "a.txt", "a"]),
    ) {
        let files = Files::new(&[(name, &pieces.concat())]);
        for stage in [Stage::Sft, Stage::Pt] {
            for skip_bad_lines in [true, false] {
                let settings = DataSettings { skip_bad_lines, ..files.settings(name) };
                match load(&settings, stage, text("qwen2.5")) {
                    Ok(loaded) => prop_assert!(loaded.train.iter().all(|example| example.labels() > 0)),
                    Err(error) => prop_assert!(!error.to_string().is_empty()),
                }
            }
        }
    }
}
