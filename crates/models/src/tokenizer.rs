//! Text to token ids, as `tokenizer.json` says.

use std::path::Path;

use lore_core::model::TokenCounter;
use std::sync::Arc;
use tokenizers::utils::truncation::{
    TruncationDirection, TruncationParams, TruncationStrategy, truncate_encodings,
};
use tokenizers::{PostProcessor, Tokenizer};

use crate::error::ModelsError;

/// Token ids and, for a pair of texts, which of the two each belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Ids, special tokens included.
    pub ids: Vec<u32>,
    /// Token types, as long as `ids`.
    pub types: Vec<u32>,
}

/// A tokenizer that neither truncates nor pads unless asked; the settings in the file are its author's batch sizes.
#[derive(Clone)]
pub struct TextTokenizer {
    inner: Arc<Tokenizer>,
    lowercase: bool,
}

impl std::fmt::Debug for TextTokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextTokenizer").field("vocabulary", &self.vocabulary()).finish_non_exhaustive()
    }
}

impl TextTokenizer {
    /// Reads `tokenizer.json` of `folder`; `lowercase` lowers texts first (sentence-transformers' `do_lower_case`).
    ///
    /// # Errors
    /// When it is absent or damaged.
    pub fn load(folder: &Path, lowercase: bool) -> Result<Self, ModelsError> {
        let path = folder.join("tokenizer.json");
        if !path.is_file() {
            return Err(ModelsError::Missing { folder: folder.to_owned(), wanted: "tokenizer.json" });
        }
        let mut inner = Tokenizer::from_file(&path).map_err(|error| ModelsError::invalid(&path, error))?;
        inner.with_truncation(None).map_err(|error| ModelsError::invalid(&path, error))?.with_padding(None);
        Ok(Self { inner: Arc::new(inner), lowercase })
    }

    /// Number of ids, added tokens included.
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Number of special tokens put around a text, or around a pair.
    pub fn special_tokens(&self, pair: bool) -> usize {
        self.inner.get_post_processor().map_or(0, |processor| processor.added_tokens(pair))
    }

    /// Counts the tokens of a text without special tokens.
    pub fn counter(&self) -> TokenCounter {
        let this = self.clone();
        // A text that the tokenizer refuses is counted as its characters: an upper bound, so that chunks stay small.
        Arc::new(move |text| {
            this.plain(text).map_or_else(|_| text.chars().count(), |encoding| encoding.len())
        })
    }

    /// Tokens of a text with special tokens, cut at its end to at most `most` tokens.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn encode(&self, text: &str, most: usize) -> Result<Tokens, ModelsError> {
        self.finish(self.plain(text)?, None, most)
    }

    /// Tokens of a pair of texts with special tokens, the longer cut first, to at most `most` tokens.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn encode_pair(&self, first: &str, second: &str, most: usize) -> Result<Tokens, ModelsError> {
        self.finish(self.plain(first)?, Some(self.plain(second)?), most)
    }

    fn plain(&self, text: &str) -> Result<tokenizers::Encoding, ModelsError> {
        let lowered;
        let text = if self.lowercase {
            lowered = text.to_lowercase();
            lowered.as_str()
        } else {
            text
        };
        self.inner.encode_fast(text, false).map_err(failed)
    }

    fn finish(
        &self,
        first: tokenizers::Encoding,
        second: Option<tokenizers::Encoding>,
        most: usize,
    ) -> Result<Tokens, ModelsError> {
        let params = TruncationParams {
            direction: TruncationDirection::Right,
            max_length: most.saturating_sub(self.special_tokens(second.is_some())),
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        let (first, second) = truncate_encodings(first, second, &params).map_err(failed)?;
        let encoding = self.inner.post_process(first, second, true).map_err(failed)?;
        Ok(Tokens { ids: encoding.get_ids().to_vec(), types: encoding.get_type_ids().to_vec() })
    }
}

fn failed(error: tokenizers::Error) -> ModelsError {
    ModelsError::Input { message: format!("the tokenizer failed: {error}") }
}
