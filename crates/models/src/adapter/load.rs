//! An adapter's values into a net that is trained on.

use std::path::Path;

use candle_core::{Device, Tensor, Var};

use super::config::AdapterKind;
use super::{Adapter, VALUES_FILE};
use crate::decoder::DecoderConfig;
use crate::error::ModelsError;
use crate::training::{Method, Modules, Parameter, ParameterKind, TrainOptions};

/// Puts the adapter's values into the parameters; a low-rank difference gets the adapter's rank and scale.
pub(crate) fn load_into(
    adapter: &Adapter,
    config: &DecoderConfig,
    options: &TrainOptions,
    modules: &mut Modules,
    parameters: &mut [Parameter],
) -> Result<(), ModelsError> {
    adapter.check(config)?;
    let file = adapter.folder().join(VALUES_FILE);
    match (adapter.kind(), &options.method) {
        (AdapterKind::Lora(lora), Method::Lora(wanted)) => {
            if lora.dora != wanted.dora {
                let what = format!(
                    "an adapter with use_dora: {} in a training with use_dora: {}",
                    lora.dora, wanted.dora
                );
                return Err(ModelsError::unsupported(&file, what));
            }
            let apart =
                !lora.ensure_tied || adapter.replaces("lm_head.weight") && !same_ends(adapter, config)?;
            if config.tied && adapter.replaces("model.embed_tokens.weight") && apart {
                let what = "an embedding that is trained apart from the output layer, over a base with one matrix for \
                            both (merge the adapter, and train the merged model)";
                return Err(ModelsError::unsupported(&file, what));
            }
            if config.tied
                && adapter.replaces("lm_head.weight")
                && !adapter.replaces("model.embed_tokens.weight")
            {
                let what = "an output layer that is trained apart from the embedding (merge the adapter, and train the \
                            merged model)";
                return Err(ModelsError::unsupported(&file, what));
            }
            low_rank(adapter, &file, options, modules, parameters)?;
        }
        (AdapterKind::Bottleneck(own), Method::Bottleneck(wanted)) if own == wanted => {}
        (own, _) => {
            let what = format!(
                "an adapter of another kind than what is trained ({}; set finetuning_type and its options to that)",
                match own {
                    AdapterKind::Lora(_) => "it is a LoRA".to_owned(),
                    AdapterKind::Bottleneck(own) => format!("its bottlenecks are {own:?}"),
                }
            );
            return Err(ModelsError::unsupported(&file, what));
        }
    }
    for parameter in parameters.iter_mut() {
        let own = [ParameterKind::LoraA, ParameterKind::LoraB, ParameterKind::Magnitude];
        if !own.contains(&parameter.kind) {
            let values = adapter.read(&parameter.name, parameter.value.dims())?;
            let shape = parameter.value.dims().to_vec();
            set(parameter, values, &shape, &options.device)?;
        }
    }
    let places: std::collections::HashSet<&str> =
        parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    let copy = |name: &str| config.tied && name == "lm_head.weight";
    match adapter.names().find(|name| !places.contains(name) && !copy(name)) {
        Some(name) => {
            let message =
                "the training has no parameter for it (take the adapter's own targets and modules to save)";
            Err(ModelsError::tensor(&file, name, message))
        }
        None => Ok(()),
    }
}

/// Whether the embedding and the output layer of the adapter are the same.
fn same_ends(adapter: &Adapter, config: &DecoderConfig) -> Result<bool, ModelsError> {
    let shape = [config.vocabulary, config.hidden];
    Ok(adapter.read("model.embed_tokens.weight", &shape)? == adapter.read("lm_head.weight", &shape)?)
}

fn low_rank(
    adapter: &Adapter,
    file: &Path,
    options: &TrainOptions,
    modules: &mut Modules,
    parameters: &mut [Parameter],
) -> Result<(), ModelsError> {
    for layer in &mut modules.layers {
        for linear in layer.projections_mut() {
            let own = adapter.low_rank(&linear.name, linear.rows, linear.columns)?;
            let (parts, own) = match (&mut linear.lora, own) {
                (Some(parts), Some(own)) => (parts, own),
                (None, None) => continue,
                (Some(_), None) => {
                    let message = "absent, but it is to be trained (take the adapter's own targets)";
                    return Err(ModelsError::tensor(
                        file,
                        &format!("{}.lora_A.weight", linear.name),
                        message,
                    ));
                }
                (None, Some(_)) => {
                    let message = "there, but not to be trained (take the adapter's own targets)";
                    return Err(ModelsError::tensor(
                        file,
                        &format!("{}.lora_A.weight", linear.name),
                        message,
                    ));
                }
            };
            parts.scale = own.scale;
            set(&mut parameters[parts.a], own.a, &[own.rank, own.columns], &options.device)?;
            set(&mut parameters[parts.b], own.b, &[own.rows, own.rank], &options.device)?;
            if let (Some(at), Some(magnitude)) = (parts.magnitude, own.magnitude) {
                set(&mut parameters[at], magnitude, &[own.rows], &options.device)?;
            }
        }
    }
    Ok(())
}

fn set(
    parameter: &mut Parameter,
    values: Vec<f32>,
    shape: &[usize],
    device: &Device,
) -> Result<(), ModelsError> {
    let value = Tensor::from_vec(values, shape, &Device::Cpu)?.to_device(device)?;
    if parameter.value.dims() == shape {
        parameter.value.set(&value)?;
    } else {
        parameter.value = Var::from_tensor(&value)?;
    }
    Ok(())
}
