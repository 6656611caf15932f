//! Documents that were deleted, for as long as they can be brought back.
//!
//! A deleted document moves to tables that nothing else reads, so that it cannot answer from that moment on; its
//! originals and vectors stay for as long. Then everything goes, as with [`Catalog::delete`]: texts, chunks, vectors,
//! originals, the answers that rest on it, and what its upload said. Content that comes in anew under the same id ends the
//! time at once: the newer content is what a person wants.

use std::time::Duration;

use jiff::Timestamp;
use lore_core::{Document, DocumentId};
use rusqlite::{OptionalExtension as _, params};

use super::db::Write;
use super::types::ChangeKind;
use super::{Catalog, changes, conversations, documents, jobs, originals, retry, rows, vectors};
use crate::error::{IndexError, Result};

/// Longest time for which a deleted document can be brought back: shorter than ended jobs are kept.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);
/// Documents removed in one transaction.
const BATCH: u32 = 100;

impl Catalog {
    /// Deletes a document that can be brought back for `time` (a day at most), and says until when; `None` where there is
    /// none. From the return on nothing answers from it.
    ///
    /// Its open job ends as failed, and waits again once the document is restored.
    pub fn delete_for(&self, id: DocumentId, time: Duration) -> Result<Option<Timestamp>> {
        let micros = i64::try_from(time.min(LONGEST).as_micros()).unwrap_or(i64::MAX);
        let until = self.write(|tx| {
            let found: Option<i64> = tx
                .prepare_cached("SELECT pk FROM documents WHERE id = ?1")?
                .query_row([id.0.as_bytes()], |row| row.get(0))
                .optional()?;
            let Some(pk) = found else { return Ok(None) };
            let until = tx.now.saturating_add(micros);
            let job = jobs::open_place(tx, id)?;
            tx.prepare_cached("INSERT INTO deleted (document, until, job, job_hash) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![
                    id.0.as_bytes(),
                    until,
                    job.as_ref().map(|(n, _)| *n),
                    job.as_ref().map(|(_, hash)| hash.as_str()),
                ])?;
            let deleted = tx.last_insert_rowid();
            for (table, key) in [("documents", "pk"), ("versions", "document"), ("chunks", "document")] {
                let columns = columns(tx, table)?;
                tx.prepare_cached(&format!(
                    "INSERT INTO deleted_{table} (deleted, {columns}) SELECT ?2, {columns} FROM {table} WHERE {key} = ?1"
                ))?
                .execute([pk, deleted])?;
            }
            jobs::end_for_deleted(tx, id)?;
            // Versions and chunks go with their document (ON DELETE CASCADE).
            tx.prepare_cached("DELETE FROM documents WHERE pk = ?1")?.execute([pk])?;
            changes::record(tx, id, ChangeKind::Deleted)?;
            Ok(Some(until))
        })?;
        if until.is_some() {
            self.forget_texts(id);
        }
        until.map(rows::time).transpose()
    }

    /// Brings a deleted document back with its versions; `None` where its time is over, or it was taken in anew since.
    pub fn restore(&self, id: DocumentId) -> Result<Option<Document>> {
        self.write(|tx| {
            let found: Option<(i64, Option<i64>)> = tx
                .prepare_cached("SELECT pk, job FROM deleted WHERE document = ?1 AND until > ?2")?
                .query_row(params![id.0.as_bytes(), tx.now], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((deleted, job)) = found else { return Ok(None) };
            let own = columns(tx, "documents")?;
            tx.prepare_cached(&format!(
                "INSERT INTO documents ({own}) SELECT {own} FROM deleted_documents WHERE deleted = ?1"
            ))?
            .execute([deleted])?;
            let pk = tx.last_insert_rowid();
            for table in ["versions", "chunks"] {
                let columns = columns(tx, table)?;
                tx.prepare_cached(&format!(
                    "INSERT INTO {table} (document, {columns}) SELECT ?2, {columns} FROM deleted_{table}
                     WHERE deleted = ?1"
                ))?
                .execute([deleted, pk])?;
            }
            if let Some(job) = job {
                retry::resume(tx, job)?;
            }
            tx.prepare_cached("DELETE FROM deleted WHERE pk = ?1")?.execute([deleted])?;
            let document = documents::by_id(tx, id)?
                .ok_or_else(|| IndexError::Damaged(format!("document {id} was deleted without its row")))?;
            if document.version > 0 {
                // The same version again: it has the same chunks under the same ids.
                changes::record(tx, id, ChangeKind::Version(document.version))?;
            }
            Ok(Some(document))
        })
    }

    /// Removes what was deleted and can no longer be brought back; gives the number of documents.
    pub fn remove_expired(&self) -> Result<u64> {
        let mut removed = 0;
        loop {
            // Asked again and again; most of the time there is nothing, and then no write lock is taken.
            let expired = self.read(|tx| {
                let mut statement =
                    tx.prepare_cached("SELECT document FROM deleted WHERE until <= ?1 LIMIT ?2")?;
                let mut found = statement.query(params![rows::now(), BATCH])?;
                let mut ids = Vec::new();
                while let Some(row) = found.next()? {
                    ids.push(rows::document_id(row, 0)?);
                }
                Ok(ids)
            })?;
            if expired.is_empty() {
                return Ok(removed);
            }
            removed += self.write(|tx| {
                let mut removed = 0;
                for id in &expired {
                    let expired: bool = tx
                        .prepare_cached(
                            "SELECT EXISTS (SELECT 1 FROM deleted WHERE document = ?1 AND until <= ?2)",
                        )?
                        .query_row(params![id.0.as_bytes(), tx.now], |row| row.get(0))?;
                    if expired {
                        remove(tx, *id)?;
                        removed += 1;
                    }
                }
                Ok(removed)
            })?;
        }
    }
}

/// Removes what is left of a deleted document, if anything is.
pub(super) fn remove(tx: &Write<'_>, id: DocumentId) -> Result<()> {
    let found: Option<(i64, Option<String>)> = tx
        .prepare_cached("SELECT pk, job_hash FROM deleted WHERE document = ?1")?
        .query_row([id.0.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((deleted, job_hash)) = found else { return Ok(()) };
    let texts: Vec<[u8; 32]> = tx
        .prepare_cached("SELECT DISTINCT text_hash FROM deleted_chunks WHERE deleted = ?1")?
        .query_map([deleted], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut hashes: Vec<String> = tx
        .prepare_cached(
            "SELECT content_hash FROM deleted_versions WHERE deleted = ?1
             UNION SELECT failed_hash FROM deleted_documents WHERE deleted = ?1 AND failed_hash IS NOT NULL",
        )?
        .query_map([deleted], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    hashes.extend(job_hash);
    retry::forget_payloads(tx, id)?;
    conversations::forget_document(tx, id)?;
    // The rest goes with it (ON DELETE CASCADE).
    tx.prepare_cached("DELETE FROM deleted WHERE pk = ?1")?.execute([deleted])?;
    for text in &texts {
        vectors::forget_unused(tx, text)?;
    }
    for hash in &hashes {
        originals::discard(tx, hash)?;
    }
    Ok(())
}

/// The columns that move between `table` and its counterpart, numbers of rows aside.
fn columns(tx: &Write<'_>, table: &str) -> Result<String> {
    Ok(tx
        .prepare_cached(
            "SELECT group_concat(name, ', ') FROM pragma_table_info(?1) WHERE name NOT IN ('pk', 'document')",
        )?
        .query_row([table], |row| row.get(0))?)
}
