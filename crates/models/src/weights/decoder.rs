//! A decoder's weights under the names of Hugging Face's files, whichever file they come from.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use sha2::{Digest, Sha256};

use super::{GgufFile, RawMatrix, Weights, hex};
use crate::decoder::{DecoderConfig, from_folder, from_gguf};
use crate::error::ModelsError;

/// The embedding's name.
const EMBEDDING: &str = "model.embed_tokens.weight";

/// The weights of a decoder: a Hugging Face folder or a GGUF file.
///
/// Tensors go by the names of transformers' Llama (`model.layers.0.self_attn.q_proj.weight`), and the rows of the query
/// and key projections are in the order in which RoPE rotates the two halves of a head.
#[derive(Debug)]
pub enum DecoderWeights {
    /// `config.json` beside safetensors.
    Folder(Weights),
    /// One GGUF file.
    Gguf(GgufFile),
}

impl DecoderWeights {
    /// Opens a folder with `config.json` and weights, a `.gguf` file, or a folder whose only model is one such file.
    ///
    /// # Errors
    /// When there is no model, or its files cannot be read or are damaged.
    pub fn open(path: &Path) -> Result<Self, ModelsError> {
        if !path.is_dir() {
            return Ok(Self::Gguf(GgufFile::open(path)?));
        }
        if !path.join("config.json").is_file()
            && let Some(file) = only_gguf(path)?
        {
            return Ok(Self::Gguf(GgufFile::open(&file)?));
        }
        Ok(Self::Folder(Weights::open(path)?))
    }

    /// The shape and options of the net.
    ///
    /// # Errors
    /// When the configuration is missing, damaged or asks for what is not implemented.
    pub fn config(&self) -> Result<DecoderConfig, ModelsError> {
        match self {
            Self::Folder(weights) => from_folder(weights.folder(), weights.contains("lm_head.weight")),
            Self::Gguf(file) => from_gguf(file),
        }
    }

    /// Whether a tensor of this name is there.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::Folder(weights) => weights.contains(name),
            Self::Gguf(file) => gguf_name(name).is_some_and(|name| file.contains(&name)),
        }
    }

    /// A matrix `[rows, columns]` in the type of its file.
    ///
    /// # Errors
    /// When it is absent, has another shape or a type that is not implemented, or cannot be read.
    pub fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<RawMatrix, ModelsError> {
        match self {
            Self::Folder(weights) => Ok(weights.shaped(name, &[rows, columns])?.raw()),
            Self::Gguf(file) => {
                file.matrix(&self.named(file, name)?, rows, columns, self.interleaved(name, rows)?)
            }
        }
    }

    /// GGML's name for the embedding's type, which stands for that of all matrices.
    ///
    /// # Errors
    /// As [`DecoderWeights::matrix`].
    pub(crate) fn embedding_kind(&self, config: &DecoderConfig) -> Result<GgmlDType, ModelsError> {
        let (rows, columns) = (config.vocabulary, config.hidden);
        match self {
            Self::Folder(weights) => Ok(weights.shaped(EMBEDDING, &[rows, columns])?.kind()),
            Self::Gguf(_) => Ok(self.matrix(EMBEDDING, rows, columns)?.kind()),
        }
    }

    /// A vector, as f32.
    ///
    /// # Errors
    /// As [`DecoderWeights::matrix`].
    pub fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, ModelsError> {
        match self {
            Self::Folder(weights) => weights.read(name, &[length]),
            Self::Gguf(file) => {
                let values = file.vector(&self.named(file, name)?, length)?;
                Ok(match self.interleaved(name, length)? {
                    Some(head) => halves(&values, head),
                    None => values,
                })
            }
        }
    }

    /// Twelve hexadecimal digits that tell these weights from others: the SHA-256 of their files, of which those above
    /// 64 MiB are sampled in each MiB and at the start of each tensor.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn fingerprint(&self) -> Result<String, ModelsError> {
        let mut hash = Sha256::new();
        match self {
            Self::Folder(weights) => weights.hash_sampled(&mut hash),
            Self::Gguf(file) => file.hash(&mut hash)?,
        }
        Ok(hex(&hash.finalize(), 6))
    }

    /// The metadata of a GGUF file (tokenizer, chat template); none for a folder.
    pub fn metadata(&self) -> Option<&HashMap<String, Value>> {
        match self {
            Self::Folder(_) => None,
            Self::Gguf(file) => Some(file.metadata()),
        }
    }

    /// The folder, or the GGUF file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Folder(weights) => weights.folder(),
            Self::Gguf(file) => file.path(),
        }
    }

    fn named(&self, file: &GgufFile, name: &str) -> Result<String, ModelsError> {
        gguf_name(name).ok_or_else(|| ModelsError::tensor(file.path(), name, "GGUF has no name for it"))
    }

    /// The length of the heads by which the rows of `name` are interleaved. llama.cpp's converter does that to q and k of
    /// the architecture `llama`, and to no other that is known here.
    fn interleaved(&self, name: &str, rows: usize) -> Result<Option<usize>, ModelsError> {
        let Self::Gguf(file) = self else { return Ok(None) };
        let llama = matches!(file.metadata().get("general.architecture"), Some(Value::String(name)) if name == "llama");
        if !llama || !(name.contains(".q_proj.") || name.contains(".k_proj.")) {
            return Ok(None);
        }
        let head = self.config()?.head_dim;
        Ok(Some(head).filter(|head| rows.is_multiple_of(*head)))
    }
}

fn halves(values: &[f32], head: usize) -> Vec<f32> {
    let place = |row: usize| {
        let (half, pair) = ((row % head) / (head / 2), row % (head / 2));
        row - row % head + 2 * pair + half
    };
    (0..values.len()).map(|row| values[place(row)]).collect()
}

/// The one file of `folder` that ends in `.gguf`, if there is exactly one.
fn only_gguf(folder: &Path) -> Result<Option<PathBuf>, ModelsError> {
    let fail = |source| ModelsError::Read { path: folder.to_owned(), source };
    let mut found = None;
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_some_and(|ending| ending == "gguf") && found.replace(path).is_some() {
            let what = "one of several .gguf files without saying which (name the file itself)";
            return Err(ModelsError::unsupported(folder, what));
        }
    }
    Ok(found)
}

/// llama.cpp's name for a tensor of Hugging Face's Llama, as its converter maps them.
pub(crate) fn gguf_name(name: &str) -> Option<String> {
    let whole = match name {
        "model.embed_tokens.weight" => Some("token_embd.weight"),
        "model.norm.weight" => Some("output_norm.weight"),
        "lm_head.weight" => Some("output.weight"),
        _ => None,
    };
    if let Some(whole) = whole {
        return Some(whole.to_owned());
    }
    let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let layer: usize = layer.parse().ok()?;
    let (part, kind) = rest.rsplit_once('.')?;
    let part = match part {
        "input_layernorm" => "attn_norm",
        "post_attention_layernorm" => "ffn_norm",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.o_proj" => "attn_output",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        _ => return None,
    };
    Some(format!("blk.{layer}.{part}.{kind}"))
}
