//! What the decoder's tests share: reading logits, writing greedily, and model files made on the spot.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use lore_models::decoder::{BLOCK_TOKENS, Decoder, DecoderOptions, KvCache, KvType, Stretch, Want};
use safetensors::tensor::{Dtype, TensorView};

/// Opens a model with 32-bit keys and values.
pub fn open(path: &Path) -> Decoder {
    Decoder::open(path, &DecoderOptions { kv: KvType::F32, ..DecoderOptions::default() }).unwrap()
}

/// A sequence with its place in a cache of its own or one that it shares.
pub struct Sequence {
    pub tokens: Vec<u32>,
    pub blocks: Vec<u32>,
    /// Tokens that the cache holds.
    pub read: usize,
}

impl Sequence {
    /// Room for `length` tokens from block `first` on.
    pub fn new(tokens: &[u32], first: u32, length: usize) -> Self {
        let blocks = (first..first + length.div_ceil(BLOCK_TOKENS) as u32).collect();
        Self { tokens: tokens.to_vec(), blocks, read: 0 }
    }

    /// The part that the cache does not hold yet.
    pub fn rest(&self, want: Want) -> Stretch<'_> {
        Stretch { tokens: &self.tokens[self.read..], start: self.read, blocks: &self.blocks, want }
    }
}

/// The logits of every token, read in chunks of this many.
pub fn logits(decoder: &Decoder, tokens: &[u32], chunk: usize) -> Vec<Vec<f32>> {
    let sequence = Sequence::new(tokens, 0, tokens.len());
    let mut cache = decoder.cache(sequence.blocks.len());
    let mut rows = Vec::new();
    for (index, tokens) in tokens.chunks(chunk).enumerate() {
        let stretch = Stretch { tokens, start: index * chunk, blocks: &sequence.blocks, want: Want::All };
        let logits = decoder.forward(&[stretch], &mut cache).unwrap();
        rows.extend((0..logits.rows()).map(|row| logits.row(row).to_vec()));
    }
    rows
}

/// The index of the largest value; the first of equals.
pub fn largest(row: &[f32]) -> u32 {
    let best = row.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(index, _)| index as u32)
}

/// Each sequence's greedy continuation by `count` tokens, all together in each step.
pub fn greedy(
    decoder: &Decoder,
    sequences: &mut [Sequence],
    cache: &mut KvCache,
    count: usize,
) -> Vec<Vec<u32>> {
    let mut new = vec![Vec::new(); sequences.len()];
    for _ in 0..count {
        let step: Vec<_> = sequences.iter().map(|sequence| sequence.rest(Want::Last)).collect();
        let logits = decoder.forward(&step, cache).unwrap();
        for (row, (sequence, new)) in sequences.iter_mut().zip(&mut new).enumerate() {
            let token = largest(logits.row(row));
            sequence.read = sequence.tokens.len();
            sequence.tokens.push(token);
            new.push(token);
        }
    }
    new
}

/// The greedy continuation of one prompt.
pub fn continuation(decoder: &Decoder, prompt: &[u32], count: usize) -> Vec<u32> {
    let mut sequences = [Sequence::new(prompt, 0, prompt.len() + count)];
    let mut cache = decoder.cache(sequences[0].blocks.len());
    greedy(decoder, &mut sequences, &mut cache, count).remove(0)
}

/// The largest difference between two tables.
pub fn apart(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let rows = a.iter().zip(b);
    rows.flat_map(|(a, b)| {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| if a.is_finite() { (a - b).abs() } else { f32::INFINITY })
    })
    .fold(0.0, f32::max)
}

/// The length of `a - b` relative to that of `b`.
pub fn relative(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let pairs = || a.iter().flatten().zip(b.iter().flatten());
    let off = square(&mut pairs().map(|(a, b)| f64::from(*a) - f64::from(*b)));
    (off / square(&mut pairs().map(|(_, b)| f64::from(*b)))).sqrt()
}

/// The standard deviation of all values.
pub fn deviation(rows: &[Vec<f32>]) -> f64 {
    let count = rows.iter().flatten().count() as f64;
    let mean = rows.iter().flatten().map(|v| f64::from(*v)).sum::<f64>() / count;
    (rows.iter().flatten().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count).sqrt()
}

