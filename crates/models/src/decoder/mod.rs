//! Decoders: the language models that write text.
//!
//! [`Decoder`] is one skeleton for the Llama, Mistral, Qwen2, Qwen3 and SmolLM families, whose options stand in
//! [`DecoderConfig`]. Serving calls [`Decoder::forward`]: a step reads any mix of stretches of sequences (chunks of
//! prompts, single tokens) whose past lies in a [`KvCache`]. [`Decoder::whole`] is the same layers over whole sequences
//! without a cache, with gradients.
//!
//! [`OtherDecoder`] is what other families run on; [`AnyDecoder`] opens either.

mod any;
mod config;
mod config_check;
mod config_gguf;
mod config_hf;
mod error;
pub(crate) mod kv_cache;
mod net;
mod other;
pub(crate) mod random;
mod tensors;

pub use any::AnyDecoder;
pub use config::{DecoderConfig, Rope, RopeScaling};
pub(crate) use config_gguf::from_gguf;
pub(crate) use config_hf::from_folder;
pub use error::StepError;
pub use kv_cache::{BLOCK_TOKENS, KvCache, KvType, Stretch, Want};

pub use other::OtherDecoder;
pub use tensors::TensorSpec;

use std::path::{Path, PathBuf};

use candle_core::Tensor;

use crate::adapter::{Adapted, Adapter, Beside};
use crate::error::ModelsError;
use crate::weights::DecoderWeights;
pub(crate) use net::{Net, Source};

/// A language model with frozen weights.
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
    net: Net,
    id: String,
    kv: KvType,
}

/// How a decoder is loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecoderOptions {
    /// How keys and values are kept.
    pub kv: KvType,
    /// Name to show; by default the folder's or file's.
    pub name: Option<String>,
    /// What floating-point matrices are made into; what is quantised already stays as it is.
    pub quantize: Option<Quantize>,
    /// Most tokens that a sequence will have, where that is known to be less than the model was made for; an
    /// [`OtherDecoder`] makes its tables for them.
    pub context: Option<usize>,
    /// A folder with an adapter that is computed beside the weights ([`crate::adapter`]).
    pub adapter: Option<PathBuf>,
}

impl DecoderOptions {
    /// Name and weights hash of the model at `path`.
    fn id(&self, path: &Path, weights: &DecoderWeights) -> Result<String, ModelsError> {
        let name = self.name.clone().unwrap_or_else(|| {
            // A folder's name has no extension: `Qwen3-0.6B`.
            let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
            name.map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
        });
        Ok(format!("{name}@{}", weights.fingerprint()?))
    }
}

/// A type that weights can be quantised to as they are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantize {
    /// Blocks of 32 whole numbers with one scale: half the memory of 16-bit weights, and twice to four times their speed
    /// on a CPU, at a relative error of about a hundredth in the logits.
    #[serde(rename = "q8_0")]
    Q8_0,
}

/// Rows of logits.
#[derive(Clone, Debug, PartialEq)]
pub struct Logits {
    vocabulary: usize,
    values: Vec<f32>,
}

impl Logits {
    /// The `index`-th row, in the order of the stretches.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.vocabulary..][..self.vocabulary]
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.vocabulary
    }
}

impl Decoder {
    /// Loads a Hugging Face folder (`config.json` and safetensors) or a GGUF file.
    ///
    /// # Errors
    /// When a file is absent or damaged, a tensor is missing or has another shape, or the architecture or an option of it
    /// is not implemented; the message names it.
    pub fn open(path: &Path, options: &DecoderOptions) -> Result<Self, ModelsError> {
        let weights = DecoderWeights::open(path)?;
        let adapter = options.adapter.as_deref().map(Adapter::open).transpose()?;
        // What the adapter was trained over is what it is computed over.
        let trained = adapter.as_ref().and_then(|adapter| adapter.record().quantization);
        let adapted = Adapted::new(&weights, adapter.as_ref(), trained)?;
        let config = adapted.config().clone();
        let net = Net::read(&config, &mut Beside { adapted: &adapted, quantize: options.quantize })?;
        // Another precision writes other texts, so it is another model.
        let suffix = options.quantize.map_or("", |Quantize::Q8_0| "-q8_0");
        let added = adapter.map(|adapter| format!("+{}", adapter.fingerprint())).unwrap_or_default();
        let id = format!("{}{suffix}{added}", options.id(path, &weights)?);
        let kv = match options.kv {
            KvType::Auto if net.is_f32() => KvType::F32,
            KvType::Auto => KvType::F16,
            other => other,
        };
        Ok(Self { config, net, id, kv })
    }

    /// Shape and options.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Name and weights hash, such as `Qwen/Qwen3-0.6B@53aa51172d14`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A cache of `blocks` blocks of [`BLOCK_TOKENS`] tokens; memory is taken as blocks are written.
    pub fn cache(&self, blocks: usize) -> KvCache {
        KvCache::new(self.net.shape(), blocks, self.kv)
    }

    /// Bytes of one block over all layers.
    pub fn block_bytes(&self) -> usize {
        self.net.shape().block_bytes(self.kv)
    }

    /// Bytes of the weights in memory.
    pub fn weight_bytes(&self) -> usize {
        self.net.bytes()
    }

    /// Reads the stretches' tokens, adds their keys and values to their blocks, and gives the logits that they want.
    ///
    /// Stretches do not see each other; two of one step may share blocks that neither writes. A block with a position of
    /// a stretch's tokens counts as written.
    ///
    /// # Errors
    /// When a stretch's blocks do not cover its positions, two write one block, a number is out of range, or an operation
    /// fails; what the step wrote is then unknown, and the sequences are to be read anew.
    pub fn forward(&self, step: &[Stretch<'_>], cache: &mut KvCache) -> Result<Logits, StepError> {
        let mut prepared = cache.step(self.net.shape(), step)?;
        let values = self.net.step(step, &mut prepared)?;
        Ok(Logits { vocabulary: self.config.vocabulary, values })
    }

    /// The logits `[tokens, vocabulary]` of whole sequences of these lengths, one after the other, without a cache.
    ///
    /// # Errors
    /// When the lengths do not add up, an id is out of range, or an operation fails.
    pub fn whole(&self, tokens: &[u32], lengths: &[usize]) -> Result<Tensor, StepError> {
        self.net.whole(tokens, lengths)
    }
}

#[cfg(test)]
mod tests;
