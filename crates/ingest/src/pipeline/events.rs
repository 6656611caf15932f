//! What a run is told, and what it tells.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lore_core::{Acl, DocumentId, DocumentMeta};
use lore_index::AclChoice;
use serde::Serialize;

/// How folders are ingested.
#[derive(Clone, Debug, Default)]
pub struct IngestOptions {
    /// Delete documents whose file has gone from the folder, or is ignored now.
    pub prune: bool,
    /// Prune even where the folder looks as if its disk were not there.
    pub force: bool,
    /// Only these groups, of those that the manifests let read; empty where nothing is wanted. It counts as set by hand.
    pub acl: BTreeSet<String>,
    /// Give `acl` to documents that are new alone; what was set by hand on others holds.
    pub acl_of_new: bool,
    /// Go back to the manifests' access lists where others were set by hand.
    pub reset_acl: bool,
    /// Read files again that could not be read before.
    pub retry_failed: bool,
    /// Tags added to those of the manifests; the same key replaces.
    pub tags: BTreeMap<String, String>,
    /// Set to end the run after the file at hand.
    pub stop: Arc<AtomicBool>,
}

impl IngestOptions {
    /// What is wanted of the access list of a document that is `known` or new.
    pub(crate) fn choice(&self, known: bool) -> AclChoice {
        match (self.reset_acl, self.acl.is_empty()) {
            (true, _) => AclChoice::Reset,
            (false, false) if !(known && self.acl_of_new) => AclChoice::Set(Acl(self.acl.clone())),
            _ => AclChoice::Keep,
        }
    }

    /// `meta` with these tags.
    pub(crate) fn add_to(&self, mut meta: DocumentMeta) -> DocumentMeta {
        meta.tags.extend(self.tags.iter().map(|(k, v)| (k.clone(), v.clone())));
        meta
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What became of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It is new.
    Added {
        /// The document.
        document: DocumentId,
        /// Its live version.
        version: u32,
        /// Its pages, 0 where the format has none.
        pages: u32,
        /// Its chunks.
        chunks: u32,
    },
    /// It has a new version.
    Updated {
        /// The document.
        document: DocumentId,
        /// Its live version.
        version: u32,
        /// Its pages, 0 where the format has none.
        pages: u32,
        /// Its chunks.
        chunks: u32,
    },
    /// Only name, tags, access list, date or successor changed.
    MetaOnly {
        /// The document.
        document: DocumentId,
    },
    /// Nothing changed.
    Unchanged {
        /// The document.
        document: DocumentId,
    },
    /// Its content could not be read; an earlier version stays live.
    Failed {
        /// The document.
        document: DocumentId,
        /// Why, in words for a person.
        reason: String,
    },
    /// The file is no document.
    Skipped {
        /// Why, in words for a person.
        reason: String,
    },
    /// Its file has gone, and so has it.
    Removed {
        /// The document.
        document: DocumentId,
    },
}

/// What happens during a run, in order; each is a line of `--json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum IngestEvent {
    /// The folders were walked.
    Discovered {
        /// Files to look at.
        total: u64,
        /// Their size.
        bytes: u64,
    },
    /// A file is being read.
    Started {
        /// Its name.
        name: String,
        /// Its size in bytes.
        size: u64,
    },
    /// A file is done, was skipped, or its document was removed.
    Finished {
        /// Its name.
        name: String,
        /// What became of it.
        #[serde(flatten)]
        outcome: Outcome,
    },
    /// An access list that was set by hand holds, in place of another that the source gives.
    KeptAccess {
        /// The document's name.
        name: String,
    },
    /// Something that the person should know; the run goes on.
    Warning {
        /// What.
        message: String,
    },
    /// The run is over.
    Done(IngestReport),
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct IngestReport {
    /// New documents.
    pub added: u64,
    /// Documents with a new version.
    pub updated: u64,
    /// Documents of which only tags and the like changed.
    pub meta_only: u64,
    /// Documents that were up to date.
    pub unchanged: u64,
    /// Files that are no documents.
    pub skipped: u64,
    /// Files that could not be read.
    pub failed: u64,
    /// Documents that were removed.
    pub removed: u64,
    /// Documents that were not removed, because the folder looks as if its disk were not there.
    pub not_pruned: u64,
    /// Documents whose access list was set by hand and holds, in place of another that their source gives.
    pub kept_access: u64,
    /// Pages parsed.
    pub pages: u64,
    /// Chunks made.
    pub chunks: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Wall-clock time.
    pub seconds: f64,
    /// Whether the run was ended before all files were looked at.
    pub stopped: bool,
}

impl IngestReport {
    pub(crate) fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Added { pages, chunks, .. } => {
                self.added += 1;
                self.pages += u64::from(*pages);
                self.chunks += u64::from(*chunks);
            }
            Outcome::Updated { pages, chunks, .. } => {
                self.updated += 1;
                self.pages += u64::from(*pages);
                self.chunks += u64::from(*chunks);
            }
            Outcome::MetaOnly { .. } => self.meta_only += 1,
            Outcome::Unchanged { .. } => self.unchanged += 1,
            Outcome::Failed { .. } => self.failed += 1,
            Outcome::Skipped { .. } => self.skipped += 1,
            Outcome::Removed { .. } => self.removed += 1,
        }
    }

    /// Whether the catalog changed.
    pub fn changed(&self) -> bool {
        self.added + self.updated + self.meta_only + self.removed > 0
    }
}
