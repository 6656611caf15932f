//! The engine over a real decoder with random weights.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use lore_core::generate::{ChatOptions, Message, Role};
use lore_core::{Form, GenerateEvent, Generation, Generator, Prompt, Sampling};
use lore_models::GeneratorText;
use lore_models::decoder::{Decoder, DecoderConfig, DecoderOptions, KvType, Rope, RopeScaling};
use lore_models::text::TextOptions;
use tokio::sync::mpsc::Receiver;

use super::super::markers::tests::{markers, valid};
use super::super::{GeneratorOptions, spawn, spawn_raw};

const VOCABULARY: usize = 97;

fn decoder() -> Arc<Decoder> {
    let config = DecoderConfig {
        architecture: "test".into(),
        vocabulary: VOCABULARY,
        hidden: 32,
        intermediate: 48,
        heads: 4,
        kv_heads: 2,
        head_dim: 8,
        windows: vec![None, Some(40)],
        norm_epsilon: 1e-5,
        rope: Rope { theta: 10_000.0, scaling: RopeScaling::Default },
        qkv_bias: false,
        output_bias: false,
        mlp_bias: false,
        qk_norm: false,
        tied: false,
        context: 512,
    };
    let options = DecoderOptions { kv: KvType::F32, ..DecoderOptions::default() };
    Arc::new(Decoder::random(config, 5, 0.3, GgmlDType::F32, &options).unwrap())
}

/// Room for `blocks` blocks.
fn options(decoder: &Decoder, blocks: usize) -> GeneratorOptions {
    let kv_bytes = (blocks * decoder.block_bytes()) as u64;
    GeneratorOptions { kv_bytes, prefill_tokens: 48, prefill_tokens_alone: 80, ..Default::default() }
}

fn read(events: &mut Receiver<GenerateEvent>) -> (String, Generation) {
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

fn run(generator: &Generator, prompt: &Prompt) -> (String, Generation) {
    read(&mut generator.generate(prompt.clone()).unwrap())
}

fn prompt(length: usize, from: usize, max_tokens: usize) -> Prompt {
    // Every third begins like another.
    let token = |at: usize| ((at * at + 3 * at + if at < 70 { from % 3 } else { from }) % VOCABULARY) as u32;
    Prompt { tokens: (0..length).map(token).collect(), max_tokens, ..Prompt::default() }
}

#[test]
fn the_likeliest_tokens_are_those_of_the_whole_sequence() {
    let decoder = decoder();
    let prompt = prompt(75, 0, 40);
    let (text, done) = run(&spawn_raw(decoder.clone(), &options(&decoder, 8)), &prompt);
    let (mut tokens, mut expected) = (prompt.tokens, String::new());
    for _ in 0..40 {
        let rows: Vec<Vec<f32>> = decoder.whole(&tokens, &[tokens.len()]).unwrap().to_vec2().unwrap();
        let (token, _) = rows[tokens.len() - 1].iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        tokens.push(token as u32);
        expected.push_str(&format!("<{token}>"));
    }
    assert_eq!(text, expected);
    assert_eq!((done.usage.prompt_tokens, done.usage.completion_tokens), (75, 40));
}

#[test]
fn texts_written_together_are_those_written_alone() {
    let decoder = decoder();
    let prompts: Vec<Prompt> = (0..9)
        .map(|from| {
            let mut prompt = prompt(60 + from * 13, from, 30 + from);
            if from % 2 == 1 {
                prompt.sampling =
                    Sampling { temperature: 0.9, top_p: 0.9, seed: Some(from as u64), ..Sampling::default() };
            }
            prompt
        })
        .collect();
    let alone: Vec<String> = prompts
        .iter()
        .map(|prompt| run(&spawn_raw(decoder.clone(), &options(&decoder, 16)), prompt).0)
        .collect();
    // So few blocks that some are read again.
    let generator = spawn_raw(decoder.clone(), &options(&decoder, 14));
    for _ in 0..2 {
        let mut asked: Vec<_> =
            prompts.iter().map(|prompt| generator.generate(prompt.clone()).unwrap()).collect();
        let together: Vec<String> = asked.iter_mut().map(|events| read(events).0).collect();
        assert_eq!(together, alone);
    }
}

/// One character a token, and a chat template.
fn text() -> Arc<GeneratorText> {
    let string = |text: &str| Value::String(text.to_owned());
    let tokens = ["<|im_end|>".to_owned(), "Ġ".to_owned(), "Ċ".to_owned()]
        .into_iter()
        .chain(('!'..='~').map(String::from))
        .map(Value::String);
    let kinds = std::iter::once(3).chain(std::iter::repeat_n(1, VOCABULARY - 1)).map(Value::I32);
    let template = "{% for message in messages %}{{ message.role }}: {{ message.content }}<|im_end|>{% endfor %}\
                    {% if add_generation_prompt %}assistant: {% endif %}";
    let metadata = HashMap::from([
        ("tokenizer.ggml.model".to_owned(), string("gpt2")),
        ("tokenizer.ggml.tokens".to_owned(), Value::Array(tokens.collect())),
        ("tokenizer.ggml.token_type".to_owned(), Value::Array(kinds.collect())),
        ("tokenizer.ggml.merges".to_owned(), Value::Array(Vec::new())),
        ("tokenizer.ggml.eos_token_id".to_owned(), Value::U32(0)),
        ("tokenizer.chat_template".to_owned(), string(template)),
    ]);
    Arc::new(GeneratorText::from_gguf(Path::new("test.gguf"), &metadata, &TextOptions::default()).unwrap())
}

#[test]
fn a_chat_is_answered_with_markers_that_exist() {
    let (decoder, text) = (decoder(), text());
    let generator = spawn(decoder.clone(), text.clone(), &options(&decoder, 16));
    assert_eq!(generator.info().context_tokens, 512);
    assert_eq!(generator.count_tokens("two words"), 9);
    let asked = [Message::new(Role::User, "What does the manual say about the pump's filter?")];
    let tokens = generator.encode_chat(&asked, &ChatOptions::default()).unwrap();
    let open = text.encode("[123", false).unwrap();
    let mut found = 0;
    for seed in 0..20 {
        let logit_bias = open.iter().map(|token| (*token, 4.0)).collect();
        let sampling = Sampling { temperature: 1.5, seed: Some(seed), logit_bias, ..Sampling::default() };
        let prompt = Prompt {
            tokens: tokens.clone(),
            sampling,
            max_tokens: 60,
            form: Some(Form::Marked(markers(12))),
            ..Prompt::default()
        };
        let (answer, done) = run(&generator, &prompt);
        assert!(valid(&answer, 12), "{answer}");
        found += answer.matches("[12]").count();
        assert_eq!(run(&generator, &prompt).0, answer, "the same seed");
        let cached = if seed == 0 { 0 } else { (tokens.len() - 1) / 32 * 32 };
        assert_eq!(done.usage.cached_tokens, cached);
    }
    assert!(found > 0);
    let refused =
        spawn_raw(decoder, &GeneratorOptions::default()).encode_chat(&asked, &ChatOptions::default());
    assert!(refused.unwrap_err().to_string().contains("without a tokenizer"));
}
