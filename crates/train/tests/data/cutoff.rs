//! What becomes of conversations that are too long.

use proptest::prelude::*;

use crate::{chat, learned, lines, sft, text, written};

fn words(name: &str, count: usize) -> String {
    (0..count).map(|at| format!("{name}{at} ")).collect()
}

#[test]
fn a_long_prompt_loses_its_middle() {
    let (system, question) = ("Answer from the passages.", words("w", 300) + "Which documents?");
    let line = lines(&[chat(system, &[&question, "Thirty days [1]."])]);
    for family in ["qwen2.5", "qwen3", "llama3", "mistral", "gpt2"] {
        let text = text(family);
        let whole = sft(&line, family, |settings| settings.cutoff_len = 1 << 20).unwrap();
        let loaded = sft(&line, family, |settings| settings.cutoff_len = 256).unwrap();
        let [example] = loaded.train.as_slice() else { panic!("{family}: {loaded:?}") };
        assert_eq!((example.tokens.len(), loaded.report.truncated), (256, 1), "{family}");
        let (short, long) = (written(&example.tokens, text), written(&whole.train[0].tokens, text));
        assert_eq!(learned(example, text), learned(&whole.train[0], text), "{family}");
        // The beginning, the question and the frame of the answer are there.
        assert!(
            short[..40] == long[..40] && short[short.len() - 60..] == long[long.len() - 60..],
            "{family}: {short}"
        );
        assert!(short.contains("Answer from the passages."), "{family}: {short}");
    }
}

#[test]
fn an_answer_loses_its_end_only_where_it_must_and_does_not_learn_to_end_there() {
    let line = lines(&[chat("", &["Which documents?", &words("w", 300)])]);
    let loaded = sft(&line, "llama3", |settings| settings.cutoff_len = 100).unwrap();
    let example = &loaded.train[0];
    assert_eq!(example.tokens.len(), 100);
    let said = learned(example, text("llama3"));
    assert!(said.starts_with("w0 w1 ") && !said.contains("<|eot_id|>"), "{said}");
    assert!(written(&example.tokens, text("llama3")).contains("Which documents?"));
}

#[test]
fn a_long_conversation_becomes_several_with_some_history() {
    let contents: Vec<String> = (0..24)
        .map(|at| format!("{} number {at}.", if at % 2 == 0 { "Question" } else { "Answer" }))
        .collect();
    let contents: Vec<&str> = contents.iter().map(String::as_str).collect();
    let line = lines(&[chat("Be brief.", &contents)]);
    for (family, several) in [("llama3", 4), ("qwen2.5", 4), ("qwen3", 12), ("mistral", 12)] {
        let whole = sft(&line, family, |settings| settings.cutoff_len = 1 << 20).unwrap();
        let loaded = sft(&line, family, |settings| settings.cutoff_len = 200).unwrap();
        let report = &loaded.report;
        assert_eq!((report.split, report.truncated == 0 || several == 12), (1, true), "{family}");
        assert!(loaded.train.iter().all(|example| example.tokens.len() <= 200), "{family}");
        assert!((2..=several).contains(&loaded.train.len()), "{family}: {}", loaded.train.len());
        let text = text(family);
        let all = |loaded: &lore_train::data::Loaded| -> String {
            loaded.train.iter().map(|example| learned(example, text)).collect()
        };
        assert_eq!(all(&loaded), all(&whole), "{family}: each answer is learned once");
        for (nth, example) in loaded.train.iter().enumerate() {
            let written = written(&example.tokens, text);
            assert!(written.contains("Be brief."), "{family}: {written}");
            if nth > 0 {
                let first = learned(example, text);
                let number: usize =
                    first.split("number ").nth(1).unwrap().split('.').next().unwrap().parse().unwrap();
                assert!(written.contains(&format!("Answer number {}.", number - 2)), "{family}: {written}");
            }
        }
    }
}

#[test]
fn what_would_learn_nothing_is_left_out_and_told() {
    let long = chat(&words("s", 20), &["Which documents?", "A"]);
    let lines = lines(&[long, chat("", &["Q", "A"])]);
    let loaded = sft(&lines, "llama3", |settings| settings.cutoff_len = 24).unwrap();
    assert_eq!((loaded.train.len(), loaded.report.dropped.count), (1, 1));
    let told = loaded.report.dropped.to_string();
    assert!(
        told.contains("data.jsonl:1: has")
            && told.contains("none would be learned under cutoff_len 24; raise it"),
        "{told}"
    );
    let error = sft(&lines, "llama3", |settings| settings.cutoff_len = 3).unwrap_err().to_string();
    assert!(error.contains("gave no example to train on") && error.contains("2 left out"), "{error}");
    assert!(
        sft(&lines, "llama3", |settings| settings.cutoff_len = 1)
            .unwrap_err()
            .to_string()
            .starts_with("cutoff_len: ")
    );
}

proptest! {
    #[test]
    fn examples_fit_and_learn_something(
        contents in prop::collection::vec("[a-z é🙂\n]{1,120}[a-z]", 2..8),
        system in "[a-z ]{0,60}",
        cutoff in 8usize..160,
        family in prop::sample::select(vec!["qwen2.5", "qwen3", "llama3", "mistral", "gpt2"]),
    ) {
        let contents: Vec<&str> = contents.iter().map(String::as_str).take(contents.len() / 2 * 2).collect();
        let line = lines(&[chat(&system, &contents)]);
        if let Ok(loaded) = sft(&line, family, |settings| settings.cutoff_len = cutoff) {
            for example in &loaded.train {
                prop_assert!(example.tokens.len() <= cutoff);
                prop_assert_eq!(example.labelled.len(), example.tokens.len());
                prop_assert!(example.labels() > 0);
            }
        }
    }
}
