//! Text encoders: BERT, RoBERTa and XLM-RoBERTa in sentence-transformers folders, and cross-encoders over them.

mod config;
mod net;
mod reranker;
mod run;

use std::path::Path;

use lore_core::EmbedKind;
use lore_core::model::{EmbedderInfo, TokenCounter};
use sha2::{Digest, Sha256};

pub use config::{Layout, NetConfig, Pooling, Positions};
pub use reranker::Reranker;

use crate::error::ModelsError;
use crate::ops::{Isa, LANES};
use crate::tokenizer::{TextTokenizer, Tokens};
use crate::weights::{Weights, hex};
use net::Net;
use run::Runner;

/// What a caller may set; `None` keeps what the model's folder says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncoderOptions {
    /// The model's name, such as `intfloat/multilingual-e5-small`; by default its folder's.
    pub name: Option<String>,
    /// Put before each query, such as `query: `.
    pub query_prefix: Option<String>,
    /// Put before each passage, such as `passage: `.
    pub passage_prefix: Option<String>,
    /// Most tokens of a text, special tokens included.
    pub max_tokens: Option<usize>,
    /// Number of threads; by default one per core.
    pub threads: Option<usize>,
}

/// A text encoder: texts to unit vectors.
#[derive(Debug)]
pub struct Encoder {
    runner: Runner,
    tokenizer: TextTokenizer,
    pooling: Pooling,
    query_prefix: String,
    passage_prefix: String,
    info: EmbedderInfo,
}

impl Encoder {
    /// Loads a sentence-transformers folder: `config.json`, `tokenizer.json`, weights, and where they are there
    /// `modules.json`, `1_Pooling`, `sentence_bert_config.json` and `config_sentence_transformers.json`.
    ///
    /// # Errors
    /// When a file or tensor is absent, damaged or of another shape, or the model is of a kind not implemented.
    pub fn load(folder: &Path, options: EncoderOptions) -> Result<Self, ModelsError> {
        Self::load_for(folder, options, Isa::detect())
    }

    /// As [`Encoder::load`], with the kernels of `isa`.
    ///
    /// # Errors
    /// As [`Encoder::load`].
    pub fn load_for(folder: &Path, options: EncoderOptions, isa: Isa) -> Result<Self, ModelsError> {
        let layout = Layout::load(folder)?;
        let config = NetConfig::load(&layout.net)?;
        let tokenizer = TextTokenizer::load(&layout.net, layout.lowercase)?;
        let weights = Weights::open(&layout.net)?;
        let max_tokens = limit(&config, &layout, &options, &tokenizer)?;
        let pool = Runner::pool(options.threads)?;
        let prefix = prefix(&weights)?;
        let (net, fingerprint) = pool
            .install(|| rayon::join(|| Net::load(config, &weights, prefix, isa), || weights.fingerprint()));
        let net = net?;
        let query_prefix = options.query_prefix.clone().unwrap_or_else(|| layout.query_prefix.clone());
        let passage_prefix = options.passage_prefix.clone().unwrap_or_else(|| layout.passage_prefix.clone());
        let info = EmbedderInfo {
            id: identity(folder, &options, &fingerprint),
            dimension: net.config().hidden_size,
            max_tokens,
        };
        tracing::debug!(id = info.id, ?isa, max_tokens, "encoder loaded");
        let runner = Runner::new(net, pool);
        Ok(Self { runner, tokenizer, pooling: layout.pooling, query_prefix, passage_prefix, info })
    }

    /// Name with weights hash, dimension and token limit. The id changes with any option that changes vectors.
    pub fn info(&self) -> EmbedderInfo {
        self.info.clone()
    }

    /// Number of ids that a token may have.
    pub fn vocabulary(&self) -> usize {
        self.runner.net.config().vocab_size
    }

    /// Counts the tokens of a text, without special tokens.
    pub fn token_counter(&self) -> TokenCounter {
        self.tokenizer.counter()
    }

