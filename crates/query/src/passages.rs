//! Passages: the hits that an answer may cite, numbered, with neighbouring chunks joined.

use std::sync::Arc;

use lore_core::{Parsed, Passage, Span};
use lore_index::Catalog;

use crate::error::Result;
use crate::retrieve::Hit;

/// A passage with what retrieval knows of it.
#[derive(Clone, Debug)]
pub struct FoundPassage {
    /// The passage.
    pub passage: Passage,
    /// The parsed version that it is part of.
    pub parsed: Arc<Parsed>,
    /// Cosine of the question and the passage's best chunk, where known.
    pub dense: Option<f32>,
    /// BM25 score of the passage's best chunk, where words matched.
    pub lexical: Option<f32>,
}

/// Makes passages of the first `limit` hits (best first): chunks of one document that touch or overlap become one.
///
/// The passages keep the order of their best hit. Blocks on the catalog.
///
/// # Errors
/// Fails where the catalog fails.
pub fn passages(catalog: &Catalog, hits: &[Hit], limit: usize) -> Result<Vec<FoundPassage>> {
    let mut joined: Vec<Joined> = Vec::new();
    for hit in hits.iter().take(limit) {
        let chunk = &hit.live.chunk;
        let near = joined.iter_mut().find(|j| {
            j.hit.live.chunk.document == chunk.document
                && j.hit.live.chunk.version == chunk.version
                && chunk.ordinal + 1 >= j.first
                && chunk.ordinal <= j.last + 1
        });
        match near {
            Some(passage) => {
                passage.first = passage.first.min(chunk.ordinal);
                passage.last = passage.last.max(chunk.ordinal);
                passage.span = Span::new(
                    passage.span.start.min(chunk.place.span.start),
                    passage.span.end.max(chunk.place.span.end),
                );
            }
            None => {
                joined.push(Joined { hit, first: chunk.ordinal, last: chunk.ordinal, span: chunk.place.span })
            }
        }
    }
    let mut out = Vec::with_capacity(joined.len());
    for Joined { hit, span, .. } in joined {
        let chunk = &hit.live.chunk;
        // Gone since the look-up: deleted or replaced, and then it must not answer.
        let Some(parsed) = catalog.parsed(chunk.document, chunk.version)? else { continue };
        let Some(text) = span.slice(&parsed.text).map(str::to_owned) else { continue };
        let document = &hit.live.document;
        let passage = Passage {
            marker: out.len() as u32 + 1,
            document: chunk.document,
            version: chunk.version,
            name: document.name.clone(),
            title: document.title.clone(),
            headings: chunk.place.headings.clone(),
            pages: parsed.pages_of(span),
            span,
            text,
            score: hit.score,
        };
        out.push(FoundPassage { passage, parsed, dense: hit.dense, lexical: hit.lexical });
    }
    Ok(out)
}

struct Joined<'a> {
    hit: &'a Hit,
    first: u32,
    last: u32,
    span: Span,
}
