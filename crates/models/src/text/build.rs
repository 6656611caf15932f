//! From what a folder or a GGUF file says to a [`GeneratorText`].

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lore_core::AnswerStyle;
use serde_json::Value;
use tokenizers::{AddedToken, AddedVocabulary, Model, PreTokenizerWrapper, Tokenizer};

use super::chat_template::ChatTemplate;
use super::pieces::{Pieces, Writing};
use super::plain::{Plain, PlainKind};
use super::sentencepiece::SentencePiece;
use super::shield::Shield;
use super::split::Splitter;
use super::{GeneratorText, TextOptions};
use crate::error::ModelsError;

/// Names of tokens that end a text, for models whose files do not say which do.
pub(super) const ENDS: [&str; 9] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|end|>",
    "<end_of_turn>",
    "<｜end▁of▁sentence｜>",
    "</s>",
];

/// The tokenizer itself.
pub(super) enum Source {
    /// A `tokenizer.json`, its own added tokens still in it.
    Json {
        /// As it stands.
        tokenizer: Box<Tokenizer>,
        /// Its pre-tokenizer.
        pre_tokenizer: Value,
    },
    /// SentencePiece's merges by score.
    SentencePiece {
        /// Texts that may arise by merging.
        pieces: HashMap<String, (u32, f32)>,
        /// Tokens of bytes.
        bytes: Vec<Option<u32>>,
        /// The token for what has none.
        unknown: Option<u32>,
        /// Whether a text gets a space in front.
        lead: bool,
    },
}

/// What a model's files say about text.
pub(super) struct Parts {
    /// The file, for errors.
    pub(super) path: PathBuf,
    /// The tokenizer.
    pub(super) source: Source,
    /// Names of all tokens, added ones included.
    pub(super) tokens: Vec<Option<String>>,
    /// Tokens that are found before all others, ascending by id.
    pub(super) added: Vec<(u32, AddedToken)>,
    /// How the vocabulary writes bytes.
    pub(super) writing: Writing,
    /// Special tokens around a text that stands alone.
    pub(super) frame: (Vec<u32>, Vec<u32>),
    /// Tokens that end a text.
    pub(super) ends: BTreeSet<u32>,
    /// The chat template.
    pub(super) template: Option<String>,
    /// The template's variables such as `bos_token`.
    pub(super) names: Vec<(String, String)>,
    /// How it was taught to answer.
    pub(super) answer_style: AnswerStyle,
}

