//! `adapter_config.json`: reading it, and refusing what is not implemented by name.

use std::path::Path;

use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::ModelsError;
use crate::nn::lora::lora_scale;
use crate::training::{BottleneckActivation, BottleneckOptions, Quantization, ends};

/// What an adapter is.
#[derive(Debug)]
pub enum AdapterKind {
    /// Low-rank differences.
    Lora(LoraConfig),
    /// Bottlenecks after attention and MLP.
    Bottleneck(BottleneckOptions),
}

/// PEFT's settings of low-rank differences, as far as they change what is computed.
#[derive(Debug)]
pub struct LoraConfig {
    /// `r`: the rank of modules that `rank_pattern` does not name.
    pub rank: usize,
    /// `lora_alpha`, for modules that `alpha_pattern` does not name.
    pub alpha: f64,
    /// Share of inputs left out in training.
    pub dropout: f64,
    /// Whether alpha is divided by the rank's root.
    pub rank_stabilised: bool,
    /// Whether magnitudes are kept apart.
    pub dora: bool,
    /// Whether the input and output embeddings are one, also as saved modules.
    pub ensure_tied: bool,
    /// Which linears have to be there.
    pub targets: Named,
    /// Ranks of their own, by pattern.
    pub ranks: Vec<(Regex, usize)>,
    /// Alphas of their own, by pattern.
    pub alphas: Vec<(Regex, f64)>,
}

/// Modules that a configuration names.
#[derive(Debug)]
pub enum Named {
    /// All linears of the layers.
    AllLinear,
    /// Those whose name is, or ends in, one of these.
    Ends(Vec<String>),
    /// Not known from the configuration alone: those in the file.
    Open,
}

/// What PEFT has no key for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The type of the frozen linears in training.
    #[serde(default)]
    pub quantization: Option<Quantization>,
}

/// Initialisations that leave the base's weights alone.
const HARMLESS_INITS: [&str; 4] = ["gaussian", "eva", "orthogonal", "kaiming"];
/// Keys that have to be null, false or empty.
const ABSENT: [&str; 13] = [
    "trainable_token_indices",
    "target_parameters",
    "layer_replication",
    "alora_invocation_tokens",
    "arrow_config",
    "use_qalora",
    "use_bdlora",
    "lora_bias",
    "fan_in_fan_out",
    "monteclora_config",
    "velora_config",
    "kasa_config",
    "megatron_config",
];

impl LoraConfig {
    /// The rank of a module.
    pub fn rank_of(&self, module: &str) -> usize {
        matching(&self.ranks, module).copied().unwrap_or(self.rank)
    }

    /// What the product of a module is multiplied by.
    pub fn scale_of(&self, module: &str) -> f64 {
        let alpha = matching(&self.alphas, module).copied().unwrap_or(self.alpha);
        lora_scale(alpha, self.rank_of(module), self.rank_stabilised)
    }
}

impl Named {
    /// Whether a layer's linear of this name has to be in the file.
    pub fn require(&self, module: &str) -> bool {
        match self {
            Self::AllLinear => true,
            Self::Ends(names) => names.iter().any(|name| ends(module, name)),
            Self::Open => false,
        }
    }
}

fn matching<'a, T>(patterns: &'a [(Regex, T)], module: &str) -> Option<&'a T> {
    patterns.iter().find(|(pattern, _)| pattern.is_match(module)).map(|(_, value)| value)
}

/// A configuration and the name of its base.
pub(super) struct Parsed {
    pub kind: AdapterKind,
    pub base: Option<String>,
}

/// Reads a configuration of PEFT's or ours.
pub(super) fn parse(path: &Path, map: &Map<String, Value>) -> Result<Parsed, ModelsError> {
    let file = File { path, map };
    let base = file.text("base_model_name_or_path")?.filter(|name| !name.is_empty());
    let kind = match file.text("peft_type")?.as_deref() {
        Some("LORA") => AdapterKind::Lora(file.lora()?),
        Some("BOTTLENECK") => AdapterKind::Bottleneck(file.bottleneck()?),
        Some(other) => return file.refuse(format!("peft_type {other} (known are LORA and BOTTLENECK)")),
        None => return Err(ModelsError::invalid(path, "it has no peft_type; is it an adapter's?")),
    };
    Ok(Parsed { kind, base })
}

struct File<'a> {
    path: &'a Path,
    map: &'a Map<String, Value>,
}

