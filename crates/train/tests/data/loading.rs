//! All of it together: what is held out, mixed, counted and hashed.

use std::collections::HashSet;

use lore_train::config::Stage;
use lore_train::data::{DataSettings, Loaded, Mix, load};

use crate::{Files, chat, lines, sft, text};

fn many(name: &str, count: usize) -> String {
    lines(&(0..count).map(|at| chat("", &[&format!("{name} {at}?"), &format!("{at}")])).collect::<Vec<_>>())
}

fn ids(examples: &[lore_train::data::Example]) -> Vec<String> {
    examples.iter().map(|example| example.id.clone()).collect()
}

fn qwen(settings: &DataSettings) -> Loaded {
    load(settings, Stage::Sft, text("qwen2.5")).unwrap()
}

#[test]
fn the_held_out_part_is_on_no_other_side() {
    // Each question twice: copies stay together.
    let content = many("Q", 60).repeat(2);
    let loaded = sft(&content, "qwen2.5", |settings| settings.val_size = 0.2).unwrap();
    assert_eq!((loaded.train.len(), loaded.eval.len()), (96, 24));
    let tokens = |examples: &[lore_train::data::Example]| -> HashSet<Vec<u32>> {
        examples.iter().map(|example| example.tokens.clone()).collect()
    };
    assert!(tokens(&loaded.train).is_disjoint(&tokens(&loaded.eval)));
    let again = sft(&content, "qwen2.5", |settings| settings.val_size = 0.2).unwrap();
    assert_eq!(
        (&again.train, &again.eval, &again.report.hash),
        (&loaded.train, &loaded.eval, &loaded.report.hash)
    );
    let other = sft(&content, "qwen2.5", |settings| (settings.val_size, settings.seed) = (0.2, 1)).unwrap();
    assert_ne!(ids(&other.eval), ids(&loaded.eval));
    let number = sft(&content, "qwen2.5", |settings| settings.val_size = 10.0).unwrap();
    assert_eq!((number.train.len(), number.eval.len()), (110, 10));
    let error = sft(&many("Q", 3), "qwen2.5", |settings| settings.val_size = 3.0).unwrap_err().to_string();
    assert!(
        error.starts_with("val_size: 3 of 3 examples (3 different ones) leaves nothing to train on"),
        "{error}"
    );
}

#[test]
fn what_was_made_of_one_question_is_on_one_side() {
    let pair = |at: usize| {
        ["", ":without-source"].map(|end| {
            let mut line = chat("", &[&format!("{at}{end}?"), "Yes."]);
            line["id"] = format!("q{at}{end}").into();
            line
        })
    };
    let content = lines(&(0..40).flat_map(pair).collect::<Vec<_>>());
    let loaded = sft(&content, "qwen2.5", |settings| settings.val_size = 0.2).unwrap();
    assert_eq!((loaded.train.len(), loaded.eval.len()), (64, 16));
    let stems = |examples: &[lore_train::data::Example]| -> HashSet<String> {
        examples.iter().map(|example| example.id.replace(":without-source", "")).collect()
    };
    assert!(stems(&loaded.train).is_disjoint(&stems(&loaded.eval)));
    // Ids that are all the same say nothing.
    let same = content.replace("\"id\":\"q", "\"id\":\"q#");
    let loaded = sft(&same, "qwen2.5", |settings| settings.val_size = 0.2).unwrap();
    assert_eq!(loaded.eval.len(), 16);
}

