//! Cross-encoders: a question and a passage read together, and one number that says how well they fit.

use std::path::Path;

use super::config::{Layout, NetConfig, Positions};
use super::net::Net;
use super::run::Runner;
use super::{EncoderOptions, identity, limit, prefix};
use crate::error::ModelsError;
use crate::ops::Isa;
use crate::tokenizer::{TextTokenizer, Tokens};
use crate::weights::Weights;

/// Row-major weights `[outputs, inputs]` and a bias, for one vector at a time.
#[derive(Debug)]
struct Dense {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Dense {
    fn load(weights: &Weights, name: &str, inputs: usize, outputs: usize) -> Result<Self, ModelsError> {
        Ok(Self {
            weight: weights.read(&format!("{name}.weight"), &[outputs, inputs])?,
            bias: weights.read(&format!("{name}.bias"), &[outputs])?,
        })
    }

    fn apply(&self, x: &[f32]) -> Vec<f32> {
        let dot = |row: &[f32]| row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>();
        self.weight.chunks_exact(x.len()).zip(&self.bias).map(|(row, bias)| dot(row) + bias).collect()
    }
}

/// A BERT, RoBERTa or XLM-RoBERTa sequence classifier with one output.
///
/// BERT: `classifier(tanh(pooler(first token)))`. RoBERTa: `out_proj(tanh(dense(first token)))`.
#[derive(Debug)]
pub struct Reranker {
    runner: Runner,
    tokenizer: TextTokenizer,
    inner: Dense,
    outer: Dense,
    id: String,
    max_tokens: usize,
}

impl Reranker {
    /// Loads a folder with `config.json`, `tokenizer.json` and the weights of a sequence classifier.
    ///
    /// # Errors
    /// When a file or tensor is absent or damaged, or the classifier has not exactly one output.
    pub fn load(folder: &Path, options: EncoderOptions) -> Result<Self, ModelsError> {
        let layout = Layout::load(folder)?;
        let config = NetConfig::load(&layout.net)?;
        let tokenizer = TextTokenizer::load(&layout.net, layout.lowercase)?;
        let weights = Weights::open(&layout.net)?;
        let max_tokens = limit(&config, &layout, &options, &tokenizer)?;
        let hidden = config.hidden_size;
        let prefix = prefix(&weights)?;
        let (inner, outer) = match config.positions() {
            Positions::FromZero => (format!("{prefix}pooler.dense"), "classifier"),
            Positions::AfterPadding(_) => ("classifier.dense".to_owned(), "classifier.out_proj"),
        };
        let inner = Dense::load(&weights, &inner, hidden, hidden)?;
        let outer = Dense::load(&weights, outer, hidden, 1)?;
        let pool = Runner::pool(options.threads)?;
        let net = pool.install(|| Net::load(config, &weights, prefix, Isa::detect()))?;
        let id = identity(folder, &options, &weights.fingerprint());
        Ok(Self { runner: Runner::new(net, pool), tokenizer, inner, outer, id, max_tokens })
    }

    /// Name with weights hash.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The classifier's output (a logit; higher fits better) for `query` with each passage, in their order.
    ///
    /// # Errors
    /// When a text cannot be tokenized, or a score is not finite.
    pub fn score(&self, query: &str, passages: &[String]) -> Result<Vec<f32>, ModelsError> {
        let one_type = self.runner.net.config().type_vocab_size == 1;
        let pairs = self.runner.map(passages, |passage| {
            let tokens = self.tokenizer.encode_pair(query, passage, self.max_tokens)?;
            Ok(if one_type { Tokens { types: Vec::new(), ..tokens } } else { tokens })
        })?;
        let scores = self.runner.run(&pairs, |panels, range| {
            let mut inner = self.inner.apply(&panels.token(range.start));
            inner.iter_mut().for_each(|value| *value = value.tanh());
            self.outer.apply(&inner)[0]
        })?;
        match scores.iter().position(|score| !score.is_finite()) {
            Some(index) => Err(ModelsError::NotFinite { index }),
            None => Ok(scores),
        }
    }
}
