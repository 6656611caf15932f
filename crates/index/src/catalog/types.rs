//! What goes into the catalog and comes out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use lore_core::{
    Access, Acl, Chunk, ContentHash, Document, DocumentId, DocumentMeta, Format, NewChunk, Parsed, Seq,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A document as its source knows it, before it is parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDocument {
    /// URI: `file:///...` or `upload:NAME`. The id derives from it.
    pub source: String,
    /// Display name: path relative to the ingested folder, or the upload's file name.
    pub name: String,
    /// Format.
    pub format: Format,
    /// Tags, date, successor, and the access list that the source gives (none for an upload).
    pub meta: DocumentMeta,
    /// What a person wants of the access list.
    pub acl: AclChoice,
}

/// What a person wants of a document's access list when its content is taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AclChoice {
    /// Nothing: a list that was set by hand before holds, cut to what the source gives where that changed since; else
    /// the source's holds.
    #[default]
    Keep,
    /// Only these groups, of those that the source lets read it; it holds until a person sets another.
    Set(Acl),
    /// What the source gives, whatever was set by hand before.
    Reset,
}

/// A change to what is known of a document; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetaChange {
    /// The access list, set by hand from then on.
    pub acl: Option<Acl>,
    /// All its tags.
    pub tags: Option<BTreeMap<String, String>>,
    /// Date from which it holds.
    pub date: Option<Option<Date>>,
    /// Name of the document that replaces it.
    pub superseded_by: Option<Option<String>>,
}

/// A version of a document that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptVersion {
    /// Its number, from 1.
    pub version: u32,
    /// Hash of its original.
    pub content_hash: ContentHash,
    /// Size of its original in bytes.
    pub size: u64,
    /// When it went live.
    pub created_at: Timestamp,
}

/// An upload whose original is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The document.
    pub document: NewDocument,
    /// Hash of its original.
    pub hash: ContentHash,
    /// Size of its original in bytes.
    pub size: u64,
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
    /// What else decides how content is cut (settings, tokenizer); where it differs, content is cut again.
    pub recipe: String,
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
    /// Whether an access list that was set by hand holds in place of another that the source gives.
    pub kept_acl: bool,
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
    /// Only this format.
    pub format: Option<Format>,
    /// Only with this tag.
    pub tag: Option<(String, String)>,
    /// Only those that a group may read by name, or that everyone may.
    pub group: Option<GroupFilter>,
    /// What the caller may see.
    pub access: Access,
    /// In which order.
    pub order: DocumentOrder,
    /// The other way round.
    pub descending: bool,
    /// At most so many.
    pub limit: usize,
    /// The cursor that the page before gave.
    pub after: Option<String>,
    /// How many to pass over first.
    pub skip: usize,
}

/// Which access lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupFilter {
    /// Those that name no group.
    Everyone,
    /// Those that name this one.
    Named(String),
}

/// What documents are ordered by; where it is the same for two, by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DocumentOrder {
    /// Name.
    #[default]
    Name,
    /// Time of the last change.
    Updated,
    /// Size of the original.
    Size,
    /// Number of chunks.
    Chunks,
    /// Number of pages.
    Pages,
}

/// What there is to filter documents by, with the number of documents each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DocumentFacets {
    /// Documents in all.
    pub documents: u64,
    /// Chunks in all.
    pub chunks: u64,
    /// By state.
    pub states: BTreeMap<String, u64>,
    /// By format.
    pub formats: BTreeMap<String, u64>,
    /// By tag, as `key=value`; those of most documents, where there are many.
    pub tags: BTreeMap<String, u64>,
    /// By group of the access list; those of most documents, where there are many.
    pub groups: BTreeMap<String, u64>,
    /// Documents that everyone may read.
    pub open: u64,
}

/// Where a chunk of the live version lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkPlace {
    /// Its number in the version, from 0.
    pub ordinal: u32,
    /// Its place.
    pub place: NewChunk,
}

impl Default for DocumentQuery {
    fn default() -> Self {
        Self {
            text: None,
            name_prefix: None,
            source_prefix: None,
            state: None,
            format: None,
            tag: None,
            group: None,
            access: Access::All,
            order: DocumentOrder::Name,
            descending: false,
            limit: 50,
            after: None,
            skip: 0,
        }
    }
}

/// A page of documents, in the order that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentPage {
    /// The documents.
    pub documents: Vec<Document>,
    /// Cursor of the next page, if there is one.
    pub next: Option<String>,
    /// Documents in all that match.
    pub total: u64,
}

/// A label and how many live documents have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Label {
    /// The tag's key; empty for a language.
    pub key: String,
    /// The tag's value, or the language as ISO 639-1 writes it.
    pub value: String,
    /// Live documents that have it.
    pub documents: u64,
}

/// What the live documents may be filtered by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LabelCounts {
    /// Tags, the most frequent first.
    pub tags: Vec<Label>,
    /// Languages, the most frequent first.
    pub languages: Vec<Label>,
    /// The earliest date of a document.
    pub first_date: Option<String>,
    /// The latest date of a document.
    pub last_date: Option<String>,
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

impl NewFeedback {
    /// The document that a citation names.
    pub fn document_of(citation: &serde_json::Value) -> Option<DocumentId> {
        citation.get("document")?.as_str()?.parse().ok()
    }

    /// The documents that are cited.
    pub fn documents(&self) -> impl Iterator<Item = DocumentId> {
        self.citations.iter().filter_map(Self::document_of)
    }
}

/// What to change of feedback; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FeedbackChange {
    /// Helpful or not.
    pub rating: Option<Rating>,
    /// Why; empty for no reason.
    pub reason: Option<String>,
    /// The answer that would have been right; empty for none.
    pub better_answer: Option<String>,
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
    /// When it was last used, to the minute.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
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
