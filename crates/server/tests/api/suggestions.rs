//! Labels to filter by, and questions to begin with.

use serde_json::json;

use crate::support::{World, keyed_options};

#[tokio::test]
async fn labels_are_those_of_documents_that_the_caller_may_read() {
    let world = World::without_engine(keyed_options());
    let open = world.publish("open.md", "# Open\n\nEverybody reads this.", &[]).await;
    let closed = world.publish("closed.md", "# Closed\n\nThe board reads this.", &["board"]).await;
    for (document, change) in [
        (open, json!({"tags": {"area": "people"}, "date": "2025-01-31"})),
        (closed, json!({"tags": {"area": "deals", "secret": "yes"}, "date": "2026-02-28"})),
    ] {
        let path = format!("/v1/documents/{document}");
        world.json_as("local-secret", "PATCH", &path, &change).await.expect(200);
    }
    let (_, secret) = world.key(&["people"], false);
    let labels = world.get_as(&secret, "/v1/labels").await.expect(200).json();
    assert_eq!(labels["tags"], json!([{"key": "area", "value": "people", "documents": 1}]));
    assert_eq!((&labels["first_date"], &labels["last_date"]), (&json!("2025-01-31"), &json!("2025-01-31")));
    let all = world.get_as("local-secret", "/v1/labels").await.expect(200).json();
    assert_eq!(all["tags"].as_array().unwrap().len(), 3);
    assert_eq!(all["last_date"], "2026-02-28");
    world.get("/v1/labels").await.expect(401);
}

#[tokio::test]
async fn suggestions_come_from_headings_that_the_caller_may_read() {
    let world = World::without_engine(keyed_options());
    let handbook = "# Handbook\n\n# 1. Overview\n\nText.\n\n# 2. Vacation\n\nThirty days.";
    world.publish("handbook.md", handbook, &[]).await;
    world.publish("faq.md", "# FAQ\n\n# How do I get a badge?\n\nAsk at the desk.", &[]).await;
    world.publish("deal.md", "# Deal\n\n# The price of the deal\n\nMuch.", &["board"]).await;
    let (_, secret) = world.key(&["people"], false);
    let shown = async |secret: &str, path: &str| {
        let reply = world.get_as(secret, path).await.expect(200).json();
        let suggestions = reply["suggestions"].as_array().unwrap().clone();
        let mut questions: Vec<String> =
            suggestions.iter().map(|one| one["question"].as_str().unwrap().to_owned()).collect();
        questions.sort();
        questions
    };
    let wanted = ["How do I get a badge?", "What does “Handbook” say about “Vacation”?"];
    assert_eq!(shown(&secret, "/web/suggestions").await, wanted);
    // No document is in this language; better others than none.
    assert_eq!(shown(&secret, "/web/suggestions?language=zh").await, wanted);
    assert_eq!(shown("local-secret", "/web/suggestions").await.len(), 3);
    world.get_as(&secret, "/web/suggestions?x=1").await.expect(400);
}
