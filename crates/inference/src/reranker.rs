//! The reranking engine: requests in their order, each in parts, dropped between two parts when the caller has gone.

use std::time::Instant;

use lore_core::model::{RerankRequest, Reranker};
use lore_models::ModelsError;
use tokio::sync::mpsc::Receiver;

use crate::engine::{guarded, start};

/// Passages scored before the caller is looked after again.
const PART: usize = 16;

/// Starts the engine of `model`; at most `bound` requests wait (at least one is let in).
///
/// Counters `lore_rerank_requests_total`, `lore_rerank_passages_total`, `lore_rerank_abandoned_total`,
/// `lore_rerank_failures_total`; histogram `lore_rerank_seconds`.
pub fn spawn(model: lore_models::Reranker, bound: usize) -> Reranker {
    let id = model.id().to_owned();
    spawn_with(id, bound, move |query, passages| model.score(query, passages))
}

fn spawn_with<F>(id: String, bound: usize, forward: F) -> Reranker
where
    F: Fn(&str, &[String]) -> Result<Vec<f32>, ModelsError> + Send + 'static,
{
    let (reranker, requests) = Reranker::channel(&id, bound);
    start("reranker", move || run(&id, requests, forward));
    reranker
}

fn run<F>(id: &str, mut requests: Receiver<RerankRequest>, forward: F)
where
    F: Fn(&str, &[String]) -> Result<Vec<f32>, ModelsError>,
{
    while let Some(request) = requests.blocking_recv() {
        metrics::counter!("lore_rerank_requests_total").increment(1);
        let start = Instant::now();
        let mut scores = Ok(Vec::with_capacity(request.passages.len()));
        for part in request.passages.chunks(PART) {
            if request.reply.is_closed() {
                break;
            }
            let result = guarded(id, || forward(&request.query, part));
            scores = scores.and_then(|mut scores: Vec<f32>| {
                scores.extend(result?);
                Ok(scores)
            });
            if scores.is_err() {
                metrics::counter!("lore_rerank_failures_total").increment(1);
                break;
            }
            metrics::counter!("lore_rerank_passages_total").increment(part.len() as u64);
        }
        metrics::histogram!("lore_rerank_seconds").record(start.elapsed().as_secs_f64());
        if request.reply.send(scores).is_err() {
            metrics::counter!("lore_rerank_abandoned_total").increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::{Arc, Mutex, mpsc};

    use lore_core::ModelError;

    use super::*;

    #[tokio::test]
    async fn scores_keep_their_order_and_abandoned_requests_are_dropped() {
        let (gate, opened) = mpsc::channel::<()>();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = calls.clone();
        let reranker = spawn_with("lengths@0".into(), 2, move |query, passages| {
            seen.lock().unwrap().push(query.to_owned());
            opened.recv().unwrap();
            Ok(passages.iter().map(|passage| passage.len() as f32).collect())
        });
        let ask = |query: &'static str, count: usize| {
            let (reranker, passages) =
                (reranker.clone(), (0..count).map(|length| "x".repeat(length)).collect());
            tokio::spawn(async move { reranker.score(query, passages).await })
        };
        let first = ask("first", 40);
        while calls.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let (gone, kept) = (ask("gone", 3), ask("kept", 3));
        tokio::task::yield_now().await;
        let refused = ask("one too many", 3).await.unwrap();
        assert!(matches!(refused, Err(ModelError::Overloaded { .. })), "{refused:?}");
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        (0..10).for_each(|_| gate.send(()).unwrap());
        assert_eq!(first.await.unwrap().unwrap(), (0..40).map(|length| length as f32).collect::<Vec<_>>());
        assert_eq!(kept.await.unwrap().unwrap(), [0.0, 1.0, 2.0]);
        assert_eq!(calls.lock().unwrap()[..], ["first", "first", "first", "kept"]);
    }
}
