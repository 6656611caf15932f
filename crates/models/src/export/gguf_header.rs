//! What a GGUF file says about its model.

use candle_core::quantized::gguf_file::Value;

use super::gguf::GgufType;
use crate::decoder::{DecoderConfig, RopeScaling};
use crate::error::ModelsError;
use crate::text::gguf_tokenizer;
use crate::weights::DecoderWeights;

/// Keys and values, in order.
pub(super) type Metadata = Vec<(String, Value)>;

/// llama.cpp's name of the family.
pub(super) fn architecture(config: &DecoderConfig) -> &str {
    match config.architecture.as_str() {
        "qwen2" => "qwen2",
        "qwen3" => "qwen3",
        _ => "llama",
    }
}

/// `enum llama_ftype` of llama.h.
fn file_type(kind: GgufType) -> u32 {
    match kind {
        GgufType::F32 => 0,
        GgufType::F16 => 1,
        GgufType::Q8_0 => 7,
        GgufType::Q4K => 15,
        GgufType::Bf16 => 32,
    }
}

/// All keys: those of the base where that is a GGUF file, else made from its configuration and tokenizer.
pub(super) fn metadata(
    base: &DecoderWeights,
    config: &DecoderConfig,
    kind: GgufType,
) -> Result<Metadata, ModelsError> {
    let mut all = match base.metadata() {
        Some(own) => {
            let mut kept: Metadata = own
                .iter()
                .map(|(key, value)| (key.clone(), value.clone()))
                .filter(|(key, _)| keep(key))
                .collect();
            kept.sort_by(|(a, _), (b, _)| a.cmp(b));
            kept
        }
        None => {
            let mut made = shape(base, config)?;
            made.extend(gguf_tokenizer(base.path(), config.vocabulary)?);
            made
        }
    };
    all.push(("general.quantization_version".into(), Value::U32(2)));
    all.push(("general.file_type".into(), Value::U32(file_type(kind))));
    all.push(("general.alignment".into(), Value::U32(32)));
    Ok(all)
}

/// Whether a key of another file holds for this one.
fn keep(key: &str) -> bool {
    let other = ["general.file_type", "general.quantization_version", "general.alignment"];
    !other.contains(&key) && !key.starts_with("split.") && !key.starts_with("quantize.")
}

fn shape(base: &DecoderWeights, config: &DecoderConfig) -> Result<Metadata, ModelsError> {
    let refuse = |what: &str| {
        let what = format!("{what}, which has no place in a GGUF file (merge to safetensors instead)");
        Err(ModelsError::unsupported(base.path(), what))
    };
    let arch = architecture(config);
    if arch == "qwen3" && (config.qkv_bias || config.output_bias) {
        return refuse("qwen3 with attention biases");
    }
    let window = config.windows.first().copied().flatten();
    if config.windows.iter().any(|other| *other != window) {
        return refuse("layers with different windows");
    }
    let number = |value: usize| Value::U32(u32::try_from(value).unwrap_or(u32::MAX));
    let name = base.path().file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mut all: Metadata = vec![
        ("general.architecture".into(), Value::String(arch.into())),
        ("general.type".into(), Value::String("model".into())),
        ("general.name".into(), Value::String(name)),
    ];
    let mut add = |key: &str, value| all.push((format!("{arch}.{key}"), value));
    add("vocab_size", number(config.vocabulary));
    add("context_length", number(config.context));
    add("embedding_length", number(config.hidden));
    add("block_count", number(config.layers()));
    add("feed_forward_length", number(config.intermediate));
    add("attention.head_count", number(config.heads));
    add("attention.head_count_kv", number(config.kv_heads));
    add("attention.key_length", number(config.head_dim));
    add("attention.value_length", number(config.head_dim));
    add("attention.layer_norm_rms_epsilon", Value::F32(config.norm_epsilon));
    add("rope.dimension_count", number(config.head_dim));
    add("rope.freq_base", Value::F32(config.rope.theta as f32));
    if let Some(window) = window {
        if window < config.context && arch == "llama" {
            tracing::warn!(
                window,
                "llama.cpp looks back over all tokens in this family; this model looks over a window"
            );
        }
        add("attention.sliding_window", number(window));
    }
    match &config.rope.scaling {
        RopeScaling::Default | RopeScaling::Llama3 { .. } | RopeScaling::Divisors { .. } => {}
        RopeScaling::Linear { factor } => {
            add("rope.scaling.type", Value::String("linear".into()));
            add("rope.scaling.factor", Value::F32(*factor as f32));
        }
        RopeScaling::Yarn { factor, beta_fast, beta_slow, original_context, attention_factor, truncate } => {
            if !truncate {
                return refuse("yarn without truncation");
            }
            add("rope.scaling.type", Value::String("yarn".into()));
            add("rope.scaling.factor", Value::F32(*factor as f32));
            add("rope.scaling.original_context_length", number(*original_context));
            add("rope.scaling.yarn_beta_fast", Value::F32(*beta_fast as f32));
            add("rope.scaling.yarn_beta_slow", Value::F32(*beta_slow as f32));
            // ggml's rope multiplies the file's factor by its own.
            let own = if *factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 };
            if (attention_factor / own - 1.0).abs() > 1e-6 {
                add("rope.scaling.yarn_attn_factor", Value::F32((attention_factor / own) as f32));
            }
        }
    }
    Ok(all)
}

/// What each of RoPE's frequencies is divided by, where that is a tensor of the file: Llama 3.1's scaling, as
/// transformers computes it (`_compute_llama3_parameters`).
pub(super) fn rope_divisors(config: &DecoderConfig) -> Option<Vec<f32>> {
    match &config.rope.scaling {
        RopeScaling::Divisors { divisors } => Some(divisors.clone()),
        RopeScaling::Llama3 { factor, low_frequency_factor, high_frequency_factor, original_context } => {
            let original = *original_context as f64;
            let divisor = |index: usize| {
                let exponent = (2 * index) as f64 / config.head_dim as f64;
                let wavelength = std::f64::consts::TAU * config.rope.theta.powf(exponent);
                if wavelength < original / high_frequency_factor {
                    1.0
                } else if wavelength > original / low_frequency_factor {
                    *factor
                } else {
                    let smooth = (original / wavelength - low_frequency_factor)
                        / (high_frequency_factor - low_frequency_factor);
                    1.0 / ((1.0 - smooth) / factor + smooth)
                }
            };
            Some((0..config.head_dim / 2).map(|index| divisor(index) as f32).collect())
        }
        _ => None,
    }
}
