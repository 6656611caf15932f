//! Special tokens that people write stay text.

use std::sync::LazyLock;

use lore_core::generate::{ChatOptions, Message, Role};
use lore_models::text::{ChatTemplate, GeneratorText};
use proptest::prelude::*;

use crate::families::{Family, families, family};

/// The special tokens of a chat, in order.
fn commands(text: &GeneratorText, ids: &[u32]) -> Vec<u32> {
    ids.iter().copied().filter(|id| text.is_special(*id)).collect()
}

fn chat(contents: &[String]) -> Vec<Message> {
    let roles = [Role::System, Role::User, Role::Assistant, Role::User, Role::Assistant, Role::User];
    roles.iter().zip(contents).map(|(role, content)| Message::new(*role, content.as_str())).collect()
}

/// The chat with contents that say nothing: its special tokens are the template's.
fn neutral(chat: &[Message]) -> Vec<Message> {
    chat.iter().map(|message| Message::new(message.role, "x")).collect()
}

/// Those with a template.
fn models() -> impl Iterator<Item = &'static (Family, GeneratorText)> {
    crate::families::models().iter().filter(|(family, _)| family.template.is_some())
}

/// The whole tokenizer and the template of each, one after the other, as transformers uses them.
fn references() -> &'static [(ChatTemplate, tokenizers::Tokenizer)] {
    static REFERENCES: LazyLock<Vec<(ChatTemplate, tokenizers::Tokenizer)>> = LazyLock::new(|| {
        let reference = |(family, _): &(Family, GeneratorText)| {
            let template = ChatTemplate::new(&family.template().unwrap(), family.names.clone()).unwrap();
            (template, tokenizers::Tokenizer::from_bytes(family.tokenizer_json().to_string()).unwrap())
        };
        models().step_by(2).map(reference).collect()
    });
    &REFERENCES
}

fn unharmed(family: &Family, text: &GeneratorText, messages: &[Message]) {
    let options = ChatOptions::default();
    let ids = text.encode_chat(messages, &options).unwrap();
    let honest = text.encode_chat(&neutral(messages), &options).unwrap();
    assert_eq!(commands(text, &ids), commands(text, &honest), "{}: {messages:?}", family.name);
    let decoded = text.decode(&ids);
    for message in messages.iter().filter(|message| message.role != Role::Assistant) {
        assert!(
            decoded.contains(message.content.trim()),
            "{}: {:?} is not in {decoded:?}",
            family.name,
            message.content
        );
    }
}

/// Pieces of which contents are made: whole names, names cut in two, what templates look for, and look-alikes.
fn pieces() -> Vec<String> {
    let mut pieces: Vec<String> = families().iter().flat_map(Family::special).collect();
    pieces.sort();
    pieces.dedup();
    for name in pieces.clone() {
        let middle = name.chars().count() / 2;
        pieces.push(name.chars().take(middle).collect());
        pieces.push(name.chars().skip(middle).collect());
        pieces.push(name.chars().take(1).collect());
        pieces.push(name.chars().skip(1).collect());
        pieces.push(name.replace('<', "\u{FF1C}").replace('>', "\u{FF1E}"));
        pieces.push(name.chars().flat_map(|c| [c, '\u{301}']).take(3).collect());
    }
    let others = [
        "<think>",
        "</think>",
        "<tool_response>",
        "</tool_response>",
        "<|file_sep|>",
        "\n",
        " ",
        "x",
        "system\n",
        "assistant\n",
        "/no_think",
        "\u{F0000}",
        "\u{F0001}",
        "\u{10FFFE}561\u{10FFFE}",
        "\u{10FFFE}2\u{10FFFE}",
        "\u{200B}",
        "龘",
        "<0x0A>",
        "{{ eos_token }}",
        "{% raw %}",
    ];
    pieces.extend(others.map(str::to_owned));
    pieces
}

#[test]
fn a_content_may_name_every_special_token() {
    for (family, text) in models() {
        for name in family.special() {
            let nested = format!("{}{name}{}", &name[..name.len() / 2], &name[name.len() / 2..]);
            for hostile in
                [name.clone(), format!("a{name}"), format!("{name}{name}"), nested, format!(" {name}\n")]
            {
                unharmed(family, text, &chat(&vec![hostile; 6]));
            }
            for cut in 1..name.len() {
                let (head, tail) = name.split_at(cut);
                let split: Vec<String> = [head, tail, head, tail, head, tail].map(str::to_owned).to_vec();
                unharmed(family, text, &chat(&split));
            }
        }
    }
}

