//! The catalog: the one place where documents, versions, text, chunks, jobs, feedback, keys and
//! conversations are true.
//!
//! All methods block on SQLite; async callers use `tokio::task::spawn_blocking`. Several processes may have the same
//! catalog open (WAL mode, busy time-out); each change to a document gets its [`Seq`](lore_core::Seq) in the same
//! transaction, and a change that was acknowledged is on the disk.
//!
//! One room per concern, each an `impl Catalog`: `documents` (meta, delete), `listing` and `facets` (which there are),
//! `deleted` (what can be brought back), `retry` (what failed), `access` (who may read them), `commit`
//! (versions going live), `current` (what needs no reading), `text` (parsed text, chunks, hits), `outlines` (labels and
//! headings of them all), `changes`, `jobs`,
//! `originals`, `vectors`, `feedback`, `keys`, `sessions`, `groups`, `releases`, `trainings` and `trainers`, `conversations` (kept) and `reread` (shown again), `upkeep`; below them `schema`, `db` (connections) and `rows` (conversions).

mod access;
mod changes;
mod commit;
mod conversations;
mod current;
mod db;
mod deleted;
mod documents;
mod facets;
mod feedback;
mod groups;
mod jobs;
mod keys;
mod listing;
mod originals;
mod outlines;
mod release_types;
mod releases;
mod reread;
mod retry;
mod rows;
mod schema;
mod sessions;
#[cfg(test)]
mod tests;
mod text;
mod trainers;
mod training_types;
mod trainings;
mod types;
mod upkeep;
mod vectors;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rusqlite::Transaction;

pub use commit::title_of;
pub use conversations::{ConversationPage, ConversationQuery, NewTurn};
pub use groups::{Group, Groups, KeyName};
pub use release_types::{
    NewRelease, Promotion, Release, ReleaseDetails, ReleaseOrigin, ReleaseSource, ReleaseState,
    ReleaseVerdict, Rollback, SourceState, StoredSource,
};
pub use releases::check_release_name;
pub use training_types::{
    NewTraining, TrainerOrder, TrainerSeen, Training, TrainingControl, TrainingEnd, TrainingFigure,
    TrainingOutcome, TrainingPhase, TrainingProgress, TrainingState,
};
pub use types::{
    AclChoice, ApiKey, Change, ChangeKind, ChunkPlace, Committed, DocumentFacets, DocumentOrder,
    DocumentPage, DocumentQuery, Feedback, FeedbackChange, GroupFilter, Job, JobKind, JobState, KeptVersion,
    Label, LabelCounts, LiveChunk, MetaChange, NewDocument, NewFeedback, NewKey, NewVersion, Rating, Upload,
};
pub use upkeep::Vacuumed;

use self::db::{Db, Durability, Write};
use self::text::TextCache;
use crate::error::{IndexError, Result};
use crate::owner;

/// The database's file name in the data folder.
const DATABASE: &str = "catalog.db";
/// Held while the database is made or migrated.
const OPENING: &str = "catalog.lock";

/// A handle to the catalog; clones share it.
#[derive(Clone)]
pub struct Catalog {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    db: Db,
    texts: Mutex<TextCache>,
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalog").field("folder", &self.inner.folder).finish_non_exhaustive()
    }
}

impl Catalog {
    /// Opens the catalog of data folder `folder`, making or migrating it as needed.
    ///
    /// A folder that is made here is readable by its user alone.
    ///
    /// # Errors
    /// `NewerSchema` when a newer program wrote the catalog, `Damaged` when the file is no database, `DiskFull`, `Io`.
    pub fn open(folder: &Path) -> Result<Self> {
        owner::make_private(folder)?;
        let lock_path = folder.join(OPENING);
        let opening = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|error| IndexError::io(&lock_path, error))?;
        // One process at a time: the change to WAL mode does not wait for others as other statements do.
        opening.lock().map_err(|error| IndexError::io(&lock_path, error))?;
        let db = Db::open(&folder.join(DATABASE))?;
        drop(opening);
        let catalog = Self {
            inner: Arc::new(Inner { folder: folder.to_owned(), db, texts: Mutex::new(TextCache::new()) }),
        };
        if let Err(error) = catalog.remove_expired() {
            // Another process may be writing for long; nothing of it answers meanwhile.
            tracing::warn!(%error, "deleted documents could not be removed yet; the next start tries again");
        }
        if catalog.has_garbage()? {
            catalog.sweep_or_warn();
        }
        Ok(catalog)
    }

    /// Whether data folder `folder` has a catalog.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(DATABASE).is_file()
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    fn read<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        self.inner.db.read(work)
    }

    /// Writes durably, then removes originals that the write left unreferenced.
    fn write<T>(&self, work: impl FnOnce(&Write<'_>) -> Result<T>) -> Result<T> {
        let (out, sweep) = self.inner.db.write(Durability::Full, |transaction| {
            let write = Write::new(transaction, rows::now());
            let out = work(&write)?;
            Ok((out, write.sweep.get()))
        })?;
        if sweep {
            self.sweep_or_warn();
        }
        Ok(out)
    }

    /// Writes what can be made again: kept when the process dies, not necessarily when the machine does.
    fn write_soon<T>(&self, work: impl FnOnce(&Write<'_>) -> Result<T>) -> Result<T> {
        self.inner.db.write(Durability::Soon, |transaction| work(&Write::new(transaction, rows::now())))
    }
}
