//! Work that sends what it makes piece by piece, with a place, a deadline and an end in every case.

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::error::ApiError;
use crate::lifecycle::Lifecycle;
use crate::limits::Permit;
use crate::metrics::Outcome;

/// The pieces of some work. Dropping it cancels the work and frees its place.
#[derive(Debug)]
pub struct Work<E> {
    /// What is dropped as soon as the work ended.
    running: Option<(mpsc::Receiver<E>, Permit)>,
    deadline: Instant,
    lifecycle: Lifecycle,
    count: fn(Outcome),
    counted: bool,
}

impl<E> Work<E> {
    /// The work that sends `events` and must end by `deadline`; `count` hears once how it ended.
    pub fn new(
        events: mpsc::Receiver<E>,
        permit: Permit,
        deadline: Instant,
        lifecycle: Lifecycle,
        count: fn(Outcome),
    ) -> Self {
        Self { running: Some((events, permit)), deadline, lifecycle, count, counted: false }
    }

    /// When it must have ended.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The next piece; an error where it broke off, or the deadline or the end of the server came. `None` once it ended.
    pub async fn next(&mut self) -> Option<Result<E, ApiError>> {
        let (events, _) = self.running.as_mut()?;
        let event = tokio::select! {
            biased;
            event = events.recv() => event.ok_or_else(|| ApiError::internal("the work ended early")),
            () = self.lifecycle.cut() => Err(ApiError::shutting_down()),
            () = tokio::time::sleep_until(self.deadline) => Err(ApiError::timed_out()),
        };
        if event.is_err() {
            self.end(Outcome::Failed);
        }
        Some(event)
    }

    /// Says how it ended and frees its place.
    pub fn end(&mut self, outcome: Outcome) {
        self.running = None;
        if !self.counted {
            self.counted = true;
            (self.count)(outcome);
        }
    }
}

impl<E> Drop for Work<E> {
    fn drop(&mut self) {
        self.end(Outcome::Cancelled);
    }
}
