//! The catalog: the one place where documents, versions, text, chunks, jobs, feedback and keys are true.
//!
//! All methods block on SQLite; async callers use `tokio::task::spawn_blocking`. Several processes may have the same
//! catalog open (WAL mode, busy time-out); each change to a document gets its [`Seq`] in the same transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use lore_core::{
    Access, Chunk, ChunkId, ContentHash, Document, DocumentId, DocumentMeta, Format, NewChunk, Parsed, Seq,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Result;

/// A document as its source knows it, before it is parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDocument {
    /// URI: `file:///...` or `upload:NAME`. The id derives from it.
    pub source: String,
    /// Display name: path relative to the ingested folder, or the upload's file name.
    pub name: String,
    /// Format.
    pub format: Format,
    /// Tags, access, date, successor.
    pub meta: DocumentMeta,
}

/// Parsed content, ready to become a document's live version.
#[derive(Clone, Debug, PartialEq)]
pub struct NewVersion {
    /// Hash of the original, stored before by [`Catalog::store_original`].
    pub content_hash: ContentHash,
    /// Size of the original in bytes.
    pub size: u64,
    /// Version of the parser and chunker that made this; when the program's is newer, content is parsed again.
    pub pipeline: u32,
    /// The text.
    pub parsed: Parsed,
    /// Its chunks, in order.
    pub chunks: Vec<NewChunk>,
}

/// What a commit did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The document.
    pub document: DocumentId,
    /// Its live version.
    pub version: u32,
    /// The change, or `None` where nothing changed.
    pub seq: Option<Seq>,
}

/// A change to a document that the indexes must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number.
    pub seq: Seq,
    /// The document.
    pub document: DocumentId,
    /// What happened.
    pub kind: ChangeKind,
}

/// What happened to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// A version went live.
    Version(u32),
    /// Tags, access list, date or successor changed.
    Meta,
    /// It was deleted.
    Deleted,
}

/// A found chunk that is live and that the caller may read, with its document.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveChunk {
    /// The chunk, its text sliced from the catalog.
    pub chunk: Chunk,
    /// The document as it is now.
    pub document: Arc<Document>,
}

/// Which documents to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentQuery {
    /// Words that the name or title must contain (case-insensitive).
    pub text: Option<String>,
    /// Only names under this prefix.
    pub name_prefix: Option<String>,
    /// Only sources under this prefix (for `--prune`).
    pub source_prefix: Option<String>,
    /// Only this state: `live`, `pending` or `failed`.
    pub state: Option<String>,
    /// What the caller may see.
    pub access: Access,
    /// At most so many.
    pub limit: usize,
    /// The cursor that the page before gave.
    pub after: Option<String>,
}

impl Default for DocumentQuery {
    fn default() -> Self {
        Self {
            text: None,
            name_prefix: None,
            source_prefix: None,
            state: None,
            access: Access::All,
            limit: 50,
            after: None,
        }
    }
}

/// A page of documents, ordered by name.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentPage {
    /// The documents.
    pub documents: Vec<Document>,
    /// Cursor of the next page, if there is one.
    pub next: Option<String>,
    /// Documents in all that match.
    pub total: u64,
}

/// Work for the ingestion worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Parse the stored original of a document and make it live.
    Ingest,
}

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum JobState {
    /// Waiting for a worker.
    Queued,
    /// Leased by a worker; a lease that ran out makes it queued again.
    Running,
    /// Done.
    Done,
    /// Given up.
    Failed {
        /// Why, in words for a person.
        reason: String,
    },
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Identifier (UUID version 7).
    pub id: String,
    /// What to do.
    pub kind: JobKind,
    /// The document.
    pub document: DocumentId,
    /// The original to parse.
    pub content_hash: ContentHash,
    /// Where it stands.
    #[serde(flatten)]
    pub state: JobState,
    /// Tries so far.
    pub attempts: u32,
    /// When it was queued.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// Thumbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rating {
    /// Helpful.
    Up,
    /// Not.
    Down,
}

