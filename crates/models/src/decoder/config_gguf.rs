//! A decoder's configuration from the metadata of a GGUF file.
//!
//! Keys: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>; what a file leaves out has llama.cpp's default.

use std::path::Path;

use candle_core::quantized::gguf_file::Value;

use super::{DecoderConfig, Rope, RopeScaling};
use crate::error::ModelsError;
use crate::weights::GgufFile;

/// Architectures that are implemented; Mistral's and SmolLM's files say `llama`.
const KNOWN: [&str; 3] = ["llama", "qwen2", "qwen3"];

/// Reads and checks the configuration of a GGUF file.
///
/// # Errors
/// When a key is missing or of the wrong type, or it asks for what is not implemented.
pub(crate) fn from_gguf(file: &GgufFile) -> Result<DecoderConfig, ModelsError> {
    let path = file.path();
    let architecture = match file.metadata().get("general.architecture") {
        Some(Value::String(architecture)) => architecture.clone(),
        _ => return Err(ModelsError::invalid(path, "it has no general.architecture")),
    };
    if !KNOWN.contains(&architecture.as_str()) {
        let what = format!("architecture {architecture:?} (known are {})", KNOWN.join(", "));
        return Err(ModelsError::unsupported(path, what));
    }
    Keys { file, path, architecture }.decoder()
}

struct Keys<'a> {
    file: &'a GgufFile,
    path: &'a Path,
    architecture: String,
}

