//! Written answers on every route: clients that go away, a model that has too much to do, documents that go meanwhile.

use std::time::Duration;

use axum::body::Body;
use lore_core::GenerateEvent;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::model::{CITED, MODEL, model};
use crate::openai_chat::{CHAT, HANDBOOK, QUESTION, chat, with};
use crate::serving::start;
use crate::support::{World, open_options, request};

#[tokio::test]
async fn a_client_that_goes_away_cancels_the_writing_on_every_route() {
    let asking = json!({"question": QUESTION});
    for (path, body) in [("/v1/ask", asking), (CHAT, chat("lore", QUESTION)), (CHAT, chat(MODEL, "Why?"))] {
        for stream in [false, true] {
            let (generator, mut requests) = model(8);
            let world = World::with_generator(open_options(), generator).await;
            world.publish("handbook.md", HANDBOOK, &[]).await;
            let server = start(&world).await;
            let body = with(body.clone(), "stream", json!(stream)).to_string();
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                server.address,
                body.len()
            );
            let mut client = TcpStream::connect(server.address).await.unwrap();
            client.write_all((head + &body).as_bytes()).await.unwrap();
            let held = requests.recv().await.unwrap();
            held.reply.send(GenerateEvent::Text("New employees ".into())).await.unwrap();
            if stream {
                assert!(client.read(&mut [0; 256]).await.unwrap() > 0);
            }
            assert!(!held.reply.is_closed(), "{path}");
            drop(client);
            tokio::time::timeout(Duration::from_secs(10), held.reply.closed()).await.unwrap();
            while world.state.questions().running() > 0 {
                tokio::task::yield_now().await;
            }
            server.stop.send(()).unwrap();
            server.ended.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_model_whose_queue_is_full_is_told_on_every_route() {
    let (generator, _requests) = model(1);
    let world = World::with_generator(open_options(), generator.clone()).await;
    world.publish("handbook.md", HANDBOOK, &[]).await;
    let _first = generator.generate(lore_core::Prompt { tokens: vec![1], ..Default::default() }).unwrap();
    let history = json!([{"question": QUESTION, "answer": "30 days."}]);
    for (path, body, code) in [
        ("/v1/ask", json!({"question": QUESTION}), "overloaded"),
        ("/v1/ask", json!({"question": "And in Munich?", "history": history}), "overloaded"),
        ("/v1/ask", json!({"question": QUESTION, "conversation": "new"}), "overloaded"),
        (CHAT, chat("lore", QUESTION), "rate_limit_exceeded"),
        (CHAT, chat(MODEL, "Why?"), "rate_limit_exceeded"),
    ] {
        for stream in [false, true] {
            let refused =
                world.json("POST", path, &with(body.clone(), "stream", json!(stream))).await.expect(429);
            assert_eq!(
                (refused.code().as_str(), &refused.headers["retry-after"]),
                (code, &"1".parse().unwrap())
            );
        }
    }
    assert_eq!(world.state.questions().running(), 0);
}

#[tokio::test]
async fn a_document_that_goes_while_its_answer_is_written_takes_the_answer_along() {
    let (generator, mut requests) = model(8);
    let world = std::sync::Arc::new(World::with_generator(open_options(), generator).await);
    for (path, body) in
        [("/v1/ask", json!({"question": QUESTION, "conversation": "new"})), (CHAT, chat("lore", QUESTION))]
    {
        for stream in [false, true] {
            let id = world.publish("handbook.md", HANDBOOK, &[]).await;
            let call = tokio::spawn({
                let (world, body) = (world.clone(), with(body.clone(), "stream", json!(stream)));
                async move { world.json("POST", path, &body).await }
            });
            let held = requests.recv().await.unwrap();
            let at = format!("/v1/documents/{id}");
            world.send(request("DELETE", &at, &[], Body::empty())).await.expect(204);
            held.reply.send(GenerateEvent::Text(CITED.into())).await.unwrap();
            let reply = call.await.unwrap().expect(if stream { 200 } else { 409 });
            assert!(reply.text().contains(r#""code":"withdrawn""#), "{}", reply.text());
            if !stream {
                assert!(!reply.text().contains("30 vacation"), "{}", reply.text());
            }
            assert!(!reply.text().contains("New employees"), "{}", reply.text());
        }
    }
    assert_eq!(world.get("/v1/conversations").await.json()["conversations"], json!([]));
}
