//! A Hugging Face folder's tokenizer and chat template as entries of a GGUF file.
//!
//! Entries: ggml's `docs/gguf.md`, "Tokenizer". The words of byte-level BPE are told by their regular expression, since
//! llama.cpp has those of `tokenizer.ggml.pre` built in.

use std::collections::HashMap;
use std::path::Path;

use candle_core::quantized::gguf_file::Value;
use lore_core::AnswerStyle;
use serde_json::Value as Json;

use super::build::Parts;
use super::folder;
use super::gguf::{BYTE, CONTROL, LLAMA3, QWEN2, TEKKEN, UNKNOWN, USER_DEFINED};
use super::pieces::byte_token;
use super::style::{self, GGUF_STYLE};
use crate::error::{ModelsError, read_json};

const NORMAL: i64 = 1;
const UNUSED: i64 = 5;

/// The entries for a model whose embedding has `vocabulary` rows; those of a model without a tokenizer where `folder` has
/// none.
///
/// # Errors
/// When a file is damaged, or the tokenizer is of a kind that llama.cpp does not have.
pub fn gguf_tokenizer(folder: &Path, vocabulary: usize) -> Result<Vec<(String, Value)>, ModelsError> {
    let path = folder.join("tokenizer.json");
    if !path.is_file() {
        tracing::warn!(folder = %folder.display(), "there is no tokenizer.json, so that the GGUF file has no tokenizer");
        return Ok(vec![("tokenizer.ggml.model".into(), Value::String("no_vocab".into()))]);
    }
    let json: Json = read_json(&path)?;
    let parts = folder::read(folder)?;
    let refuse = |what: String| {
        let what = format!("{what}, which GGUF files do not have (merge to safetensors instead)");
        ModelsError::unsupported(&path, what)
    };
    if parts.tokens.len() > vocabulary {
        let message = format!("it has {} tokens and the model {vocabulary}", parts.tokens.len());
        return Err(ModelsError::invalid(&path, message));
    }
    if json.pointer("/model/type").and_then(Json::as_str) != Some("BPE") {
        let kind = json.pointer("/model/type").cloned().unwrap_or_default();
        return Err(refuse(format!("a tokenizer of type {kind}")));
    }
    let merges = merges(&json).ok_or_else(|| ModelsError::invalid(&path, "its merges cannot be read"))?;
    let pieces = json.pointer("/model/byte_fallback") == Some(&Json::Bool(true));
    let mut all = Vec::new();
    let mut add = |key: &str, value: Value| all.push((format!("tokenizer.{key}"), value));
    if pieces {
        add("ggml.model", Value::String("llama".into()));
        add("ggml.scores", Value::Array(scores(&parts, &merges, vocabulary)));
        add("ggml.add_space_prefix", Value::Bool(leads(&json)));
    } else {
        let pre =
            words(&json).ok_or_else(|| refuse("a tokenizer with these words (pre_tokenizer)".into()))?;
        add("ggml.model", Value::String("gpt2".into()));
        add("ggml.pre", Value::String(pre.into()));
        let joined = merges.iter().map(|(left, right)| Value::String(format!("{left} {right}")));
        add("ggml.merges", Value::Array(joined.collect()));
    }
    let (tokens, kinds) = tokens(&parts, &json, vocabulary);
    add("ggml.tokens", Value::Array(tokens));
    add("ggml.token_type", Value::Array(kinds));
    let id = |name: &str| {
        let (_, text) = parts.names.iter().find(|(known, _)| known == name)?;
        let at = parts.tokens.iter().position(|token| token.as_ref() == Some(text))?;
        u32::try_from(at).ok()
    };
    let eos = id("eos_token").or_else(|| parts.ends.first().copied());
    let named =
        [("bos", id("bos_token")), ("eos", eos), ("unknown", id("unk_token")), ("padding", id("pad_token"))];
    for (name, id) in named {
        if let Some(id) = id {
            add(&format!("ggml.{name}_token_id"), Value::U32(id));
        }
    }
    if let Some(other) = parts.ends.iter().find(|end| Some(**end) != eos) {
        add("ggml.eot_token_id", Value::U32(*other));
    }
    let (before, after) = &parts.frame;
    add("ggml.add_bos_token", Value::Bool(!before.is_empty()));
    add("ggml.add_eos_token", Value::Bool(!after.is_empty()));
    if let Some(template) = &parts.template {
        add("chat_template", Value::String(template.clone()));
    }
    if parts.answer_style != AnswerStyle::default() {
        all.push((GGUF_STYLE.into(), Value::String(style::name(parts.answer_style).into())));
    }
    Ok(all)
}

