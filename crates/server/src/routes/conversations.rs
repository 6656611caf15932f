//! `/v1/conversations`: what a caller asked before, and what was answered.
//!
//! A conversation is seen by nobody but the caller that began it; to others, administrators too, it is not there.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use lore_core::{Caller, Conversation, ConversationId, ConversationTurn};
use lore_index::{ConversationQuery, Feedback, Rating};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Authenticated;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{ApiJson, ApiQuery, ConversationPath};
use crate::routes::markdown;
use crate::state::AppState;

/// Most conversations on a page.
const PAGE: usize = 200;
/// Longest title, in characters.
const TITLE_CHARS: usize = 200;

/// Which conversations to list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Words that the title, or a question, must contain.
    pub query: Option<String>,
    /// Conversations on a page, 1 to 200; 50 where it is left out.
    pub limit: Option<usize>,
    /// The cursor `next` of the page before.
    pub before: Option<String>,
}

/// A page of conversations, the one used last first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConversationList {
    /// The conversations.
    pub conversations: Vec<Conversation>,
    /// Cursor of the next page, where there is one.
    pub next: Option<String>,
}

/// A conversation with its turns.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConversationDetail {
    /// The conversation.
    #[serde(flatten)]
    pub conversation: Conversation,
    /// Its turns, oldest first.
    pub history: Vec<JudgedTurn>,
}

/// A turn, and what the caller said of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JudgedTurn {
    /// The turn.
    #[serde(flatten)]
    pub turn: ConversationTurn,
    /// The last feedback on this question and answer, where the caller gave any.
    pub feedback: Option<TurnFeedback>,
}

/// What the caller said of a turn's answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TurnFeedback {
    /// Identifier, by which it can be changed and taken back.
    pub id: String,
    /// Helpful or not.
    pub rating: Rating,
    /// Why.
    pub reason: Option<String>,
    /// The answer that would have been right.
    pub better_answer: Option<String>,
}

impl From<Feedback> for TurnFeedback {
    fn from(Feedback { id, feedback, .. }: Feedback) -> Self {
        Self { id, rating: feedback.rating, reason: feedback.reason, better_answer: feedback.better_answer }
    }
}

/// A new title.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// The title, 1 to 200 characters.
    pub title: String,
}

/// Lists the caller's conversations.
#[utoipa::path(get, path = "/v1/conversations", tag = "conversations", params(ListQuery), responses(
    (status = 200, description = "A page of conversations", body = ConversationList),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn list(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Json<ConversationList>, ApiError> {
    let limit = query.limit.unwrap_or(50);
    if !(1..=PAGE).contains(&limit) {
        return Err(ApiError::invalid("bad_limit", format!("limit must be 1 to {PAGE}")));
    }
    let wanted = ConversationQuery { text: query.query, limit, before: query.before };
    let page = state.catalog(move |catalog| catalog.conversations(&caller.id, &wanted)).await?;
    Ok(Json(ConversationList { conversations: page.conversations, next: page.next }))
}

/// Shows a conversation. Quotes and passages are read from the documents anew; an answer that rests on a document which
/// was deleted, or which the caller may not read any more, is withdrawn.
#[utoipa::path(get, path = "/v1/conversations/{id}", tag = "conversations",
    params(("id" = String, Path, description = "The conversation's id")), responses(
    (status = 200, description = "The conversation", body = ConversationDetail),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn show(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    ConversationPath(id): ConversationPath,
) -> Result<Json<ConversationDetail>, ApiError> {
    let owner = caller.id.clone();
    let (conversation, history) = read(&state, caller, id).await?;
    let judged = state.catalog(move |catalog| {
        let answers: Vec<_> =
            history.iter().map(|turn| (turn.question.as_str(), turn.summary.answer.as_str())).collect();
        let given = catalog.feedback_on(&owner, &answers)?;
        let judge = |(turn, feedback): (ConversationTurn, Option<Feedback>)| JudgedTurn {
            turn,
            feedback: feedback.map(TurnFeedback::from),
        };
        Ok(history.into_iter().zip(given).map(judge).collect())
    });
    Ok(Json(ConversationDetail { conversation, history: judged.await? }))
}

/// Gives a conversation another title.
#[utoipa::path(patch, path = "/v1/conversations/{id}", tag = "conversations", request_body = Rename,
    params(("id" = String, Path, description = "The conversation's id")), responses(
    (status = 200, description = "The conversation", body = Conversation),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn rename(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    ConversationPath(id): ConversationPath,
    ApiJson(Rename { title }): ApiJson<Rename>,
) -> Result<Json<Conversation>, ApiError> {
    let chars = title.trim().chars().count();
    if !(1..=TITLE_CHARS).contains(&chars) || title.chars().any(char::is_control) {
        return Err(ApiError::invalid("bad_title", format!("title must have 1 to {TITLE_CHARS} characters")));
    }
    let renamed = state.catalog(move |catalog| catalog.rename_conversation(&caller.id, id, &title)).await?;
    renamed.map(Json).ok_or_else(missing)
}

/// Deletes a conversation.
#[utoipa::path(delete, path = "/v1/conversations/{id}", tag = "conversations",
    params(("id" = String, Path, description = "The conversation's id")), responses(
    (status = 204, description = "It is gone"),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn delete(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    ConversationPath(id): ConversationPath,
) -> Result<StatusCode, ApiError> {
    let deleted = state.catalog(move |catalog| catalog.delete_conversation(&caller.id, id)).await?;
    if deleted { Ok(StatusCode::NO_CONTENT) } else { Err(missing()) }
}

/// Gives a conversation as Markdown, its sources as footnotes.
#[utoipa::path(get, path = "/v1/conversations/{id}/export", tag = "conversations",
    params(("id" = String, Path, description = "The conversation's id")), responses(
    (status = 200, description = "Markdown", body = String, content_type = "text/markdown"),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn export(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    ConversationPath(id): ConversationPath,
) -> Result<Response, ApiError> {
    let (conversation, history) = read(&state, caller, id).await?;
    let text = markdown::of(&conversation, &history);
    let name = format!("attachment; filename=\"conversation-{id}.md\"");
    let headers = [
        (header::CONTENT_TYPE, "text/markdown; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, text).into_response())
}

async fn read(
    state: &AppState,
    caller: Caller,
    id: ConversationId,
) -> Result<(Conversation, Vec<ConversationTurn>), ApiError> {
    let found = state.catalog(move |catalog| catalog.conversation_turns(&caller.id, id, &caller.access));
    found.await?.ok_or_else(missing)
}

fn missing() -> ApiError {
    ApiError::not_found("conversation")
}
