//! Conversations: kept for whoever asked, and for nobody else.

use axum::body::Body;
use lore_core::Limits;
use lore_server::Options;
use serde_json::{Value, json};

use crate::support::{World, keyed_options, open_options, request};

const HANDBOOK: &str = "# Vacation\n\nEvery new employee in Munich gets 30 vacation days per year.\n\n\
    Every new employee in Shanghai gets 15 vacation days per year.";
const QUESTION: &str = "How many vacation days per year does a new employee in Munich get?";

async fn ask(world: &World, secret: &str, body: Value) -> Value {
    world.json_as(secret, "POST", "/v1/ask", &body).await.expect(200).json()
}

fn id_of(answer: &Value) -> String {
    answer["conversation"].as_str().unwrap_or_else(|| panic!("no conversation: {answer:#}")).to_owned()
}

#[tokio::test]
async fn a_conversation_is_begun_gone_on_with_listed_renamed_and_deleted() {
    let world = World::with_engine(open_options()).await;
    world.publish("handbook.md", HANDBOOK, &[]).await;
    let plain = world.json("POST", "/v1/ask", &json!({"question": QUESTION})).await.expect(200).json();
    assert!(plain.get("conversation").is_none());

    let begin = json!({"question": QUESTION, "conversation": "new"});
    let id = id_of(&world.json("POST", "/v1/ask", &begin).await.expect(200).json());
    // As a stream, `done` says where the answer was kept; the follow-up is understood from the turn before.
    let go_on = json!({"question": "And in Shanghai?", "conversation": id, "stream": true});
    let stream = world.json("POST", "/v1/ask", &go_on).await.expect(200).text();
    let done = stream.split("event: done\ndata: ").nth(1).unwrap();
    let done: Value = serde_json::from_str(done.trim()).unwrap();
    assert_eq!((&done["type"], &done["conversation"]), (&json!("done"), &json!(id)));
    assert!(done["answer"].as_str().unwrap().contains("15 vacation days"), "{done:#}");

    let path = format!("/v1/conversations/{id}");
    let shown = world.get(&path).await.expect(200).json();
    assert_eq!((&shown["title"], &shown["turns"]), (&json!(QUESTION), &json!(2)));
    let turn = &shown["history"][0];
    assert_eq!((&turn["question"], &turn["withdrawn"]), (&json!(QUESTION), &json!(false)));
    let quote = &turn["summary"]["citations"][0]["quote"];
    assert!(quote.as_str().unwrap().contains("30 vacation days"), "{turn:#}");
    assert!(turn["sources"][0]["text"].as_str().unwrap().contains("30 vacation days"));

    let listed = world.get("/v1/conversations?query=shanghai&limit=1").await.expect(200).json();
    assert_eq!((&listed["conversations"][0]["id"], &listed["next"]), (&json!(id), &Value::Null));
    assert_eq!(world.get("/v1/conversations?query=canteen").await.json()["conversations"], json!([]));
    let renamed = world.json("PATCH", &path, &json!({"title": "Days off"})).await.expect(200).json();
    assert_eq!(renamed["title"], "Days off");
    assert_eq!(world.json("PATCH", &path, &json!({"title": " "})).await.expect(422).code(), "bad_title");
    world.send(request("DELETE", &path, &[], Body::empty())).await.expect(204);
    world.get(&path).await.expect(404);
    let gone = world.json("POST", "/v1/ask", &go_on).await.expect(404);
    assert_eq!(gone.code(), "not_found");
}

#[tokio::test]
async fn a_turn_says_what_its_reader_said_of_it() {
    let world = World::with_engine(keyed_options()).await;
    world.publish("handbook.md", HANDBOOK, &[]).await;
    let (_, owner) = world.key(&["people"], false);
    let (_, other) = world.key(&["people"], false);
    let answer = ask(&world, &owner, json!({"question": QUESTION, "conversation": "new"})).await;
    let path = format!("/v1/conversations/{}", id_of(&answer));
    let judged =
        async || world.get_as(&owner, &path).await.expect(200).json()["history"][0]["feedback"].clone();
    assert_eq!(judged().await, Value::Null);
    let said = |rating: &str| json!({"question": QUESTION, "answer": answer["answer"], "rating": rating});
    world.json_as(&other, "POST", "/v1/feedback", &said("up")).await.expect(201);
    assert_eq!(judged().await, Value::Null, "that of somebody else");
    let mut down = said("down");
    down["better_answer"] = json!("Thirty.");
    let stored = world.json_as(&owner, "POST", "/v1/feedback", &down).await.expect(201).json();
    let wanted = json!({"id": stored["id"], "rating": "down", "reason": null, "better_answer": "Thirty."});
    assert_eq!(judged().await, wanted);
    let one = format!("/v1/feedback/{}", stored["id"].as_str().unwrap());
    world.json_as(&owner, "DELETE", &one, &Value::Null).await.expect(204);
    assert_eq!(judged().await, Value::Null);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let world = World::with_engine(open_options()).await;
    let both = json!({"question": "x", "conversation": "new", "history": [{"question": "a", "answer": "b"}]});
    assert_eq!(world.json("POST", "/v1/ask", &both).await.expect(422).code(), "bad_history");
    world.json("POST", "/v1/ask", &json!({"question": "x", "conversation": "y"})).await.expect(404);
    world.get("/v1/conversations/y").await.expect(404);
    world.get("/v1/conversations?limit=0").await.expect(422);
    world.get("/v1/conversations?before=y").await.expect(422);
}

