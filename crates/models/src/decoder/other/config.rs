//! What candle-transformers' nets need to know of a `config.json`, and where they compute something else than
//! transformers.
//!
//! What a file leaves out has the default of transformers' class for its family (version 5.24). What a net leaves out is
//! refused, or the context is cut to where it makes no difference:
//! - Phi-3, Gemma 2 and StarCoder2: the nets look back over everything, whatever the sliding window; the context ends with
//!   the window.
//! - Gemma 3: the window of a prompt that is read at once is one token too long, and none fits one that is read in pieces;
//!   what goes beyond the window is read token by token ([`Spec::window`]). Several key-value heads make its cache fail.
//! - All: no net scales its rotation as transformers does.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::nets::Net;
use super::nets::models::{gemma, gemma2, gemma3, glm4_new, olmo2, phi3, smol, starcoder2};
use crate::decoder::config_hf::File;
use crate::error::ModelsError;
use candle_nn::VarBuilder;

/// Families, by `model_type`.
pub const KNOWN: [&str; 8] =
    ["gemma", "gemma2", "gemma3_text", "glm4", "olmo2", "phi3", "smollm3", "starcoder2"];
/// Most tokens of a sequence where the settings do not say: the nets make tables for all, some in each layer.
const CONTEXT: usize = 8192;

/// A net's shape.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    family: String,
    /// Ids that it knows.
    pub vocabulary: usize,
    /// Most tokens of a sequence.
    pub context: usize,
    /// Bytes of keys and values of a token.
    pub token_bytes: usize,
    /// Tokens from which on only one can be read at a time.
    pub window: Option<usize>,
    /// The configuration as the net's own type reads it.
    config: Value,
}

/// What the families have in common.
struct Common {
    vocabulary: usize,
    hidden: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    context: usize,
}

impl Spec {
    /// Of a file whose family is one of [`KNOWN`], for sequences of at most `context` tokens.
    ///
    /// # Errors
    /// When the file lacks something, or asks for what the net does not compute as transformers does.
    pub fn of(file: &File, context: Option<usize>) -> Result<Self, ModelsError> {
        file.unquantised()?;
        let family = file.family()?;
        let (positions, head_dim) = match family.as_str() {
            "phi3" | "starcoder2" => (4096, None),
            "gemma" | "gemma2" => (8192, Some(256)),
            "gemma3_text" => (131_072, Some(256)),
            "olmo2" => (2048, None),
            "smollm3" => (32_768, None),
            _ => (131_072, Some(128)),
        };
        let mut common = Common::of(file, positions, head_dim)?;
        // What tells the families apart, with the keys of candle-transformers' types.
        let mut own = Map::new();
        let mut set = |key: &str, value: Value| _ = own.insert(key.to_owned(), value);
        let act = match family.as_str() {
            "starcoder2" | "gemma" | "gemma2" | "gemma3_text" => "gelu_pytorch_tanh",
            _ => "silu",
        };
        for key in ["hidden_activation", "hidden_act"] {
            if let Some(given) = file.text(&file.map, key)?.filter(|given| given != act) {
                return file.refuse(format!("{key} {given:?} (known for {family} is {act})"));
            }
        }
        let epsilon = if family == "starcoder2" { "norm_epsilon" } else { "rms_norm_eps" };
        let default = if matches!(family.as_str(), "phi3" | "olmo2" | "starcoder2") { 1e-5 } else { 1e-6 };
        set(epsilon, json!(file.number(&file.map, epsilon)?.unwrap_or(default)));
        let gemma = family.starts_with("gemma");
        set(if gemma { "hidden_activation" } else { "hidden_act" }, json!(act));
        let bias = if family == "starcoder2" { ("use_bias", true) } else { ("attention_bias", false) };
        set(bias.0, json!(file.flag(bias.0)?.unwrap_or(bias.1)));
        let ties = gemma || matches!(family.as_str(), "starcoder2" | "smollm3");
        let tied = file.flag("tie_word_embeddings")?.unwrap_or(ties);
        if !tied && (gemma || family == "starcoder2") {
            return file.refuse(format!("an output layer that is not the embedding ({family})"));
        }
        set("tie_word_embeddings", json!(tied));
        let window = common.window(file, &family)?;
        if let Some(window) = window.filter(|_| family != "gemma3_text") {
            common.context = common.context.min(window);
        }
        let (theta, part) = rotation(file, &family)?;
        set("rope_theta", json!(theta));
        match family.as_str() {
            "phi3" | "glm4" => set("partial_rotary_factor", json!(part)),
            _ if part.is_some_and(|part| part != 1.0) => {
                return file.refuse("rope over a part of each head (partial_rotary_factor)");
            }
            _ => {}
        }
        if gemma && family != "gemma" {
            let scalar = file.size("query_pre_attn_scalar")?.unwrap_or(256);
            if scalar != common.head_dim {
                let head_dim = common.head_dim;
                return file
                    .refuse(format!("query_pre_attn_scalar {scalar} (known is head_dim, {head_dim})"));
            }
            set("query_pre_attn_scalar", json!(scalar));
            for (key, default) in [("attn_logit_softcapping", 50.0), ("final_logit_softcapping", 30.0)] {
                let default = Some(default).filter(|_| family == "gemma2" && !file.map.contains_key(key));
                set(key, json!(file.number(&file.map, key)?.or(default)));
            }
            if file.flag("use_bidirectional_attention")?.unwrap_or(false) {
                return file.refuse("attention in both directions");
            }
        }
        let mut step = None;
        match family.as_str() {
            "gemma3_text" => {
                if common.kv_heads > 1 {
                    return file
                        .refuse(format!("{} key-value heads (known for {family} is 1)", common.kv_heads));
                }
                let window = window.unwrap_or(common.context);
                set("sliding_window", json!(window));
                set("sliding_window_pattern", json!(pattern(file, common.layers)?));
                let local = local_theta(file)?;
                set("rope_local_base_freq", json!(local));
                step = Some(window);
            }
            "olmo2" if file.number(&file.map, "clip_qkv")?.is_some() => return file.refuse("clip_qkv"),
            "smollm3" => {
                let given = file.map.get("no_rope_layers").filter(|layers| !layers.is_null());
                set("no_rope_layers", given.cloned().unwrap_or(Value::Null));
                set("no_rope_layer_interval", json!(file.size("no_rope_layer_interval")?.unwrap_or(4)));
                set("mlp_bias", json!(file.flag("mlp_bias")?.unwrap_or(false)));
            }
            _ => {}
        }
        common.context = common.context.min(context.unwrap_or(CONTEXT)).max(1);
        common.write(&mut own, file.needed("intermediate_size")?);
        Ok(Self {
            family,
            vocabulary: common.vocabulary,
            context: common.context,
            token_bytes: 2 * 4 * common.layers * common.kv_heads * common.head_dim,
            window: step,
            config: Value::Object(own),
        })
    }

