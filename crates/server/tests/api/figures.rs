//! What administrators see of the service: figures of the last hours, groups, the configuration.

use lore_server::Options;
use serde_json::{Value, json};

use crate::support::{World, keyed_options, open_options};

/// The tests of this program share one history, as one process has one.
async fn total(world: &World) -> Value {
    world.get("/v1/figures?hours=1").await.expect(200).json()["total"].clone()
}

fn count(figures: &Value, path: &str) -> u64 {
    figures.pointer(path).and_then(Value::as_u64).unwrap_or_default()
}

#[tokio::test]
async fn questions_searches_and_feedback_become_figures() {
    let world = World::with_engine(open_options()).await;
    world.publish("a.md", "# Vacation\n\nEvery employee gets 30 vacation days per year.", &[]).await;
    let before = total(&world).await;
    let question = json!({"question": "How many vacation days does every employee get per year?"});
    world.json("POST", "/v1/ask", &question).await.expect(200);
    world.json("POST", "/v1/ask", &json!({"question": "Who won the match?"})).await.expect(200);
    world.json("POST", "/v1/search", &json!({"query": "vacation"})).await.expect(200);
    let feedback = json!({"question": "How long?", "answer": "30 days", "rating": "up"});
    world.json("POST", "/v1/feedback", &feedback).await.expect(201);
    let after = total(&world).await;
    for (path, by) in [
        ("/questions/answered", 1),
        ("/questions/refused", 1),
        ("/searches", 1),
        ("/up", 1),
        ("/took/count", 2),
        ("/first_token/count", 1),
        ("/search_took/count", 1),
    ] {
        assert!(count(&after, path) >= count(&before, path) + by, "{path}: {before} {after}");
    }
    let seconds = |path: &str| after.pointer(path).and_then(Value::as_f64).unwrap();
    assert!(seconds("/took/p50") > 0.0 && seconds("/took/p50") <= seconds("/took/p95"));
    assert_eq!(count(&after, "/waiting/questions"), 0);
    let metrics = world.get("/metrics").await.expect(200).text();
    assert!(metrics.contains("lore_question_seconds_bucket") && metrics.contains("lore_feedback_total"));
}

#[tokio::test]
async fn hours_become_spans() {
    let world = World::without_engine(open_options());
    for (hours, step, spans) in [(1, 1, 60), (2, 2, 60), (6, 5, 72), (12, 10, 72), (24, 15, 96)] {
        let figures = world.get(&format!("/v1/figures?hours={hours}")).await.expect(200).json();
        assert_eq!(figures["step_minutes"], step, "{hours}");
        assert_eq!(figures["spans"].as_array().unwrap().len(), spans, "{hours}");
    }
    world.get("/v1/figures").await.expect(200);
    for bad in ["0", "25", "-1", "x"] {
        let reply = world.get(&format!("/v1/figures?hours={bad}")).await;
        assert!([400, 422].contains(&reply.status.as_u16()), "{bad}: {}", reply.text());
    }
}

#[tokio::test]
async fn groups_and_the_configuration_are_told() {
    let configuration = Some("listen: 127.0.0.1:8787".to_owned());
    let world = World::without_engine(Options { configuration, ..open_options() });
    world.publish("a.md", "# A\n\nText.", &["board"]).await;
    world.key(&["board"], false);
    let groups = world.get("/v1/groups").await.expect(200).json();
    assert_eq!(
        (&groups["groups"][0]["name"], &groups["groups"][0]["documents"]),
        (&json!("board"), &json!(1))
    );
    assert_eq!(groups["groups"][0]["keys"][0]["name"], "test");
    let told = world.get("/v1/configuration").await.expect(200).json();
    assert_eq!((&told["yaml"], &told["keys_required"]), (&json!("listen: 127.0.0.1:8787"), &json!(false)));
}

#[tokio::test]
async fn they_are_for_administrators() {
    let world = World::without_engine(keyed_options());
    let (_, member) = world.key(&["board"], false);
    for path in ["/v1/figures", "/v1/groups", "/v1/configuration"] {
        world.get_as(&member, path).await.expect(403);
        world.get(path).await.expect(401);
    }
}
