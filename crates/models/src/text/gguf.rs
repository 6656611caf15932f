//! A generator's text from a GGUF file's metadata.
//!
//! Entries: ggml's `docs/gguf.md`, "Tokenizer"; meaning of `tokenizer.ggml.pre`: llama.cpp's `llama-vocab.cpp`.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use candle_core::quantized::gguf_file::Value;
use lore_core::AnswerStyle;
use serde_json::json;
use tokenizers::AddedToken;

use super::build::{self, MOST_TOKENS, Parts, Source};
use super::pieces::{Lead, Writing, byte_token};
use super::sentencepiece::SPACE;
use super::style::{GGUF_STYLE, STYLES, style};
use crate::error::ModelsError;

/// Kinds of tokens in `tokenizer.ggml.token_type`.
pub(super) const UNKNOWN: i64 = 2;
pub(super) const CONTROL: i64 = 3;
pub(super) const USER_DEFINED: i64 = 4;
pub(super) const BYTE: i64 = 6;

/// Llama 3's words: contractions in any case, letters with one sign before them, up to three digits, and so on.
pub(super) const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen2's: as Llama 3's, digits one by one.
pub(crate) const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Mistral's Tekken: words also end where a capital begins another.
pub(super) const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The entries of a file.
struct Entries<'a> {
    path: &'a Path,
    metadata: &'a HashMap<String, Value>,
}

/// Reads the entries.
pub(super) fn read(path: &Path, metadata: &HashMap<String, Value>) -> Result<Parts, ModelsError> {
    let entries = Entries { path, metadata };
    let model = entries.text("tokenizer.ggml.model")?.ok_or_else(|| {
        ModelsError::invalid(path, "it has no tokenizer (tokenizer.ggml.model); use a file that carries one")
    })?;
    let tokens = entries.strings("tokenizer.ggml.tokens")?.unwrap_or_default();
    if tokens.is_empty() || tokens.len() > MOST_TOKENS {
        let message = format!("tokenizer.ggml.tokens has {} entries, not 1 to {MOST_TOKENS}", tokens.len());
        return Err(ModelsError::invalid(path, message));
    }
    let kinds = entries.integers("tokenizer.ggml.token_type")?;
    let kinds = kinds.unwrap_or_else(|| vec![1; tokens.len()]);
    if kinds.len() != tokens.len() {
        let message =
            format!("tokenizer.ggml.token_type has {} entries for {} tokens", kinds.len(), tokens.len());
        return Err(ModelsError::invalid(path, message));
    }
    let (mut parts, begins) = match model {
        "gpt2" => byte_level(&entries, &tokens)?,
        "llama" => sentence_piece(&entries, &tokens, &kinds)?,
        other => return Err(ModelsError::unsupported(path, format!("the tokenizer model {other:?}"))),
    };
    parts.added = (0u32..)
        .zip(tokens.iter().zip(&kinds))
        .filter_map(|(id, (token, kind))| match *kind {
            CONTROL | UNKNOWN => Some((id, AddedToken::from(*token, true))),
            USER_DEFINED => Some((id, AddedToken::from(*token, false).normalized(false))),
            _ => None,
        })
        .filter(|(_, token)| !token.content.is_empty())
        .collect();
    for (entry, name) in
        [("bos", "bos_token"), ("eos", "eos_token"), ("unknown", "unk_token"), ("padding", "pad_token")]
    {
        let Some(id) = entries.token(&format!("tokenizer.ggml.{entry}_token_id"), tokens.len())? else {
            continue;
        };
        let token = tokens[id as usize];
        // Byte tokens are text even where a careless file calls them the beginning or the end.
        if kinds[id as usize] != BYTE {
            parts.make_special(id, token);
        }
        parts.names.push((name.to_owned(), token.to_owned()));
    }
    parts.ends = parts.ends_by_name();
    for entry in ["eos", "eot", "eom"] {
        parts.ends.extend(entries.token(&format!("tokenizer.ggml.{entry}_token_id"), tokens.len())?);
    }
    let flag = |name: &str, default| Ok::<_, ModelsError>(entries.flag(name)?.unwrap_or(default));
    let bos = entries.token("tokenizer.ggml.bos_token_id", tokens.len())?;
    let eos = entries.token("tokenizer.ggml.eos_token_id", tokens.len())?;
    let before = if flag("tokenizer.ggml.add_bos_token", begins)? { bos } else { None };
    let after = if flag("tokenizer.ggml.add_eos_token", false)? { eos } else { None };
    parts.frame = (before.into_iter().collect(), after.into_iter().collect());
    parts.template = entries.text("tokenizer.chat_template")?.map(str::to_owned);
    if let Some(name) = entries.text(GGUF_STYLE)? {
        parts.answer_style = style(name).ok_or_else(|| entries.wrong(GGUF_STYLE, STYLES))?;
    }
    Ok(parts)
}

