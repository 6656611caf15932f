//! Settings of retrieval and answering.

use lore_core::{AnswerStyle, Generator, Sampling};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::quote::QuoteConfig;
use crate::support::SupportModel;

/// How the dense and the lexical list become one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fusion {
    /// Convex combination of normalised scores (Bruch et al. 2023, "An Analysis of Fusion Functions for Hybrid
    /// Retrieval", section 4): `dense_weight * dense + (1 - dense_weight) * lexical`.
    Convex {
        /// Weight of the dense side, 0 to 1.
        dense_weight: f32,
    },
    /// Reciprocal rank fusion (Cormack et al. 2009): the sum of `1 / (k + rank)`.
    Rrf {
        /// Damping; 60 in the paper.
        k: f32,
    },
}

impl Default for Fusion {
    fn default() -> Self {
        Fusion::Convex { dense_weight: 0.55 }
    }
}

/// Settings of retrieval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetrieveConfig {
    /// Hits taken from each index before fusion.
    pub candidates: usize,
    /// How the lists become one.
    pub fusion: Fusion,
    /// Languages (ISO 639-1) that the embedder understands; empty for all. For a question in another language the
    /// dense side gets `foreign_dense_weight`.
    pub dense_languages: Vec<String>,
    /// Weight of the dense side for languages that the embedder does not understand.
    pub foreign_dense_weight: f32,
    /// Factor on the score of a document that another one supersedes, unless the question asks for the old one.
    pub superseded_factor: f32,
    /// Two hits whose words agree to this share (Jaccard), and whose numbers agree fully, are shown as one; above 1 never.
    pub fold_similarity: f32,
    /// Fused hits that the reranker sees, where there is one.
    pub rerank_depth: usize,
}

impl Default for RetrieveConfig {
    fn default() -> Self {
        Self {
            candidates: 300,
            fusion: Fusion::default(),
            dense_languages: Vec::new(),
            foreign_dense_weight: 0.1,
            superseded_factor: 0.75,
            fold_similarity: 0.95,
            rerank_depth: 50,
        }
    }
}

/// Settings of answers that a language model writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GenerateConfig {
    /// Most tokens of an answer; at most half of the model's context.
    pub max_tokens: usize,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Whether a model that can think before it answers does so.
    pub thinking: bool,
    /// Share of the room for passages and conversation that passages are sure of; the rest is for earlier turns, and
    /// passages get what those leave.
    pub passage_share: f32,
    /// Whether the model makes follow-up questions whole; else, and where it fails, rules do.
    pub rewrite: bool,
    /// Confidence below which the model is not even asked.
    pub ask_threshold: f32,
    /// A quote supports a statement where it, with its headings, holds at least this share of the statement's words
    /// (weighted by rarity),
    pub support_lexical: f32,
    /// and is at least this near to it (cosine); left out where the embedder does not understand the language.
    pub support_cosine: f32,
    /// Whether statements without support are dropped; a statement is then sent when it has been checked.
    pub strict: bool,
    /// Whether the model writes prose with markers or points at sentences; null for what it was taught.
    pub answer_style: Option<AnswerStyle>,
    /// Answers that point at sentences.
    pub quotes: QuoteConfig,
}

impl GenerateConfig {
    /// How `generator` answers.
    pub fn style_of(&self, generator: &Generator) -> AnswerStyle {
        self.answer_style.unwrap_or(generator.info().answer_style)
    }
}

impl Default for GenerateConfig {
    fn default() -> Self {
        Self {
            max_tokens: 512,
            sampling: Sampling::default(),
            thinking: false,
            passage_share: 0.75,
            rewrite: true,
            ask_threshold: 0.1,
            support_lexical: 0.35,
            support_cosine: 0.45,
            strict: false,
            answer_style: None,
            quotes: QuoteConfig::default(),
        }
    }
}

/// Settings of answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnswerConfig {
    /// Hits that become passages.
    pub passages: usize,
    /// Most sentences of an answer.
    pub max_sentences: usize,
    /// A further sentence of the best one's document is taken when it is at least this likely, relative to the best.
    pub same_document_ratio: f32,
    /// ... and one of another document at this.
    pub other_document_ratio: f32,
    /// Where it covers this share of what the question asks and the answer lacks,
    pub min_gain: f32,
    /// this is enough.
    pub gain_ratio: f32,
    /// Confidence below which the answer is "I could not find this".
    pub support_threshold: f32,
    /// Answers that a language model writes.
    pub generate: GenerateConfig,
    /// The weights of the sentence score and of the confidence; `lore eval calibrate` computes them.
    pub support: SupportModel,
}

impl Default for AnswerConfig {
    fn default() -> Self {
        Self {
            passages: 8,
            max_sentences: 3,
            same_document_ratio: 0.1,
            other_document_ratio: 0.5,
            min_gain: 0.25,
            gain_ratio: 0.05,
            support_threshold: 0.237,
            generate: GenerateConfig::default(),
            support: SupportModel::default(),
        }
    }
}

/// All settings of this crate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueryConfig {
    /// Retrieval.
    pub retrieve: RetrieveConfig,
    /// Answering.
    pub answer: AnswerConfig,
}
