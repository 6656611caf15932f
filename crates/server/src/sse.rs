//! Answers on their way out: one flow of events, read at once for JSON or sent as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use lore_core::{AnswerEvent, ConversationId};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::Instrument as _;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::lifecycle::Lifecycle;
use crate::limits::Permit;
use crate::metrics::{Outcome, question_began, question_done, question_took};
use crate::record::Record;
use crate::work::Work;

/// Events that wait for a client that reads slowly, beside those that wait in the answerer.
const AHEAD: usize = 8;

/// An event as it is sent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SentEvent {
    /// The event.
    #[serde(flatten)]
    pub event: AnswerEvent,
    /// Of `done`: the conversation that the answer was kept in, where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationId>,
}

impl From<AnswerEvent> for SentEvent {
    fn from(event: AnswerEvent) -> Self {
        Self { event, conversation: None }
    }
}

/// The events of one answer, with an end in every case: the answerer's own, the deadline's or the shutdown's.
///
/// Dropping it cancels the work and frees its place.
#[derive(Debug)]
pub struct Flow {
    work: Work<AnswerEvent>,
    arrived: Instant,
    begun: bool,
    record: Option<Box<Record>>,
    kept: Option<ConversationId>,
}

impl Flow {
    /// The flow of `events`, which must end by `deadline`.
    pub fn new(
        events: mpsc::Receiver<AnswerEvent>,
        permit: Permit,
        deadline: Instant,
        lifecycle: Lifecycle,
    ) -> Self {
        let work = Work::new(events, permit, deadline, lifecycle, question_done);
        Self { work, arrived: Instant::now(), begun: false, record: None, kept: None }
    }

    /// The same for a question that came before it had a place.
    #[must_use]
    pub fn arrived(self, arrived: Instant) -> Self {
        Self { arrived, ..self }
    }

    /// The same; the answer is kept in a conversation when it is whole.
    #[must_use]
    pub fn recorded(self, record: Option<Record>) -> Self {
        Self { record: record.map(Box::new), ..self }
    }

    /// The conversation that the answer was kept in, once it ended.
    pub fn kept_in(&self) -> Option<ConversationId> {
        self.kept
    }

    /// When it must have ended.
    pub fn deadline(&self) -> Instant {
        self.work.deadline()
    }

    /// The next event; `None` after `Done` or `Error`.
    pub async fn next(&mut self) -> Option<AnswerEvent> {
        let event = self.work.next().await?.unwrap_or_else(|error| failure(&error));
        match &event {
            AnswerEvent::Sources { passages } => {
                self.record.iter_mut().for_each(|record| record.sources.clone_from(passages));
            }
            AnswerEvent::Token { .. } if !self.begun => {
                self.begun = true;
                question_began(self.arrived.elapsed());
            }
            AnswerEvent::Done(summary) => {
                question_took(self.arrived.elapsed());
                self.work.end(if summary.answered { Outcome::Answered } else { Outcome::Refused });
                if let Some(record) = self.record.take() {
                    self.kept = record.keep(summary.clone()).await;
                }
            }
            AnswerEvent::Error { .. } => self.work.end(Outcome::Failed),
            _ => {}
        }
        Some(event)
    }
}

fn failure(error: &ApiError) -> AnswerEvent {
    AnswerEvent::Error { code: error.code().to_owned(), message: error.message().to_owned() }
}

/// `first` and the rest of `flow` as server-sent events, with a comment every `keep_alive` of silence.
///
/// A task of its own reads the flow, so that a client which stops reading holds its place no longer than the deadline.
pub fn respond(first: AnswerEvent, flow: Flow, keep_alive: Duration) -> Response {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(pump(first, flow, sender).in_current_span());
    let events = stream::unfold(Some(receiver), |receiver| async move {
        let mut receiver = receiver?;
        let event = receiver.recv().await.unwrap_or_else(|| failure(&ApiError::timed_out()).into());
        let last = matches!(event.event, AnswerEvent::Done(_) | AnswerEvent::Error { .. });
        Some((Ok::<_, Infallible>(frame(&event)), (!last).then_some(receiver)))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(keep_alive)).into_response()
}

/// Hands events over until the answer ends, the client goes away, or the deadline finds the client not reading.
async fn pump(first: AnswerEvent, mut flow: Flow, sender: mpsc::Sender<SentEvent>) {
    let deadline = flow.deadline();
    let mut event = Some(first);
    while let Some(now) = event {
        let conversation = flow.kept_in().filter(|_| matches!(now, AnswerEvent::Done(_)));
        let next = SentEvent { event: now, conversation };
        if !matches!(tokio::time::timeout_at(deadline, sender.send(next)).await, Ok(Ok(()))) {
            return;
        }
        event = tokio::select! {
            event = flow.next() => event,
            () = sender.closed() => return,
        };
    }
}

fn frame(event: &SentEvent) -> Event {
    let name = match event.event {
        AnswerEvent::Sources { .. } => "sources",
        AnswerEvent::Token { .. } => "token",
        AnswerEvent::Citation { .. } => "citation",
        AnswerEvent::Done(_) => "done",
        AnswerEvent::Error { .. } => "error",
    };
    match serde_json::to_string(event) {
        Ok(data) => Event::default().event(name).data(data),
        Err(error) => {
            tracing::error!(%error, "an event could not be written");
            Event::default()
                .event("error")
                .data(r#"{"type":"error","code":"internal","message":"an event was lost"}"#)
        }
    }
}
