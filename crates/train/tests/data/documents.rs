//! Plain text, for the stage `pt`.

use lore_train::config::Stage;
use lore_train::data::{DataSettings, Loaded, load};
use serde_json::json;

use crate::{Files, lines, text, written};

fn pt(settings: &DataSettings, family: &str) -> Loaded {
    load(settings, Stage::Pt, text(family)).unwrap()
}

#[test]
fn documents_are_joined_by_the_end_token_and_cut() {
    let texts = ["One document.", "Another, which is longer than that.", "三"];
    let content: Vec<_> = texts.iter().map(|text| json!({"text": text, "documents": [text]})).collect();
    let files = Files::new(&[("data.jsonl", &lines(&content))]);
    for (family, begin, end) in [
        ("llama3", "<|begin_of_text|>", "<|end_of_text|>"),
        ("qwen2.5", "", "<|endoftext|>"),
        ("mistral-legacy", "<s>", "</s>"),
    ] {
        let settings = DataSettings { cutoff_len: 9, packing: true, ..files.settings("data.jsonl") };
        let loaded = pt(&settings, family);
        let whole: Vec<u32> = loaded.train.iter().flat_map(|piece| piece.tokens.clone()).collect();
        let space = if family == "mistral-legacy" { " " } else { "" };
        let wanted: String = texts.iter().map(|text| format!("{begin}{space}{text}{end}")).collect();
        let got = written(&whole, text(family));
        assert!(wanted.starts_with(&got) && wanted.len() - got.len() <= end.len(), "{family}: {got}");
        let (last, rest) = loaded.train.split_last().unwrap();
        assert!(rest.iter().all(|piece| piece.tokens.len() == 9) && last.tokens.len() <= 9, "{family}");
        assert!(loaded.train.iter().all(|piece| piece.labelled.iter().all(|labelled| *labelled)));
        assert!(loaded.train.iter().any(|piece| piece.documents == texts[1..]), "{family}");
    }
}

#[test]
fn without_packing_each_document_has_pieces_of_its_own() {
    let texts = ["One document.", "Another, which is longer than that."];
    let content: Vec<_> = texts.iter().map(|text| json!({"text": text})).collect();
    let files = Files::new(&[("data.jsonl", &lines(&content))]);
    let loaded = pt(&DataSettings { cutoff_len: 12, ..files.settings("data.jsonl") }, "llama3");
    let ids: Vec<&str> = loaded.train.iter().map(|piece| piece.id.as_str()).collect();
    assert!(ids.starts_with(&["set:1", "set:2", "set:2#2"]), "{ids:?}");
    for (nth, id) in ["set:1", "set:2"].into_iter().enumerate() {
        let own = loaded.train.iter().filter(|piece| piece.id.starts_with(id));
        let ids: Vec<u32> = own.flat_map(|piece| piece.tokens.clone()).collect();
        let written = written(&ids, text("llama3"));
        assert!(format!("<|begin_of_text|>{}<|end_of_text|>", texts[nth]).starts_with(&written), "{written}");
    }
}

#[test]
fn files_of_text_are_documents() {
    let stories =
        "One.\n<|endoftext|>\nTwo,\n\ntwo.\n<|endoftext|>\n\n<|endoftext|>\nThree <|endoftext|> three.";
    let files = Files::new(&[
        ("set/a.md", "# Title\n\nText.\n"),
        ("set/b.txt", stories),
        ("set/c.jsonl", "{\"text\": \"Four.\"}\n"),
    ]);
    let loaded = pt(&files.settings("set"), "qwen2.5");
    let found: Vec<(&str, String)> = loaded
        .train
        .iter()
        .map(|piece| (piece.id.as_str(), written(&piece.tokens, text("qwen2.5"))))
        .collect();
    let wanted = [
        ("set/a.md:1", "# Title\n\nText.\n<|endoftext|>"),
        ("set/b.txt:1", "One.\n<|endoftext|>"),
        ("set/b.txt:3", "Two,\n\ntwo.\n<|endoftext|>"),
        ("set/b.txt:9", "Three <|endoftext|> three.<|endoftext|>"),
        ("set/c.jsonl:1", "Four.<|endoftext|>"),
    ];
    assert_eq!(found, wanted.map(|(id, text)| (id, text.to_owned())));
    let end = text("qwen2.5").special("<|endoftext|>").unwrap();
    let ends = loaded.train[3].tokens.iter().filter(|id| **id == end).count();
    assert_eq!(ends, 1, "a name in a text is text");
}

#[test]
fn a_file_that_is_no_utf8_is_told_with_its_line() {
    let files = Files::new(&[("a.txt", "One.\n")]);
    std::fs::write(files.path("a.txt"), b"One.\nTwo.\nThr\xff\n").unwrap();
    let error = load(&files.settings("a.txt"), Stage::Pt, text("qwen2.5")).unwrap_err().to_string();
    assert!(error.contains("a.txt:3: is not UTF-8; save the file as UTF-8"), "{error}");
}

#[test]
fn a_long_text_has_the_tokens_of_the_whole() {
    let line = |at: usize| format!("Line {at} of the text, which documents say when the warranty ends?\n\n");
    let long: String = (0..4000).map(line).collect();
    let files = Files::new(&[("a.txt", &long)]);
    let settings = DataSettings { cutoff_len: 1 << 30, ..files.settings("a.txt") };
    for family in ["qwen2.5", "llama3", "smollm2"] {
        let tokens = &pt(&settings, family).train[0].tokens;
        let whole = text(family).encode(&long, true).unwrap();
        assert_eq!(tokens[..tokens.len() - 1], whole, "{family}");
    }
}

#[test]
fn the_column_of_prompts_is_the_text() {
    let files = Files::new(&[("data.jsonl", "{\"body\": \"One.\"}\n{\"body\": \"Two.\"}\n")]);
    for format in [lore_train::data::Format::Alpaca, lore_train::data::Format::Text] {
        let mut settings = files.settings("data.jsonl");
        settings.train[0].format = Some(format);
        settings.train[0].columns = vec![("prompt".to_owned(), "body".to_owned())];
        let loaded = pt(&settings, "qwen2.5");
        assert_eq!(written(&loaded.train[1].tokens, text("qwen2.5")), "Two.<|endoftext|>");
    }
}
