//! A chat completion as server-sent events: chunks, then `[DONE]`; every event's data has `choices`, since clients
//! break on what has none.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Serialize;
use tokio::sync::mpsc;
use tracing::Instrument as _;

use crate::dialect::{OpenAiError, openai};
use crate::error::ApiError;
use crate::routes::openai::reply::{ChatChunk, ChatDetails, ChunkChoice, Delta};
use crate::routes::openai::writing::{Ending, Piece, Writing};

/// Events that wait for a client that reads slowly, beside those that wait where the text is written.
const AHEAD: usize = 8;

/// What all chunks of an answer share.
#[derive(Clone, Debug)]
pub struct Head {
    pub id: String,
    pub created: i64,
    pub model: String,
    /// Whether the tokens are told at the end.
    pub usage: bool,
}

/// An event's data; the answer ends with the last one.
struct Frame {
    data: String,
    last: bool,
}

/// An error after the headers. No `[DONE]` follows, so that nobody takes the text for whole.
#[derive(Serialize)]
struct Broken {
    error: OpenAiError,
    choices: [(); 0],
}

/// `first`, where it came already, and the rest of `writing`, with a comment every `keep_alive` of silence.
///
/// A task of its own reads the pieces, so that a client which stops reading holds its place no longer than the deadline.
pub fn respond(head: Head, first: Option<Piece>, writing: Writing, keep_alive: Duration) -> Response {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(pump(head, first, writing, sender).in_current_span());
    let events = stream::unfold(Some(receiver), |receiver| async move {
        let mut receiver = receiver?;
        let frame = receiver.recv().await.unwrap_or_else(|| broken(&ApiError::timed_out()));
        let event = Event::default().data(frame.data);
        Some((Ok::<_, Infallible>(event), (!frame.last).then_some(receiver)))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(keep_alive)).into_response()
}

/// Hands frames over until the text ends, the client goes away, or the deadline finds the client not reading.
async fn pump(head: Head, first: Option<Piece>, mut writing: Writing, sender: mpsc::Sender<Frame>) {
    let deadline = writing.deadline();
    let start =
        Delta { role: Some("assistant".to_owned()), content: Some(String::new()), ..Delta::default() };
    let mut frames = vec![head.piece(start)];
    let mut piece = first;
    loop {
        match piece {
            None | Some(Piece::Begun) => {}
            Some(Piece::Text(text)) => {
                frames.push(head.piece(Delta { content: Some(text), ..Delta::default() }));
            }
            Some(Piece::End(ending)) => head.end(*ending, &mut frames),
            Some(Piece::Failed(error)) => {
                tracing::warn!(code = error.code(), cause = error.cause(), "a stream broke off");
                frames.push(broken(&error));
            }
        }
        for frame in frames.drain(..) {
            let last = frame.last;
            let sent = tokio::time::timeout_at(deadline, sender.send(frame)).await;
            if last || !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
        piece = tokio::select! {
            next = writing.next() => next,
            () = sender.closed() => return,
        };
        if piece.is_none() {
            return;
        }
    }
}

impl Head {
    fn piece(&self, delta: Delta) -> Frame {
        let choice = ChunkChoice { index: 0, delta, logprobs: None, finish_reason: None };
        frame(&self.chunk(vec![choice], None))
    }

    fn end(&self, ending: Ending, frames: &mut Vec<Frame>) {
        let Ending { annotations, finish, usage, details, .. } = ending;
        let delta = Delta { annotations: Some(annotations), ..Delta::default() };
        let choice = ChunkChoice { index: 0, delta, logprobs: None, finish_reason: Some(finish) };
        frames.push(frame(&self.chunk(vec![choice], Some(details))));
        if self.usage {
            frames.push(frame(&ChatChunk { usage: Some(Some(usage)), ..self.chunk(Vec::new(), None) }));
        }
        frames.push(Frame { data: "[DONE]".to_owned(), last: true });
    }

    fn chunk(&self, choices: Vec<ChunkChoice>, lore: Option<ChatDetails>) -> ChatChunk {
        ChatChunk {
            id: self.id.clone(),
            object: "chat.completion.chunk".to_owned(),
            created: self.created,
            model: self.model.clone(),
            choices,
            usage: self.usage.then_some(None),
            lore,
        }
    }
}

fn frame(chunk: &ChatChunk) -> Frame {
    match serde_json::to_string(chunk) {
        Ok(data) => Frame { data, last: false },
        Err(error) => broken(&ApiError::internal(error)),
    }
}

fn broken(error: &ApiError) -> Frame {
    let data = serde_json::to_string(&Broken { error: openai(error).error, choices: [] });
    Frame { data: data.unwrap_or_else(|_| r#"{"choices":[]}"#.to_owned()), last: true }
}
