//! A pretrained model of 260,032 parameters (stories260K of llama2.c) against a plain reference in f32.
//!
//! Needs `../shared/data/stories260k/stories260K.bin` beside the repository; without it the tests say so and pass.
#![allow(clippy::unwrap_used, reason = "tests")]

mod decoder_support;

use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use decoder_support::{Tensors, apart, continuation, halved, largest, logits, open};
use serde_json::json;

/// "Once upon a time" after the token that begins a text.
const PROMPT: [u32; 5] = [1, 403, 407, 261, 378];

/// A file of llama2.c: seven numbers, then the weights of all layers, kind by kind.
struct Stories {
    dim: usize,
    hidden: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    vocabulary: usize,
    context: usize,
    embedding: Vec<f32>,
    attention_norm: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    o: Vec<f32>,
    mlp_norm: Vec<f32>,
    gate: Vec<f32>,
    down: Vec<f32>,
    up: Vec<f32>,
    norm: Vec<f32>,
}

fn stories() -> Option<Stories> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/stories260k/stories260K.bin");
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("SKIPPED: {} is not there", path.display());
        return None;
    };
    let numbers: Vec<[u8; 4]> = bytes.as_chunks::<4>().0.to_vec();
    let head: Vec<usize> = numbers[..7].iter().map(|b| i32::from_le_bytes(*b) as usize).collect();
    let [dim, hidden, layers, heads, kv_heads, vocabulary, context] = head[..] else { return None };
    let mut rest = numbers[7..].iter().map(|b| f32::from_le_bytes(*b));
    let mut take = |count: usize| rest.by_ref().take(count).collect::<Vec<f32>>();
    let kv = dim / heads * kv_heads;
    Some(Stories {
        dim,
        hidden,
        layers,
        heads,
        kv_heads,
        vocabulary,
        context,
        embedding: take(vocabulary * dim),
        attention_norm: take(layers * dim),
        q: take(layers * dim * dim),
        k: take(layers * kv * dim),
        v: take(layers * kv * dim),
        o: take(layers * dim * dim),
        mlp_norm: take(layers * dim),
        gate: take(layers * hidden * dim),
        down: take(layers * dim * hidden),
        up: take(layers * hidden * dim),
        norm: take(dim),
    })
}

/// `W x` for `W` of `[out.len(), x.len()]`.
fn multiply(out: &mut [f32], weights: &[f32], x: &[f32]) {
    for (out, row) in out.iter_mut().zip(weights.chunks_exact(x.len())) {
        *out = row.iter().zip(x).map(|(w, x)| w * x).sum();
    }
}

fn normed(x: &[f32], weight: &[f32]) -> Vec<f32> {
    let mean = x.iter().map(|v| v * v).sum::<f32>() / x.len() as f32;
    let scale = 1.0 / (mean + 1e-5).sqrt();
    x.iter().zip(weight).map(|(x, w)| x * scale * w).collect()
}

/// Neighbours rotated against each other, as llama2.c orders q and k.
fn rotate(heads: &mut [f32], head: usize, position: usize) {
    for values in heads.chunks_exact_mut(head) {
        for (pair, two) in values.chunks_exact_mut(2).enumerate() {
            let angle = position as f32 / 10_000f32.powf((2 * pair) as f32 / head as f32);
            let (sine, cosine) = angle.sin_cos();
            (two[0], two[1]) = (two[0] * cosine - two[1] * sine, two[0] * sine + two[1] * cosine);
        }
    }
}

impl Stories {
    fn head(&self) -> usize {
        self.dim / self.heads
    }