/// Named f32 tensors of a model, by Hugging Face's names.
pub type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// Writes `config.json` and `model.safetensors` into a new folder.
pub fn folder(config: &serde_json::Value, tensors: &Tensors) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(.., values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let view = |((name, shape, _), bytes): (&(String, Vec<usize>, Vec<f32>), _)| {
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    };
    let views: HashMap<_, _> = tensors.iter().zip(bytes.iter().map(Vec::as_slice)).map(view).collect();
    safetensors::serialize_to_file(views, None, &folder.path().join("model.safetensors")).unwrap();
    folder
}

/// Writes a GGUF file of architecture `llama` with its matrices as `kind`, and gives what those blocks hold as f32.
///
/// `head` is the length of a head, `keys` are the architecture's, without its name.
pub fn gguf(path: &Path, keys: &[(&str, Value)], tensors: &Tensors, kind: GgmlDType, head: usize) -> Tensors {
    gguf_of("llama", path, keys, tensors, kind, head)
}

/// As [`gguf`], of another architecture.
pub fn gguf_of(
    architecture: &str,
    path: &Path,
    keys: &[(&str, Value)],
    tensors: &Tensors,
    kind: GgmlDType,
    head: usize,
) -> Tensors {
    let mut held = Tensors::new();
    let mut blocks = Vec::new();
    for (name, shape, values) in tensors {
        let interleave = architecture == "llama" && (name.contains(".q_proj.") || name.contains(".k_proj."));
        let columns = if shape.len() == 2 { shape[1] } else { 1 };
        let swapped = if interleave { interleaved(values, columns, head) } else { values.clone() };
        let tensor = Tensor::from_vec(swapped, shape.clone(), &Device::Cpu).unwrap();
        let block = QTensor::quantize(&tensor, if shape.len() == 2 { kind } else { GgmlDType::F32 }).unwrap();
        let back = block.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let back = if interleave { halved(&back, columns, head) } else { back };
        held.push((name.clone(), shape.clone(), back));
        blocks.push((gguf_name(name), block));
    }
    let keys: Vec<_> = keys.iter().map(|(key, value)| (format!("{architecture}.{key}"), value)).collect();
    let architecture = Value::String(architecture.into());
    let mut metadata = vec![("general.architecture", &architecture)];
    metadata.extend(keys.iter().map(|(key, value)| (key.as_str(), *value)));
    let blocks: Vec<_> = blocks.iter().map(|(name, block)| (name.as_str(), block)).collect();
    gguf_file::write(&mut File::create(path).unwrap(), &metadata, &blocks).unwrap();
    held
}

fn gguf_name(name: &str) -> String {
    let name = name.replace("model.layers.", "blk.").replace("self_attn.", "").replace("mlp.", "ffn_");
    let parts = [
        ("q_proj", "attn_q"),
        ("k_proj", "attn_k"),
        ("q_norm", "attn_q_norm"),
        ("k_norm", "attn_k_norm"),
        ("v_proj", "attn_v"),
        ("o_proj", "attn_output"),
        ("gate_proj", "gate"),
        ("up_proj", "up"),
        ("down_proj", "down"),
        ("post_attention_layernorm", "ffn_norm"),
        ("input_layernorm", "attn_norm"),
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
    ];
    parts.iter().fold(name, |name, (from, to)| name.replace(from, to))
}

/// Rows from the order of the two halves into pairs, as llama.cpp's converter writes q and k.
pub fn interleaved(values: &[f32], columns: usize, head: usize) -> Vec<f32> {
    rows(values, columns, |row| row - row % head + (row % head) % 2 * (head / 2) + (row % head) / 2)
}

/// The other way.
pub fn halved(values: &[f32], columns: usize, head: usize) -> Vec<f32> {
    rows(values, columns, |row| row - row % head + (row % head) % (head / 2) * 2 + (row % head) / (head / 2))
}

fn rows(values: &[f32], columns: usize, from: impl Fn(usize) -> usize) -> Vec<f32> {
    (0..values.len() / columns).flat_map(|row| &values[from(row) * columns..][..columns]).copied().collect()
}

/// The folder of the fixtures.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decoder")
}
