//! Answers as a stream of events; every answerer, extractive or generated, speaks this.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::citation::Citation;
use crate::generate::{FinishReason, GenerationTimings, Usage};
use crate::ids::DocumentId;
use crate::span::{PageRange, Span};

/// A passage that an answer may cite: one chunk, or neighbours joined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Passage {
    /// Its number in this answer, from 1.
    pub marker: u32,
    /// Document.
    pub document: DocumentId,
    /// Version of the document.
    pub version: u32,
    /// The document's name.
    pub name: String,
    /// The document's title.
    pub title: String,
    /// Headings above it, outermost first.
    pub headings: Vec<String>,
    /// Pages it touches.
    pub pages: Option<PageRange>,
    /// Where it stands in the version's parsed text.
    pub span: Span,
    /// The slice of the parsed text at `span`.
    pub text: String,
    /// Retrieval score, higher is better.
    pub score: f32,
}

/// A document that came near without answering.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NearDocument {
    /// Document.
    pub document: DocumentId,
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: String,
}

/// Milliseconds that the parts of an answer took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Timings {
    /// Embedding, searching, fusing, reranking.
    pub retrieve_ms: f64,
    /// Writing the answer.
    pub answer_ms: f64,
    /// Everything.
    pub total_ms: f64,
    /// What the language model took for the answer, where one wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<GenerationTimings>,
}

/// The end of an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnswerSummary {
    /// The whole answer.
    pub answer: String,
    /// Whether the documents held an answer; if not, `answer` says so and `nearest` names what came near.
    pub answered: bool,
    /// All citations, by position in the answer.
    pub citations: Vec<Citation>,
    /// Documents that came near; filled where nothing was found.
    pub nearest: Vec<NearDocument>,
    /// How sure the service is that the documents answer the question, 0 to 1.
    pub confidence: f32,
    /// `extractive`, or the language model that wrote it, such as `handbook@3f2a91c04d17`.
    pub model: String,
    /// The id of the release that wrote it, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// What it took.
    pub timings: Timings,
    /// Statements of the answer that no passage supports, with or without a citation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsupported: Vec<Span>,
    /// The question as it was looked for, where the conversation changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewritten: Option<String>,
    /// Tokens that the language model read and wrote, where one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Why the language model ended, where one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<FinishReason>,
}

/// One event of an answer, in the order `Sources`, then `Token` and `Citation`, then `Done` or `Error`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AnswerEvent {
    /// The passages that the answer may cite.
    Sources {
        /// Best first.
        passages: Vec<Passage>,
    },
    /// The next piece of the answer's text.
    Token {
        /// To be appended to what came before.
        text: String,
    },
    /// The source of a stretch of the text sent so far.
    Citation {
        /// The source.
        citation: Citation,
    },
    /// The end.
    Done(AnswerSummary),
    /// The end, without an answer.
    Error {
        /// Stable code, such as `overloaded`.
        code: String,
        /// For a person.
        message: String,
    },
}