    /// One token's logits; `past` holds each layer's keys and values.
    fn step(&self, token: u32, past: &mut [(Vec<f32>, Vec<f32>)]) -> Vec<f32> {
        let (dim, hidden, head) = (self.dim, self.hidden, self.head());
        let kv = head * self.kv_heads;
        let mut x = self.embedding[token as usize * dim..][..dim].to_vec();
        for (layer, (keys, values)) in past.iter_mut().enumerate() {
            let part = |all: &[f32], size: usize| all[layer * size..][..size].to_vec();
            let input = normed(&x, &part(&self.attention_norm, dim));
            let position = keys.len() / kv;
            let (mut q, mut k, mut v) = (vec![0.0; dim], vec![0.0; kv], vec![0.0; kv]);
            multiply(&mut q, &part(&self.q, dim * dim), &input);
            multiply(&mut k, &part(&self.k, kv * dim), &input);
            multiply(&mut v, &part(&self.v, kv * dim), &input);
            rotate(&mut q, head, position);
            rotate(&mut k, head, position);
            keys.extend(k);
            values.extend(v);
            let mut mixed = vec![0.0; dim];
            for (h, (q, mixed)) in q.chunks_exact(head).zip(mixed.chunks_exact_mut(head)).enumerate() {
                let at = h / (self.heads / self.kv_heads) * head;
                let scores: Vec<f32> = keys
                    .chunks_exact(kv)
                    .map(|k| {
                        q.iter().zip(&k[at..at + head]).map(|(q, k)| q * k).sum::<f32>()
                            / (head as f32).sqrt()
                    })
                    .collect();
                let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let weights: Vec<f32> = scores.iter().map(|score| (score - most).exp()).collect();
                let total: f32 = weights.iter().sum();
                for (weight, v) in weights.iter().zip(values.chunks_exact(kv)) {
                    for (mixed, v) in mixed.iter_mut().zip(&v[at..at + head]) {
                        *mixed += weight / total * v;
                    }
                }
            }
            let mut out = vec![0.0; dim];
            multiply(&mut out, &part(&self.o, dim * dim), &mixed);
            x.iter_mut().zip(&out).for_each(|(x, out)| *x += out);
            let input = normed(&x, &part(&self.mlp_norm, dim));
            let (mut gate, mut up) = (vec![0.0; hidden], vec![0.0; hidden]);
            multiply(&mut gate, &part(&self.gate, hidden * dim), &input);
            multiply(&mut up, &part(&self.up, hidden * dim), &input);
            gate.iter_mut().zip(&up).for_each(|(gate, up)| *gate *= up / (1.0 + (-*gate).exp()));
            multiply(&mut out, &part(&self.down, dim * hidden), &gate);
            x.iter_mut().zip(&out).for_each(|(x, out)| *x += out);
        }
        let mut logits = vec![0.0; self.vocabulary];
        multiply(&mut logits, &self.embedding, &normed(&x, &self.norm));
        logits
    }

    /// The greedy continuation, and the logits of each token read.
    fn greedy(&self, count: usize) -> (Vec<u32>, Vec<Vec<f32>>) {
        let mut past = vec![(Vec::new(), Vec::new()); self.layers];
        let mut rows: Vec<Vec<f32>> = PROMPT.iter().map(|token| self.step(*token, &mut past)).collect();
        let mut tokens = Vec::new();
        while tokens.len() < count {
            let token = largest(&rows[rows.len() - 1]);
            tokens.push(token);
            rows.push(self.step(token, &mut past));
        }
        (tokens, rows)
    }

    fn config(&self) -> serde_json::Value {
        json!({
            "model_type": "llama", "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "hidden_size": self.dim, "intermediate_size": self.hidden, "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads, "num_key_value_heads": self.kv_heads,
            "vocab_size": self.vocabulary, "max_position_embeddings": self.context, "tie_word_embeddings": true,
        })
    }

    fn keys(&self) -> Vec<(&'static str, Value)> {
        let whole = [
            ("embedding_length", self.dim),
            ("feed_forward_length", self.hidden),
            ("block_count", self.layers),
            ("attention.head_count", self.heads),
            ("attention.head_count_kv", self.kv_heads),
            ("context_length", self.context),
        ];
        let mut keys: Vec<_> = whole.map(|(key, value)| (key, Value::U32(value as u32))).into();
        keys.push(("attention.layer_norm_rms_epsilon", Value::F32(1e-5)));
        keys
    }

