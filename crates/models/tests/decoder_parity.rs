//! The decoder against transformers: tiny random models of each family, made by `fixtures/decoder/make.py`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod decoder_support;

use std::path::Path;

use decoder_support::{Sequence, apart, continuation, fixtures, greedy, largest, logits, open};
use lore_models::decoder::{Decoder, Stretch, Want};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    folder: String,
    config: String,
    prompt: Vec<u32>,
    greedy: Vec<u32>,
    std: f32,
}

fn cases() -> Vec<Case> {
    serde_json::from_slice(&std::fs::read(fixtures().join("cases.json")).unwrap()).unwrap()
}

impl Case {
    fn decoder(&self) -> Decoder {
        let from = fixtures().join(&self.folder);
        let folder = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(&from).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
        std::fs::copy(from.join(&self.config), folder.path().join("config.json")).unwrap();
        open(folder.path())
    }

    /// What transformers computed in f64, stored as f32.
    fn expected(&self) -> Vec<Vec<f32>> {
        read_logits(&fixtures().join(format!("{}.safetensors", self.name)))
    }
}

fn read_logits(path: &Path) -> Vec<Vec<f32>> {
    let bytes = std::fs::read(path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let logits = tensors.tensor("logits").unwrap();
    let values: Vec<f32> =
        logits.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    values.chunks(logits.shape()[1]).map(<[f32]>::to_vec).collect()
}

#[test]
fn logits_are_those_of_transformers() {
    let mut failures = Vec::new();
    let cases = cases();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let decoder = case.decoder();
        let off = apart(&logits(&decoder, &case.prompt, case.prompt.len()), &case.expected());
        let most = 2e-6 * case.std / 0.16;
        eprintln!("{}: largest difference {off:.2e}", case.name);
        if off > most {
            failures.push(format!("{}: off by {off:.2e}, more than {most:.2e}", case.name));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn greedy_text_is_that_of_transformers() {
    for case in cases() {
        let count = case.greedy.len();
        assert_eq!(count, 64);
        assert_eq!(continuation(&case.decoder(), &case.prompt, count), case.greedy, "{}", case.name);
    }
}

#[test]
fn a_prompt_read_in_chunks_gives_the_logits_of_the_whole() {
    for case in cases() {
        let decoder = case.decoder();
        let whole = logits(&decoder, &case.prompt, case.prompt.len());
        for chunk in [1, 7, 16, 32, 33] {
            let off = apart(&logits(&decoder, &case.prompt, chunk), &whole);
            assert!(off <= 2e-6, "{} in chunks of {chunk}: off by {off:.2e}", case.name);
        }
    }
}

#[test]
fn eight_prompts_together_give_what_each_gives_alone() {
    const NEW: usize = 24;
    for case in cases() {
        let decoder = case.decoder();
        let vocabulary = decoder.config().vocabulary as u32;
        let prompts: Vec<Vec<u32>> = (0..8u32)
            .map(|i| (0..9 + 6 * i).map(|j| (i * 41 + j * j * 17 + j * 5 + 3) % vocabulary).collect())
            .collect();
        let mut first = 0;
        let mut together: Vec<Sequence> = prompts
            .iter()
            .map(|prompt| {
                let sequence = Sequence::new(prompt, first, prompt.len() + NEW);
                first += sequence.blocks.len() as u32;
                sequence
            })
            .collect();
        let mut cache = decoder.cache(first as usize);
        let step: Vec<Stretch<'_>> = together.iter().map(|sequence| sequence.rest(Want::All)).collect();
        let logits_together = decoder.forward(&step, &mut cache).unwrap();
        let mut row = 0;
        for prompt in &prompts {
            let alone = logits(&decoder, prompt, prompt.len());
            let rows: Vec<_> = (0..prompt.len()).map(|i| logits_together.row(row + i).to_vec()).collect();
            let off = apart(&rows, &alone);
            assert!(off <= 2e-6, "{}: off by {off:.2e}", case.name);
            row += prompt.len();
        }
        let texts = greedy(&decoder, &mut together, &mut cache, NEW);
        for (prompt, text) in prompts.iter().zip(&texts) {
            let alone = continuation(&decoder, prompt, NEW);
            // Two tokens may tie to within rounding; then the first difference must be such a tie.
            if let Some(place) = alone.iter().zip(text).position(|(a, b)| a != b) {
                let tokens: Vec<u32> = prompt.iter().chain(&alone[..place]).copied().collect();
                let row = logits(&decoder, &tokens, tokens.len()).pop().unwrap();
                let lead = row[largest(&row) as usize] - row[text[place] as usize];
                assert!(lead <= 2e-6, "{}: {alone:?} alone, {text:?} together", case.name);
            }
        }
    }
}