    /// The net over these tensors.
    pub fn net(&self, file: &File, tensors: VarBuilder<'_>) -> Result<Box<dyn Net>, Failed> {
        Ok(match self.family.as_str() {
            "phi3" => Box::new(phi3::Model::new(&self.typed(file)?, tensors)?),
            "gemma" => Box::new(gemma::Model::new(false, &self.typed(file)?, tensors)?),
            "gemma2" => Box::new(gemma2::Model::new(false, &self.typed(file)?, tensors)?),
            "gemma3_text" => Box::new(gemma3::Model::new(false, &self.typed(file)?, tensors)?),
            "olmo2" => Box::new(olmo2::Model::new(&self.typed(file)?, tensors)?),
            "starcoder2" => Box::new(starcoder2::Model::new(&self.typed(file)?, tensors)?),
            "smollm3" => Box::new(smol::smollm3::ModelForCausalLM::new(&self.typed(file)?, tensors)?),
            _ => Box::new(glm4_new::ModelForCausalLM::new(&self.typed(file)?, tensors)?),
        })
    }

    fn typed<C: DeserializeOwned>(&self, file: &File) -> Result<C, ModelsError> {
        C::deserialize(&self.config).map_err(|error| ModelsError::invalid(&file.path, error))
    }
}

/// Why there is no net.
pub(super) enum Failed {
    /// Its configuration.
    Config(ModelsError),
    /// Its tensors.
    Tensors(candle_core::Error),
}

impl From<ModelsError> for Failed {
    fn from(error: ModelsError) -> Self {
        Self::Config(error)
    }
}

impl From<candle_core::Error> for Failed {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensors(error)
    }
}

impl Common {
    fn of(file: &File, positions: usize, default_head: Option<usize>) -> Result<Self, ModelsError> {
        let fail = |message: String| Err(ModelsError::invalid(&file.path, message));
        let (hidden, heads) = (file.needed("hidden_size")?, file.needed("num_attention_heads")?);
        let own = Self {
            vocabulary: file.needed("vocab_size")?,
            hidden,
            layers: file.needed("num_hidden_layers")?,
            heads,
            kv_heads: file.size("num_key_value_heads")?.unwrap_or(heads),
            head_dim: match (file.size("head_dim")?, default_head) {
                (Some(length), _) | (None, Some(length)) => length,
                (None, None) => hidden / heads.max(1),
            },
            context: file.size("max_position_embeddings")?.unwrap_or(positions),
        };
        let sizes = [
            ("vocabulary", own.vocabulary, 1 << 24),
            ("hidden size", own.hidden, 1 << 20),
            ("number of layers", own.layers, 1 << 12),
            ("number of attention heads", own.heads, 1 << 14),
            ("number of key-value heads", own.kv_heads, 1 << 14),
            ("head length", own.head_dim, 1 << 14),
            ("context length", own.context, 1 << 30),
        ];
        if let Some((name, size, most)) = sizes.into_iter().find(|(_, size, most)| *size == 0 || size > most)
        {
            return fail(format!("its {name} is {size}, which is not in 1 to {most}"));
        }
        if !own.heads.is_multiple_of(own.kv_heads) {
            return fail(format!(
                "{} key-value heads do not divide {} attention heads",
                own.kv_heads, own.heads
            ));
        }
        if default_head.is_none() && own.head_dim * heads != hidden {
            return file.refuse(format!("head_dim {} with {heads} heads over {hidden}", own.head_dim));
        }
        Ok(own)
    }

