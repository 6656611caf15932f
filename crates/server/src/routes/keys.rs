//! `/v1/keys`: API keys.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lore_index::{ApiKey, NewKey};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{ApiJson, IdPath};
use crate::routes::labels::check_group;
use crate::state::AppState;

/// Longest name of a key, in characters.
const NAME_CHARS: usize = 100;
/// Most groups of a key.
const GROUPS: usize = 256;

/// All keys, revoked ones too.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyList {
    /// The keys.
    pub keys: Vec<ApiKey>,
}

/// A new key with its secret, which is shown this once.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyCreated {
    /// The key.
    pub key: ApiKey,
    /// What to send as `Authorization: Bearer`.
    pub secret: String,
}

/// Lists the keys.
#[utoipa::path(get, path = "/v1/keys", tag = "keys", responses(
    (status = 200, description = "The keys", body = KeyList),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn list(State(state): State<AppState>, Admin(_): Admin) -> Result<Json<KeyList>, ApiError> {
    let keys = state.catalog(|catalog| catalog.keys()).await?;
    Ok(Json(KeyList { keys }))
}

/// Makes a key.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = NewKey, responses(
    (status = 201, description = "The key and its secret", body = KeyCreated),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn create(
    State(state): State<AppState>,
    Admin(caller): Admin,
    ApiJson(new): ApiJson<NewKey>,
) -> Result<(StatusCode, Json<KeyCreated>), ApiError> {
    let chars = new.name.trim().chars().count();
    if !(1..=NAME_CHARS).contains(&chars) || new.name.chars().any(char::is_control) {
        return Err(ApiError::invalid("bad_name", format!("name must have 1 to {NAME_CHARS} characters")));
    }
    if new.groups.len() > GROUPS {
        return Err(ApiError::invalid("bad_groups", format!("a key takes at most {GROUPS} groups")));
    }
    new.groups.iter().try_for_each(|group| check_group(group))?;
    let (key, secret) = state.catalog(move |catalog| catalog.create_key(&new)).await?;
    tracing::info!(key = key.id, admin = key.admin, caller = caller.id, "key created");
    Ok((StatusCode::CREATED, Json(KeyCreated { key, secret })))
}

/// Revokes a key. It is refused from the moment that this returns.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "The key's id")), responses(
    (status = 204, description = "It is revoked"),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn revoke(
    State(state): State<AppState>,
    Admin(caller): Admin,
    IdPath(id): IdPath,
) -> Result<StatusCode, ApiError> {
    let key = id.clone();
    if !state.catalog(move |catalog| catalog.revoke_key(&id)).await? {
        return Err(ApiError::not_found("key"));
    }
    tracing::info!(key, caller = caller.id, "key revoked");
    Ok(StatusCode::NO_CONTENT)
}
