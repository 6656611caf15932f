//! The numbered changes that the indexes follow, and how far each of them is.

use lore_core::{ContentHash, DocumentId, Seq};
use rusqlite::{OptionalExtension as _, params};

use super::db::Write;
use super::types::{Change, ChangeKind};
use super::{Catalog, rows};
use crate::error::{IndexError, Result};
use crate::mark::Mark;

impl Catalog {
    /// Changes after `seq`, oldest first.
    pub fn changes_after(&self, seq: Seq, limit: usize) -> Result<Vec<Change>> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT seq, document, kind, version FROM changes WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            )?;
            let mut found = statement.query(params![rows::signed(seq.0), rows::signed(limit as u64)])?;
            let mut out = Vec::new();
            while let Some(row) = found.next()? {
                let kind: String = row.get(2)?;
                out.push(Change {
                    seq: Seq(rows::unsigned(row, 0)?),
                    document: rows::document_id(row, 1)?,
                    kind: match kind.as_str() {
                        "version" => ChangeKind::Version(row.get(3)?),
                        "meta" => ChangeKind::Meta,
                        "deleted" => ChangeKind::Deleted,
                        other => return Err(IndexError::Damaged(format!("{other:?} is no kind of change"))),
                    },
                });
            }
            Ok(out)
        })
    }

    /// The newest change.
    pub fn last_seq(&self) -> Result<Seq> {
        self.read(|tx| {
            let seq: Option<i64> =
                tx.prepare_cached("SELECT max(seq) FROM changes")?.query_row([], |row| row.get(0))?;
            Ok(Seq(seq.unwrap_or(0).unsigned_abs()))
        })
    }

    /// Change `seq` with what tells it from the change of that number in another history of this catalog.
    pub fn mark(&self, seq: Seq) -> Result<Mark> {
        self.read(|tx| {
            let row: Option<(Vec<u8>, String, i64, i64)> = tx
                .prepare_cached("SELECT document, kind, version, at FROM changes WHERE seq = ?1")?
                .query_row([rows::signed(seq.0)], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })
                .optional()?;
            let digest = row.map(|row| ContentHash::of(format!("{row:?}").as_bytes()));
            let change = digest.and_then(|hash| u64::from_str_radix(&hash.as_str()[..16], 16).ok());
            Ok(Mark { seq, change: change.unwrap_or(0) })
        })
    }

    /// The last change of `document`; 0 where it never was.
    pub fn last_change(&self, document: DocumentId) -> Result<Seq> {
        self.read(|tx| {
            let seq: Option<i64> = tx
                .prepare_cached("SELECT max(seq) FROM changes WHERE document = ?1")?
                .query_row([document.0.as_bytes()], |row| row.get(0))?;
            Ok(Seq(seq.unwrap_or(0).unsigned_abs()))
        })
    }

    /// The data folder's own id, made with the catalog.
    pub fn folder_id(&self) -> Result<String> {
        self.read(|tx| Ok(tx.query_row("SELECT id FROM folder", [], |row| row.get(0))?))
    }

    /// A named checkpoint (such as `vectors:<embedder>`): the last change an index holds.
    pub fn checkpoint(&self, name: &str) -> Result<Seq> {
        self.read(|tx| {
            let seq: Option<i64> = tx
                .prepare_cached("SELECT seq FROM checkpoints WHERE name = ?1")?
                .query_row([name], |row| row.get(0))
                .optional()?;
            Ok(Seq(seq.unwrap_or(0).unsigned_abs()))
        })
    }

    /// Moves a checkpoint.
    ///
    /// The machine losing power may take it back to an earlier one, so applying a change twice must do no harm.
    pub fn set_checkpoint(&self, name: &str, seq: Seq) -> Result<()> {
        self.write_soon(|tx| {
            tx.prepare_cached(
                "INSERT INTO checkpoints (name, seq) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET seq = excluded.seq",
            )?
            .execute(params![name, rows::signed(seq.0)])?;
            Ok(())
        })
    }
}

/// Records a change to `document` in the transaction that makes it.
pub(super) fn record(tx: &Write<'_>, document: DocumentId, kind: ChangeKind) -> Result<Seq> {
    let (name, version) = match kind {
        ChangeKind::Version(version) => ("version", version),
        ChangeKind::Meta => ("meta", 0),
        ChangeKind::Deleted => ("deleted", 0),
    };
    tx.prepare_cached("INSERT INTO changes (document, kind, version, at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![document.0.as_bytes(), name, version, tx.now])?;
    Ok(Seq(tx.last_insert_rowid().unsigned_abs()))
}

/// The number for the next version of `document`: never one that it had before, not even before a deletion.
pub(super) fn next_version(tx: &Write<'_>, document: DocumentId) -> Result<u32> {
    let last: Option<u32> = tx
        .prepare_cached("SELECT max(version) FROM changes WHERE document = ?1")?
        .query_row([document.0.as_bytes()], |row| row.get(0))?;
    Ok(last.unwrap_or(0) + 1)
}
