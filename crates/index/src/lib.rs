//! The catalog (the truth) and the indexes that are caches of it.
//!
//! - [`catalog`]: documents, versions, text, chunks, jobs, feedback, keys, releases, conversations, in SQLite (WAL; several processes at once).
//! - [`vector`] and [`lexical`]: dense and word search; each remembers the last change that it holds.
//! - [`follow`]: applies the catalog's changes to both, in order.
//! - [`index`]: what a searcher holds: both indexes behind one owner's lock.
//! - [`owner`]: one process owns the indexes of a data folder; the others find it here.

mod apply;
pub mod catalog;
mod check;
pub mod config;
pub mod error;
pub mod follow;
mod generation;
pub mod index;
pub mod lexical;
mod mark;
mod open;
pub mod owner;
pub mod payload;
mod rebuild;
mod seed;
pub mod vector;

pub use catalog::{
    AclChoice, ApiKey, Catalog, Change, ChangeKind, ChunkPlace, Committed, ConversationPage,
    ConversationQuery, DocumentFacets, DocumentOrder, DocumentPage, DocumentQuery, Feedback, FeedbackChange,
    Group, GroupFilter, Groups, Job, JobKind, JobState, KeptVersion, KeyName, Label, LabelCounts, LiveChunk,
    MetaChange, NewDocument, NewFeedback, NewKey, NewRelease, NewTraining, NewTurn, NewVersion, Promotion,
    Rating, Release, ReleaseDetails, ReleaseOrigin, ReleaseSource, ReleaseState, ReleaseVerdict, Rollback,
    SourceState, StoredSource, TrainerOrder, TrainerSeen, Training, TrainingControl, TrainingEnd,
    TrainingFigure, TrainingOutcome, TrainingPhase, TrainingProgress, TrainingState, Upload,
};
pub use config::{Bm25, IndexConfig, VectorBackend};
pub use error::IndexError;
pub use follow::FollowReport;
pub use index::{CheckReport, Index};
pub use mark::Mark;
pub use owner::{Owner, OwnerInfo};
pub use rebuild::{RebuildState, RebuildStatus};
