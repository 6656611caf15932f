//! How content is cut, and documents that were cut for other settings or another embedder.

use lore_core::{ContentHash, DocumentId, Limits, TokenCounter};
use lore_index::{AclChoice, NewDocument, NewVersion};

use super::{IngestError, Ingester, PIPELINE};
use crate::chunk::ChunkConfig;

/// Texts on which tokenizers differ: words of several lengths and scripts, numbers, codes, blanks.
const PROBE: &str = "The supervisor's reimbursement of 1,234.56 EUR (net) was re-submitted on 2025-03-31 by O'Neill & Co. \
                     Donaudampfschifffahrtsgesellschaft über Überstunden; naïve café. 年假为三十天，须提前申请。 \
                     東京都の有給休暇 отпуск ERR_CONN_42 foo::bar(x) https://example.com/a?b=c 😀 qwrtzx";

/// What decides how content is cut, beside [`PIPELINE`]: the settings, the embedder's window, and how it counts.
///
/// A counter is known by what it counts: two tokenizers that agree on each piece of the probe cut alike.
pub(super) fn recipe(chunks: &ChunkConfig, count: &TokenCounter) -> String {
    let pieces = PROBE.split_whitespace().chain([PROBE]);
    let counts: Vec<String> = pieces.map(|piece| count(piece).to_string()).collect();
    let hash = ContentHash::of(counts.join(" ").as_bytes());
    let ChunkConfig { max_tokens, min_tokens, overlap_tokens, window } = chunks;
    let tokenizer = hash.as_str().get(..12).unwrap_or_default();
    format!("{max_tokens}/{min_tokens}/{overlap_tokens}/{}/{tokenizer}", window.0)
}

/// What decides whether content can be read: the parsers and the limits that they keep.
pub(super) fn attempt(limits: &Limits) -> String {
    let Limits { archive_bytes, document_pages, text_chars, parse_seconds, .. } = limits;
    format!("{PIPELINE}/{archive_bytes}/{document_pages}/{text_chars}/{parse_seconds}")
}

/// What [`Ingester::recut_stale`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecutReport {
    /// Documents cut again.
    pub recut: u64,
    /// Documents that stay as they were, by name, with the reason in words for a person.
    pub failed: Vec<(String, String)>,
}

impl Ingester {
    /// Live documents that are cut for other settings, another embedder, or by an older program.
    ///
    /// # Errors
    /// Those of the catalog.
    pub fn stale(&self) -> Result<Vec<DocumentId>, IngestError> {
        Ok(self.catalog.stale_documents(PIPELINE, &self.recipe)?)
    }

    /// Cuts the documents of [`Ingester::stale`] again from their stored originals, uploads too; `progress` hears
    /// (documents done, documents known).
    ///
    /// # Errors
    /// Those of the catalog; what was cut stays. A document that cannot be read any more stays as it was.
    pub fn recut_stale(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<RecutReport, IngestError> {
        let stale = self.stale()?;
        let mut report = RecutReport::default();
        for (done, id) in stale.iter().enumerate() {
            progress(done as u64, stale.len() as u64);
            let Some(document) = self.catalog.document(*id)? else { continue };
            let Some(hash) = document.content_hash else { continue };
            let mut new = NewDocument {
                source: document.source,
                name: document.name,
                format: document.format,
                meta: document.meta,
                acl: AclChoice::Keep,
            };
            let read = match self.catalog.original(&hash) {
                Ok(Some(bytes)) => self.read(&new.name, &bytes).map(|content| (content, bytes.len() as u64)),
                Ok(None) => Err("its original is not stored; ingest it again".to_owned()),
                Err(lore_index::IndexError::Damaged(reason)) => Err(reason),
                Err(error) => return Err(error.into()),
            };
            let ((format, parsed, chunks), size) = match read {
                Ok(read) => read,
                Err(reason) => {
                    report.failed.push((new.name, reason));
                    continue;
                }
            };
            new.format = format;
            let version = self.version(hash, size, parsed, chunks);
            if self.catalog.recut(&new, document.version, &version)?.is_some() {
                report.recut += 1;
            }
        }
        progress(stale.len() as u64, stale.len() as u64);
        Ok(report)
    }

    pub(crate) fn version(
        &self,
        content_hash: ContentHash,
        size: u64,
        parsed: lore_core::Parsed,
        chunks: Vec<lore_core::NewChunk>,
    ) -> NewVersion {
        NewVersion { content_hash, size, pipeline: PIPELINE, recipe: self.recipe.clone(), parsed, chunks }
    }
}
