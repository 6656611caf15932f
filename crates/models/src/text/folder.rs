//! A generator's text from a Hugging Face folder.

use std::path::Path;

use serde_json::Value;
use tokenizers::AddedToken;

use super::build::{self, Parts};
use super::style::{STYLE, STYLES, style};
use crate::error::{ModelsError, read_json};

/// The special tokens that a chat template may name.
const NAMES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Reads the files of a folder.
pub(super) fn read(folder: &Path) -> Result<Parts, ModelsError> {
    let path = folder.join("tokenizer.json");
    let mut parts = build::from_json(&path, &read_json(&path)?)?;
    let config = optional(&folder.join("tokenizer_config.json"))?;
    let map = optional(&folder.join("special_tokens_map.json"))?;
    for (id, token) in declared(&config) {
        if parts.added.iter().all(|(known, _)| *known != id) {
            parts.added.push((id, token.clone()));
            let at = usize::try_from(id).unwrap_or(usize::MAX);
            if at > build::MOST_TOKENS {
                let message = format!("the token id {id} is above {}", build::MOST_TOKENS);
                return Err(ModelsError::invalid(&folder.join("tokenizer_config.json"), message));
            }
            if parts.tokens.len() <= at {
                parts.tokens.resize(at + 1, None);
            }
            parts.tokens[at] = Some(token.content);
        }
    }
    parts.added.sort_by_key(|(id, _)| *id);
    for name in NAMES {
        let Some(text) = token_text(config.get(name)).or_else(|| token_text(map.get(name))) else { continue };
        if let Some(id) = id_of(&parts, &text) {
            parts.make_special(id, &text);
        }
        parts.names.push((name.to_owned(), text));
    }
    let extra =
        [&config, &map].into_iter().filter_map(|file| file.get("additional_special_tokens")?.as_array());
    for token in extra.flatten().filter_map(|token| token_text(Some(token))).collect::<Vec<_>>() {
        if let Some(id) = id_of(&parts, &token) {
            parts.make_special(id, &token);
        }
    }
    for name in ["generation_config.json", "config.json"] {
        let path = folder.join(name);
        let file = optional(&path)?;
        if let Some(named) = file.get(STYLE) {
            let known = named.as_str().and_then(style);
            let wrong = || ModelsError::invalid(&path, format!("its {STYLE} is not {STYLES}"));
            parts.answer_style = known.ok_or_else(wrong)?;
        }
        let nested = file.pointer("/text_config/eos_token_id");
        parts.ends.extend(ids(file.get("eos_token_id")).chain(ids(nested)));
    }
    let end =
        parts.names.iter().find(|(name, _)| name == "eos_token").and_then(|(_, text)| id_of(&parts, text));
    parts.ends.extend(end);
    parts.template = template(folder, &config)?;
    Ok(parts)
}

/// The template: a file of its own wins over the configuration's, as in transformers.
fn template(folder: &Path, config: &Value) -> Result<Option<String>, ModelsError> {
    let path = folder.join("chat_template.jinja");
    if path.is_file() {
        let text = std::fs::read_to_string(&path).map_err(|source| ModelsError::Read { path, source })?;
        return Ok(Some(text));
    }
    let other = folder.join("chat_template.json");
    let processor = optional(&other)?;
    let sources = [(folder.join("tokenizer_config.json"), config), (other, &processor)];
    for (path, file) in sources {
        match file.get("chat_template") {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => return Ok(Some(text.clone())),
            Some(named) => return Ok(Some(default_of(&path, named)?)),
        }
    }
    Ok(None)
}

/// The template called `default` of several, as a list of names and templates or a map.
fn default_of(path: &Path, named: &Value) -> Result<String, ModelsError> {
    let pairs: Vec<(&str, &str)> = match named {
        Value::Array(items) => items
            .iter()
            .filter_map(|item| Some((item.get("name")?.as_str()?, item.get("template")?.as_str()?)))
            .collect(),
        Value::Object(entries) => {
            entries.iter().filter_map(|(name, text)| Some((name.as_str(), text.as_str()?))).collect()
        }
        _ => Vec::new(),
    };
    match pairs.iter().find(|(name, _)| *name == "default") {
        Some((_, text)) => Ok((*text).to_owned()),
        None if pairs.len() == 1 => Ok(pairs[0].1.to_owned()),
        None => {
            let names: Vec<&str> = pairs.iter().map(|(name, _)| *name).collect();
            Err(ModelsError::invalid(
                path,
                format!(
                    "it has no chat template called default, only [{}]; name a file with the one to use in the settings",
                    names.join(", ")
                ),
            ))
        }
    }
}

/// A JSON file; null where there is none.
fn optional(path: &Path) -> Result<Value, ModelsError> {
    if path.is_file() { read_json(path) } else { Ok(Value::Null) }
}

/// A token as a string or as an object with its content.
fn token_text(value: Option<&Value>) -> Option<String> {
    let value = value?;
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
}

/// One id or a list of them.
fn ids(value: Option<&Value>) -> impl Iterator<Item = u32> {
    let list = match value {
        Some(Value::Array(items)) => items.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    };
    list.into_iter().filter_map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok()))
}

/// `added_tokens_decoder` of a `tokenizer_config.json`.
fn declared(config: &Value) -> Vec<(u32, AddedToken)> {
    let Some(entries) = config.get("added_tokens_decoder").and_then(Value::as_object) else {
        return Vec::new();
    };
    let flag = |entry: &Value, name: &str| entry.get(name).and_then(Value::as_bool).unwrap_or(false);
    let token = |(id, entry): (&String, &Value)| {
        let content = entry.get("content")?.as_str()?;
        let token = AddedToken::from(content, flag(entry, "special"))
            .lstrip(flag(entry, "lstrip"))
            .rstrip(flag(entry, "rstrip"))
            .single_word(flag(entry, "single_word"))
            .normalized(flag(entry, "normalized"));
        Some((id.parse().ok()?, token))
    };
    entries.iter().filter_map(token).collect()
}

fn id_of(parts: &Parts, text: &str) -> Option<u32> {
    let at = parts.tokens.iter().position(|token| token.as_deref() == Some(text))?;
    u32::try_from(at).ok()
}
