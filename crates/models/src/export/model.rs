//! A net whose own weights were trained, as a model folder.

use std::collections::HashMap;
use std::path::Path;

use candle_core::Device;

use super::side_files::named_type;
use super::{ConfigChanges, FloatType, NewFolder, copy_side_files, write_shards};
use crate::decoder::TensorSpec;
use crate::error::ModelsError;
use crate::training::{Method, Parameter, TrainNet};
use crate::weights::{DecoderWeights, RawMatrix};

/// Most bytes of a safetensors file, as in transformers.
pub const SHARD_BYTES: u64 = 5_000_000_000;

/// Writes the whole model after training all or some of its weights, in the type of the base's weights (of `config.json`
/// where it has none, as for a net that began with random ones); settings, tokenizer and chat template come from
/// `base_folder`.
///
/// # Errors
/// When `out` exists and is not empty, a file cannot be read or written, or the net is one with an adapter (then
/// [`crate::adapter::save`] writes it).
pub fn save_model(net: &TrainNet, base_folder: &Path, out: &Path) -> Result<(), ModelsError> {
    let kind = match DecoderWeights::open(base_folder) {
        Ok(weights) => Some(FloatType::of(weights.embedding_kind(net.config())?)),
        Err(ModelsError::Missing { .. }) => named_type(base_folder),
        Err(error) => return Err(error),
    };
    save_model_as(net, base_folder, out, kind.unwrap_or(FloatType::F32))
}

/// As [`save_model`], with weights of this type.
///
/// # Errors
/// As [`save_model`].
pub fn save_model_as(
    net: &TrainNet,
    base_folder: &Path,
    out: &Path,
    kind: FloatType,
) -> Result<(), ModelsError> {
    if !matches!(net.options().method, Method::Full | Method::Freeze(_)) {
        let what =
            "a whole model of a net with an adapter (the adapter is saved, and merged with lore merge)";
        return Err(ModelsError::unsupported(out, what));
    }
    if !base_folder.join("config.json").is_file() {
        return Err(ModelsError::Missing { folder: base_folder.to_owned(), wanted: "config.json" });
    }
    let trained: HashMap<&str, &Parameter> =
        net.parameters().iter().map(|parameter| (parameter.name.as_str(), parameter)).collect();
    let specs = net.config().tensors();
    let rest = specs.iter().any(|spec| !trained.contains_key(spec.name.as_str()));
    let base = if rest { Some(DecoderWeights::open(base_folder)?) } else { None };
    let folder = NewFolder::create(out)?;
    let mut values = |spec: &TensorSpec| match (trained.get(spec.name.as_str()), &base) {
        (Some(parameter), _) => {
            let values = parameter.value.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
            Ok(RawMatrix::F32(values))
        }
        (None, Some(base)) => match spec.shape[..] {
            [rows, columns] => base.matrix(&spec.name, rows, columns),
            _ => Ok(RawMatrix::F32(base.vector(&spec.name, spec.values())?)),
        },
        (None, None) => Err(ModelsError::tensor(base_folder, &spec.name, "neither trained nor in the base")),
    };
    write_shards(&folder, &specs, kind, SHARD_BYTES, &mut values)?;
    copy_side_files(base_folder, &folder, ConfigChanges { kind, tied: net.config().tied })?;
    folder.finish()
}
