#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex, mpsc};

use super::*;

/// Lets each call of [`gated`] pass once.
type Gate = mpsc::Sender<()>;
/// The texts of each call.
type Calls = Arc<Mutex<Vec<Vec<String>>>>;

/// An engine whose "model" maps a text to its length, waits for the gate before each call, and refuses "bad".
fn gated(bound: usize) -> (Embedder, Gate, Calls) {
    let (gate, opened) = mpsc::channel();
    let calls = Calls::default();
    let seen = calls.clone();
    let info = EmbedderInfo { id: "lengths@0".into(), dimension: 1, max_tokens: 4096 };
    let embedder = spawn_with(info, Arc::new(|text| text.len()), bound, move |texts, _| {
        seen.lock().unwrap().push(texts.to_vec());
        opened.recv().unwrap();
        if texts.iter().any(|text| text == "panic") {
            panic!("no such text");
        }
        if texts.iter().any(|text| text == "bad") {
            return Err(ModelsError::NotFinite { index: 0 });
        }
        Ok(texts.iter().map(|text| vec![text.len() as f32]).collect())
    });
    (embedder, gate, calls)
}

/// Starts a request; when this returns, it is in the queue or waits for room.
async fn ask(
    embedder: &Embedder,
    texts: &[&str],
    kind: EmbedKind,
) -> tokio::task::JoinHandle<Result<Vec<Vec<f32>>, ModelError>> {
    let (embedder, texts) = (embedder.clone(), texts.iter().map(|text| (*text).to_owned()).collect());
    let task = tokio::spawn(async move { embedder.embed(texts, kind).await });
    tokio::task::yield_now().await;
    task
}

/// Until the engine has begun call number `count`.
async fn called(calls: &Calls, count: usize) {
    while calls.lock().unwrap().len() < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn texts_keep_their_order_through_parts() {
    let (embedder, gate, calls) = gated(8);
    let texts: Vec<String> = (0..300).map(|length| "x".repeat(length)).collect();
    (0..100).for_each(|_| gate.send(()).unwrap());
    let vectors = embedder.embed(texts.clone(), EmbedKind::Passage).await.unwrap();
    assert_eq!(vectors.len(), 300);
    assert!(vectors.iter().enumerate().all(|(length, vector)| vector[..] == [length as f32]));
    let calls = calls.lock().unwrap();
    assert!(calls.len() > 5, "{} parts", calls.len());
    assert!(calls.iter().all(|texts| texts.iter().map(String::len).sum::<usize>() <= PART_BYTES));
    assert_eq!(calls.concat(), texts);
}

#[tokio::test]
async fn waiting_queries_are_merged_and_go_before_the_next_part() {
    let (embedder, gate, calls) = gated(8);
    let long = "x".repeat(PART_BYTES);
    let passages = ask(&embedder, &[&long, &long, &long], EmbedKind::Passage).await;
    called(&calls, 1).await;
    let one = ask(&embedder, &["one"], EmbedKind::Query).await;
    let three = ask(&embedder, &["three"], EmbedKind::Query).await;
    (0..4).for_each(|_| gate.send(()).unwrap());
    assert_eq!(one.await.unwrap().unwrap(), [[3.0]]);
    assert_eq!(three.await.unwrap().unwrap(), [[5.0]]);
    assert_eq!(passages.await.unwrap().unwrap().len(), 3);
    assert_eq!(calls.lock().unwrap()[1], ["one", "three"]);
    assert_eq!(calls.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn an_abandoned_request_is_not_computed() {
    let (embedder, gate, calls) = gated(8);
    let first = ask(&embedder, &["first"], EmbedKind::Query).await;
    called(&calls, 1).await;
    let gone = ask(&embedder, &["gone"], EmbedKind::Query).await;
    let half = ask(&embedder, &["gone too", "and this"], EmbedKind::Passage).await;
    let kept = ask(&embedder, &["kept"], EmbedKind::Passage).await;
    gone.abort();
    half.abort();
    assert!(gone.await.unwrap_err().is_cancelled() && half.await.unwrap_err().is_cancelled());
    (0..4).for_each(|_| gate.send(()).unwrap());
    first.await.unwrap().unwrap();
    assert_eq!(kept.await.unwrap().unwrap(), [[4.0]]);
    assert_eq!(calls.lock().unwrap().concat(), ["first", "kept"]);
}

#[tokio::test]
async fn no_more_wait_than_the_bound() {
    for bound in [1, 2, 5, 8] {
        let (embedder, gate, calls) = gated(bound);
        let served = ask(&embedder, &["served"], EmbedKind::Passage).await;
        called(&calls, 1).await;
        let mut waiting = Vec::new();
        let refused = loop {
            let handle = embedder.clone();
            let mut query = tokio::spawn(async move { handle.embed_query("query").await });
            tokio::task::yield_now().await;
            if query.is_finished() {
                break (&mut query).await.unwrap();
            }
            waiting.push(query);
            assert!(waiting.len() <= bound, "more than {bound} wait");
        };
        assert!(matches!(refused, Err(ModelError::Overloaded { .. })), "{refused:?}");
        assert!(!waiting.is_empty());
        (0..20).for_each(|_| gate.send(()).unwrap());
        served.await.unwrap().unwrap();
        for query in waiting {
            assert_eq!(query.await.unwrap().unwrap(), [5.0]);
        }
    }
}

#[tokio::test]
async fn a_bad_text_fails_alone_and_the_engine_goes_on() {
    let (embedder, gate, _) = gated(8);
    (0..10).for_each(|_| gate.send(()).unwrap());
    for text in ["bad", "panic"] {
        let failed = embedder.embed(vec![text.into()], EmbedKind::Passage).await;
        assert!(matches!(failed, Err(ModelError::Failed { .. })), "{failed:?}");
    }
    let (embedder, gate, calls) = gated(8);
    let first = ask(&embedder, &["first"], EmbedKind::Query).await;
    called(&calls, 1).await;
    let bad = ask(&embedder, &["bad"], EmbedKind::Query).await;
    let good = ask(&embedder, &["good"], EmbedKind::Query).await;
    (0..10).for_each(|_| gate.send(()).unwrap());
    first.await.unwrap().unwrap();
    assert!(matches!(bad.await.unwrap(), Err(ModelError::Failed { .. })));
    assert_eq!(good.await.unwrap().unwrap(), [[4.0]]);
}

#[tokio::test]
async fn a_stopped_engine_says_so() {
    let info = EmbedderInfo { id: "gone@0".into(), dimension: 1, max_tokens: 8 };
    let (embedder, requests) = Embedder::channel(info, Arc::new(|text| text.len()), 4);
    let forward = |_: &[String], _: EmbedKind| Ok::<_, ModelsError>(vec![vec![0f32]]);
    let engine = Engine {
        requests,
        ahead: 2,
        model: "gone@0".into(),
        text_bytes: 8,
        forward,
        lines: Lines::default(),
    };
    drop(engine);
    assert!(matches!(embedder.embed_query("text").await, Err(ModelError::Stopped { .. })));
    assert!(matches!(
        embedder.embed(vec!["a".into()], EmbedKind::Passage).await,
        Err(ModelError::Stopped { .. })
    ));
}
