//! Jobs: uploads that wait for a worker, leased by wall time.
//!
//! A document has at most one open job. Newer content for it replaces the content of that job and sends it back to the
//! queue, which takes the lease from a worker that runs it. What a worker made counts only while its lease holds, and that
//! is decided in the transaction that commits it ([`Catalog::commit_job`]).

use lore_core::{ContentHash, DocumentId, DocumentMeta, Format};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::db::Write;
use super::types::{
    AclChoice, Committed, Job, JobKind, JobState, MetaChange, NewDocument, NewVersion, Upload,
};
use super::{Catalog, commit, documents, originals, rows};
use crate::error::{IndexError, Result};

/// Leases of a job before it is given up.
const ATTEMPTS: u32 = 3;
/// How long jobs that ended can be asked for, in microseconds.
const KEPT: i64 = 7 * 24 * 3_600 * 1_000_000;

const COLUMNS: &str =
    "j.id, j.document, j.content_hash, j.state, j.reason, j.attempts, j.created_at, j.updated_at";

/// The uploaded document as a job stores it.
#[derive(Serialize, Deserialize, PartialEq)]
pub(super) struct Payload {
    source: String,
    name: String,
    format: Format,
    meta: DocumentMeta,
    #[serde(default)]
    acl: AclChoice,
}

impl From<&NewDocument> for Payload {
    fn from(document: &NewDocument) -> Self {
        Self {
            source: document.source.clone(),
            name: document.name.clone(),
            format: document.format,
            meta: document.meta.clone(),
            acl: document.acl.clone(),
        }
    }
}

impl From<Payload> for NewDocument {
    fn from(payload: Payload) -> Self {
        let Payload { source, name, format, meta, acl } = payload;
        Self { source, name, format, meta, acl }
    }
}

/// What the catalog needs to know of an open job.
struct Open {
    n: i64,
    document: DocumentId,
    hash: ContentHash,
    state: String,
    payload: Option<String>,
    worker: Option<String>,
    lease_until: Option<i64>,
}

impl Open {
    fn is_held_by(&self, worker: &str, now: i64) -> bool {
        self.state == "running"
            && self.worker.as_deref() == Some(worker)
            && self.lease_until.is_some_and(|until| until > now)
    }
}

impl Catalog {
    /// Registers uploads: each document as pending (an earlier version stays live) with a job; all of them, or none.
    ///
    /// A document's open job takes the newer content and waits again; the same upload twice gives the same job. Groups
    /// that the upload before named hold for the newer one too, where that names none.
    ///
    /// # Errors
    /// `QueueFull` when `max_queued` jobs wait already; `Invalid` where an original is not stored.
    pub fn enqueue(&self, uploads: &[Upload], max_queued: usize) -> Result<Vec<Job>> {
        for upload in uploads {
            commit::check_document(&upload.document)?;
        }
        self.write(|tx| uploads.iter().map(|upload| self.enqueue_one(tx, upload, max_queued)).collect())
    }

    pub(super) fn enqueue_one(&self, tx: &Write<'_>, upload: &Upload, max_queued: usize) -> Result<Job> {
        let Upload { document, hash, size } = upload;
        let id = DocumentId::from_source(&document.source);
        // Under the write lock: nothing that is being removed can pass here.
        if !self.original_path(hash).is_file() {
            return Err(IndexError::Invalid(format!("the original {hash} is not stored; store it again")));
        }
        let open = open_of_document(tx, id)?;
        let mut payload = Payload::from(document);
        if let Some(before) = open.as_ref().and_then(|job| job.payload.as_deref())
            && payload.acl == AclChoice::Keep
        {
            payload.acl = rows::from_json::<Payload>(before)?.acl;
        }
        let document = NewDocument::from(payload);
        let payload = rows::to_json(&Payload::from(&document))?;
        let job = match open {
            Some(job) if job.hash == *hash && job.payload.as_deref() == Some(&payload) => job.n,
            Some(job) => {
                requeue(tx, &job, hash, *size, &payload)?;
                job.n
            }
            None => {
                let waiting = count(tx, "queued")? as usize;
                if waiting >= max_queued {
                    return Err(IndexError::QueueFull { waiting });
                }
                insert(tx, id, hash, *size, &payload)?
            }
        };
        documents::register(tx, id, &document)?;
        let failed = commit::failed_hash(tx, id)?;
        tx.prepare_cached(
            "UPDATE documents SET state = 'pending', reason = NULL, failed_hash = NULL, failed_by = NULL,
                 updated_at = ?2
             WHERE id = ?1",
        )?
        .execute(params![id.0.as_bytes(), tx.now])?;
        if let Some(failed) = failed {
            originals::discard(tx, &failed)?;
        }
        originals::unpin(tx, hash)?;
        by_number(tx, job)
    }

