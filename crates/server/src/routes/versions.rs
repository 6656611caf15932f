//! `/v1/documents/{id}/chunks` and `/changes`: how a version was cut, and what it changed.

use axum::Json;
use axum::extract::State;
use lore_core::{DocumentId, PageRange};
use lore_index::ChunkPlace;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Authenticated;
use crate::compare::{Comparison, compare};
use crate::error::{ApiError, ErrorBody};
use crate::extract::{ApiQuery, DocumentPath};
use crate::routes::readable;
use crate::state::AppState;

/// Most chunks in one answer.
const CHUNKS: usize = 2_000;

/// Which part of the text.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChunksQuery {
    /// First code point; 0 where it is left out.
    pub start: Option<usize>,
    /// One past the last code point; the end of the text where it is left out.
    pub end: Option<usize>,
}

/// Where a chunk lies. Offsets are in Unicode code points of the parsed text.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ChunkInfo {
    /// Its number in the version, from 0.
    pub ordinal: u32,
    /// First code point.
    pub start: usize,
    /// One past the last code point.
    pub end: usize,
    /// Its pages, where the format has pages.
    pub pages: Option<PageRange>,
    /// Headings above it, outermost first.
    pub headings: Vec<String>,
}

/// Chunks of the live version.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ChunkList {
    /// Document.
    pub document: DocumentId,
    /// The live version.
    pub version: u32,
    /// Those that reach into the part that was asked for, in order.
    pub chunks: Vec<ChunkInfo>,
    /// Whether there are more of them; ask for a shorter part.
    pub more: bool,
}

/// Where the chunks of the live version lie; at most 2,000. Of a version that was replaced, none are kept.
#[utoipa::path(get, path = "/v1/documents/{id}/chunks", tag = "documents",
    params(("id" = String, Path, description = "The document's id"), ChunksQuery), responses(
    (status = 200, description = "The chunks", body = ChunkList),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn chunks(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    DocumentPath(id): DocumentPath,
    ApiQuery(query): ApiQuery<ChunksQuery>,
) -> Result<Json<ChunkList>, ApiError> {
    readable(&state, &caller, id, None).await?;
    let (start, end) = (query.start.unwrap_or(0), query.end.unwrap_or(usize::MAX));
    let (version, mut places) =
        state.catalog(move |catalog| catalog.chunk_places(id, start, end, CHUNKS + 1)).await?;
    let more = places.len() > CHUNKS;
    places.truncate(CHUNKS);
    let chunks = places
        .into_iter()
        .map(|ChunkPlace { ordinal, place }| ChunkInfo {
            ordinal,
            start: place.span.start,
            end: place.span.end,
            pages: place.pages,
            headings: place.headings,
        })
        .collect();
    Ok(Json(ChunkList { document: id, version, chunks, more }))
}

/// Which versions to compare.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChangesQuery {
    /// The older version; the one before `to` where it is left out.
    pub from: Option<u32>,
    /// The newer version; the live one where it is left out.
    pub to: Option<u32>,
}

/// What differs between two versions.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Changes {
    /// Document.
    pub document: DocumentId,
    /// The older version.
    pub from: u32,
    /// The newer version.
    pub to: u32,
    /// What differs.
    #[serde(flatten)]
    pub comparison: Comparison,
}

/// What differs between the texts of two versions that are kept and that the caller may read.
#[utoipa::path(get, path = "/v1/documents/{id}/changes", tag = "documents",
    params(("id" = String, Path, description = "The document's id"), ChangesQuery), responses(
    (status = 200, description = "What differs", body = Changes),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn changes(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    DocumentPath(id): DocumentPath,
    ApiQuery(query): ApiQuery<ChangesQuery>,
) -> Result<Json<Changes>, ApiError> {
    let (_, to, _) = readable(&state, &caller, id, query.to).await?;
    let access = caller.access.clone();
    let versions = state.catalog(move |catalog| catalog.versions(id, &access)).await?;
    let before = versions.iter().map(|kept| kept.version).filter(|version| *version < to).max();
    let from = query.from.or(before).ok_or_else(|| ApiError::not_found("version of the document before"))?;
    let (_, from, _) = readable(&state, &caller, id, Some(from)).await?;
    let permit = state.comparisons().enter().await?;
    let texts =
        state.catalog(move |catalog| Ok((catalog.parsed(id, from)?, catalog.parsed(id, to)?))).await?;
    let (Some(old), Some(new)) = texts else {
        return Err(ApiError::not_found("version of the document"));
    };
    // Two long texts take a moment; what runs beside it must not wait. It goes on where the caller went away.
    let comparing = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        compare(&old.text, &new.text)
    });
    let comparison = comparing.await?;
    Ok(Json(Changes { document: id, from, to, comparison }))
}
