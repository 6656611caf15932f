//! Why a search gave what it gave: the place of each hit in each list, and what became of the other candidates.
//!
//! A search restricts its candidates in the indexes, so that what a filter or an access list leaves out never becomes
//! one. To tell of those, the indexes are asked again without the restrictions: without the filter, and with all that
//! whoever looks may read (`sees`). What that one may not read is counted at most, never named.

use std::collections::{BTreeMap, HashMap, HashSet};

use lore_core::{Access, ChunkId, Filter};
use lore_index::LiveChunk;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::Fusion;
use crate::error::Result;
use crate::fuse::Fused;
use crate::retrieve::{Hit, Retrieval, Retriever, SearchRequest, Stages};
use crate::weights::Weights;

/// Most dropped candidates that are told of one by one.
const TOLD: usize = 60;

/// Why a candidate is no hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is no longer live, though an index still has it.
    NotLive,
    /// The caller may not read it; told to administrators alone.
    NotAllowed,
    /// No longer live, or not for the caller to read: one who may not know which is told the number alone.
    Gone,
    /// The filter leaves it out.
    Filtered,
    /// It says the same as a better one.
    Folded,
    /// Another document supersedes its own, and without the factor for that it were among the hits.
    Superseded,
    /// Others are better.
    BelowLimit,
}

/// A candidate that is no hit.
#[derive(Clone, Debug)]
pub struct Dropped {
    /// Why.
    pub reason: Reason,
    /// Its scores; what there is of them.
    pub fused: Fused,
    /// The score after penalties and reranking, where it came so far.
    pub score: Option<f32>,
    /// The factor of that score.
    pub factor: f32,
    /// Cross-encoder score.
    pub rerank: Option<f32>,
    /// The hit that it was folded into.
    pub into: Option<ChunkId>,
    /// Its text and document, where they are known and may be shown.
    pub live: Option<LiveChunk>,
}

/// Places in the lists, from 1; none where a list does not have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Places {
    /// Among the nearest vectors.
    pub dense: Option<usize>,
    /// Among the best words.
    pub lexical: Option<usize>,
    /// After fusion, before penalties, folding and reranking.
    pub fused: Option<usize>,
}

/// Why a search gave what it gave.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    /// The settings in force.
    pub weights: Weights,
    /// How the lists became one for this query.
    pub fusion: Fusion,
    /// Whether the embedder understands the query's language.
    pub understood: bool,
    /// The query's words as the index has them, rarest weights highest; empty for whoever may not read everything, since
    /// the weights tell of all documents.
    pub terms: Vec<(String, f32)>,
    /// Candidates of the dense side.
    pub dense: usize,
    /// Candidates of the lexical side.
    pub lexical: usize,
    /// Candidates of both that were looked up in the catalog.
    pub examined: usize,
    /// Places of hits and dropped candidates.
    pub places: HashMap<ChunkId, Places>,
    /// How many were dropped, by reason.
    pub counts: BTreeMap<Reason, usize>,
    /// The best of those.
    pub dropped: Vec<Dropped>,
}

/// Places in a list, from 1.
fn ranks(list: impl Iterator<Item = ChunkId>) -> HashMap<ChunkId, usize> {
    list.zip(1..).collect()
}

impl Retriever {
    /// [`Retriever::search`], and why it gave what it gave, for one who may read what `sees` allows: no less than the
    /// request's access.
    ///
    /// # Errors
    /// As [`Retriever::search`].
    pub async fn explain(&self, request: &SearchRequest, sees: &Access) -> Result<(Retrieval, Explanation)> {
        let mut stages = self.stages(request).await?;
        let query = request.query.trim().to_owned();
        let mut dropped = self.unfiltered(request, sees, &stages).await?;
        dropped.extend(self.gone(request, sees, &stages).await?);
        dropped.extend(below(&mut stages));
        dropped.extend(
            stages
                .folded
                .drain(..)
                .map(|(hit, into)| Dropped { into: Some(into), ..Dropped::of(hit, Reason::Folded) }),
        );
        let mut counts: BTreeMap<Reason, usize> = BTreeMap::new();
        for dropped in &dropped {
            *counts.entry(dropped.reason).or_default() += 1;
        }
        dropped.retain(|dropped| dropped.reason != Reason::Gone);
        dropped.sort_by(|a, b| {
            let score = |d: &Dropped| d.score.unwrap_or(d.fused.score);
            score(b).total_cmp(&score(a)).then(a.fused.id.cmp(&b.fused.id))
        });
        dropped.truncate(TOLD);

        let dense = ranks(stages.dense.iter().map(|hit| hit.id));
        let lexical = ranks(stages.lexical.iter().map(|hit| hit.id));
        let fused = ranks(stages.fused.iter().map(|candidate| candidate.id));
        let place = |id: ChunkId| {
            let of = |list: &HashMap<ChunkId, usize>| list.get(&id).copied();
            (id, Places { dense: of(&dense), lexical: of(&lexical), fused: of(&fused) })
        };
        let hits = stages.found.hits.iter().map(|hit| hit.live.chunk.id);
        let places = hits.chain(dropped.iter().map(|dropped| dropped.fused.id)).map(place).collect();
        let terms = if *sees == Access::All {
            let (index, text) = (self.index().clone(), query.clone());
            tokio::task::spawn_blocking(move || index.term_weights(&text)).await??
        } else {
            Vec::new()
        };
        let explanation = Explanation {
            weights: Weights::of(self.config(), self.bm25()),
            fusion: self.fusion_for(&query),
            understood: self.dense_understands(&query),
            terms,
            dense: stages.dense.len(),
            lexical: stages.lexical.len(),
            examined: stages.examined,
            places,
            counts,
            dropped,
        };
        Ok((stages.found, explanation))
    }