    /// Takes the oldest job that waits, or whose lease of `lease_seconds` ran out; at most 3 attempts, then it fails.
    pub fn lease_job(&self, worker: &str, lease_seconds: u64) -> Result<Option<(Job, NewDocument)>> {
        // An idle worker asks again and again; it must not take the write lock for that.
        if self.read(|tx| next(tx, rows::now()))?.is_none() {
            return Ok(None);
        }
        self.write(|tx| {
            while let Some((n, attempts)) = next(tx, tx.now)? {
                let Some(job) = open_by_number(tx, n)? else { continue };
                if attempts >= ATTEMPTS {
                    let reason = format!("given up after {attempts} attempts: the worker did not finish");
                    end_failed(tx, &job, &reason)?;
                    continue;
                }
                tx.prepare_cached(
                    "UPDATE jobs SET state = 'running', attempts = attempts + 1, worker = ?2, lease_until = ?3,
                         updated_at = ?4
                     WHERE n = ?1",
                )?
                .execute(params![n, worker, lease_end(tx.now, lease_seconds), tx.now])?;
                let payload: Payload = rows::from_json(job.payload.as_deref().unwrap_or_default())?;
                return Ok(Some((by_number(tx, n)?, payload.into())));
            }
            Ok(None)
        })
    }

    /// Prolongs a lease; false when it was lost.
    pub fn extend_lease(&self, job: &str, worker: &str, lease_seconds: u64) -> Result<bool> {
        self.write_soon(|tx| {
            let changed = tx
                .prepare_cached(
                    "UPDATE jobs SET lease_until = ?3
                     WHERE id = ?1 AND worker = ?2 AND state = 'running' AND lease_until > ?4",
                )?
                .execute(params![job, worker, lease_end(tx.now, lease_seconds), tx.now])?;
            Ok(changed > 0)
        })
    }

    /// Gives a job back that could not be worked on for no fault of its own: it waits again, and the try does not count.
    pub fn release_job(&self, job: &str, worker: &str) -> Result<()> {
        self.write(|tx| {
            tx.prepare_cached(
                "UPDATE jobs SET state = 'queued', attempts = max(attempts - 1, 0), worker = NULL,
                     lease_until = NULL, updated_at = ?3
                 WHERE id = ?1 AND worker = ?2 AND state = 'running'",
            )?
            .execute(params![job, worker, tx.now])?;
            Ok(())
        })
    }

    /// Commits what a worker made of a job and ends the job, in one transaction; `None` when the lease was lost meanwhile
    /// (it ran out, the document was deleted, or newer content came), and then nothing changed.
    ///
    /// Of `document` the format counts; the rest is what the job says by then, with what was changed meanwhile.
    ///
    /// # Errors
    /// As [`Catalog::commit_version`]; `Invalid` where `document` is not the job's.
    pub fn commit_job(
        &self,
        job: &str,
        worker: &str,
        document: &NewDocument,
        version: &NewVersion,
    ) -> Result<Option<Committed>> {
        let prepared = commit::Prepared::new(document, version)?;
        let id = DocumentId::from_source(&document.source);
        self.write(|tx| {
            let Some(job) = open_by_id(tx, job)?.filter(|job| job.is_held_by(worker, tx.now)) else {
                return Ok(None);
            };
            if job.document != id {
                return Err(IndexError::Invalid(format!(
                    "the job is for document {}, not {id}",
                    job.document
                )));
            }
            let payload: Payload = rows::from_json(job.payload.as_deref().unwrap_or_default())?;
            let document = NewDocument { meta: payload.meta, acl: payload.acl, ..document.clone() };
            let committed = commit::commit(tx, &document, &prepared)?;
            end(tx, &job, "done", None)?;
            Ok(Some(committed))
        })
    }

    /// Ends a job as failed, if `worker` still has its lease; false when it was lost, and then nothing changed.
    pub fn fail_job(&self, job: &str, worker: &str, reason: &str) -> Result<bool> {
        self.write(|tx| match open_by_id(tx, job)? {
            Some(job) if job.is_held_by(worker, tx.now) => {
                end_failed(tx, &job, reason)?;
                Ok(true)
            }
            _ => Ok(false),
        })
    }

