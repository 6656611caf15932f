//! Errors: the one place that turns them into a status and a message that the public may read.
//!
//! Handlers return [`ApiError`]; the layer around every request ([`crate::request`]) writes the body, because only it
//! knows the request's id. The cause goes to the log and nowhere else.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lore_core::ModelError;
use lore_index::IndexError;
use lore_query::QueryError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The shape of every error.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// Stable, for programs, such as `not_found`.
    pub code: String,
    /// For a person.
    pub message: String,
    /// The request, as the server's log knows it.
    pub request_id: String,
}

/// An error on its way to the client.
#[derive(Clone, Debug)]
pub struct ApiError {
    status: StatusCode,
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    param: Option<Cow<'static, str>>,
    retry_after: Option<u64>,
    cause: Option<Arc<str>>,
}

impl ApiError {
    /// An error with a public message.
    pub fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            param: None,
            retry_after: None,
            cause: None,
        }
    }

    /// 400.
    pub fn bad_request(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 401: no key, a wrong one or a revoked one.
    pub fn unauthorized(message: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// 403.
    pub fn forbidden(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    /// 404 for a thing that is not there, or that the caller may not know of.
    pub fn not_found(what: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
    }

    /// 413.
    pub fn too_large(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// 415.
    pub fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
    }

    /// 422: understood, but not allowed.
    pub fn invalid(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// 429, to be tried again after `seconds`.
    pub fn too_many(seconds: u64, message: impl Into<Cow<'static, str>>) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "overloaded", message) }
    }

    /// 503.
    pub fn unavailable(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { retry_after: Some(2), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message) }
    }

    /// 500; `cause` goes to the log.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something went wrong in the server; its log has the cause under this request id",
        )
        .because(cause)
    }

    /// 504.
    pub fn timed_out() -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "timeout",
            "the answer took too long; try again or ask for less",
        )
    }

    /// 503 at the end of the grace period.
    pub fn shutting_down() -> Self {
        Self::unavailable("shutting_down", "the server is shutting down; try again in a moment")
    }

    /// This error, with a cause for the log.
    #[must_use]
    pub fn because(mut self, cause: impl std::fmt::Display) -> Self {
        self.cause = Some(cause.to_string().into());
        self
    }

    /// This error, said to be about the field `param`, such as `messages[0].role`.
    #[must_use]
    pub fn about(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// The error that a bare `status` of the router stands for.
    pub fn of_status(status: StatusCode) -> Self {
        let (code, message) = match status {
            StatusCode::NOT_FOUND => {
                ("not_found", "there is nothing under this path; /openapi.json lists what there is")
            }
            StatusCode::METHOD_NOT_ALLOWED => (
                "method_not_allowed",
                "this path does not take this method; the header Allow names those it takes",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => ("too_large", "the request is too large"),
            status if status.is_client_error() => ("bad_request", "the request makes no sense to the server"),
            _ => {
                return Self { status, ..Self::internal(status) };
            }
        };
        Self::new(status, code, message)
    }

    /// The error that an answer's error event stands for.
    pub fn of_event(code: &str, message: &str) -> Self {
        match code {
            "bad_question" => Self::invalid("bad_question", message.to_owned()),
            "question_too_long" => Self::invalid("question_too_long", message.to_owned()),
            "refused" => Self::invalid("refused", message.to_owned()),
            "overloaded" => Self::too_many(1, message.to_owned()),
            "model_unavailable" => Self::unavailable("model_unavailable", message.to_owned()),
            "vectors_unavailable" => Self::unavailable("vectors_unavailable", message.to_owned()),
            "withdrawn" => Self::new(StatusCode::CONFLICT, "withdrawn", message.to_owned()),
            "timeout" => Self::timed_out(),
            "shutting_down" => Self::shutting_down(),
            _ => Self::internal(message),
        }
    }

    /// HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Code for programs.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Message for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The field of the request that is wrong, where one is known.
    pub fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// Cause for the log.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// Seconds after which trying again makes sense.
    pub fn retry_after(&self) -> Option<u64> {
        self.retry_after
    }

    /// The body for request `request_id`.
    pub fn body(&self, request_id: &str) -> ErrorBody {
        ErrorBody {
            error: ErrorDetail {
                code: self.code.to_string(),
                message: self.message.to_string(),
                request_id: request_id.to_owned(),
            },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ModelError> for ApiError {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Overloaded { .. } => {
                Self::too_many(1, "the model's queue is full; try again in a moment").because(error)
            }
            ModelError::Stopped { .. } => {
                Self::unavailable("model_unavailable", "a model is not running; try again in a moment")
                    .because(error)
            }
            ModelError::Refused { message, .. } => Self::invalid("refused", message),
            ModelError::Failed { .. } => Self::internal(error),
        }
    }
}

impl From<IndexError> for ApiError {
    fn from(error: IndexError) -> Self {
        if let Some((status, code)) = crate::releases::refusal(&error) {
            return Self::new(status, code, error.to_string());
        }
        match error {
            IndexError::Model(error) => error.into(),
            IndexError::QueueFull { waiting } => Self::too_many(
                30,
                format!("{waiting} documents wait to be read, which is the limit; try again later"),
            ),
            IndexError::FeedbackFull { most } => Self::too_many(
                3_600,
                format!(
                    "{most} pieces of feedback are stored, which is the limit; the administrator can raise it"
                ),
            ),
            IndexError::ConversationFull { most } => Self::invalid(
                "conversation_full",
                format!("the conversation has {most} turns, which is the limit; begin a new one"),
            ),
            IndexError::DiskFull { .. } => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "disk_full",
                "the server's disk is full; nothing was stored",
            )
            .because(error),
            IndexError::Locked { .. } => {
                Self::unavailable("busy", "the data is in use by another process; try again in a moment")
                    .because(error)
            }
            IndexError::Unreachable { .. } => Self::unavailable(
                "vectors_unavailable",
                "the vector store cannot be reached; try again in a moment",
            )
            .because(error),
            IndexError::Invalid(message) => Self::invalid("invalid", message),
            IndexError::Cancelled => Self::shutting_down(),
            error => Self::internal(error),
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::EmptyQuestion => Self::invalid("bad_question", error.to_string()),
            QueryError::QuestionTooLong { .. } => Self::invalid("question_too_long", error.to_string()),
            QueryError::BadWeights(message) => Self::invalid("bad_weights", message),
            QueryError::Index(error) => error.into(),
            QueryError::Model(error) => error.into(),
            QueryError::Withdrawn => Self::of_event("withdrawn", &error.to_string()),
            QueryError::Cancelled => Self::shutting_down(),
            error => Self::internal(error),
        }
    }
}

impl From<tokio::task::JoinError> for ApiError {
    fn from(error: tokio::task::JoinError) -> Self {
        if error.is_cancelled() { Self::shutting_down() } else { Self::internal(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_from_a_fault() {
        let unreachable =
            || IndexError::Unreachable { url: "http://10.0.0.7:6334".into(), reason: "refused".into() };
        for error in [ApiError::from(unreachable()), ApiError::from(QueryError::from(unreachable()))] {
            assert_eq!((error.status().as_u16(), error.code()), (503, "vectors_unavailable"));
            assert!(!error.message().contains("10.0.0.7"), "{}", error.message());
        }
        let of_event = |code| ApiError::of_event(code, "x").status().as_u16();
        assert_eq!((of_event("vectors_unavailable"), of_event("model_unavailable")), (503, 503));
    }
}
