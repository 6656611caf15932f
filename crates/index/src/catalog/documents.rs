//! Documents: registering, meta, deletion.

use lore_core::{Acl, Document, DocumentId, DocumentMeta, Seq};
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::access::List;
use super::db::Write;
use super::types::{ChangeKind, Committed, MetaChange, NewDocument};
use super::{
    Catalog, access, changes, commit, conversations, deleted, jobs, originals, retry, rows, vectors,
};
use crate::error::Result;

impl Catalog {
    /// A document.
    pub fn document(&self, id: DocumentId) -> Result<Option<Document>> {
        self.read(|tx| by_id(tx, id))
    }

    /// Counts: documents live, chunks live.
    pub fn counts(&self) -> Result<(u64, u64)> {
        self.read(|tx| {
            let (documents, chunks): (i64, i64) = tx
                .prepare_cached("SELECT count(*), coalesce(sum(chunks), 0) FROM documents WHERE version > 0")?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok((documents.unsigned_abs(), chunks.unsigned_abs()))
        })
    }

    /// Ids of all live documents, ascending, for a rebuild or a check.
    pub fn live_documents(&self) -> Result<Vec<DocumentId>> {
        self.read(|tx| {
            let mut statement =
                tx.prepare_cached("SELECT id FROM documents WHERE version > 0 ORDER BY id")?;
            let mut found = statement.query([])?;
            let mut out = Vec::new();
            while let Some(row) = found.next()? {
                out.push(rows::document_id(row, 0)?);
            }
            Ok(out)
        })
    }

    /// Changes what is known of a document; gives it as it is then, with the change's number where anything differs.
    ///
    /// In one transaction, and for what is given alone, so that two changes at once both hold. Content that waits for the
    /// worker will go live with what is given here, and with what its upload said of the rest.
    pub fn change_meta(
        &self,
        id: DocumentId,
        change: &MetaChange,
    ) -> Result<Option<(Document, Option<Seq>)>> {
        self.write(|tx| {
            let (Some(document), Some(list)) = (by_id(tx, id)?, access::list(tx, id)?) else {
                return Ok(None);
            };
            jobs::change_waiting(tx, id, change)?;
            let next = match &change.acl {
                Some(acl) => List { acl: acl.clone(), by_hand: true, ..list },
                None => list,
            };
            let mut meta = document.meta;
            change.apply(&mut meta);
            let seq = match update_meta(tx, id, None, &meta, &next)? {
                true => Some(changes::record(tx, id, ChangeKind::Meta)?),
                false => None,
            };
            Ok(by_id(tx, id)?.map(|document| (document, seq)))
        })
    }

    /// Brings what is known of a document whose content is unchanged up to what its source says now.
    ///
    /// An access list that was set by hand is kept, as [`AclChoice::Keep`](super::AclChoice::Keep) says; `None` where
    /// there is no such document.
    pub fn refresh_meta(&self, document: &NewDocument) -> Result<Option<Committed>> {
        let id = DocumentId::from_source(&document.source);
        // Most runs change nothing and must not wait for the write lock.
        let unchanged = self.read(|tx| {
            let (Some(known), Some(list)) = (by_id(tx, id)?, access::list(tx, id)?) else { return Ok(None) };
            let next = List::next(Some(list.clone()), &document.meta.acl, &document.acl);
            let same = list == next && same_labels(&known.meta, &document.meta);
            Ok(same.then(|| Committed {
                document: id,
                version: known.version,
                seq: None,
                kept_acl: next.is_kept(),
            }))
        })?;
        if unchanged.is_some() {
            return Ok(unchanged);
        }
        self.write(|tx| {
            let Some(known) = by_id(tx, id)? else { return Ok(None) };
            let next = List::next(access::list(tx, id)?, &document.meta.acl, &document.acl);
            let seq = match update_meta(tx, id, None, &document.meta, &next)? {
                true => Some(changes::record(tx, id, ChangeKind::Meta)?),
                false => None,
            };
            Ok(Some(Committed { document: id, version: known.version, seq, kept_acl: next.is_kept() }))
        })
    }

