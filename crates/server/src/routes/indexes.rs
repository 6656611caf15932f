//! `/v1/indexes`: the caches of the catalog, for administrators.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lore_index::{CheckReport, IndexError, RebuildStatus};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::extract::ApiQuery;
use crate::state::AppState;

/// How the indexes are.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Indexes {
    /// Number of the newest change to a document.
    pub last_change: u64,
    /// The last change that the indexes hold with all before it.
    pub followed: u64,
    /// Why they lack documents, where they were made anew and have not caught up yet.
    pub preparing: Option<String>,
    /// Why changes cannot be applied at the moment; they are tried again.
    pub trouble: Option<String>,
    /// The last time that they were built again.
    pub rebuild: RebuildStatus,
}

/// How to compare.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CheckQuery {
    /// Compare without applying the changes that wait first.
    pub as_is: bool,
}

/// Tells how the indexes are.
#[utoipa::path(get, path = "/v1/indexes", tag = "service", responses(
    (status = 200, description = "How they are", body = Indexes),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn show(State(state): State<AppState>, Admin(_): Admin) -> Result<Json<Indexes>, ApiError> {
    let last = state.catalog(|catalog| catalog.last_seq()).await?;
    let index = state.index()?;
    Ok(Json(Indexes {
        last_change: last.0,
        followed: index.followed().0,
        preparing: index.preparing(),
        trouble: index.trouble(),
        rebuild: index.rebuild_status(),
    }))
}

/// Builds the indexes again in the background, unless that is being done already.
#[utoipa::path(post, path = "/v1/indexes/rebuild", tag = "service", responses(
    (status = 202, description = "It runs; `GET /v1/indexes` tells how it goes", body = RebuildStatus),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn rebuild(
    State(state): State<AppState>,
    Admin(caller): Admin,
) -> Result<(StatusCode, Json<RebuildStatus>), ApiError> {
    let status = state.index()?.start_rebuild();
    tracing::info!(caller = caller.id, "the indexes are being built again");
    Ok((StatusCode::ACCEPTED, Json(status)))
}

/// Compares the indexes with the catalog. Changes made meanwhile are applied afterwards.
#[utoipa::path(post, path = "/v1/indexes/check", tag = "service", params(CheckQuery), responses(
    (status = 200, description = "Every difference", body = CheckReport),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn check(
    State(state): State<AppState>,
    Admin(_): Admin,
    ApiQuery(query): ApiQuery<CheckQuery>,
) -> Result<Json<CheckReport>, ApiError> {
    let index = state.index()?.clone();
    // A task of its own: a client that goes away does not break it off in the middle of a change.
    let work = tokio::spawn(async move {
        if !query.as_is {
            index.follow(&|_, _| {}).await?;
        }
        index.check().await
    });
    Ok(Json(work.await.map_err(|_| IndexError::Cancelled)??))
}
