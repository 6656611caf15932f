//! `/v1/configuration`: the settings that the server runs with.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::state::AppState;

/// The settings in force.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Configuration {
    /// As YAML, secrets masked; null where the program that runs the server does not tell.
    pub yaml: Option<String>,
    /// Whether every caller needs a key.
    pub keys_required: bool,
    /// Lore's version.
    pub version: String,
}

/// Shows the settings that the server runs with, secrets masked.
#[utoipa::path(get, path = "/v1/configuration", tag = "service", responses(
    (status = 200, description = "The settings", body = Configuration),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn show(State(state): State<AppState>, Admin(_): Admin) -> Result<Json<Configuration>, ApiError> {
    let options = state.options();
    Ok(Json(Configuration {
        yaml: options.configuration.clone(),
        keys_required: state.keys_required(),
        version: options.version.clone(),
    }))
}
