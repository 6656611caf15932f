//! Word search with tantivy: its files, commits and postings; terms and scores are our own.
//!
//! - [`analyzer`]: from text to terms, English and Chinese.
//! - `schema`: fields.
//! - `score`: BM25F with exact statistics.

pub mod analyzer;
mod schema;
mod score;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use lore_core::{Access, ChunkId, DocumentId, Filter, NewChunk, ScoredChunk, Seq};
use sha2::{Digest as _, Sha256};
use tantivy::indexer::LogMergePolicy;
use tantivy::tokenizer::{PreTokenizedString, Token};
use tantivy::{IndexReader, IndexWriter, ReloadPolicy, TantivyDocument, Term};

use self::schema::{FINGERPRINT, Fields};
use self::score::{Snapshot, Weights};
use crate::config::{Bm25, IndexConfig};
use crate::error::{IndexError, Result};
use crate::mark::Mark;
use crate::payload::{Payload, conditions};

/// Name of the format: schema and analyzer. An index in another format is not read but rebuilt.
pub(crate) fn format() -> String {
    format!("words{}", analyzer::VERSION)
}

/// Least memory that tantivy's writer works with.
const MIN_WRITER_BYTES: usize = 16 << 20;

/// A chunk to be indexed.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The chunk.
    pub id: ChunkId,
    /// What can be filtered on.
    pub payload: &'a Payload,
    /// Title of the document.
    pub title: &'a str,
    /// Headings and context.
    pub place: &'a NewChunk,
    /// The chunk's own text.
    pub text: &'a str,
}

impl Entry<'_> {
    /// Digest of all that is indexed.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Sha256::new();
        let content = (self.payload, self.title, &self.place.headings, &self.place.context, self.text);
        hash.update(serde_json::to_vec(&content).unwrap_or_default());
        hash.finalize().iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte))
    }
}

/// The lexical index in one folder. All methods block.
pub struct LexicalIndex {
    folder: PathBuf,
    index: tantivy::Index,
    fields: Fields,
    weights: Weights,
    writer_bytes: usize,
    reader: IndexReader,
    writer: Mutex<Slot>,
    /// Held from the first write of a batch to its commit.
    batch: Mutex<()>,
    snapshot: RwLock<Arc<Snapshot>>,
}

/// The writer, which is made when it is first needed.
enum Slot {
    Idle,
    Open(Box<IndexWriter>),
    /// Writes are refused: one that came after the close would be committed without those before it.
    Closed,
}