impl Parts {
    /// Puts the parts together.
    pub(super) fn finish(mut self, options: &TextOptions) -> Result<GeneratorText, ModelsError> {
        if let Some(path) = &options.chat_template {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ModelsError::Read { path: path.clone(), source })?;
            self.template = Some(text);
        } else if self.template.is_none() {
            self.template.clone_from(&options.fallback_template);
        }
        let template =
            self.template.as_deref().map(|text| ChatTemplate::new(text, self.names.clone())).transpose()?;
        if self.ends.is_empty() {
            self.ends = self.ends_by_name();
        }
        let written = self.template.as_deref().unwrap_or_default();
        let guarded = |token: &AddedToken| {
            steers(token) || (!token.content.trim().is_empty() && written.contains(token.content.as_str()))
        };
        let (guarded, free): (Vec<_>, Vec<_>) =
            self.added.iter().cloned().partition(|(_, token)| guarded(token));
        let (names, others): (Vec<_>, Vec<_>) = guarded.iter().partition(|(_, token)| steers(token));
        let content = |tokens: Vec<&(u32, AddedToken)>| -> Vec<String> {
            tokens.iter().map(|(_, token)| token.content.clone()).collect()
        };
        let shield = Shield::new(content(names), &content(others));
        let names = self.added.iter().filter(|(_, token)| token.special);
        let names = names.map(|(id, token)| (*id, token.content.clone())).collect();
        let special: HashSet<u32> =
            self.added.iter().filter(|(_, token)| token.special).map(|(id, _)| *id).collect();
        let named: Vec<Option<(String, bool)>> = (0u32..)
            .zip(std::mem::take(&mut self.tokens))
            .map(|(id, name)| name.map(|name| (name, special.contains(&id))))
            .collect();
        let failed = |error: tokenizers::Error| ModelsError::invalid(&self.path, error);
        let kind = match self.source {
            Source::Json { tokenizer, pre_tokenizer } => {
                let first = plain(&tokenizer, &self.added, &guarded, &self.path)?;
                let later = later(&first, &pre_tokenizer, &self.path)?;
                PlainKind::Json { first: Box::new(first), later: later.map(Box::new) }
            }
            Source::SentencePiece { pieces, bytes, unknown, lead } => {
                PlainKind::SentencePiece(Box::new(SentencePiece {
                    pieces,
                    bytes,
                    unknown,
                    lead,
                    whole: Splitter::new(&free).map_err(failed)?,
                }))
            }
        };
        Ok(GeneratorText {
            plain: Plain { kind, forbidden: guarded.iter().map(|(id, _)| *id).collect() },
            splitter: Splitter::new(&guarded).map_err(failed)?,
            shield,
            pieces: Arc::new(Pieces::new(&named, &self.writing)),
            names,
            frame: self.frame,
            ends: self.ends.into_iter().collect(),
            template,
            answer_style: self.answer_style,
        })
    }

    /// The added tokens among [`ENDS`].
    pub(super) fn ends_by_name(&self) -> BTreeSet<u32> {
        let ends = self.added.iter().filter(|(_, token)| ENDS.contains(&token.content.as_str()));
        ends.map(|(id, _)| *id).collect()
    }

    /// Makes a token special, adding it where it is only in the vocabulary.
    pub(super) fn make_special(&mut self, id: u32, name: &str) {
        match self.added.iter_mut().find(|(known, _)| *known == id) {
            Some((_, token)) => token.special = true,
            None => {
                self.added.push((id, AddedToken::from(name, true)));
                self.added.sort_by_key(|(id, _)| *id);
            }
        }
    }
}

/// Whether a token steers the model: special ones, and those written like it, such as `<|file_sep|>`, whatever they are
/// declared to be.
fn steers(token: &AddedToken) -> bool {
    let text = token.content.as_str();
    let shaped = [("<|", "|>"), ("<｜", "｜>")]
        .iter()
        .any(|(open, close)| text.starts_with(open) && text.ends_with(close));
    token.special || shaped
}

/// The tokenizer without the guarded tokens.
fn plain(
    full: &Tokenizer,
    added: &[(u32, AddedToken)],
    guarded: &[(u32, AddedToken)],
    path: &Path,
) -> Result<Tokenizer, ModelsError> {
    let mut plain = full.clone();
    let mut vocabulary = AddedVocabulary::new();
    if added.len() > guarded.len() {
        let guarded: HashSet<u32> = guarded.iter().map(|(id, _)| *id).collect();
        // The ids of added tokens follow from their order, so that a guarded one leaves something in its place, unless
        // the model's vocabulary has it.
        let tokens = added.iter().filter_map(|(id, token)| {
            if !guarded.contains(id) {
                Some(token.clone())
            } else if plain.get_model().token_to_id(&token.content) == Some(*id) {
                None
            } else {
                Some(AddedToken::from(format!("\u{10FFFE}{id}\u{10FFFE}"), true))
            }
        });
        vocabulary
            .add_tokens(tokens, plain.get_model(), plain.get_normalizer())
            .map_err(|error| ModelsError::invalid(path, error))?;
        for (id, token) in added.iter().filter(|(id, _)| !guarded.contains(id)) {
            if vocabulary.get_vocab().get(&token.content) != Some(id) {
                let message = format!("the added token {:?} cannot have the id {id}", token.content);
                return Err(ModelsError::invalid(path, message));
            }
        }
    }
    plain.with_added_vocabulary(vocabulary);
    Ok(plain)
}

