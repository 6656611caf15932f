//! Families on candle-transformers' nets against transformers: tiny random models made by `fixtures/other/make.py`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod decoder_support;

use std::path::{Path, PathBuf};

use decoder_support::{apart, largest};
use lore_models::decoder::{
    AnyDecoder, BLOCK_TOKENS, DecoderOptions, OtherDecoder, Quantize, StepError, Stretch, Want,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// Largest difference from transformers' logits, whose standard deviation is 0.16.
const APART: f32 = 2e-6;
const BLOCKS: usize = 12;

#[derive(Deserialize)]
struct Case {
    name: String,
    prompt: Vec<u32>,
    greedy: Vec<u32>,
    std: f32,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/other")
}

fn cases() -> Vec<Case> {
    serde_json::from_slice(&std::fs::read(fixtures().join("cases.json")).unwrap()).unwrap()
}

fn other(path: &Path, options: &DecoderOptions) -> OtherDecoder {
    match AnyDecoder::open(path, options).unwrap() {
        AnyDecoder::Other(other) => other.with_blocks(BLOCKS),
        AnyDecoder::Own(own) => panic!("{} runs on our own skeleton", own.id()),
    }
}

impl Case {
    fn decoder(&self) -> OtherDecoder {
        other(&fixtures().join(&self.name), &DecoderOptions::default())
    }

    fn expected(&self) -> Vec<Vec<f32>> {
        let bytes = std::fs::read(fixtures().join(format!("{}.safetensors", self.name))).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let logits = tensors.tensor("logits").unwrap();
        let values = logits.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        let values: Vec<f32> = values.collect();
        values.chunks(logits.shape()[1]).map(<[f32]>::to_vec).collect()
    }
}

/// A text in blocks of its own.
struct Text {
    tokens: Vec<u32>,
    read: usize,
    blocks: Vec<u32>,
}

impl Text {
    fn new(prompt: &[u32], first: u32) -> Self {
        Self { tokens: prompt.to_vec(), read: 0, blocks: (first..first + 3).collect() }
    }

    /// The next `count` tokens; the logits of the last where it is the text's last.
    fn part(&self, count: usize) -> Stretch<'_> {
        let end = (self.read + count).min(self.tokens.len());
        let want = if end == self.tokens.len() { Want::Last } else { Want::Nothing };
        Stretch { tokens: &self.tokens[self.read..end], start: self.read, blocks: &self.blocks, want }
    }
}

/// Writes each text on by `new` tokens, reading `chunk` tokens of each in a step.
fn write(decoder: &mut OtherDecoder, texts: &mut [Text], chunk: usize, new: usize) -> Vec<Vec<u32>> {
    let lengths: Vec<usize> = texts.iter().map(|text| text.tokens.len()).collect();
    loop {
        let open = |at: &usize| texts[*at].tokens.len() < lengths[*at] + new;
        let open: Vec<usize> = (0..texts.len()).filter(open).collect();
        if open.is_empty() {
            return texts.iter().zip(&lengths).map(|(text, from)| text.tokens[*from..].to_vec()).collect();
        }
        let step: Vec<Stretch<'_>> = open.iter().map(|at| texts[*at].part(chunk)).collect();
        let ends: Vec<(usize, bool)> =
            step.iter().map(|part| (part.start + part.tokens.len(), part.want == Want::Last)).collect();
        let logits = decoder.forward(&step).unwrap();
        let mut row = 0;
        for (at, (end, last)) in open.into_iter().zip(ends) {
            texts[at].read = end;
            if last {
                texts[at].tokens.push(largest(logits.row(row)));
                row += 1;
            }
        }
        assert_eq!(row, logits.rows());
    }
}