impl std::fmt::Debug for LexicalIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LexicalIndex").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl LexicalIndex {
    /// Makes an empty index in `folder`.
    ///
    /// # Errors
    /// When the folder has an index already or cannot be written.
    pub fn create(folder: &Path, config: &IndexConfig) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|e| IndexError::io(folder, e))?;
        let fields = Fields::new();
        let index =
            tantivy::Index::create_in_dir(folder, fields.schema.clone()).map_err(|e| failed(folder, e))?;
        Self::over(index, fields, folder, config)
    }

    /// Opens the index in `folder`.
    ///
    /// # Errors
    /// When there is none, or it is damaged or of another format.
    pub fn open(folder: &Path, config: &IndexConfig) -> Result<Self> {
        let fields = Fields::new();
        let index = tantivy::Index::open_in_dir(folder).map_err(|e| failed(folder, e))?;
        if index.schema() != fields.schema {
            return Err(IndexError::Lexical("it was made by another version of lore".into()));
        }
        Self::over(index, fields, folder, config)
    }

    fn over(index: tantivy::Index, fields: Fields, folder: &Path, config: &IndexConfig) -> Result<Self> {
        let weights = Weights::from(config.bm25());
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into();
        let reader: IndexReader = reader.map_err(|e| failed(folder, e))?;
        let snapshot = Snapshot::new(reader.searcher(), fields.clone(), weights, None);
        let snapshot = RwLock::new(Arc::new(snapshot.map_err(|e| failed(folder, e))?));
        Ok(Self {
            folder: folder.to_owned(),
            index,
            fields,
            weights,
            writer_bytes: config.lexical_writer_bytes.max(MIN_WRITER_BYTES),
            reader,
            writer: Mutex::new(Slot::Idle),
            batch: Mutex::new(()),
            snapshot,
        })
    }

    /// The last change that the index holds, as its last commit says.
    pub fn mark(&self) -> Result<Mark> {
        let metas = self.index.load_metas().map_err(|e| self.failed(e))?;
        Ok(metas.payload.and_then(|payload| payload.parse().ok()).unwrap_or_default())
    }

    /// Number of [`LexicalIndex::mark`].
    pub fn seq(&self) -> Result<Seq> {
        Ok(self.mark()?.seq)
    }

    /// Replaces all chunks of `document` by `entries` (none: removes it); seen by searches after [`LexicalIndex::commit`].
    pub fn replace<'a>(
        &self,
        document: DocumentId,
        entries: impl IntoIterator<Item = Entry<'a>>,
    ) -> Result<()> {
        self.with_writer(|writer| {
            writer.delete_term(Term::from_field_text(self.fields.document, &document.to_string()));
            for entry in entries {
                writer.add_document(self.tantivy_document(&entry))?;
            }
            Ok(())
        })
    }

    /// Makes all changes so far durable and visible, with the last one's mark in the same commit.
    pub fn commit(&self, last: impl Into<Mark>) -> Result<()> {
        let last = last.into();
        self.with_writer(|writer| {
            let mut commit = writer.prepare_commit()?;
            commit.set_payload(&last.to_string());
            commit.commit()?;
            self.reader.reload()
        })?;
        let before = self.snapshot();
        let fields = self.fields.clone();
        let after = Snapshot::new(self.reader.searcher(), fields, self.weights, Some(&before));
        let after = Arc::new(after.map_err(|e| self.failed(e))?);
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = after;
        Ok(())
    }

    /// The best `limit` chunks for the words of `query`, best first; equal scores are ordered by id.
    pub fn search(
        &self,
        query: &str,
        filter: &Filter,
        access: &Access,
        limit: usize,
    ) -> Result<Vec<ScoredChunk>> {
        self.search_weighted(query, filter, access, limit, None)
    }

    /// [`LexicalIndex::search`], with other weights than those of the settings where they are given.
    pub fn search_weighted(
        &self,
        query: &str,
        filter: &Filter,
        access: &Access,
        limit: usize,
        bm25: Option<Bm25>,
    ) -> Result<Vec<ScoredChunk>> {
        let terms = analyzer::query_terms(query);
        if terms.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let mut snapshot = self.snapshot();
        if let Some(bm25) = bm25 {
            snapshot = Arc::new(snapshot.weighted(bm25.into()).map_err(|e| self.failed(e))?);
        }
        snapshot.search(&terms, &conditions(filter, access), limit).map_err(|e| self.failed(e))
    }

    /// Inverse document frequency of each distinct term of `text`, in order of first occurrence; of a very long text
    /// only of its rarest terms.
    pub fn term_weights(&self, text: &str) -> Result<Vec<(String, f32)>> {
        let snapshot = self.snapshot();
        snapshot.weights(&analyzer::query_terms(text)).map_err(|e| self.failed(e))
    }

    /// Chunks in the index.
    pub fn count(&self) -> u64 {
        self.snapshot().live()
    }

    /// [`Entry::fingerprint`] of every chunk in the index, for a check. A chunk that is there twice has `None`.
    pub fn fingerprints(&self) -> Result<HashMap<ChunkId, Option<u64>>> {
        let mut all = HashMap::new();
        let each = |id, fingerprint| {
            all.entry(id).and_modify(|f| *f = None).or_insert(Some(fingerprint));
        };
        self.snapshot().for_each(FINGERPRINT, each).map_err(|e| self.failed(e))?;
        Ok(all)
    }

    /// The right to write a batch and commit it. Work that nobody waits for any more, since its future was dropped, goes
    /// on to its end; without this, its writes and its commit would mix with those of the batch that follows.
    pub fn batch(&self) -> MutexGuard<'_, ()> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the batch being written and for merges, and closes the writer for good; the index can still be searched.
    pub fn close(&self) -> Result<()> {
        let _batch = self.batch();
        let slot =
            std::mem::replace(&mut *self.writer.lock().unwrap_or_else(PoisonError::into_inner), Slot::Closed);
        match slot {
            Slot::Open(writer) => writer.wait_merging_threads().map_err(|e| self.failed(e)),
            Slot::Idle | Slot::Closed => Ok(()),
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs `work` on the writer, which is made when it is first needed and thrown away with all that is not committed
    /// when something fails.
    fn with_writer<T>(&self, work: impl FnOnce(&mut IndexWriter) -> tantivy::Result<T>) -> Result<T> {
        let mut slot = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*slot, Slot::Idle) {
            let writer = self.index.writer_with_num_threads(1, self.writer_bytes);
            let writer: IndexWriter = writer.map_err(|e| self.failed(e))?;
            let mut policy = LogMergePolicy::default();
            policy.set_del_docs_ratio_before_merge(0.3);
            writer.set_merge_policy(Box::new(policy));
            *slot = Slot::Open(Box::new(writer));
        }
        let Slot::Open(writer) = &mut *slot else {
            return Err(IndexError::Lexical("it is closed".into()));
        };
        let result = work(writer);
        if result.is_err() {
            *slot = Slot::Idle;
        }
        result.map_err(|e| self.failed(e))
    }

    fn tantivy_document(&self, entry: &Entry<'_>) -> TantivyDocument {
        let fields = &self.fields;
        let labels = &entry.payload.labels;
        let mut out = TantivyDocument::new();
        let (high, low) = entry.id.0.as_u64_pair();
        out.add_u64(fields.id[0], high);
        out.add_u64(fields.id[1], low);
        out.add_text(fields.document, entry.payload.document.to_string());
        labels.access.iter().for_each(|value| out.add_text(fields.access, value));
        labels.tags.iter().for_each(|value| out.add_text(fields.tags, value));
        labels.language.iter().for_each(|value| out.add_text(fields.language, value));
        labels.date.iter().for_each(|value| out.add_i64(fields.date, *value));
        out.add_u64(fields.fingerprint, entry.fingerprint());
        let headings = &entry.place.headings;
        let skip = usize::from(headings.first().is_some_and(|first| first == entry.title));
        let headings = headings[skip..].join("\n");
        let body = match &entry.place.context {
            Some(context) => format!("{context}\n{}", entry.text),
            None => entry.text.to_owned(),
        };
        for (at, text) in [entry.title, headings.as_str(), body.as_str()].into_iter().enumerate() {
            let terms = analyzer::terms(text);
            out.add_u64(fields.length[at], terms.len() as u64);
            if !terms.is_empty() {
                let token = |(position, text)| Token { text, position, ..Token::default() };
                let tokens = terms.into_iter().enumerate().map(token).collect();
                out.add_pre_tokenized_text(
                    fields.text[at],
                    PreTokenizedString { text: String::new(), tokens },
                );
            }
        }
        out
    }

    fn failed(&self, error: tantivy::TantivyError) -> IndexError {
        failed(&self.folder, error)
    }
}

/// Tells a full disk and a damaged file apart from other failures.
fn failed(folder: &Path, error: tantivy::TantivyError) -> IndexError {
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = cause {
        let full = |e: &std::io::Error| e.kind() == std::io::ErrorKind::StorageFull;
        let shared = error.downcast_ref::<Arc<std::io::Error>>().is_some_and(|e| full(e));
        if shared || error.downcast_ref::<std::io::Error>().is_some_and(full) {
            return IndexError::DiskFull { path: folder.to_owned() };
        }
        cause = error.source();
    }
    IndexError::Lexical(error.to_string())
}
