//! Vectors that were computed before, by embedder and hash of the embedded text.

use std::collections::BTreeMap;

use lore_core::ContentHash;
use rusqlite::{OptionalExtension as _, params};

use super::db::Write;
use super::{Catalog, rows};
use crate::error::{IndexError, Result};

impl Catalog {
    /// Vectors of texts by hash, where they were computed before by embedder `embedder`.
    pub fn vectors(&self, embedder: &str, hashes: &[ContentHash]) -> Result<BTreeMap<ContentHash, Vec<f32>>> {
        self.read(|tx| {
            let known: Option<i64> = tx
                .prepare_cached("SELECT pk FROM embedders WHERE name = ?1")?
                .query_row([embedder], |row| row.get(0))
                .optional()?;
            let mut out = BTreeMap::new();
            let Some(pk) = known else { return Ok(out) };
            let mut statement =
                tx.prepare_cached("SELECT vector FROM vectors WHERE text_hash = ?1 AND embedder = ?2")?;
            for hash in hashes {
                let mut found = statement.query(params![rows::hash_bytes(hash)?, pk])?;
                if let Some(row) = found.next()? {
                    let bytes = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
                    out.insert(hash.clone(), floats(bytes)?);
                }
            }
            Ok(out)
        })
    }

    /// Stores vectors of texts that live chunks have; others are passed over, because their documents were deleted or
    /// changed since they were read, and nothing of them must stay.
    pub fn put_vectors(&self, embedder: &str, vectors: &[(ContentHash, Vec<f32>)]) -> Result<()> {
        if vectors.is_empty() {
            return Ok(());
        }
        self.write_soon(|tx| {
            tx.prepare_cached("INSERT OR IGNORE INTO embedders (name) VALUES (?1)")?.execute([embedder])?;
            let pk: i64 = tx
                .prepare_cached("SELECT pk FROM embedders WHERE name = ?1")?
                .query_row([embedder], |row| row.get(0))?;
            let mut statement = tx.prepare_cached(
                "INSERT INTO vectors (text_hash, embedder, vector)
                 SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM chunks WHERE text_hash = ?1)
                 ON CONFLICT (text_hash, embedder) DO UPDATE SET vector = excluded.vector",
            )?;
            for (hash, vector) in vectors {
                let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
                statement.execute(params![rows::hash_bytes(hash)?, pk, bytes])?;
            }
            Ok(())
        })
    }
}

/// Removes the vectors of a text that no live chunk has any more, nor one of a document that can be brought back.
pub(super) fn forget_unused(tx: &Write<'_>, text_hash: &[u8; 32]) -> Result<()> {
    tx.prepare_cached(
        "DELETE FROM vectors WHERE text_hash = ?1 AND NOT EXISTS (SELECT 1 FROM chunks WHERE text_hash = ?1)
             AND NOT EXISTS (SELECT 1 FROM deleted_chunks WHERE text_hash = ?1)",
    )?
    .execute([text_hash])?;
    Ok(())
}

fn floats(bytes: &[u8]) -> Result<Vec<f32>> {
    let (values, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(IndexError::Damaged(format!("a vector of {} bytes", bytes.len())));
    }
    Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
}