/// What a person says of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFeedback {
    /// The question asked.
    pub question: String,
    /// The answer given.
    pub answer: String,
    /// Helpful or not.
    pub rating: Rating,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// The answer that would have been right.
    #[serde(default)]
    pub better_answer: Option<String>,
    /// The citations shown, as the answer carried them.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub citations: Vec<serde_json::Value>,
}

/// Stored feedback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Feedback {
    /// Identifier (UUID version 7).
    pub id: String,
    /// Who gave it.
    pub caller: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub feedback: NewFeedback,
}

/// An API key as it is listed; the secret is not stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// Identifier, the visible middle part of the key.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// Groups for access lists.
    pub groups: BTreeSet<String>,
    /// Whether it may manage documents, keys and jobs.
    pub admin: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
}

/// A key to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewKey {
    /// What it is for.
    pub name: String,
    /// Groups for access lists.
    pub groups: BTreeSet<String>,
    /// Whether it may manage documents, keys and jobs.
    pub admin: bool,
}

/// A handle to the catalog; clones share it.
#[derive(Clone)]
pub struct Catalog {
    folder: Arc<PathBuf>,
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalog").field("folder", &self.folder).finish_non_exhaustive()
    }
}

// API contract; bodies are being written.
#[allow(unused_variables, clippy::todo, reason = "contract")]
impl Catalog {
    /// Opens the catalog of data folder `folder`, making or migrating it as needed.
    pub fn open(folder: &Path) -> Result<Self> {
        todo!()
    }
    /// The data folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Stores an original under its hash: written to a temporary name, synced, renamed. Storing it again is free.
    pub fn store_original(&self, bytes: &[u8]) -> Result<ContentHash> {
        todo!()
    }
    /// An original, if it is stored.
    pub fn original(&self, hash: &ContentHash) -> Result<Option<Vec<u8>>> {
        todo!()
    }
    /// Path of a stored original, for streaming.
    pub fn original_path(&self, hash: &ContentHash) -> PathBuf {
        todo!()
    }

    /// Registers an upload: the document as pending (an earlier version stays live) and a job, in one transaction.
    ///
    /// # Errors
    /// `QueueFull` when `max_queued` jobs wait already.
    pub fn enqueue(
        &self,
        document: &NewDocument,
        hash: &ContentHash,
        size: u64,
        max_queued: usize,
    ) -> Result<Job> {
        todo!()
    }
    /// Takes the oldest job that waits, or whose lease of `lease_seconds` ran out; at most 3 attempts, then it fails.
    pub fn lease_job(&self, worker: &str, lease_seconds: u64) -> Result<Option<(Job, NewDocument)>> {
        todo!()
    }
    /// Prolongs a lease; false when it was lost.
    pub fn extend_lease(&self, job: &str, worker: &str, lease_seconds: u64) -> Result<bool> {
        todo!()
    }
    /// Ends a job: `Ok` for done, `Err(reason)` for failed (the document shows the reason too).
    pub fn finish_job(&self, job: &str, outcome: std::result::Result<(), &str>) -> Result<()> {
        todo!()
    }
    /// A job.
    pub fn job(&self, id: &str) -> Result<Option<Job>> {
        todo!()
    }
    /// Jobs waiting and running.
    pub fn open_jobs(&self) -> Result<(u64, u64)> {
        todo!()
    }

    /// Whether the document's live version has this content and pipeline (then parsing can be skipped; its meta may still differ).
    pub fn is_current(&self, source: &str, hash: &ContentHash, pipeline: u32) -> Result<bool> {
        todo!()
    }
    /// Makes parsed content the live version in one transaction with its change number; the version before retires.
    ///
    /// Same content and pipeline: only meta is compared, and a `Meta` change recorded where it differs.
    pub fn commit_version(&self, document: &NewDocument, version: &NewVersion) -> Result<Committed> {
        todo!()
    }
    /// Records why a document's newest content could not be read; a version that was live stays live.
    pub fn commit_failure(
        &self,
        document: &NewDocument,
        hash: Option<&ContentHash>,
        reason: &str,
    ) -> Result<DocumentId> {
        todo!()
    }
    /// Replaces tags, access list, date and successor; `None` where nothing changed or there is no such document.
    pub fn set_meta(&self, id: DocumentId, meta: &DocumentMeta) -> Result<Option<Seq>> {
        todo!()
    }
    /// Deletes a document with all its versions; `None` where there is none. From the return on nothing answers from it.
    pub fn delete(&self, id: DocumentId) -> Result<Option<Seq>> {
        todo!()
    }

