//! `/v1/releases`: the models that were taught, for administrators.

use axum::Json;
use axum::extract::State;
use lore_index::{Release, ReleaseDetails};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{IdPath, JsonOrNothing};
use crate::releases::Switched;
use crate::state::AppState;

/// Longest reason, in characters.
const REASON_CHARS: usize = 500;

/// All releases.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReleaseList {
    /// The releases, newest first.
    pub releases: Vec<Release>,
    /// The language model that writes now; null where none does.
    pub model: Option<String>,
}

/// How a release goes live.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PromoteRequest {
    /// Whether it goes live without an evaluation that it passed; `reason` says why.
    pub force: bool,
    /// Why it is forced; kept.
    pub reason: Option<String>,
}

impl PromoteRequest {
    /// The reason, where it is forced.
    ///
    /// # Errors
    /// 422 for one without the other, and for a reason that is long.
    fn forced(self) -> Result<Option<String>, ApiError> {
        let reason = self.reason.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
        match (self.force, reason) {
            (false, None) => Ok(None),
            (true, Some(reason)) if reason.chars().count() <= REASON_CHARS => Ok(Some(reason)),
            (true, _) => Err(ApiError::invalid(
                "bad_reason",
                format!("a release that is forced needs a reason of 1 to {REASON_CHARS} characters"),
            )),
            (false, Some(_)) => Err(ApiError::invalid(
                "bad_reason",
                "a reason belongs to a release that is forced; set force, or leave it out",
            )),
        }
    }
}

/// Lists the releases.
#[utoipa::path(get, path = "/v1/releases", tag = "releases", responses(
    (status = 200, description = "The releases", body = ReleaseList),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn list(State(state): State<AppState>, Admin(_): Admin) -> Result<Json<ReleaseList>, ApiError> {
    let releases = state.catalog(|catalog| catalog.releases()).await?;
    let serving = state.models().ok().and_then(|engine| engine.answerer.live().now());
    let model = serving.map(|serving| serving.generator.info().id.clone());
    Ok(Json(ReleaseList { releases, model }))
}

/// Shows a release with what it learned from, the times that it went live, and its evaluation.
#[utoipa::path(get, path = "/v1/releases/{id}", tag = "releases",
    params(("id" = String, Path, description = "The release's id, a beginning of it that no other has, or `live`")),
    responses(
        (status = 200, description = "The release", body = ReleaseDetails),
        (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn show(
    State(state): State<AppState>,
    Admin(_): Admin,
    IdPath(id): IdPath,
) -> Result<Json<ReleaseDetails>, ApiError> {
    state.catalog(move |catalog| catalog.release(&id)).await.map(Json)
}

/// Makes a release the one that writes answers. It is loaded beside the one before and tried first; questions go on
/// meanwhile, each with the model that it began with.
#[utoipa::path(post, path = "/v1/releases/{id}/promote", tag = "releases",
    params(("id" = String, Path, description = "The release's id, or a beginning of it that no other has")),
    request_body = Option<PromoteRequest>, responses(
        (status = 200, description = "It writes from now on", body = Switched),
        (status = 409, description = "It is not proven, or another model is being put to work", body = ErrorBody),
        (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn promote(
    State(state): State<AppState>,
    Admin(caller): Admin,
    IdPath(id): IdPath,
    JsonOrNothing(request): JsonOrNothing<PromoteRequest>,
) -> Result<Json<Switched>, ApiError> {
    let forced = request.forced()?;
    state.promote(id, forced, caller.id).await.map(Json)
}

/// Goes back to what was live before the live release: another release, or the model of the settings.
#[utoipa::path(post, path = "/v1/releases/rollback", tag = "releases", responses(
    (status = 200, description = "It writes from now on", body = Switched),
    (status = 409, description = "No release is live, or another model is being put to work", body = ErrorBody),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn rollback(
    State(state): State<AppState>,
    Admin(caller): Admin,
) -> Result<Json<Switched>, ApiError> {
    state.roll_back(None, caller.id).await.map(Json)
}

/// Goes back from this release to what was live before it; refused where it is not the live one.
#[utoipa::path(post, path = "/v1/releases/{id}/rollback", tag = "releases",
    params(("id" = String, Path, description = "The live release's id, or a beginning of it that no other has")),
    responses(
        (status = 200, description = "What was live before writes from now on", body = Switched),
        (status = 409, description = "It is not live, or another model is being put to work", body = ErrorBody),
        (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn rollback_from(
    State(state): State<AppState>,
    Admin(caller): Admin,
    IdPath(id): IdPath,
) -> Result<Json<Switched>, ApiError> {
    state.roll_back(Some(id), caller.id).await.map(Json)
}