/// Byte-level BPE, and whether texts begin with the begin-of-text token unless the file says otherwise.
fn byte_level(entries: &Entries<'_>, tokens: &[&str]) -> Result<(Parts, bool), ModelsError> {
    let merges = entries.strings("tokenizer.ggml.merges")?.ok_or_else(|| {
        ModelsError::invalid(entries.path, "it has no tokenizer.ggml.merges, which its tokenizer needs")
    })?;
    let split = |regex: &str| {
        json!({"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        ]})
    };
    let gpt2 =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true});
    let pre = entries.text("tokenizer.ggml.pre")?.unwrap_or("default");
    // Words that are tokens as a whole are not merged from their bytes in Llama 3 and Tekken.
    let (words, whole, normalizer) = match pre {
        "default" | "gpt-2" | "gpt2" => (gpt2, false, json!(null)),
        "smollm" => {
            let digits = json!({"type": "Digits", "individual_digits": true});
            (json!({"type": "Sequence", "pretokenizers": [digits, gpt2]}), false, json!(null))
        }
        "llama-bpe" | "llama3" | "llama-v3" => (split(LLAMA3), true, json!(null)),
        "qwen2" | "deepseek-r1-qwen" => (split(QWEN2), false, json!({"type": "NFC"})),
        "tekken" => (split(TEKKEN), true, json!(null)),
        other => return Err(ModelsError::unsupported(entries.path, format!("the pre-tokenizer {other:?}"))),
    };
    let vocabulary: serde_json::Map<_, _> =
        tokens.iter().zip(0u32..).map(|(token, id)| ((*token).to_owned(), json!(id))).collect();
    let json = json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": normalizer,
        "pre_tokenizer": words,
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": merges, "ignore_merges": whole},
    });
    let mut parts = build::from_json(entries.path, &json)?;
    parts.tokens = tokens.iter().map(|token| Some((*token).to_owned())).collect();
    Ok((parts, pre.starts_with("llama")))
}

/// SentencePiece's BPE.
fn sentence_piece(
    entries: &Entries<'_>,
    tokens: &[&str],
    kinds: &[i64],
) -> Result<(Parts, bool), ModelsError> {
    let scores = entries.numbers("tokenizer.ggml.scores")?.ok_or_else(|| {
        ModelsError::invalid(entries.path, "it has no tokenizer.ggml.scores, which its tokenizer needs")
    })?;
    if scores.len() != tokens.len() {
        let message =
            format!("tokenizer.ggml.scores has {} entries for {} tokens", scores.len(), tokens.len());
        return Err(ModelsError::invalid(entries.path, message));
    }
    let mut pieces = HashMap::with_capacity(tokens.len());
    let mut bytes = vec![None; 256];
    let mut unknown = entries.token("tokenizer.ggml.unknown_token_id", tokens.len())?;
    for (id, ((token, kind), score)) in (0u32..).zip(tokens.iter().zip(kinds).zip(&scores)) {
        match *kind {
            CONTROL | USER_DEFINED => {}
            UNKNOWN => unknown = unknown.or(Some(id)),
            BYTE => {
                if let Some(byte) = byte_token(token) {
                    bytes[usize::from(byte)] = Some(id);
                }
            }
            _ => {
                pieces.entry((*token).to_owned()).or_insert((id, *score));
            }
        }
    }
    let lead = entries.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let writing =
        Writing::Marked { mark: SPACE, bytes: true, lead: if lead { Lead::One } else { Lead::Keep } };
    let parts = Parts {
        path: entries.path.to_owned(),
        source: Source::SentencePiece { pieces, bytes, unknown, lead },
        tokens: tokens.iter().map(|token| Some((*token).to_owned())).collect(),
        added: Vec::new(),
        writing,
        frame: (Vec::new(), Vec::new()),
        ends: BTreeSet::new(),
        template: None,
        names: Vec::new(),
        answer_style: AnswerStyle::default(),
    };
    Ok((parts, true))
}

impl<'a> Entries<'a> {
    fn wrong(&self, name: &str, wanted: &str) -> ModelsError {
        ModelsError::invalid(self.path, format!("{name} is not {wanted}"))
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, ModelsError> {
        match self.metadata.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "a text")),
        }
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, ModelsError> {
        match self.metadata.get(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(self.wrong(name, "true or false")),
        }
    }

    /// A token id below `tokens`.
    fn token(&self, name: &str, tokens: usize) -> Result<Option<u32>, ModelsError> {
        let Some(value) = self.metadata.get(name) else { return Ok(None) };
        let id = integer(value).and_then(|id| u32::try_from(id).ok()).filter(|id| (*id as usize) < tokens);
        // llama.cpp writes -1 or 2^32-1 for "none".
        if id.is_none() && integer(value).is_some_and(|id| id == -1 || id == i64::from(u32::MAX)) {
            return Ok(None);
        }
        id.map(Some).ok_or_else(|| self.wrong(name, &format!("an id below {tokens}")))
    }

    fn array<T>(
        &self,
        name: &str,
        wanted: &str,
        one: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>, ModelsError> {
        match self.metadata.get(name) {
            None => Ok(None),
            Some(Value::Array(items)) => {
                let items: Option<Vec<T>> = items.iter().map(one).collect();
                items.map(Some).ok_or_else(|| self.wrong(name, wanted))
            }
            Some(_) => Err(self.wrong(name, wanted)),
        }
    }

    fn strings(&self, name: &str) -> Result<Option<Vec<&'a str>>, ModelsError> {
        self.array(name, "a list of texts", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    fn integers(&self, name: &str) -> Result<Option<Vec<i64>>, ModelsError> {
        self.array(name, "a list of integers", integer)
    }

    fn numbers(&self, name: &str) -> Result<Option<Vec<f32>>, ModelsError> {
        self.array(name, "a list of numbers", |value| match value {
            Value::F32(number) => Some(*number),
            _ => None,
        })
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::U8(n) => Some(i64::from(*n)),
        Value::I8(n) => Some(i64::from(*n)),
        Value::U16(n) => Some(i64::from(*n)),
        Value::I16(n) => Some(i64::from(*n)),
        Value::U32(n) => Some(i64::from(*n)),
        Value::I32(n) => Some(i64::from(*n)),
        Value::U64(n) => i64::try_from(*n).ok(),
        Value::I64(n) => Some(*n),
        _ => None,
    }
}
