//! Versions going live, and contents that could not be read.

use std::collections::BTreeSet;

use lore_core::{ChunkId, ContentHash, DocumentId, Parsed};
use rusqlite::{OptionalExtension as _, params};

use super::access::List;
use super::db::Write;
use super::types::{ChangeKind, Committed, NewDocument, NewVersion};
use super::{Catalog, access, changes, documents, originals, retry, rows, text, vectors};
use crate::error::{IndexError, Result};

/// Versions kept of a document, the live one included.
const KEPT_VERSIONS: u32 = 3;

/// The title of a document: the content's own, else the file name at the end of `name`.
///
/// This is [`Document::title`](lore_core::Document::title) of the live version, and what
/// [`NewChunk::embed_text`](lore_core::NewChunk::embed_text) was given for each chunk's text hash.
pub fn title_of(parsed: &Parsed, name: &str) -> String {
    parsed
        .title
        .as_deref()
        .map(str::trim)
        .filter(|title| !title.is_empty())
        .unwrap_or_else(|| rows::file_name(name))
        .to_owned()
}

/// A version with all that can be computed before the write lock is taken.
pub(super) struct Prepared<'a> {
    version: &'a NewVersion,
    title: String,
    structure: String,
    chunks: Vec<PreparedChunk>,
}

struct PreparedChunk {
    bytes: std::ops::Range<usize>,
    headings: String,
    text_hash: [u8; 32],
}

impl<'a> Prepared<'a> {
    /// Checks the version and computes what the transaction will write.
    ///
    /// # Errors
    /// `Invalid` where the document has no source or name, or a chunk leaves the text.
    pub(super) fn new(document: &NewDocument, version: &'a NewVersion) -> Result<Self> {
        check_document(document)?;
        let parsed = &version.parsed;
        let title = title_of(parsed, &document.name);
        let index = parsed.char_index();
        let mut chunks = Vec::with_capacity(version.chunks.len());
        for (ordinal, chunk) in version.chunks.iter().enumerate() {
            if chunk.span.start > chunk.span.end || chunk.span.end > index.chars() {
                return Err(IndexError::Invalid(format!(
                    "chunk {ordinal} of {} reaches from {} to {}, the text has {} characters",
                    document.name,
                    chunk.span.start,
                    chunk.span.end,
                    index.chars(),
                )));
            }
            let bytes =
                index.byte_of(&parsed.text, chunk.span.start)..index.byte_of(&parsed.text, chunk.span.end);
            let embedded = chunk.embed_text(&title, &parsed.text[bytes.clone()]);
            chunks.push(PreparedChunk {
                bytes,
                headings: rows::to_json(&chunk.headings)?,
                text_hash: rows::hash_bytes(&ContentHash::of(embedded.as_bytes()))?,
            });
        }
        Ok(Self { version, title, structure: text::structure(parsed)?, chunks })
    }
}

impl Catalog {
    /// Makes parsed content the live version in one transaction with its change number; the version before retires.
    ///
    /// Same content, pipeline and recipe: only meta and name are compared, and a `Meta` change recorded where they
    /// differ. An access list that was set by hand is kept, as [`AclChoice`](super::AclChoice) says. The last three versions are kept, older ones removed. Versions count on even after a deletion.
    ///
    /// # Errors
    /// `Invalid` where a chunk leaves the text or the document has no source or name; `DiskFull`.
    pub fn commit_version(&self, document: &NewDocument, version: &NewVersion) -> Result<Committed> {
        let prepared = Prepared::new(document, version)?;
        self.write(|tx| commit(tx, document, &prepared))
    }

