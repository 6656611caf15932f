//! A decoder's configuration from `config.json` of a Hugging Face folder.
//!
//! What a file leaves out has the default of transformers' class for its family (version 5.24).

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{DecoderConfig, Rope, RopeScaling};
use crate::error::{ModelsError, read_json};

/// Families that are implemented, by `model_type`; SmolLM's files say `llama`.
const KNOWN: [&str; 4] = ["llama", "mistral", "qwen2", "qwen3"];

/// Reads and checks `config.json` of `folder`; `has_output` tells whether the weights hold an output layer, for a file
/// that does not say whether the embedding serves as one.
///
/// # Errors
/// When it is absent, damaged, or asks for what is not implemented.
pub(crate) fn from_folder(folder: &Path, has_output: bool) -> Result<DecoderConfig, ModelsError> {
    File::read(folder)?.decoder(has_output)
}

/// A `config.json`.
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) map: Map<String, Value>,
}

impl File {
    /// That of `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self, ModelsError> {
        let path = folder.join("config.json");
        if !path.is_file() {
            return Err(ModelsError::Missing { folder: folder.to_owned(), wanted: "config.json" });
        }
        let map = read_json(&path)?;
        Ok(Self { path, map })
    }

    /// The family as the file names it.
    pub(super) fn family(&self) -> Result<String, ModelsError> {
        Ok(self.text(&self.map, "model_type")?.unwrap_or_default())
    }

    /// Refuses weights in formats of other programs.
    pub(super) fn unquantised(&self) -> Result<(), ModelsError> {
        let Some(quantised) = self.map.get("quantization_config").filter(|value| !value.is_null()) else {
            return Ok(());
        };
        let method = quantised.get("quant_method").and_then(Value::as_str).unwrap_or("unknown");
        self.refuse(format!(
            "weights quantised by {method} (known are f32, f16 and bf16; or use a GGUF file)"
        ))
    }

    fn decoder(self, has_output: bool) -> Result<DecoderConfig, ModelsError> {
        let family = self.family()?;
        if !KNOWN.contains(&family.as_str()) {
            let known = KNOWN.into_iter().chain(super::other::KNOWN).collect::<Vec<_>>().join(", ");
            return self.refuse(format!("model_type {family:?} (known are {known})"));
        }
        self.unquantised()?;
        let act = self.text(&self.map, "hidden_act")?.unwrap_or_else(|| "silu".into());
        if act != "silu" {
            return self.refuse(format!("hidden_act {act:?} (known is silu)"));
        }
        let hidden = self.needed("hidden_size")?;
        let heads = self.needed("num_attention_heads")?;
        let layers = self.needed("num_hidden_layers")?;
        let kv_heads = match (self.map.contains_key("num_key_value_heads"), family.as_str()) {
            (true, _) => self.size("num_key_value_heads")?.unwrap_or(heads),
            (false, "mistral") => 8,
            (false, "llama") => heads,
            (false, _) => 32,
        };
        let head_dim = match self.size("head_dim")? {
            Some(length) => length,
            None if family == "qwen3" => 128,
            None if heads == 0 || !hidden.is_multiple_of(heads) => {
                let message = format!("{heads} attention heads do not divide hidden_size {hidden}");
                return Err(ModelsError::invalid(&self.path, message));
            }
            None => hidden / heads,
        };
        let context = self.size("max_position_embeddings")?.unwrap_or(match family.as_str() {
            "llama" => 2048,
            "mistral" => 131_072,
            _ => 32_768,
        });
        let attention_bias =
            matches!(family.as_str(), "llama" | "qwen3") && self.flag("attention_bias")?.unwrap_or(false);
        DecoderConfig {
            vocabulary: self.needed("vocab_size")?,
            hidden,
            intermediate: self.needed("intermediate_size")?,
            heads,
            kv_heads,
            head_dim,
            windows: self.windows(&family, layers)?,
            norm_epsilon: self.number(&self.map, "rms_norm_eps")?.unwrap_or(1e-6) as f32,
            rope: self.rope(context)?,
            qkv_bias: family == "qwen2" || attention_bias,
            output_bias: attention_bias,
            mlp_bias: family == "llama" && self.flag("mlp_bias")?.unwrap_or(false),
            qk_norm: family == "qwen3",
            tied: self.flag("tie_word_embeddings")?.unwrap_or(!has_output),
            context,
            architecture: family,
        }
        .checked(&self.path)
    }

    /// What each layer's attention looks back over.
    fn windows(&self, family: &str, layers: usize) -> Result<Vec<Option<usize>>, ModelsError> {
        if layers > 1 << 12 {
            let message = format!("num_hidden_layers is {layers}, more than 4096");
            return Err(ModelsError::invalid(&self.path, message));
        }
        let window = match (family, self.map.contains_key("sliding_window")) {
            ("llama", _) => None,
            ("mistral", false) => Some(4096),
            ("mistral", true) => self.size("sliding_window")?,
            _ if !self.flag("use_sliding_window")?.unwrap_or(false) => None,
            (_, false) => Some(4096),
            (_, true) => self.size("sliding_window")?,
        };
        let kinds = match self.map.get("layer_types").filter(|value| !value.is_null()) {
            // transformers' Mistral gives every layer the window, whatever this list says.
            Some(_) if family == "mistral" => return Ok(vec![window; layers]),
            Some(kinds) => kinds,
            None => {
                let first = match family {
                    "qwen2" | "qwen3" => self.size("max_window_layers")?.unwrap_or(28),
                    _ => 0,
                };
                return Ok((0..layers).map(|layer| window.filter(|_| layer >= first)).collect());
            }
        };
        let kinds = kinds.as_array().filter(|kinds| kinds.len() == layers).ok_or_else(|| {
            ModelsError::invalid(&self.path, format!("layer_types does not list {layers} layers"))
        })?;
        let kind = |kind: &Value| match kind.as_str() {
            Some("full_attention") => Ok(None),
            Some("sliding_attention") if window.is_some() => Ok(window),
            Some("sliding_attention") => Err(ModelsError::invalid(
                &self.path,
                "layer_types has sliding_attention, but there is no window",
            )),
            _ => self.refuse(format!("layer type {kind} (known are full_attention, sliding_attention)")),
        };
        kinds.iter().map(kind).collect()
    }

    /// RoPE from `rope_parameters` (transformers 5) or `rope_scaling` and `rope_theta` (before).
    fn rope(&self, context: usize) -> Result<Rope, ModelsError> {
        let empty = Map::new();
        let table = |key: &str| match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(table)) => Ok(Some(table)),
            Some(_) => Err(ModelsError::invalid(&self.path, format!("{key} is not an object"))),
        };
        let table = match table("rope_scaling")? {
            Some(scaling) => scaling,
            None => table("rope_parameters")?.unwrap_or(&empty),
        };
        if table.values().any(Value::is_object) {
            return self.refuse("rope parameters of each layer type");
        }
        let theta = match self.number(table, "rope_theta")? {
            Some(theta) => theta,
            None => self.number(&self.map, "rope_theta")?.unwrap_or(10_000.0),
        };
        for part in
            [self.number(table, "partial_rotary_factor")?, self.number(&self.map, "partial_rotary_factor")?]
        {
            if part.is_some_and(|part| part != 1.0) {
                return self.refuse("rope over a part of each head (partial_rotary_factor)");
            }
        }
        let kind = match self.text(table, "rope_type")? {
            Some(kind) => kind,
            None => self.text(table, "type")?.unwrap_or_else(|| "default".into()),
        };
        let needed = |key: &str| {
            self.number(table, key)?.ok_or_else(|| {
                ModelsError::invalid(&self.path, format!("its {kind} rope scaling has no {key}"))
            })
        };
        let original = || {
            let named = match self.size("original_max_position_embeddings")? {
                Some(length) => Some(length),
                None => self.size_in(table, "original_max_position_embeddings")?,
            };
            Ok::<usize, ModelsError>(named.unwrap_or(context))
        };
        let scaling = match kind.as_str() {
            "default" => RopeScaling::Default,
            "linear" => RopeScaling::Linear { factor: needed("factor")? },
            "llama3" => RopeScaling::Llama3 {
                factor: needed("factor")?,
                low_frequency_factor: needed("low_freq_factor")?,
                high_frequency_factor: needed("high_freq_factor")?,
                original_context: original()?,
            },
            "yarn" => {
                let original_context = original()?;
                let factor = match self.number(table, "factor")? {
                    Some(factor) => factor,
                    None => context as f64 / original_context as f64,
                };
                let scale = |by: f64| if factor <= 1.0 { 1.0 } else { 0.1 * by * factor.ln() + 1.0 };
                let of =
                    |key: &str| Ok::<_, ModelsError>(self.number(table, key)?.filter(|value| *value != 0.0));
                let attention_factor =
                    match (self.number(table, "attention_factor")?, of("mscale")?, of("mscale_all_dim")?) {
                        (Some(factor), ..) => factor,
                        (None, Some(one), Some(all)) => scale(one) / scale(all),
                        _ => scale(1.0),
                    };
                RopeScaling::Yarn {
                    factor,
                    beta_fast: of("beta_fast")?.unwrap_or(32.0),
                    beta_slow: of("beta_slow")?.unwrap_or(1.0),
                    original_context,
                    attention_factor,
                    truncate: self.flag_in(table, "truncate")?.unwrap_or(true),
                }
            }
            _ => {
                return self
                    .refuse(format!("rope scaling {kind:?} (known are default, linear, llama3, yarn)"));
            }
        };
        Ok(Rope { theta, scaling })
    }

    pub(super) fn refuse<T>(&self, what: impl Into<String>) -> Result<T, ModelsError> {
        Err(ModelsError::unsupported(&self.path, what))
    }

    fn wrong(&self, key: &str, wanted: &str) -> ModelsError {
        ModelsError::invalid(&self.path, format!("{key} is not {wanted}"))
    }

    pub(super) fn size(&self, key: &str) -> Result<Option<usize>, ModelsError> {
        self.size_in(&self.map, key)
    }

    pub(super) fn size_in(&self, map: &Map<String, Value>, key: &str) -> Result<Option<usize>, ModelsError> {
        let Some(value) = map.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
        // Some files write whole numbers as 8192.0.
        let whole = value.as_u64().or_else(|| {
            value
                .as_f64()
                .filter(|number| number.fract() == 0.0 && (0.0..1e15).contains(number))
                .map(|number| number as u64)
        });
        whole
            .and_then(|number| usize::try_from(number).ok())
            .map(Some)
            .ok_or_else(|| self.wrong(key, "a whole number"))
    }

    pub(super) fn needed(&self, key: &str) -> Result<usize, ModelsError> {
        self.size(key)?.ok_or_else(|| ModelsError::invalid(&self.path, format!("it has no {key}")))
    }

    pub(super) fn number(&self, map: &Map<String, Value>, key: &str) -> Result<Option<f64>, ModelsError> {
        let Some(value) = map.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
        value.as_f64().map(Some).ok_or_else(|| self.wrong(key, "a number"))
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, ModelsError> {
        self.flag_in(&self.map, key)
    }

    fn flag_in(&self, map: &Map<String, Value>, key: &str) -> Result<Option<bool>, ModelsError> {
        let Some(value) = map.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.wrong(key, "true or false"))
    }

    pub(super) fn text(&self, map: &Map<String, Value>, key: &str) -> Result<Option<String>, ModelsError> {
        let Some(value) = map.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
        value.as_str().map(|text| Some(text.to_owned())).ok_or_else(|| self.wrong(key, "a text"))
    }
}
