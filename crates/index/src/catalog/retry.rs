//! Content that could not be read, tried again: what stood in its way may be gone, such as a limit that was raised.

use lore_core::{ContentHash, DocumentId};
use rusqlite::{OptionalExtension as _, params};

use super::access::List;
use super::db::Write;
use super::jobs::Payload;
use super::types::{AclChoice, Job, NewDocument, Upload};
use super::{Catalog, access, documents, originals, rows};
use crate::error::{IndexError, Result};

impl Catalog {
    /// Queues the content of a document once more that could not be read, as it was uploaded, with what was changed since;
    /// `None` where there is no such document.
    ///
    /// # Errors
    /// `Invalid` where nothing failed, or what failed is not kept; `QueueFull` when `max_queued` jobs wait already.
    pub fn retry(&self, id: DocumentId, max_queued: usize) -> Result<Option<Job>> {
        self.write(|tx| {
            let found: Option<(Option<String>, bool)> = tx
                .prepare_cached(
                    "SELECT CASE state WHEN 'failed' THEN failed_hash END, state = 'failed' FROM documents WHERE id = ?1",
                )?
                .query_row([id.0.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let hash = match found {
                None => return Ok(None),
                Some((_, false)) => {
                    return Err(IndexError::Invalid(
                        "the document did not fail; there is nothing to try again".into(),
                    ));
                }
                Some((hash, true)) => hash.map(ContentHash),
            };
            let file = hash.and_then(|hash| {
                let size = std::fs::metadata(self.original_path(&hash)).ok()?.len();
                Some((hash, size))
            });
            let (Some((hash, size)), Some(document)) = (file, upload_of_failed(tx, id)?) else {
                return Err(IndexError::Invalid(
                    "the file that failed is not kept; upload it again, or ingest its folder again".into(),
                ));
            };
            originals::pin(tx, &hash)?;
            self.enqueue_one(tx, &Upload { document, hash, size }, max_queued).map(Some)
        })
    }
}

/// What is known of the content that failed: what its upload said, or what its folder did.
fn upload_of_failed(tx: &Write<'_>, id: DocumentId) -> Result<Option<NewDocument>> {
    let payload: Option<String> = tx
        .prepare_cached(
            "SELECT payload FROM jobs WHERE document = ?1 AND state = 'failed' AND payload IS NOT NULL
             ORDER BY n DESC LIMIT 1",
        )?
        .query_row([id.0.as_bytes()], |row| row.get(0))
        .optional()?;
    if let Some(payload) = payload {
        return Ok(Some(rows::from_json::<Payload>(&payload)?.into()));
    }
    let of_folder: bool = tx
        .prepare_cached("SELECT failed_by IS NOT NULL OR version = 0 FROM documents WHERE id = ?1")?
        .query_row([id.0.as_bytes()], |row| row.get(0))?;
    // Of an upload that is not known any more, nobody can say whom it was for; the list of the version before may be wider.
    let (Some(document), Some(List { source, .. }), true) =
        (documents::by_id(tx, id)?, access::list(tx, id)?, of_folder)
    else {
        return Ok(None);
    };
    let mut meta = document.meta;
    meta.acl = source;
    Ok(Some(NewDocument {
        source: document.source,
        name: document.name,
        format: document.format,
        meta,
        acl: AclChoice::Keep,
    }))
}

/// Lets a job wait again that ended with the deletion of its document, which is being restored.
pub(super) fn resume(tx: &Write<'_>, job: i64) -> Result<()> {
    tx.prepare_cached(
        "UPDATE jobs SET state = 'queued', attempts = 0, reason = NULL, updated_at = ?2
         WHERE n = ?1 AND state = 'failed' AND payload IS NOT NULL",
    )?
    .execute(params![job, tx.now])?;
    Ok(())
}

/// Forgets what uploads of a document said that failed: it has newer content, or is gone.
pub(super) fn forget_payloads(tx: &Write<'_>, id: DocumentId) -> Result<()> {
    tx.prepare_cached(
        "UPDATE jobs SET payload = NULL WHERE document = ?1 AND state = 'failed' AND payload IS NOT NULL",
    )?
    .execute([id.0.as_bytes()])?;
    Ok(())
}
