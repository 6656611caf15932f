//! Parsed text, chunks, and the look-up of hits.

use std::collections::HashMap;
use std::sync::Arc;

use lore_core::{
    Access, Block, BlockKind, Chunk, ChunkId, Document, DocumentId, Heading, NewChunk, PageRange, Parsed,
    Span,
};
use lru::LruCache;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension as _, Row, Transaction, params, params_from_iter};
use serde::{Deserialize, Serialize};

use super::db::lock;
use super::types::{ChunkPlace, LiveChunk};
use super::{Catalog, rows};
use crate::error::{IndexError, Result};

/// Memory for parsed text, in bytes.
const CACHE_BYTES: usize = 64 << 20;
/// A text that is longer than this many bytes is not read whole for the sake of a chunk.
const WHOLE_TEXT: u64 = 1 << 20;
/// Ids per statement when hits are looked up.
const BATCH: usize = 128;

const CHUNK: &str = "c.id, c.version, c.ordinal, c.char_start, c.char_end, c.byte_start, c.byte_end, c.first_page, \
    c.last_page, c.headings, c.context, c.text_hash";
/// How many columns [`CHUNK`] has.
const CHUNK_COLUMNS: usize = 12;

/// Parsed versions used last, bounded by their size. Versions never change, so entries never go stale; whether a version
/// may still be shown is asked of the database each time.
pub(super) struct TextCache {
    entries: LruCache<(DocumentId, u32), Arc<Parsed>>,
    bytes: usize,
}

impl TextCache {
    pub(super) fn new() -> Self {
        Self { entries: LruCache::unbounded(), bytes: 0 }
    }

    fn get(&mut self, key: (DocumentId, u32)) -> Option<Arc<Parsed>> {
        self.entries.get(&key).cloned()
    }

    fn put(&mut self, key: (DocumentId, u32), parsed: &Arc<Parsed>) {
        let size = weight(parsed);
        if size > CACHE_BYTES / 2 {
            return;
        }
        self.bytes += size;
        if let Some((_, replaced)) = self.entries.push(key, Arc::clone(parsed)) {
            self.bytes -= weight(&replaced);
        }
        while self.bytes > CACHE_BYTES {
            let Some((_, evicted)) = self.entries.pop_lru() else { break };
            self.bytes -= weight(&evicted);
        }
    }
}

/// The memory that a parsed text takes, roughly.
fn weight(parsed: &Parsed) -> usize {
    let headings: usize = parsed.headings.iter().map(|h| h.title.len() + size_of::<Heading>()).sum();
    parsed.text.len()
        + headings
        + parsed.blocks.len() * size_of::<Block>()
        + parsed.pages.len() * size_of::<Span>()
        + 256
}

/// A parsed text's structure as it is stored: short, because tables have many blocks.
#[derive(Serialize, Deserialize)]
struct Structure {
    blocks: Vec<(BlockKind, usize, usize)>,
    headings: Vec<(u8, usize, String)>,
    pages: Vec<(usize, usize)>,
}

/// The stored form of all but title, language and text.
pub(super) fn structure(parsed: &Parsed) -> Result<String> {
    rows::to_json(&Structure {
        blocks: parsed.blocks.iter().map(|b| (b.kind, b.span.start, b.span.end)).collect(),
        headings: parsed.headings.iter().map(|h| (h.level, h.at, h.title.clone())).collect(),
        pages: parsed.pages.iter().map(|p| (p.start, p.end)).collect(),
    })
}

/// The headings of a stored structure.
pub(super) fn headings(stored: &str) -> Result<Vec<Heading>> {
    let stored: Structure = rows::from_json(stored)?;
    Ok(stored.headings.into_iter().map(|(level, at, title)| Heading { level, title, at }).collect())
}

/// A chunk's row, before its text is sliced.
struct Found {
    chunk: Chunk,
    bytes: std::ops::Range<usize>,
}

fn found(row: &Row<'_>, at: usize, document: DocumentId) -> Result<Found> {
    let id: [u8; 16] = row.get(at)?;
    let first: Option<u32> = row.get(at + 7)?;
    let last: Option<u32> = row.get(at + 8)?;
    let headings = row.get_ref(at + 9)?.as_str().map_err(rusqlite::Error::from)?;
    let text_hash: [u8; 32] = row.get(at + 11)?;
    let number = |column: usize| Ok::<usize, IndexError>(rows::unsigned(row, at + column)? as usize);
    Ok(Found {
        chunk: Chunk {
            id: ChunkId(uuid::Uuid::from_bytes(id)),
            document,
            version: row.get(at + 1)?,
            ordinal: row.get(at + 2)?,
            place: NewChunk {
                span: Span::new(number(3)?, number(4)?),
                pages: first.zip(last).map(|(first, last)| PageRange { first, last }),
                headings: rows::from_json(headings)?,
                context: row.get(at + 10)?,
            },
            text: String::new(),
            text_hash: rows::hash_of(&text_hash),
        },
        bytes: number(5)?..number(6)?,
    })
}

