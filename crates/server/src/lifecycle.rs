//! Starting up and ending: what the service still waits for, and how far its end has come.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// How far the end of the service has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Requests are taken.
    Serving,
    /// No new connections; what runs may end.
    Draining,
    /// The grace period is over: streams say so and end.
    Cut,
}

/// Readiness and phase of the service; clones share them.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    phase: Arc<watch::Sender<Phase>>,
    waiting: Arc<Mutex<BTreeMap<String, String>>>,
    troubles: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            phase: Arc::new(watch::Sender::new(Phase::Serving)),
            waiting: Arc::default(),
            troubles: Arc::default(),
        }
    }
}

impl Lifecycle {
    /// The service is not ready because of `part`, for the reason given (shown to everybody: no paths).
    pub fn wait_for(&self, part: &str, reason: &str) {
        self.waiting().insert(part.to_owned(), reason.to_owned());
    }

    /// `part` is there.
    pub fn arrived(&self, part: &str) {
        self.waiting().remove(part);
    }

    /// `part` does not work for now, which does not keep questions from being answered; `None` when it works again.
    pub fn trouble(&self, part: &str, reason: Option<&str>) {
        let mut troubles = locked(&self.troubles);
        match reason {
            Some(reason) => troubles.insert(part.to_owned(), reason.to_owned()),
            None => troubles.remove(part),
        };
    }

    /// What does not work for now.
    pub fn troubles(&self) -> Vec<String> {
        locked(&self.troubles).values().cloned().collect()
    }

    /// Why the service is not ready, as far as it was told; empty when nothing is missing.
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons: Vec<String> = self.waiting().values().cloned().collect();
        if self.phase() != Phase::Serving {
            reasons.push("the server is shutting down".to_owned());
        }
        reasons
    }

    /// How far the end has come.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Resolves when the grace period of the shutdown is over.
    pub async fn cut(&self) {
        let mut phase = self.phase.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = phase.wait_for(|phase| *phase == Phase::Cut).await;
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        locked(&self.waiting)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn reasons_come_and_go() {
        let lifecycle = Lifecycle::default();
        assert!(lifecycle.reasons().is_empty());
        lifecycle.wait_for("embedder", "the embedder is being fetched");
        assert_eq!(lifecycle.reasons(), ["the embedder is being fetched"]);
        lifecycle.arrived("embedder");
        assert!(lifecycle.reasons().is_empty());
        lifecycle.enter(Phase::Draining);
        assert_eq!(lifecycle.reasons(), ["the server is shutting down"]);
    }

    #[tokio::test]
    async fn cut_resolves_for_those_who_come_late_too() {
        let lifecycle = Lifecycle::default();
        let waiting = tokio::spawn({
            let lifecycle = lifecycle.clone();
            async move { lifecycle.cut().await }
        });
        lifecycle.enter(Phase::Cut);
        waiting.await.unwrap();
        lifecycle.cut().await;
    }
}
