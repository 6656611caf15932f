//! Learns a byte-level BPE vocabulary from texts.

use std::path::Path;

use lore_core::Quotes;
use serde_json::json;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::BpeTrainer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

use super::SPECIAL;
use crate::error::ModelsError;
use crate::text::QWEN2;

/// A pair of tokens that is seen less often does not become one.
const LEAST_SEEN: u64 = 2;

/// Writes the `tokenizer.json` of at most `most` tokens that shortens `texts` best; returns how many it has.
///
/// Words are parted as Qwen2's tokenizer parts them, so that llama.cpp knows how, too; every byte is a token, so that any
/// text can be encoded. The merges are those of Sennrich et al. 2016, "Neural Machine Translation of Rare Words with
/// Subword Units", section 3.2. With `tags`, so many tags of sentences, and what stands for a refusal, are a token each.
///
/// # Errors
/// When the texts are empty, and when the file cannot be written.
pub(super) fn learn(texts: &[String], most: usize, tags: usize, path: &Path) -> Result<usize, ModelsError> {
    if texts.iter().all(|text| text.trim().is_empty()) {
        let message = "there is no text to learn a vocabulary from".to_owned();
        return Err(ModelsError::Input { message });
    }
    let failed = |error: tokenizers::Error| ModelsError::invalid(path, error);
    let byte_level = |splits: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": splits});
    let empty = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": QWEN2}, "behavior": "Isolated", "invert": false},
            byte_level(false),
        ]},
        "post_processor": byte_level(false),
        "decoder": byte_level(false),
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": false,
            "vocab": {},
            "merges": [],
        },
    });
    let mut tokenizer = Tokenizer::from_bytes(empty.to_string()).map_err(failed)?;
    let trainer = BpeTrainer::builder()
        .vocab_size(most - pointers(tags))
        .min_frequency(LEAST_SEEN)
        .show_progress(false)
        .special_tokens(SPECIAL.iter().map(|name| AddedToken::from(*name, true)).collect())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    tokenizer.train(&mut TrainerWrapper::BpeTrainer(trainer), texts.iter()).map_err(failed)?;
    if tags > 0 {
        // No special tokens: they stand in prompts as text.
        let names = (1..=tags).map(Quotes::tag).chain([Quotes::NONE.to_owned()]);
        let added: Vec<AddedToken> =
            names.map(|name| AddedToken::from(name, false).normalized(false)).collect();
        tokenizer.add_tokens(added).map_err(failed)?;
    }
    let file = tokenizer.to_string(true).map_err(failed)? + "\n";
    std::fs::write(path, file).map_err(ModelsError::write(path))?;
    Ok(tokenizer.get_vocab_size(true))
}

/// Tokens that `tags` tags take.
pub(super) fn pointers(tags: usize) -> usize {
    if tags > 0 { tags + 1 } else { 0 }
}
