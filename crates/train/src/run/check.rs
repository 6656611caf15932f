//! What cannot come to an end is refused before the first step.

use lore_models::training::{Method, TrainNet};

use super::trainer::Inputs;
use crate::config::TrainConfig;
use crate::data::Example;
use crate::error::TrainError;

/// Refuses a run that would fail later, or whose settings say nothing.
///
/// # Errors
/// [`TrainError::Setup`] with what to do.
pub(super) fn check(net: &TrainNet, inputs: &Inputs<'_>, config: &TrainConfig) -> Result<(), TrainError> {
    let Inputs { train, held_out, base, .. } = inputs;
    let refuse = |message: String| Err(TrainError::Setup(message));
    let wanted = [
        ("load_best_model_at_end", config.run.load_best_at_end),
        ("early_stopping_steps", config.run.early_stopping.is_some()),
    ];
    if let Some((key, _)) = wanted.iter().find(|(_, set)| *set && held_out.is_empty()) {
        return refuse(format!(
            "{key} is set, and there is no example to evaluate on; set val_size or eval_dataset, or leave {key} out"
        ));
    }
    let whole = matches!(net.options().method, Method::Full | Method::Freeze(_));
    if let Some(path) = base.path.as_deref().filter(|path| whole && !path.join("config.json").is_file()) {
        return refuse(format!(
            "{} has no config.json, as a .gguf file has none, and a whole model cannot be saved without it; use \
             finetuning_type: lora or adapter, or a folder of the model with config.json and .safetensors files",
            path.display()
        ));
    }
    in_vocabulary(net.config().vocabulary, train.iter().chain(held_out.iter()))
}

/// Every token must have a row of the embedding.
fn in_vocabulary<'a>(
    vocabulary: usize,
    mut examples: impl Iterator<Item = &'a Example>,
) -> Result<(), TrainError> {
    let beyond = examples.find_map(|Example { id, tokens, .. }| {
        tokens.iter().find(|token| **token as usize >= vocabulary).map(|token| (id, token))
    });
    let Some((id, token)) = beyond else { return Ok(()) };
    Err(TrainError::Setup(format!(
        "example {id} has the token {token}, and the model knows {vocabulary} tokens, from 0 to {}: its tokenizer has \
         more than its weights; use the tokenizer that the model came with, or take what writes that token out of the \
         example or the chat template",
        vocabulary.saturating_sub(1)
    )))
}
