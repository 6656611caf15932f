//! Sessions of people who signed in with their key in a browser.
//!
//! A session is known by 32 random bytes, of which the catalog keeps the hash. It is worth its key and no more: a key that
//! is revoked ends its sessions. It lasts as long as it is used, to a limit.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::keys::{COLUMNS, hash, key};
use super::types::ApiKey;
use super::{Catalog, rows};
use crate::error::Result;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;
/// How long a session lasts after its last use.
const IDLE: i64 = 12 * HOUR;
/// How long it lasts at most.
const LONGEST: i64 = 30 * 24 * HOUR;
/// How often its use is written.
const USE_RESOLUTION: i64 = 60 * SECOND;
/// Sessions of one key at once; the one that was used longest ago makes room.
const OF_ONE_KEY: u32 = 64;
/// Longest token that is looked up, in bytes.
const TOKEN_BYTES: usize = 64;

impl Catalog {
    /// Opens a session for a key and gives its token; `None` where there is no such key, or it was revoked.
    pub fn open_session(&self, key: &str) -> Result<Option<String>> {
        let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let opened = self.write(|tx| open(tx, key, &token, tx.now))?;
        Ok(opened.then_some(token))
    }

    /// The key that a session stands for, unless it has ended; its use prolongs it.
    pub fn session(&self, token: &str) -> Result<Option<ApiKey>> {
        self.session_at(token, rows::now())
    }

    fn session_at(&self, token: &str, now: i64) -> Result<Option<ApiKey>> {
        if token.is_empty() || token.len() > TOKEN_BYTES {
            return Ok(None);
        }
        let hash = hash(token);
        let found = self.read(|tx| {
            tx.prepare_cached(&format!(
                "SELECT {COLUMNS}, seen_at FROM keys JOIN (
                     SELECT key AS of_key, seen_at FROM sessions WHERE token_hash = ?1 AND expires_at > ?2
                 ) ON of_key = id WHERE revoked_at IS NULL"
            ))?
            .query_row(params![hash, now], |row| {
                Ok(key(row).and_then(|key| Ok((key, row.get::<_, i64>("seen_at")?))))
            })
            .optional()?
            .transpose()
        })?;
        let Some((key, seen)) = found else { return Ok(None) };
        if now - seen >= USE_RESOLUTION {
            let noted = self.inner.db.try_write(|tx| {
                tx.prepare_cached(
                    "UPDATE sessions SET seen_at = ?2, expires_at = min(?2 + ?3, created_at + ?4)
                     WHERE token_hash = ?1",
                )?
                .execute(params![hash, now, IDLE, LONGEST])?;
                tx.prepare_cached("UPDATE keys SET last_used_at = ?2 WHERE id = ?1")?
                    .execute(params![key.id, now])?;
                Ok(())
            });
            if let Err(error) = noted {
                tracing::warn!(%error, key = key.id, "the session's time of use could not be noted");
            }
        }
        Ok(Some(key))
    }

    /// Ends a session; one that is not there has ended.
    pub fn close_session(&self, token: &str) -> Result<()> {
        let hash = hash(token);
        // Anybody can send a cookie; the write lock is for those who have a session.
        let there: bool = self.read(|tx| {
            Ok(tx
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM sessions WHERE token_hash = ?1)")?
                .query_row([hash], |row| row.get(0))?)
        })?;
        if !there {
            return Ok(());
        }
        self.write(|tx| {
            tx.prepare_cached("DELETE FROM sessions WHERE token_hash = ?1")?.execute([hash])?;
            Ok(())
        })
    }
}

fn open(tx: &Transaction<'_>, key: &str, token: &str, now: i64) -> Result<bool> {
    tx.prepare_cached("DELETE FROM sessions WHERE expires_at <= ?1")?.execute([now])?;
    let made = tx
        .prepare_cached(
            "INSERT INTO sessions (token_hash, key, created_at, seen_at, expires_at)
             SELECT ?1, id, ?3, ?3, ?3 + ?4 FROM keys WHERE id = ?2 AND revoked_at IS NULL",
        )?
        .execute(params![hash(token), key, now, IDLE])?;
    tx.prepare_cached(
        "DELETE FROM sessions WHERE token_hash IN (
             SELECT token_hash FROM sessions WHERE key = ?1 ORDER BY seen_at DESC LIMIT -1 OFFSET ?2)",
    )?
    .execute(params![key, OF_ONE_KEY])?;
    Ok(made > 0)
}

/// Ends every session of a key.
pub(super) fn end_of_key(tx: &Transaction<'_>, key: &str) -> Result<()> {
    tx.prepare_cached("DELETE FROM sessions WHERE key = ?1")?.execute([key])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::catalog::types::NewKey;

    fn catalog() -> (tempfile::TempDir, Catalog, String) {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(folder.path()).unwrap();
        let (key, _) = catalog.create_key(&NewKey { name: "mine".into(), ..NewKey::default() }).unwrap();
        (folder, catalog, key.id)
    }

    #[test]
    fn a_session_stands_for_its_key_until_it_is_closed() {
        let (_folder, catalog, key) = catalog();
        let token = catalog.open_session(&key).unwrap().unwrap();
        assert_eq!(catalog.session(&token).unwrap().unwrap().id, key);
        for wrong in ["", "x", &token[1..], &"x".repeat(5000)] {
            assert_eq!(catalog.session(wrong).unwrap(), None, "{wrong}");
        }
        catalog.close_session(&token).unwrap();
        catalog.close_session(&token).unwrap();
        assert_eq!(catalog.session(&token).unwrap(), None);
        assert_eq!(catalog.open_session("nobody").unwrap(), None);
    }

    #[test]
    fn a_revoked_key_ends_its_sessions() {
        let (_folder, catalog, key) = catalog();
        let token = catalog.open_session(&key).unwrap().unwrap();
        catalog.revoke_key(&key).unwrap();
        assert_eq!(catalog.session(&token).unwrap(), None);
        assert_eq!(catalog.open_session(&key).unwrap(), None);
        let left: u32 = catalog
            .read(|tx| Ok(tx.query_row("SELECT count(*) FROM sessions", [], |row| row.get(0))?))
            .unwrap();
        assert_eq!(left, 0);
    }

    #[test]
    fn use_prolongs_a_session_to_a_limit() {
        let (_folder, catalog, key) = catalog();
        let start = rows::now();
        let idle = catalog.open_session(&key).unwrap().unwrap();
        assert_eq!(catalog.session_at(&idle, start + IDLE + HOUR).unwrap(), None);
        let token = catalog.open_session(&key).unwrap().unwrap();
        let mut now = start;
        let mut lasted = 0;
        while catalog.session_at(&token, now).unwrap().is_some() {
            now += 11 * HOUR;
            lasted = now - start;
            assert!(lasted <= LONGEST + 12 * HOUR, "it never ends");
        }
        assert!(lasted > LONGEST - 12 * HOUR, "{} hours", lasted / HOUR);
    }

    #[test]
    fn a_key_has_so_many_sessions_at_once() {
        let (_folder, catalog, key) = catalog();
        let first = catalog.open_session(&key).unwrap().unwrap();
        for _ in 0..OF_ONE_KEY {
            catalog.open_session(&key).unwrap().unwrap();
        }
        assert_eq!(catalog.session(&first).unwrap(), None);
        let left: u32 = catalog
            .read(|tx| Ok(tx.query_row("SELECT count(*) FROM sessions", [], |row| row.get(0))?))
            .unwrap();
        assert_eq!(left, OF_ONE_KEY);
    }
}
