//! What a chat completion answers: whole, and in chunks.

use lore_core::{Citation, DocumentId, FinishReason, NearDocument, Span, Timings, Usage, Verdict};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::HttpConfig;

/// A whole answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ChatCompletion {
    /// `chatcmpl-` and the request, as the server's log knows it.
    pub id: String,
    /// Always `chat.completion`.
    pub object: String,
    /// When, in seconds since 1970.
    pub created: i64,
    /// Who wrote it: `lore`, or the language model's id.
    pub model: String,
    /// One.
    pub choices: Vec<ChatChoice>,
    /// Tokens read and written by a language model; zeros where the answer is made of the documents' own sentences.
    pub usage: ChatUsage,
    /// More about it.
    pub lore: ChatDetails,
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ChatChoice {
    /// Always 0.
    pub index: u32,
    /// What is said.
    pub message: ChatReply,
    /// Always null.
    #[schema(value_type = Option<Object>)]
    pub logprobs: Option<()>,
    /// `stop`, or `length` where the tokens were at an end.
    pub finish_reason: FinishReason,
}

/// What is said.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ChatReply {
    /// Always `assistant`.
    pub role: String,
    /// The text.
    pub content: String,
    /// Always null.
    pub refusal: Option<String>,
    /// Its sources, by position in the text.
    pub annotations: Vec<Annotation>,
}

/// The source of a stretch of the text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Annotation {
    /// Always `url_citation`.
    #[serde(rename = "type")]
    pub kind: String,
    /// As OpenAI's API has it.
    pub url_citation: UrlCitation,
    /// The exact place in the document.
    pub lore: Source,
}

/// A source as a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UrlCitation {
    /// The cited version of the document on this server: a path, or a whole address where `http.public_url` is set.
    pub url: String,
    /// The document's title.
    pub title: String,
    /// First code point of the statement in the text.
    pub start_index: usize,
    /// One past its last code point.
    pub end_index: usize,
}

/// The exact place that supports a statement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Source {
    /// Number of the passage, from 1.
    pub marker: u32,
    /// Document.
    pub document: DocumentId,
    /// Its version.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// The quote's span in the version's parsed text, in code points.
    pub source_span: Span,
    /// Page of the quote, from 1, where the format has pages.
    pub page: Option<u32>,
    /// Headings above the quote, outermost first.
    pub headings: Vec<String>,
    /// The supporting text, verbatim.
    pub quote: String,
    /// How well it supports the statement, 0 to 1.
    pub score: f32,
    /// Whether that is enough.
    pub verdict: Verdict,
}

impl Annotation {
    /// A citation, with its link as `http` has it.
    pub fn of(citation: Citation, http: &HttpConfig) -> Self {
        let Citation { document, version, .. } = citation;
        // A browser's PDF viewer opens the page (RFC 8118); for other formats it means nothing.
        let page = citation.page.map(|page| format!("#page={page}")).unwrap_or_default();
        Self {
            kind: "url_citation".to_owned(),
            url_citation: UrlCitation {
                url: http.link(&format!("/v1/documents/{document}/content?version={version}{page}")),
                title: citation.title,
                start_index: citation.answer_span.start,
                end_index: citation.answer_span.end,
            },
            lore: Source {
                marker: citation.marker,
                document,
                version,
                name: citation.name,
                source_span: citation.source_span,
                page: citation.page,
                headings: citation.headings,
                quote: citation.quote,
                score: citation.score,
                verdict: citation.verdict,
            },
        }
    }
}

/// Tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChatUsage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens written.
    pub completion_tokens: usize,
    /// Both.
    pub total_tokens: usize,
    /// More about the prompt's.
    pub prompt_tokens_details: PromptTokens,
}

/// Tokens of the prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PromptTokens {
    /// Those that were in the cache from an earlier request.
    pub cached_tokens: usize,
}

impl From<Usage> for ChatUsage {
    fn from(usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.prompt_tokens + usage.completion_tokens,
            prompt_tokens_details: PromptTokens { cached_tokens: usage.cached_tokens },
        }
    }
}

/// What Lore knows of an answer beyond OpenAI's fields.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ChatDetails {
    /// Whether the documents held an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<bool>,
    /// How sure Lore is that the documents answer, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
    /// Documents that came near, where nothing was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<Vec<NearDocument>>,
    /// Who wrote the text: `extractive`, or the language model's id.
    pub written_by: String,
    /// The id of the release that wrote it, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Stretches of the text that no passage supports, with or without an annotation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsupported: Vec<Span>,
    /// The question as it was looked for, where the conversation changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewritten: Option<String>,
    /// What it took; the language model's part under `generation`.
    pub timings: Timings,
}

/// A piece of an answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ChatChunk {
    /// The same for all chunks of an answer.
    pub id: String,
    /// Always `chat.completion.chunk`.
    pub object: String,
    /// When, in seconds since 1970.
    pub created: i64,
    /// Who writes it.
    pub model: String,
    /// One; none in the chunk that tells the tokens.
    pub choices: Vec<ChunkChoice>,
    /// Where `stream_options.include_usage` is set: the tokens in the last chunk, null in the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ChatUsage>)]
    pub usage: Option<Option<ChatUsage>>,
    /// More about the answer, in the chunk that has the `finish_reason`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lore: Option<ChatDetails>,
}

/// A piece of the answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ChunkChoice {
    /// Always 0.
    pub index: u32,
    /// What is new.
    pub delta: Delta,
    /// Always null.
    #[schema(value_type = Option<Object>)]
    pub logprobs: Option<()>,
    /// Null before the end.
    pub finish_reason: Option<FinishReason>,
}

/// What is new.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Delta {
    /// In the first chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// To be appended to what came before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// All sources, in the chunk that has the `finish_reason`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Vec<Annotation>>,
}
