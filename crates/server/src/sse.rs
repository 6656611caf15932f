//! Answers on their way out: one flow of events, read at once for JSON or sent as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use lore_core::AnswerEvent;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::error::ApiError;
use crate::lifecycle::Lifecycle;
use crate::limits::Permit;
use crate::metrics::{Outcome, question_done};

/// The events of one answer, with an end in every case: the answerer's own, the deadline's or the shutdown's.
///
/// Dropping it cancels the work and frees its place.
#[derive(Debug)]
pub struct Flow {
    /// What is dropped as soon as the answer ended.
    work: Option<(mpsc::Receiver<AnswerEvent>, Permit)>,
    deadline: Instant,
    lifecycle: Lifecycle,
    counted: bool,
}

impl Flow {
    /// The flow of `events`, which must end by `deadline`.
    pub fn new(
        events: mpsc::Receiver<AnswerEvent>,
        permit: Permit,
        deadline: Instant,
        lifecycle: Lifecycle,
    ) -> Self {
        Self { work: Some((events, permit)), deadline, lifecycle, counted: false }
    }

    /// The next event; `None` after `Done` or `Error`.
    pub async fn next(&mut self) -> Option<AnswerEvent> {
        let (events, _) = self.work.as_mut()?;
        let event = tokio::select! {
            biased;
            event = events.recv() => event.unwrap_or_else(|| failure(&ApiError::internal("the answerer ended early"))),
            () = self.lifecycle.cut() => failure(&ApiError::shutting_down()),
            () = tokio::time::sleep_until(self.deadline) => failure(&ApiError::timed_out()),
        };
        match &event {
            AnswerEvent::Done(summary) => {
                self.end(if summary.answered { Outcome::Answered } else { Outcome::Refused });
            }
            AnswerEvent::Error { .. } => self.end(Outcome::Failed),
            _ => {}
        }
        Some(event)
    }

    fn end(&mut self, outcome: Outcome) {
        self.work = None;
        if !self.counted {
            self.counted = true;
            question_done(outcome);
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.end(Outcome::Cancelled);
    }
}

fn failure(error: &ApiError) -> AnswerEvent {
    AnswerEvent::Error { code: error.code().to_owned(), message: error.message().to_owned() }
}

/// `first` and the rest of `flow` as server-sent events, with a comment every `keep_alive` of silence.
pub fn respond(first: AnswerEvent, flow: Flow, keep_alive: Duration) -> Response {
    let events = stream::unfold((Some(first), flow), |(first, mut flow)| async move {
        let event = match first {
            Some(event) => event,
            None => flow.next().await?,
        };
        Some((Ok::<_, Infallible>(frame(&event)), (None, flow)))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(keep_alive)).into_response()
}

fn frame(event: &AnswerEvent) -> Event {
    let name = match event {
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
