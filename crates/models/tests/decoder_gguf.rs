//! Decoders over quantised GGUF files against the same blocks dequantised to f32.
#![allow(clippy::unwrap_used, reason = "tests")]

mod decoder_support;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use decoder_support::{Tensors, apart, folder, gguf, logits, open, relative};
use lore_models::decoder::{Decoder, DecoderOptions, KvType, Quantize};
use serde_json::json;

const HIDDEN: usize = 256;
const INNER: usize = 512;
const VOCABULARY: usize = 384;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD: usize = 64;
const LAYERS: usize = 2;

/// Normal numbers (Irwin-Hall of twelve) from splitmix64.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32
    }

    fn many(&mut self, count: usize, deviation: f32) -> Vec<f32> {
        (0..count).map(|_| ((0..12).map(|_| self.uniform()).sum::<f32>() - 6.0) * deviation).collect()
    }
}

fn tensors() -> Tensors {
    let mut noise = Noise(1);
    let mut tensors = Tensors::new();
    let mut matrix = |name: String, rows: usize, columns: usize| {
        // transformers' default. With weights that keep a vector's length, quantised activations alone cost 2.1e-2.
        let values = noise.many(rows * columns, 0.02);
        tensors.push((name, vec![rows, columns], values));
    };
    matrix("model.embed_tokens.weight".into(), VOCABULARY, HIDDEN);
    matrix("lm_head.weight".into(), VOCABULARY, HIDDEN);
    for layer in 0..LAYERS {
        for (name, rows, columns) in [
            ("self_attn.q_proj", HEADS * HEAD, HIDDEN),
            ("self_attn.k_proj", KV_HEADS * HEAD, HIDDEN),
            ("self_attn.v_proj", KV_HEADS * HEAD, HIDDEN),
            ("self_attn.o_proj", HIDDEN, HEADS * HEAD),
            ("mlp.gate_proj", INNER, HIDDEN),
            ("mlp.up_proj", INNER, HIDDEN),
            ("mlp.down_proj", HIDDEN, INNER),
        ] {
            matrix(format!("model.layers.{layer}.{name}.weight"), rows, columns);
        }
    }
    let mut norm = |name: String| {
        let values = noise.many(HIDDEN, 0.2).into_iter().map(|v| 1.0 + v).collect();
        tensors.push((name, vec![HIDDEN], values));
    };
    norm("model.norm.weight".into());
    for layer in 0..LAYERS {
        norm(format!("model.layers.{layer}.input_layernorm.weight"));
        norm(format!("model.layers.{layer}.post_attention_layernorm.weight"));
    }
    tensors
}

fn config() -> serde_json::Value {
    json!({
        "model_type": "llama", "rms_norm_eps": 1e-5, "hidden_size": HIDDEN, "intermediate_size": INNER,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
        "vocab_size": VOCABULARY, "max_position_embeddings": 128, "tie_word_embeddings": false,
    })
}

fn keys() -> Vec<(&'static str, Value)> {
    let whole = [
        ("embedding_length", HIDDEN),
        ("feed_forward_length", INNER),
        ("block_count", LAYERS),
        ("attention.head_count", HEADS),
        ("attention.head_count_kv", KV_HEADS),
        ("context_length", 128),
    ];
    let mut keys: Vec<_> = whole.map(|(key, value)| (key, Value::U32(value as u32))).into();
    keys.push(("attention.layer_norm_rms_epsilon", Value::F32(1e-5)));
    keys
}

#[test]
fn each_ggml_type_stays_near_its_dequantised_weights() {
    let original = tensors();
    let tokens: Vec<u32> = (0..64u32).map(|i| (i * i * 37 + i * 11 + 5) % VOCABULARY as u32).collect();
    let exact = logits(&open(decoder_support::folder(&config(), &original).path()), &tokens, 64);
    let mut failures = Vec::new();
    // The bars bound what quantised activations may cost; a type without one of its own has that of its neighbour.
    for (kind, most) in [
        (GgmlDType::F32, 1e-6),
        (GgmlDType::F16, 2e-2),
        (GgmlDType::BF16, 2e-2),
        (GgmlDType::Q8_0, 2e-2),
        (GgmlDType::Q6K, 2e-2),
        (GgmlDType::Q5K, 1e-1),
        (GgmlDType::Q4K, 1e-1),
        (GgmlDType::Q3K, 1e-1),
        (GgmlDType::Q2K, 1e-1),
        (GgmlDType::Q5_1, 1e-1),
        (GgmlDType::Q5_0, 1e-1),
        (GgmlDType::Q4_1, 1e-1),
        (GgmlDType::Q4_0, 1e-1),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        let held = decoder_support::gguf(&path, &keys(), &original, kind, HEAD);
        let decoder = open(&path);
        assert!(!decoder.config().tied && decoder.config().vocabulary == VOCABULARY);
        let dequantised = logits(&open(decoder_support::folder(&config(), &held).path()), &tokens, 64);
        let got = logits(&decoder, &tokens, 64);
        let (error, lost) = (relative(&got, &dequantised), relative(&dequantised, &exact));
        // A text may not depend on what is read beside it.
        let single = apart(&logits(&decoder, &tokens[..9], 1), &got[..9]);
        eprintln!(
            "{kind:?}: relative error {error:.2e} (the blocks themselves {lost:.2e}), one by one {single:.2e}"
        );
        if error > most {
            failures.push(format!("{kind:?}: {error:.2e} is more than {most:.0e}"));
        }
        // candle's kernels for the other types may differ from machine to machine.
        let own = matches!(
            kind,
            GgmlDType::F32
                | GgmlDType::F16
                | GgmlDType::BF16
                | GgmlDType::Q8_0
                | GgmlDType::Q6K
                | GgmlDType::Q4K
        );
        if own && single > 0.0 {
            failures.push(format!("{kind:?}: a token alone differs by {single:.2e} from one among others"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn weights_quantised_as_they_are_loaded_are_those_of_a_quantised_file() {
    let tensors = tensors();
    let folder = folder(&config(), &tensors);
    let file = folder.path().join("model.gguf");
    gguf(&file, &keys(), &tensors, GgmlDType::Q8_0, HEAD);
    let options =
        DecoderOptions { quantize: Some(Quantize::Q8_0), kv: KvType::F32, ..DecoderOptions::default() };
    let loaded = Decoder::open(folder.path(), &options).unwrap();
    assert!(loaded.id().ends_with("-q8_0"), "{}", loaded.id());
    let plain = open(folder.path());
    assert!(loaded.weight_bytes() * 3 < plain.weight_bytes());
    let tokens: Vec<u32> = (0..40).map(|i| i * 7 % VOCABULARY as u32).collect();
    assert_eq!(apart(&logits(&loaded, &tokens, 40), &logits(&open(&file), &tokens, 40)), 0.0);
}
