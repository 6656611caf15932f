//! Gates: so many at once, so many waiting, the rest refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// Lets `at_once` through and `queue` wait; clones share it.
#[derive(Clone, Debug)]
pub struct Gate {
    what: &'static str,
    at_once: usize,
    queue: usize,
    permits: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

/// The right to run; dropping it lets the next one in.
#[derive(Debug)]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
}

/// Counts one who waits, for as long as it does.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Gate {
    /// A gate for `what` (plural, for the message of a refusal).
    pub fn new(what: &'static str, at_once: usize, queue: usize) -> Self {
        let at_once = at_once.clamp(1, Semaphore::MAX_PERMITS);
        Self { what, at_once, queue, permits: Arc::new(Semaphore::new(at_once)), waiting: Arc::default() }
    }

    /// Waits for room, unless too many wait already.
    ///
    /// # Errors
    /// 429 with `Retry-After` where the queue is full.
    pub async fn enter(&self) -> Result<Permit, ApiError> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(Permit { _permit: permit });
        }
        let _waiting = self.join_queue().ok_or_else(|| {
            ApiError::too_many(1, format!("too many {} at once; try again in a moment", self.what))
        })?;
        match self.permits.clone().acquire_owned().await {
            Ok(permit) => Ok(Permit { _permit: permit }),
            Err(_) => Err(ApiError::unavailable("shutting_down", "the server is shutting down")),
        }
    }

    fn join_queue(&self) -> Option<Waiting> {
        self.waiting
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < self.queue).then_some(n + 1))
            .ok()
            .map(|_| Waiting(self.waiting.clone()))
    }

    /// How many run now.
    pub fn running(&self) -> usize {
        self.at_once - self.permits.available_permits()
    }

    /// How many wait now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn one_runs_one_waits_the_third_is_refused() {
        let gate = Gate::new("questions", 1, 1);
        let first = gate.enter().await.unwrap();
        let second = tokio::spawn({
            let gate = gate.clone();
            async move { gate.enter().await }
        });
        while gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        let refused = gate.enter().await.unwrap_err();
        assert_eq!(refused.status(), axum::http::StatusCode::TOO_MANY_REQUESTS);
        drop(first);
        let second = second.await.unwrap().unwrap();
        assert_eq!((gate.running(), gate.waiting()), (1, 0));
        drop(second);
        assert_eq!(gate.running(), 0);
    }

    #[tokio::test]
    async fn one_who_gives_up_leaves_the_queue() {
        let gate = Gate::new("questions", 1, 1);
        let _first = gate.enter().await.unwrap();
        let second = tokio::time::timeout(std::time::Duration::from_millis(1), gate.enter()).await;
        assert!(second.is_err());
        assert_eq!(gate.waiting(), 0);
    }
}