/// Pairs that are merged, the first first.
fn merges(json: &Json) -> Option<Vec<(String, String)>> {
    let pair = |merge: &Json| match merge {
        Json::String(text) => {
            let (left, right) = text.split_once(' ')?;
            Some((left.to_owned(), right.to_owned()))
        }
        Json::Array(two) => Some((two.first()?.as_str()?.to_owned(), two.get(1)?.as_str()?.to_owned())),
        _ => None,
    };
    json.pointer("/model/merges")?.as_array()?.iter().map(pair).collect()
}

/// SentencePiece's scores under which neighbours merge in the same order: the later a token is first made, the lower.
fn scores(parts: &Parts, merges: &[(String, String)], vocabulary: usize) -> Vec<Value> {
    let mut first: HashMap<String, usize> = HashMap::with_capacity(merges.len());
    for (rank, (left, right)) in merges.iter().enumerate() {
        first.entry(format!("{left}{right}")).or_insert(rank);
    }
    let score = |id: usize| {
        let token = parts.tokens.get(id).and_then(Option::as_ref);
        let rank = token.and_then(|token| first.get(token)).copied();
        Value::F32(-(rank.unwrap_or(merges.len() + id) as f32))
    };
    (0..vocabulary).map(score).collect()
}

/// Names and kinds of all ids.
fn tokens(parts: &Parts, json: &Json, vocabulary: usize) -> (Vec<Value>, Vec<Value>) {
    let added: HashMap<u32, bool> = parts.added.iter().map(|(id, token)| (*id, token.special)).collect();
    let unknown = json.pointer("/model/unk_token").and_then(Json::as_str);
    let pieces = json.pointer("/model/byte_fallback") == Some(&Json::Bool(true));
    let kind = |id: u32, token: &str| {
        if unknown == Some(token) {
            return UNKNOWN;
        }
        match added.get(&id) {
            Some(true) => CONTROL,
            Some(false) => USER_DEFINED,
            None if pieces && byte_token(token).is_some() => BYTE,
            None => NORMAL,
        }
    };
    let of = |id: usize| match parts.tokens.get(id).and_then(Option::as_ref) {
        Some(token) => (token.clone(), kind(id as u32, token)),
        None => (format!("[PAD{id}]"), UNUSED),
    };
    let both = (0..vocabulary).map(of);
    both.map(|(token, kind)| (Value::String(token), Value::I32(kind as i32))).unzip()
}

/// Whether SentencePiece puts a space in front: by a normaliser that prepends its mark, or a pre-tokenizer that does.
fn leads(json: &Json) -> bool {
    let mut steps = Vec::new();
    flatten(json.get("normalizer"), "normalizers", &mut steps);
    flatten(json.get("pre_tokenizer"), "pretokenizers", &mut steps);
    steps.iter().any(|step| match step.get("type").and_then(Json::as_str) {
        Some("Prepend") => true,
        Some("Metaspace") => step.get("prepend_scheme").and_then(Json::as_str) != Some("never"),
        _ => false,
    })
}

/// llama.cpp's name for the words of a byte-level tokenizer.
fn words(json: &Json) -> Option<&'static str> {
    let mut steps = Vec::new();
    flatten(json.get("pre_tokenizer"), "pretokenizers", &mut steps);
    let kind = |step: &Json| step.get("type").and_then(Json::as_str).unwrap_or_default().to_owned();
    let flag = |step: &Json, name: &str| step.get(name).and_then(Json::as_bool);
    let last = steps.last()?;
    if kind(last) != "ByteLevel" || flag(last, "add_prefix_space") == Some(true) {
        return None;
    }
    let own = flag(last, "use_regex").unwrap_or(true);
    match (&steps[..steps.len() - 1], own) {
        ([], true) => Some("gpt-2"),
        ([digits], true) if kind(digits) == "Digits" && flag(digits, "individual_digits") == Some(true) => {
            Some("smollm")
        }
        ([split], false) if kind(split) == "Split" => {
            match split.pointer("/pattern/Regex").and_then(Json::as_str)? {
                LLAMA3 => Some("llama-bpe"),
                QWEN2 => Some("qwen2"),
                TEKKEN => Some("tekken"),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The steps of a sequence, or the one step.
fn flatten<'a>(step: Option<&'a Json>, list: &str, steps: &mut Vec<&'a Json>) {
    let Some(step) = step.filter(|step| !step.is_null()) else { return };
    match step.get(list).and_then(Json::as_array) {
        Some(inner) => inner.iter().for_each(|step| flatten(Some(step), list, steps)),
        None => steps.push(step),
    }
}
