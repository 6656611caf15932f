//! `/v1/feedback`: what people say of answers.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use lore_index::{FeedbackChange, NewFeedback};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Authenticated;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{ApiJson, IdPath};
use crate::metrics::feedback_given;
use crate::routes::ask::check_question;
use crate::state::AppState;

/// Most citations that feedback may bring.
const CITATIONS: usize = 100;
/// Longest citation, in bytes of JSON.
const CITATION_BYTES: usize = 16 << 10;
/// Longest answer, given or better, in characters.
const ANSWER_CHARS: usize = 20_000;
/// Longest reason, in characters.
const REASON_CHARS: usize = 4_000;

/// Feedback that was stored.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FeedbackStored {
    /// Identifier.
    pub id: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// Stores what a person says of an answer; citations of documents that the caller cannot read are left out.
#[utoipa::path(post, path = "/v1/feedback", tag = "questions", request_body = NewFeedback, responses(
    (status = 201, description = "Stored", body = FeedbackStored),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn give(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    ApiJson(mut feedback): ApiJson<NewFeedback>,
) -> Result<(StatusCode, Json<FeedbackStored>), ApiError> {
    check_question(&feedback.question, state.limits())?;
    if feedback.citations.len() > CITATIONS {
        return Err(ApiError::invalid(
            "too_many_citations",
            format!("feedback takes at most {CITATIONS} citations"),
        ));
    }
    check_length("answer", Some(&feedback.answer), ANSWER_CHARS)?;
    check_length("better_answer", feedback.better_answer.as_ref(), ANSWER_CHARS)?;
    check_length("reason", feedback.reason.as_ref(), REASON_CHARS)?;
    if feedback.citations.iter().any(|citation| citation.to_string().len() > CITATION_BYTES) {
        return Err(ApiError::invalid(
            "too_long",
            format!("a citation takes at most {CITATION_BYTES} bytes"),
        ));
    }
    let (most, rating) = (state.limits().feedback_entries, feedback.rating);
    let stored = state
        .catalog(move |catalog| {
            let cited = feedback.documents().collect();
            let readable = catalog.readable_documents(&cited, &caller.access)?;
            feedback
                .citations
                .retain(|c| NewFeedback::document_of(c).is_some_and(|id| readable.contains(&id)));
            catalog.add_feedback(&caller.id, &feedback, most)
        })
        .await?;
    feedback_given(rating);
    Ok((StatusCode::CREATED, Json(FeedbackStored { id: stored.id, created_at: stored.created_at })))
}

/// Changes feedback that the caller gave.
#[utoipa::path(patch, path = "/v1/feedback/{id}", tag = "questions", request_body = FeedbackChange,
    params(("id" = String, Path, description = "The feedback's id")), responses(
    (status = 204, description = "It is changed"),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn change(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    IdPath(id): IdPath,
    ApiJson(change): ApiJson<FeedbackChange>,
) -> Result<StatusCode, ApiError> {
    check_length("better_answer", change.better_answer.as_ref(), ANSWER_CHARS)?;
    check_length("reason", change.reason.as_ref(), REASON_CHARS)?;
    let changed = state.catalog(move |catalog| catalog.change_feedback(&caller.id, &id, &change)).await?;
    if changed { Ok(StatusCode::NO_CONTENT) } else { Err(ApiError::not_found("feedback")) }
}

/// Takes feedback back that the caller gave.
#[utoipa::path(delete, path = "/v1/feedback/{id}", tag = "questions",
    params(("id" = String, Path, description = "The feedback's id")), responses(
    (status = 204, description = "It is gone"),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn delete(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    IdPath(id): IdPath,
) -> Result<StatusCode, ApiError> {
    let deleted = state.catalog(move |catalog| catalog.delete_feedback(&caller.id, &id)).await?;
    if deleted { Ok(StatusCode::NO_CONTENT) } else { Err(ApiError::not_found("feedback")) }
}

fn check_length(what: &str, text: Option<&String>, most: usize) -> Result<(), ApiError> {
    if text.is_some_and(|text| text.chars().nth(most).is_some()) {
        return Err(ApiError::invalid("too_long", format!("{what} takes at most {most} characters")));
    }
    Ok(())
}
