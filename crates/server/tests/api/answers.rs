//! Questions and searches, whole and as a stream.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use lore_core::{
    AnswerEvent, AnswerSummary, Citation, DocumentId, Limits, NearDocument, Passage, Span, Timings, Verdict,
};
use lore_server::lifecycle::Lifecycle;
use lore_server::limits::Gate;
use lore_server::sse::{Flow, respond};
use lore_server::{HttpConfig, Options};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::serving::start;
use crate::support::{World, embedder, keyed_options, open_options, request};

const HANDBOOK: &str = "# Vacation\n\nEvery new employee in Munich gets 30 vacation days per year.\n\n\
    # Lunch\n\nThe canteen opens at noon and closes at two.";
const QUESTION: &str = "How many vacation days per year does a new employee in Munich get?";

fn ask(question: &str) -> Value {
    json!({ "question": question })
}

fn citation() -> Citation {
    Citation {
        marker: 1,
        answer_span: Span::new(0, 8),
        document: DocumentId::from_source("upload:a.md"),
        name: "a.md".into(),
        title: "A".into(),
        version: 1,
        source_span: Span::new(5, 13),
        page: None,
        headings: vec!["A".into()],
        quote: "30 days.".into(),
        score: 0.5,
        verdict: Verdict::Supported,
    }
}

fn events() -> Vec<AnswerEvent> {
    let passage = Passage {
        marker: 1,
        document: DocumentId::from_source("upload:a.md"),
        version: 1,
        name: "a.md".into(),
        title: "A".into(),
        headings: vec!["A".into()],
        pages: None,
        span: Span::new(0, 13),
        text: "# A\n\n30 days.".into(),
        score: 0.75,
    };
    let summary = AnswerSummary {
        answer: "30 days.".into(),
        answered: true,
        citations: vec![citation()],
        nearest: vec![NearDocument {
            document: DocumentId::from_source("upload:b.md"),
            name: "b.md".into(),
            title: "B".into(),
        }],
        confidence: 0.5,
        model: "extractive".into(),
        timings: Timings { retrieve_ms: 1.0, answer_ms: 2.0, total_ms: 3.0, generation: None },
        ..AnswerSummary::default()
    };
    vec![
        AnswerEvent::Sources { passages: vec![passage] },
        AnswerEvent::Token { text: "30\ndays.".into() },
        AnswerEvent::Citation { citation: citation() },
        AnswerEvent::Done(summary),
    ]
}

async fn flow(deadline: Duration) -> (Flow, mpsc::Sender<AnswerEvent>, Gate, Lifecycle) {
    let (sender, receiver) = mpsc::channel(8);
    let (gate, lifecycle) = (Gate::new("questions", 1, 1), Lifecycle::default());
    let permit = gate.enter().await.unwrap();
    (Flow::new(receiver, permit, Instant::now() + deadline, lifecycle.clone()), sender, gate, lifecycle)
}

#[tokio::test]
async fn transcript_of_a_stream() {
    let (mut flow, sender, gate, _) = flow(Duration::from_secs(60)).await;
    for event in events() {
        sender.send(event).await.unwrap();
    }
    let first = flow.next().await.unwrap();
    let response = respond(first, flow, Duration::from_secs(15));
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert_eq!(gate.running(), 0, "the place is free when the answer ended");
    insta::assert_snapshot!(String::from_utf8(body.to_vec()).unwrap());
}

#[tokio::test]
async fn transcript_of_a_stream_that_breaks() {
    let (mut flow, sender, ..) = flow(Duration::from_secs(60)).await;
    sender.send(AnswerEvent::Token { text: "30".into() }).await.unwrap();
    drop(sender);
    let first = flow.next().await.unwrap();
    let body = to_bytes(respond(first, flow, Duration::from_secs(15)).into_body(), usize::MAX).await.unwrap();
    insta::assert_snapshot!(String::from_utf8(body.to_vec()).unwrap());
}

#[tokio::test]
async fn a_flow_ends_at_its_deadline_and_frees_its_place() {
    let (mut flow, sender, gate, _) = flow(Duration::ZERO).await;
    assert_eq!(gate.running(), 1);
    let Some(AnswerEvent::Error { code, .. }) = flow.next().await else { panic!("no error") };
    assert_eq!((code.as_str(), gate.running()), ("timeout", 0));
    assert!(sender.is_closed(), "the work is cancelled");
    assert_eq!(flow.next().await, None);
}

