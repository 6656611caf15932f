//! Plain text becomes token ids, and those become pieces that the model learns whole.

use lore_models::ModelsError;
use lore_models::text::GeneratorText;

use super::Example;

/// Characters after which a text is encoded in another go: a tokenizer keeps much beside each character.
const STRETCH: usize = 1 << 16;

/// Names of tokens that part documents, where a model has several that end a text: a chat model's end of a turn is none.
const PARTING: [&str; 5] = ["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<｜end▁of▁sentence｜>"];

/// What stands around a document.
pub(super) struct Frame<'a> {
    text: &'a GeneratorText,
    begin: Vec<u32>,
    end: Option<u32>,
}

impl<'a> Frame<'a> {
    pub(super) fn new(text: &'a GeneratorText) -> Result<Self, ModelsError> {
        // What the tokenizer puts before a text that stands alone.
        let (framed, bare) = (text.encode("a", true)?, text.encode("a", false)?);
        let at = framed.windows(bare.len().max(1)).position(|window| window == bare).unwrap_or(0);
        let ends = text.ends();
        let named = PARTING.iter().filter_map(|name| text.special(name)).find(|id| ends.contains(id));
        let parting = || PARTING.iter().find_map(|name| text.special(name));
        let end = named.or_else(parting).or_else(|| ends.first().copied());
        Ok(Self { text, begin: framed[..at].to_vec(), end })
    }

    /// Whether documents end in a token that says so.
    pub(super) fn ends(&self) -> bool {
        self.end.is_some()
    }

    /// The tokens of a document, its end included; special tokens named in it are text.
    pub(super) fn encode(&self, document: &str) -> Result<Vec<u32>, ModelsError> {
        let mut ids = self.begin.clone();
        for stretch in stretches(document) {
            ids.extend(self.text.encode(stretch, false)?);
        }
        ids.extend(self.end);
        Ok(ids)
    }
}

/// Stretches of a text that end in a line break with no white space after it, where no tokenizer joins two words.
fn stretches(mut text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    while text.len() > STRETCH {
        let bytes = text.as_bytes();
        let ends =
            (STRETCH..bytes.len()).find(|at| bytes[*at - 1] == b'\n' && !bytes[*at].is_ascii_whitespace());
        let Some(at) = ends.filter(|at| text.is_char_boundary(*at)) else { break };
        let (stretch, rest) = text.split_at(at);
        found.push(stretch);
        text = rest;
    }
    found.push(text);
    found
}

/// A document's tokens and where they come from.
pub(super) struct Tokens {
    pub id: String,
    pub documents: Vec<String>,
    pub tokens: Vec<u32>,
}

/// Pieces of at most `cutoff` tokens; joined ones hold the end of one document and the beginning of the next.
///
/// A piece of a single token has nothing to learn and is left out.
pub(super) fn pieces(documents: impl Iterator<Item = Tokens>, cutoff: usize, joined: bool) -> Vec<Example> {
    let mut found = Vec::new();
    let mut piece = Example::default();
    for document in documents {
        let mut rest = document.tokens.as_slice();
        let mut nth = 0;
        while !rest.is_empty() {
            if piece.tokens.is_empty() {
                nth += 1;
                piece.id = if nth == 1 { document.id.clone() } else { format!("{}#{nth}", document.id) };
            }
            let (now, later) = rest.split_at(rest.len().min(cutoff - piece.tokens.len()));
            piece.tokens.extend_from_slice(now);
            for id in &document.documents {
                if !piece.documents.contains(id) {
                    piece.documents.push(id.clone());
                }
            }
            rest = later;
            if piece.tokens.len() == cutoff || (!joined && rest.is_empty()) {
                found.push(std::mem::take(&mut piece));
            }
        }
    }
    found.push(piece);
    found.retain(|piece| piece.tokens.len() > 1);
    for piece in &mut found {
        piece.labelled = vec![true; piece.tokens.len()];
    }
    found
}
