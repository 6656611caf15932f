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
pub(crate) use write::Job;

/// Settings of answers that point at sentences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuoteConfig {
    /// Sentences that the model is shown at most.
    pub sentences: usize,
    /// Sentences that it may point at.
    pub most: usize,
    /// Whether it may say which words of a sentence answer; the answer is then these, and the sentence its quote.
    pub words: bool,
    /// The model's probability of a refusal from which on the answer is one.
    pub refuse_at: f32,
}

impl Default for QuoteConfig {
    fn default() -> Self {
        Self { sentences: 10, most: 3, words: true, refuse_at: 0.5 }
    }
}
