//! Whether a model has the modules that a training names.

use super::options::{ends, within};
use super::{Method, Targets};
use crate::decoder::DecoderConfig;
use crate::error::ModelsError;

impl Method {
    /// Checks that a model of this shape has every module that is named.
    ///
    /// # Errors
    /// Names the first that it does not have, and those that it has.
    pub fn check_names(&self, shape: &DecoderConfig) -> Result<(), ModelsError> {
        let tensors: Vec<String> = shape.tensors().into_iter().map(|spec| spec.name).collect();
        let (in_layers, outside): (Vec<&str>, Vec<&str>) =
            tensors.iter().map(String::as_str).partition(|name| name.starts_with("model.layers."));
        let linears: Vec<String> =
            (0..shape.layers()).flat_map(|layer| shape.linears(layer)).map(|(name, ..)| name).collect();
        match self {
            Self::Full | Self::Bottleneck(_) => Ok(()),
            Self::Freeze(freeze) => {
                let has = |name: &str| in_layers.iter().any(|tensor| within(tensor, name));
                known(shape, &freeze.modules, "freeze_trainable_modules", has, &modules(&in_layers))?;
                let has = |name: &str| outside.iter().any(|tensor| within(tensor, name));
                known(shape, &freeze.extra, "freeze_extra_modules", has, &modules(&outside))
            }
            Self::Lora(lora) => {
                if let Targets::Named(names) = &lora.targets {
                    let has = |name: &str| linears.iter().any(|linear| ends(linear, name));
                    let all: Vec<&str> = linears.iter().take(7).map(|name| last(name)).collect();
                    known(shape, names, "lora_target", has, &all)?;
                }
                let has = |name: &str| tensors.iter().any(|tensor| within(tensor, name));
                let all: Vec<&str> = tensors.iter().map(String::as_str).collect();
                known(shape, &lora.modules_to_save, "additional_target", has, &modules(&all))
            }
        }
    }
}

/// Checks names that stand under a key.
fn known(
    shape: &DecoderConfig,
    names: &[String],
    key: &str,
    has: impl Fn(&str) -> bool,
    all: &[&str],
) -> Result<(), ModelsError> {
    let Some(name) = names.iter().find(|name| !has(name)) else { return Ok(()) };
    let message = match (name.as_str(), key, shape.tied) {
        ("lm_head", "lora_target", _) => {
            "lora_target: lm_head has no low-rank difference here, the layers' linears have; additional_target: lm_head \
             trains it whole"
                .to_owned()
        }
        ("lm_head", _, true) => {
            format!("{key}: the model has one matrix for lm_head and the embedding; name it embed_tokens")
        }
        _ => format!("{key}: the model has no `{name}`; it has {}", all.join(", ")),
    };
    Err(ModelsError::Input { message })
}

/// The last parts of the tensors' modules, each once.
fn modules<'a>(tensors: &[&'a str]) -> Vec<&'a str> {
    let mut all: Vec<&str> = Vec::new();
    for tensor in tensors {
        let module = tensor.rsplit_once('.').map_or(*tensor, |(module, _)| module);
        let module = last(module);
        if !all.contains(&module) {
            all.push(module);
        }
    }
    all
}

fn last(module: &str) -> &str {
    module.rsplit_once('.').map_or(module, |(_, last)| last)
}
