//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use lore_core::{Caller, ChatOptions, ModelError, Prompt, Question, Serving};
use tokio::time::Instant;

use crate::auth::Authenticated;
use crate::dialect::OpenAiErrorBody;
use crate::error::ApiError;
use crate::limits::Permit;
use crate::metrics::chat_done;
use crate::request::RequestId;
use crate::routes::openai::fields::Fields;
use crate::routes::openai::messages;
use crate::routes::openai::models::{LORE, Writer, writer};
use crate::routes::openai::reply::{ChatChoice, ChatChunk, ChatCompletion, ChatReply};
use crate::routes::openai::request::ChatRequest;
use crate::routes::openai::stream::{self, Head};
use crate::routes::openai::writing::{Piece, Writing};
use crate::sse::Flow;
use crate::state::AppState;
use crate::work::Work;

/// Answers a chat as OpenAI's API does: from the documents with the model `lore`, without them with the language model's.
///
/// As a stream, each event's data is a `ChatChunk`: the first has the role, the last with a choice has the
/// `finish_reason` and all annotations, one with the tokens follows if wanted, then `[DONE]`. An error after the start is
/// an event with `error` and nothing behind it.
#[utoipa::path(post, path = "/v1/chat/completions", tag = "openai", request_body = ChatRequest, responses(
    (status = 200, description = "The answer", content(
        (ChatCompletion = "application/json"), (ChatChunk = "text/event-stream"),
    )),
    (status = "default", description = "An error", body = OpenAiErrorBody),
))]
pub async fn complete(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    id: RequestId,
    fields: Fields,
) -> Result<Response, ApiError> {
    let request = ChatRequest::read(fields)?;
    let deadline = Instant::now() + state.options().http.answer_timeout();
    let writer = writer(state.models()?, request.model.as_deref())?;
    let head = Head {
        id: format!("chatcmpl-{id}"),
        created: Timestamp::now().as_second(),
        model: match &writer {
            Writer::Lore => LORE.to_owned(),
            Writer::Model(serving) => serving.generator.info().id.clone(),
        },
        usage: request.wants_usage(),
    };
    let streamed = request.stream.unwrap_or(false);
    let mut writing = match writer {
        Writer::Lore => answer(&state, request, &caller, deadline).await?,
        Writer::Model(serving) => write(&state, request, serving, deadline).await?,
    };

    // The headers wait for the first piece, so that what fails at once gets a proper status; but not for long, since a
    // proxy takes a long silence for the end.
    let keep_alive = state.options().http.keep_alive();
    let first = match tokio::time::timeout(keep_alive, writing.next()).await {
        Ok(Some(Piece::Failed(error))) => return Err(error),
        Ok(Some(first)) => Some(first),
        Ok(None) => return Err(ApiError::internal("a text without a beginning")),
        Err(_) => None,
    };
    if streamed {
        return Ok(stream::respond(head, first, writing, keep_alive));
    }
    whole(head, first, writing).await.map(|completion| Json(completion).into_response())
}

/// The whole text at once.
async fn whole(head: Head, first: Option<Piece>, mut writing: Writing) -> Result<ChatCompletion, ApiError> {
    let mut content = String::new();
    let mut piece = first;
    loop {
        match piece {
            None | Some(Piece::Begun) => {}
            Some(Piece::Text(text)) => content.push_str(&text),
            Some(Piece::Failed(error)) => return Err(error),
            Some(Piece::End(ending)) => {
                let message = ChatReply {
                    role: "assistant".to_owned(),
                    content: ending.whole.unwrap_or(content),
                    refusal: None,
                    annotations: ending.annotations,
                };
                return Ok(ChatCompletion {
                    id: head.id,
                    object: "chat.completion".to_owned(),
                    created: head.created,
                    model: head.model,
                    choices: vec![ChatChoice {
                        index: 0,
                        message,
                        logprobs: None,
                        finish_reason: ending.finish,
                    }],
                    usage: ending.usage,
                    lore: ending.details,
                });
            }
        }
        piece = writing.next().await;
        if piece.is_none() {
            return Err(ApiError::internal("a text without an end"));
        }
    }
}

/// An answer from the documents.
async fn answer(
    state: &AppState,
    mut request: ChatRequest,
    caller: &Caller,
    deadline: Instant,
) -> Result<Writing, ApiError> {
    let (text, history) = messages::question(request.take_messages()?, state.limits())?;
    let arrived = Instant::now();
    let engine = state.engine()?;
    let options = request.options(&engine.answerer.config().generate.sampling)?;
    let permit = enter(state, deadline).await?;
    let filter = request.lore.unwrap_or_default().filter;
    let question = Question { text, history, filter, options };
    let events = engine.answerer.ask(question, caller);
    let flow = Flow::new(events, permit, deadline, state.lifecycle().clone());
    let flow = Box::new(flow.arrived(arrived));
    Ok(Writing::Lore { flow, state: state.clone() })
}

/// A text of the language model alone.
async fn write(
    state: &AppState,
    mut request: ChatRequest,
    serving: Arc<Serving>,
    deadline: Instant,
) -> Result<Writing, ApiError> {
    let messages = request.take_messages()?;
    let settings = &state.models()?.answerer.config().generate;
    let thinking = request.thinking().or(Some(settings.thinking));
    let options = ChatOptions { thinking, ..ChatOptions::default() };
    let (sampling, stop) = (request.sampling(&settings.sampling)?, request.stops()?);
    let max_tokens = request.token_limit()?.unwrap_or(0);
    let permit = enter(state, deadline).await?;
    let lease = serving.clone();
    let generator = serving.generator.clone();
    // A long chat takes the tokenizer a while.
    let encoding = tokio::task::spawn_blocking(move || {
        let tokens = generator.encode_chat(&messages, &options).map_err(refused)?;
        let (length, limit) = (tokens.len(), generator.info().context_tokens);
        if length >= limit {
            let message = format!("the chat has {length} tokens, the model's context is {limit}; shorten it");
            return Err(ApiError::bad_request("context_length_exceeded", message).about("messages"));
        }
        let max_tokens = max_tokens.min(limit - length);
        let prompt = Prompt { tokens, sampling, max_tokens, stop, ..Prompt::default() };
        generator.generate(prompt).map_err(refused)
    });
    let events = state.until(deadline, encoding).await???;
    let work = Work::new(events, permit, deadline, state.lifecycle().clone(), chat_done);
    Ok(Writing::Model { work, serving: lease })
}

async fn enter(state: &AppState, deadline: Instant) -> Result<Permit, ApiError> {
    state.until(deadline, state.questions().enter()).await?
}

/// What a model refuses lies in the messages: everything else was looked at before.
fn refused(error: ModelError) -> ApiError {
    let of_messages = matches!(error, ModelError::Refused { .. });
    let error = ApiError::from(error);
    if of_messages { error.about("messages") } else { error }
}
