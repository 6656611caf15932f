//! GGUF files (version 3) for llama.cpp and for us.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. Which tensor gets which type follows llama.cpp's
//! own quantiser (`llama-quant.cpp`, Q4_K_M and Q8_0); blocks are made by candle's.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use serde::{Deserialize, Serialize};

use super::NewFolder;
use super::encode::{encode, encoded_bytes};
use super::gguf_header;
use crate::adapter::Adapted;
use crate::decoder::{DecoderConfig, TensorSpec};
use crate::error::ModelsError;
use crate::weights::{DecoderWeights, RawMatrix, gguf_name};

/// Types of a GGUF file's matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GgufType {
    /// 32-bit floats.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// Blocks of 32 whole numbers of 8 bits.
    #[serde(rename = "q8_0")]
    Q8_0,
    /// Blocks of 256 with 4.5 bits a value, and 6.6 bits where llama.cpp's `Q4_K_M` has them.
    #[serde(rename = "q4_k")]
    Q4K,
}

/// Bytes to which tensors are aligned.
const ALIGNMENT: usize = 32;
/// Bytes that are made before they are written, at most about.
const BUFFER: usize = 1 << 20;

/// Where tensors come from.
pub(crate) type Values<'a> = dyn FnMut(&TensorSpec) -> Result<RawMatrix, ModelsError> + 'a;

/// Writes the model at `base` (a folder, or a GGUF file) as the new GGUF file `out`, which appears whole or not at all.
///
/// # Errors
/// As merging: when the model, an option of it or its tokenizer has no place in a GGUF file, or a file cannot be read or
/// written.
pub fn export_gguf(base: &Path, out: &Path, kind: GgufType) -> Result<u64, ModelsError> {
    const NAME: &str = "model.gguf";
    let weights = DecoderWeights::open(base)?;
    let adapted = Adapted::new(&weights, None, None)?;
    let folder = NewFolder::create(out)?;
    let mut values = |spec: &TensorSpec| adapted.merged(spec);
    let bytes = write(&folder.path().join(NAME), &weights, adapted.config(), kind, &mut values)?;
    folder.finish_as_file(NAME)?;
    Ok(bytes)
}

/// Writes a model of this shape to `path`, with the tokenizer and the chat template of `base`.
///
/// # Errors
/// When the shape, an option of it or the tokenizer has no place in a GGUF file, or the file cannot be written.
pub(crate) fn write(
    path: &Path,
    base: &DecoderWeights,
    config: &DecoderConfig,
    kind: GgufType,
    values: &mut Values<'_>,
) -> Result<u64, ModelsError> {
    let metadata = gguf_header::metadata(base, config, kind)?;
    let architecture = gguf_header::architecture(config);
    let divisors = gguf_header::rope_divisors(config);
    let mut plan = Vec::new();
    for spec in config.tensors() {
        let name = gguf_name(&spec.name)
            .ok_or_else(|| ModelsError::tensor(path, &spec.name, "GGUF has no name for it"))?;
        let kind = type_of(&spec, config, kind);
        plan.push((name, spec, kind));
    }
    let mut out = Out { path, out: BufWriter::with_capacity(BUFFER, create(path)?), at: 0 };
    out.bytes(b"GGUF")?;
    out.u32(3)?;
    out.u64((plan.len() + usize::from(divisors.is_some())) as u64)?;
    out.u64(metadata.len() as u64)?;
    for (key, value) in &metadata {
        out.text(key)?;
        out.u32(code(value))?;
        out.value(value)?;
    }
    let mut offset = 0;
    let mut entry = |out: &mut Out<'_>, name: &str, shape: &[usize], kind: GgmlDType| {
        out.text(name)?;
        out.u32(shape.len() as u32)?;
        for side in shape.iter().rev() {
            out.u64(*side as u64)?;
        }
        out.u32(number(kind))?;
        out.u64(offset as u64)?;
        offset = (offset + encoded_bytes(shape.iter().product(), kind)).next_multiple_of(ALIGNMENT);
        Ok::<(), ModelsError>(())
    };
    if let Some(divisors) = &divisors {
        entry(&mut out, "rope_freqs.weight", &[divisors.len()], GgmlDType::F32)?;
    }
    for (name, spec, kind) in &plan {
        entry(&mut out, name, &spec.shape, *kind)?;
    }
    out.pad()?;
    if let Some(divisors) = &divisors {
        out.bytes(&super::float_bytes(divisors))?;
        out.pad()?;
    }
    for (_, spec, kind) in &plan {
        let (rows, columns) = spec.sides();
        let mut bytes = encode(values(spec)?, rows, columns, *kind)?;
        let turned = spec.name.contains(".q_proj.") || spec.name.contains(".k_proj.");
        if architecture == "llama" && turned {
            let heads = spec.shape[0] / config.head_dim;
            bytes = interleaved(&bytes, heads, config.head_dim);
        }
        out.bytes(&bytes)?;
        out.pad()?;
    }
    out.finish()
}

