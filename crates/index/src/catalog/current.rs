//! What needs to be read or cut again, and what does not.

use lore_core::{ContentHash, DocumentId};
use rusqlite::{OptionalExtension as _, params};

use super::{Catalog, rows};
use crate::error::Result;

impl Catalog {
    /// Whether the document's live version has this content, cut by this pipeline and recipe (then parsing can be skipped;
    /// its meta may still differ).
    pub fn is_current(&self, source: &str, hash: &ContentHash, pipeline: u32, recipe: &str) -> Result<bool> {
        let id = DocumentId::from_source(source);
        self.read(|tx| {
            let current: Option<bool> = tx
                .prepare_cached(
                    "SELECT version > 0 AND state = 'live' AND content_hash = ?2 AND pipeline >= ?3 AND recipe = ?4
                     FROM documents WHERE id = ?1",
                )?
                .query_row(params![id.0.as_bytes(), hash.as_str(), pipeline, recipe], |row| row.get(0))
                .optional()?;
            Ok(current.unwrap_or(false))
        })
    }

    /// Live documents that another pipeline or recipe cut, ascending.
    pub fn stale_documents(&self, pipeline: u32, recipe: &str) -> Result<Vec<DocumentId>> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT id FROM documents WHERE version > 0 AND (pipeline < ?1 OR recipe <> ?2) ORDER BY id",
            )?;
            let mut found = statement.query(params![pipeline, recipe])?;
            let mut out = Vec::new();
            while let Some(row) = found.next()? {
                out.push(rows::document_id(row, 0)?);
            }
            Ok(out)
        })
    }

    /// Why this content could not be read before by `attempt` (what [`Catalog::commit_failure`] was told), if that is
    /// what became of the document's newest content.
    pub fn failed_before(&self, source: &str, hash: &ContentHash, attempt: &str) -> Result<Option<String>> {
        let id = DocumentId::from_source(source);
        self.read(|tx| {
            Ok(tx
                .prepare_cached(
                    "SELECT reason FROM documents
                     WHERE id = ?1 AND state = 'failed' AND failed_hash = ?2 AND failed_by = ?3",
                )?
                .query_row(params![id.0.as_bytes(), hash.as_str(), attempt], |row| row.get(0))
                .optional()?
                .flatten())
        })
    }
}
