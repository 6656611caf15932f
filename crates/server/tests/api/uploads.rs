//! Documents coming in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use base64::Engine as _;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use lore_core::{DocumentId, Limits};
use lore_server::{HttpConfig, Options};
use serde_json::json;

use crate::support::{FormField, Reply, World, acl, form, hash, open_options, request};

async fn send_form(world: &World, fields: &[FormField<'_>]) -> Reply {
    let (kind, body) = form(fields);
    world.send(request("POST", "/v1/documents", &[("content-type", &kind)], Body::from(body))).await
}

#[tokio::test]
async fn a_form_with_files_is_stored_and_queued() {
    let nudged = Arc::new(AtomicUsize::new(0));
    let counter = nudged.clone();
    let nudge = Arc::new(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let world = World::without_engine(Options { nudge, ..open_options() });
    let fields: [FormField; 7] = [
        ("file", Some("handbook.md"), b"# Handbook"),
        ("acl", None, b"people, board"),
        ("tags", None, b"team=hr"),
        ("tags", None, b"kind=policy=x"),
        ("file", Some("sub/prices.csv"), b"a,b"),
        ("date", None, b"2025-01-31"),
        ("superseded_by", None, b"handbook-2026.md"),
    ];
    let accepted = send_form(&world, &fields).await.expect(202).json();
    assert_eq!(nudged.load(Ordering::SeqCst), 1);
    let documents = accepted["documents"].as_array().unwrap();
    assert_eq!(documents.len(), 2);
    for (accepted, (name, content)) in
        documents.iter().zip([("handbook.md", "# Handbook"), ("sub/prices.csv", "a,b")])
    {
        assert_eq!(accepted["name"], name);
        let id = DocumentId::from_source(&format!("upload:{name}"));
        assert_eq!(accepted["document"], id.to_string());
        let job =
            world.get(&format!("/v1/jobs/{}", accepted["job"].as_str().unwrap())).await.expect(200).json();
        assert_eq!((&job["state"], &job["content_hash"]), (&json!("queued"), &json!(hash(content))));
        // Fields behind a file hold for it too.
        let document = world.catalog.document(id).unwrap().unwrap();
        assert_eq!(document.meta.acl, acl(&["board", "people"]));
        assert_eq!(document.meta.tags["kind"], "policy=x");
        assert_eq!(document.meta.date.unwrap().to_string(), "2025-01-31");
        assert_eq!(document.meta.superseded_by.as_deref(), Some("handbook-2026.md"));
        assert_eq!(world.catalog.original(&hash(content)).unwrap().unwrap(), content.as_bytes());
    }
    world.get("/v1/jobs/nothing").await.expect(404);
}

#[tokio::test]
async fn json_brings_text_or_base64() {
    let world = World::without_engine(open_options());
    let text = json!({"name": "a.md", "content": "# Ä", "tags": {"team": "hr"}, "acl": ["people"], "date": "2025-01-31"});
    let reply = world.json("POST", "/v1/documents", &text).await.expect(202);
    let job = reply.json()["documents"][0]["job"].as_str().unwrap().to_owned();
    assert_eq!(reply.headers["location"], format!("/v1/jobs/{job}"));
    let bytes = [0xff_u8, 0, 1, 2];
    let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
    world
        .json("POST", "/v1/documents", &json!({"name": "b.pdf", "content_base64": encoded}))
        .await
        .expect(202);
    let jobs = world.catalog.open_jobs().unwrap();
    assert_eq!(jobs, (2, 0));
    for (body, status, code) in [
        (json!({"name": "a.md"}), 422, "bad_content"),
        (json!({"name": "a.md", "content": "x", "content_base64": "eA=="}), 422, "bad_content"),
        (json!({"name": "a.md", "content_base64": "%%%"}), 422, "bad_base64"),
        (json!({"name": "a.md", "content": "x", "acl": []}), 422, "bad_acl"),
        (json!({"name": "../a.md", "content": "x"}), 422, "bad_name"),
        (json!({"name": "a.md", "content": "x", "date": "tomorrow"}), 400, "bad_field"),
        (json!({"name": "a.md", "content": "x", "group": "people"}), 400, "unknown_field"),
        (json!({"name": "a.exe", "content": "x"}), 415, "unsupported_media_type"),
    ] {
        assert_eq!(world.json("POST", "/v1/documents", &body).await.expect(status).code(), code, "{body}");
    }
    assert_eq!(world.catalog.open_jobs().unwrap(), (2, 0));
}

#[tokio::test]
async fn a_form_that_makes_no_sense_stores_nothing() {
    let world = World::without_engine(open_options());
    let good: FormField = ("file", Some("a.md"), b"# A");
    let bad: [(&[FormField], u16, &str); 9] = [
        (&[("file", Some("a.exe"), b"MZ")], 415, "unsupported_media_type"),
        (&[("file", None, b"# A")], 422, "bad_name"),
        (&[good, ("acl", None, b"")], 422, "bad_acl"),
        (&[good, ("tags", None, b"no-equals")], 422, "bad_tag"),
        (&[good, ("date", None, b"31.1.2025")], 422, "bad_date"),
        (&[good, ("acls", None, b"people")], 400, "unknown_field"),
        (&[good, ("acl", None, b"\xff")], 400, "bad_form"),
        (&[good, good], 422, "bad_name"),
        (&[("acl", None, b"people")], 400, "bad_form"),
    ];
    for (fields, status, code) in bad {
        assert_eq!(send_form(&world, fields).await.expect(status).code(), code);
    }
    let headers = [("content-type", "multipart/form-data")];
    let reply = world.send(request("POST", "/v1/documents", &headers, Body::from("x"))).await.expect(400);
    assert_eq!(reply.code(), "bad_form");
    let broken = b"--frontier\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.md\"\r\n\r\n# A";
    let headers = [("content-type", "multipart/form-data; boundary=frontier")];
    let reply =
        world.send(request("POST", "/v1/documents", &headers, Body::from(broken.to_vec()))).await.expect(400);
    assert_eq!(reply.code(), "bad_form");
    assert_eq!(world.catalog.open_jobs().unwrap(), (0, 0));
    assert_eq!(world.get("/v1/documents").await.json()["total"], 0);
}

fn small_documents() -> Options {
    Options { limits: Limits { document_bytes: 100_000, ..Limits::default() }, ..open_options() }
}

#[tokio::test]
async fn documents_over_the_limit_are_refused() {
    let world = World::without_engine(small_documents());
    let fits = vec![b'x'; 100_000];
    send_form(&world, &[("file", Some("a.txt"), &fits)]).await.expect(202);
    let over = vec![b'x'; 100_001];
    assert_eq!(send_form(&world, &[("file", Some("b.txt"), &over)]).await.expect(413).code(), "too_large");
    let text = "x".repeat(100_001);
    world.json("POST", "/v1/documents", &json!({"name": "b.txt", "content": text})).await.expect(413);
    let fits = "x".repeat(100_000);
    world.json("POST", "/v1/documents", &json!({"name": "b.txt", "content": fits})).await.expect(202);
}

#[tokio::test]
async fn a_body_without_end_is_not_read_to_its_end() {
    let world = World::without_engine(small_documents());
    let pieces = Arc::new(AtomicUsize::new(0));
    let counter = pieces.clone();
    // 1 GB in pieces of 100 kB, without a declared length. What is over the limit is dropped, and that not for long.
    let body = stream::iter(0..10_000).map(move |n| {
        counter.fetch_add(1, Ordering::SeqCst);
        let mut piece = vec![b'x'; 100_000];
        if n == 0 {
            let (_, form) = form(&[("file", Some("a.txt"), b"")]);
            piece.splice(..0, form[..form.len() - 18].iter().copied());
        }
        Ok::<_, std::io::Error>(Bytes::from(piece))
    });
    let headers = [("content-type", "multipart/form-data; boundary=frontier")];
    let reply = world.send(request("POST", "/v1/documents", &headers, Body::from_stream(body))).await;
    assert_eq!(reply.expect(413).code(), "too_large");
    let read = pieces.load(Ordering::SeqCst);
    assert!(read <= 700, "{read} pieces were read");
}

#[tokio::test]
async fn a_declared_length_is_enough_to_refuse_a_client_that_asks_first() {
    let world = World::without_engine(small_documents());
    let unread = stream::poll_fn(|_| -> std::task::Poll<Option<Result<Bytes, std::io::Error>>> {
        panic!("the body was read")
    });
    let headers = [
        ("content-type", "multipart/form-data; boundary=frontier"),
        ("content-length", "5000000"),
        ("expect", "100-continue"),
    ];
    world.send(request("POST", "/v1/documents", &headers, Body::from_stream(unread))).await.expect(413);
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let limits = Limits { queued_jobs: 1, ..Limits::default() };
    let world = World::without_engine(Options { limits, ..open_options() });
    send_form(&world, &[("file", Some("a.md"), b"# A")]).await.expect(202);
    let refused = send_form(&world, &[("file", Some("b.md"), b"# B")]).await.expect(429);
    assert_eq!(refused.code(), "overloaded");
    assert_eq!(refused.headers["retry-after"], "30");
}

#[tokio::test]
async fn a_form_that_does_not_fit_the_queue_is_refused_whole() {
    let limits = Limits { queued_jobs: 2, ..Limits::default() };
    let world = World::without_engine(Options { limits, ..open_options() });
    let files: Vec<FormField> =
        ["a.md", "b.md", "c.md"].iter().map(|name| ("file", Some(*name), &b"# A"[..])).collect();
    send_form(&world, &files).await.expect(429);
    assert_eq!(world.catalog.open_jobs().unwrap(), (0, 0));
    assert_eq!(world.get("/v1/documents").await.json()["total"], 0);
    send_form(&world, &files[..2]).await.expect(202);
}

#[tokio::test]
async fn a_form_that_stops_coming_is_given_up() {
    let http = HttpConfig { body_seconds: 1, ..HttpConfig::default() };
    let world = World::without_engine(Options { http, ..open_options() });
    let start = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"--frontier\r\n"))]);
    let body = start.chain(stream::pending());
    let headers = [("content-type", "multipart/form-data; boundary=frontier")];
    let reply = world.send(request("POST", "/v1/documents", &headers, Body::from_stream(body))).await;
    assert_eq!(reply.expect(408).code(), "slow_body");
}
