//! Retrieval measured against relevance judgements.

use std::collections::HashSet;
use std::time::Instant;

use lore_core::{Access, Filter, SearchMode};
use serde::Serialize;

use crate::error::Result;
use crate::eval::dataset::RetrievalSet;
use crate::eval::metrics::{ndcg, recall, reciprocal_rank};
use crate::retrieve::{Retriever, SearchRequest};

/// Means over all judged queries.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RetrievalReport {
    /// Name of the data set.
    pub dataset: String,
    /// Which retrievers looked.
    pub mode: SearchMode,
    /// Number of queries.
    pub queries: usize,
    /// [`ndcg`] of the first 10 documents.
    #[serde(rename = "ndcg@10")]
    pub ndcg_10: f64,
    /// [`reciprocal_rank`] in the first 10.
    #[serde(rename = "mrr@10")]
    pub mrr_10: f64,
    /// [`recall`] of the first 10.
    #[serde(rename = "recall@10")]
    pub recall_10: f64,
    /// [`recall`] of the first 100.
    #[serde(rename = "recall@100")]
    pub recall_100: f64,
    /// Time for all queries.
    pub seconds: f64,
}

/// Chunks asked for, so that 100 documents come together where documents have several chunks.
const CHUNKS: usize = 400;

/// Runs every query of `set`; a document stands where its best chunk stands. `progress` hears the queries done.
///
/// # Errors
/// Fails where a search fails.
pub async fn run(
    retriever: &Retriever,
    name: &str,
    set: &RetrievalSet,
    mode: SearchMode,
    progress: &(dyn Fn(usize) + Send + Sync),
) -> Result<RetrievalReport> {
    let started = Instant::now();
    let mut sums = [0f64; 4];
    for (done, (id, query)) in set.queries.iter().enumerate() {
        let request = SearchRequest {
            query: query.clone(),
            mode,
            filter: Filter::default(),
            access: Access::All,
            limit: CHUNKS,
        };
        let retrieval = retriever.search(&request).await?;
        let mut seen = HashSet::new();
        let ranking: Vec<String> = retrieval
            .hits
            .iter()
            .filter(|hit| seen.insert(hit.live.chunk.document))
            .map(|hit| hit.live.document.name.clone())
            .collect();
        if let Some(gains) = set.judgements.get(id) {
            sums[0] += ndcg(&ranking, gains, 10);
            sums[1] += reciprocal_rank(&ranking, gains, 10);
            sums[2] += recall(&ranking, gains, 10);
            sums[3] += recall(&ranking, gains, 100);
        }
        progress(done + 1);
    }
    let count = set.queries.len().max(1) as f64;
    Ok(RetrievalReport {
        dataset: name.to_owned(),
        mode,
        queries: set.queries.len(),
        ndcg_10: sums[0] / count,
        mrr_10: sums[1] / count,
        recall_10: sums[2] / count,
        recall_100: sums[3] / count,
        seconds: started.elapsed().as_secs_f64(),
    })
}
