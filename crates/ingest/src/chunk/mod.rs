//! Cuts parsed text into chunks by its structure, under a budget of the embedder's tokens.
//!
//! A section (a heading and what stands under it) is cut where that hurts least: between paragraphs rather than between
//! list items, between sentences rather than within one. A table stays whole where it fits; else it is cut between rows
//! and each further part names the header rows as its context. Tiny sections join the sibling that follows.

mod atoms;
mod pack;
mod sections;
mod tokens;

#[cfg(test)]
mod tests;

use lore_core::TokenCounter;
use lore_core::{NewChunk, Parsed};
use serde::{Deserialize, Serialize};

use crate::parse::overdue;
use sections::Section;
use tokens::Tokens;

/// Special tokens that an embedder adds to each text.
const SPECIAL_TOKENS: usize = 2;
/// Reserve for the title of a document without one: its file name is embedded instead.
const UNTITLED_TOKENS: usize = 16;

/// How documents are cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChunkConfig {
    /// Most tokens of a chunk's own text; less where the embedder's window, minus title and headings, is smaller.
    pub max_tokens: usize,
    /// A section with fewer tokens joins the sibling that follows it.
    pub min_tokens: usize,
    /// Tokens of whole sentences that a chunk repeats from the end of the one before it in the same section.
    pub overlap_tokens: usize,
    /// Tokens that the embedder reads, special ones included; not a setting, it comes from the model.
    #[serde(skip)]
    pub window: Window,
}

/// Tokens that an embedder reads of one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window(pub usize);

impl Default for Window {
    fn default() -> Self {
        Self(256)
    }
}

impl Default for ChunkConfig {
    fn default() -> Self {
        Self { max_tokens: 200, min_tokens: 40, overlap_tokens: 0, window: Window::default() }
    }
}

impl ChunkConfig {
    /// Tokens for a chunk's text and context where `prefix` tokens of title and headings come before them.
    ///
    /// A prefix never takes more than three quarters of the room.
    fn budget(&self, prefix: usize) -> usize {
        let room = self.window.0.saturating_sub(SPECIAL_TOKENS).max(8);
        let left = room.saturating_sub(prefix).max(room / 4);
        self.max_tokens.max(8).min(left)
    }
}

/// The chunks of `parsed`, in order.
///
/// Every non-blank character that is not in a heading or a table's header lies in a chunk. With title, headings and
/// context, each embeds within the embedder's window.
pub fn chunk(parsed: &Parsed, config: &ChunkConfig, count: &TokenCounter) -> Vec<NewChunk> {
    let tokens = Tokens::new(count);
    let index = parsed.char_index();
    let budget = |headings: &[String]| {
        let title = parsed.title.as_deref().unwrap_or_default();
        let bare = NewChunk {
            span: lore_core::Span::default(),
            pages: None,
            headings: headings.to_vec(),
            context: None,
        };
        let reserve = if title.trim().is_empty() { UNTITLED_TOKENS } else { 0 };
        config.budget(tokens.count_once(&bare.embed_text(title, "")) + reserve)
    };
    let sections = sections::sections(parsed, &index, &tokens);
    let sections = sections::merge_tiny(sections, config.min_tokens, &budget);
    let mut out = Vec::new();
    for Section { mut atoms, headings, .. } in sections {
        // Whoever set a time limit drops what there is.
        if overdue() {
            break;
        }
        let budget = budget(&headings);
        atoms = atoms::refine(&parsed.text, atoms, budget, &tokens);
        for piece in pack::pack(&atoms, budget, config.overlap_tokens.min(budget / 2)) {
            let text = &parsed.text[piece.bytes.clone()];
            let start = piece.bytes.start + text.len() - text.trim_start().len();
            let end = piece.bytes.start + text.trim_end().len();
            if start >= end {
                continue;
            }
            let span = index.span(&parsed.text, start, end);
            out.push(NewChunk {
                span,
                pages: parsed.pages_of(span),
                headings: headings.clone(),
                context: piece.context.map(|range| parsed.text[range].trim().to_owned()),
            });
        }
    }
    out
}
