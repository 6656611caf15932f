//! Keys of the base, of what is trained of it, and of the precision.

use std::path::PathBuf;

use lore_models::training::{
    BottleneckActivation, BottleneckOptions, FreezeOptions, Layers, LoraOptions, Method, Precision,
    Quantization, Targets,
};

use super::keys::{Allowed, Keys};
use super::{DeviceKind, ModelSettings, Stage};
use crate::error::TrainError;

/// Layers that `freeze` trains where the file does not say; LLaMA-Factory's number.
const FREEZE_LAYERS: i128 = 2;
/// Length of a bottleneck where the file does not say.
const ADAPTER_SIZE: usize = 64;
/// Deviation of random weights where the file does not say; that of Llama and Qwen configurations.
const DEVIATION: f64 = 0.02;

/// `finetuning_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Full,
    Freeze,
    Lora,
    Adapter,
    Oft,
}

/// `quantization_method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backend {
    Ours,
    Other(&'static str),
}

/// The keys as they are written.
#[derive(Debug)]
pub(super) struct Raw {
    stage: Option<Option<Stage>>,
    stage_name: Option<String>,
    do_train: Option<bool>,
    name: Option<String>,
    revision: Option<String>,
    adapters: Option<Vec<String>>,
    random: bool,
    deviation: Option<f64>,
    kind: Option<Kind>,
    rank: Option<usize>,
    alpha: Option<f64>,
    dropout: Option<f64>,
    targets: Option<Vec<String>>,
    rslora: Option<bool>,
    dora: Option<bool>,
    plus: Option<f64>,
    to_save: Option<Vec<String>>,
    freeze_layers: Option<i128>,
    freeze_modules: Option<Vec<String>>,
    freeze_extra: Option<Vec<String>>,
    adapter_size: Option<usize>,
    adapter_activation: Option<BottleneckActivation>,
    bits: Option<usize>,
    fp4: Option<bool>,
    backend: Option<Backend>,
    double: Option<bool>,
    quantize_embedding: Option<bool>,
    cache: Option<String>,
    bf16: Option<bool>,
    fp16: Option<bool>,
    pure_bf16: Option<bool>,
    checkpointing: Option<bool>,
    no_checkpointing: Option<bool>,
    device: Option<String>,
}

/// What they mean.
#[derive(Debug)]
pub(super) struct Resolved {
    pub stage: Stage,
    pub model: ModelSettings,
    pub method: Method,
    pub precision: Precision,
    pub quantization: Option<Quantization>,
    pub quantization_cache: Option<PathBuf>,
    pub gradient_checkpointing: bool,
    pub device: DeviceKind,
    pub loraplus_ratio: Option<f64>,
}

const LORA_KEYS: &[&str] =
    &["lora_rank", "lora_alpha", "lora_dropout", "lora_target", "additional_target", "loraplus_lr_ratio"];
const FREEZE_KEYS: &[&str] = &["freeze_trainable_layers", "freeze_trainable_modules", "freeze_extra_modules"];
const ADAPTER_KEYS: &[&str] = &["adapter_size", "adapter_activation"];

impl Raw {
    pub(super) fn read(keys: &mut Keys) -> Result<Self, TrainError> {
        let stages = [
            ("sft", Some(Stage::Sft)),
            ("pt", Some(Stage::Pt)),
            ("rm", None),
            ("dpo", None),
            ("ppo", None),
            ("kto", None),
        ];
        let kinds = [
            ("lora", Kind::Lora),
            ("full", Kind::Full),
            ("freeze", Kind::Freeze),
            ("adapter", Kind::Adapter),
            ("oft", Kind::Oft),
        ];
        let backends = [
            ("bnb", Backend::Ours),
            ("bitsandbytes", Backend::Ours),
            ("hqq", Backend::Other("hqq")),
            ("eetq", Backend::Other("eetq")),
            ("gptq", Backend::Other("gptq")),
            ("awq", Backend::Other("awq")),
            ("aqlm", Backend::Other("aqlm")),
        ];
        let activations = [("silu", BottleneckActivation::Silu), ("relu", BottleneckActivation::Relu)];
        Ok(Self {
            stage: keys.choice("stage", &stages)?,
            stage_name: keys.text("stage")?,
            do_train: keys.flag("do_train")?,
            name: keys.text("model_name_or_path")?,
            revision: keys.text("model_revision")?.filter(|revision| revision != "main"),
            adapters: keys.words("adapter_name_or_path")?,
            random: keys.choice("init", &[("random", true)])?.unwrap_or(false)
                | keys.flag("train_from_scratch")?.unwrap_or(false),
            deviation: keys.number("initializer_range", Allowed::Above(0.0))?,
            kind: keys.choice("finetuning_type", &kinds)?,
            rank: keys.count("lora_rank", 1)?,
            alpha: keys.number("lora_alpha", Allowed::Above(0.0))?,
            dropout: keys.number("lora_dropout", Allowed::Below(0.0, 1.0))?,
            targets: keys.words("lora_target")?,
            rslora: keys.flag("use_rslora")?,
            dora: keys.flag("use_dora")?,
            plus: keys.number("loraplus_lr_ratio", Allowed::Above(0.0))?,
            to_save: keys.words("additional_target")?,
            freeze_layers: keys.whole("freeze_trainable_layers", -1000, 1000)?,
            freeze_modules: keys.words("freeze_trainable_modules")?,
            freeze_extra: keys.words("freeze_extra_modules")?,
            adapter_size: keys.count("adapter_size", 1)?,
            adapter_activation: keys.choice("adapter_activation", &activations)?,
            bits: keys.choice("quantization_bit", &[("4", 4), ("8", 8), ("none", 0)])?,
            fp4: keys.choice("quantization_type", &[("nf4", false), ("fp4", true)])?,
            backend: keys.choice("quantization_method", &backends)?,
            double: keys.flag("double_quantization")?,
            quantize_embedding: keys.flag("quantize_embedding")?,
            cache: keys.text("quantization_cache_dir")?,
            bf16: keys.flag("bf16")?,
            fp16: keys.flag("fp16")?,
            pure_bf16: keys.flag("pure_bf16")?,
            checkpointing: keys.flag("gradient_checkpointing")?,
            no_checkpointing: keys.flag("disable_gradient_checkpointing")?,
            device: keys.text("device")?,
        })
    }

