//! Who may read a document: what its source says, what a person set, and what held for its older versions.

use std::collections::BTreeSet;

use lore_core::{Access, Acl, ContentHash, Document, DocumentId};
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::db::Write;
use super::types::{AclChoice, KeptVersion};
use super::{Catalog, documents, rows};
use crate::error::Result;

/// A document's access list and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct List {
    /// The list in force.
    pub(super) acl: Acl,
    /// Whether a person set it.
    pub(super) by_hand: bool,
    /// What the source said last.
    pub(super) source: Acl,
}

impl List {
    /// The list in force once the source gives `source` and a person wants `choice`, after `before`.
    pub(super) fn next(before: Option<Self>, source: &Acl, choice: &AclChoice) -> Self {
        let of_source = || Self { acl: source.clone(), by_hand: false, source: source.clone() };
        match (choice, before) {
            (AclChoice::Set(wanted), _) => {
                Self { acl: source.narrowed(wanted), by_hand: true, source: source.clone() }
            }
            (AclChoice::Keep, Some(before)) if before.by_hand => {
                // What a person widened on purpose stays wide, unless the source tells something new.
                let acl = if before.source == *source { before.acl } else { source.narrowed(&before.acl) };
                Self { acl, by_hand: true, source: source.clone() }
            }
            _ => of_source(),
        }
    }

    /// Whether a person's list holds in place of another that the source gives.
    pub(super) fn is_kept(&self) -> bool {
        self.by_hand && self.acl != self.source
    }
}

/// A document's access list, if there is the document.
pub(super) fn list(tx: &Transaction<'_>, id: DocumentId) -> Result<Option<List>> {
    let found: Option<(String, bool, String)> = tx
        .prepare_cached("SELECT acl, acl_by_hand, acl_source FROM documents WHERE id = ?1")?
        .query_row([id.0.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((acl, by_hand, source)) = found else { return Ok(None) };
    Ok(Some(List { acl: rows::from_json(&acl)?, by_hand, source: rows::from_json(&source)? }))
}

/// Writes a document's access list; says whether the list in force is another than before.
pub(super) fn set_list(tx: &Write<'_>, id: DocumentId, next: &List) -> Result<bool> {
    let Some(before) = list(tx, id)? else { return Ok(false) };
    if before == *next {
        return Ok(false);
    }
    tx.prepare_cached("UPDATE documents SET acl = ?2, acl_by_hand = ?3, acl_source = ?4 WHERE id = ?1")?
        .execute(params![
            id.0.as_bytes(),
            rows::to_json(&next.acl)?,
            next.by_hand,
            rows::to_json(&next.source)?,
        ])?;
    Ok(before.acl != next.acl)
}

/// Writes the list in force to the live version, which is about to be replaced: only who may read it now may read it later.
pub(super) fn freeze(tx: &Write<'_>, pk: i64) -> Result<()> {
    tx.prepare_cached(
        "UPDATE versions SET acl = (SELECT acl FROM documents WHERE pk = ?1)
         WHERE document = ?1 AND version = (SELECT version FROM documents WHERE pk = ?1)",
    )?
    .execute([pk])?;
    Ok(())
}

impl Catalog {
    /// Versions kept of a document that `access` may read, oldest first; whether it may read the document at all is
    /// another question.
    ///
    /// A replaced version stays closed to whoever could not read it when it was replaced.
    pub fn versions(&self, id: DocumentId, access: &Access) -> Result<Vec<KeptVersion>> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT v.version, v.content_hash, v.size, v.created_at, v.version = d.version, v.acl
                 FROM documents d JOIN versions v ON v.document = d.pk
                 WHERE d.id = ?1 ORDER BY v.version",
            )?;
            let mut found = statement.query([id.0.as_bytes()])?;
            let mut out = Vec::new();
            while let Some(row) = found.next()? {
                let acl: Option<String> = row.get(5)?;
                if row.get(4)? || allows_replaced(access, acl.as_deref())? {
                    out.push(KeptVersion {
                        version: row.get(0)?,
                        content_hash: ContentHash(row.get(1)?),
                        size: rows::unsigned(row, 2)?,
                        created_at: rows::time(row.get(3)?)?,
                    });
                }
            }
            Ok(out)
        })
    }

    /// A document and the number and hash of one of its versions (the live one by default), where `access` may read both.
    ///
    /// The hash is `None` where no version is live yet.
    pub fn readable_version(
        &self,
        id: DocumentId,
        version: Option<u32>,
        access: &Access,
    ) -> Result<Option<(Document, u32, Option<ContentHash>)>> {
        self.read(|tx| {
            let document = documents::by_id(tx, id)?;
            let Some(document) = document.filter(|document| access.allows(&document.meta.acl)) else {
                return Ok(None);
            };
            let version = version.unwrap_or(document.version);
            if version == document.version {
                let hash = document.content_hash.clone();
                return Ok(Some((document, version, hash)));
            }
            let found: Option<(String, Option<String>)> = tx
                .prepare_cached(
                    "SELECT v.content_hash, v.acl FROM documents d JOIN versions v ON v.document = d.pk
                     WHERE d.id = ?1 AND v.version = ?2",
                )?
                .query_row(params![id.0.as_bytes(), version], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            Ok(match found {
                Some((hash, acl)) if allows_replaced(access, acl.as_deref())? => {
                    Some((document, version, Some(ContentHash(hash))))
                }
                _ => None,
            })
        })
    }

    /// Those of `names` that are names of documents which `access` may read.
    pub fn readable_names(&self, names: &BTreeSet<String>, access: &Access) -> Result<BTreeSet<String>> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached("SELECT acl FROM documents WHERE name = ?1")?;
            let mut out = BTreeSet::new();
            for name in names {
                let mut found = statement.query([name])?;
                while let Some(row) = found.next()? {
                    let acl: String = row.get(0)?;
                    if access.allows(&rows::from_json(&acl)?) {
                        out.insert(name.clone());
                    }
                }
            }
            Ok(out)
        })
    }

    /// Those of `ids` that are documents which `access` may read.
    pub fn readable_documents(
        &self,
        ids: &BTreeSet<DocumentId>,
        access: &Access,
    ) -> Result<BTreeSet<DocumentId>> {
        self.read(|tx| {
            let mut out = BTreeSet::new();
            for id in ids {
                if list(tx, *id)?.is_some_and(|list| access.allows(&list.acl)) {
                    out.insert(*id);
                }
            }
            Ok(out)
        })
    }
}

/// Whether a replaced version whose list was `acl` may be read; where the list is not known, only who may read everything.
pub(super) fn allows_replaced(access: &Access, acl: Option<&str>) -> Result<bool> {
    Ok(match acl {
        Some(acl) => access.allows(&rows::from_json(acl)?),
        None => *access == Access::All,
    })
}