    /// Puts the content of live version `number` in place again, cut anew; nothing but its text and chunks changes.
    ///
    /// `None` where another version is live by now, or the document has gone.
    ///
    /// # Errors
    /// As [`Catalog::commit_version`].
    pub fn recut(
        &self,
        document: &NewDocument,
        number: u32,
        version: &NewVersion,
    ) -> Result<Option<Committed>> {
        let prepared = Prepared::new(document, version)?;
        let id = DocumentId::from_source(&document.source);
        self.write(|tx| {
            let found: Option<(i64, String)> = tx
                .prepare_cached(
                    "SELECT pk, name FROM documents WHERE id = ?1 AND version = ?2 AND content_hash = ?3",
                )?
                .query_row(params![id.0.as_bytes(), number, version.content_hash.as_str()], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            let Some((pk, name)) = found else { return Ok(None) };
            if name != document.name {
                return Ok(None);
            }
            access::freeze(tx, pk)?;
            replace(tx, pk, id, document, &prepared).map(Some)
        })
    }

    /// Records why a document's newest content could not be read; a version that was live stays live.
    ///
    /// What is known of the document is brought up to date all the same. Its access list only gets narrower: it was
    /// made for the content that could not be read, and the version that stays may be for fewer eyes. `attempt` names
    /// what tried, for [`Catalog::failed_before`].
    pub fn commit_failure(
        &self,
        document: &NewDocument,
        hash: Option<&ContentHash>,
        reason: &str,
        attempt: &str,
    ) -> Result<DocumentId> {
        check_document(document)?;
        let id = DocumentId::from_source(&document.source);
        self.write(|tx| {
            narrow(tx, id, document)?;
            fail(tx, id, hash, reason, Some(attempt))?;
            if let Some(hash) = hash {
                originals::unpin(tx, hash)?;
            }
            Ok(id)
        })
    }

    /// Brings what is known of a document up to date whose newest content could not be read before, as
    /// [`Catalog::commit_failure`] does.
    pub fn refresh_failed(&self, document: &NewDocument) -> Result<DocumentId> {
        check_document(document)?;
        let id = DocumentId::from_source(&document.source);
        self.write(|tx| match access::list(tx, id)? {
            Some(_) => narrow(tx, id, document),
            // Deleted meanwhile.
            None => Ok(()),
        })?;
        Ok(id)
    }
}

/// Registers a document whose newest content cannot be read, or brings what is known of it up to date, its access list
/// only ever narrower.
fn narrow(tx: &Write<'_>, id: DocumentId, document: &NewDocument) -> Result<()> {
    let before = access::list(tx, id)?;
    documents::register(tx, id, document)?;
    let Some(before) = before else { return Ok(()) };
    if !is_live(tx, id)? {
        return Ok(());
    }
    let mut list = List::next(Some(before.clone()), &document.meta.acl, &document.acl);
    list.acl = list.acl.narrowed(&before.acl);
    if documents::update_meta(tx, id, None, &document.meta, &list)? {
        changes::record(tx, id, ChangeKind::Meta)?;
    }
    Ok(())
}

pub(super) fn check_document(document: &NewDocument) -> Result<()> {
    if document.source.is_empty() || document.name.is_empty() {
        return Err(IndexError::Invalid(format!(
            "a document needs a source and a name (source {:?}, name {:?})",
            document.source, document.name
        )));
    }
    Ok(())
}

/// Shows on a document why its newest content could not be read.
pub(super) fn fail(
    tx: &Write<'_>,
    id: DocumentId,
    hash: Option<&ContentHash>,
    reason: &str,
    attempt: Option<&str>,
) -> Result<()> {
    let before = failed_hash(tx, id)?;
    retry::forget_payloads(tx, id)?;
    tx.prepare_cached(
        "UPDATE documents SET state = 'failed', reason = ?2, failed_hash = ?3, failed_by = ?4, updated_at = ?5
         WHERE id = ?1",
    )?
    .execute(params![id.0.as_bytes(), reason, hash.map(ContentHash::as_str), attempt, tx.now])?;
    if let Some(before) = before {
        originals::discard(tx, &before)?;
    }
    Ok(())
}

fn is_live(tx: &Write<'_>, id: DocumentId) -> Result<bool> {
    Ok(tx
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM documents WHERE id = ?1 AND version > 0)")?
        .query_row([id.0.as_bytes()], |row| row.get(0))?)
}

pub(super) fn failed_hash(tx: &Write<'_>, id: DocumentId) -> Result<Option<String>> {
    Ok(tx
        .prepare_cached("SELECT failed_hash FROM documents WHERE id = ?1")?
        .query_row([id.0.as_bytes()], |row| row.get(0))
        .optional()?
        .flatten())
}

/// Makes a prepared version live.
pub(super) fn commit(tx: &Write<'_>, document: &NewDocument, prepared: &Prepared<'_>) -> Result<Committed> {
    let id = DocumentId::from_source(&document.source);
    let version = prepared.version;
    let list = List::next(access::list(tx, id)?, &document.meta.acl, &document.acl);
    documents::register(tx, id, document)?;
    let failed = failed_hash(tx, id)?;
    let (pk, live, same_content): (i64, u32, bool) = tx
        .prepare_cached(
            "SELECT pk, version,
                 version > 0 AND content_hash = ?2 AND pipeline >= ?3 AND format = ?4 AND title = ?5
                     AND recipe = ?6
             FROM documents WHERE id = ?1",
        )?
        .query_row(
            params![
                id.0.as_bytes(),
                version.content_hash.as_str(),
                version.pipeline,
                rows::format_name(document.format),
                prepared.title,
                version.recipe,
            ],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
    let committed = if same_content {
        let differs = documents::update_meta(tx, id, Some(&document.name), &document.meta, &list)?;
        let seq = if differs { Some(changes::record(tx, id, ChangeKind::Meta)?) } else { None };
        Committed { document: id, version: live, seq, kept_acl: list.is_kept() }
    } else {
        access::freeze(tx, pk)?;
        documents::update_meta(tx, id, Some(&document.name), &document.meta, &list)?;
        Committed { kept_acl: list.is_kept(), ..replace(tx, pk, id, document, prepared)? }
    };
    tx.prepare_cached(
        "UPDATE documents SET state = 'live', reason = NULL, failed_hash = NULL, failed_by = NULL, updated_at = ?2
         WHERE id = ?1 AND (state <> 'live' OR failed_hash IS NOT NULL)",
    )?
    .execute(params![id.0.as_bytes(), tx.now])?;
    if let Some(failed) = failed {
        originals::discard(tx, &failed)?;
    }
    retry::forget_payloads(tx, id)?;
    // Where the content was known already, its own reference keeps it; the pin alone must not.
    originals::unpin(tx, &version.content_hash)?;
    Ok(committed)
}

/// Puts a prepared version in place of the live one, under the next number.
fn replace(
    tx: &Write<'_>,
    pk: i64,
    id: DocumentId,
    document: &NewDocument,
    prepared: &Prepared<'_>,
) -> Result<Committed> {
    let number = changes::next_version(tx, id)?;
    let seq = changes::record(tx, id, ChangeKind::Version(number))?;
    insert_text(tx, pk, number, prepared)?;
    replace_chunks(tx, pk, id, number, prepared)?;
    go_live(tx, pk, number, document, prepared)?;
    retire(tx, pk)?;
    Ok(Committed { document: id, version: number, seq: Some(seq), kept_acl: false })
}

fn insert_text(tx: &Write<'_>, pk: i64, number: u32, prepared: &Prepared<'_>) -> Result<()> {
    let version = prepared.version;
    tx.prepare_cached(
        "INSERT INTO versions (document, version, content_hash, size, pipeline, created_at, title, language,
             text_bytes, structure, text)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        pk,
        number,
        version.content_hash.as_str(),
        rows::signed(version.size),
        version.pipeline,
        tx.now,
        version.parsed.title,
        version.parsed.language,
        rows::signed(version.parsed.text.len() as u64),
        prepared.structure,
        version.parsed.text,
    ])?;
    Ok(())
}

