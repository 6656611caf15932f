//! A trained net's adapter as files.

use std::collections::BTreeSet;
use std::path::Path;

use candle_core::{DType, Device};
use serde_json::{Map, Value, json};

use super::config::Record;
use super::{CONFIG_FILE, PREFIX, RECORD_FILE, VALUES_FILE};
use crate::error::ModelsError;
use crate::export::{Entry, NewFolder, SafetensorsFile, float_bytes};
use crate::nn::lora::lora_scale;
use crate::training::{
    BottleneckOptions, LoraOptions, LoraParts, Method, Parameter, ParameterKind, Targets, TrainNet,
};

/// Writes what `net` has learned on `base` (a name on the hub, or a folder) into the new folder `out`: a LoRA in PEFT's
/// format, bottlenecks in ours. The folder appears whole or not at all.
///
/// # Errors
/// When `out` exists and is not empty, cannot be written, or the net has no adapter (then [`crate::export::save_model`]
/// writes it).
pub fn save(net: &TrainNet, base: &str, out: &Path) -> Result<(), ModelsError> {
    let config = match &net.options().method {
        Method::Lora(options) => lora_config(net, options, base),
        Method::Bottleneck(options) => bottleneck_config(options, base),
        Method::Full | Method::Freeze(_) => {
            let what = "an adapter of a net without one (a net whose own weights are trained is saved whole)";
            return Err(ModelsError::unsupported(out, what));
        }
    };
    let prefix = if matches!(net.options().method, Method::Lora(_)) { PREFIX } else { "" };
    let folder = NewFolder::create(out)?;
    folder.write_json(CONFIG_FILE, &Value::Object(config))?;
    let record = Record { quantization: net.options().quantization };
    if record != Record::default() {
        folder.write_json(RECORD_FILE, &json!(record))?;
    }
    let mut tensors: Vec<(String, &Parameter)> =
        net.parameters().iter().map(|parameter| (format!("{prefix}{}", parameter.name), parameter)).collect();
    // PEFT keeps a tied embedding's two copies apart in its files.
    if let Some(embedding) = tied_embedding(net) {
        tensors.push((format!("{prefix}lm_head.weight"), embedding));
    }
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    let entries: Vec<Entry> = tensors
        .iter()
        .map(|(name, parameter)| Entry::new(name, DType::F32, parameter.value.dims()))
        .collect();
    let mut file = SafetensorsFile::create(&folder.path().join(VALUES_FILE), &entries, &[("format", "pt")])?;
    for (_, parameter) in &tensors {
        let values = parameter.value.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        file.write(&float_bytes(&values))?;
    }
    file.finish()?;
    folder.finish()
}

/// The embedding, where it is trained and is the output layer too.
fn tied_embedding(net: &TrainNet) -> Option<&Parameter> {
    let trained = |parameter: &&Parameter| parameter.kind == ParameterKind::Embedding;
    net.parameters().iter().find(trained).filter(|_| net.config().tied)
}

/// The keys that PEFT 0.21 writes.
fn lora_config(net: &TrainNet, options: &LoraOptions, base: &str) -> Map<String, Value> {
    let own = |kind| matches!(kind, ParameterKind::LoraA | ParameterKind::LoraB | ParameterKind::Magnitude);
    // Whole names, since PEFT takes every module whose name ends like one of these: `norm` would be all norms.
    let saved: BTreeSet<&str> = net
        .parameters()
        .iter()
        .filter(|parameter| !own(parameter.kind))
        .filter_map(|parameter| parameter.name.rsplit_once('.').map(|(module, _)| module))
        .collect();
    let differences = || {
        net.modules()
            .layers
            .iter()
            .flat_map(|layer| layer.projections())
            .filter_map(|projection| projection.lora.as_ref().map(|parts| (projection, parts)))
    };
    let targets: BTreeSet<&str> = match &options.targets {
        Targets::Named(names) => names.iter().map(String::as_str).collect(),
        Targets::All => differences().filter_map(|(linear, _)| linear.name.rsplit('.').next()).collect(),
    };
    let (mut ranks, mut alphas) = (Map::new(), Map::new());
    for (linear, parts) in differences() {
        let (rank, alpha) = rank_and_alpha(net, options, parts);
        if rank != options.rank {
            ranks.insert(linear.name.replace('.', r"\."), json!(rank));
        }
        if (alpha - options.alpha).abs() > 1e-9 * options.alpha.abs() {
            alphas.insert(linear.name.replace('.', r"\."), json!(alpha));
        }
    }
    let alpha = match options.alpha.fract() == 0.0 && options.alpha.abs() < 1e15 {
        true => json!(options.alpha as i64),
        false => json!(options.alpha),
    };
    let config = json!({
        "peft_type": "LORA",
        "peft_version": "0.21.2",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "revision": null,
        "inference_mode": true,
        "auto_mapping": null,
        "r": options.rank,
        "lora_alpha": alpha,
        "lora_dropout": options.dropout,
        "lora_bias": false,
        "bias": "none",
        "use_rslora": options.rank_stabilised,
        "use_dora": options.dora,
        "fan_in_fan_out": false,
        "init_lora_weights": true,
        "target_modules": targets,
        "target_parameters": null,
        "exclude_modules": null,
        "modules_to_save": if saved.is_empty() { Value::Null } else { json!(saved) },
        "ensure_weight_tying": tied_embedding(net).is_some(),
        "trainable_token_indices": null,
        "layers_to_transform": null,
        "layers_pattern": null,
        "layer_replication": null,
        "rank_pattern": ranks,
        "alpha_pattern": alphas,
        "loftq_config": {},
        "eva_config": null,
        "corda_config": null,
        "arrow_config": null,
        "alora_invocation_tokens": null,
        "megatron_config": null,
        "megatron_core": "megatron.core",
        "qalora_group_size": 16,
        "use_qalora": false,
    });
    match config {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A difference's rank and alpha, which are its own where it was loaded from an adapter with patterns.
fn rank_and_alpha(net: &TrainNet, options: &LoraOptions, parts: &LoraParts) -> (usize, f64) {
    let rank = net.parameters()[parts.a].value.dims()[0];
    (rank, parts.scale / lora_scale(1.0, rank, options.rank_stabilised))
}

fn bottleneck_config(options: &BottleneckOptions, base: &str) -> Map<String, Value> {
    let config = json!({
        "peft_type": "BOTTLENECK",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "size": options.size,
        "activation": options.activation,
    });
    match config {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
