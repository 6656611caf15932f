//! The engine over a decoder that keeps one sequence.

use std::path::Path;

use lore_core::{GenerateEvent, Generation, Prompt};
use lore_models::decoder::{AnyDecoder, DecoderOptions};
use tokio::sync::mpsc::Receiver;

use super::super::{GeneratorOptions, spawn_raw};

fn decoder(name: &str) -> AnyDecoder {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures/other").join(name);
    AnyDecoder::open(&folder, &DecoderOptions::default()).unwrap()
}

fn read(mut events: Receiver<GenerateEvent>) -> (String, Generation) {
    let mut text = String::new();
    while let Some(event) = events.blocking_recv() {
        match event {
            GenerateEvent::Text(piece) => text.push_str(&piece),
            GenerateEvent::Done(generation) => return (text, generation),
            GenerateEvent::Failed(error) => panic!("{error}"),
        }
    }
    panic!("the text has no end: {text}");
}

#[test]
fn texts_of_another_family_asked_together_are_those_asked_alone() {
    for name in ["gemma3", "phi3"] {
        let options = GeneratorOptions { prefill_tokens_alone: 20, ..GeneratorOptions::default() };
        // All begin alike.
        let prompt = |from: u32| Prompt {
            tokens: (0..50).map(|at| (at * at + 3 * at + if at < 40 { 0 } else { from }) % 61 + 3).collect(),
            max_tokens: 12,
            ..Prompt::default()
        };
        let alone: Vec<String> = (0..4)
            .map(|from| read(spawn_raw(decoder(name), &options).generate(prompt(from)).unwrap()).0)
            .collect();
        let generator = spawn_raw(decoder(name), &options);
        assert_eq!(generator.info().context_tokens, if name == "phi3" { 96 } else { 128 });
        for _ in 0..2 {
            let asked: Vec<_> = (0..4).map(|from| generator.generate(prompt(from)).unwrap()).collect();
            for (events, alone) in asked.into_iter().zip(&alone) {
                let (text, done) = read(events);
                assert_eq!(&text, alone);
                assert_eq!((done.usage.prompt_tokens, done.usage.cached_tokens), (50, 0));
            }
        }
    }
}