#[test]
fn data_sets_are_mixed_and_cut() {
    let files =
        Files::new(&[("a.jsonl", &many("A", 40)), ("b.jsonl", &many("B", 10)), ("c.jsonl", &many("A", 2))]);
    let (mut a, mut b) = (files.spec("a.jsonl"), files.spec("b.jsonl"));
    (a.name, b.name) = ("a".to_owned(), "b".to_owned());
    let settings = DataSettings { train: vec![a, b], ..DataSettings::default() };
    let concat = qwen(&settings);
    assert_eq!(concat.train.len(), 50);
    assert_eq!((concat.train[0].id.as_str(), concat.train[49].id.as_str()), ("a:1", "b:10"));
    let first = qwen(&DataSettings { max_samples: Some(7), ..settings.clone() });
    assert_eq!(first.report.sets.iter().map(|set| set.records).collect::<Vec<_>>(), [7, 7]);
    assert_eq!(first.train.last().unwrap().id, "b:7");
    let over = qwen(&DataSettings { mix: Mix::InterleaveOver(vec![0.5, 0.5]), ..settings.clone() });
    assert_eq!(ids(&over.train).into_iter().collect::<HashSet<_>>().len(), 50);
    assert!(over.train.len() > 65, "the shorter one begins again: {}", over.train.len());
    let under = qwen(&DataSettings { mix: Mix::InterleaveUnder(vec![0.5, 0.5]), ..settings.clone() });
    assert_eq!(ids(&under.train).iter().filter(|id| id.starts_with("b:")).count(), 10);
    let mut sampled = settings.clone();
    sampled.train[0].samples = Some(5);
    let sampled = qwen(&sampled);
    assert_eq!(sampled.train.len(), 15);
    let mut leaky = settings.clone();
    leaky.eval = vec![files.spec("c.jsonl")];
    let leaky = qwen(&leaky);
    assert_eq!(leaky.eval.len(), 2);
    assert!(leaky.report.notes[0].starts_with("2 evaluation examples are trained on as well"));
    let error =
        load(&DataSettings { mix: Mix::InterleaveUnder(vec![1.0]), ..settings }, Stage::Sft, text("qwen2.5"));
    assert!(error.unwrap_err().to_string().starts_with("interleave_probs: there are 1 for 2 data sets"));
}

#[test]
fn the_data_hash_is_that_of_what_is_learned_and_not_of_where_it_stands() {
    let hash = |name: &str, content: &str, family: &str| {
        let files = Files::new(&[(name, content)]);
        let loaded = load(&files.settings(name), Stage::Sft, text(family)).unwrap();
        let all = loaded.train.into_iter().chain(loaded.eval);
        let tokens: Vec<_> = all.map(|example| (example.tokens, example.labelled)).collect();
        (loaded.report.hash, tokens)
    };
    let two = [chat("", &["Q", "A"]), chat("", &["R", "B"])];
    let (first, tokens) = hash("a.jsonl", &lines(&two), "qwen2.5");
    assert_eq!(first.len(), 64);
    let array = serde_json::to_string_pretty(&two).unwrap();
    assert_eq!(hash("b.json", &array, "qwen2.5"), (first.clone(), tokens.clone()));
    let (same, others) = hash("a.jsonl", &lines(&two), "llama3");
    assert!(same == first && others != tokens);
    let alpaca = "{\"instruction\": \"Q\", \"output\": \"A\"}\n{\"instruction\": \"R\", \"output\": \"B\"}\n";
    assert_eq!(hash("c.jsonl", alpaca, "qwen2.5"), (first.clone(), tokens));
    let changed = [chat("", &["Q", "A"]), chat("", &["R", "C"])];
    assert_ne!(hash("a.jsonl", &lines(&changed), "qwen2.5").0, first);
}

#[test]
fn the_report_counts() {
    let files = Files::new(&[("data.jsonl", &many("Q", 10)), ("eval.jsonl", &many("E", 2))]);
    let settings = DataSettings { eval: vec![files.spec("eval.jsonl")], ..files.settings("data.jsonl") };
    let loaded = qwen(&settings);
    let report = &loaded.report;
    assert_eq!((report.train.examples, report.eval.examples), (10, 2));
    assert_eq!(report.train.tokens, loaded.train.iter().map(|example| example.tokens.len()).sum::<usize>());
    assert_eq!(
        report.train.labels,
        loaded.train.iter().map(lore_train::data::Example::labels).sum::<usize>()
    );
    assert_eq!(
        report.sets.iter().map(|set| (set.eval, set.records)).collect::<Vec<_>>(),
        [(false, 10), (true, 2)]
    );
    let shown = report.to_string();
    assert!(shown.starts_with("train: 10 examples, ") && shown.contains("\neval: 2 examples, "), "{shown}");
}
