//! Who writes answers: nobody, or a language model and how it is run.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::measured::Measured;
use anyhow::{Context as _, anyhow};
use lore_inference::GeneratorOptions;
use lore_models::decoder::{KvType, Quantize};
use lore_models::source::{ModelSpec, Source};
use serde::de::{self, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The word for nobody.
const NONE: &str = "none";
/// The word for whichever of lore-nano and nobody answers better.
const AUTO: &str = "auto";
/// Memory for the keys and values of a small model, in bytes.
const SMALL_KV: u64 = 128 << 20;

/// Who writes answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Generator {
    /// Whichever of the model that comes with the binary and nobody did better when both were last measured.
    Auto(Box<Choice>),
    /// Nobody: the supporting sentences are the answer.
    None,
    /// A language model.
    Model(Box<GeneratorConfig>),
}

/// Which language model, and how it is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeneratorConfig {
    /// Name on the hub, a folder, or a `.gguf` file.
    pub model: String,
    /// The one `.gguf` file of the hub's repository, or of the folder, that is the model.
    pub file: Option<String>,
    /// Where it comes from, tried in this order.
    pub sources: Vec<Source>,
    /// A chat template instead of the model's own; relative to the settings file.
    pub chat_template: Option<PathBuf>,
    /// A folder with an adapter that is computed beside the model's weights; relative to the settings file.
    pub adapter: Option<PathBuf>,
    /// Most tokens of prompt and answer together, where that is to be less than the model's own.
    pub context_tokens: Option<usize>,
    /// What floating-point weights are made into as they are loaded.
    pub quantize: Option<Quantize>,
    /// Memory for keys and values, in bytes.
    pub kv_bytes: u64,
    /// How keys and values are kept.
    pub kv_type: KvType,
    /// Answers written at once.
    pub max_running: usize,
    /// Requests that wait; more are refused.
    pub queue: usize,
    /// Tokens of prompts that are read in a step beside answers that are being written,
    pub prefill_tokens: usize,
    /// and in one while none is.
    pub prefill_tokens_alone: usize,
}

/// Who was chosen, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The model, where it did better.
    pub model: Option<GeneratorConfig>,
    /// Why, in a sentence.
    pub reason: String,
}

impl Default for Generator {
    fn default() -> Self {
        Self::Auto(Box::default())
    }
}

impl Default for GeneratorConfig {
    fn default() -> Self {
        let engine = GeneratorOptions::default();
        Self {
            model: String::new(),
            file: None,
            sources: vec![Source::hub()],
            chat_template: None,
            adapter: None,
            context_tokens: engine.context_tokens,
            quantize: None,
            kv_bytes: engine.kv_bytes,
            kv_type: KvType::default(),
            max_running: engine.max_running,
            queue: engine.queue,
            prefill_tokens: engine.prefill_tokens,
            prefill_tokens_alone: engine.prefill_tokens_alone,
        }
    }
}

impl GeneratorConfig {
    /// The model that comes with the binary; it needs little memory.
    pub fn nano() -> Self {
        Self { model: lore_nano::NAME.to_owned(), kv_bytes: SMALL_KV, ..Self::default() }
    }

    /// The model as a source looks for it.
    ///
    /// # Errors
    /// Fails where the name is none.
    pub fn spec(&self) -> anyhow::Result<ModelSpec> {
        if self.model == lore_nano::NAME {
            let folder = crate::open::nano()?;
            return Ok(ModelSpec::parse(&folder.to_string_lossy())?);
        }
        // What lies here goes before a name for a source, as for a training's base.
        let here = ["config.json", ""].iter().any(|file| Path::new(&self.model).join(file).is_file());
        let name = if here { PathBuf::from(".").join(&self.model) } else { PathBuf::from(&self.model) };
        let spec = ModelSpec::parse(&name.to_string_lossy()).context("generator.model")?;
        match &self.file {
            Some(file) => spec.with_file(file).context("generator.file"),
            None => Ok(spec),
        }
    }

