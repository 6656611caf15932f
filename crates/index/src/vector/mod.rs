//! Vector search with Qdrant, in this process ([`EdgeStore`]) or on a server ([`ServerStore`]), behind one API.
//!
//! A store holds one generation: the vectors of one embedder, built from the catalog. Vectors are unit vectors and
//! compared by their dot product, which is their cosine. All writes are idempotent: points have the chunks' ids, so a
//! change that is applied twice leaves the same points.

mod edge;
mod server;
#[cfg(test)]
mod tests;

use std::path::Path;

use lore_core::model::EmbedderInfo;
use lore_core::{Access, ChunkId, DocumentId, Filter, ScoredChunk};
use serde_json::{Value, json};

pub use self::edge::EdgeStore;
pub use self::server::ServerStore;
use crate::config::VectorBackend;
use crate::error::Result;
use crate::payload::{Condition, Labels, Payload, conditions};

/// Changes whenever points are stored in another way; a store in another format is rebuilt.
const FORMAT: u32 = 1;

/// Fields that are filtered on, and whether they are numbers.
const FIELDS: [(&str, bool); 7] = [
    ("document", false),
    ("access", false),
    ("tags", false),
    ("language", false),
    ("date", true),
    ("version", true),
    ("ordinal", true),
];

/// Points fetched beyond the limit, so that equal ones at the end are taken by id, not by where they happen to lie.
const TIES: usize = 16;

/// Beam of an approximate search; wider is slower and nearer to exact.
const SEARCH_BEAM: usize = 128;

/// A chunk's vector with what can be filtered on.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The chunk.
    pub id: ChunkId,
    /// Unit vector.
    pub vector: Vec<f32>,
    /// What can be filtered on.
    pub payload: Payload,
}

/// A page of points, in the order of their ids.
#[derive(Clone, Debug, Default)]
pub struct PointPage {
    /// Id and payload of each; `None` where the payload cannot be read.
    pub points: Vec<(ChunkId, Option<Payload>)>,
    /// Id that the next page starts with.
    pub next: Option<ChunkId>,
}

/// Vectors of one embedder.
#[derive(Clone, Debug)]
pub enum VectorStore {
    /// In this process, under the data folder.
    Edge(EdgeStore),
    /// On a Qdrant server or cluster.
    Server(ServerStore),
}

/// What the names of an embedder's generations start with.
pub(crate) fn kind(backend: &VectorBackend, embedder: &EmbedderInfo) -> String {
    let key = format!("{}\n{}\n{FORMAT}", embedder.id, embedder.dimension);
    let hash = lore_core::ContentHash::of(key.as_bytes());
    let short = &hash.as_str()[..12];
    match backend {
        VectorBackend::Edge => format!("edge-{short}"),
        VectorBackend::Server { .. } => short.to_owned(),
    }
}

impl VectorStore {
    /// Makes an empty store for vectors of length `dimension`: in `folder`, or as the server's collection `name`, which
    /// is `OWNER-GENERATION`; collections of other owners are never touched.
    ///
    /// # Errors
    /// When the server cannot be reached, or the configured alias is another owner's; and those of the disk.
    pub async fn create(
        backend: &VectorBackend,
        folder: &Path,
        name: &str,
        dimension: usize,
    ) -> Result<Self> {
        match backend {
            VectorBackend::Edge => Ok(Self::Edge(EdgeStore::create(folder, dimension).await?)),
            VectorBackend::Server { .. } => {
                Ok(Self::Server(ServerStore::create(backend, name, dimension).await?))
            }
        }
    }

    /// Opens a store that [`VectorStore::create`] made; `None` where it is missing or damaged.
    ///
    /// # Errors
    /// When the server cannot be reached, or the folder is in use.
    pub async fn open(
        backend: &VectorBackend,
        folder: &Path,
        name: &str,
        dimension: usize,
    ) -> Result<Option<Self>> {
        match backend {
            VectorBackend::Edge => Ok(EdgeStore::open(folder, dimension).await?.map(Self::Edge)),
            VectorBackend::Server { .. } => {
                Ok(ServerStore::open(backend, name, dimension).await?.map(Self::Server))
            }
        }
    }

    /// Asks whether the vectors can be searched now; one try, a few seconds at most.
    ///
    /// # Errors
    /// `Unreachable` where they are on a server that does not answer.
    pub async fn reach(&self) -> Result<()> {
        match self {
            Self::Edge(_) => Ok(()),
            Self::Server(store) => store.reach().await,
        }
    }

    /// Adds points, replacing those with the same ids. When it returns, searches find them.
    pub async fn upsert(&self, points: Vec<Point>) -> Result<()> {
        match self {
            _ if points.is_empty() => Ok(()),
            Self::Edge(store) => store.upsert(points).await,
            Self::Server(store) => store.upsert(points).await,
        }
    }

    /// Removes all points of a document.
    pub async fn delete_document(&self, document: DocumentId) -> Result<()> {
        match self {
            Self::Edge(store) => store.delete(of_document(document)).await,
            Self::Server(store) => store.delete_document(document).await,
        }
    }

    /// Removes the points of a document that are not among the first `chunks` of `version`.
    pub async fn delete_stale(&self, document: DocumentId, version: u32, chunks: u32) -> Result<()> {
        match self {
            Self::Edge(store) => store.delete(stale(document, version, chunks)).await,
            Self::Server(store) => store.delete_stale(document, version, chunks).await,
        }
    }

