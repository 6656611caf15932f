//! `POST /v1/search`: the passages themselves.

use axum::extract::State;
use axum::{Extension, Json};
use lore_core::{ChunkId, DocumentId, Filter, PageRange, SearchMode, Span};
use lore_query::{Hit, SearchRequest as Wanted, Weights};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::auth::Authenticated;
use crate::error::{ApiError, ErrorBody};
use crate::extract::ApiJson;
use crate::metrics::search_done;
use crate::request::RequestId;
use crate::routes::ask::check_question;
use crate::routes::explained::{Explained, HitWhy, OwnAccess, explained};
use crate::state::AppState;

/// What to look for.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchRequest {
    /// The words.
    pub query: String,
    /// Which retrievers look.
    #[serde(default)]
    pub mode: SearchMode,
    /// Which documents may be found.
    #[serde(default)]
    pub filter: Filter,
    /// Most hits wanted.
    #[serde(default = "ten")]
    pub limit: usize,
    /// Other weights than those of the settings, for this search.
    #[serde(default)]
    pub weights: Option<Weights>,
    /// Whether to tell why the hits are what they are, and what became of the other candidates.
    #[serde(default)]
    pub explain: bool,
}

fn ten() -> usize {
    10
}

/// A chunk that was found.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SearchHit {
    /// Chunk.
    pub chunk: ChunkId,
    /// Document.
    pub document: DocumentId,
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Its version.
    pub version: u32,
    /// Where the text stands in the version's parsed text, in code points.
    pub span: Span,
    /// Pages that it touches.
    pub pages: Option<PageRange>,
    /// Headings above it, outermost first.
    pub headings: Vec<String>,
    /// The text.
    pub text: String,
    /// What orders the hits, higher is better.
    pub score: f32,
    /// Cosine similarity, where known.
    pub dense: Option<f32>,
    /// BM25 score, where words matched.
    pub lexical: Option<f32>,
    /// Fused score, before reranking and penalties.
    pub fused: f32,
    /// Cross-encoder score, where one is configured.
    pub rerank: Option<f32>,
    /// Chunks that say the same and were folded into this one.
    pub folded: Vec<ChunkId>,
    /// Where the score comes from, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<HitWhy>,
}

impl From<Hit> for SearchHit {
    fn from(hit: Hit) -> Self {
        let (chunk, document) = (hit.live.chunk, hit.live.document);
        Self {
            chunk: chunk.id,
            document: chunk.document,
            name: document.name.clone(),
            title: document.title.clone(),
            version: chunk.version,
            span: chunk.place.span,
            pages: chunk.place.pages,
            headings: chunk.place.headings,
            text: chunk.text,
            score: hit.score,
            dense: hit.dense,
            lexical: hit.lexical,
            fused: hit.fused,
            rerank: hit.rerank,
            folded: hit.folded,
            why: None,
        }
    }
}

/// What was found.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SearchResponse {
    /// Best first.
    pub hits: Vec<SearchHit>,
    /// Milliseconds for embedding the query.
    pub embed_ms: f64,
    /// Milliseconds for everything.
    pub total_ms: f64,
    /// Why the hits are what they are, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explained>,
    /// The request, as the server's log knows it.
    pub request_id: String,
}

/// Finds passages in the documents that the caller may read.
#[utoipa::path(post, path = "/v1/search", tag = "questions", request_body = SearchRequest, responses(
    (status = 200, description = "What was found", body = SearchResponse),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn search(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    own: Option<Extension<OwnAccess>>,
    id: RequestId,
    ApiJson(request): ApiJson<SearchRequest>,
) -> Result<Json<SearchResponse>, ApiError> {
    let began = Instant::now();
    check_question(&request.query, state.limits())?;
    let most = state.limits().search_hits;
    if !(1..=most).contains(&request.limit) {
        return Err(ApiError::invalid("bad_limit", format!("limit must be 1 to {most}")));
    }
    let sees = own.map_or_else(|| caller.access.clone(), |Extension(OwnAccess(access))| access);
    let wanted = Wanted {
        query: request.query,
        mode: request.mode,
        filter: request.filter,
        access: caller.access,
        limit: request.limit,
    };
    let engine = state.engine()?;
    let other = request.weights.map(|weights| engine.retriever.weighted(&weights)).transpose()?;
    let retriever = other.as_ref().unwrap_or(&engine.retriever);
    let work = async {
        let _permit = state.questions().enter().await?;
        Ok::<_, ApiError>(match request.explain {
            true => {
                let (found, explanation) = retriever.explain(&wanted, &sees).await?;
                (found, Some(explanation))
            }
            false => (retriever.search(&wanted).await?, None),
        })
    };
    let deadline = began + state.options().http.answer_timeout();
    let (found, explanation) = state.until(deadline, work).await??;
    search_done(began.elapsed());
    let (hits, explanation) = match explanation {
        Some(explanation) => {
            let (hits, explanation) = explained(found.hits, explanation, found.candidates);
            (hits, Some(explanation))
        }
        None => (found.hits.into_iter().map(SearchHit::from).collect(), None),
    };
    let (embed_ms, total_ms) = (found.embed_ms, found.total_ms);
    Ok(Json(SearchResponse { hits, embed_ms, total_ms, explanation, request_id: id.to_string() }))
}
