//! The fixtures of `fixtures/chat`: model folders and GGUF metadata of tiny tokenizers, and what transformers makes of
//! texts and chats with them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use candle_core::quantized::gguf_file::Value as Entry;
use lore_core::generate::{ChatOptions, Message};
use lore_models::text::{GeneratorText, TextOptions};
use serde::Deserialize;
use serde_json::{Value, json};

/// Found from other crates' tests, too.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures/chat").join(name)
}

fn json_of<T: serde::de::DeserializeOwned>(name: &str) -> T {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

/// A vocabulary.
#[derive(Deserialize)]
struct Base {
    tokens: Vec<String>,
    merges: Vec<[String; 2]>,
}

/// A vocabulary with a family's special tokens, word borders and template.
#[derive(Clone, Deserialize)]
pub struct Family {
    #[serde(default)]
    pub name: String,
    model: String,
    pub template: Option<String>,
    front: Vec<(String, bool)>,
    back: Vec<(String, bool)>,
    pub pre: String,
    pub names: HashMap<String, String>,
    #[serde(default)]
    ignore_merges: bool,
    normalizer: Value,
    pre_tokenizer: Value,
    post_processor: Value,
    decoder: Value,
}

/// What transformers gives.
#[derive(Deserialize)]
pub struct Expected {
    pub texts: Vec<String>,
    pub chats: Vec<Vec<Message>>,
    pub families: HashMap<String, Results>,
}

#[derive(Deserialize)]
pub struct Results {
    pub texts: Vec<Vec<u32>>,
    pub framed: Vec<u32>,
    pub decoded: Vec<String>,
    pub chats: Vec<Chat>,
}

#[derive(Deserialize)]
pub struct Chat {
    pub chat: usize,
    open: bool,
    thinking: Option<bool>,
    pub ids: Vec<u32>,
}

impl Chat {
    pub fn options(&self) -> ChatOptions {
        ChatOptions { open_answer: self.open, thinking: self.thinking }
    }
}

pub fn expected() -> Expected {
    json_of("expected.json")
}

pub fn families() -> Vec<Family> {
    let all: HashMap<String, Family> = json_of("families.json");
    let mut all: Vec<Family> = all.into_iter().map(|(name, family)| Family { name, ..family }).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// Every family from a folder and from a GGUF, opened once.
pub fn models() -> &'static [(Family, GeneratorText)] {
    static MODELS: LazyLock<Vec<(Family, GeneratorText)>> = LazyLock::new(|| {
        let both =
            |family: Family| [(family.clone(), family.folder_text()), (family.clone(), family.gguf_text())];
        families().into_iter().flat_map(both).collect()
    });
    &MODELS
}

pub fn family(name: &str) -> Family {
    families().into_iter().find(|family| family.name == name).unwrap()
}

impl Family {
    fn base(&self) -> Base {
        json_of(&format!("{}.json", self.model))
    }

    /// The family that a GGUF of this one equals: a GGUF does not say that SentencePiece's mark stands only where there is
    /// none yet, and only before the first word; llama.cpp puts it before every stretch of text.
    pub fn in_gguf(&self) -> &str {
        if self.name == "mistral" { "mistral-legacy" } else { &self.name }
    }

    /// All tokens in order, and the added ones with whether they are special.
    fn tokens(&self) -> (Vec<String>, Vec<(usize, String, bool)>) {
        let front = self.front.iter().map(|(name, _)| name.clone());
        let mut tokens: Vec<String> = front.chain(self.base().tokens).collect();
        let mut added: Vec<(usize, String, bool)> = Vec::new();
        for name in ["<unk>", "<s>", "</s>"] {
            added.extend(tokens.iter().position(|token| token == name).map(|id| (id, name.to_owned(), true)));
        }
        added.extend(self.front.iter().enumerate().map(|(id, (name, special))| (id, name.clone(), *special)));
        for (name, special) in &self.back {
            added.push((tokens.len(), name.clone(), *special));
            tokens.push(name.clone());
        }
        (tokens, added)
    }

    /// Names of the special tokens.
    pub fn special(&self) -> Vec<String> {
        self.tokens().1.into_iter().filter(|(.., special)| *special).map(|(_, name, _)| name).collect()
    }

    pub fn template(&self) -> Option<String> {
        let name = self.template.as_ref()?;
        Some(std::fs::read_to_string(fixture(&format!("{name}.jinja"))).unwrap())
    }

    /// As `make.py` composes it.
    pub fn tokenizer_json(&self) -> Value {
        let base = self.base();
        let (tokens, added) = self.tokens();
        let level = self.model == "byte_level";
        let vocabulary: HashMap<&String, usize> =
            tokens[..self.front.len() + base.tokens.len()].iter().zip(0..).collect();
        let added: Vec<Value> = added
            .into_iter()
            .map(|(id, content, special)| {
                json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                       "normalized": false, "special": special})
            })
            .collect();
        json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
            "normalizer": self.normalizer, "pre_tokenizer": self.pre_tokenizer,
            "post_processor": self.post_processor, "decoder": self.decoder,
            "model": {"type": "BPE", "dropout": null, "unk_token": if level { json!(null) } else { json!("<unk>") },
                      "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": !level,
                      "byte_fallback": !level, "ignore_merges": self.ignore_merges,
                      "vocab": vocabulary, "merges": base.merges},
        })
    }

    /// A model folder's files about text.
    pub fn folder(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "tokenizer.json", &self.tokenizer_json());
        write(folder.path(), "tokenizer_config.json", &json!(self.names));
        if let Some(template) = self.template() {
            std::fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
        }
        folder
    }

    pub fn folder_text(&self) -> GeneratorText {
        GeneratorText::open(self.folder().path(), &TextOptions::default()).unwrap()
    }

    /// The same as a GGUF file has it.
    pub fn metadata(&self) -> HashMap<String, Entry> {
        let (tokens, added) = self.tokens();
        let level = self.model == "byte_level";
        let mut kinds = vec![1; tokens.len()];
        for (id, name, special) in added {
            kinds[id] = if name == "<unk>" {
                2
            } else if special {
                3
            } else {
                4
            };
        }
        for (kind, token) in kinds.iter_mut().zip(&tokens).filter(|_| !level) {
            if token.starts_with("<0x") {
                *kind = 6;
            }
        }
        let text = |text: &str| Entry::String(text.to_owned());
        let id_of =
            |name: &String| u32::try_from(tokens.iter().position(|token| token == name).unwrap()).unwrap();
        let mut entries = HashMap::from([
            ("tokenizer.ggml.model".to_owned(), text(if level { "gpt2" } else { "llama" })),
            ("tokenizer.ggml.pre".to_owned(), text(&self.pre)),
            (
                "tokenizer.ggml.tokens".to_owned(),
                Entry::Array(tokens.iter().map(|token| text(token)).collect()),
            ),
            (
                "tokenizer.ggml.token_type".to_owned(),
                Entry::Array(kinds.into_iter().map(Entry::I32).collect()),
            ),
        ]);
        if level {
            let merges =
                self.base().merges.iter().map(|[left, right]| text(&format!("{left} {right}"))).collect();
            entries.insert("tokenizer.ggml.merges".to_owned(), Entry::Array(merges));
        } else {
            let scores = (0u16..).take(tokens.len()).map(|id| Entry::F32(-f32::from(id))).collect();
            entries.insert("tokenizer.ggml.scores".to_owned(), Entry::Array(scores));
        }
        for (entry, name) in
            [("bos", "bos_token"), ("eos", "eos_token"), ("unknown", "unk_token"), ("padding", "pad_token")]
        {
            if let Some(name) = self.names.get(name) {
                entries.insert(format!("tokenizer.ggml.{entry}_token_id"), Entry::U32(id_of(name)));
            }
        }
        if let Some(template) = self.template() {
            entries.insert("tokenizer.chat_template".to_owned(), text(&template));
        }
        entries
    }

    pub fn gguf_text(&self) -> GeneratorText {
        GeneratorText::from_gguf(Path::new("tiny.gguf"), &self.metadata(), &TextOptions::default()).unwrap()
    }
}

pub fn write(folder: &Path, name: &str, value: &Value) {
    std::fs::write(folder.join(name), value.to_string()).unwrap();
}