/// The type of a tensor, as llama.cpp's quantiser chooses it.
fn type_of(spec: &TensorSpec, config: &DecoderConfig, kind: GgufType) -> GgmlDType {
    if spec.shape.len() == 1 {
        return GgmlDType::F32;
    }
    let wanted = match kind {
        GgufType::F32 => GgmlDType::F32,
        GgufType::F16 => GgmlDType::F16,
        GgufType::Bf16 => GgmlDType::BF16,
        GgufType::Q8_0 => GgmlDType::Q8_0,
        GgufType::Q4K if finer(spec, config) => GgmlDType::Q6K,
        GgufType::Q4K => GgmlDType::Q4K,
    };
    let columns = spec.shape[1];
    // Rows that are no whole number of blocks get a type of smaller ones (`tensor_type_fallback`).
    let fits = |kind: GgmlDType| columns.is_multiple_of(kind.block_size());
    match wanted {
        GgmlDType::Q4K if !fits(wanted) && fits(GgmlDType::Q5_0) => GgmlDType::Q5_0,
        GgmlDType::Q6K if !fits(wanted) && fits(GgmlDType::Q8_0) => GgmlDType::Q8_0,
        _ if fits(wanted) => wanted,
        _ => GgmlDType::F16,
    }
}

/// Whether a tensor gets more bits in `Q4_K_M`: the output layer, and values and the MLP's second half in some layers.
fn finer(spec: &TensorSpec, config: &DecoderConfig) -> bool {
    if spec.name == "lm_head.weight" || config.tied && spec.name == "model.embed_tokens.weight" {
        return true;
    }
    let Some((layer, part)) = spec.name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'))
    else {
        return false;
    };
    let (Ok(layer), layers) = (layer.parse::<usize>(), config.layers()) else { return false };
    let some = layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
    some && (part == "self_attn.v_proj.weight" || part == "mlp.down_proj.weight")
}

/// Rows of each head from the order of RoPE's two halves into pairs, as llama.cpp's converter writes q and k of the
/// architecture `llama`.
fn interleaved(bytes: &[u8], heads: usize, length: usize) -> Vec<u8> {
    let stride = bytes.len() / (heads * length).max(1);
    let mut out = vec![0; bytes.len()];
    for (index, row) in bytes.chunks_exact(stride.max(1)).enumerate() {
        let (head, row_of) = (index / length, index % length);
        let (half, pair) = (row_of / (length / 2), row_of % (length / 2));
        let to = (head * length + 2 * pair + half) * stride;
        out[to..to + stride].copy_from_slice(row);
    }
    out
}

/// `enum ggml_type` of ggml.h.
fn number(kind: GgmlDType) -> u32 {
    match kind {
        GgmlDType::F16 => 1,
        GgmlDType::Q5_0 => 6,
        GgmlDType::Q8_0 => 8,
        GgmlDType::Q4K => 12,
        GgmlDType::Q6K => 14,
        GgmlDType::BF16 => 30,
        _ => 0,
    }
}

/// `enum gguf_metadata_value_type`.
fn code(value: &Value) -> u32 {
    match value {
        Value::U8(_) => 0,
        Value::I8(_) => 1,
        Value::U16(_) => 2,
        Value::I16(_) => 3,
        Value::U32(_) => 4,
        Value::I32(_) => 5,
        Value::F32(_) => 6,
        Value::Bool(_) => 7,
        Value::String(_) => 8,
        Value::Array(_) => 9,
        Value::U64(_) => 10,
        Value::I64(_) => 11,
        Value::F64(_) => 12,
    }
}

fn create(path: &Path) -> Result<File, ModelsError> {
    File::create(path).map_err(ModelsError::write(path))
}

/// A file that knows how far it is.
struct Out<'a> {
    path: &'a Path,
    out: BufWriter<File>,
    at: usize,
}

impl Out<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), ModelsError> {
        self.at += bytes.len();
        self.out.write_all(bytes).map_err(ModelsError::write(self.path))
    }

    fn u32(&mut self, value: u32) -> Result<(), ModelsError> {
        self.bytes(&value.to_le_bytes())
    }

    fn u64(&mut self, value: u64) -> Result<(), ModelsError> {
        self.bytes(&value.to_le_bytes())
    }

    fn text(&mut self, text: &str) -> Result<(), ModelsError> {
        self.u64(text.len() as u64)?;
        self.bytes(text.as_bytes())
    }

    fn pad(&mut self) -> Result<(), ModelsError> {
        let zeros = [0; ALIGNMENT];
        self.bytes(&zeros[..self.at.next_multiple_of(ALIGNMENT) - self.at])
    }

    fn value(&mut self, value: &Value) -> Result<(), ModelsError> {
        match value {
            Value::U8(v) => self.bytes(&v.to_le_bytes()),
            Value::I8(v) => self.bytes(&v.to_le_bytes()),
            Value::U16(v) => self.bytes(&v.to_le_bytes()),
            Value::I16(v) => self.bytes(&v.to_le_bytes()),
            Value::U32(v) => self.bytes(&v.to_le_bytes()),
            Value::I32(v) => self.bytes(&v.to_le_bytes()),
            Value::F32(v) => self.bytes(&v.to_le_bytes()),
            Value::U64(v) => self.bytes(&v.to_le_bytes()),
            Value::I64(v) => self.bytes(&v.to_le_bytes()),
            Value::F64(v) => self.bytes(&v.to_le_bytes()),
            Value::Bool(v) => self.bytes(&[u8::from(*v)]),
            Value::String(text) => self.text(text),
            Value::Array(values) => {
                self.u32(values.first().map_or(4, code))?;
                self.u64(values.len() as u64)?;
                values.iter().try_for_each(|value| self.value(value))
            }
        }
    }

    fn finish(mut self) -> Result<u64, ModelsError> {
        self.out
            .flush()
            .and_then(|()| self.out.get_ref().sync_all())
            .map_err(ModelsError::write(self.path))?;
        Ok(self.at as u64)
    }
}