    /// What would be among the first without filter and with all that `sees` allows.
    async fn unfiltered(
        &self,
        request: &SearchRequest,
        sees: &Access,
        stages: &Stages,
    ) -> Result<Vec<Dropped>> {
        if request.filter.is_empty() && *sees == request.access {
            return Ok(Vec::new());
        }
        let everything = Filter::default();
        let known = stages.found.query_vector.clone();
        let gathered = self.gather(request, &everything, sees, known).await?;
        let before: HashSet<ChunkId> = stages.fused.iter().map(|fused| fused.id).collect();
        let best = self.fused(request, &gathered).into_iter().take(request.limit);
        let others: Vec<Fused> = best.filter(|fused| !before.contains(&fused.id)).collect();
        let found = self.live(&others, sees).await?;
        let why = |live: &LiveChunk| reason(request, live);
        let others = others.into_iter().filter_map(|fused| {
            let live = found.get(&fused.id)?;
            Some(Dropped::gone(fused, why(live)?, Some(live.clone())))
        });
        Ok(others.collect())
    }

    /// The candidates that the catalog dropped.
    async fn gone(&self, request: &SearchRequest, sees: &Access, stages: &Stages) -> Result<Vec<Dropped>> {
        let found = self.live(&stages.gone, sees).await?;
        let unknown = if *sees == Access::All { Reason::NotLive } else { Reason::Gone };
        let gone = stages.gone.iter().map(|fused| {
            let live = found.get(&fused.id);
            let why = live.and_then(|live| reason(request, live)).unwrap_or(unknown);
            Dropped::gone(*fused, why, live.cloned())
        });
        Ok(gone.collect())
    }

    async fn live(&self, fused: &[Fused], sees: &Access) -> Result<HashMap<ChunkId, LiveChunk>> {
        let ids: Vec<ChunkId> = fused.iter().map(|fused| fused.id).collect();
        let (catalog, sees) = (self.index().catalog().clone(), sees.clone());
        let live = tokio::task::spawn_blocking(move || catalog.live_chunks(&ids, &sees)).await??;
        Ok(live.into_iter().map(|live| (live.chunk.id, live)).collect())
    }
}

/// Why the request leaves out a chunk that is live.
fn reason(request: &SearchRequest, live: &LiveChunk) -> Option<Reason> {
    let document = &live.document;
    if !request.access.allows(&document.meta.acl) {
        return Some(Reason::NotAllowed);
    }
    let passes = request.filter.matches(document.id, document.language.as_deref(), &document.meta);
    (!passes).then_some(Reason::Filtered)
}

/// The hits beyond the limit, each with the reason.
fn below(stages: &mut Stages) -> Vec<Dropped> {
    let limit = stages.found.hits.len();
    let mut fair: Vec<(f32, ChunkId)> =
        stages.found.hits.iter().chain(&stages.below).map(unpunished).collect();
    fair.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let first: HashSet<ChunkId> = fair.into_iter().take(limit).map(|(_, id)| id).collect();
    let why = |hit: &Hit| {
        let punished = hit.factor < 1.0 && first.contains(&hit.live.chunk.id);
        if punished { Reason::Superseded } else { Reason::BelowLimit }
    };
    stages.below.drain(..).map(|hit| (why(&hit), hit)).map(|(why, hit)| Dropped::of(hit, why)).collect()
}

/// A hit's score without its factor.
fn unpunished(hit: &Hit) -> (f32, ChunkId) {
    let score = match hit.rerank {
        Some(_) => 1.0 + (hit.score - 1.0) / hit.factor,
        None => hit.score / hit.factor,
    };
    (score, hit.live.chunk.id)
}

impl Dropped {
    fn of(hit: Hit, reason: Reason) -> Self {
        let fused = Fused {
            id: hit.live.chunk.id,
            score: hit.fused,
            dense: hit.dense,
            lexical: hit.lexical,
            dense_part: hit.dense_part,
            lexical_part: hit.lexical_part,
        };
        let (score, factor, rerank) = (Some(hit.score), hit.factor, hit.rerank);
        Self { reason, fused, score, factor, rerank, into: None, live: Some(hit.live) }
    }

    fn gone(fused: Fused, reason: Reason, live: Option<LiveChunk>) -> Self {
        Self { reason, fused, score: None, factor: 1.0, rerank: None, into: None, live }
    }
}
