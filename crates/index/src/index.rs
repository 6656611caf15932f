//! The indexes of a data folder, as a searcher holds them.
#![allow(unused_variables, clippy::todo, clippy::unused_async, reason = "contract")]

use lore_core::{Access, Embedder, Filter, ScoredChunk};
use serde::Serialize;

use crate::catalog::Catalog;
use crate::config::IndexConfig;
use crate::error::Result;
use crate::follow::FollowReport;
use crate::owner::Owner;

/// Differences between the catalog and the indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Live documents compared.
    pub documents: u64,
    /// Live chunks compared.
    pub chunks: u64,
    /// Each difference, in words; empty when all agree.
    pub differences: Vec<String>,
}

/// Both indexes of a data folder; clones share them.
#[derive(Clone, Debug)]
pub struct Index {
    catalog: Catalog,
}

impl Index {
    /// Opens the indexes under `catalog`'s folder, rebuilding one that is missing, damaged or made for another embedder from the catalog as it follows.
    ///
    /// The owner's lock is held for as long as a clone lives.
    pub async fn open(
        catalog: Catalog,
        config: IndexConfig,
        embedder: Embedder,
        owner: Owner,
    ) -> Result<Self> {
        todo!()
    }
    /// The catalog.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }
    /// The embedder whose vectors these are.
    pub fn embedder(&self) -> &Embedder {
        todo!()
    }
    /// Publishes the owner's address; see [`Owner::publish`].
    pub fn publish(&self, url: &str, token: &str) -> Result<()> {
        todo!()
    }
    /// Chunks nearest to the unit vector `query` (cosine), best first. ACL and filter are applied in the index.
    pub async fn search_dense(
        &self,
        query: &[f32],
        filter: &Filter,
        access: &Access,
        limit: usize,
    ) -> Result<Vec<ScoredChunk>> {
        todo!()
    }
    /// Chunks with the words of `query` (BM25), best first.
    pub async fn search_lexical(
        &self,
        query: &str,
        filter: &Filter,
        access: &Access,
        limit: usize,
    ) -> Result<Vec<ScoredChunk>> {
        todo!()
    }
    /// Cosine similarity of `query` to chunks that are known by id (for candidates that only the lexical side found); `None` where there is no vector.
    pub async fn similarities(&self, query: &[f32], ids: &[lore_core::ChunkId]) -> Result<Vec<Option<f32>>> {
        todo!()
    }
    /// Applies all changes that are waiting; `progress` hears (changes done, changes known).
    pub async fn follow(&self, progress: &(dyn Fn(u64, u64) + Send + Sync)) -> Result<FollowReport> {
        todo!()
    }
    /// Follows for as long as `stop` is not set: polls the catalog every `every`, and at once when [`Index::nudge`] is called.
    pub async fn run(
        &self,
        every: std::time::Duration,
        stop: tokio::sync::watch::Receiver<bool>,
    ) -> Result<()> {
        todo!()
    }
    /// Says that the catalog changed.
    pub fn nudge(&self) {
        todo!()
    }
    /// Throws both indexes away and builds them again from the catalog; searches keep the old ones until the new are ready.
    pub async fn rebuild(&self, progress: &(dyn Fn(u64, u64) + Send + Sync)) -> Result<FollowReport> {
        todo!()
    }
    /// Compares catalog, vectors and lexical index.
    pub async fn check(&self) -> Result<CheckReport> {
        todo!()
    }
    /// Inverse document frequency of the words of `text` in the lexical index, analysed as the index does: (token, idf).
    pub fn term_weights(&self, text: &str) -> Result<Vec<(String, f32)>> {
        todo!()
    }
    /// The terms of `text` in order, analysed as the lexical index analyses (the tokens of [`Index::term_weights`]).
    pub fn analyze(&self, text: &str) -> Vec<String> {
        todo!()
    }
    /// Flushes and closes.
    pub async fn close(self) -> Result<()> {
        todo!()
    }
}