impl File<'_> {
    fn lora(&self) -> Result<LoraConfig, ModelsError> {
        for key in ABSENT {
            if !self.get(key).is_none_or(empty) {
                return self.refuse(format!("{key} in its adapter_config.json"));
            }
        }
        match self.text("bias")?.as_deref() {
            None | Some("none") => {}
            Some(other) => {
                return self.refuse(format!("bias: {other}, that is trained biases (known is bias: none)"));
            }
        }
        match self.get("init_lora_weights") {
            None | Some(Value::Bool(_)) => {}
            Some(Value::String(init)) if HARMLESS_INITS.contains(&init.as_str()) => {}
            Some(init) => {
                return self.refuse(format!(
                    "init_lora_weights {init}, which changes the base's weights (convert the adapter with \
                     path_initial_model_for_weight_conversion when saving it in PEFT)"
                ));
            }
        }
        match self.text("task_type")?.as_deref() {
            None | Some("CAUSAL_LM") => {}
            Some(other) => return self.refuse(format!("task_type {other} (known is CAUSAL_LM)")),
        }
        let rank = self.whole("r", self.get("r").unwrap_or(&Value::from(8)))?;
        let alpha = self.number("lora_alpha")?.unwrap_or(8.0);
        let ranks = self.patterns("rank_pattern", |value| self.whole("rank_pattern", value))?;
        let alphas = self.patterns("alpha_pattern", |value| {
            value.as_f64().ok_or_else(|| self.wrong("alpha_pattern", "a map of patterns and numbers"))
        })?;
        Ok(LoraConfig {
            rank,
            alpha,
            dropout: self.number("lora_dropout")?.unwrap_or(0.0),
            rank_stabilised: self.flag("use_rslora")?,
            dora: self.flag("use_dora")?,
            ensure_tied: self.flag("ensure_weight_tying")?,
            targets: self.targets()?,
            ranks,
            alphas,
        })
    }

    fn targets(&self) -> Result<Named, ModelsError> {
        let narrowed = ["layers_to_transform", "layers_pattern", "exclude_modules"]
            .iter()
            .any(|key| !self.get(key).is_none_or(empty));
        Ok(match self.get("target_modules") {
            Some(Value::String(all)) if all == "all-linear" && !narrowed => Named::AllLinear,
            // A regular expression, whose meaning the file's tensors tell.
            None | Some(Value::String(_)) => Named::Open,
            Some(Value::Array(_)) if narrowed => Named::Open,
            Some(Value::Array(names)) => {
                let names: Option<Vec<String>> =
                    names.iter().map(|name| name.as_str().map(str::to_owned)).collect();
                Named::Ends(names.ok_or_else(|| self.wrong("target_modules", "a list of names"))?)
            }
            Some(_) => return Err(self.wrong("target_modules", "a text or a list of names")),
        })
    }

    fn bottleneck(&self) -> Result<BottleneckOptions, ModelsError> {
        let size = self.get("size").ok_or_else(|| self.wrong("size", "there"))?;
        let activation = self.get("activation").cloned().unwrap_or(Value::from("silu"));
        let activation: BottleneckActivation = serde_json::from_value(activation.clone()).or_else(|_| {
            self.refuse(format!("the activation {activation} in a bottleneck (known are relu and silu)"))
        })?;
        Ok(BottleneckOptions { size: self.whole("size", size)?, activation })
    }

    fn patterns<T>(
        &self,
        key: &str,
        value: impl Fn(&Value) -> Result<T, ModelsError>,
    ) -> Result<Vec<(Regex, T)>, ModelsError> {
        let Some(patterns) = self.get(key) else { return Ok(Vec::new()) };
        let patterns = patterns.as_object().ok_or_else(|| self.wrong(key, "a map"))?;
        let mut all = Vec::with_capacity(patterns.len());
        for (pattern, own) in patterns {
            // As PEFT reads them (`get_pattern_key`): the end of a name, from a dot on.
            let regex = Regex::new(&format!(r"^(?:.*\.)?(?:{pattern})$"))
                .map_err(|error| ModelsError::invalid(self.path, format!("{key}: {error}")))?;
            all.push((regex, value(own)?));
        }
        Ok(all)
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn refuse<T>(&self, what: String) -> Result<T, ModelsError> {
        Err(ModelsError::unsupported(self.path, what))
    }

    fn wrong(&self, key: &str, wanted: &str) -> ModelsError {
        ModelsError::invalid(self.path, format!("its {key} is not {wanted}"))
    }

    fn whole(&self, key: &str, value: &Value) -> Result<usize, ModelsError> {
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        number
            .filter(|number| (1..=1 << 16).contains(number))
            .ok_or_else(|| self.wrong(key, "a whole number from 1 to 65536"))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, ModelsError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value
            .as_f64()
            .filter(|number| number.is_finite())
            .map(Some)
            .ok_or_else(|| self.wrong(key, "a number"))
    }

    fn flag(&self, key: &str) -> Result<bool, ModelsError> {
        let Some(value) = self.get(key) else { return Ok(false) };
        value.as_bool().ok_or_else(|| self.wrong(key, "true or false"))
    }

    fn text(&self, key: &str) -> Result<Option<String>, ModelsError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_str().map(|text| Some(text.to_owned())).ok_or_else(|| self.wrong(key, "a text"))
    }
}

/// Whether a value asks for nothing.
fn empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}