    pub(super) fn resolve(self, keys: &mut Keys) -> Result<Resolved, TrainError> {
        let stage = match self.stage {
            Some(Some(stage)) => stage,
            None => Stage::Sft,
            Some(None) => {
                let name = self.stage_name.as_deref().unwrap_or_default();
                let message = format!(
                    "stage {name} is not here yet; there are sft (instructions and answers) and pt (plain text)"
                );
                return Err(keys.error("stage", message));
            }
        };
        if self.do_train == Some(false) {
            return Err(
                keys.error("do_train", "do_train is false, and training is all that `lore train` does")
            );
        }
        let kind = match self.kind {
            Some(kind) => kind,
            None if self.random => Kind::Full,
            None => Kind::Lora,
        };
        if kind == Kind::Oft {
            let message = "finetuning_type oft is not supported: use lora, with lora_rank and lora_target";
            return Err(keys.error("finetuning_type", message));
        }
        let model = self.model(kind, keys)?;
        let quantization = self.quantization(kind, keys)?;
        let precision = self.precision(keys)?;
        let gradient_checkpointing = match (self.checkpointing, self.no_checkpointing) {
            (Some(true), Some(true)) => {
                let message =
                    "gradient_checkpointing and disable_gradient_checkpointing are both true; leave one out";
                return Err(keys.error("disable_gradient_checkpointing", message));
            }
            (Some(checkpointing), _) => checkpointing,
            // LLaMA-Factory's file that says "do not disable it" wants it.
            (None, disabled) => disabled == Some(false),
        };
        let device = match &self.device {
            None => DeviceKind::Cpu,
            Some(name) => DeviceKind::parse(name).ok_or_else(|| {
                keys.error(
                    "device",
                    format!("device is `{name}`; set it to cpu, cuda, or cuda:1 for the second"),
                )
            })?,
        };
        let loraplus_ratio = self.plus.filter(|_| kind == Kind::Lora);
        let cache = self.cache.clone().filter(|_| quantization.is_some()).map(PathBuf::from);
        let method = self.method(kind, keys)?;
        Ok(Resolved {
            stage,
            model,
            method,
            precision,
            quantization,
            quantization_cache: cache,
            gradient_checkpointing,
            device,
            loraplus_ratio,
        })
    }

    fn model(&self, kind: Kind, keys: &mut Keys) -> Result<ModelSettings, TrainError> {
        let Some(name) = &self.name else {
            let message =
                "model_name_or_path is missing; set it to a folder, a .gguf file, or a name on the hub";
            return Err(keys.error("model_name_or_path", message));
        };
        let name = match &self.revision {
            Some(revision) => format!("{name}@{revision}"),
            None => name.clone(),
        };
        let adapter = match self.adapters.as_deref() {
            None | Some([]) => None,
            Some([one]) => Some(PathBuf::from(one)),
            Some(_) => {
                let message = "adapter_name_or_path names several adapters; merge all but the last into the model \
                               (`lore merge`)";
                return Err(keys.error("adapter_name_or_path", message));
            }
        };
        if !self.random {
            keys.without_effect(&["initializer_range"], "it is for init: random");
            if adapter.is_some() && !matches!(kind, Kind::Lora | Kind::Adapter) {
                let message = "adapter_name_or_path goes on with an adapter, and finetuning_type trains none; merge it \
                               first (`lore merge`), or use finetuning_type: lora";
                return Err(keys.error("adapter_name_or_path", message));
            }
            return Ok(ModelSettings::Files { name, adapter });
        }
        let place = if keys.has("init") { "init" } else { "train_from_scratch" };
        if kind != Kind::Full {
            return Err(keys.error(place, "random weights are trained whole; use finetuning_type: full"));
        }
        if adapter.is_some() {
            return Err(
                keys.error("adapter_name_or_path", "random weights have no adapter; leave one of both out")
            );
        }
        let deviation = self.deviation.unwrap_or(DEVIATION) as f32;
        Ok(ModelSettings::Random { name, deviation })
    }