impl Catalog {
    /// The parsed text of a version that is live, or was and is still kept; cached, bounded.
    pub fn parsed(&self, id: DocumentId, version: u32) -> Result<Option<Arc<Parsed>>> {
        self.read(|tx| {
            let pk = version_row(tx, id, version)?;
            pk.map(|(pk, _)| self.load(tx, id, version, pk)).transpose()
        })
    }

    /// Chunks of the live version, in order.
    pub fn chunks(&self, id: DocumentId) -> Result<Vec<Chunk>> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(&format!(
                "SELECT {CHUNK} FROM documents d JOIN chunks c ON c.document = d.pk AND c.version = d.version
                 WHERE d.id = ?1 ORDER BY c.ordinal"
            ))?;
            let mut rows = statement.query([id.0.as_bytes()])?;
            let mut out: Vec<Chunk> = Vec::new();
            let mut parsed: Option<Arc<Parsed>> = None;
            while let Some(row) = rows.next()? {
                let Found { mut chunk, bytes } = found(row, 0, id)?;
                let text = match &parsed {
                    Some(parsed) => parsed,
                    None => {
                        let (pk, _) =
                            version_row(tx, id, chunk.version)?.ok_or_else(|| no_text(id, chunk.version))?;
                        parsed.insert(self.load(tx, id, chunk.version, pk)?)
                    }
                };
                chunk.text = text.text.get(bytes).ok_or_else(|| outside(&chunk))?.to_owned();
                out.push(chunk);
            }
            Ok(out)
        })
    }

    /// Where the chunks of the live version lie that reach into `start..end` (code points), in order, `limit` at most; with
    /// the version's number.
    pub fn chunk_places(
        &self,
        id: DocumentId,
        start: usize,
        end: usize,
        limit: usize,
    ) -> Result<(u32, Vec<ChunkPlace>)> {
        let signed = |value: usize| super::rows::signed(value as u64);
        self.read(|tx| {
            let mut statement = tx.prepare_cached(&format!(
                "SELECT {CHUNK} FROM documents d JOIN chunks c ON c.document = d.pk AND c.version = d.version
                 WHERE d.id = ?1 AND c.char_end > ?2 AND c.char_start < ?3 ORDER BY c.ordinal LIMIT ?4"
            ))?;
            let mut rows =
                statement.query(params![id.0.as_bytes(), signed(start), signed(end), signed(limit)])?;
            let mut out = Vec::new();
            while let Some(row) = rows.next()? {
                let Chunk { ordinal, place, .. } = found(row, 0, id)?.chunk;
                out.push(ChunkPlace { ordinal, place });
            }
            let version: Option<u32> = tx
                .prepare_cached("SELECT version FROM documents WHERE id = ?1")?
                .query_row([id.0.as_bytes()], |row| row.get(0))
                .optional()?;
            Ok((version.unwrap_or(0), out))
        })
    }

    /// Looks hits up: only those that are live and readable, in the order given (invariant 2).
    pub fn live_chunks(&self, ids: &[ChunkId], access: &Access) -> Result<Vec<LiveChunk>> {
        self.read(|tx| {
            let mut documents: HashMap<i64, Arc<Document>> = HashMap::new();
            let mut chunks: HashMap<ChunkId, (Found, Arc<Document>)> = HashMap::with_capacity(ids.len());
            for batch in ids.chunks(BATCH) {
                look_up(tx, batch, access, &mut documents, &mut chunks)?;
            }
            let mut texts = Texts { catalog: self, tx, open: HashMap::new() };
            let mut out = Vec::with_capacity(chunks.len());
            for id in ids {
                if let Some((found, document)) = chunks.get(id) {
                    let mut chunk = found.chunk.clone();
                    chunk.text = texts.slice(&chunk, found.bytes.clone())?;
                    out.push(LiveChunk { chunk, document: Arc::clone(document) });
                }
            }
            Ok(out)
        })
    }

    /// Drops a deleted document's texts from memory.
    pub(super) fn forget_texts(&self, id: DocumentId) {
        let mut cache = lock(&self.inner.texts);
        let keys: Vec<_> = cache.entries.iter().map(|(key, _)| *key).filter(|(of, _)| *of == id).collect();
        for key in keys {
            if let Some(parsed) = cache.entries.pop(&key) {
                cache.bytes -= weight(&parsed);
            }
        }
    }

    fn cached(&self, id: DocumentId, version: u32) -> Option<Arc<Parsed>> {
        lock(&self.inner.texts).get((id, version))
    }

    /// The parsed text in row `pk` of table `versions`, from the cache or the database.
    pub(super) fn load(
        &self,
        tx: &Transaction<'_>,
        id: DocumentId,
        version: u32,
        pk: i64,
    ) -> Result<Arc<Parsed>> {
        if let Some(parsed) = self.cached(id, version) {
            return Ok(parsed);
        }
        let (title, language, stored, text): (Option<String>, Option<String>, String, String) = tx
            .prepare_cached("SELECT title, language, structure, text FROM versions WHERE pk = ?1")?
            .query_row([pk], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        let stored: Structure = rows::from_json(&stored)?;
        let block = |(kind, start, end)| Block { kind, span: Span::new(start, end) };
        let parsed = Arc::new(Parsed {
            title,
            text,
            blocks: stored.blocks.into_iter().map(block).collect(),
            headings: stored
                .headings
                .into_iter()
                .map(|(level, at, title)| Heading { level, title, at })
                .collect(),
            pages: stored.pages.into_iter().map(|(start, end)| Span::new(start, end)).collect(),
            language,
        });
        lock(&self.inner.texts).put((id, version), &parsed);
        Ok(parsed)
    }
}

