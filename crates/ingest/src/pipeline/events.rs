//! What a run is told, and what it tells.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lore_core::{DocumentId, DocumentMeta};
use serde::Serialize;

/// How folders are ingested.
#[derive(Clone, Debug, Default)]
pub struct IngestOptions {
    /// Delete documents whose file has gone from the folder, or is ignored now.
    pub prune: bool,
    /// Groups added to the access list that the manifests give.
    pub acl: BTreeSet<String>,
    /// Tags added to those of the manifests; the same key replaces.
    pub tags: BTreeMap<String, String>,
    /// Set to end the run after the file at hand.
    pub stop: Arc<AtomicBool>,
}

impl IngestOptions {
    /// `meta` with these additions.
    pub(crate) fn add_to(&self, mut meta: DocumentMeta) -> DocumentMeta {
        meta.acl.0.extend(self.acl.iter().cloned());
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