    /// A document.
    pub fn document(&self, id: DocumentId) -> Result<Option<Document>> {
        todo!()
    }
    /// Documents by page.
    pub fn documents(&self, query: &DocumentQuery) -> Result<DocumentPage> {
        todo!()
    }
    /// The parsed text of a version that is live, or was and is still kept; cached, bounded.
    pub fn parsed(&self, id: DocumentId, version: u32) -> Result<Option<Arc<Parsed>>> {
        todo!()
    }
    /// Versions kept of a document: number, hash, size, when.
    pub fn versions(&self, id: DocumentId) -> Result<Vec<(u32, ContentHash, u64, Timestamp)>> {
        todo!()
    }
    /// Chunks of the live version, in order.
    pub fn chunks(&self, id: DocumentId) -> Result<Vec<Chunk>> {
        todo!()
    }
    /// Looks hits up: only those that are live and readable, in the order given (invariant 2).
    pub fn live_chunks(&self, ids: &[ChunkId], access: &Access) -> Result<Vec<LiveChunk>> {
        todo!()
    }
    /// Counts: documents live, chunks live.
    pub fn counts(&self) -> Result<(u64, u64)> {
        todo!()
    }

    /// Changes after `seq`, oldest first.
    pub fn changes_after(&self, seq: Seq, limit: usize) -> Result<Vec<Change>> {
        todo!()
    }
    /// The newest change.
    pub fn last_seq(&self) -> Result<Seq> {
        todo!()
    }
    /// Ids of all live documents, ascending, for a rebuild or a check.
    pub fn live_documents(&self) -> Result<Vec<DocumentId>> {
        todo!()
    }

    /// Vectors of texts by hash, where they were computed before by embedder `embedder`.
    pub fn vectors(&self, embedder: &str, hashes: &[ContentHash]) -> Result<BTreeMap<ContentHash, Vec<f32>>> {
        todo!()
    }
    /// Stores vectors.
    pub fn put_vectors(&self, embedder: &str, vectors: &[(ContentHash, Vec<f32>)]) -> Result<()> {
        todo!()
    }
    /// A named checkpoint (such as `vectors:<embedder>`): the last change an index holds.
    pub fn checkpoint(&self, name: &str) -> Result<Seq> {
        todo!()
    }
    /// Moves a checkpoint.
    pub fn set_checkpoint(&self, name: &str, seq: Seq) -> Result<()> {
        todo!()
    }

    /// Stores feedback.
    pub fn add_feedback(&self, caller: &str, feedback: &NewFeedback) -> Result<Feedback> {
        todo!()
    }
    /// Feedback, newest first.
    pub fn feedback(&self, limit: usize) -> Result<Vec<Feedback>> {
        todo!()
    }

    /// Makes a key and gives its secret (`lore_<id>_<random>`), which is not stored and never shown again.
    pub fn create_key(&self, key: &NewKey) -> Result<(ApiKey, String)> {
        todo!()
    }
    /// All keys, revoked ones too.
    pub fn keys(&self) -> Result<Vec<ApiKey>> {
        todo!()
    }
    /// Revokes a key; false where there is none such.
    pub fn revoke_key(&self, id: &str) -> Result<bool> {
        todo!()
    }
    /// The key that a secret belongs to, unless it is unknown or revoked; constant time in the secret.
    pub fn authenticate(&self, secret: &str) -> Result<Option<ApiKey>> {
        todo!()
    }
}
