//! Finds special tokens in a text.

use std::ops::Range;

use serde_json::json;
use tokenizers::{AddedToken, NormalizerWrapper, OffsetReferential, OffsetType, Tokenizer};

/// Finds tokens by their names, the leftmost first and the longest of those, as `tokenizers` does, white space beside
/// them included where the token takes it.
pub(super) struct Splitter {
    /// Only for its added vocabulary.
    inner: Option<Tokenizer>,
}

impl Splitter {
    /// For these tokens.
    pub(super) fn new(tokens: &[(u32, AddedToken)]) -> Result<Self, tokenizers::Error> {
        if tokens.is_empty() {
            return Ok(Self { inner: None });
        }
        let names: serde_json::Map<_, _> =
            tokens.iter().map(|(id, token)| (token.content.clone(), json!(id))).collect();
        let model = json!({"type": "WordLevel", "vocab": names, "unk_token": ""});
        let mut inner = Tokenizer::from_bytes(
            json!({"version": "1.0", "added_tokens": [], "model": model}).to_string().as_bytes(),
        )?;
        // Matched as they stand: what a normaliser folds to a token's name is not that token.
        inner.add_tokens(tokens.iter().map(|(_, token)| token.clone().normalized(false)))?;
        Ok(Self { inner: Some(inner) })
    }

    /// The id of a token by its name.
    pub(super) fn id(&self, name: &str) -> Option<u32> {
        self.inner.as_ref()?.get_added_vocabulary().get_vocab().get(name).copied()
    }

    /// Consecutive ranges of bytes that make up the text, each with its token or with none.
    pub(super) fn split(&self, text: &str) -> Vec<(Range<usize>, Option<u32>)> {
        let Some(inner) = &self.inner else {
            return if text.is_empty() { Vec::new() } else { vec![(0..text.len(), None)] };
        };
        let found = inner.get_added_vocabulary().extract_and_normalize(None::<&NormalizerWrapper>, text);
        found
            .get_splits(OffsetReferential::Original, OffsetType::Byte)
            .into_iter()
            .filter(|(part, ..)| !part.is_empty())
            .map(|(_, (start, end), tokens)| {
                (start..end, tokens.as_ref().and_then(|tokens| tokens.first()).map(|token| token.id))
            })
            .collect()
    }
}
