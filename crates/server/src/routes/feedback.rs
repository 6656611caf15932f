//! `/v1/feedback`: what people say of answers.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use lore_index::NewFeedback;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Authenticated;
use crate::error::{ApiError, ErrorBody};
use crate::extract::ApiJson;
use crate::routes::ask::check_question;
use crate::state::AppState;

/// Most citations that feedback may bring.
const CITATIONS: usize = 100;

/// Feedback that was stored.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FeedbackStored {
    /// Identifier.
    pub id: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// Stores what a person says of an answer.
#[utoipa::path(post, path = "/v1/feedback", tag = "questions", request_body = NewFeedback, responses(
    (status = 201, description = "Stored", body = FeedbackStored),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn give(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    ApiJson(feedback): ApiJson<NewFeedback>,
) -> Result<(StatusCode, Json<FeedbackStored>), ApiError> {
    check_question(&feedback.question, state.limits())?;
    if feedback.citations.len() > CITATIONS {
        return Err(ApiError::invalid(
            "too_many_citations",
            format!("feedback takes at most {CITATIONS} citations"),
        ));
    }
    let stored = state.catalog(move |catalog| catalog.add_feedback(&caller.id, &feedback)).await?;
    Ok((StatusCode::CREATED, Json(FeedbackStored { id: stored.id, created_at: stored.created_at })))
}
