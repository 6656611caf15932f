//! Text without special tokens to token ids.

use std::collections::HashSet;

use tokenizers::Tokenizer;

use super::sentencepiece::SentencePiece;
use crate::error::ModelsError;

/// A tokenizer that makes no special token, whatever the text says.
pub(super) struct Plain {
    pub(super) kind: PlainKind,
    /// Tokens that plain text may not become.
    pub(super) forbidden: HashSet<u32>,
}

/// The implementations.
pub(super) enum PlainKind {
    /// From a `tokenizer.json`, or one made of a GGUF's entries.
    Json {
        /// For the beginning of a text.
        first: Box<Tokenizer>,
        /// For the rest, where the two differ.
        later: Option<Box<Tokenizer>>,
    },
    /// SentencePiece's merges by score.
    SentencePiece(Box<SentencePiece>),
}

impl Plain {
    /// Tokens of a text; `first` where it begins a prompt.
    pub(super) fn encode(&self, text: &str, first: bool) -> Result<Vec<u32>, ModelsError> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        match &self.kind {
            PlainKind::SentencePiece(model) => Ok(model.encode(text)),
            PlainKind::Json { first: begin, later } => {
                let tokenizer = if first { begin } else { later.as_ref().unwrap_or(begin) };
                let ids = tokenizer.encode_fast(text, false).map_err(failed)?.get_ids().to_vec();
                if ids.iter().any(|id| self.forbidden.contains(id)) {
                    return self.apart(tokenizer, text);
                }
                Ok(ids)
            }
        }
    }

    /// Tokens of a text that its model would make a special token of, cut in two within that token.
    fn apart(&self, tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, ModelsError> {
        let mut rest = vec![text];
        let mut ids = Vec::new();
        while let Some(text) = rest.pop() {
            let encoding = tokenizer.encode(text, false).map_err(failed)?;
            let found = encoding.get_ids().iter().position(|id| self.forbidden.contains(id));
            let Some(found) = found else {
                ids.extend(encoding.get_ids());
                continue;
            };
            let (start, end) = encoding.get_offsets()[found];
            let inside = text.char_indices().map(|(at, _)| at).find(|at| *at > start && *at < end);
            let middle = inside.or_else(|| {
                text.char_indices().map(|(at, _)| at).find(|at| *at * 2 >= text.len() && *at > 0)
            });
            let Some(at) = middle else {
                return Err(ModelsError::Input {
                    message: format!(
                        "{text:?} is a special token of it and cannot be written as text; leave it out"
                    ),
                });
            };
            rest.push(&text[at..]);
            rest.push(&text[..at]);
        }
        Ok(ids)
    }
}

fn failed(error: tokenizers::Error) -> ModelsError {
    ModelsError::Input { message: format!("the tokenizer failed: {error}") }
}
