//! `POST /v1/ask`: a question in, a cited answer out, at once or as a stream.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use lore_core::{
    AnswerEvent, AnswerOptions, AnswerSummary, ConversationId, Filter, Limits, Passage, Question, Sampling,
    Turn,
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::auth::Authenticated;
use crate::error::{ApiError, ErrorBody};
use crate::extract::ApiJson;
use crate::record::Record;
use crate::request::RequestId;
use crate::routes::accepts;
use crate::sse::{self, Flow, SentEvent};
use crate::state::AppState;

/// A question.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskRequest {
    /// What to answer.
    pub question: String,
    /// Earlier turns of the conversation, oldest first.
    #[serde(default)]
    pub history: Vec<Turn>,
    /// Which documents may answer.
    #[serde(default)]
    pub filter: Filter,
    /// Whether to stream; where it is left out, the header `Accept: text/event-stream` decides.
    #[serde(default)]
    pub stream: Option<bool>,
    /// Whether statements that no passage supports are left out; as the settings say where it is left out. An extractive
    /// answer has none.
    #[serde(default)]
    pub strict: Option<bool>,
    /// Keeps the answer: `new` begins a conversation, an identifier goes on with that one of the caller's; its turns are
    /// the history.
    #[serde(default)]
    pub conversation: Option<String>,
    /// Answers the conversation's last question again, or another in its place: the turn takes the place of the last one.
    /// A language model then writes with some chance, so that the answer may differ.
    #[serde(default)]
    pub replace: bool,
}

/// How a language model writes an answer that was asked for again: at least so warm, whatever the settings say.
const AGAIN_TEMPERATURE: f32 = 0.7;

fn again(settings: &Sampling) -> Sampling {
    Sampling { temperature: settings.temperature.max(AGAIN_TEMPERATURE), seed: None, ..settings.clone() }
}

/// A cited answer. All offsets are in Unicode code points.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AskResponse {
    /// The answer with its citations.
    #[serde(flatten)]
    pub summary: AnswerSummary,
    /// The passages that the answer could cite, best first.
    pub sources: Vec<Passage>,
    /// The conversation that the answer was kept in, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationId>,
    /// The request, as the server's log knows it.
    pub request_id: String,
}

/// Answers a question from the documents that the caller may read.
///
/// As a stream, the answer comes as the events `sources`, `token`, `citation`, then `done` or `error`; the data of each
/// is a `SentEvent`.
#[utoipa::path(post, path = "/v1/ask", tag = "questions", request_body = AskRequest, responses(
    (status = 200, description = "The answer, or that there is none", content(
        (AskResponse = "application/json"), (SentEvent = "text/event-stream"),
    )),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn ask(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    id: RequestId,
    headers: HeaderMap,
    ApiJson(request): ApiJson<AskRequest>,
) -> Result<Response, ApiError> {
    check(&request, state.limits())?;
    let streamed = request.stream.unwrap_or_else(|| accepts(&headers, "text/event-stream"));
    let arrived = Instant::now();
    let deadline = arrived + state.options().http.answer_timeout();
    let engine = state.engine()?;
    let (record, history) = match &request.conversation {
        Some(wanted) => {
            let (record, history) =
                Record::open(&state, &caller, wanted, &request.question, request.replace).await?;
            (Some(record), history)
        }
        None => (None, request.history),
    };
    let permit = state.until(deadline, state.questions().enter()).await??;
    let sampling = request.replace.then(|| again(&engine.answerer.config().generate.sampling));
    let options = AnswerOptions { strict: request.strict, sampling, ..AnswerOptions::default() };
    let question = Question { text: request.question, history, filter: request.filter, options };
    let events = engine.answerer.ask(question, &caller);
    let flow = Flow::new(events, permit, deadline, state.lifecycle().clone());
    let mut flow = flow.arrived(arrived).recorded(record);

    // The headers wait for the first event, so that a question that fails at once gets a proper status.
    let first = match flow.next().await {
        Some(AnswerEvent::Error { code, message }) => return Err(ApiError::of_event(&code, &message)),
        Some(first) => first,
        None => return Err(ApiError::internal("an answer without events")),
    };
    if streamed {
        return Ok(sse::respond(first, flow, state.options().http.keep_alive()));
    }
    let mut sources = Vec::new();
    let mut event = Some(first);
    while let Some(next) = event {
        match next {
            AnswerEvent::Sources { passages } => sources = passages,
            AnswerEvent::Done(summary) => {
                let (conversation, request_id) = (flow.kept_in(), id.to_string());
                return Ok(Json(AskResponse { summary, sources, conversation, request_id }).into_response());
            }
            AnswerEvent::Error { code, message } => return Err(ApiError::of_event(&code, &message)),
            AnswerEvent::Token { .. } | AnswerEvent::Citation { .. } => {}
        }
        event = flow.next().await;
    }
    Err(ApiError::internal("an answer without an end"))
}

fn check(request: &AskRequest, limits: &Limits) -> Result<(), ApiError> {
    check_question(&request.question, limits)?;
    if request.history.len() > limits.history_turns {
        return Err(ApiError::invalid(
            "history_too_long",
            format!(
                "the history has {} turns, the limit is {}; leave the oldest out",
                request.history.len(),
                limits.history_turns
            ),
        ));
    }
    if request.replace && request.conversation.is_none() {
        return Err(ApiError::invalid(
            "bad_replace",
            "only an answer of a conversation can be replaced; name the conversation",
        ));
    }
    if request.conversation.is_some() && !request.history.is_empty() {
        return Err(ApiError::invalid(
            "bad_history",
            "a question of a conversation brings no history; leave one of the two out",
        ));
    }
    // The answers are bounded by the body alone: they may be Lore's own.
    request
        .history
        .iter()
        .try_for_each(|turn| check_length("a question of the history", &turn.question, limits))
}

/// Refuses a question without words, and one over the limit.
pub(crate) fn check_question(question: &str, limits: &Limits) -> Result<(), ApiError> {
    if question.trim().is_empty() {
        return Err(ApiError::invalid("bad_question", "the question is empty; write what you want to know"));
    }
    check_length("the question", question, limits)
}

fn check_length(what: &str, question: &str, limits: &Limits) -> Result<(), ApiError> {
    let (chars, limit) = (question.chars().count(), limits.question_chars);
    if chars > limit {
        return Err(ApiError::invalid(
            "question_too_long",
            format!("{what} has {chars} characters, the limit is {limit}; shorten it"),
        ));
    }
    Ok(())
}
