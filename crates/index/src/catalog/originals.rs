//! Originals: files in `originals/ab/<hash>`, removed when nothing refers to them any more.
//!
//! An original is stored before the catalog refers to it, while another process may be deleting the last document that
//! had the same content. So storing pins the hash first; a commit, a failure or a job takes the pin away as it refers to
//! the hash. Deletion puts hashes on the list `garbage` in its own transaction, and the files go in a second one, under
//! the write lock, when neither a reference nor a pin is there; killed in between, the next sweep does it.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use lore_core::ContentHash;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::Catalog;
use super::db::{Durability, Write};
use super::rows;
use crate::error::{IndexError, Result};

/// How long a stored original may wait to be referred to, in microseconds.
const PIN: i64 = 3_600 * 1_000_000;
/// Files removed per sweep; what is left over goes with the next.
const SWEEP: u32 = 4_096;

impl Catalog {
    /// Stores an original under its hash: written to a temporary name, synced, renamed. Storing it again is free.
    ///
    /// # Errors
    /// `DiskFull`, `Io`.
    pub fn store_original(&self, bytes: &[u8]) -> Result<ContentHash> {
        let hash = ContentHash::of(bytes);
        self.write_soon(|tx| {
            tx.prepare_cached("DELETE FROM pins WHERE until < ?1")?.execute([tx.now])?;
            pin(tx, &hash)
        })?;
        let path = self.original_path(&hash);
        match std::fs::metadata(&path) {
            Ok(found) if found.len() == bytes.len() as u64 => return Ok(hash),
            _ => {}
        }
        let originals = self.originals();
        let folder = path.parent().unwrap_or(&originals);
        if !folder.is_dir() {
            std::fs::create_dir_all(folder).map_err(|error| IndexError::io(folder, error))?;
            sync_folder(&originals)?;
        }
        let temporary = folder.join(format!(".{}.tmp", uuid::Uuid::now_v7().simple()));
        let written = write_synced(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, &path));
        if let Err(error) = written {
            // The cause is what matters; a temporary file that stays behind is removed by `vacuum`.
            let _ = std::fs::remove_file(&temporary);
            return Err(IndexError::io(&path, error));
        }
        sync_folder(folder)?;
        Ok(hash)
    }

    /// An original, if it is stored.
    ///
    /// # Errors
    /// `Damaged` where the file's content is not what its name says.
    pub fn original(&self, hash: &ContentHash) -> Result<Option<Vec<u8>>> {
        let path = self.original_path(hash);
        match std::fs::read(&path) {
            Ok(bytes) if ContentHash::of(&bytes) == *hash => Ok(Some(bytes)),
            Ok(_) => Err(IndexError::Damaged(format!("{} has another content", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(IndexError::io(&path, error)),
        }
    }

    /// Path of a stored original, for streaming.
    ///
    /// Something that is no hash has a path too, under which nothing is ever stored; so no input leads out of the folder.
    pub fn original_path(&self, hash: &ContentHash) -> PathBuf {
        let is_hash = hash.as_str().len() == 64
            && hash.as_str().bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let name = if is_hash { hash.as_str() } else { "none" };
        self.originals().join(&name[..2]).join(name)
    }

    pub(super) fn originals(&self) -> PathBuf {
        self.inner.folder.join("originals")
    }

    pub(super) fn has_garbage(&self) -> Result<bool> {
        self.read(|tx| Ok(tx.query_row("SELECT EXISTS (SELECT 1 FROM garbage)", [], |row| row.get(0))?))
    }

    /// Removes the files of originals that nothing refers to any more; gives how many went.
    pub(super) fn sweep(&self) -> Result<u64> {
        self.inner.db.write(Durability::Soon, |transaction| {
            let now = rows::now();
            let mut removed = 0;
            let hashes: Vec<String> = transaction
                .prepare_cached("SELECT hash FROM garbage LIMIT ?1")?
                .query_map([SWEEP], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            for hash in hashes {
                if !is_referenced(transaction, &hash)? {
                    if is_pinned(transaction, &hash, now)? {
                        continue;
                    }
                    let path = self.original_path(&ContentHash(hash.clone()));
                    match std::fs::remove_file(&path) {
                        Ok(()) => removed += 1,
                        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                        Err(error) => return Err(IndexError::io(&path, error)),
                    }
                }
                transaction.prepare_cached("DELETE FROM garbage WHERE hash = ?1")?.execute([&hash])?;
            }
            Ok(removed)
        })
    }

    /// Sweeps; a failure is logged only, because the change that came before is done and the next sweep tries again.
    pub(super) fn sweep_or_warn(&self) {
        if let Err(error) = self.sweep() {
            tracing::warn!(%error, "originals of deleted content could not be removed yet");
        }
    }
}

/// Holds an original until the transaction refers to it, as storing it would.
pub(super) fn pin(tx: &Write<'_>, hash: &ContentHash) -> Result<()> {
    tx.prepare_cached("INSERT INTO pins (hash, until) VALUES (?1, ?2)")?
        .execute(params![hash.as_str(), tx.now + PIN])?;
    Ok(())
}

/// Takes one pin of `hash` away, because the transaction refers to it.
pub(super) fn unpin(tx: &Write<'_>, hash: &ContentHash) -> Result<()> {
    tx.prepare_cached("DELETE FROM pins WHERE n = (SELECT min(n) FROM pins WHERE hash = ?1)")?
        .execute([hash.as_str()])?;
    Ok(())
}

/// Puts an original on the list of those to be removed, unless something still refers to it.
///
/// Called after the reference is gone in the same transaction.
pub(super) fn discard(tx: &Write<'_>, hash: &str) -> Result<()> {
    if !is_referenced(tx, hash)? {
        tx.prepare_cached("INSERT OR IGNORE INTO garbage (hash) VALUES (?1)")?.execute([hash])?;
        tx.sweep.set(true);
    }
    Ok(())
}

pub(super) fn is_referenced(tx: &Transaction<'_>, hash: &str) -> Result<bool> {
    Ok(tx
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM versions WHERE content_hash = ?1)
                 OR EXISTS (SELECT 1 FROM jobs WHERE content_hash = ?1 AND state IN ('queued', 'running'))
                 OR EXISTS (SELECT 1 FROM documents WHERE failed_hash = ?1)
                 OR EXISTS (SELECT 1 FROM deleted_versions WHERE content_hash = ?1)
                 OR EXISTS (SELECT 1 FROM deleted_documents WHERE failed_hash = ?1)
                 OR EXISTS (SELECT 1 FROM deleted WHERE job_hash = ?1)",
        )?
        .query_row([hash], |row| row.get(0))?)
}

pub(super) fn is_pinned(tx: &Transaction<'_>, hash: &str, now: i64) -> Result<bool> {
    let until: Option<i64> = tx
        .prepare_cached("SELECT max(until) FROM pins WHERE hash = ?1")?
        .query_row([hash], |row| row.get(0))
        .optional()?
        .flatten();
    Ok(until.is_some_and(|until| until >= now))
}

fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes new names in a folder durable.
fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(|error| IndexError::io(folder, error))
}
