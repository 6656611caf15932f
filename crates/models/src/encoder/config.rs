//! What the files of a sentence-transformers folder say about the model.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{ModelsError, read_json};

/// `config.json` of a BERT, RoBERTa or XLM-RoBERTa model.
#[derive(Clone, Debug, Deserialize)]
pub struct NetConfig {
    /// Which family.
    pub model_type: String,
    /// Rows of the word embeddings.
    pub vocab_size: usize,
    /// Length of a token's vector.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of attention heads.
    pub num_attention_heads: usize,
    /// Length of the feed-forward's inner vector.
    pub intermediate_size: usize,
    /// Rows of the position embeddings.
    pub max_position_embeddings: usize,
    /// Rows of the token type embeddings.
    #[serde(default = "two")]
    pub type_vocab_size: usize,
    /// Added to a variance.
    #[serde(default = "small")]
    pub layer_norm_eps: f32,
    /// The padding token.
    #[serde(default)]
    pub pad_token_id: Option<u32>,
    /// The activation.
    #[serde(default = "gelu")]
    pub hidden_act: String,
    /// How positions are told.
    #[serde(default)]
    pub position_embedding_type: Option<String>,
}

fn two() -> usize {
    2
}

fn small() -> f32 {
    1e-12
}

fn gelu() -> String {
    "gelu".into()
}

/// Where positions start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// At 0 (BERT).
    FromZero,
    /// After the padding token's id, which padding itself keeps (RoBERTa).
    AfterPadding(u32),
}

impl NetConfig {
    /// Reads and checks `config.json` of `folder`.
    ///
    /// # Errors
    /// When it is absent, damaged, or of a model that is not implemented.
    pub fn load(folder: &Path) -> Result<Self, ModelsError> {
        let path = folder.join("config.json");
        if !path.is_file() {
            return Err(ModelsError::Missing { folder: folder.to_owned(), wanted: "config.json" });
        }
        #[derive(Deserialize)]
        struct Kind {
            model_type: Option<String>,
        }
        let kind = read_json::<Kind>(&path)?.model_type.unwrap_or_default();
        if !["bert", "roberta", "xlm-roberta"].contains(&kind.as_str()) {
            return Err(ModelsError::unsupported(
                &path,
                format!("model_type {kind:?} (not bert, roberta or xlm-roberta)"),
            ));
        }
        let config: Self = read_json(&path)?;
        config.check(&path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<(), ModelsError> {
        if self.hidden_act != "gelu" {
            return Err(ModelsError::unsupported(path, format!("hidden_act {:?}", self.hidden_act)));
        }
        if let Some(kind) = self.position_embedding_type.as_deref().filter(|kind| *kind != "absolute") {
            return Err(ModelsError::unsupported(path, format!("position_embedding_type {kind:?}")));
        }
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ];
        for (name, size) in sizes {
            if size == 0 || size > 1 << 24 {
                return Err(ModelsError::invalid(path, format!("{name} is {size}")));
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let message =
                format!("{} heads do not divide hidden_size {}", self.num_attention_heads, self.hidden_size);
            return Err(ModelsError::invalid(path, message));
        }
        if self.longest() < 4 {
            return Err(ModelsError::invalid(path, "max_position_embeddings leaves no room for a text"));
        }
        Ok(())
    }

    /// Where positions start.
    pub fn positions(&self) -> Positions {
        match self.model_type.as_str() {
            "bert" => Positions::FromZero,
            _ => Positions::AfterPadding(self.pad_token_id.unwrap_or(1)),
        }
    }

    /// Most tokens that have positions.
    pub fn longest(&self) -> usize {
        match self.positions() {
            Positions::FromZero => self.max_position_embeddings,
            Positions::AfterPadding(pad) => self.max_position_embeddings.saturating_sub(pad as usize + 1),
        }
    }
}

/// How token vectors become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The first token's.
    Cls,
}

/// What surrounds the net in a sentence-transformers folder.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Where `config.json`, tokenizer and weights are.
    pub net: PathBuf,
    /// Mean or first token.
    pub pooling: Pooling,
    /// Most tokens of a text, special tokens included.
    pub max_tokens: Option<usize>,
    /// Whether texts are lowered first.
    pub lowercase: bool,
    /// Put before a query.
    pub query_prefix: String,
    /// Put before a passage.
    pub passage_prefix: String,
}

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
    path: String,
}

#[derive(Default, Deserialize)]
struct PoolingFile {
    #[serde(default)]
    pooling_mode: Option<String>,
    #[serde(default = "yes")]
    include_prompt: bool,
    #[serde(flatten)]
    modes: HashMap<String, serde_json::Value>,
}