#[tokio::test]
async fn nobody_else_reads_it_an_administrator_neither() {
    let world = World::with_engine(keyed_options()).await;
    world.publish("handbook.md", HANDBOOK, &[]).await;
    let (_, owner) = world.key(&["people"], false);
    let (key, other) = world.key(&["people"], true);
    let id = id_of(&ask(&world, &owner, json!({"question": QUESTION, "conversation": "new"})).await);
    let path = format!("/v1/conversations/{id}");
    world.get_as(&owner, &path).await.expect(200);
    for secret in [other.as_str(), "local-secret"] {
        world.get_as(secret, &path).await.expect(404);
        world.get_as(secret, &format!("{path}/export")).await.expect(404);
        world.json_as(secret, "PATCH", &path, &json!({"title": "mine"})).await.expect(404);
        world.json_as(secret, "DELETE", &path, &json!({})).await.expect(404);
        let body = json!({"question": "And in Shanghai?", "conversation": id});
        world.json_as(secret, "POST", "/v1/ask", &body).await.expect(404);
        let listed = world.get_as(secret, "/v1/conversations").await.expect(200).json();
        assert_eq!(listed["conversations"], json!([]), "{key}");
    }
    world.get_as(&owner, &path).await.expect(200);
    world.get("/v1/conversations").await.expect(401);
}

#[tokio::test]
async fn a_document_that_is_closed_or_deleted_takes_its_answers_along() {
    let world = World::with_engine(keyed_options()).await;
    let document = world.publish("handbook.md", HANDBOOK, &["people"]).await;
    let (_, owner) = world.key(&["people"], false);
    let id = id_of(&ask(&world, &owner, json!({"question": QUESTION, "conversation": "new"})).await);
    let (path, export) = (format!("/v1/conversations/{id}"), format!("/v1/conversations/{id}/export"));
    let told = async || {
        let texts = [world.get_as(&owner, &path).await.text(), world.get_as(&owner, &export).await.text()];
        texts.iter().any(|text| text.contains("30 vacation") || text.contains("handbook"))
    };
    assert!(told().await);
    let at = format!("/v1/documents/{document}");
    world.json_as("local-secret", "PATCH", &at, &json!({"acl": ["board"]})).await.expect(200);
    assert!(!told().await);
    assert_eq!(world.get_as(&owner, &path).await.json()["history"][0]["withdrawn"], true);
    world.json_as("local-secret", "PATCH", &at, &json!({"acl": ["people"]})).await.expect(200);
    assert!(told().await);
    world.json_as("local-secret", "DELETE", &at, &json!({})).await.expect(204);
    assert!(!told().await);
}

#[tokio::test]
async fn a_full_conversation_takes_no_question_and_the_oldest_goes() {
    let limits = Limits { conversation_turns: 1, conversations: 1, ..Limits::default() };
    let world = World::with_engine(Options { limits, ..open_options() }).await;
    world.publish("handbook.md", HANDBOOK, &[]).await;
    let begin = json!({"question": QUESTION, "conversation": "new"});
    let first = id_of(&world.json("POST", "/v1/ask", &begin).await.expect(200).json());
    let more = json!({"question": "And in Shanghai?", "conversation": first});
    assert_eq!(world.json("POST", "/v1/ask", &more).await.expect(422).code(), "conversation_full");
    let second = id_of(&world.json("POST", "/v1/ask", &begin).await.expect(200).json());
    world.get(&format!("/v1/conversations/{first}")).await.expect(404);
    world.get(&format!("/v1/conversations/{second}")).await.expect(200);
}

#[tokio::test]
async fn exported_as_markdown_with_footnotes() {
    let world = World::with_engine(open_options()).await;
    world.publish("handbook.md", HANDBOOK, &[]).await;
    let begin = json!({"question": QUESTION, "conversation": "new"});
    let id = id_of(&world.json("POST", "/v1/ask", &begin).await.expect(200).json());
    world
        .json("POST", "/v1/ask", &json!({"question": "And in Shanghai?", "conversation": id}))
        .await
        .expect(200);
    let export = world.get(&format!("/v1/conversations/{id}/export")).await.expect(200);
    assert_eq!(export.headers["content-type"], "text/markdown; charset=utf-8");
    insta::assert_snapshot!(export.text());
}

#[tokio::test]
async fn an_answer_is_asked_for_again_in_its_place() {
    let world = World::with_engine(open_options()).await;
    world.publish("handbook.md", HANDBOOK, &[]).await;
    let begin = json!({"question": QUESTION, "conversation": "new"});
    let id = id_of(&world.json("POST", "/v1/ask", &begin).await.expect(200).json());
    let path = format!("/v1/conversations/{id}");
    let follow = json!({"question": "And in Shanghai?", "conversation": id});
    world.json("POST", "/v1/ask", &follow).await.expect(200);
    let again = json!({"question": "And in Munich?", "conversation": id, "replace": true});
    // What is replaced is none of the turns before: the question is understood from the first.
    let answer = world.json("POST", "/v1/ask", &again).await.expect(200).json();
    assert!(answer["answer"].as_str().unwrap().contains("30 vacation days"), "{answer:#}");
    let shown = world.get(&path).await.expect(200).json();
    let questions: Vec<&str> =
        shown["history"].as_array().unwrap().iter().map(|turn| turn["question"].as_str().unwrap()).collect();
    assert_eq!(questions, [QUESTION, "And in Munich?"]);
    for body in [
        json!({"question": "x", "replace": true}),
        json!({"question": "x", "replace": true, "conversation": "new"}),
    ] {
        assert_eq!(world.json("POST", "/v1/ask", &body).await.expect(422).code(), "bad_replace");
    }
}
