//! API keys.
//!
//! A key is `lore_<id>_<32 random bytes>`. Its 256 random bits cannot be guessed, so one SHA-256 is enough to keep it; a
//! slow hash protects passwords that people choose, and here would only make every request slow.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lore_core::ids::hex;
use rusqlite::{OptionalExtension as _, Row, params};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::types::{ApiKey, NewKey};
use super::{Catalog, conversations, rows, sessions};
use crate::error::{IndexError, Result};

/// How often the time of last use is written, in microseconds.
const USE_RESOLUTION: i64 = 60 * 1_000_000;

pub(super) const COLUMNS: &str = "id, name, member_of, admin, created_at, revoked_at, last_used_at";

impl Catalog {
    /// Makes a key and gives its secret (`lore_<id>_<random>`), which is not stored and never shown again.
    pub fn create_key(&self, key: &NewKey) -> Result<(ApiKey, String)> {
        if key.name.trim().is_empty() {
            return Err(IndexError::Invalid("a key needs a name that says what it is for".into()));
        }
        let groups = rows::to_json(&key.groups)?;
        let id = hex(&rand::random::<[u8; 4]>());
        let secret = format!("lore_{id}_{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
        let at = self.write(|tx| {
            tx.prepare_cached(
                "INSERT INTO keys (id, name, member_of, admin, secret_hash, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![id, key.name, groups, key.admin, hash(&secret), tx.now])?;
            Ok(tx.now)
        })?;
        let made = ApiKey {
            id,
            name: key.name.clone(),
            groups: key.groups.clone(),
            admin: key.admin,
            created_at: rows::time(at)?,
            revoked_at: None,
            last_used_at: None,
        };
        Ok((made, secret))
    }

    /// All keys, revoked ones too, oldest first.
    pub fn keys(&self) -> Result<Vec<ApiKey>> {
        self.read(|tx| {
            let mut statement =
                tx.prepare_cached(&format!("SELECT {COLUMNS} FROM keys ORDER BY created_at, id"))?;
            let mut found = statement.query([])?;
            let mut out = Vec::new();
            while let Some(row) = found.next()? {
                out.push(key(row)?);
            }
            Ok(out)
        })
    }

    /// The key of an id, a revoked one too.
    pub fn key(&self, id: &str) -> Result<Option<ApiKey>> {
        self.read(|tx| {
            tx.prepare_cached(&format!("SELECT {COLUMNS} FROM keys WHERE id = ?1"))?
                .query_row([id], |row| Ok(key(row)))
                .optional()?
                .transpose()
        })
    }

    /// Revokes a key; false where there is none such. Its sessions end; its conversations, which nobody can read
    /// from then on, are deleted.
    pub fn revoke_key(&self, id: &str) -> Result<bool> {
        self.write(|tx| {
            let changed = tx
                .prepare_cached("UPDATE keys SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1")?
                .execute(params![id, tx.now])?;
            conversations::forget_owner(tx, id)?;
            sessions::end_of_key(tx, id)?;
            Ok(changed > 0)
        })
    }

    /// The key that a secret belongs to, unless it is unknown or revoked; constant time in the secret.
    ///
    /// Notes the time of use once a minute, where that does not have to wait for another write.
    pub fn authenticate(&self, secret: &str) -> Result<Option<ApiKey>> {
        let Some(id) = secret.strip_prefix("lore_").and_then(|rest| rest.split_once('_')).map(|(id, _)| id)
        else {
            return Ok(None);
        };
        let given = hash(secret);
        let found = self.read(|tx| {
            tx.prepare_cached(&format!("SELECT {COLUMNS}, secret_hash FROM keys WHERE id = ?1"))?
                .query_row([id], |row| Ok(key(row).and_then(|key| Ok((key, row.get::<_, [u8; 32]>(7)?)))))
                .optional()?
                .transpose()
        })?;
        let Some((key, stored)) = found else { return Ok(None) };
        if !bool::from(given.ct_eq(&stored)) || key.revoked_at.is_some() {
            return Ok(None);
        }
        let now = rows::now();
        let used = key.last_used_at.map_or(0, |at| at.as_microsecond());
        if now - used >= USE_RESOLUTION {
            let noted = self.inner.db.try_write(|tx| {
                tx.prepare_cached("UPDATE keys SET last_used_at = ?2 WHERE id = ?1")?
                    .execute(params![key.id, now])?;
                Ok(())
            });
            if let Err(error) = noted {
                tracing::warn!(%error, key = key.id, "the key's time of use could not be noted");
            }
        }
        Ok(Some(key))
    }
}

pub(super) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

pub(super) fn key(row: &Row<'_>) -> Result<ApiKey> {
    let groups: String = row.get(2)?;
    let revoked: Option<i64> = row.get(5)?;
    let used: Option<i64> = row.get(6)?;
    Ok(ApiKey {
        id: row.get(0)?,
        name: row.get(1)?,
        groups: rows::from_json(&groups)?,
        admin: row.get(3)?,
        created_at: rows::time(row.get(4)?)?,
        revoked_at: revoked.map(rows::time).transpose()?,
        last_used_at: used.map(rows::time).transpose()?,
    })
}
