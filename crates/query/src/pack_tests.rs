#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use lore_core::{DocumentId, GeneratorInfo, Parsed, Passage};
use proptest::prelude::*;

use super::*;

/// A model whose tokens are words, and that may refuse system messages.
fn generator(context_tokens: usize, system: bool) -> Generator {
    let info = GeneratorInfo {
        id: "words@test".into(),
        context_tokens,
        answer_style: lore_core::AnswerStyle::default(),
    };
    let encode = move |messages: &[Message], _: &ChatOptions| {
        if !system && messages[0].role == Role::System {
            let message = "no system messages".to_owned();
            return Err(ModelError::Refused { model: "words@test".into(), message });
        }
        let words: usize = messages.iter().map(|m| m.content.split_whitespace().count() + 4).sum();
        Ok((0..words as u32).collect())
    };
    Generator::channel(info, Arc::new(|t: &str| t.split_whitespace().count()), Arc::new(encode), 1).0
}

/// The `n`th passage: its document's text has 20 words before the passage's `lengths`, the words of its sentences.
fn found(n: usize, lengths: &[usize]) -> FoundPassage {
    let mut text = "Before. ".repeat(20);
    let start = text.chars().count();
    for length in lengths {
        text.push_str(&"Wört ".repeat(*length));
        text.push_str("Ende. ");
    }
    let end = text.trim_end().chars().count();
    let span = Span::new(start, end);
    let passage = Passage {
        marker: 0,
        document: DocumentId::from_source(&format!("upload:{n}")),
        version: 1,
        name: format!("{n}.md"),
        title: format!("Document {n}"),
        headings: Vec::new(),
        pages: None,
        span,
        text: span.slice(&text).unwrap().to_owned(),
        score: 1.0,
    };
    FoundPassage {
        passage,
        parsed: Arc::new(Parsed { text, ..Parsed::default() }),
        dense: None,
        lexical: None,
    }
}

fn turn(words: usize) -> Turn {
    Turn { question: "Why?".into(), answer: "word ".repeat(words) }
}

#[test]
fn a_template_without_system_messages_gets_them_in_the_first_user_message() {
    let passages = [found(0, &[5])];
    let parts = |history| ToPack {
        question: "How many?",
        history,
        passages: &passages,
        candidates: &[],
        max_tokens: 50,
    };
    let packed = pack(&generator(2000, false), &GenerateConfig::default(), &parts(&[])).unwrap();
    assert_eq!(packed.messages.len(), 1);
    let text = &packed.messages[0].content;
    assert!(
        text.starts_with("You answer questions") && text.contains("<passage n=\"1\" title=\"Document 0\">")
    );
}

#[test]
fn an_answer_takes_at_most_half_of_the_context() {
    let passages = [found(0, &[5])];
    let parts =
        ToPack { question: "How?", history: &[], passages: &passages, candidates: &[], max_tokens: 9000 };
    let packed = pack(&generator(1000, true), &GenerateConfig::default(), &parts).unwrap();
    assert_eq!(packed.max_tokens, 500);
}

proptest! {
    #[test]
    fn a_prompt_fits_and_its_passages_are_whole_sentences(
        lengths in proptest::collection::vec(proptest::collection::vec(1usize..60, 1..6), 1..8),
        turns in proptest::collection::vec(0usize..120, 0..4),
        context in 250usize..900,
        max_tokens in 1usize..200,
    ) {
        let passages: Vec<FoundPassage> = lengths.iter().enumerate().map(|(n, l)| found(n, l)).collect();
        let history: Vec<Turn> = turns.iter().map(|words| turn(*words)).collect();
        let parts = ToPack {
            question: "How many words?",
            history: &history,
            passages: &passages,
            candidates: &[],
            max_tokens,
        };
        let generator = generator(context, true);
        let packed = match pack(&generator, &GenerateConfig::default(), &parts) {
            Ok(packed) => packed,
            Err(ModelError::Refused { .. }) => return Ok(()),
            Err(other) => panic!("{other}"),
        };
        prop_assert!(packed.tokens.len() + packed.max_tokens <= context);
        let mut before = None;
        for (i, found) in packed.passages.iter().enumerate() {
            let passage = &found.passage;
            prop_assert_eq!(passage.marker as usize, i + 1);
            prop_assert_eq!(passage.span.slice(&found.parsed.text), Some(passage.text.as_str()));
            prop_assert!(passage.text.starts_with("Wört") && passage.text.ends_with("Ende."));
            let place = passages.iter().position(|p| p.passage.document == passage.document);
            prop_assert!(place > before);
            before = place;
        }
        // The same again is the same.
        prop_assert_eq!(pack(&generator, &GenerateConfig::default(), &parts).unwrap().tokens, packed.tokens);
    }
}