fn yes() -> bool {
    true
}

#[derive(Default, Deserialize)]
struct SentenceFile {
    #[serde(default)]
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

#[derive(Default, Deserialize)]
struct PromptsFile {
    #[serde(default)]
    prompts: HashMap<String, Option<String>>,
    #[serde(default)]
    default_prompt_name: Option<String>,
}

#[derive(Default, Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    model_max_length: Option<f64>,
}

impl Layout {
    /// Reads the files of `folder`; a folder without `modules.json` is a net whose token vectors are averaged.
    ///
    /// # Errors
    /// When a file is damaged or names a module that is not implemented.
    pub fn load(folder: &Path) -> Result<Self, ModelsError> {
        let modules = folder.join("modules.json");
        let mut net = folder.to_owned();
        let mut pooling_folder = Some(folder.join("1_Pooling")).filter(|path| path.is_dir());
        if modules.is_file() {
            for module in read_json::<Vec<Module>>(&modules)? {
                let place = inside(folder, &module.path, &modules)?;
                match module.kind.rsplit('.').next().unwrap_or_default() {
                    "Transformer" => net = place,
                    "Pooling" => pooling_folder = Some(place),
                    "Normalize" => {}
                    _ => return Err(ModelsError::unsupported(&modules, format!("module {}", module.kind))),
                }
            }
        }
        let prompts: PromptsFile = optional(&folder.join("config_sentence_transformers.json"))?;
        let prompt = |names: &[&str]| {
            let named = names.iter().find_map(|name| prompts.prompts.get(*name).cloned().flatten());
            let default = || {
                prompts
                    .default_prompt_name
                    .as_ref()
                    .and_then(|name| prompts.prompts.get(name).cloned().flatten())
            };
            named.or_else(default).unwrap_or_default()
        };
        let query_prefix = prompt(&["query"]);
        let passage_prefix = prompt(&["passage", "document", "corpus"]);
        let mut pooling = Pooling::Mean;
        if let Some(place) = pooling_folder {
            let path = place.join("config.json");
            let file: PoolingFile = read_json(&path)?;
            pooling = file.mode(&path)?;
            let prompts = !query_prefix.is_empty() || !passage_prefix.is_empty();
            if prompts && !file.include_prompt {
                return Err(ModelsError::unsupported(
                    &path,
                    "prompts left out of the pooling (include_prompt false)",
                ));
            }
        }
        let sentence: SentenceFile = optional(&net.join("sentence_bert_config.json"))?;
        let tokenizer: TokenizerFile = optional(&net.join("tokenizer_config.json"))?;
        // A tokenizer without a limit says so with 1e30.
        let tokenizer_most =
            tokenizer.model_max_length.filter(|most| (1.0..1e6).contains(most)).map(|most| most as usize);
        Ok(Self {
            net,
            pooling,
            max_tokens: sentence.max_seq_length.or(tokenizer_most),
            lowercase: sentence.do_lower_case,
            query_prefix,
            passage_prefix,
        })
    }
}

impl PoolingFile {
    fn mode(&self, path: &Path) -> Result<Pooling, ModelsError> {
        let on = |(name, value): (&String, &serde_json::Value)| {
            (value == &serde_json::Value::Bool(true))
                .then(|| name.strip_prefix("pooling_mode_").map(str::to_owned))
                .flatten()
        };
        let mut modes: Vec<String> = self.modes.iter().filter_map(on).collect();
        modes.extend(self.pooling_mode.clone());
        modes.sort_unstable();
        match modes.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["mean_tokens" | "mean"] => Ok(Pooling::Mean),
            ["cls_token" | "cls"] => Ok(Pooling::Cls),
            [] => Err(ModelsError::invalid(path, "it names no pooling mode")),
            _ => Err(ModelsError::unsupported(path, format!("pooling by {}", modes.join(" and ")))),
        }
    }
}

/// A folder named by a file of the model, which must not lead out of it.
fn inside(folder: &Path, path: &str, file: &Path) -> Result<PathBuf, ModelsError> {
    let plain = |part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir);
    if !Path::new(path).components().all(plain) {
        return Err(ModelsError::invalid(file, format!("path {path:?} leads out of the folder")));
    }
    Ok(if path.is_empty() { folder.to_owned() } else { folder.join(path) })
}

fn optional<T: Default + serde::de::DeserializeOwned>(path: &Path) -> Result<T, ModelsError> {
    if path.is_file() { read_json(path) } else { Ok(T::default()) }
}