impl Keys<'_> {
    fn decoder(self) -> Result<DecoderConfig, ModelsError> {
        for (key, least, what) in
            [("expert_count", 1, "experts"), ("attention.sliding_window_pattern", 0, "a pattern of windows")]
        {
            if self.get(key).is_some() && self.size(key)?.is_none_or(|count| count >= least) {
                return self.refuse(what);
            }
        }
        let hidden = self.needed("embedding_length")?;
        let heads = self.needed("attention.head_count")?;
        let layers = self.needed("block_count")?;
        if layers > 1 << 12 {
            return Err(ModelsError::invalid(
                self.path,
                format!("its block_count is {layers}, more than 4096"),
            ));
        }
        let head_dim = match self.size("attention.key_length")? {
            Some(length) => length,
            None if heads == 0 || !hidden.is_multiple_of(heads) => {
                let message = format!("{heads} attention heads do not divide embedding_length {hidden}");
                return Err(ModelsError::invalid(self.path, message));
            }
            None => hidden / heads,
        };
        if self.size("attention.value_length")?.is_some_and(|length| length != head_dim) {
            return self.refuse("values of another length than keys");
        }
        if self.size("rope.dimension_count")?.is_some_and(|length| length != head_dim) {
            return self.refuse("rope over a part of each head (rope.dimension_count)");
        }
        let context = self.needed("context_length")?;
        let window = self.size("attention.sliding_window")?.filter(|window| *window > 0);
        let embedding = self.file.shape("token_embd.weight")?;
        let &[vocabulary, _] = embedding else {
            let message = format!("its shape is {embedding:?}, not a matrix");
            return Err(ModelsError::tensor(self.path, "token_embd.weight", message));
        };
        let bias = |name: &str| self.file.contains(&format!("blk.0.{name}.bias"));
        DecoderConfig {
            vocabulary,
            hidden,
            intermediate: self.needed("feed_forward_length")?,
            heads,
            kv_heads: self.size("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            windows: vec![window; layers],
            norm_epsilon: self
                .number("attention.layer_norm_rms_epsilon")?
                .ok_or_else(|| self.missing("attention.layer_norm_rms_epsilon"))?
                as f32,
            rope: self.rope(context, head_dim)?,
            qkv_bias: bias("attn_q"),
            output_bias: bias("attn_output"),
            mlp_bias: bias("ffn_gate"),
            qk_norm: self.file.contains("blk.0.attn_q_norm.weight"),
            tied: !self.file.contains("output.weight"),
            context,
            architecture: self.architecture.clone(),
        }
        .checked(self.path)
    }

    fn rope(&self, context: usize, head_dim: usize) -> Result<Rope, ModelsError> {
        let theta = self.number("rope.freq_base")?.unwrap_or(10_000.0);
        let kind = match self.get("rope.scaling.type") {
            None => "none",
            Some(Value::String(kind)) => kind.as_str(),
            Some(_) => return Err(self.wrong("rope.scaling.type", "a text")),
        };
        let factor = match self.number("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            None => self.number("rope.scale_linear")?,
        };
        // 0 stands for "not scaled" in some files.
        let factor = factor.filter(|factor| *factor != 0.0).unwrap_or(1.0);
        let scaling = match kind {
            // A factor without a type is linear, as in llama.cpp.
            "none" if self.get("rope.scaling.type").is_some() || factor == 1.0 => RopeScaling::Default,
            "none" | "linear" => RopeScaling::Linear { factor },
            "yarn" => {
                let own = match self.number("rope.scaling.yarn_attn_factor")? {
                    Some(own) => own,
                    None => self.number("rope.scaling.attn_factor")?.unwrap_or(1.0),
                };
                if self.number("rope.scaling.yarn_ext_factor")?.is_some_and(|mix| mix != 1.0 && mix != -1.0) {
                    return self.refuse("yarn with an extrapolation mix (yarn_ext_factor)");
                }
                RopeScaling::Yarn {
                    factor,
                    beta_fast: self.number("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
                    beta_slow: self.number("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
                    original_context: self.size("rope.scaling.original_context_length")?.unwrap_or(context),
                    // ggml's rope multiplies the file's factor by this.
                    attention_factor: own * if factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 },
                    truncate: true,
                }
            }
            _ => return self.refuse(format!("rope scaling {kind:?} (known are none, linear, yarn)")),
        };
        if !self.file.contains("rope_freqs.weight") {
            return Ok(Rope { theta, scaling });
        }
        if scaling != RopeScaling::Default {
            return self.refuse(format!("rope_freqs.weight beside rope scaling {kind:?}"));
        }
        let divisors = self.file.vector("rope_freqs.weight", head_dim / 2)?;
        Ok(Rope { theta, scaling: RopeScaling::Divisors { divisors } })
    }

    fn refuse<T>(&self, what: impl Into<String>) -> Result<T, ModelsError> {
        Err(ModelsError::unsupported(self.path, what))
    }

    fn wrong(&self, key: &str, wanted: &str) -> ModelsError {
        ModelsError::invalid(self.path, format!("its {}.{key} is not {wanted}", self.architecture))
    }

    fn missing(&self, key: &str) -> ModelsError {
        ModelsError::invalid(self.path, format!("it has no {}.{key}", self.architecture))
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.file.metadata().get(&format!("{}.{key}", self.architecture))
    }

    fn size(&self, key: &str) -> Result<Option<usize>, ModelsError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let one = |value: &Value| {
            let wide = match value {
                Value::U8(v) => u64::from(*v),
                Value::U16(v) => u64::from(*v),
                Value::U32(v) => u64::from(*v),
                Value::U64(v) => *v,
                Value::I8(v) => u64::try_from(*v).ok()?,
                Value::I16(v) => u64::try_from(*v).ok()?,
                Value::I32(v) => u64::try_from(*v).ok()?,
                Value::I64(v) => u64::try_from(*v).ok()?,
                _ => return None,
            };
            usize::try_from(wide).ok()
        };
        let number = match value {
            // Some files give one number for each layer.
            Value::Array(values) => {
                let first = values.first().and_then(one);
                if values.iter().any(|value| one(value) != first) {
                    return self.refuse(format!("layers that differ in {}.{key}", self.architecture));
                }
                first
            }
            value => one(value),
        };
        number.map(Some).ok_or_else(|| self.wrong(key, "a whole number"))
    }

    fn needed(&self, key: &str) -> Result<usize, ModelsError> {
        self.size(key)?.ok_or_else(|| self.missing(key))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, ModelsError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::F32(v)) => Ok(Some(f64::from(*v))),
            Some(Value::F64(v)) => Ok(Some(*v)),
            Some(_) => match self.size(key) {
                Ok(Some(whole)) => Ok(Some(whole as f64)),
                _ => Err(self.wrong(key, "a number")),
            },
        }
    }
}