    /// By Hugging Face's names, q and k in the order of the two halves.
    fn tensors(&self) -> Tensors {
        let (dim, hidden, head) = (self.dim, self.hidden, self.head());
        let kv = head * self.kv_heads;
        let mut tensors = vec![
            ("model.embed_tokens.weight".to_owned(), vec![self.vocabulary, dim], self.embedding.clone()),
            ("model.norm.weight".to_owned(), vec![dim], self.norm.clone()),
        ];
        for layer in 0..self.layers {
            let mut add = |name: &str, shape: &[usize], all: &[f32]| {
                let size = shape.iter().product::<usize>();
                let values = &all[layer * size..][..size];
                let halves = name.ends_with("q_proj") || name.ends_with("k_proj");
                let values = if halves { halved(values, dim, head) } else { values.to_vec() };
                tensors.push((format!("model.layers.{layer}.{name}.weight"), shape.to_vec(), values));
            };
            add("input_layernorm", &[dim], &self.attention_norm);
            add("self_attn.q_proj", &[dim, dim], &self.q);
            add("self_attn.k_proj", &[kv, dim], &self.k);
            add("self_attn.v_proj", &[kv, dim], &self.v);
            add("self_attn.o_proj", &[dim, dim], &self.o);
            add("post_attention_layernorm", &[dim], &self.mlp_norm);
            add("mlp.gate_proj", &[hidden, dim], &self.gate);
            add("mlp.up_proj", &[hidden, dim], &self.up);
            add("mlp.down_proj", &[dim, hidden], &self.down);
        }
        tensors
    }
}

/// What the reference writes after the prompt.
#[rustfmt::skip]
const GOLDEN: [u32; 200] = [
    432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338, 401, 396, 267, 337, 410, 408, 419, 292,
    411, 322, 265, 282, 295, 433, 426, 385, 328, 432, 358, 394, 261, 370, 432, 352, 266, 268, 388, 426,
    338, 391, 266, 267, 337, 335, 312, 432, 398, 312, 286, 267, 414, 270, 333, 415, 426, 13, 438, 310,
    439, 419, 357, 336, 432, 313, 438, 310, 432, 278, 316, 439, 419, 298, 414, 267, 265, 282, 295, 433,
    426, 436, 317, 286, 296, 418, 269, 279, 292, 416, 439, 413, 409, 416, 327, 263, 415, 294, 267, 400,
    426, 338, 336, 432, 313, 442, 391, 267, 337, 335, 364, 420, 268, 388, 432, 398, 359, 280, 303, 439,
    413, 272, 417, 264, 312, 426, 436, 13, 438, 310, 286, 296, 418, 269, 279, 292, 416, 439, 413, 409,
    416, 327, 263, 415, 294, 267, 400, 426, 338, 336, 432, 313, 442, 439, 423, 262, 304, 420, 422, 432,
    317, 426, 359, 279, 292, 416, 439, 413, 409, 416, 327, 263, 415, 294, 267, 400, 426, 436, 13, 438,
    310, 279, 292, 416, 439, 413, 391, 267, 281, 421, 427, 311, 357, 432, 384, 358, 336, 432, 313, 442,
];

#[test]
fn the_story_goes_on_as_in_the_plain_reference() {
    let Some(stories) = stories() else { return };
    let (expected, rows) = stories.greedy(200);
    assert_eq!(expected, GOLDEN, "the reference itself");
    let folder = decoder_support::folder(&stories.config(), &stories.tensors());
    let decoder = open(folder.path());
    assert_eq!(continuation(&decoder, &PROMPT, 200), GOLDEN);
    let tokens: Vec<u32> = PROMPT.iter().chain(&GOLDEN).copied().collect();
    let off = apart(&logits(&decoder, &tokens, tokens.len()), &rows);
    eprintln!("largest difference of the logits from the reference: {off:.2e}");
    assert!(off < 2e-4, "off by {off:.2e}"); // of logits whose standard deviation is about 4
}

#[test]
fn the_story_goes_on_the_same_from_a_gguf_file() {
    let Some(stories) = stories() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stories.gguf");
    decoder_support::gguf(&path, &stories.keys(), &stories.tensors(), GgmlDType::F32, stories.head());
    assert_eq!(continuation(&open(&path), &PROMPT, 200), GOLDEN);
}