    /// Deletes a document with all its versions; `None` where there is none. From the return on nothing answers from it.
    ///
    /// Its texts, chunks and vectors go in the same transaction, its originals right after, except what other documents
    /// share. Its open job ends as failed. [`Catalog::delete_for`] leaves a time to bring it back.
    pub fn delete(&self, id: DocumentId) -> Result<Option<Seq>> {
        let seq = self.write(|tx| {
            let found: Option<(i64, Option<String>)> = tx
                .prepare_cached("SELECT pk, failed_hash FROM documents WHERE id = ?1")?
                .query_row([id.0.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((pk, failed)) = found else { return Ok(None) };
            let texts = commit::chunk_hashes(tx, pk)?;
            let mut hashes: Vec<String> = tx
                .prepare_cached("SELECT DISTINCT content_hash FROM versions WHERE document = ?1")?
                .query_map([pk], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            hashes.extend(failed);
            jobs::end_for_deleted(tx, id)?;
            retry::forget_payloads(tx, id)?;
            conversations::forget_document(tx, id)?;
            // Versions and chunks go with their document (ON DELETE CASCADE).
            tx.prepare_cached("DELETE FROM documents WHERE pk = ?1")?.execute([pk])?;
            for text in &texts {
                vectors::forget_unused(tx, text)?;
            }
            for hash in &hashes {
                originals::discard(tx, hash)?;
            }
            changes::record(tx, id, ChangeKind::Deleted).map(Some)
        })?;
        if seq.is_some() {
            self.forget_texts(id);
        }
        Ok(seq)
    }
}

impl MetaChange {
    /// Writes what is given, the access list aside.
    pub(super) fn apply(&self, meta: &mut DocumentMeta) {
        if let Some(tags) = &self.tags {
            meta.tags.clone_from(tags);
        }
        if let Some(date) = self.date {
            meta.date = date;
        }
        if let Some(name) = &self.superseded_by {
            meta.superseded_by.clone_from(name);
        }
    }
}

/// The document with this id.
pub(super) fn by_id(tx: &Transaction<'_>, id: DocumentId) -> Result<Option<Document>> {
    let mut statement =
        tx.prepare_cached(&format!("SELECT {} FROM documents d WHERE d.id = ?1", rows::DOCUMENT))?;
    let mut found = statement.query([id.0.as_bytes()])?;
    found.next()?.map(|row| rows::document(row, 0)).transpose()
}

/// Whether tags, date and successor are the same.
fn same_labels(one: &DocumentMeta, other: &DocumentMeta) -> bool {
    let labels = |meta: &DocumentMeta| DocumentMeta { acl: Acl::default(), ..meta.clone() };
    labels(one) == labels(other)
}

/// Makes the row of a document that is not there yet; an existing row without a live version takes name, format and meta.
///
/// What was deleted under this id cannot be brought back from then on, and is removed.
pub(super) fn register(tx: &Write<'_>, id: DocumentId, document: &NewDocument) -> Result<()> {
    deleted::remove(tx, id)?;
    let title = rows::file_name(&document.name);
    let list = List::next(access::list(tx, id)?, &document.meta.acl, &document.acl);
    tx.prepare_cached(
        "INSERT INTO documents (id, source, name, title, search, format, tags, acl, date, superseded_by,
             version, size, pipeline, chunks, state, created_at, updated_at, acl_by_hand, acl_source)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, 0, 0, 0, 'pending', ?11, ?11, ?12, ?13)
         ON CONFLICT (id) DO UPDATE SET
             name = excluded.name, title = excluded.title, search = excluded.search, format = excluded.format,
             tags = excluded.tags, acl = excluded.acl, date = excluded.date,
             superseded_by = excluded.superseded_by, acl_by_hand = excluded.acl_by_hand,
             acl_source = excluded.acl_source
         WHERE version = 0",
    )?
    .execute(params![
        id.0.as_bytes(),
        document.source,
        document.name,
        title,
        rows::search_text(&document.name, title),
        rows::format_name(document.format),
        rows::to_json(&document.meta.tags)?,
        rows::to_json(&list.acl)?,
        document.meta.date.map(|date| date.to_string()),
        document.meta.superseded_by,
        tx.now,
        list.by_hand,
        rows::to_json(&list.source)?,
    ])?;
    Ok(())
}

/// Writes tags, date and successor of `meta`, the access list `list`, and the name where one is given; says whether
/// anything differed that a reader or an index can tell.
pub(super) fn update_meta(
    tx: &Write<'_>,
    id: DocumentId,
    name: Option<&str>,
    meta: &DocumentMeta,
    list: &List,
) -> Result<bool> {
    let other_list = access::set_list(tx, id, list)?;
    let found: Option<(String, String, Result<DocumentMeta>)> = tx
        .prepare_cached(
            "SELECT d.name, d.title, d.tags, d.acl, d.date, d.superseded_by FROM documents d WHERE d.id = ?1",
        )?
        .query_row([id.0.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, rows::meta(row, 2))))
        .optional()?;
    let Some((old_name, title, old)) = found else { return Ok(false) };
    let name = name.unwrap_or(&old_name);
    if !other_list && same_labels(&old?, meta) && name == old_name {
        return Ok(false);
    }
    tx.prepare_cached(
        "UPDATE documents SET name = ?2, search = ?3, tags = ?4, date = ?5, superseded_by = ?6, updated_at = ?7
         WHERE id = ?1",
    )?
    .execute(params![
        id.0.as_bytes(),
        name,
        rows::search_text(name, &title),
        rows::to_json(&meta.tags)?,
        meta.date.map(|date| date.to_string()),
        meta.superseded_by,
        tx.now,
    ])?;
    Ok(true)
}