fn replace_chunks(
    tx: &Write<'_>,
    pk: i64,
    id: DocumentId,
    number: u32,
    prepared: &Prepared<'_>,
) -> Result<()> {
    let before = chunk_hashes(tx, pk)?;
    tx.prepare_cached("DELETE FROM chunks WHERE document = ?1")?.execute([pk])?;
    let mut insert = tx.prepare_cached(
        "INSERT INTO chunks (id, document, version, ordinal, char_start, char_end, byte_start, byte_end,
             first_page, last_page, headings, context, text_hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    for (ordinal, (chunk, prepared)) in prepared.version.chunks.iter().zip(&prepared.chunks).enumerate() {
        let ordinal = ordinal as u32;
        insert.execute(params![
            ChunkId::new(id, number, ordinal).0.as_bytes(),
            pk,
            number,
            ordinal,
            rows::signed(chunk.span.start as u64),
            rows::signed(chunk.span.end as u64),
            rows::signed(prepared.bytes.start as u64),
            rows::signed(prepared.bytes.end as u64),
            chunk.pages.map(|pages| pages.first),
            chunk.pages.map(|pages| pages.last),
            prepared.headings,
            chunk.context,
            prepared.text_hash,
        ])?;
    }
    let after: BTreeSet<&[u8; 32]> = prepared.chunks.iter().map(|chunk| &chunk.text_hash).collect();
    for hash in before.iter().filter(|hash| !after.contains(hash)) {
        vectors::forget_unused(tx, hash)?;
    }
    Ok(())
}

/// The hashes of the embedded texts of a document's chunks.
pub(super) fn chunk_hashes(tx: &Write<'_>, pk: i64) -> Result<Vec<[u8; 32]>> {
    Ok(tx
        .prepare_cached("SELECT DISTINCT text_hash FROM chunks WHERE document = ?1")?
        .query_map([pk], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?)
}

fn go_live(
    tx: &Write<'_>,
    pk: i64,
    number: u32,
    document: &NewDocument,
    prepared: &Prepared<'_>,
) -> Result<()> {
    let version = prepared.version;
    let pages = version.parsed.pages.len() as u32;
    tx.prepare_cached(
        "UPDATE documents SET title = ?2, search = ?3, format = ?4, language = ?5, version = ?6,
             content_hash = ?7, size = ?8, pipeline = ?9, pages = ?10, chunks = ?11, recipe = ?12, updated_at = ?13
         WHERE pk = ?1",
    )?
    .execute(params![
        pk,
        prepared.title,
        rows::search_text(&document.name, &prepared.title),
        rows::format_name(document.format),
        version.parsed.language,
        number,
        version.content_hash.as_str(),
        rows::signed(version.size),
        version.pipeline,
        (pages > 0).then_some(pages),
        version.chunks.len() as u32,
        version.recipe,
        tx.now,
    ])?;
    Ok(())
}

/// Removes versions beyond those that are kept.
fn retire(tx: &Write<'_>, pk: i64) -> Result<()> {
    let old: Vec<(i64, String)> = tx
        .prepare_cached(
            "SELECT pk, content_hash FROM versions WHERE document = ?1 ORDER BY version DESC LIMIT -1 OFFSET ?2",
        )?
        .query_map(params![pk, KEPT_VERSIONS], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (version, hash) in old {
        tx.prepare_cached("DELETE FROM versions WHERE pk = ?1")?.execute([version])?;
        originals::discard(tx, &hash)?;
    }
    Ok(())
}
