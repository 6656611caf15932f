//! Upkeep: removing what nothing refers to, and checking what is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lore_core::ContentHash;

use super::{Catalog, DATABASE, originals, rows};
use crate::error::{IndexError, Result};
use crate::owner;

/// How old a file that nothing refers to must be before it goes: younger ones may be in the making.
const SETTLED: Duration = Duration::from_secs(3_600);

/// What [`Catalog::vacuum`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Vacuumed {
    /// Vectors of texts that no live chunk has.
    pub vectors: u64,
    /// Originals that nothing refers to, and unfinished files.
    pub files: u64,
}

impl Catalog {
    /// Removes vectors, originals and temporary files that nothing refers to, and what was deleted and can no longer be
    /// brought back; empties the database's log.
    ///
    /// Nothing of this is needed for right answers; interrupted work leaves such things behind.
    pub fn vacuum(&self) -> Result<Vacuumed> {
        self.remove_expired()?;
        let vectors = self.write(|tx| {
            let removed = tx.execute(
                "DELETE FROM vectors
                 WHERE NOT EXISTS (SELECT 1 FROM chunks WHERE chunks.text_hash = vectors.text_hash)
                     AND NOT EXISTS (SELECT 1 FROM deleted_chunks d WHERE d.text_hash = vectors.text_hash)",
                [],
            )?;
            tx.execute("DELETE FROM embedders WHERE pk NOT IN (SELECT embedder FROM vectors)", [])?;
            Ok(removed as u64)
        })?;
        let mut files = self.sweep()?;
        for (path, name) in self.settled_files()? {
            let removed = self.write_soon(|tx| {
                let keep = originals::is_referenced(tx, &name)? || originals::is_pinned(tx, &name, tx.now)?;
                if !keep {
                    std::fs::remove_file(&path).map_err(|error| IndexError::io(&path, error))?;
                }
                Ok(!keep)
            })?;
            files += u64::from(removed);
        }
        self.inner
            .db
            .with_writer(|writer| Ok(writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?))?;
        Ok(Vacuumed { vectors, files })
    }

    /// Copies the catalog as it is now into the empty data folder `folder`, without the originals; other processes may
    /// write meanwhile.
    ///
    /// # Errors
    /// Fails where there is a catalog already, and where the folder cannot be written.
    pub fn copy_to(&self, folder: &Path) -> Result<()> {
        owner::make_private(folder)?;
        let path = folder.join(DATABASE);
        let name = path.to_string_lossy().into_owned();
        self.inner.db.with_writer(|writer| {
            writer.execute("VACUUM INTO ?1", [&name])?;
            Ok(())
        })
    }

    /// Checks the database and that each original is there; each difference in words, none when all is well.
    pub fn integrity(&self) -> Result<Vec<String>> {
        let mut out = Vec::new();
        let mut hashes: BTreeSet<String> = BTreeSet::new();
        self.read(|tx| {
            let mut check = tx.prepare("PRAGMA integrity_check")?;
            let mut found = check.query([])?;
            while let Some(row) = found.next()? {
                let line: String = row.get(0)?;
                if line != "ok" {
                    out.push(format!("database: {line}"));
                }
            }
            let mut check = tx.prepare("PRAGMA foreign_key_check")?;
            let mut found = check.query([])?;
            while let Some(row) = found.next()? {
                let table: String = row.get(0)?;
                out.push(format!("database: a row of {table} refers to nothing"));
            }
            let mut check = tx.prepare(
                "SELECT d.id, d.version, d.chunks, (SELECT count(*) FROM chunks c
                     WHERE c.document = d.pk AND c.version = d.version),
                     EXISTS (SELECT 1 FROM versions v WHERE v.document = d.pk AND v.version = d.version)
                 FROM documents d WHERE d.version > 0",
            )?;
            let mut found = check.query([])?;
            while let Some(row) = found.next()? {
                let (id, version) = (rows::document_id(row, 0)?, row.get::<_, u32>(1)?);
                let (wanted, there) = (row.get::<_, i64>(2)?, row.get::<_, i64>(3)?);
                if wanted != there {
                    out.push(format!(
                        "document {id}: version {version} has {there} chunks instead of {wanted}"
                    ));
                }
                if !row.get::<_, bool>(4)? {
                    out.push(format!("document {id}: version {version} has no text"));
                }
            }
            let mut referenced = tx.prepare(
                "SELECT content_hash FROM versions
                 UNION SELECT content_hash FROM deleted_versions
                 UNION SELECT content_hash FROM jobs WHERE state IN ('queued', 'running')",
            )?;
            let mut found = referenced.query([])?;
            while let Some(row) = found.next()? {
                hashes.insert(row.get(0)?);
            }
            Ok(())
        })?;
        for hash in hashes {
            let hash = ContentHash(hash);
            if !self.original_path(&hash).is_file() {
                out.push(format!("original {hash} is missing"));
            }
        }
        Ok(out)
    }

    /// Files under `originals/` that are old enough to be judged, with their names.
    fn settled_files(&self) -> Result<Vec<(PathBuf, String)>> {
        let now = SystemTime::now();
        let mut out = Vec::new();
        for folder in entries(&self.originals())? {
            if !folder.is_dir() {
                continue;
            }
            for path in entries(&folder)? {
                let settled = std::fs::metadata(&path)
                    .and_then(|found| found.modified())
                    .is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > SETTLED));
                if settled && let Some(name) = path.file_name().and_then(|name| name.to_str()) {
                    out.push((path.clone(), name.to_owned()));
                }
            }
        }
        Ok(out)
    }
}

/// The entries of a folder; none where it does not exist.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(found) => found
            .map(|entry| entry.map(|entry| entry.path()).map_err(|error| IndexError::io(folder, error)))
            .collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(IndexError::io(folder, error)),
    }
}