/// Reads one batch of chunks with their documents.
fn look_up(
    tx: &Transaction<'_>,
    batch: &[ChunkId],
    access: &Access,
    documents: &mut HashMap<i64, Arc<Document>>,
    chunks: &mut HashMap<ChunkId, (Found, Arc<Document>)>,
) -> Result<()> {
    let Some(last) = batch.last() else { return Ok(()) };
    // Filled up to a power of two with the last id again, so that few statements need to be prepared.
    let size = batch.len().next_power_of_two();
    let values = (0..size).map(|i| Value::Blob(batch.get(i).unwrap_or(last).0.as_bytes().to_vec()));
    let marks = vec!["?"; size].join(",");
    let mut statement = tx.prepare_cached(&format!(
        "SELECT {CHUNK}, d.pk, {} FROM chunks c JOIN documents d ON d.pk = c.document AND d.version = c.version
         WHERE c.id IN ({marks})",
        rows::DOCUMENT,
    ))?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        let pk: i64 = row.get(CHUNK_COLUMNS)?;
        let document = match documents.get(&pk) {
            Some(document) => Arc::clone(document),
            None => {
                let document = Arc::new(super::rows::document(row, CHUNK_COLUMNS + 1)?);
                documents.insert(pk, Arc::clone(&document));
                document
            }
        };
        if access.allows(&document.meta.acl) {
            let found = found(row, 0, document.id)?;
            chunks.insert(found.chunk.id, (found, document));
        }
    }
    Ok(())
}

/// Where the chunks of one look-up get their text from.
struct Texts<'a> {
    catalog: &'a Catalog,
    tx: &'a Transaction<'a>,
    open: HashMap<(DocumentId, u32), Text<'a>>,
}

enum Text<'a> {
    Whole(Arc<Parsed>),
    /// A long text that is not in memory: only the chunks' bytes are read.
    Stored(rusqlite::blob::Blob<'a>),
}

impl Texts<'_> {
    fn slice(&mut self, chunk: &Chunk, bytes: std::ops::Range<usize>) -> Result<String> {
        let key = (chunk.document, chunk.version);
        if !self.open.contains_key(&key) {
            let text = self.text(chunk.document, chunk.version)?;
            self.open.insert(key, text);
        }
        match self.open.get(&key) {
            Some(Text::Whole(parsed)) => Ok(parsed.text.get(bytes).ok_or_else(|| outside(chunk))?.to_owned()),
            Some(Text::Stored(blob)) => {
                let mut buffer = vec![0; bytes.len()];
                blob.read_at_exact(&mut buffer, bytes.start)?;
                String::from_utf8(buffer).map_err(|_| outside(chunk))
            }
            None => Err(no_text(chunk.document, chunk.version)),
        }
    }
}

impl<'a> Texts<'a> {
    fn text(&self, id: DocumentId, version: u32) -> Result<Text<'a>> {
        if let Some(parsed) = self.catalog.cached(id, version) {
            return Ok(Text::Whole(parsed));
        }
        let (pk, bytes) = version_row(self.tx, id, version)?.ok_or_else(|| no_text(id, version))?;
        if bytes <= WHOLE_TEXT {
            return Ok(Text::Whole(self.catalog.load(self.tx, id, version, pk)?));
        }
        Ok(Text::Stored(self.tx.blob_open("main", "versions", "text", pk, true)?))
    }
}

/// The row of a stored version and the length of its text in bytes.
pub(super) fn version_row(tx: &Transaction<'_>, id: DocumentId, version: u32) -> Result<Option<(i64, u64)>> {
    let found: Option<(i64, i64)> = tx
        .prepare_cached(
            "SELECT v.pk, v.text_bytes FROM documents d JOIN versions v ON v.document = d.pk
             WHERE d.id = ?1 AND v.version = ?2",
        )?
        .query_row(params![id.0.as_bytes(), version], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.map(|(pk, bytes)| (pk, bytes.unsigned_abs())))
}

fn no_text(id: DocumentId, version: u32) -> IndexError {
    IndexError::Damaged(format!("version {version} of document {id} has no text"))
}

fn outside(chunk: &Chunk) -> IndexError {
    IndexError::Damaged(format!("chunk {} lies outside of its text", chunk.id))
}