    /// Ends a job: `Ok` for done, `Err(reason)` for failed (the document shows the reason too).
    ///
    /// Asks for no lease: [`Catalog::commit_job`] and [`Catalog::fail_job`] are for workers. A job that ended already
    /// stays as it is.
    ///
    /// # Errors
    /// `Invalid` where there is no such job.
    pub fn finish_job(&self, job: &str, outcome: std::result::Result<(), &str>) -> Result<()> {
        self.write(|tx| {
            let Some(open) = open_by_id(tx, job)? else {
                let known: bool = tx
                    .prepare_cached("SELECT EXISTS (SELECT 1 FROM jobs WHERE id = ?1)")?
                    .query_row([job], |row| row.get(0))?;
                return if known {
                    Ok(())
                } else {
                    Err(IndexError::Invalid(format!("there is no job {job}")))
                };
            };
            match outcome {
                Err(reason) => end_failed(tx, &open, reason),
                Ok(()) => {
                    tx.prepare_cached(
                        "UPDATE documents SET state = 'live', updated_at = ?2
                         WHERE id = ?1 AND state = 'pending' AND version > 0",
                    )?
                    .execute(params![open.document.0.as_bytes(), tx.now])?;
                    end(tx, &open, "done", None)
                }
            }
        })
    }

    /// A job.
    pub fn job(&self, id: &str) -> Result<Option<Job>> {
        self.read(|tx| {
            let mut statement =
                tx.prepare_cached(&format!("SELECT {COLUMNS} FROM jobs j WHERE j.id = ?1"))?;
            let mut found = statement.query([id])?;
            found.next()?.map(job).transpose()
        })
    }

    /// Jobs waiting and running.
    pub fn open_jobs(&self) -> Result<(u64, u64)> {
        self.read(|tx| Ok((count(tx, "queued")?, count(tx, "running")?)))
    }
}

/// Gives a change to content of the document that still waits, or that failed and may be tried again: it goes live with
/// what is given, and keeps the rest.
pub(super) fn change_waiting(tx: &Write<'_>, id: DocumentId, change: &MetaChange) -> Result<()> {
    for (n, payload) in payloads(tx, id)? {
        let mut payload: Payload = rows::from_json(&payload)?;
        change.apply(&mut payload.meta);
        if change.acl.is_some() {
            // The document has the list already, set by hand.
            payload.acl = AclChoice::Keep;
        }
        let payload = rows::to_json(&payload)?;
        tx.prepare_cached("UPDATE jobs SET payload = ?2 WHERE n = ?1")?.execute(params![n, payload])?;
    }
    Ok(())
}

