//! Citations: from a stretch of an answer to the exact place that supports it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::DocumentId;
use crate::span::Span;

/// What the check of a statement against its passage found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The passage supports the statement.
    Supported,
    /// It does not, or not enough.
    Unsupported,
}

/// One statement's source, both ends exact. Offsets are in Unicode code points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Citation {
    /// Number of the passage in the answer's sources, from 1.
    pub marker: u32,
    /// The statement's span in the answer text.
    pub answer_span: Span,
    /// Document.
    pub document: DocumentId,
    /// Its name, for display.
    pub name: String,
    /// Its title, for display.
    pub title: String,
    /// Version of the document.
    pub version: u32,
    /// The quote's span in the version's parsed text.
    pub source_span: Span,
    /// Page of the quote, from 1, where the format has pages.
    pub page: Option<u32>,
    /// Headings above the quote, outermost first.
    pub headings: Vec<String>,
    /// The supporting text: exactly the slice at `source_span`.
    pub quote: String,
    /// How well the quote supports the statement, 0 to 1.
    pub score: f32,
    /// Whether that is enough.
    pub verdict: Verdict,
}
