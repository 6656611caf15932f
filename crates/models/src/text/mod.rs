//! A generator's text: its tokenizer, its end-of-text tokens and its chat template, from a model folder or a GGUF file.
//!
//! - [`GeneratorText`]: what the engine and the answering use.
//! - [`ChatTemplate`]: a chat as text, as transformers' `apply_chat_template` writes it.
//! - [`Detokenizer`]: tokens as text, piece by piece.
//!
//! # Special tokens in what people write
//! A message's content, and a document quoted in it, is plain text to the model whatever it says. Before the template is
//! rendered, the characters at which a special token could begin or end are replaced in the contents by private ones
//! (`shield.rs`); special tokens are then looked for in the rendered text, where those of the template stand as they are;
//! what lies between them gets its own characters back and is tokenised by a tokenizer that knows no special tokens.
//! Nothing is taken from the content or put into it, and no normalisation can make a special token of it.

mod build;
mod chat_template;
mod folder;
mod gguf;
mod gguf_tokenizer;
mod pieces;
mod plain;
mod sentencepiece;
mod shield;
mod split;
pub(crate) mod style;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lore_core::AnswerStyle;
use lore_core::generate::{ChatEncoder, ChatOptions, Message, Role};
use lore_core::model::{ModelError, TokenCounter};

pub use chat_template::ChatTemplate;
pub(crate) use gguf::QWEN2;
pub use gguf_tokenizer::gguf_tokenizer;
pub use pieces::Detokenizer;

use crate::error::ModelsError;
use crate::weights::DecoderWeights;
use pieces::Pieces;
use plain::Plain;
use shield::{Shield, Strength};
use split::Splitter;

/// What a caller decides about a generator's text.
#[derive(Clone, Debug, Default)]
pub struct TextOptions {
    /// A file with a chat template that is used instead of the model's own.
    pub chat_template: Option<PathBuf>,
    /// A chat template for a model that has none, where no file is named.
    pub fallback_template: Option<String>,
}

/// Tokens of texts that were encoded before, by the text and whether it began a prompt; it grows with every new text.
#[derive(Debug, Default)]
pub struct KnownTexts(std::collections::HashMap<(bool, String), Vec<u32>>);

/// The tokenizer, the end-of-text tokens and the chat template of a generator; immutable.
pub struct GeneratorText {
    plain: Plain,
    /// Finds special tokens, and others that the chat template writes, such as `<think>`.
    splitter: Splitter,
    shield: Shield,
    pieces: Arc<Pieces>,
    /// Names of special tokens.
    names: std::collections::HashMap<u32, String>,
    /// Special tokens before and after a text that stands alone.
    frame: (Vec<u32>, Vec<u32>),
    ends: Vec<u32>,
    template: Option<ChatTemplate>,
    answer_style: AnswerStyle,
}

impl std::fmt::Debug for GeneratorText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GeneratorText")
            .field("vocabulary", &self.vocabulary())
            .field("ends", &self.ends)
            .field("chat", &self.template.is_some())
            .finish_non_exhaustive()
    }
}

impl GeneratorText {
    /// Reads a model folder (`tokenizer.json` and the files beside it), a `.gguf` file, or a folder whose only model is one
    /// such file.
    ///
    /// # Errors
    /// When a file is absent or damaged, or asks for a tokenizer that is not implemented; the message names it.
    pub fn open(path: &Path, options: &TextOptions) -> Result<Self, ModelsError> {
        if path.join("tokenizer.json").is_file() {
            return folder::read(path)?.finish(options);
        }
        match DecoderWeights::open(path) {
            Ok(DecoderWeights::Gguf(file)) => Self::from_gguf(file.path(), file.metadata(), options),
            Err(error) if !path.is_dir() => Err(error),
            _ => Err(ModelsError::Missing { folder: path.to_owned(), wanted: "tokenizer.json" }),
        }
    }

    /// From the metadata of a GGUF file; `path` names it in errors.
    ///
    /// # Errors
    /// When an entry is absent or damaged, or the tokenizer's model or pre-tokenizer is not implemented.
    pub fn from_gguf(
        path: &Path,
        metadata: &std::collections::HashMap<String, candle_core::quantized::gguf_file::Value>,
        options: &TextOptions,
    ) -> Result<Self, ModelsError> {
        gguf::read(path, metadata)?.finish(options)
    }

