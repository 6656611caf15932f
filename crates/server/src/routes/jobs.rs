//! `/v1/jobs`: how an upload goes.

use axum::Json;
use axum::extract::State;
use lore_index::Job;

use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::extract::IdPath;
use crate::state::AppState;

/// Shows a job.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "documents",
    params(("id" = String, Path, description = "The job's id")), responses(
    (status = 200, description = "The job", body = Job),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn show(
    State(state): State<AppState>,
    Admin(_): Admin,
    IdPath(id): IdPath,
) -> Result<Json<Job>, ApiError> {
    let job = state.catalog(move |catalog| catalog.job(&id)).await?;
    job.map(Json).ok_or_else(|| ApiError::not_found("job"))
}
