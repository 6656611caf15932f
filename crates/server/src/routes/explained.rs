//! A search explained, and the weights that one may ask for.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use lore_core::{Access, ChunkId};
use lore_query::explain::Places;
use lore_query::{Bound, Dropped, Explanation, Fusion, Hit, Reason, Weights};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Authenticated;
use crate::error::{ApiError, ErrorBody};
use crate::routes::search::SearchHit;
use crate::state::AppState;

/// Where a hit's score comes from.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HitWhy {
    /// Its places in the lists, from 1.
    #[serde(flatten)]
    pub places: Places,
    /// What the dense side gave to the fused score.
    pub dense_part: f32,
    /// What the lexical side gave to it.
    pub lexical_part: f32,
    /// The score's factor for a document that another one supersedes; 1 for others.
    pub factor: f32,
}

/// A candidate that is no hit.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DroppedHit {
    /// Why.
    pub reason: Reason,
    /// Chunk.
    pub chunk: ChunkId,
    /// Where its score comes from.
    pub why: HitWhy,
    /// The hit that it was folded into.
    pub into: Option<ChunkId>,
    /// The hit that it would be; null where its text is gone.
    pub hit: Option<SearchHit>,
}

/// A word of the query as the index has it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TermWeight {
    /// The word.
    pub term: String,
    /// Its inverse document frequency.
    pub weight: f32,
}

/// Why a search gave what it gave.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Explained {
    /// The settings in force, all of them.
    pub weights: Weights,
    /// How the lists became one: as `weights.fusion` says, or with the weight for languages that the embedder does not
    /// understand.
    pub fusion: Fusion,
    /// Whether the embedder understands the query's language.
    pub understood: bool,
    /// The query's words; only for whoever may read everything.
    pub terms: Vec<TermWeight>,
    /// Candidates of the dense side.
    pub dense: usize,
    /// Candidates of the lexical side.
    pub lexical: usize,
    /// Candidates in all.
    pub candidates: usize,
    /// Those that were looked up, best first; the others rank behind.
    pub examined: usize,
    /// How many candidates were dropped, by reason. `not_allowed` and `not_live` are for administrators; others are told
    /// the number of both, as `gone`.
    pub counts: BTreeMap<Reason, usize>,
    /// The best of them. What the filter or the access list leaves out is told of where it would be among the first
    /// `limit` otherwise.
    pub dropped: Vec<DroppedHit>,
}

impl HitWhy {
    fn of(hit: &Hit, explanation: &Explanation) -> Self {
        Self {
            places: explanation.places.get(&hit.live.chunk.id).copied().unwrap_or_default(),
            dense_part: hit.dense_part,
            lexical_part: hit.lexical_part,
            factor: hit.factor,
        }
    }
}

/// The hits with where their scores come from, and the explanation.
pub fn explained(hits: Vec<Hit>, explanation: Explanation, candidates: usize) -> (Vec<SearchHit>, Explained) {
    let with_why = |hit: Hit| {
        let why = HitWhy::of(&hit, &explanation);
        SearchHit { why: Some(why), ..hit.into() }
    };
    let hits = hits.into_iter().map(with_why).collect();
    let Explanation { weights, fusion, understood, terms, dense, lexical, examined, places, counts, dropped } =
        explanation;
    let dropped = dropped
        .into_iter()
        .map(|dropped| {
            let places = places.get(&dropped.fused.id).copied().unwrap_or_default();
            dropped_hit(dropped, places)
        })
        .collect();
    let terms = terms.into_iter().map(|(term, weight)| TermWeight { term, weight }).collect();
    let explained = Explained {
        weights,
        fusion,
        understood,
        terms,
        dense,
        lexical,
        candidates,
        examined,
        counts,
        dropped,
    };
    (hits, explained)
}

fn dropped_hit(dropped: Dropped, places: Places) -> DroppedHit {
    let Dropped { reason, fused, score, factor, rerank, into, live } = dropped;
    let hit = live.map(|live| {
        SearchHit::from(Hit { score: score.unwrap_or(fused.score), factor, rerank, ..Hit::new(live, &fused) })
    });
    let (dense_part, lexical_part) = (fused.dense_part, fused.lexical_part);
    let why = HitWhy { places, dense_part, lexical_part, factor };
    DroppedHit { reason, chunk: fused.id, why, into, hit }
}

/// What the caller may read without the groups that it asks as a member of: an administrator reads everything.
#[derive(Clone, Debug)]
pub struct OwnAccess(pub Access);

/// The weights that a search may ask for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SearchSettings {
    /// What the settings say.
    pub weights: Weights,
    /// Within what each may be; `dense_weight` and `k` are those of the fusion.
    pub bounds: BTreeMap<String, Bound>,
    /// Languages (ISO 639-1) that the embedder understands; empty for all.
    pub dense_languages: Vec<String>,
    /// The embedder.
    pub embedder: String,
    /// The cross-encoder, where there is one.
    pub reranker: Option<String>,
    /// Most hits that a search may ask for.
    pub most_hits: usize,
}

/// Tells the weights of searches, and within what a search may ask for others.
#[utoipa::path(get, path = "/v1/search/settings", tag = "questions", responses(
    (status = 200, description = "The weights", body = SearchSettings),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn settings(
    State(state): State<AppState>,
    _: Authenticated,
) -> Result<Json<SearchSettings>, ApiError> {
    let retriever = &state.models()?.retriever;
    let (config, bm25) = (retriever.config(), retriever.bm25());
    let bounds = Weights::bounds(config, bm25);
    Ok(Json(SearchSettings {
        weights: Weights::of(config, bm25),
        bounds: bounds.into_iter().map(|(name, bound)| (name.to_owned(), bound)).collect(),
        dense_languages: config.dense_languages.clone(),
        embedder: retriever.index().embedder().info().id.clone(),
        reranker: retriever.reranker().map(|reranker| reranker.id().to_owned()),
        most_hits: state.limits().search_hits,
    }))
}