    /// Number of token ids; the model's logits may have more columns, never fewer.
    pub fn vocabulary(&self) -> usize {
        self.pieces.len()
    }

    /// Number of tokens of a text without special tokens; their names in it are plain text.
    pub fn count(&self, text: &str) -> usize {
        // A text that the tokenizer refuses is counted as its bytes: an upper bound, so that prompts stay within theirs.
        self.plain.encode(text, true).map_or(text.len(), |ids| ids.len())
    }

    /// Tokens of a text.
    ///
    /// With `special`, special tokens named in the text are those tokens, and what the model expects around a text that
    /// stands alone (such as a begin-of-text token) is added; without, all of the text is plain.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, ModelsError> {
        if !special {
            return self.plain.encode(text, true);
        }
        let mut ids = self.frame.0.clone();
        self.tokens(text, Cow::Borrowed, None, &mut ids)?;
        ids.extend(&self.frame.1);
        Ok(ids)
    }

    /// A chat as the prompt's tokens, by the model's template. Special tokens named in a content are plain text.
    ///
    /// Where the template refuses a chat that begins with a system message, the system's text is put before the first
    /// question instead, if the template takes that: some models were tuned without system messages.
    ///
    /// # Errors
    /// When the model has no template, the template refuses the messages or asks for what is not implemented.
    pub fn encode_chat(&self, messages: &[Message], options: &ChatOptions) -> Result<Vec<u32>, ModelsError> {
        self.encode_chat_part(messages, options, None)
    }

    /// As [`encode_chat`](Self::encode_chat), for chats of which one begins like the other: their contents are turned into
    /// tokens once, and kept in `known`.
    ///
    /// # Errors
    /// As `encode_chat`.
    pub fn encode_chat_again(
        &self,
        messages: &[Message],
        options: &ChatOptions,
        known: &mut KnownTexts,
    ) -> Result<Vec<u32>, ModelsError> {
        self.encode_chat_part(messages, options, Some(known))
    }

    fn encode_chat_part(
        &self,
        messages: &[Message],
        options: &ChatOptions,
        mut known: Option<&mut KnownTexts>,
    ) -> Result<Vec<u32>, ModelsError> {
        let template = self.template.as_ref().ok_or_else(|| ModelsError::Template {
            message: "the model has no chat template; choose a model that is tuned for chats, or name a file with a \
                      template in the settings (generator.chat_template)"
                .to_owned(),
        })?;
        let refused = match (self.chat(template, messages, options, known.as_deref_mut()), messages) {
            (Err(refused @ ModelsError::Template { .. }), [system, question, ..])
                if system.role == Role::System && question.role == Role::User =>
            {
                refused
            }
            (done, _) => return done,
        };
        let mut folded = messages[1..].to_vec();
        folded[0].content = format!("{}\n\n{}", messages[0].content, messages[1].content);
        self.chat(template, &folded, options, known).map_err(|_| refused)
    }

    fn chat(
        &self,
        template: &ChatTemplate,
        messages: &[Message],
        options: &ChatOptions,
        known: Option<&mut KnownTexts>,
    ) -> Result<Vec<u32>, ModelsError> {
        if messages.is_empty() {
            return Err(ModelsError::Template { message: "the chat has no messages; send one".to_owned() });
        }
        let render = |strength| {
            let (shielded, veil) = self.shield.cover(messages, strength)?;
            Ok::<_, ModelsError>((template.render(&shielded, options)?, veil))
        };
        let (mut text, mut veil) = render(Strength::Edges)?;
        // A model's own earlier words may hold what its template looks for, such as `</think>`, so they are covered no
        // more than needed, unless the template makes a special token of what is left.
        let own =
            |message: &Message| message.role == Role::Assistant && self.shield.touches(&message.content);
        if messages.iter().any(own) {
            let (less, less_veil) = render(Strength::Tokens)?;
            if self.commands(&less) == self.commands(&text) {
                (text, veil) = (less, less_veil);
            }
        }
        let mut ids = Vec::new();
        self.tokens(&text, |fragment| veil.lift(fragment), known, &mut ids)?;
        Ok(ids)
    }

    /// The special tokens in a text.
    fn commands(&self, text: &str) -> Vec<u32> {
        self.splitter
            .split(text)
            .into_iter()
            .filter_map(|(_, id)| id)
            .filter(|id| self.pieces.is_special(*id))
            .collect()
    }

    /// Appends the tokens of a text with special tokens; what lies between them goes through `lift`.
    fn tokens<'a>(
        &self,
        text: &'a str,
        lift: impl Fn(&'a str) -> Cow<'a, str>,
        mut known: Option<&mut KnownTexts>,
        ids: &mut Vec<u32>,
    ) -> Result<(), ModelsError> {
        for (range, id) in self.splitter.split(text) {
            let Some(id) = id else {
                let (fragment, first) = (lift(&text[range.clone()]), range.start == 0);
                match known.as_deref_mut() {
                    Some(KnownTexts(known)) => match known.get(&(first, fragment.to_string())) {
                        Some(known) => ids.extend(known),
                        None => {
                            let new = self.plain.encode(&fragment, first)?;
                            ids.extend(&new);
                            known.insert((first, fragment.into_owned()), new);
                        }
                    },
                    None => ids.extend(self.plain.encode(&fragment, first)?),
                }
                continue;
            };
            ids.push(id);
        }
        Ok(())
    }

    /// Whether the model has a chat template.
    pub fn has_chat_template(&self) -> bool {
        self.template.is_some()
    }

    /// The tokens that end a text, ascending; none where the model names none.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// How the model was taught to answer, as its `generation_config.json` says (`lore_answer_style`), or its GGUF file
    /// (`lore.answer_style`).
    pub fn answer_style(&self) -> AnswerStyle {
        self.answer_style
    }

    /// Whether a token is a special one, which stands for no text.
    pub fn is_special(&self, id: u32) -> bool {
        self.pieces.is_special(id)
    }

    /// The id of a special token by its name, such as `<|im_end|>`.
    pub fn special(&self, name: &str) -> Option<u32> {
        self.splitter.id(name).filter(|id| self.pieces.is_special(*id))
    }

    /// The name of a special token, such as `<|im_end|>`.
    pub fn name(&self, id: u32) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    /// The bytes that a token adds to a text; not always whole characters. Empty for special and unknown tokens.
    pub fn piece(&self, id: u32) -> &[u8] {
        self.pieces.bytes(id)
    }

    /// The bytes that tokens stand for, special ones by name; not always whole characters.
    pub fn written(&self, ids: &[u32]) -> Vec<u8> {
        let piece = |id: &u32| self.name(*id).map_or_else(|| self.piece(*id), str::as_bytes);
        ids.iter().flat_map(piece).copied().collect()
    }

    /// Turns tokens into text as they come, from the beginning of a text.
    pub fn detokenizer(&self) -> Detokenizer {
        Detokenizer::new(Arc::clone(&self.pieces))
    }

    /// The text of tokens; bytes that are no UTF-8 become U+FFFD. Special tokens are left out.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut detokenizer = self.detokenizer();
        let mut text: String = ids.iter().map(|id| detokenizer.push(*id)).collect();
        text.push_str(&detokenizer.finish());
        text
    }

    /// Counts tokens, for the handle to the model.
    pub fn counter(self: &Arc<Self>) -> TokenCounter {
        let this = Arc::clone(self);
        Arc::new(move |text| this.count(text))
    }

    /// Encodes chats, for the handle to the model called `model`.
    pub fn chat_encoder(self: &Arc<Self>, model: impl Into<String>) -> ChatEncoder {
        let (this, model) = (Arc::clone(self), model.into());
        Arc::new(move |messages, options| {
            this.encode_chat(messages, options).map_err(|error| match error {
                ModelsError::Template { message } => ModelError::Refused { model: model.clone(), message },
                other => ModelError::Failed { model: model.clone(), message: other.to_string() },
            })
        })
    }
}
