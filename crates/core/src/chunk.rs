//! Chunks: the pieces of a document that are embedded and found.

use serde::{Deserialize, Serialize};

use crate::ids::{ChunkId, ContentHash, DocumentId};
use crate::span::{PageRange, Span};

/// A chunk as the chunker makes it, before its document has a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewChunk {
    /// Where it stands in the parsed text.
    pub span: Span,
    /// Pages it touches.
    pub pages: Option<PageRange>,
    /// Headings above it, outermost first.
    pub headings: Vec<String>,
    /// Text that is embedded before the chunk's own though it stands elsewhere: the header rows of a split table.
    pub context: Option<String>,
}

impl NewChunk {
    /// The text to embed and to index, given the document's title and the chunk's own text.
    ///
    /// Title and heading path come first, one line; then the context; then the text itself.
    pub fn embed_text(&self, title: &str, body: &str) -> String {
        let mut out = String::with_capacity(body.len() + 64);
        if !title.is_empty() && self.headings.first().is_none_or(|h| h != title) {
            out.push_str(title);
        }
        for heading in &self.headings {
            if !out.is_empty() {
                out.push_str(" > ");
            }
            out.push_str(heading);
        }
        if !out.is_empty() {
            out.push('\n');
        }
        if let Some(context) = &self.context {
            out.push_str(context);
            out.push('\n');
        }
        out.push_str(body);
        out
    }
}

/// A chunk of a stored version, with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Identifier.
    pub id: ChunkId,
    /// Document.
    pub document: DocumentId,
    /// Version of the document.
    pub version: u32,
    /// Position among the version's chunks, from 0.
    pub ordinal: u32,
    /// Span, pages, headings, context.
    pub place: NewChunk,
    /// The slice of the parsed text at `place.span`.
    pub text: String,
    /// Hash of the embedded text; equal texts share a vector.
    pub text_hash: ContentHash,
}
