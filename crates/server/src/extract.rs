//! Bodies, queries and ids, with errors that name what is wrong.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use futures::StreamExt as _;
use lore_core::{ConversationId, DocumentId};
use serde::de::DeserializeOwned;

use crate::error::ApiError;
use crate::state::AppState;

/// Longest message of a parser that is passed on, in characters: it may quote the body.
const MESSAGE_CHARS: usize = 300;

/// A JSON body within the limit for JSON bodies.
#[derive(Debug)]
pub struct ApiJson<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for ApiJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let timeout = state.options().http.body_timeout();
        json_within(request, state.limits().json_body_bytes, timeout).await.map(Self)
    }
}

/// A JSON body, or none at all: then the default.
#[derive(Debug)]
pub struct JsonOrNothing<T>(pub T);

impl<T: DeserializeOwned + Default> FromRequest<AppState> for JsonOrNothing<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let (limit, timeout) = (state.limits().json_body_bytes, state.options().http.body_timeout());
        if request.headers().contains_key(header::CONTENT_TYPE) {
            return json_within(request, limit, timeout).await.map(Self);
        }
        if body_within(request, limit, timeout).await?.is_empty() {
            return Ok(Self(T::default()));
        }
        Err(not_json())
    }
}

/// The JSON body of `request`, at most `limit` bytes, arriving within `timeout`.
///
/// # Errors
/// 415 where it is not declared as JSON, 413 over the limit, 408 where it is slow, 400 where it is not what is expected.
pub async fn json_within<T: DeserializeOwned>(
    request: Request,
    limit: usize,
    timeout: Duration,
) -> Result<T, ApiError> {
    if !has_type(request.headers(), "application/json") {
        return Err(not_json());
    }
    let bytes = body_within(request, limit, timeout).await?;
    serde_json::from_slice(&bytes).map_err(|error| bad_json(&error))
}

fn not_json() -> ApiError {
    ApiError::unsupported("the body must be JSON: send the header Content-Type: application/json")
}

async fn body_within(request: Request, limit: usize, timeout: Duration) -> Result<Bytes, ApiError> {
    // A client that waits for leave to send the body hears the refusal before it sends any.
    if request.headers().contains_key(header::EXPECT) {
        refuse_declared(request.headers(), limit)?;
    }
    let mut body = request.into_body().into_data_stream();
    let read = async {
        let mut bytes = Vec::new();
        while let Some(piece) = body.next().await {
            let piece =
                piece.map_err(|e| ApiError::bad_request("bad_body", "the body broke off").because(e))?;
            if bytes.len() + piece.len() > limit {
                return Err(over(limit));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Bytes::from(bytes))
    };
    tokio::time::timeout(timeout, read).await.map_err(|_| slow_body())?
}

/// Refuses a body whose declared length is over `limit`, before any of it is read.
///
/// # Errors
/// 413.
pub fn refuse_declared(headers: &HeaderMap, limit: usize) -> Result<(), ApiError> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit as u64) { Err(over(limit)) } else { Ok(()) }
}

/// 408 for a body that came too slowly.
pub fn slow_body() -> ApiError {
    ApiError::new(
        axum::http::StatusCode::REQUEST_TIMEOUT,
        "slow_body",
        "the body came too slowly; send it again",
    )
}

/// 413 for a body of more than `limit` bytes.
pub fn over(limit: usize) -> ApiError {
    ApiError::too_large(format!("the request is larger than {limit} bytes, which is the limit"))
}

/// Whether the request's content type is `wanted`, parameters aside.
pub fn has_type(headers: &HeaderMap, wanted: &str) -> bool {
    let declared = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let essence = declared.and_then(|v| v.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case(wanted))
}

fn bad_json(error: &serde_json::Error) -> ApiError {
    let said: String = error.to_string().chars().take(MESSAGE_CHARS).collect();
    match error.classify() {
        serde_json::error::Category::Data if said.starts_with("unknown field") => {
            ApiError::bad_request("unknown_field", said)
        }
        serde_json::error::Category::Data => ApiError::bad_request("bad_field", said),
        _ => ApiError::bad_request("bad_json", format!("the body is not JSON: {said}")),
    }
}

/// The query string; unknown parameters are refused.
#[derive(Debug)]
pub struct ApiQuery<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<AppState> for ApiQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, ApiError> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(Self(query)),
            Err(error) => {
                let said = error.body_text();
                let said = said.strip_prefix("Failed to deserialize query string: ").unwrap_or(&said);
                let said: String = said.chars().take(MESSAGE_CHARS).collect();
                Err(ApiError::bad_request("bad_query", format!("the query string is wrong: {said}")))
            }
        }
    }
}

/// The document id of a path; what is no id names no document.
#[derive(Clone, Copy, Debug)]
pub struct DocumentPath(pub DocumentId);

impl FromRequestParts<AppState> for DocumentPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let IdPath(id) = IdPath::from_request_parts(parts, state).await?;
        id.parse().map(Self).map_err(|_| ApiError::not_found("document"))
    }
}

/// The conversation's id of a path; what is no id names no conversation.
#[derive(Clone, Copy, Debug)]
pub struct ConversationPath(pub ConversationId);

impl FromRequestParts<AppState> for ConversationPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let IdPath(id) = IdPath::from_request_parts(parts, state).await?;
        id.parse().map(Self).map_err(|_| ApiError::not_found("conversation"))
    }
}

/// The id of a path, as it stands there.
#[derive(Clone, Debug)]
pub struct IdPath(pub String);

impl FromRequestParts<AppState> for IdPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(error) => {
                Err(ApiError::bad_request("bad_path", "the path is not valid UTF-8").because(error))
            }
        }
    }
}