    /// Unit vectors of `texts`, cut at `max_tokens` tokens with their prefix.
    ///
    /// # Errors
    /// When a text cannot be tokenized, or its vector is not finite.
    pub fn embed(&self, texts: &[String], kind: EmbedKind) -> Result<Vec<Vec<f32>>, ModelsError> {
        let prefix = match kind {
            EmbedKind::Query => &self.query_prefix,
            EmbedKind::Passage => &self.passage_prefix,
        };
        let tokens = self.runner.map(texts, |text| {
            if prefix.is_empty() {
                return self.tokenizer.encode(text, self.info.max_tokens);
            }
            self.tokenizer.encode(&format!("{prefix}{text}"), self.info.max_tokens)
        })?;
        self.pooled(&tokens)
    }

    /// Unit vectors of token lists as they are: special tokens included, no prefix.
    ///
    /// # Errors
    /// When a list is empty, longer than the model's positions or holds an id that the model does not know.
    pub fn embed_tokens(&self, tokens: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, ModelsError> {
        let tokens: Vec<_> =
            tokens.iter().map(|ids| Tokens { ids: ids.clone(), types: Vec::new() }).collect();
        self.pooled(&tokens)
    }

    fn pooled(&self, tokens: &[Tokens]) -> Result<Vec<Vec<f32>>, ModelsError> {
        let mut vectors = self.runner.run(tokens, |panels, range| match self.pooling {
            Pooling::Cls => panels.token(range.start),
            Pooling::Mean => {
                let mut mean = vec![0f32; panels.features()];
                for block in range.start / LANES..=(range.end - 1) / LANES {
                    let first = block * LANES;
                    let lanes = range.start.max(first) - first..range.end.min(first + LANES) - first;
                    for (sum, values) in mean.iter_mut().zip(panels.block(block)) {
                        *sum += values.0[lanes.clone()].iter().sum::<f32>();
                    }
                }
                mean // the norm divides by the count
            }
        })?;
        for (index, vector) in vectors.iter_mut().enumerate() {
            let norm = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
            if !norm.is_finite() || norm == 0.0 {
                return Err(ModelsError::NotFinite { index });
            }
            let factor = (1.0 / norm) as f32;
            vector.iter_mut().for_each(|value| *value *= factor);
        }
        Ok(vectors)
    }
}

/// Where the encoder's tensors stand: at the top, or below the name of a class that held it.
fn prefix(weights: &Weights) -> Result<&'static str, ModelsError> {
    let found = ["", "bert.", "roberta.", "model.", "0.auto_model."]
        .into_iter()
        .find(|prefix| weights.contains(&format!("{prefix}embeddings.word_embeddings.weight")));
    found.ok_or_else(|| ModelsError::tensor(weights.folder(), "embeddings.word_embeddings.weight", "absent"))
}

fn limit(
    config: &NetConfig,
    layout: &Layout,
    options: &EncoderOptions,
    tokenizer: &TextTokenizer,
) -> Result<usize, ModelsError> {
    let longest = config.longest();
    let most = options.max_tokens.or(layout.max_tokens).unwrap_or(longest);
    if options.max_tokens.is_some_and(|most| most > longest) {
        let message = format!("max_tokens is {most}, but the model has {longest} positions");
        return Err(ModelsError::Input { message });
    }
    let least = tokenizer.special_tokens(false) + 1;
    if most < least {
        return Err(ModelsError::Input {
            message: format!("max_tokens is {most}; it needs at least {least}"),
        });
    }
    Ok(most.min(longest))
}

/// `name@hash`, and a hash of the options that change vectors where any is set.
fn identity(folder: &Path, options: &EncoderOptions, fingerprint: &str) -> String {
    let name = options.name.clone().unwrap_or_else(|| {
        let name = folder.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy());
        name.replace("--", "/")
    });
    let EncoderOptions { query_prefix, passage_prefix, max_tokens, .. } = options;
    if query_prefix.is_none() && passage_prefix.is_none() && max_tokens.is_none() {
        return format!("{name}@{fingerprint}");
    }
    let mut hash = Sha256::new();
    hash.update(format!("{query_prefix:?} {passage_prefix:?} {max_tokens:?}"));
    format!("{name}@{fingerprint}+{}", hex(&hash.finalize(), 3))
}
