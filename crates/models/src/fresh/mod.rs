//! A model from nothing: a tokenizer that is learned from texts, and the configuration of a net without weights.
//!
//! The folder is that of a Qwen3 model but for `model.safetensors`, which a training with `init: random` makes. The same
//! texts and shape give the same files, byte for byte.

mod shape;
mod tokenizer;

use std::path::Path;

use lore_core::AnswerStyle;
use serde::Serialize;
use serde_json::json;

use crate::decoder::TensorSpec;
use crate::error::ModelsError;
use crate::export::NewFolder;
use crate::text::style::{self, STYLE};
use crate::text::{GeneratorText, TextOptions};
use crate::training;

pub use shape::FreshShape;

/// Ends a document, and is what padding is made of.
const END_OF_TEXT: &str = "<|endoftext|>";
/// Begins a turn of a chat.
const TURN: &str = "<|im_start|>";
/// Ends a turn of a chat.
const END_OF_TURN: &str = "<|im_end|>";
/// The special tokens in the order of their ids, from 0.
const SPECIAL: [&str; 3] = [END_OF_TEXT, TURN, END_OF_TURN];
/// A chat as ChatML has it.
const CHAT_TEMPLATE: &str = "{%- for message in messages %}\
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}\
    {%- endfor %}\
    {%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";
/// What a model is shown that answers by pointing, without instructions: it was taught nothing else.
const POINTING_TEMPLATE: &str = "{%- for message in messages if message.role != 'system' %}\
    {{- message.content + '<|im_end|>' }}\
    {%- endfor %}";

/// What was made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fresh {
    /// Tokens of the vocabulary; fewer than were asked for where the texts hold no more.
    pub vocabulary: usize,
    /// Values that the net will have.
    pub values: usize,
    /// Code points of the texts.
    pub characters: usize,
    /// Tokens of the texts.
    pub tokens: usize,
}

/// Writes the folder `out`: tokenizer, chat template and configuration, but no weights. It appears whole or not at all.
///
/// # Errors
/// When the shape cannot be, when the texts are empty, when something is at `out` already, and when a file cannot be
/// written.
pub fn create(shape: &FreshShape, texts: &[String], out: &Path) -> Result<Fresh, ModelsError> {
    shape.check()?;
    let folder = NewFolder::create(out)?;
    let file = folder.path().join("tokenizer.json");
    let vocabulary = tokenizer::learn(texts, shape.vocabulary, shape.tags, &file)?;
    let (template, style) = match shape.tags {
        0 => (CHAT_TEMPLATE, AnswerStyle::Prose),
        _ => (POINTING_TEMPLATE, AnswerStyle::Quotes),
    };
    let whole = FreshShape { vocabulary, ..*shape };
    let [end, _, end_of_turn] = [0, 1, 2];
    folder.write_json("config.json", &whole.config(end_of_turn, end))?;
    folder.write_json(
        "tokenizer_config.json",
        &json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "add_bos_token": false,
            "bos_token": null,
            "eos_token": END_OF_TURN,
            "pad_token": END_OF_TEXT,
            "unk_token": null,
            "clean_up_tokenization_spaces": false,
            "model_max_length": whole.context,
            "chat_template": template,
        }),
    )?;
    folder.write_json(
        "generation_config.json",
        &json!({
            "do_sample": false,
            "eos_token_id": [end_of_turn, end],
            "pad_token_id": end,
            STYLE: style::name(style),
        }),
    )?;
    // What is written is read as any other model is.
    let text = GeneratorText::open(folder.path(), &TextOptions::default())?;
    let net = training::shape(folder.path())?;
    let tokens = texts.iter().map(|text_of| text.count(text_of)).sum();
    let made = Fresh {
        vocabulary,
        values: net.tensors().iter().map(TensorSpec::values).sum(),
        characters: texts.iter().map(|text| text.chars().count()).sum(),
        tokens,
    };
    folder.finish()?;
    Ok(made)
}