#[tokio::test]
async fn silence_is_filled_with_comments() {
    let (flow, sender, ..) = flow(Duration::from_secs(600)).await;
    let response = respond(AnswerEvent::Token { text: "30".into() }, flow, Duration::from_millis(5));
    let mut frames = response.into_body().into_data_stream();
    let first = futures::StreamExt::next(&mut frames).await.unwrap().unwrap();
    assert!(first.starts_with(b"event: token\n"));
    let comment = futures::StreamExt::next(&mut frames).await.unwrap().unwrap();
    assert_eq!(&comment[..], b":\n\n");
    drop(frames);
    // A client that went away cancels the work.
    tokio::time::timeout(Duration::from_secs(10), sender.closed()).await.unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_its_place_at_the_deadline() {
    let (flow, sender, gate, _) = flow(Duration::from_millis(50)).await;
    let token = || AnswerEvent::Token { text: "30".into() };
    let response = respond(token(), flow, Duration::from_secs(15));
    while sender.send(token()).await.is_ok() {}
    while gate.running() > 0 {
        tokio::task::yield_now().await;
    }
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let events = parse(std::str::from_utf8(&body).unwrap());
    assert_eq!(events.last().map(|(_, data)| data["code"].clone()), Some(json!("timeout")));
}

#[tokio::test]
async fn an_answer_cites_its_source() {
    let world = World::with_engine(open_options()).await;
    let id = world.publish("handbook.md", HANDBOOK, &[]).await;
    let reply = world.json("POST", "/v1/ask", &ask(QUESTION)).await.expect(200);
    let answer = reply.json();
    assert_eq!(answer["request_id"], "test-request");
    assert_eq!(answer["answered"], true, "{answer:#}");
    let citation = &answer["citations"][0];
    assert_eq!(citation["document"], id.to_string());
    assert_eq!(citation["headings"], json!(["Vacation"]));
    let span = (&citation["source_span"]["start"], &citation["source_span"]["end"]);
    let text = world.get(&format!("/v1/documents/{id}/text?start={}&end={}", span.0, span.1)).await.json();
    assert_eq!(text["text"], citation["quote"], "a span is exact");
    assert!(answer["sources"].as_array().is_some_and(|sources| !sources.is_empty()));
    for key in ["nearest", "confidence", "model", "timings"] {
        assert!(!answer[key].is_null(), "{key}");
    }
    let unknown =
        world.json("POST", "/v1/ask", &ask("What is the capital of Mongolia?")).await.expect(200).json();
    assert_eq!(unknown["answered"], false, "{unknown:#}");
}

#[tokio::test]
async fn a_stream_is_the_same_answer() {
    let world = World::with_engine(open_options()).await;
    world.publish("handbook.md", HANDBOOK, &[]).await;
    let whole = world.json("POST", "/v1/ask", &ask(QUESTION)).await.expect(200).json();
    let accept = [("content-type", "application/json"), ("accept", "text/event-stream")];
    let by_header =
        world.send(request("POST", "/v1/ask", &accept, Body::from(ask(QUESTION).to_string()))).await;
    let by_field = world.json("POST", "/v1/ask", &json!({"question": QUESTION, "stream": true})).await;
    for reply in [by_header.expect(200), by_field.expect(200)] {
        assert_eq!(reply.headers["content-type"], "text/event-stream");
        let events = parse(&reply.text());
        assert_eq!(events.first().map(|(name, _)| name.as_str()), Some("sources"));
        assert_eq!(events.last().map(|(name, _)| name.as_str()), Some("done"));
        let tokens: String = events
            .iter()
            .filter(|(name, _)| name == "token")
            .map(|(_, data)| data["text"].as_str().unwrap())
            .collect();
        assert_eq!(tokens, whole["answer"].as_str().unwrap());
        assert!(events.iter().all(|(name, data)| data["type"] == name.as_str()));
        assert_eq!(events.last().unwrap().1["citations"], whole["citations"]);
    }
    let refused = json!({"question": QUESTION, "stream": false});
    let json_wanted =
        world.send(request("POST", "/v1/ask", &accept, Body::from(refused.to_string()))).await.expect(200);
    assert_eq!(json_wanted.headers["content-type"], "application/json");
}

fn parse(stream: &str) -> Vec<(String, Value)> {
    let frames = stream.split("\n\n").filter(|frame| !frame.is_empty() && !frame.starts_with(':'));
    frames
        .map(|frame| {
            let (name, data) = frame.split_once('\n').unwrap();
            let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            (name.strip_prefix("event: ").unwrap().to_owned(), data)
        })
        .collect()
}

#[tokio::test]
async fn a_search_finds_passages() {
    let world = World::with_engine(open_options()).await;
    let id = world.publish("handbook.md", HANDBOOK, &[]).await;
    for mode in ["hybrid", "dense", "lexical"] {
        let body = json!({"query": "vacation days in Munich", "mode": mode, "limit": 1});
        let found = world.json("POST", "/v1/search", &body).await.expect(200).json();
        let hit = &found["hits"][0];
        assert_eq!(found["hits"].as_array().map(Vec::len), Some(1));
        assert_eq!((&hit["document"], &hit["name"]), (&json!(id), &json!("handbook.md")), "{mode}");
        assert!(hit["text"].as_str().unwrap().contains("30 vacation days"), "{mode}: {hit:#}");
        assert_eq!(hit["dense"].is_null(), mode == "lexical");
    }
    let elsewhere = json!({"query": "vacation", "filter": {"languages": ["zh"]}});
    assert_eq!(world.json("POST", "/v1/search", &elsewhere).await.expect(200).json()["hits"], json!([]));
}

/// Whether the text of the handbook shows in anything that the caller can ask for.
async fn is_told(world: &World, secret: &str) -> bool {
    let mut told = false;
    for (path, body) in [
        ("/v1/ask", ask(QUESTION)),
        ("/v1/ask", json!({"question": QUESTION, "stream": true})),
        ("/v1/search", json!({"query": QUESTION})),
        ("/v1/search", json!({"query": QUESTION, "mode": "dense"})),
        ("/v1/search", json!({"query": QUESTION, "mode": "lexical"})),
    ] {
        let reply = world.json_as(secret, "POST", path, &body).await.expect(200);
        told |= reply.text().contains("30 vacation days") || reply.text().contains("handbook");
    }
    told
}

#[tokio::test]
async fn access_lists_hold_for_answers() {
    let world = World::with_engine(keyed_options()).await;
    let id = world.publish("handbook.md", HANDBOOK, &["people"]).await;
    world.publish("open.md", "# Parking\n\nThe garage has forty places.", &[]).await;
    let (_, member) = world.key(&["people"], false);
    let (_, other) = world.key(&["board"], false);
    assert!(is_told(&world, &member).await);
    assert!(!is_told(&world, &other).await);
    // The group loses its right; the indexes have not followed yet.
    let path = format!("/v1/documents/{id}");
    world.json_as("local-secret", "PATCH", &path, &json!({"acl": ["board"]})).await.expect(200);
    assert!(!is_told(&world, &member).await);
    world.follow().await;
    assert!(!is_told(&world, &member).await);
    assert!(is_told(&world, &other).await);
}

#[tokio::test]
async fn a_deleted_document_answers_no_more() {
    let world = World::with_engine(open_options()).await;
    let id = world.publish("handbook.md", HANDBOOK, &[]).await;
    assert!(is_told(&world, "local-secret").await);
    // The indexes do not follow before the question comes.
    world.send(request("DELETE", &format!("/v1/documents/{id}"), &[], Body::empty())).await.expect(204);
    assert!(!is_told(&world, "local-secret").await);
    world.follow().await;
    assert!(!is_told(&world, "local-secret").await);
}

#[tokio::test]
async fn ready_when_the_engine_is_there() {
    let world = World::with_engine(open_options()).await;
    world.publish("handbook.md", HANDBOOK, &[]).await;
    let ready = world.get("/readyz").await.expect(200).json();
    assert_eq!((&ready["ready"], &ready["last_change"]), (&json!(true), &json!(1)));
    world.json("POST", "/v1/ask", &ask(QUESTION)).await.expect(200);
    let text = world.get("/metrics").await.text();
    assert!(text.contains("lore_ready 1") && text.contains(r#"lore_questions_total{outcome="#), "{text}");
    assert!(text.contains(r#"lore_queue_waiting{queue="embedder"} 0"#), "{text}");
}

#[tokio::test]
async fn a_stopped_embedder_is_told() {
    let (embedder, requests) = embedder();
    let world = World::with_embedder(open_options(), embedder).await;
    world.get("/readyz").await.expect(200);
    drop(requests);
    let missing = world.get("/readyz").await.expect(503).json();
    assert_eq!(missing["error"]["message"], "not ready: the embedder has stopped");
    for (path, body) in [("/v1/ask", ask(QUESTION)), ("/v1/search", json!({"query": QUESTION}))] {
        let refused = world.json("POST", path, &body).await.expect(503);
        assert_eq!(refused.code(), "model_unavailable", "{path}");
    }
}

#[tokio::test]
async fn too_many_questions_are_refused_and_places_come_back() {
    let limits = Limits { concurrent_questions: 1, ..Limits::default() };
    let (embedder, mut requests) = embedder();
    let world = World::with_embedder(Options { limits, ..open_options() }, embedder).await;
    let world = std::sync::Arc::new(world);
    let call = || {
        let world = world.clone();
        tokio::spawn(async move { world.json("POST", "/v1/ask", &ask(QUESTION)).await })
    };
    let running = call();
    let held = requests.recv().await.unwrap();
    let waiting = call();
    while world.state.questions().waiting() == 0 {
        tokio::task::yield_now().await;
    }
    let refused = world.json("POST", "/v1/ask", &ask(QUESTION)).await.expect(429);
    assert_eq!(
        (refused.code().as_str(), refused.headers["retry-after"].to_str().unwrap()),
        ("overloaded", "1")
    );
    let refused = world.json("POST", "/v1/search", &json!({"query": "x"})).await.expect(429);
    assert_eq!(refused.code(), "overloaded");

    // The one that runs gives up; the one that waits gets its place.
    running.abort();
    held.reply_closed().await;
    let next = requests.recv().await.unwrap();
    assert_eq!(world.state.questions().waiting(), 0);
    waiting.abort();
    next.reply_closed().await;
    while world.state.questions().running() > 0 {
        tokio::task::yield_now().await;
    }
}

/// Waits until nobody wants a request's answer any more.
trait ReplyClosed {
    async fn reply_closed(self);
}

impl ReplyClosed for lore_core::EmbedRequest {
    async fn reply_closed(mut self) {
        tokio::time::timeout(Duration::from_secs(10), self.reply.closed()).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_question() {
    for stream in [false, true] {
        let (embedder, mut requests) = embedder();
        let world = World::with_embedder(open_options(), embedder).await;
        let server = start(&world).await;
        let body = json!({"question": QUESTION, "stream": stream}).to_string();
        let mut client = TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "POST /v1/ask HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            server.address,
            body.len()
        );
        client.write_all(head.as_bytes()).await.unwrap();
        let held = requests.recv().await.unwrap();
        assert_eq!(world.state.questions().running(), 1);
        drop(client);
        held.reply_closed().await;
        server.stop.send(()).unwrap();
        server.ended.await.unwrap().unwrap();
        assert_eq!(world.state.questions().running(), 0);
    }
}

#[tokio::test]
async fn a_question_that_outlives_the_grace_period_is_told() {
    let http = HttpConfig { grace_seconds: 0, ..HttpConfig::default() };
    let (embedder, mut requests) = embedder();
    let world = World::with_embedder(Options { http, ..open_options() }, embedder).await;
    let server = start(&world).await;
    let body = ask(QUESTION).to_string();
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /v1/ask HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        server.address,
        body.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let held = requests.recv().await.unwrap();
    server.stop.send(()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("shutting_down"), "{answer}");
    held.reply_closed().await;
    server.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let http = HttpConfig { answer_seconds: 1, ..HttpConfig::default() };
    let (embedder, mut requests) = embedder();
    let world = World::with_embedder(Options { http, ..open_options() }, embedder).await;
    let body = ask(QUESTION);
    let question = world.json("POST", "/v1/ask", &body);
    let (reply, held) = tokio::join!(question, async { requests.recv().await.unwrap() });
    assert_eq!(reply.expect(504).code(), "timeout");
    held.reply_closed().await;
}
