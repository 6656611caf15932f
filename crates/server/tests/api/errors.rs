//! The one shape of errors, for everything that can be wrong with a request.

use std::fmt::Write as _;

use axum::body::Body;
use lore_core::Limits;
use lore_server::Options;
use serde_json::json;

use crate::support::{World, open_options, request};

/// What is wrong, method, path, headers, body.
type Case<'a> = (&'a str, &'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn bodies_of_errors() {
    let limits = Limits { question_chars: 20, history_turns: 1, ..Limits::default() };
    let world = World::without_engine(Options { limits, ..open_options() });
    let turn = json!({"question": "a", "answer": "b"});
    let history = json!({"question": "And then?", "history": [turn, turn]}).to_string();
    let turn = json!({"question": "Why why why why why why why?", "answer": "b"});
    let long_turn = json!({"question": "And then?", "history": [turn]}).to_string();
    let cases: &[Case] = &[
        ("an unknown path", "GET", "/v2/ask", &[], ""),
        ("a wrong method", "GET", "/v1/ask", &[], ""),
        ("no JSON at all", "POST", "/v1/ask", &[JSON], "hello"),
        ("broken JSON", "POST", "/v1/ask", &[JSON], "{\n  \"question\": \"Why\n"),
        ("an empty body", "POST", "/v1/ask", &[JSON], ""),
        ("an unknown field", "POST", "/v1/ask", &[JSON], r#"{"question": "Why?", "temperature": 1}"#),
        (
            "an unknown field below",
            "POST",
            "/v1/ask",
            &[JSON],
            r#"{"question": "Why?", "filter": {"tag": {}}}"#,
        ),
        ("a missing field", "POST", "/v1/ask", &[JSON], r#"{"history": []}"#),
        ("a wrong type", "POST", "/v1/search", &[JSON], r#"{"query": "x", "limit": "ten"}"#),
        ("a wrong mode", "POST", "/v1/search", &[JSON], r#"{"query": "x", "mode": "psychic"}"#),
        ("no content type", "POST", "/v1/ask", &[], r#"{"question": "Why?"}"#),
        (
            "a form instead of JSON",
            "POST",
            "/v1/ask",
            &[("content-type", "application/x-www-form-urlencoded")],
            "q=1",
        ),
        ("an empty question", "POST", "/v1/ask", &[JSON], r#"{"question": "  "}"#),
        ("a long question", "POST", "/v1/ask", &[JSON], r#"{"question": "Why why why why why why why?"}"#),
        ("a long history", "POST", "/v1/ask", &[JSON], &history),
        ("a long question in the history", "POST", "/v1/ask", &[JSON], &long_turn),
        ("too many hits", "POST", "/v1/search", &[JSON], r#"{"query": "x", "limit": 101}"#),
        ("no engine yet", "POST", "/v1/ask", &[JSON], r#"{"question": "Why?"}"#),
        ("a page that is too long", "GET", "/v1/documents?limit=1000", &[], ""),
        ("a wrong state", "GET", "/v1/documents?state=dead", &[], ""),
        ("an unknown parameter", "GET", "/v1/documents?page=2", &[], ""),
        ("a wrong cursor", "GET", "/v1/documents?after=nonsense", &[], ""),
        ("an id that is none", "GET", "/v1/documents/1", &[], ""),
        ("an absent document", "GET", "/v1/documents/00000000-0000-5000-8000-000000000000", &[], ""),
        ("an absent job", "GET", "/v1/jobs/1", &[], ""),
        ("a wrong key", "GET", "/v1/documents", &[("authorization", "Bearer lore_a_b")], ""),
        ("a foreign host", "GET", "/v1/documents", &[("host", "evil.example")], ""),
        (
            "a wrong rating",
            "POST",
            "/v1/feedback",
            &[JSON],
            r#"{"question": "a", "answer": "b", "rating": "meh"}"#,
        ),
        (
            "a format that is not read",
            "POST",
            "/v1/documents",
            &[JSON],
            r#"{"name": "a.exe", "content": ""}"#,
        ),
        ("a key without a name", "POST", "/v1/keys", &[JSON], r#"{"groups": ["people"]}"#),
    ];
    let mut seen = String::new();
    for (what, method, path, headers, body) in cases {
        let reply = world.send(request(method, path, headers, Body::from((*body).to_owned()))).await;
        assert_eq!(reply.headers["x-request-id"], "test-request");
        assert_eq!(reply.headers["content-type"], "application/json", "{what}");
        let keys: Vec<String> = reply.json().as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["error"], "{what}");
        let _ = writeln!(seen, "{what}: {method} {path}\n{} {}", reply.status.as_u16(), reply.text());
        for name in ["allow", "retry-after", "www-authenticate"] {
            if let Some(value) = reply.headers.get(name) {
                let _ = writeln!(seen, "{name}: {}", value.to_str().unwrap());
            }
        }
        seen.push('\n');
    }
    insta::assert_snapshot!(seen);
}

#[tokio::test]
async fn twenty_megabytes_are_refused() {
    let world = World::without_engine(open_options());
    let body = format!(r#"{{"question": "{}"}}"#, "x".repeat(20 << 20));
    for path in ["/v1/ask", "/v1/search", "/v1/feedback", "/v1/keys"] {
        let declared = [JSON, ("content-length", "20971538")];
        let reply = world.send(request("POST", path, &declared, Body::from(body.clone()))).await;
        assert_eq!(reply.expect(413).code(), "too_large");
        // Without a declared length the limit is found while reading.
        let pieces: Vec<_> = body
            .as_bytes()
            .chunks(1 << 16)
            .map(|c| Ok::<_, std::io::Error>(bytes::Bytes::copy_from_slice(c)))
            .collect();
        let streamed = Body::from_stream(futures::stream::iter(pieces));
        let reply = world.send(request("POST", path, &[JSON], streamed)).await;
        assert_eq!(reply.expect(413).code(), "too_large");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_told_from_one_that_is_too_long() {
    let world = World::without_engine(open_options());
    let pieces = [Ok(bytes::Bytes::from_static(b"{")), Err(std::io::Error::other("gone"))];
    let reply = world
        .send(request("POST", "/v1/ask", &[JSON], Body::from_stream(futures::stream::iter(pieces))))
        .await;
    assert_eq!(reply.expect(400).code(), "bad_body");
}

#[tokio::test]
async fn deep_json_is_refused() {
    let world = World::without_engine(open_options());
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = format!(r#"{{"question": "a", "answer": "b", "rating": "up", "citations": {deep}}}"#);
    let reply = world.send(request("POST", "/v1/feedback", &[JSON], Body::from(body))).await;
    reply.expect(400);
}

#[tokio::test]
async fn request_ids_are_taken_over_or_made() {
    let world = World::without_engine(open_options());
    let own = world.send(request("GET", "/healthz", &[("x-request-id", "abc-123")], Body::empty())).await;
    assert_eq!(own.headers["x-request-id"], "abc-123");
    let bad = world.send(request("GET", "/healthz", &[("x-request-id", "a b{}")], Body::empty())).await;
    let made = bad.headers["x-request-id"].to_str().unwrap();
    assert_eq!(uuid::Uuid::parse_str(made).unwrap().get_version_num(), 7);
}
