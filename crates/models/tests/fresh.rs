//! A model that is made from nothing.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;

use lore_core::AnswerStyle;
use lore_core::generate::{ChatOptions, Message, Role};
use lore_models::fresh::{FreshShape, create};
use lore_models::text::{GeneratorText, TextOptions};
use lore_models::training;

const SHAPE: FreshShape = FreshShape {
    vocabulary: 400,
    hidden: 64,
    layers: 2,
    heads: 4,
    kv_heads: 2,
    intermediate: 96,
    context: 512,
    tags: 0,
};

/// Texts in two languages.
fn texts() -> Vec<String> {
    vec![
        "An employee in Munich is entitled to 30 days of vacation per year. An employee in Leeds has 26 days.\n".repeat(20),
        "上海员工的试用期为 3 个月。上海员工每年享有 12 天年假。\n".repeat(20),
    ]
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap()))
        .collect()
}

#[test]
fn texts_and_a_shape_become_a_folder_that_training_and_serving_read() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("new");
    let made = create(&SHAPE, &texts(), &folder).unwrap();
    assert!(made.vocabulary > 259 && made.vocabulary <= 400, "{made:?}");
    assert!(made.tokens < made.characters / 3, "{made:?}");
    let names: Vec<String> = files(&folder).into_keys().collect();
    assert_eq!(names, ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]);

    let text = GeneratorText::open(&folder, &TextOptions::default()).unwrap();
    assert_eq!(text.vocabulary(), made.vocabulary);
    for words in ["An employee in Munich", "上海员工 12 天", "néw ẞ 🦀\r\n\t<|im_end|>"] {
        let tokens = text.encode(words, false).unwrap();
        assert_eq!(text.decode(&tokens), words);
    }
    // One token for a word that is seen often.
    assert_eq!(text.encode(" employee", false).unwrap().len(), 1);
    let chat = [Message::new(Role::System, "Be brief."), Message::new(Role::User, "How many days?")];
    let tokens = text.encode_chat(&chat, &ChatOptions::default()).unwrap();
    let told: String =
        tokens.iter().map(|id| text.name(*id).map_or_else(|| text.decode(&[*id]), str::to_owned)).collect();
    assert_eq!(
        told,
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHow many days?<|im_end|>\n<|im_start|>assistant\n"
    );
    assert_eq!(text.ends(), [0, 2]);

    let shape = training::shape(&folder).unwrap();
    assert_eq!((shape.vocabulary, shape.windows.len(), shape.hidden), (made.vocabulary, 2, 64));
}

#[test]
fn the_same_texts_give_the_same_files() {
    let place = tempfile::tempdir().unwrap();
    let (one, other) = (place.path().join("one"), place.path().join("other"));
    create(&SHAPE, &texts(), &one).unwrap();
    create(&SHAPE, &texts(), &other).unwrap();
    assert_eq!(files(&one), files(&other));
}

#[test]
fn nothing_is_left_of_what_failed_and_nothing_is_written_over() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("new");
    let told = create(&SHAPE, &[" \n".to_owned()], &folder).unwrap_err().to_string();
    assert!(told.contains("no text to learn a vocabulary from"), "{told}");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    create(&SHAPE, &texts(), &folder).unwrap();
    let told = create(&SHAPE, &texts(), &folder).unwrap_err().to_string();
    assert!(told.contains("exists already"), "{told}");
}

#[test]
fn a_model_that_points_has_a_token_for_each_tag() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("new");
    let made = create(&FreshShape { tags: 12, ..SHAPE }, &texts(), &folder).unwrap();
    assert!(made.vocabulary <= 400, "{made:?}");
    let text = GeneratorText::open(&folder, &TextOptions::default()).unwrap();
    assert_eq!(text.answer_style(), AnswerStyle::Quotes);
    // In what documents say as well as in what the model writes; a tag more is plain text.
    let lengths = ["[s1]", "[s12]", "[none]", "[s13]"].map(|tag| text.encode(tag, false).unwrap().len());
    assert_eq!(lengths[..3], [1, 1, 1]);
    assert!(lengths[3] > 1, "{lengths:?}");
    let chat = [Message::new(Role::System, "Be brief."), Message::new(Role::User, "How many days? [s1]")];
    let tokens = text.encode_chat(&chat, &ChatOptions::default()).unwrap();
    assert_eq!(text.decode(&tokens[..tokens.len() - 1]), "How many days? [s1]");
    assert_eq!(text.name(tokens[tokens.len() - 1]), Some("<|im_end|>"));
}
