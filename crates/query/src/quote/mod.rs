//! Answers by pointing: a model names the sentences that answer, and they are quoted word for word.
//!
//! The model is shown the likeliest sentences of the passages, the best first as the search scores them, each with a tag and
//! what the search knows of it ([`prompt`]). It answers with tags, perhaps with the words of a sentence that matter behind
//! its tag, or refuses ([`lore_core::Quotes`] is the form, which the engine holds it to). What it points at is put there
//! from the document with its citation ([`write`]), so that nothing can be said that no document says.

pub mod highlight;
pub mod prompt;
mod read;
mod shown;
mod write;

use serde::{Deserialize, Serialize};

pub use read::{Pointed, read};
pub use shown::{Shown, ToShow, show};
pub(crate) use shown::{distinct, show_apart};
pub(crate) use write::Job;

/// Most sentences of a prompt.
const MOST_SENTENCES: usize = 99;

/// Settings of answers that point at sentences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuoteConfig {
    /// Sentences that the model is shown at most.
    pub sentences: usize,
    /// Most tokens of what it writes, for which its context keeps room.
    pub max_tokens: usize,
    /// Sentences that it may point at.
    pub most: usize,
    /// Whether it may say which words of a sentence answer; the answer is then these, and the sentence its quote.
    pub words: bool,
    /// The model's probability of a refusal from which on the answer is one.
    pub refuse_at: f32,
    /// A further sentence is quoted where the model's probability of it is at least this, relative to the one that it points
    /// at first; above 1: only what it points at.
    pub also_from: f32,
}

impl Default for QuoteConfig {
    fn default() -> Self {
        Self { sentences: 10, max_tokens: 64, most: 3, words: true, refuse_at: 0.65, also_from: 0.3 }
    }
}

impl QuoteConfig {
    /// Refuses values that mean nothing, naming the key.
    ///
    /// # Errors
    /// The key and its bounds, as text.
    pub fn check(&self) -> Result<(), String> {
        let count = |name: &str, value: usize, most: usize| match (1..=most).contains(&value) {
            true => Ok(()),
            false => Err(format!("quotes.{name} is {value}; it must lie between 1 and {most}")),
        };
        count("sentences", self.sentences, MOST_SENTENCES)?;
        count("most", self.most, MOST_SENTENCES)?;
        count("max_tokens", self.max_tokens, 4096)?;
        let share = |name: &str, value: f32| match value >= 0.0 {
            true => Ok(()),
            false => Err(format!("quotes.{name} is {value}; it must be 0 or more")),
        };
        share("refuse_at", self.refuse_at)?;
        share("also_from", self.also_from)
    }
}
