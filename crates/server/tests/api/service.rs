//! Health, figures, the description, feedback.

use std::collections::BTreeSet;

use lore_server::{Options, app, openapi};
use serde_json::{Value, json};

use crate::support::{World, embed_all, embedder, keyed_options, open_options};

#[tokio::test]
async fn every_route_is_described() {
    let described: BTreeSet<(String, String)> = openapi::document()
        .paths
        .paths
        .iter()
        .flat_map(|(path, item)| {
            openapi::operations(item).map(|(method, _)| (method.to_lowercase(), path.clone()))
        })
        .collect();
    let registered: BTreeSet<(String, String)> =
        app::routes().into_iter().map(|(method, path)| (method.to_owned(), path.to_owned())).collect();
    assert_eq!(described, registered);
}

#[tokio::test]
async fn the_description_is_whole() {
    let world = World::without_engine(keyed_options());
    let reply = world.get("/openapi.json").await.expect(200);
    let document = reply.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    assert!(document["components"]["securitySchemes"]["bearer"].is_object());
    assert!(document["components"]["schemas"]["ErrorBody"].is_object());
    // Every reference leads somewhere.
    let text = reply.text();
    for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name} is missing");
    }
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            let open = ["/healthz", "/openapi.json"].contains(&path.as_str());
            let errors =
                operation["responses"].as_object().unwrap().keys().any(|s| s == "default" || s == "503");
            assert!(open || errors, "{method} {path} describes no errors");
        }
    }
}

