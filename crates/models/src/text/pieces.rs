//! Token ids to text.

use std::sync::Arc;

use serde_json::Value;

use super::sentencepiece::SPACE;

/// How a vocabulary writes bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// Every byte as a visible character (Radford et al. 2019, GPT-2's `bytes_to_unicode`).
    ByteLevel,
    /// Spaces as a mark, and bytes that have no piece as `<0x0A>`.
    Marked {
        /// What stands for a space.
        mark: char,
        /// Whether `<0x0A>` is a byte.
        bytes: bool,
        /// What becomes of the space in front of a text.
        lead: Lead,
    },
}

/// What becomes of spaces in front of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lead {
    /// They stay.
    Keep,
    /// The first is dropped.
    One,
    /// All of the first token's are dropped.
    Token,
}

impl Writing {
    /// As a `tokenizer.json`'s decoder says; `Err` names what is not known.
    pub(super) fn of(decoder: &Value, pre_tokenizer: &Value) -> Result<Self, String> {
        let mut writing = Self::Marked { mark: SPACE, bytes: false, lead: Lead::Keep };
        if decoder.is_null() {
            let level = pre_tokenizer.to_string().contains("\"ByteLevel\"");
            return if level { Ok(Self::ByteLevel) } else { Err("no decoder".to_owned()) };
        }
        let one = std::slice::from_ref(decoder);
        let steps = decoder.get("decoders").and_then(Value::as_array).map_or(one, Vec::as_slice);
        for step in steps {
            let kind = step.get("type").and_then(Value::as_str).unwrap_or("without a type");
            let Self::Marked { mark, bytes, lead } = &mut writing else { break };
            match kind {
                "ByteLevel" => writing = Self::ByteLevel,
                "ByteFallback" => *bytes = true,
                "Fuse" => {}
                "Replace" => {
                    match (step.pointer("/pattern/String").and_then(Value::as_str), step.get("content")) {
                        (Some(from), Some(Value::String(to))) if to == " " && from.chars().count() == 1 => {
                            *mark = from.chars().next().unwrap_or(SPACE);
                        }
                        _ => return Err(format!("the decoder {step}")),
                    }
                }
                "Strip" if step.get("content").and_then(Value::as_str) == Some(" ") => {
                    *lead = if step.get("start").and_then(Value::as_u64).unwrap_or(0) > 0 {
                        Lead::One
                    } else {
                        Lead::Keep
                    };
                }
                "Metaspace" => {
                    *mark = step
                        .get("replacement")
                        .and_then(Value::as_str)
                        .and_then(|text| text.chars().next())
                        .unwrap_or(SPACE);
                    let kept = step.get("prepend_scheme").and_then(Value::as_str) == Some("never")
                        || step.get("add_prefix_space").and_then(Value::as_bool) == Some(false);
                    *lead = if kept { Lead::Keep } else { Lead::Token };
                }
                _ => return Err(format!("the decoder {kind}")),
            }
        }
        Ok(writing)
    }

    fn bytes(&self, text: &str) -> Vec<u8> {
        match self {
            Self::ByteLevel => text
                .chars()
                .map(visible_byte)
                .collect::<Option<Vec<u8>>>()
                .unwrap_or_else(|| text.as_bytes().to_vec()),
            Self::Marked { mark, bytes, .. } => match byte_token(text).filter(|_| *bytes) {
                Some(byte) => vec![byte],
                None => text.replace(*mark, " ").into_bytes(),
            },
        }
    }
}

/// The byte of a token such as `<0x0A>`.
pub(super) fn byte_token(text: &str) -> Option<u8> {
    let hex = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if hex.len() == 2 { u8::from_str_radix(hex, 16).ok() } else { None }
}

/// The byte that a visible character stands for: printable Latin-1 is itself, the others follow U+0100 in order.
fn visible_byte(c: char) -> Option<u8> {
    let printable = |code: u32| matches!(code, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    let code = u32::from(c);
    if printable(code) {
        return u8::try_from(code).ok();
    }
    let nth = usize::try_from(code.checked_sub(0x100)?).ok()?;
    (0u8..=255).filter(|byte| !printable(u32::from(*byte))).nth(nth)
}

/// The bytes of every token.
pub(super) struct Pieces {
    bytes: Vec<Box<[u8]>>,
    special: Vec<bool>,
    lead: Lead,
}

impl Pieces {
    /// Of the tokens' names, in order, and whether each is special; `None` for an id without a token.
    pub(super) fn new(tokens: &[Option<(String, bool)>], writing: &Writing) -> Self {
        let bytes = tokens.iter().map(|token| match token {
            Some((text, false)) => writing.bytes(text).into_boxed_slice(),
            _ => Box::default(),
        });
        let special = tokens.iter().map(|token| token.as_ref().is_some_and(|(_, special)| *special));
        let lead = match writing {
            Writing::ByteLevel => Lead::Keep,
            Writing::Marked { lead, .. } => *lead,
        };
        Self { bytes: bytes.collect(), special: special.collect(), lead }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn bytes(&self, id: u32) -> &[u8] {
        usize::try_from(id).ok().and_then(|id| self.bytes.get(id)).map_or(&[], |bytes| bytes)
    }

    pub(super) fn is_special(&self, id: u32) -> bool {
        usize::try_from(id).ok().and_then(|id| self.special.get(id)).copied().unwrap_or(false)
    }
}

/// Tokens as text, as they come: what [`push`](Self::push) and [`finish`](Self::finish) return together is the text of
/// all tokens. Bytes that are no whole character yet are held back, at most three. A clone goes on from the same place.
#[derive(Clone)]
pub struct Detokenizer {
    pieces: Arc<Pieces>,
    held: Vec<u8>,
    lead: Lead,
}

impl std::fmt::Debug for Detokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detokenizer").field("held", &self.held).finish_non_exhaustive()
    }
}

impl Detokenizer {
    pub(super) fn new(pieces: Arc<Pieces>) -> Self {
        let lead = pieces.lead;
        Self { pieces, held: Vec::new(), lead }
    }

    /// For a text that goes on after others, where the first token's space counts.
    #[must_use]
    pub fn inside(mut self) -> Self {
        self.lead = Lead::Keep;
        self
    }

    /// The text that is certain after one more token; empty for special and unknown tokens.
    pub fn push(&mut self, id: u32) -> String {
        let mut bytes = self.pieces.bytes(id);
        if !bytes.is_empty() {
            let spaces = bytes.iter().take_while(|byte| **byte == b' ').count();
            let dropped = match self.lead {
                Lead::Keep => 0,
                Lead::One => spaces.min(1),
                Lead::Token => spaces,
            };
            bytes = &bytes[dropped..];
            self.lead = Lead::Keep;
        }
        self.held.extend_from_slice(bytes);
        let mut text = String::new();
        let mut done = 0;
        loop {
            match std::str::from_utf8(&self.held[done..]) {
                Ok(rest) => {
                    text.push_str(rest);
                    done = self.held.len();
                    break;
                }
                Err(error) => {
                    let valid = done + error.valid_up_to();
                    text.push_str(&String::from_utf8_lossy(&self.held[done..valid]));
                    done = valid;
                    // As `String::from_utf8_lossy`: one U+FFFD for each longest wrong sequence.
                    let Some(wrong) = error.error_len() else { break };
                    text.push(char::REPLACEMENT_CHARACTER);
                    done += wrong;
                }
            }
        }
        self.held.drain(..done);
        text
    }

    /// What was held back; a character that never became whole is U+FFFD.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.held)).into_owned()
    }
}
