//! The decoder against transformers: tiny random models of each family, made by `fixtures/decoder/make.py`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod decoder_support;

use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use decoder_support::{Sequence, Tensors, apart, continuation, fixtures, greedy, largest, logits, open};
use lore_models::decoder::{Decoder, DecoderConfig, RopeScaling, Stretch, Want};
use lore_models::weights::{DecoderWeights, RawMatrix};
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
        open(self.folder().path())
    }

    fn folder(&self) -> tempfile::TempDir {
        let from = fixtures().join(&self.folder);
        let folder = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(&from).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
        std::fs::copy(from.join(&self.config), folder.path().join("config.json")).unwrap();
        folder
    }

    /// The model as f32 tensors and what its configuration says.
    fn tensors(&self) -> (Tensors, DecoderConfig) {
        let folder = self.folder();
        let weights = DecoderWeights::open(folder.path()).unwrap();
        let config = weights.config().unwrap();
        let (files, mut tensors) = (std::fs::read_dir(folder.path()).unwrap(), Tensors::new());
        for file in files
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension() == Some("safetensors".as_ref()))
        {
            let bytes = std::fs::read(file).unwrap();
            for (name, view) in safetensors::SafeTensors::deserialize(&bytes).unwrap().tensors() {
                let shape = view.shape().to_vec();
                let values = match shape[..] {
                    [length] => weights.vector(&name, length).unwrap(),
                    [rows, columns] => match weights.matrix(&name, rows, columns).unwrap() {
                        RawMatrix::F32(values) => values,
                        RawMatrix::Bf16(values) => values.into_iter().map(f32::from).collect(),
                        other => panic!("{other:?}"),
                    },
                    _ => panic!("{name}"),
                };
                tensors.push((name, shape, values));
            }
        }
        (tensors, config)
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

/// The frequencies' divisors of Llama 3.1, as llama.cpp's converter writes them into `rope_freqs.weight`.
fn llama3_divisors(config: &DecoderConfig) -> Option<Vec<f32>> {
    let RopeScaling::Llama3 {
        factor,
        low_frequency_factor: low,
        high_frequency_factor: high,
        original_context,
    } = config.rope.scaling
    else {
        return None;
    };
    let divisor = |i: usize| {
        let length = std::f64::consts::TAU * config.rope.theta.powf((2 * i) as f64 / config.head_dim as f64);
        let turns = original_context as f64 / length;
        let blend = ((turns - low) / (high - low)).clamp(0.0, 1.0);
        (1.0 / ((1.0 - blend) / factor + blend)) as f32
    };
    Some((0..config.head_dim / 2).map(divisor).collect())
}

#[test]
fn the_same_models_as_gguf_files_give_the_same_logits() {
    for case in cases() {
        let (mut tensors, config) = case.tensors();
        // Neither architecture has a key for windows that some layers have and some do not.
        if config.architecture == "qwen2" {
            continue;
        }
        let whole = [
            ("embedding_length", config.hidden),
            ("feed_forward_length", config.intermediate),
            ("block_count", config.layers()),
            ("attention.head_count", config.heads),
            ("attention.head_count_kv", config.kv_heads),
            ("attention.key_length", config.head_dim),
            ("attention.value_length", config.head_dim),
            ("attention.sliding_window", config.windows[0].unwrap_or(0)),
            ("rope.dimension_count", config.head_dim),
            ("context_length", config.context),
        ];
        let mut keys: Vec<_> = whole.map(|(key, value)| (key, Value::U32(value as u32))).into();
        keys.push(("attention.layer_norm_rms_epsilon", Value::F32(config.norm_epsilon)));
        keys.push(("rope.freq_base", Value::F32(config.rope.theta as f32)));
        let scaling = match config.rope.scaling {
            RopeScaling::Linear { factor } => Some(("linear", factor)),
            RopeScaling::Yarn { factor, original_context, .. } => {
                keys.push(("rope.scaling.original_context_length", Value::U32(original_context as u32)));
                Some(("yarn", factor))
            }
            _ => None,
        };
        if let Some((kind, factor)) = scaling {
            keys.push(("rope.scaling.type", Value::String(kind.into())));
            keys.push(("rope.scaling.factor", Value::F32(factor as f32)));
        }
        if let Some(divisors) = llama3_divisors(&config) {
            tensors.push(("rope_freqs.weight".into(), vec![divisors.len()], divisors));
        }
        let architecture = if config.qk_norm { "qwen3" } else { "llama" };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        let kind = GgmlDType::F32;
        decoder_support::gguf_of(architecture, &path, &keys, &tensors, kind, config.head_dim);
        let decoder = open(&path);
        assert_eq!(
            (decoder.config().tied, decoder.config().qkv_bias, decoder.config().mlp_bias),
            (config.tied, config.qkv_bias, config.mlp_bias),
            "{}",
            case.name
        );
        let off = apart(&logits(&decoder, &case.prompt, case.prompt.len()), &case.expected());
        let most = 2e-6 * case.std / 0.16;
        assert!(off <= most, "{}: off by {off:.2e}, more than {most:.2e}", case.name);
    }
}
