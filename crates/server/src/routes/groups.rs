//! `/v1/groups`: who is named by documents and keys.

use axum::Json;
use axum::extract::State;
use lore_index::Groups;

use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::state::AppState;

/// Lists the groups that documents and keys name, each with how many documents it may read beside the open ones, and its keys.
#[utoipa::path(get, path = "/v1/groups", tag = "keys", responses(
    (status = 200, description = "The groups", body = Groups),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn list(State(state): State<AppState>, Admin(_): Admin) -> Result<Json<Groups>, ApiError> {
    Ok(Json(state.catalog(|catalog| catalog.groups()).await?))
}