    fn quantization(&self, kind: Kind, keys: &mut Keys) -> Result<Option<Quantization>, TrainError> {
        let others = [
            "quantization_type",
            "quantization_method",
            "double_quantization",
            "quantization_cache_dir",
            "quantize_embedding",
        ];
        let bits = self.bits.unwrap_or(0);
        if bits == 0 {
            keys.without_effect(&others, "they are for quantization_bit: 4 or 8");
            return Ok(None);
        }
        if let Some(Backend::Other(name)) = self.backend {
            let message =
                format!("quantization_method {name} is not supported; use bnb, with quantization_bit 4 or 8");
            return Err(keys.error("quantization_method", message));
        }
        if matches!(kind, Kind::Full | Kind::Freeze) {
            let message = "a quantised base cannot be trained itself; use finetuning_type: lora or adapter, or leave \
                           quantization_bit out";
            return Err(keys.error("quantization_bit", message));
        }
        if bits == 8 {
            keys.without_effect(
                &["quantization_type", "double_quantization", "quantize_embedding"],
                "they are for quantization_bit: 4",
            );
            return Ok(Some(Quantization::Int8));
        }
        if self.fp4 == Some(true) {
            return Err(keys.error("quantization_type", "quantization_type fp4 is not supported; use nf4"));
        }
        let (double, embedding) = (self.double.unwrap_or(true), self.quantize_embedding == Some(true));
        Ok(Some(Quantization::Nf4 { double, embedding }))
    }

    fn precision(&self, keys: &mut Keys) -> Result<Precision, TrainError> {
        let pure = self.pure_bf16 == Some(true);
        let bf16 = self.bf16 == Some(true) || pure;
        if bf16 && self.fp16 == Some(true) {
            return Err(keys.error("fp16", "bf16 and fp16 are both true; leave one out"));
        }
        if pure {
            keys.notes.push("pure_bf16 is as bf16 here: values that are trained stay in 32 bits".into());
        }
        Ok(match (bf16, self.fp16) {
            (true, _) => Precision::Bf16,
            (false, Some(true)) => Precision::Fp16,
            (false, _) => Precision::Fp32,
        })
    }

    fn method(self, kind: Kind, keys: &mut Keys) -> Result<Method, TrainError> {
        if kind != Kind::Lora {
            for (key, set) in [("use_dora", self.dora), ("use_rslora", self.rslora)] {
                if set == Some(true) {
                    return Err(
                        keys.error(key, format!("{key} is for finetuning_type: lora; leave one of both out"))
                    );
                }
            }
            keys.without_effect(LORA_KEYS, "it is for finetuning_type: lora");
        }
        if kind != Kind::Freeze {
            keys.without_effect(FREEZE_KEYS, "it is for finetuning_type: freeze");
        }
        if kind != Kind::Adapter {
            keys.without_effect(ADAPTER_KEYS, "it is for finetuning_type: adapter");
        }
        Ok(match kind {
            Kind::Full | Kind::Oft => Method::Full,
            Kind::Adapter => Method::Bottleneck(BottleneckOptions {
                size: self.adapter_size.unwrap_or(ADAPTER_SIZE),
                activation: self.adapter_activation.unwrap_or_default(),
            }),
            Kind::Freeze => {
                let count = self.freeze_layers.unwrap_or(FREEZE_LAYERS);
                let layers = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
                Method::Freeze(FreezeOptions {
                    layers: if count < 0 { Layers::First(layers) } else { Layers::Last(layers) },
                    modules: all_or_named("freeze_trainable_modules", self.freeze_modules, keys)?
                        .unwrap_or_default(),
                    extra: self.freeze_extra.unwrap_or_default(),
                })
            }
            Kind::Lora => {
                let rank = self.rank.unwrap_or(8);
                let targets = all_or_named("lora_target", self.targets, keys)?;
                Method::Lora(LoraOptions {
                    rank,
                    // LLaMA-Factory's default.
                    alpha: self.alpha.unwrap_or(2.0 * rank as f64),
                    dropout: self.dropout.unwrap_or(0.0),
                    targets: targets.map_or(Targets::All, Targets::Named),
                    rank_stabilised: self.rslora.unwrap_or(false),
                    dora: self.dora.unwrap_or(false),
                    modules_to_save: self.to_save.unwrap_or_default(),
                })
            }
        })
    }
}

/// `None` for `all`, which is the default.
fn all_or_named(
    key: &str,
    names: Option<Vec<String>>,
    keys: &Keys,
) -> Result<Option<Vec<String>>, TrainError> {
    let Some(names) = names.filter(|names| !names.is_empty()) else { return Ok(None) };
    match (names.iter().any(|name| name == "all"), names.len()) {
        (true, 1) => Ok(None),
        (true, _) => Err(keys.error(key, format!("{key} has `all` and other names; leave one of both out"))),
        (false, _) => Ok(Some(names)),
    }
}
