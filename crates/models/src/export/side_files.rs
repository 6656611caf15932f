//! The files beside a model's weights.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{FloatType, NewFolder};
use crate::error::{ModelsError, read_json};

/// Files of a tokenizer and of how texts are written.
const COPIED: [&str; 12] = [
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "preprocessor_config.json",
];

/// What is said otherwise in the new `config.json`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConfigChanges {
    /// The type of the weights.
    pub kind: FloatType,
    /// Whether the embedding is the output layer.
    pub tied: bool,
}

/// Copies what is there of tokenizer, chat template and settings from `base`, and writes its `config.json` anew.
///
/// # Errors
/// When a file cannot be read or written.
pub(crate) fn copy_side_files(
    base: &Path,
    folder: &NewFolder,
    changes: ConfigChanges,
) -> Result<(), ModelsError> {
    for name in COPIED {
        let from = base.join(name);
        if from.is_file() {
            let to = folder.path().join(name);
            // Content alone: a copy is not read-only because its source is.
            let bytes = std::fs::read(&from).map_err(ModelsError::read(&from))?;
            std::fs::write(&to, bytes).map_err(ModelsError::write(&to))?;
        }
    }
    let mut config: Map<String, Value> = read_json(&base.join("config.json"))?;
    config.remove("quantization_config");
    config.remove("_name_or_path");
    let key = if config.contains_key("torch_dtype") && !config.contains_key("dtype") {
        "torch_dtype"
    } else {
        "dtype"
    };
    config.insert(key.into(), json!(changes.kind.torch()));
    config.insert("tie_word_embeddings".into(), json!(changes.tied));
    folder.write_json("config.json", &Value::Object(config))
}

/// The type that `config.json` of `base` names for its weights.
pub(crate) fn named_type(base: &Path) -> Option<FloatType> {
    let config: Map<String, Value> = read_json(&base.join("config.json")).ok()?;
    match config.get("dtype").or_else(|| config.get("torch_dtype"))?.as_str()? {
        "bfloat16" => Some(FloatType::Bf16),
        "float16" => Some(FloatType::F16),
        "float32" => Some(FloatType::F32),
        _ => None,
    }
}