#[test]
fn a_nested_token_is_text() {
    let text = family("qwen2.5").folder_text();
    let messages = [Message::new(Role::User, "<|im_<|im_end|>end|>")];
    let ids = text.encode_chat(&messages, &ChatOptions::default()).unwrap();
    let end = text.special("<|im_end|>").unwrap();
    assert_eq!(
        ids.iter().filter(|id| **id == end).count(),
        2,
        "one for the instructions, one for the question"
    );
    assert!(text.decode(&ids).contains("<|im_<|im_end|>end|>"));
}

#[test]
fn what_a_template_takes_out_leaves_no_token_behind() {
    let template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.replace('/no_think', '').strip() }}<|im_end|>\n{% endfor %}";
    let family = family("qwen2.5");
    let folder = family.folder();
    std::fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
    let text = GeneratorText::open(folder.path(), &Default::default()).unwrap();
    for role in [Role::System, Role::User, Role::Assistant] {
        let message = Message::new(role, "a <|im_/no_thinkend|> b");
        let ids = text.encode_chat(&[message], &ChatOptions::default()).unwrap();
        assert_eq!(commands(&text, &ids).len(), 2);
        assert!(text.decode(&ids).contains("a <|im_end|> b"));
    }
}

#[test]
fn a_token_that_normalisation_would_make_is_text() {
    let mut json = family("qwen3").tokenizer_json();
    json["normalizer"] = serde_json::json!({"type": "NFKC"});
    for token in json["added_tokens"].as_array_mut().unwrap() {
        token["normalized"] = true.into();
    }
    let folder = family("qwen3").folder();
    crate::families::write(folder.path(), "tokenizer.json", &json);
    let text = GeneratorText::open(folder.path(), &Default::default()).unwrap();
    let folded = "a \u{FF1C}|im_end|\u{FF1E} b";
    let ids = text.encode_chat(&[Message::new(Role::User, folded)], &ChatOptions::default()).unwrap();
    assert_eq!(commands(&text, &ids).len(), 3);
    assert!(text.decode(&ids).contains("a <|im_end|> b"), "folded, and still text");
    assert!(commands(&text, &text.encode(folded, false).unwrap()).is_empty());
}

#[test]
fn tokens_take_the_white_space_that_they_are_declared_to() {
    let mut json = family("qwen2.5").tokenizer_json();
    for token in json["added_tokens"].as_array_mut().unwrap() {
        let end = token["content"] == "<|im_end|>";
        token["lstrip"] = end.into();
        token["rstrip"] = (!end).into();
    }
    let folder = family("qwen2.5").folder();
    crate::families::write(folder.path(), "tokenizer.json", &json);
    let text = GeneratorText::open(folder.path(), &Default::default()).unwrap();
    let template = ChatTemplate::new(&family("qwen2.5").template().unwrap(), []).unwrap();
    let whole = tokenizers::Tokenizer::from_bytes(json.to_string()).unwrap();
    for content in ["a", " a ", "\n\n a <b> \n\n", ""] {
        let messages = chat(&vec![content.to_owned(); 4]);
        let rendered = template.render(&messages, &ChatOptions::default()).unwrap();
        let wanted = whole.encode(rendered, false).unwrap();
        assert_eq!(text.encode_chat(&messages, &ChatOptions::default()).unwrap(), wanted.get_ids());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn contents_make_no_special_tokens(
        contents in prop::collection::vec(
            prop::collection::vec(prop::sample::select(pieces()), 0..7).prop_map(|parts| parts.concat()),
            2..=6,
        ),
    ) {
        let mut messages = chat(&contents);
        if messages.len() % 2 == 1 {
            messages.pop();
        }
        for (family, text) in models() {
            let options = ChatOptions::default();
            let ids = text.encode_chat(&messages, &options).unwrap();
            let honest = text.encode_chat(&neutral(&messages), &options).unwrap();
            prop_assert_eq!(commands(text, &ids), commands(text, &honest), "{}", &family.name);
            for content in &contents {
                let plain = text.encode(content, false).unwrap();
                prop_assert!(commands(text, &plain).is_empty());
                prop_assert_eq!(text.count(content), plain.len());
            }
        }
    }

    #[test]
    fn other_contents_are_as_in_the_whole_text(
        contents in prop::collection::vec("(\\PC|[ \n<>|\\[\\]/]|im_end|<\\|){0,25}", 2..=6),
    ) {
        let mut messages = chat(&contents);
        if messages.len() % 2 == 1 {
            messages.pop();
        }
        // The models from folders come first of each pair.
        for ((family, text), (template, whole)) in models().step_by(2).zip(references()) {
            let names = family.special();
            prop_assume!(contents.iter().all(|content| names.iter().all(|name| !content.contains(name.as_str()))));
            let rendered = template.render(&messages, &ChatOptions::default()).unwrap();
            let whole = whole.encode(rendered, false).unwrap();
            let ids = text.encode_chat(&messages, &ChatOptions::default()).unwrap();
            prop_assert_eq!(ids, whole.get_ids(), "{}", family.name);
        }
    }
}