/// The tokenizer for text that does not begin a prompt, where it differs: Metaspace's scheme `first` puts its mark
/// before the first word only.
fn later(first: &Tokenizer, pre_tokenizer: &Value, path: &Path) -> Result<Option<Tokenizer>, ModelsError> {
    let mut changed = pre_tokenizer.clone();
    if never(&mut changed) == 0 {
        return Ok(None);
    }
    let changed: PreTokenizerWrapper =
        serde_json::from_value(changed).map_err(|error| ModelsError::invalid(path, error))?;
    let mut later = first.clone();
    later.with_pre_tokenizer(Some(changed));
    Ok(Some(later))
}

/// Turns every scheme `first` into `never`, and counts them.
fn never(value: &mut Value) -> usize {
    match value {
        Value::Object(entries) => entries
            .iter_mut()
            .map(|(key, value)| {
                if key == "prepend_scheme" && value == "first" {
                    *value = Value::from("never");
                    1
                } else {
                    never(value)
                }
            })
            .sum(),
        Value::Array(items) => items.iter_mut().map(never).sum(),
        _ => 0,
    }
}

/// The parts of a `tokenizer.json`.
pub(super) fn from_json(path: &Path, json: &Value) -> Result<Parts, ModelsError> {
    let invalid = |error: tokenizers::Error| ModelsError::invalid(path, error);
    let mut tokenizer = Tokenizer::from_bytes(json.to_string()).map_err(invalid)?;
    tokenizer.with_truncation(None).map_err(invalid)?.with_padding(None);
    // BPE would keep ten thousand words for each thread that ever called it, for as long as the thread lives.
    let mut model = tokenizer.get_model().clone();
    model.resize_cache(0);
    tokenizer.with_model(model);
    let pre_tokenizer = json.get("pre_tokenizer").cloned().unwrap_or_default();
    let writing = Writing::of(json.get("decoder").unwrap_or(&Value::Null), &pre_tokenizer)
        .map_err(|what| ModelsError::unsupported(path, what))?;
    let mut tokens = Vec::new();
    for (name, id) in tokenizer.get_vocab(true) {
        let at = usize::try_from(id).unwrap_or(usize::MAX);
        if at > MOST_TOKENS {
            return Err(ModelsError::invalid(path, format!("the token id {id} is above {MOST_TOKENS}")));
        }
        if tokens.len() <= at {
            tokens.resize(at + 1, None);
        }
        tokens[at] = Some(name);
    }
    let mut added: Vec<(u32, AddedToken)> = tokenizer.get_added_tokens_decoder().into_iter().collect();
    added.sort_by_key(|(id, _)| *id);
    let frame = frame(&tokenizer).map_err(invalid)?;
    Ok(Parts {
        path: path.to_owned(),
        source: Source::Json { tokenizer: Box::new(tokenizer), pre_tokenizer },
        tokens,
        added,
        writing,
        frame,
        ends: BTreeSet::new(),
        template: None,
        names: Vec::new(),
        answer_style: AnswerStyle::default(),
    })
}

/// Most tokens of a vocabulary; the largest of today have a quarter million.
pub(super) const MOST_TOKENS: usize = 4_000_000;

/// What the post-processor puts before and after a text.
fn frame(tokenizer: &Tokenizer) -> Result<(Vec<u32>, Vec<u32>), tokenizers::Error> {
    let plain = tokenizer.encode_fast("a", false)?;
    let bare = plain.get_ids().to_vec();
    let framed = tokenizer.post_process(plain, None, true)?.get_ids().to_vec();
    let at = framed.windows(bare.len().max(1)).position(|window| window == bare).unwrap_or(framed.len());
    let after = framed.get(at + bare.len()..).unwrap_or_default().to_vec();
    Ok((framed[..at].to_vec(), after))
}
