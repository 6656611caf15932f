//! What a person sees of an example.

use lore_train::data::{Example, show};
use serde_json::json;

use crate::{lines, sft, text};

fn example() -> Example {
    let line = json!({"id": "q-7", "documents": ["d1@3"], "messages": [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "One\u{1b}[31m?"},
        {"role": "assistant", "content": "Yes\nit is"},
    ]});
    sft(&lines(&[line]), "qwen2.5", |_| ()).unwrap().train.remove(0)
}

#[test]
fn a_terminal_shows_what_is_not_learned_in_grey() {
    let example = example();
    let shown = show(&example, text("qwen2.5"), true);
    let (head, rest) = shown.split_once("\n\n").unwrap();
    let (tokens, labels) = (example.tokens.len(), example.labels());
    let share = (100.0 * labels as f64 / tokens as f64).round();
    assert_eq!(head, format!("q-7: {tokens} tokens, {labels} learned ({share} %)\nmade from d1@3"));
    let (said, ids) = rest.split_once("\n\n").unwrap();
    let (dim, plain) = ("\u{1b}[2m", "\u{1b}[0m");
    assert_eq!(
        said,
        format!(
            "{dim}<|im_start|>system{plain}\n{dim}S<|im_end|>{plain}\n{dim}<|im_start|>user{plain}\n\
             {dim}One␛[31m?<|im_end|>{plain}\n{dim}<|im_start|>assistant{plain}\n{dim}{plain}Yes\nit is<|im_end|>\n"
        )
        .trim_end_matches('\n')
    );
    assert_eq!(ids.matches(dim).count(), 1);
}

#[test]
fn without_colour_there_are_marks() {
    let example = example();
    let shown = show(&example, text("qwen2.5"), false);
    assert!(!shown.contains('\u{1b}'));
    assert!(shown.contains("<|im_start|>assistant\n⟦Yes\nit is<|im_end|>\n⟧\n\n"), "{shown}");
    let ids = shown.trim_end().rsplit("\n\n").next().unwrap();
    assert_eq!(ids.split(' ').count(), example.tokens.len());
    assert_eq!(ids.matches('*').count(), example.labels());
    let empty = Example::default();
    assert!(show(&empty, text("qwen2.5"), false).starts_with(": 0 tokens, 0 learned (0 %)\n"));
}