#[tokio::test]
async fn the_page_names_every_route() {
    let world = World::without_engine(keyed_options());
    let reply = world.get("/api").await.expect(200);
    assert!(reply.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    for (_, path) in app::routes() {
        assert!(reply.text().contains(&format!("<code>{path}</code>")), "{path}");
    }
}

#[tokio::test]
async fn ready_tells_what_is_missing() {
    let world = World::without_engine(open_options());
    world.get("/healthz").await.expect(200);
    let waiting = world.get("/readyz").await.expect(503).json();
    assert_eq!(waiting["error"]["message"], "not ready: the indexes are being opened");
    world.state.lifecycle().wait_for("embedder", "the embedder is being fetched");
    let waiting = world.get("/readyz").await.expect(503).json();
    assert_eq!(waiting["error"]["message"], "not ready: the embedder is being fetched");
    world.get("/v1/documents").await.expect(200);
}

#[tokio::test]
async fn figures_for_prometheus() {
    let world = World::without_engine(open_options());
    world.publish("a.md", "# A\n\nOne.\n\nTwo.", &[]).await;
    world.get("/v1/documents").await.expect(200);
    world.get("/v1/documents/1").await.expect(404);
    world.get("/nothing/here").await.expect(404);
    let reply = world.get("/metrics").await.expect(200);
    assert_eq!(reply.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = reply.text();
    for line in [
        r#"lore_http_requests_total{method="GET",route="/v1/documents",status="200"} "#,
        r#"lore_http_requests_total{method="GET",route="/v1/documents/{id}",status="404"} "#,
        r#"lore_http_requests_total{method="GET",route="unmatched",status="404"} "#,
        r#"lore_http_request_seconds_bucket{method="GET",route="/v1/documents",le="0.005"} "#,
        "lore_documents ",
        "lore_chunks ",
        r#"lore_jobs{state="queued"} 0"#,
        r#"lore_queue_waiting{queue="questions"} 0"#,
        "lore_http_requests_in_flight ",
        "lore_build_info{version=",
        "lore_ready 0",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    if cfg!(target_os = "linux") {
        assert!(text.contains("process_resident_memory_bytes "));
    }
    assert!(!text.contains("/nothing/here"), "paths of clients must not become labels");
}

#[tokio::test]
async fn feedback_is_stored_under_the_caller() {
    let world = World::without_engine(keyed_options());
    let (id, secret) = world.key(&[], false);
    let open = world.publish("a.md", "# A\n\nText.", &[]).await;
    let closed = world.publish("b.md", "# B\n\nText.", &["board"]).await;
    let cited = |id| json!({"marker": 1, "document": id});
    let body = json!({"question": "How long?", "answer": "30 days", "rating": "down", "better_answer": "31 days",
        "citations": [cited(open.to_string()), cited(closed.to_string()), cited("nothing".into()), {"marker": 1}]});
    let stored = world.json_as(&secret, "POST", "/v1/feedback", &body).await.expect(201).json();
    let kept = world.catalog.feedback(10).unwrap();
    assert_eq!(stored["id"], kept[0].id);
    assert_eq!(kept[0].caller, id);
    assert_eq!(kept[0].feedback.better_answer.as_deref(), Some("31 days"));
    assert_eq!(kept[0].feedback.citations, [cited(open.to_string())], "only what the caller can read");
}

#[tokio::test]
async fn feedback_is_bounded() {
    let limits = lore_core::Limits { feedback_entries: 1, ..Default::default() };
    let world = World::without_engine(Options { limits, ..open_options() });
    let with = |key: &str, value: Value| {
        let mut body = json!({"question": "How long?", "answer": "30 days", "rating": "up"});
        body[key] = value;
        body
    };
    for (key, value) in [
        ("answer", json!("x".repeat(20_001))),
        ("better_answer", json!("x".repeat(20_001))),
        ("reason", json!("x".repeat(4_001))),
        ("citations", json!([{"quote": "x".repeat(20_000)}])),
    ] {
        let reply = world.json("POST", "/v1/feedback", &with(key, value)).await.expect(422);
        assert_eq!(reply.code(), "too_long", "{key}");
    }
    world.json("POST", "/v1/feedback", &with("reason", json!("good"))).await.expect(201);
    let full = world.json("POST", "/v1/feedback", &with("reason", json!("good"))).await.expect(429);
    assert!(full.text().contains("the limit"), "{}", full.text());
}

#[tokio::test]
async fn administrators_have_the_indexes_rebuilt_and_checked() {
    let world = World::with_engine(keyed_options()).await;
    world.publish("a.md", "# A\n\nOne.\n\nTwo.", &[]).await;
    let (_, member) = world.key(&[], false);
    let (_, admin) = world.key(&[], true);
    let nothing = json!(null);
    for (method, path) in
        [("GET", "/v1/indexes"), ("POST", "/v1/indexes/rebuild"), ("POST", "/v1/indexes/check")]
    {
        world.json_as(&member, method, path, &nothing).await.expect(403);
    }
    let before = world.json_as(&admin, "GET", "/v1/indexes", &nothing).await.expect(200).json();
    assert_eq!((&before["rebuild"]["state"], &before["followed"]), (&json!("none"), &before["last_change"]));
    let started = world.json_as(&admin, "POST", "/v1/indexes/rebuild", &nothing).await.expect(202).json();
    assert_eq!(started["state"], "running");
    let mut now = started;
    while now["state"] == "running" {
        tokio::task::yield_now().await;
        let indexes = world.json_as(&admin, "GET", "/v1/indexes", &nothing).await.expect(200).json();
        now = indexes["rebuild"].clone();
    }
    assert_eq!(
        (&now["state"], &now["total"], &now["embedded"]),
        (&json!("done"), &json!(1), &json!(0)),
        "{now}"
    );
    let report =
        world.json_as(&admin, "POST", "/v1/indexes/check?as_is=true", &nothing).await.expect(200).json();
    assert_eq!((&report["documents"], &report["differences"]), (&json!(1), &json!([])), "{report}");
}

#[tokio::test]
async fn trouble_is_told_and_readiness_stays() {
    let world = World::with_engine(open_options()).await;
    world.state.lifecycle().trouble("worker", Some("uploads wait"));
    let ready = world.get("/readyz").await.expect(200).json();
    assert_eq!(ready["troubles"], json!(["uploads wait"]));
    world.state.lifecycle().trouble("worker", None);
    assert!(world.get("/readyz").await.expect(200).json().get("troubles").is_none());
    world.state.lifecycle().wait_for("worker", "uploads are not taken in any more");
    world.get("/readyz").await.expect(503);
}

#[tokio::test]
async fn questions_wait_while_the_indexes_are_made_anew() {
    let mut world = World::without_engine(open_options());
    world.publish("a.md", "# A\n\nOne.", &[]).await;
    let (embedder, requests) = embedder();
    tokio::spawn(embed_all(requests));
    world.open(embedder).await;
    let waiting = world.get("/readyz").await.expect(503).json();
    let message = waiting["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("not ready: the indexes are made") && message.contains("0 of 1"),
        "{message}"
    );
    world.json("POST", "/v1/ask", &json!({"question": "One?"})).await.expect(503);
    world.follow().await;
    world.get("/readyz").await.expect(200);
    world.json("POST", "/v1/ask", &json!({"question": "One?"})).await.expect(200);
}