    /// Replaces access list, tags, language and date of all points of a document.
    pub async fn set_labels(&self, document: DocumentId, labels: &Labels) -> Result<()> {
        match self {
            Self::Edge(store) => store.set_labels(document, labels.clone()).await,
            Self::Server(store) => store.set_labels(document, labels).await,
        }
    }

    /// The points nearest to the unit vector `vector`, best first, equal ones by id.
    pub async fn search(
        &self,
        vector: &[f32],
        filter: &Filter,
        access: &Access,
        limit: usize,
    ) -> Result<Vec<ScoredChunk>> {
        let conditions = conditions(filter, access);
        let mut found = match self {
            _ if limit == 0 => Vec::new(),
            Self::Edge(store) => {
                store.search(vector.to_vec(), &conditions, limit.saturating_add(TIES)).await?
            }
            Self::Server(store) => {
                store.search(vector.to_vec(), &conditions, limit.saturating_add(TIES)).await?
            }
        };
        found.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
        found.truncate(limit);
        Ok(found)
    }

    /// Vectors of points, in the order of `ids`; `None` where there is no such point.
    pub async fn vectors(&self, ids: &[ChunkId]) -> Result<Vec<Option<Vec<f32>>>> {
        let mut found = match self {
            _ if ids.is_empty() => return Ok(Vec::new()),
            Self::Edge(store) => store.vectors(ids.to_vec()).await?,
            Self::Server(store) => store.vectors(ids).await?,
        };
        Ok(ids.iter().map(|id| found.remove(id)).collect())
    }

    /// Up to `limit` points from id `from` on, in the order of their ids.
    pub async fn page(&self, from: Option<ChunkId>, limit: usize) -> Result<PointPage> {
        match self {
            Self::Edge(store) => store.page(from, limit.max(1)).await,
            Self::Server(store) => store.page(from, limit.max(1)).await,
        }
    }

    /// Points in all, or of one version of a document.
    pub async fn count(&self, of: Option<(DocumentId, u32)>) -> Result<u64> {
        match self {
            Self::Edge(store) => store.count(of).await,
            Self::Server(store) => store.count(of).await,
        }
    }

    /// Makes all writes so far durable; false when that must wait because the store is being optimised.
    pub async fn flush(&self) -> Result<bool> {
        match self {
            Self::Edge(store) => store.flush().await,
            Self::Server(_) => Ok(true),
        }
    }

    /// Builds and merges what makes searches fast; true when something was done. Blocks its thread for up to minutes;
    /// searches and writes go on meanwhile. A server does this by itself.
    pub fn optimise(&self) -> Result<bool> {
        match self {
            Self::Edge(store) => store.optimise(),
            Self::Server(_) => Ok(false),
        }
    }

    /// Makes this store the one that other readers of the server find under the configured name. In process there is
    /// nothing to do.
    ///
    /// # Errors
    /// When that name is another owner's.
    pub async fn publish(&self) -> Result<()> {
        match self {
            Self::Edge(_) => Ok(()),
            Self::Server(store) => store.publish().await,
        }
    }

    /// Removes the owner's other stores from the server, except `kept`; folders are their owner's to remove.
    pub async fn sweep(&self, kept: Option<&str>) -> Result<()> {
        match self {
            Self::Edge(_) => Ok(()),
            Self::Server(store) => store.sweep(kept).await,
        }
    }

    /// Removes all points.
    pub async fn clear(&self) -> Result<()> {
        match self {
            Self::Edge(store) => store.delete(json!({})).await,
            Self::Server(store) => store.clear().await,
        }
    }

    /// Closes the files, unless the store is being optimised; it cannot be used afterwards. Blocks.
    pub(crate) fn close(&self) {
        if let Self::Edge(store) = self {
            store.close();
        }
    }

    /// Removes the store from the server; a folder is its owner's to remove.
    pub async fn destroy(&self) -> Result<()> {
        match self {
            Self::Edge(_) => Ok(()),
            Self::Server(store) => store.destroy().await,
        }
    }
}

/// The filter that selects a document's points, as Qdrant's JSON.
fn of_document(document: DocumentId) -> Value {
    json!({"must": [matches("document", document.to_string())]})
}

/// The filter that selects the points of one version of a document.
fn of_version(document: DocumentId, version: u32) -> Value {
    json!({"must": [matches("document", document.to_string()), matches("version", version)]})
}

/// The filter of [`VectorStore::delete_stale`].
fn stale(document: DocumentId, version: u32, chunks: u32) -> Value {
    let other_version = json!({"must_not": [matches("version", version)]});
    let beyond = json!({"key": "ordinal", "range": {"gte": chunks}});
    json!({"must": [matches("document", document.to_string()), {"should": [other_version, beyond]}]})
}

/// The filter of a search.
fn of_conditions(conditions: &[Condition]) -> Value {
    let must: Vec<Value> = conditions
        .iter()
        .map(|condition| match condition {
            Condition::Any(key, values) => json!({"key": key, "match": {"any": values}}),
            Condition::Days(from, to) => json!({"key": "date", "range": {"gte": from, "lte": to}}),
        })
        .collect();
    json!({ "must": must })
}

fn matches(key: &str, value: impl Into<Value>) -> Value {
    json!({"key": key, "match": {"value": value.into()}})
}
