//! Conversions between rows and the vocabulary.

use jiff::Timestamp;
use lore_core::ids::hex;
use lore_core::{ContentHash, Document, DocumentId, DocumentMeta, DocumentState, Format};
use rusqlite::Row;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{IndexError, Result};

/// The columns that [`document`] reads, of table `documents` named `d`.
pub(super) const DOCUMENT: &str = "d.id, d.source, d.name, d.title, d.format, d.language, d.tags, d.acl, d.date, \
    d.superseded_by, d.version, d.content_hash, d.size, d.pages, d.chunks, d.state, d.reason, d.created_at, d.updated_at";

/// Reads the columns of [`DOCUMENT`], the first of them at `at`.
pub(super) fn document(row: &Row<'_>, at: usize) -> Result<Document> {
    let state: String = row.get(at + 15)?;
    let reason: Option<String> = row.get(at + 16)?;
    let hash: Option<String> = row.get(at + 11)?;
    let format: String = row.get(at + 4)?;
    Ok(Document {
        id: document_id(row, at)?,
        source: row.get(at + 1)?,
        name: row.get(at + 2)?,
        title: row.get(at + 3)?,
        format: format_of(&format)?,
        language: row.get(at + 5)?,
        meta: meta(row, at + 6)?,
        version: row.get(at + 10)?,
        content_hash: hash.map(ContentHash),
        size: unsigned(row, at + 12)?,
        pages: row.get(at + 13)?,
        chunks: row.get(at + 14)?,
        state: match state.as_str() {
            "live" => DocumentState::Live,
            "pending" => DocumentState::Pending,
            _ => DocumentState::Failed { reason: reason.unwrap_or_default() },
        },
        created_at: time(row.get(at + 17)?)?,
        updated_at: time(row.get(at + 18)?)?,
    })
}

/// Reads tags, access list, date and successor, the first at `at`.
pub(super) fn meta(row: &Row<'_>, at: usize) -> Result<DocumentMeta> {
    let tags: String = row.get(at)?;
    let acl: String = row.get(at + 1)?;
    let date: Option<String> = row.get(at + 2)?;
    Ok(DocumentMeta {
        tags: from_json(&tags)?,
        acl: from_json(&acl)?,
        date: date
            .map(|day| day.parse().map_err(|_| IndexError::Damaged(format!("{day:?} is no date"))))
            .transpose()?,
        superseded_by: row.get(at + 3)?,
    })
}

/// A document's id.
pub(super) fn document_id(row: &Row<'_>, at: usize) -> Result<DocumentId> {
    let bytes: [u8; 16] = row.get(at)?;
    Ok(DocumentId(uuid::Uuid::from_bytes(bytes)))
}

/// An integer that cannot be negative.
pub(super) fn unsigned(row: &Row<'_>, at: usize) -> Result<u64> {
    let value: i64 = row.get(at)?;
    u64::try_from(value).map_err(|_| IndexError::Damaged(format!("{value} where a count belongs")))
}

/// As SQLite stores it; sizes and counts beyond 2^63 do not exist.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Now, in whole microseconds.
pub(super) fn now() -> i64 {
    Timestamp::now().as_microsecond()
}

/// A stored time.
pub(super) fn time(microseconds: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(microseconds)
        .map_err(|_| IndexError::Damaged(format!("{microseconds} is no time")))
}

/// The name of a format as it is stored.
pub(super) fn format_name(format: Format) -> &'static str {
    format.extension()
}

fn format_of(name: &str) -> Result<Format> {
    Format::ALL
        .into_iter()
        .find(|format| format_name(*format) == name)
        .ok_or_else(|| IndexError::Damaged(format!("{name:?} is no format")))
}

/// JSON for a column.
pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| IndexError::Invalid(format!("cannot be stored: {error}")))
}

/// A value from a JSON column.
pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| IndexError::Damaged(format!("stored JSON: {error}")))
}

/// The 32 bytes of a hash of text.
///
/// # Errors
/// `Invalid` where it is not 64 hexadecimal digits.
pub(super) fn hash_bytes(hash: &ContentHash) -> Result<[u8; 32]> {
    let mut out = [0u8; 32];
    let digits = hash.as_str().as_bytes();
    let wrong = || IndexError::Invalid(format!("{:?} is no SHA-256 in hexadecimal", hash.as_str()));
    if digits.len() != 64 {
        return Err(wrong());
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16).ok_or_else(wrong)?;
        let low = char::from(pair[1]).to_digit(16).ok_or_else(wrong)?;
        *byte = (high * 16 + low) as u8;
    }
    Ok(out)
}

/// A hash of text from its 32 bytes.
pub(super) fn hash_of(bytes: &[u8; 32]) -> ContentHash {
    ContentHash(hex(bytes))
}

/// The file name at the end of a document's name.
pub(super) fn file_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(name)
}

/// What the search by words looks through.
pub(super) fn search_text(name: &str, title: &str) -> String {
    format!("{name}\n{title}").to_lowercase()
}