/// The uploads of a document that may still go live, by job: at most the one that waits and the one that failed last.
fn payloads(tx: &Write<'_>, id: DocumentId) -> Result<Vec<(i64, String)>> {
    let mut statement = tx.prepare_cached(
        "SELECT n, payload FROM jobs
             WHERE document = ?1 AND state IN ('queued', 'running') AND payload IS NOT NULL
         UNION ALL
         SELECT n, payload FROM jobs WHERE document = ?1 AND state = 'failed' AND payload IS NOT NULL",
    )?;
    let found = statement.query_map([id.0.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Ends the open job of a document that is being deleted.
pub(super) fn end_for_deleted(tx: &Write<'_>, id: DocumentId) -> Result<()> {
    match open_of_document(tx, id)? {
        Some(job) => end(tx, &job, "failed", Some("the document was deleted")),
        None => Ok(()),
    }
}

/// Row and original of the open job of a document, if there is one.
pub(super) fn open_place(tx: &Write<'_>, id: DocumentId) -> Result<Option<(i64, ContentHash)>> {
    Ok(open_of_document(tx, id)?.map(|job| (job.n, job.hash)))
}

fn insert(tx: &Write<'_>, id: DocumentId, hash: &ContentHash, size: u64, payload: &str) -> Result<i64> {
    tx.prepare_cached(
        "INSERT INTO jobs
             (id, kind, document, content_hash, size, payload, state, attempts, created_at, updated_at)
         VALUES (?1, 'ingest', ?2, ?3, ?4, ?5, 'queued', 0, ?6, ?6)",
    )?
    .execute(params![
        uuid::Uuid::now_v7().to_string(),
        id.0.as_bytes(),
        hash.as_str(),
        rows::signed(size),
        payload,
        tx.now,
    ])?;
    Ok(tx.last_insert_rowid())
}

fn requeue(tx: &Write<'_>, job: &Open, hash: &ContentHash, size: u64, payload: &str) -> Result<()> {
    tx.prepare_cached(
        "UPDATE jobs SET content_hash = ?2, size = ?3, payload = ?4, state = 'queued', attempts = 0,
             worker = NULL, lease_until = NULL, updated_at = ?5
         WHERE n = ?1",
    )?
    .execute(params![job.n, hash.as_str(), rows::signed(size), payload, tx.now])?;
    originals::discard(tx, job.hash.as_str())
}

fn end_failed(tx: &Write<'_>, job: &Open, reason: &str) -> Result<()> {
    commit::fail(tx, job.document, Some(&job.hash), reason, None)?;
    end(tx, job, "failed", Some(reason))
}

/// Ends a job. What failed keeps its payload, so that it can be tried again.
fn end(tx: &Write<'_>, job: &Open, state: &str, reason: Option<&str>) -> Result<()> {
    tx.prepare_cached(
        "UPDATE jobs SET state = ?2, reason = ?3, worker = NULL, lease_until = NULL, updated_at = ?4,
             payload = CASE ?2 WHEN 'failed' THEN payload END
         WHERE n = ?1",
    )?
    .execute(params![job.n, state, reason, tx.now])?;
    originals::discard(tx, job.hash.as_str())?;
    tx.prepare_cached(
        "DELETE FROM jobs WHERE state IN ('done', 'failed') AND updated_at < ?1 AND payload IS NULL",
    )?
    .execute([tx.now - KEPT])?;
    Ok(())
}

fn lease_end(now: i64, seconds: u64) -> i64 {
    now.saturating_add(rows::signed(seconds).saturating_mul(1_000_000))
}

/// The oldest job that can be leased, and how often it was.
fn next(tx: &Transaction<'_>, now: i64) -> Result<Option<(i64, u32)>> {
    Ok(tx
        .prepare_cached(
            "SELECT n, attempts FROM jobs
             WHERE state IN ('queued', 'running') AND (state = 'queued' OR lease_until <= ?1)
             ORDER BY n LIMIT 1",
        )?
        .query_row([now], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

fn count(tx: &Transaction<'_>, state: &str) -> Result<u64> {
    let count: i64 = tx
        .prepare_cached("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running') AND state = ?1")?
        .query_row([state], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

const OPEN: &str = "SELECT n, document, content_hash, state, payload, worker, lease_until FROM jobs \
     WHERE state IN ('queued', 'running') AND";

fn open_by_id(tx: &Write<'_>, id: &str) -> Result<Option<Open>> {
    let mut statement = tx.prepare_cached(&format!("{OPEN} id = ?1"))?;
    let mut found = statement.query([id])?;
    found.next()?.map(open).transpose()
}

fn open_by_number(tx: &Write<'_>, n: i64) -> Result<Option<Open>> {
    let mut statement = tx.prepare_cached(&format!("{OPEN} n = ?1"))?;
    let mut found = statement.query([n])?;
    found.next()?.map(open).transpose()
}

fn open_of_document(tx: &Write<'_>, id: DocumentId) -> Result<Option<Open>> {
    let mut statement = tx.prepare_cached(&format!("{OPEN} document = ?1"))?;
    let mut found = statement.query([id.0.as_bytes()])?;
    found.next()?.map(open).transpose()
}

fn open(row: &Row<'_>) -> Result<Open> {
    Ok(Open {
        n: row.get(0)?,
        document: rows::document_id(row, 1)?,
        hash: ContentHash(row.get(2)?),
        state: row.get(3)?,
        payload: row.get(4)?,
        worker: row.get(5)?,
        lease_until: row.get(6)?,
    })
}

fn by_number(tx: &Write<'_>, n: i64) -> Result<Job> {
    let mut statement = tx.prepare_cached(&format!("SELECT {COLUMNS} FROM jobs j WHERE j.n = ?1"))?;
    let mut found = statement.query([n])?;
    let row = found.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    job(row)
}

fn job(row: &Row<'_>) -> Result<Job> {
    let state: String = row.get(3)?;
    let reason: Option<String> = row.get(4)?;
    Ok(Job {
        id: row.get(0)?,
        kind: JobKind::Ingest,
        document: rows::document_id(row, 1)?,
        content_hash: ContentHash(row.get(2)?),
        state: match state.as_str() {
            "queued" => JobState::Queued,
            "running" => JobState::Running,
            "done" => JobState::Done,
            _ => JobState::Failed { reason: reason.unwrap_or_default() },
        },
        attempts: row.get(5)?,
        created_at: rows::time(row.get(6)?)?,
        updated_at: rows::time(row.get(7)?)?,
    })
}
