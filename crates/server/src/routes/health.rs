//! Health, readiness, figures, and the API's description.

use std::sync::LazyLock;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Authenticated;
use crate::error::{ApiError, ErrorBody};
use crate::metrics::lag;
use crate::openapi;
use crate::state::AppState;

/// That the process answers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    pub status: String,
    /// Lore's version.
    pub version: String,
}

/// Tells that the process answers.
#[utoipa::path(get, path = "/healthz", tag = "service", security(()), responses(
    (status = 200, description = "It does", body = Health),
))]
pub async fn healthz(State(state): State<AppState>) -> Json<Health> {
    Json(Health { status: "ok".to_owned(), version: state.options().version.clone() })
}

/// That questions are answered.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Always true; what is missing comes as an error with status 503.
    pub ready: bool,
    /// Lore's version.
    pub version: String,
    /// Number of the newest change to a document.
    pub last_change: u64,
    /// Changes that the indexes do not hold yet, where that is known.
    pub lag: Option<u64>,
    /// What does not work for now, though questions are answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<String>,
}

/// Tells whether questions are answered, and if not, why.
#[utoipa::path(get, path = "/readyz", tag = "service", security(()), responses(
    (status = 200, description = "They are", body = Readiness),
    (status = 503, description = "Not yet, or not any more; the message says why", body = ErrorBody),
))]
pub async fn readyz(State(state): State<AppState>) -> Result<Json<Readiness>, ApiError> {
    let missing = state.missing_now().await;
    if !missing.is_empty() {
        return Err(ApiError::unavailable("not_ready", format!("not ready: {}", missing.join("; "))));
    }
    let last = state.catalog(|catalog| catalog.last_seq()).await?;
    Ok(Json(Readiness {
        ready: true,
        version: state.options().version.clone(),
        last_change: last.0,
        lag: lag(&state, last),
        troubles: state.troubles(),
    }))
}

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "service", responses(
    (status = 200, description = "Prometheus text", body = String, content_type = "text/plain"),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn metrics(State(state): State<AppState>, _: Authenticated) -> Result<Response, ApiError> {
    let text = state.metrics().render(&state).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// The description of this API.
#[utoipa::path(get, path = "/openapi.json", tag = "service", security(()), responses(
    (status = 200, description = "An OpenAPI document", content_type = "application/json"),
))]
pub async fn openapi() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(|| openapi::document().to_json().unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}
