//! Signing in and out, and who is signed in.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lore_core::{Access, Serving};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::headers::cookie;
use crate::auth::{self, Visitor};
use crate::error::{ApiError, ErrorBody};
use crate::extract::ApiJson;
use crate::state::AppState;

/// Cookie of a session.
pub const COOKIE: &str = "lore_session";
/// How long the browser keeps the cookie, in seconds; the catalog ends sessions sooner.
const AGE: u32 = 30 * 24 * 3600;

/// A key to sign in with.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// An API key.
    pub key: String,
}

/// Who is signed in, and what state the model is in.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// Whether there is a session that can be signed out of.
    pub signed_in: bool,
    /// Whether documents, keys and jobs may be managed.
    pub admin: bool,
    /// The groups of the key; empty for administrators, who may read everything.
    pub groups: BTreeSet<String>,
    /// The name of the key, where there is one.
    pub key_name: Option<String>,
    /// Lore's version.
    pub version: String,
    /// Whether everyone needs a key.
    pub keys_required: bool,
    /// The model that writes.
    pub model: ModelState,
    /// What is being answered.
    pub queue: Queue,
}

/// The model that writes answers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ModelState {
    /// The model; `extractive` where answers are the documents' own sentences.
    pub name: String,
    /// The name of the release that it is, where it was taught here.
    pub release: Option<String>,
    /// `ready`, `troubled` (ready, with something that does not work), `starting` or `stopped`.
    pub state: String,
    /// What is missing or does not work.
    pub notes: Vec<String>,
}

/// How busy the server is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Queue {
    /// Questions that are being answered.
    pub questions: usize,
    /// Questions that wait.
    pub waiting: usize,
}

/// Signs in with a key: the answer sets the cookie of a session.
///
/// For the pages of this server alone: the request needs the header `X-Lore-Web` and must come from here.
#[utoipa::path(post, path = "/session", tag = "web", security(()), request_body = SignIn, responses(
    (status = 204, description = "Signed in"),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn sign_in(
    State(state): State<AppState>,
    parts: Parts,
    ApiJson(SignIn { key }): ApiJson<SignIn>,
) -> Result<Response, ApiError> {
    auth::from_own_page(&parts)?;
    let old = cookie(&parts.headers, COOKIE).map(str::to_owned);
    let opened = state.catalog(move |catalog| {
        let Some(key) = catalog.authenticate(&key)? else { return Ok(None) };
        // Whoever signs in anew leaves the session that this browser had.
        if let Some(old) = old {
            catalog.close_session(&old)?;
        }
        catalog.open_session(&key.id)
    });
    let token = opened.await?.ok_or_else(|| ApiError::unauthorized("the key is unknown or was revoked"))?;
    set(&format!("{token}; Max-Age={AGE}"), &parts.headers)
}

/// Signs out: the session ends, not only its cookie.
#[utoipa::path(delete, path = "/session", tag = "web", security(()), responses(
    (status = 204, description = "Signed out, or nobody was signed in"),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn sign_out(State(state): State<AppState>, parts: Parts) -> Result<Response, ApiError> {
    auth::from_own_page(&parts)?;
    if let Some(token) = cookie(&parts.headers, COOKIE).map(str::to_owned) {
        state.catalog(move |catalog| catalog.close_session(&token)).await?;
    }
    set("; Max-Age=0", &parts.headers)
}

/// Tells who is signed in, and the state of the model.
#[utoipa::path(get, path = "/web/me", tag = "web", responses(
    (status = 200, description = "The caller and the model", body = Me),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn me(State(state): State<AppState>, parts: Parts) -> Result<Json<Me>, ApiError> {
    let Visitor { caller, signed_in } = auth::visitor(&parts, &state).await?;
    let id = caller.id.clone();
    let key = state.catalog(move |catalog| catalog.key(&id)).await?;
    Ok(Json(Me {
        signed_in,
        admin: caller.admin,
        groups: match caller.access {
            Access::Groups(groups) => groups,
            Access::All => BTreeSet::new(),
        },
        key_name: key.map(|key| key.name),
        version: state.options().version.clone(),
        keys_required: state.keys_required(),
        model: model(&state),
        queue: Queue { questions: state.questions().running(), waiting: state.questions().waiting() },
    }))
}

fn model(state: &AppState) -> ModelState {
    let (missing, troubles) = (state.missing(), state.troubles());
    let engine = state.models().ok();
    let writer = engine.and_then(|engine| engine.writer());
    let stopped = engine.is_some() && state.engine().is_ok() && !missing.is_empty();
    let word = match (missing.is_empty(), troubles.is_empty()) {
        (true, true) => "ready",
        (true, false) => "troubled",
        (false, _) if stopped => "stopped",
        (false, _) => "starting",
    };
    let release =
        writer.as_deref().and_then(|writer| writer.release.as_ref()).map(|release| release.name.clone());
    ModelState {
        name: Serving::called(writer.as_deref()).to_owned(),
        release,
        state: word.to_owned(),
        notes: missing.into_iter().chain(troubles).collect(),
    }
}

/// The answer that sets the cookie of the session.
fn set(value: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let forwarded = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    let tls = forwarded.is_some_and(|value| {
        value.split(',').next().is_some_and(|first| first.trim().eq_ignore_ascii_case("https"))
    });
    let secure = if tls { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict{secure}");
    let cookie = HeaderValue::from_str(&cookie).map_err(ApiError::internal)?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}
