//! Settings of the indexes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where vectors live.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum VectorBackend {
    /// In this process, under the data folder.
    #[default]
    Edge,
    /// On a Qdrant server or cluster.
    Server {
        /// gRPC address, such as `http://127.0.0.1:6334`.
        url: String,
        /// API key, if the server wants one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        api_key: Option<String>,
        /// Name of the alias that others read; the collections behind it are `NAME-FOLDER-GENERATION`, where FOLDER is
        /// the data folder's own id. Each data folder on a server needs a name of its own, a copied one too.
        #[serde(default = "default_collection")]
        collection: String,
        /// Shards of a new collection.
        #[serde(default = "one")]
        shards: u32,
        /// Copies of each shard of a new collection.
        #[serde(default = "one")]
        replicas: u32,
    },
}

fn default_collection() -> String {
    "lore".into()
}

fn one() -> u32 {
    1
}

/// How words are scored.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Bm25 {
    /// Term saturation.
    pub bm25_k1: f32,
    /// Length normalisation.
    pub bm25_b: f32,
    /// Weight of a match in the title.
    pub title_boost: f32,
    /// Weight of a match in the headings.
    pub headings_boost: f32,
}

/// Settings of the indexes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IndexConfig {
    /// Where vectors live.
    pub vectors: VectorBackend,
    /// BM25 term saturation.
    pub bm25_k1: f32,
    /// BM25 length normalisation.
    pub bm25_b: f32,
    /// Weight of a match in the title.
    pub title_boost: f32,
    /// Weight of a match in the headings.
    pub headings_boost: f32,
    /// Memory of the lexical writer in bytes.
    pub lexical_writer_bytes: usize,
    /// Changes applied to the indexes in one go.
    pub follow_batch: usize,
}

impl IndexConfig {
    /// How words are scored.
    pub fn bm25(&self) -> Bm25 {
        let Self { bm25_k1, bm25_b, title_boost, headings_boost, .. } = *self;
        Bm25 { bm25_k1, bm25_b, title_boost, headings_boost }
    }
}

impl Default for IndexConfig {
    fn default() -> Self {
        Self {
            vectors: VectorBackend::Edge,
            bm25_k1: 0.9,
            bm25_b: 0.4,
            title_boost: 1.0,
            headings_boost: 0.5,
            lexical_writer_bytes: 64 << 20,
            follow_batch: 64,
        }
    }
}