    /// What bounds its engine.
    ///
    /// # Errors
    /// Fails where a bound leaves no room for anything, naming it.
    pub fn options(&self) -> anyhow::Result<GeneratorOptions> {
        let options = GeneratorOptions {
            queue: self.queue,
            max_running: self.max_running,
            kv_bytes: self.kv_bytes,
            prefill_tokens: self.prefill_tokens,
            prefill_tokens_alone: self.prefill_tokens_alone,
            context_tokens: self.context_tokens,
        };
        options.check().map_err(|reason| anyhow!("generator: {reason}"))?;
        Ok(options)
    }

    /// What a person calls it, such as `Qwen/Qwen3-0.6B`.
    pub fn name(&self) -> String {
        match &self.file {
            Some(file) => format!("{}:{file}", self.model),
            None => self.model.clone(),
        }
    }
}

impl Generator {
    /// The language model, if there is one.
    pub fn model(&self) -> Option<&GeneratorConfig> {
        match self {
            Self::Auto(choice) => choice.model.as_ref(),
            Self::None => None,
            Self::Model(config) => Some(config),
        }
    }

    /// The language model that the settings name themselves: how others are run, too.
    pub fn configured(&self) -> Option<&GeneratorConfig> {
        match self {
            Self::Auto(_) | Self::None => None,
            Self::Model(config) => Some(config),
        }
    }

    /// The same, decided where it is left open: by the last measurement in `data_dir`, else by the one that comes with the
    /// model.
    pub fn decided(self, data_dir: &Path) -> Self {
        match self {
            Self::Auto(_) => Self::Auto(Box::new(Measured::last(data_dir).choice())),
            other => other,
        }
    }

    /// Why it is who it is, where that was left open.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Auto(choice) => Some(&choice.reason),
            Self::None | Self::Model(_) => None,
        }
    }

    /// The one that `text` names on the command line or in the environment: `auto`, `none`, or a model. How a model is run stays
    /// as it was set; what belongs to another model does not.
    ///
    /// # Errors
    /// Fails where it is no name.
    pub fn named(&self, text: &str) -> anyhow::Result<Self> {
        let text = text.trim();
        if text == NONE {
            return Ok(Self::None);
        }
        if text == AUTO {
            return Ok(Self::default());
        }
        if text == lore_nano::NAME {
            return Ok(Self::Model(Box::new(GeneratorConfig::nano())));
        }
        let before = self.configured().cloned().unwrap_or_default();
        if before.model == text || before.name() == text {
            return Ok(self.clone());
        }
        ModelSpec::parse(text)?;
        Ok(Self::Model(Box::new(GeneratorConfig {
            model: text.to_owned(),
            file: None,
            chat_template: None,
            adapter: None,
            context_tokens: None,
            ..before
        })))
    }

    /// The same, paths relative to `base` made whole.
    pub fn based(self, base: &Path) -> Self {
        match self {
            Self::Auto(_) | Self::None => self,
            Self::Model(mut config) => {
                config.chat_template = config.chat_template.take().map(|path| base.join(path));
                config.adapter = config.adapter.take().map(|path| base.join(path));
                Self::Model(config)
            }
        }
    }
}

impl Serialize for Generator {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto(_) => serializer.serialize_str(AUTO),
            Self::None => serializer.serialize_str(NONE),
            Self::Model(config) => config.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Generator {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Generator;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("auto, none, or {model: NAME}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Generator, E> {
                if text == NONE {
                    return Ok(Generator::None);
                }
                if text == AUTO {
                    return Ok(Generator::default());
                }
                Err(E::custom(format!(
                    "generator is {text:?}; set it to auto, none, or to {{model: {text}}}"
                )))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Generator, E> {
                Ok(Generator::None)
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Generator, M::Error> {
                let config = GeneratorConfig::deserialize(MapAccessDeserializer::new(map))?;
                if config.model.trim().is_empty() {
                    return Err(de::Error::custom("generator names no model; add `model: NAME`"));
                }
                Ok(Generator::Model(Box::new(config)))
            }
        }

        deserializer.deserialize_any(Either)
    }
}