#[test]
fn logits_are_those_of_transformers() {
    let mut failures = Vec::new();
    let cases = cases();
    assert_eq!(cases.len(), 8);
    for case in cases {
        let (mut decoder, expected) = (case.decoder(), case.expected());
        let mut largest_off = 0f32;
        // Each token by itself, then prompts of several lengths at once.
        let all = Stretch { tokens: &case.prompt, start: 0, blocks: &[0, 1, 2], want: Want::All };
        let logits = decoder.forward(&[all]).unwrap();
        let rows: Vec<_> = (0..logits.rows()).map(|row| logits.row(row).to_vec()).collect();
        largest_off = largest_off.max(apart(&rows, &expected));
        for length in [1, 2, 15, 16, 17, case.prompt.len()] {
            let tokens = &case.prompt[..length];
            let at_once = Stretch { tokens, start: 0, blocks: &[3, 4, 5], want: Want::Last };
            let logits = decoder.forward(&[at_once]).unwrap();
            let off = apart(&[logits.row(0).to_vec()], &expected[length - 1..length]);
            largest_off = largest_off.max(off);
        }
        eprintln!("{}: largest difference {largest_off:.2e}", case.name);
        let most = APART * case.std / 0.16;
        if largest_off > most {
            failures.push(format!("{}: off by {largest_off:.2e}, more than {most:.2e}", case.name));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn greedy_text_is_that_of_transformers() {
    for case in cases() {
        for chunk in [5, 64] {
            let written =
                write(&mut case.decoder(), &mut [Text::new(&case.prompt, 0)], chunk, case.greedy.len());
            assert_eq!(written[0], case.greedy, "{} in pieces of {chunk}", case.name);
        }
    }
}

#[test]
fn texts_in_turn_are_those_alone() {
    for case in cases() {
        let mut decoder = case.decoder();
        let prompts = [&case.prompt[..], &case.prompt[..9], &case.prompt[3..20]];
        let alone: Vec<_> = prompts
            .iter()
            .map(|prompt| write(&mut case.decoder(), &mut [Text::new(prompt, 0)], 64, 12).remove(0))
            .collect();
        let mut texts: Vec<Text> =
            prompts.iter().enumerate().map(|(at, prompt)| Text::new(prompt, 3 * at as u32)).collect();
        assert_eq!(write(&mut decoder, &mut texts, 7, 12), alone, "{}", case.name);
        // One goes on from the first block of another, as the engine has it where texts begin alike.
        let mut first = Text::new(&case.prompt, 0);
        first.tokens.extend(&alone[0]);
        write(&mut decoder, std::slice::from_mut(&mut first), 64, 1);
        let mut second = Text::new(&first.tokens[..BLOCK_TOKENS], 4);
        second.tokens.extend(&case.prompt[..4]);
        let again = write(&mut case.decoder(), &mut [Text::new(&second.tokens, 0)], 64, 8);
        (second.read, second.blocks[0]) = (BLOCK_TOKENS, 0);
        assert_eq!(write(&mut decoder, &mut [second], 64, 8), again, "{}", case.name);
    }
}

#[test]
fn a_step_that_cannot_be_is_refused() {
    let case = &cases()[0];
    let mut decoder = case.decoder();
    let stretch = |tokens, start, blocks| Stretch { tokens, start, blocks, want: Want::Last };
    let mut refused = |stretch: Stretch<'_>| decoder.forward(&[stretch]).unwrap_err();
    assert!(matches!(refused(stretch(&[1; 33], 0, &[0])), StepError::Blocks { given: 1, needed: 2, .. }));
    assert!(matches!(refused(stretch(&[1], 0, &[12])), StepError::UnknownBlock { block: 12, .. }));
    assert!(matches!(refused(stretch(&[64], 0, &[0])), StepError::UnknownToken { token: 64, .. }));
    assert!(matches!(refused(stretch(&[1], 5, &[0])), StepError::Unread { start: 5, held: 0, .. }));
    let long = stretch(&[1; 97], 0, &[0, 1, 2, 3]);
    assert!(matches!(refused(long), StepError::TooLong { end: 97, context: 96, .. }));
    let written = write(&mut decoder, &mut [Text::new(&case.prompt, 0)], 64, case.greedy.len());
    assert_eq!(written[0], case.greedy, "after refusals");
}

/// A copy of the fixture `name` with other settings; an empty text takes one away.
fn changed(name: &str, changes: &[(&str, Value)]) -> tempfile::TempDir {
    let (from, folder) = (fixtures().join(name), tempfile::tempdir().unwrap());
    std::fs::copy(from.join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    let mut config: Value =
        serde_json::from_slice(&std::fs::read(from.join("config.json")).unwrap()).unwrap();
    let map = config.as_object_mut().unwrap();
    for (key, value) in changes {
        map.remove(*key);
        if *value != "" {
            map.insert((*key).to_owned(), value.clone());
        }
    }
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    folder
}

#[test]
fn the_context_ends_where_the_net_would_compute_something_else() {
    let context = |name: &str, changes: &[(&str, Value)], context: Option<usize>| {
        let folder = changed(name, changes);
        other(folder.path(), &DecoderOptions { context, ..DecoderOptions::default() }).context()
    };
    for name in ["phi3", "gemma2", "starcoder2"] {
        assert_eq!(context(name, &[], None), 96, "{name} ends with its window");
        assert_eq!(context(name, &[], Some(40)), 40);
    }
    assert_eq!(context("phi3", &[("sliding_window", Value::Null)], None), 128);
    assert_eq!(context("gemma3", &[], None), 128, "its net has the window");
    assert_eq!(context("olmo2", &[("max_position_embeddings", json!(100_000))], None), 8192);
    assert_eq!(context("olmo2", &[("max_position_embeddings", json!(100_000))], Some(9000)), 9000);
}

#[test]
fn settings_of_earlier_files_mean_the_same() {
    let changes = [
        ("rope_parameters", json!("")),
        ("layer_types", json!("")),
        ("rope_theta", json!(1e6)),
        ("rope_local_base_freq", json!(1e4)),
        ("sliding_window_pattern", json!(3)),
    ];
    let folder = changed("gemma3", &changes);
    let case = cases().into_iter().find(|case| case.name == "gemma3").unwrap();
    let mut decoder = other(folder.path(), &DecoderOptions::default());
    let written = write(&mut decoder, &mut [Text::new(&case.prompt, 0)], 64, case.greedy.len());
    assert_eq!(written[0], case.greedy);
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let refused = [
        (
            "phi3",
            json!({"model_type": "phi"}),
            "model_type \"phi\" (known are llama, mistral, qwen2, qwen3, gemma,",
        ),
        ("phi3", json!({"rope_scaling": {"type": "longrope"}}), "rope scaling \"longrope\""),
        ("phi3", json!({"hidden_act": "relu"}), "hidden_act \"relu\" (known for phi3 is silu)"),
        ("gemma", json!({"hidden_activation": "gelu"}), "hidden_activation \"gelu\""),
        ("gemma2", json!({"query_pre_attn_scalar": 24}), "query_pre_attn_scalar 24"),
        (
            "gemma3",
            json!({"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8, "rope_theta": 1e6}}}),
            "rope scaling \"linear\"",
        ),
        (
            "gemma3",
            json!({"layer_types": ["full_attention", "sliding_attention", "full_attention"]}),
            "layer_types that do not repeat",
        ),
        ("gemma3", json!({"num_key_value_heads": 2}), "2 key-value heads (known for gemma3_text is 1)"),
        ("olmo2", json!({"clip_qkv": 8.0}), "clip_qkv"),
        ("olmo2", json!({"num_attention_heads": 0}), "number of attention heads is 0"),
        ("olmo2", json!({"num_key_value_heads": 3}), "3 key-value heads do not divide 4"),
        ("olmo2", json!({"quantization_config": {"quant_method": "gptq"}}), "weights quantised by gptq"),
        ("glm4", json!({"vocab_size": 70}), "tensor model.embed_tokens.weight"),
        ("smollm3", json!({"num_hidden_layers": 3}), "tensor model.layers.2."),
    ];
    for (name, changes, expected) in refused {
        let changes: Vec<_> =
            changes.as_object().unwrap().iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        let folder = changed(name, &changes);
        let error = AnyDecoder::open(folder.path(), &DecoderOptions::default()).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
    let options = DecoderOptions { quantize: Some(Quantize::Q8_0), ..DecoderOptions::default() };
    let error = AnyDecoder::open(&fixtures().join("phi3"), &options).unwrap_err().to_string();
    assert!(error.contains("quantised weights"), "{error}");
}