    /// The sliding window of the layers that have one.
    fn window(&self, file: &File, family: &str) -> Result<Option<usize>, ModelsError> {
        let default = match family {
            "gemma2" | "gemma3_text" if !file.map.contains_key("sliding_window") => Some(4096),
            "gemma" | "glm4" | "olmo2" => return Ok(None),
            "smollm3" if !file.flag("use_sliding_window")?.unwrap_or(false) => return Ok(None),
            _ => None,
        };
        match file.size("sliding_window")?.or(default) {
            Some(0) => Err(ModelsError::invalid(&file.path, "its sliding window is 0")),
            window => Ok(window),
        }
    }

    fn write(&self, own: &mut Map<String, Value>, intermediate: usize) {
        let sizes = [
            ("vocab_size", self.vocabulary),
            ("hidden_size", self.hidden),
            ("intermediate_size", intermediate),
            ("num_hidden_layers", self.layers),
            ("num_attention_heads", self.heads),
            ("num_key_value_heads", self.kv_heads),
            ("head_dim", self.head_dim),
            ("max_position_embeddings", self.context),
        ];
        own.extend(sizes.map(|(key, size)| (key.to_owned(), json!(size))));
    }
}

/// A table of rotation parameters; Gemma 3's for layers of one kind.
fn table<'a>(file: &'a File, kind: &str) -> Option<&'a Map<String, Value>> {
    let table = ["rope_scaling", "rope_parameters"].iter().find_map(|key| file.map.get(*key)?.as_object())?;
    match table.values().any(Value::is_object) {
        true => table.get(kind)?.as_object(),
        false => Some(table),
    }
}

/// Base of the wavelengths and the rotated part of a head.
fn rotation(file: &File, family: &str) -> Result<(f64, Option<f64>), ModelsError> {
    let (theta, part) = match family {
        "gemma3_text" => (1e6, None),
        "olmo2" => (5e5, None),
        "smollm3" => (2e6, None),
        "glm4" => (1e4, Some(0.5)),
        _ => (1e4, None),
    };
    let empty = Map::new();
    let table = table(file, "full_attention").unwrap_or(&empty);
    for key in ["rope_type", "type"] {
        if let Some(kind) = file.text(table, key)?.filter(|kind| kind != "default") {
            return file.refuse(format!("rope scaling {kind:?} (known for {family} is default)"));
        }
    }
    let given = |key: &str| Ok::<_, ModelsError>(file.number(table, key)?.or(file.number(&file.map, key)?));
    Ok((given("rope_theta")?.unwrap_or(theta), given("partial_rotary_factor")?.or(part)))
}

/// Base of the wavelengths in Gemma 3's layers with a window.
fn local_theta(file: &File) -> Result<f64, ModelsError> {
    let empty = Map::new();
    let table = match file.map.get("rope_parameters").and_then(|table| table.get("sliding_attention")) {
        Some(Value::Object(table)) => table,
        _ => &empty,
    };
    Ok(file.number(table, "rope_theta")?.or(file.number(&file.map, "rope_local_base_freq")?).unwrap_or(1e4))
}

/// Every how many layers Gemma 3 looks back over everything.
fn pattern(file: &File, layers: usize) -> Result<usize, ModelsError> {
    let Some(kinds) = file.map.get("layer_types").and_then(Value::as_array) else {
        for key in ["sliding_window_pattern", "_sliding_window_pattern"] {
            if let Some(every) = file.size(key)?.filter(|every| *every > 0) {
                return Ok(every);
            }
        }
        return Ok(6);
    };
    let full = |layer: usize| kinds.get(layer).is_some_and(|kind| kind == "full_attention");
    let every = (0..layers).find(|layer| full(*layer)).map_or(layers + 1, |layer| layer + 1);
    let regular =
        kinds.len() == layers && (0..layers).all(|layer| full(layer) == (layer + 1).is_multiple_of(every));
    if regular { Ok(every) } else { file.refuse("layer_types that do not repeat") }
}
