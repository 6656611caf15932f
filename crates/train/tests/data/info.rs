//! `dataset_info.json`.

use lore_train::config::Stage;
use lore_train::data::{DataSettings, Format, load, resolve};
use serde_json::{Value, json};

use crate::{Files, text, written};

fn with(info: &Value) -> Files {
    let alpaca = "{\"instruction\": \"Q\", \"output\": \"A\"}\n";
    let turns =
        "[{\"turns\": [{\"who\": \"person\", \"says\": \"Q\"}, {\"who\": \"model\", \"says\": \"A\"}]}]";
    let openai = "{\"messages\": [{\"role\": \"user\", \"content\": \"Q\"}, {\"role\": \"assistant\", \"content\": \"A\"}]}\n";
    let renamed = "{\"ask\": \"Q\", \"say\": \"A\"}\n";
    Files::new(&[
        ("dataset_info.json", &info.to_string()),
        ("alpaca.jsonl", alpaca),
        ("turns.json", turns),
        ("openai.jsonl", openai),
        ("renamed.jsonl", renamed),
    ])
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn names_are_entries_or_files() {
    let files = with(&json!({
        "alpaca": {"file_name": "alpaca.jsonl"},
        "turns": {"file_name": "turns.json", "formatting": "sharegpt", "columns": {"messages": "turns"},
                  "tags": {"role_tag": "who", "content_tag": "says", "user_tag": "person", "assistant_tag": "model"}},
        "openai": {"file_name": "openai.jsonl", "formatting": "sharegpt", "columns": {"messages": "messages"},
                   "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}},
        "renamed": {"file_name": "renamed.jsonl", "columns": {"prompt": "ask", "response": "say"}, "num_samples": 3},
    }));
    let all = names(&["alpaca", "turns", "openai", "renamed", "openai.jsonl"]);
    let specs = resolve(files.path("").as_path(), &all).unwrap();
    assert_eq!(specs[2].format, Some(Format::Messages));
    assert_eq!((specs[3].samples, specs[4].name.as_str()), (Some(3), "openai.jsonl"));
    let loaded =
        load(&DataSettings { train: specs, ..DataSettings::default() }, Stage::Sft, text("llama3")).unwrap();
    assert_eq!(loaded.train.len(), 7);
    let first = written(&loaded.train[0].tokens, text("llama3"));
    assert!(loaded.train.iter().all(|example| written(&example.tokens, text("llama3")) == first));
}

#[test]
fn entries_that_cannot_be_used_say_why() {
    let files = with(&json!({
        "alpaca": {"file_name": "alpaca.jsonl"},
        "pairs": {"file_name": "alpaca.jsonl", "ranking": true},
        "kto": {"file_name": "alpaca.jsonl", "formatting": "sharegpt", "columns": {"messages": "m", "kto_tag": "label"}},
        "images": {"file_name": "alpaca.jsonl", "columns": {"images": "images"}},
        "hub": {"hf_hub_url": "somebody/something"},
        "gone": {"file_name": "gone.json"},
        "odd": {"file_name": "alpaca.jsonl", "colums": {}},
        "shape": {"file_name": "alpaca.jsonl", "formatting": "vicuna"},
        "column": {"file_name": "alpaca.jsonl", "columns": {"answer": "output"}},
    }));
    let told = |name: &str| resolve(files.path("").as_path(), &names(&[name])).unwrap_err().to_string();
    for (name, wanted) in [
        (
            "pairs",
            "\"pairs\" holds answers that are ranked (ranking: true), which the stages rm and dpo learn from",
        ),
        ("kto", "\"kto\" has the column kto_tag, which is for kto, not for the stages pt and sft"),
        ("images", "\"images\" has the column images, which is for a model with images"),
        ("hub", "\"hub\" comes from elsewhere (hf_hub_url); nothing is downloaded here"),
        ("gone", "gone.json, which is not there"),
        ("odd", "\"odd\" has the key colums, which is not known; known are file_name, formatting"),
        ("shape", "\"shape\" has the formatting \"vicuna\"; known are alpaca, sharegpt, openai and text"),
        ("column", "\"column\" has columns.answer; known are prompt, query, response"),
        ("alpacca", "there is no data set and no file called \"alpacca\"; did you mean \"alpaca\"?"),
    ] {
        assert!(told(name).contains(wanted), "{}", told(name));
    }
    let empty = Files::new(&[("x", "")]);
    let error = resolve(empty.path("").as_path(), &names(&["y"])).unwrap_err().to_string();
    assert!(error.contains("the folder has no dataset_info.json; name a file"), "{error}");
}
