//! In which shape a path tells its errors: Lore's own, or OpenAI's where programs written for that API call.

use std::borrow::Cow;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::ApiError;

/// What OpenAI's clients call; what of it is not there is told in their shape, too.
const OPENAI: [&str; 5] = ["/v1/chat", "/v1/completions", "/v1/embeddings", "/v1/models", "/v1/responses"];

/// The shape of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// [`crate::ErrorBody`].
    Lore,
    /// [`OpenAiErrorBody`].
    OpenAi,
}

/// The shape of every error under `/v1/chat`, `/v1/embeddings` and `/v1/models`, as OpenAI's API has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenAiErrorBody {
    /// What went wrong.
    pub error: OpenAiError,
}

/// What went wrong, for OpenAI's clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenAiError {
    /// For a person.
    pub message: String,
    /// `invalid_request_error`, `rate_limit_error` or `server_error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The field of the request that is wrong, such as `messages[0].role`.
    pub param: Option<String>,
    /// Stable, for programs, such as `model_not_found`.
    pub code: Option<String>,
}

impl Dialect {
    /// The dialect of a path.
    pub fn of(path: &str) -> Self {
        let below = |prefix: &&str| {
            path.strip_prefix(*prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if OPENAI.iter().any(below) { Self::OpenAi } else { Self::Lore }
    }

    /// The status of `error`: OpenAI's API knows no 422.
    pub fn status(self, error: &ApiError) -> StatusCode {
        match (self, error.status()) {
            (Self::OpenAi, StatusCode::UNPROCESSABLE_ENTITY) => StatusCode::BAD_REQUEST,
            (_, status) => status,
        }
    }

    /// The body of `error` for request `request_id`.
    pub fn body(self, error: &ApiError, request_id: &str) -> Response {
        match self {
            Self::Lore => Json(error.body(request_id)).into_response(),
            Self::OpenAi => Json(openai(error)).into_response(),
        }
    }
}

/// `error` as OpenAI's API tells it.
pub fn openai(error: &ApiError) -> OpenAiErrorBody {
    let kind = match error.status() {
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    };
    let code = match error.code() {
        "unauthorized" => Cow::Borrowed("invalid_api_key"),
        "overloaded" => Cow::Borrowed("rate_limit_exceeded"),
        code => Cow::Owned(code.to_owned()),
    };
    OpenAiErrorBody {
        error: OpenAiError {
            message: error.message().to_owned(),
            kind: kind.to_owned(),
            param: error.param().map(str::to_owned),
            code: Some(code.into_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_openais_paths_speak_its_dialect() {
        for path in
            ["/v1/chat/completions", "/v1/models", "/v1/models/a/b", "/v1/embeddings", "/v1/responses"]
        {
            assert_eq!(Dialect::of(path), Dialect::OpenAi, "{path}");
        }
        for path in ["/v1/ask", "/v1/chats", "/v1/modelsx", "/v1", "/", "/v1/documents/v1/chat"] {
            assert_eq!(Dialect::of(path), Dialect::Lore, "{path}");
        }
    }
}
