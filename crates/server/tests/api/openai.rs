//! OpenAI's API beside its chats: errors, models, embeddings, keys.

use std::fmt::Write as _;

use axum::body::Body;
use base64::Engine as _;
use lore_core::{EmbedKind, Limits};
use lore_server::Options;
use serde_json::{Value, json};

use crate::model::{MODEL, echo, model};
use crate::support::{World, embedder, keyed_options, open_options, request};

const CHAT: &str = "/v1/chat/completions";
const EMBED: &str = "/v1/embeddings";
const JSON: (&str, &str) = ("content-type", "application/json");

fn user(said: &str) -> Value {
    json!([{"role": "user", "content": said}])
}

#[tokio::test]
async fn bodies_of_openais_errors() {
    let limits = Limits { question_chars: 20, json_body_bytes: 20_000, ..Limits::default() };
    let (generator, requests) = model(8);
    tokio::spawn(echo(requests));
    let world = World::with_generator(Options { limits, ..open_options() }, generator).await;
    let chat = |key: &str, value: Value| {
        let mut body = json!({"model": MODEL, "messages": user("Why?")});
        body[key] = value;
        (CHAT, body.to_string())
    };
    let embed = |key: &str, value: Value| {
        let mut body = json!({"input": "Why?"});
        body[key] = value;
        (EMBED, body.to_string())
    };
    let image = json!([{"role": "user", "content": [{"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:"}}]}]);
    let cases = [
        ("no JSON", (CHAT, "hello".to_owned())),
        ("no object", (CHAT, "[]".to_owned())),
        ("no messages", (CHAT, "{}".to_owned())),
        ("empty messages", chat("messages", json!([]))),
        ("a message without a role", chat("messages", json!([{"content": "Why?"}]))),
        ("an unknown role", chat("messages", json!([{"role": "tool", "content": "x"}]))),
        ("content of a wrong type", chat("messages", json!([{"role": "user", "content": 1}]))),
        ("no content", chat("messages", json!([{"role": "user"}]))),
        ("an image", chat("messages", image)),
        ("what the template refuses", chat("messages", json!([user("a")[0], user("b")[0]]))),
        ("a long chat", chat("messages", user(&"why ".repeat(2000)))),
        ("a large body", chat("messages", user(&"why ".repeat(6000)))),
        ("an unknown model", chat("model", json!("gpt-4o"))),
        ("a wrong type", chat("temperature", json!("hot"))),
        ("too hot", chat("temperature", json!(3))),
        ("a wrong share", chat("min_p", json!(-0.5))),
        ("two answers", chat("n", json!(2))),
        ("five stops", chat("stop", json!(["a", "b", "c", "d", "e"]))),
        ("an empty stop", chat("stop", json!(""))),
        ("a stop that is no text", chat("stop", json!(1))),
        ("no tokens", chat("max_tokens", json!(0))),
        ("a bias of no token", chat("logit_bias", json!({"x": 1}))),
        ("a bias too far", chat("logit_bias", json!({"1": 101}))),
        ("a penalty", chat("frequency_penalty", json!(0.5))),
        ("tools", chat("tools", json!([{"type": "function"}]))),
        ("JSON wanted", chat("response_format", json!({"type": "json_object"}))),
        ("probabilities", chat("logprobs", json!(true))),
        ("a misspelt filter", chat("lore", json!({"filter": {"tag": {}}}))),
        ("a long question", (CHAT, json!({"messages": user("Why why why why why why?")}).to_string())),
        ("no question", (CHAT, json!({"messages": [{"role": "system", "content": "Be."}]}).to_string())),
        ("nothing to embed", (EMBED, "{}".to_owned())),
        ("an empty list", embed("input", json!([]))),
        ("an empty text", embed("input", json!(["a", ""]))),
        ("tokens", embed("input", json!([1, 2]))),
        ("lists of tokens", embed("input", json!([[1, 2]]))),
        ("a long text", embed("input", json!(["a", "a ".repeat(255)]))),
        ("too many texts", embed("input", json!(vec![0; 2049]))),
        ("other dimensions", embed("dimensions", json!(32))),
        ("an unknown encoding", embed("encoding_format", json!("hex"))),
        ("an unknown embedder", embed("model", json!("text-embedding-3-small"))),
    ];
    let mut seen = String::new();
    for (what, (path, body)) in cases {
        let reply = world.send(request("POST", path, &[JSON], Body::from(body))).await;
        tell(&mut seen, what, "POST", path, &reply);
    }
    for (what, method, path, headers) in [
        ("no content type", "POST", CHAT, &[][..]),
        ("a wrong method", "GET", CHAT, &[]),
        ("another of OpenAI's paths", "POST", "/v1/responses", &[]),
        ("a wrong key", "GET", "/v1/models", &[("authorization", "Bearer lore_a_b")]),
        ("a foreign host", "GET", "/v1/models", &[("host", "evil.example")]),
        ("an absent model", "GET", "/v1/models/gpt-4o", &[]),
    ] {
        let reply = world.send(request(method, path, headers, Body::empty())).await;
        tell(&mut seen, what, method, path, &reply);
    }
    let starting = World::without_engine(open_options());
    let reply = starting.json("POST", CHAT, &json!({"messages": user("Why?")})).await;
    tell(&mut seen, "no engine yet", "POST", CHAT, &reply);
    insta::assert_snapshot!(seen);
}

fn tell(seen: &mut String, what: &str, method: &str, path: &str, reply: &crate::support::Reply) {
    assert_eq!(reply.headers["x-request-id"], "test-request");
    assert_eq!(reply.headers["content-type"], "application/json", "{what}");
    let error = reply.json()["error"].clone();
    let keys: Vec<&String> = error.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["message", "type", "param", "code"], "{what}");
    let _ = writeln!(seen, "{what}: {method} {path}\n{} {}", reply.status.as_u16(), reply.text());
    for name in ["allow", "retry-after", "www-authenticate"] {
        if let Some(value) = reply.headers.get(name) {
            let _ = writeln!(seen, "{name}: {}", value.to_str().unwrap());
        }
    }
    seen.push('\n');
}

#[tokio::test]
async fn models_are_listed_and_shown() {
    let (generator, requests) = model(8);
    tokio::spawn(echo(requests));
    let world = World::with_generator(open_options(), generator).await;
    let list = world.get("/v1/models").await.expect(200).json();
    assert_eq!(list["object"], "list");
    let models = list["data"].as_array().unwrap();
    let ids: Vec<&str> = models.iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["lore", MODEL, "words@test"]);
    for model in models {
        assert_eq!((&model["object"], &model["owned_by"]), (&json!("model"), &json!("lore")));
        assert!(model["created"].as_i64().unwrap() > 1_700_000_000);
        let id = model["id"].as_str().unwrap();
        for path in [id.to_owned(), id.replace('/', "%2F").replace('@', "%40")] {
            assert_eq!(&world.get(&format!("/v1/models/{path}")).await.expect(200).json(), model);
        }
    }
    assert_eq!(world.get("/v1/models/tiny/echo").await.expect(200).json()["id"], MODEL);
    let extractive = World::with_engine(open_options()).await;
    let list = extractive.get("/v1/models").await.expect(200).json();
    assert_eq!(list["data"].as_array().map(Vec::len), Some(2));
    let refused = json!({"model": MODEL, "messages": user("Why?")});
    extractive.json("POST", CHAT, &refused).await.expect(404);
}

#[tokio::test]
async fn embeddings_as_numbers_and_as_bytes() {
    let world = World::with_engine(open_options()).await;
    let texts = json!(["vacation days", "lunch at noon"]);
    for name in [json!(null), json!("words"), json!("words@test"), json!("lore")] {
        let body = json!({"model": name, "input": texts, "dimensions": 64, "user": "ana"});
        let list = world.json("POST", EMBED, &body).await.expect(200).json();
        assert_eq!((&list["object"], &list["model"]), (&json!("list"), &json!("words@test")));
        assert_eq!(list["usage"], json!({"prompt_tokens": 5, "total_tokens": 5}));
        let data = list["data"].as_array().unwrap();
        assert_eq!((data.len(), &data[1]["index"], &data[1]["object"]), (2, &json!(1), &json!("embedding")));
        let bytes = json!({"input": "lunch at noon", "encoding_format": "base64"});
        let packed = world.json("POST", EMBED, &bytes).await.expect(200).json();
        let packed = packed["data"][0]["embedding"].as_str().unwrap();
        let packed = base64::engine::general_purpose::STANDARD.decode(packed).unwrap();
        let numbers: Vec<f32> =
            packed.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        let plain: Vec<f32> = serde_json::from_value(data[1]["embedding"].clone()).unwrap();
        assert_eq!((plain.len(), plain), (64, numbers));
    }
    let long = json!({"input": "a ".repeat(1000), "truncate": true});
    let list = world.json("POST", EMBED, &long).await.expect(200).json();
    assert_eq!(list["usage"]["total_tokens"], 254);
}

#[tokio::test]
async fn texts_are_embedded_as_what_they_are() {
    let (embedder, mut requests) = embedder();
    let world = std::sync::Arc::new(World::with_embedder(open_options(), embedder).await);
    for (given, kind) in [
        (json!(null), EmbedKind::Passage),
        (json!("passage"), EmbedKind::Passage),
        (json!("query"), EmbedKind::Query),
        (json!("search_query"), EmbedKind::Query),
    ] {
        let call = tokio::spawn({
            let world = world.clone();
            async move { world.json("POST", EMBED, &json!({"input": "x", "input_type": given})).await }
        });
        let request = requests.recv().await.unwrap();
        assert_eq!(request.kind, kind);
        request.reply.send(Ok(vec![vec![0.0; 64]])).unwrap();
        call.await.unwrap().expect(200);
    }
}

#[tokio::test]
async fn too_many_at_once_are_told_when_to_come_again() {
    let limits = Limits { concurrent_questions: 1, ..Limits::default() };
    let (generator, mut requests) = model(1);
    let world = World::with_generator(Options { limits, ..open_options() }, generator.clone()).await;
    let world = std::sync::Arc::new(world);
    let body = json!({"model": MODEL, "messages": user("Why?")});
    let call = || {
        let (world, body) = (world.clone(), body.clone());
        tokio::spawn(async move { world.json("POST", CHAT, &body).await })
    };
    let running = call();
    let held = requests.recv().await.unwrap();
    let waiting = call();
    while world.state.questions().waiting() == 0 {
        tokio::task::yield_now().await;
    }
    for (path, body) in [(CHAT, body.clone()), (EMBED, json!({"input": "x"}))] {
        let refused = world.json("POST", path, &body).await.expect(429);
        let error = refused.json()["error"].clone();
        assert_eq!(refused.headers["retry-after"], "1");
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!("rate_limit_error"), &json!("rate_limit_exceeded"))
        );
    }
    waiting.abort();
    drop(held);
    running.await.unwrap().expect(500);
    // The model's own queue is full.
    let tokens = vec![1];
    let _first = generator.generate(lore_core::Prompt { tokens, ..Default::default() }).unwrap();
    let refused = world.json("POST", CHAT, &body).await.expect(429);
    assert_eq!(
        (refused.code().as_str(), &refused.headers["retry-after"]),
        ("rate_limit_exceeded", &"1".parse().unwrap())
    );
}

#[tokio::test]
async fn a_key_that_only_fills_its_place_is_none() {
    let placeholder = [("authorization", "Bearer none")];
    let open = World::with_engine(open_options()).await;
    let foreign = [placeholder[0], ("host", "evil.example")];
    let elsewhere = [placeholder[0], ("origin", "https://evil.example")];
    let call = |path, headers| open.send(request("GET", path, headers, Body::empty()));
    call("/v1/models", &placeholder).await.expect(200);
    call("/v1/models", &[("authorization", "Bearer local-secret")]).await.expect(200);
    // What needs no key for others needs none either; what does not let others in does not let it in.
    call("/v1/documents", &placeholder).await.expect(401);
    call("/v1/models", &foreign).await.expect(403);
    call("/v1/models", &elsewhere).await.expect(403);
    let keyed = World::with_engine(keyed_options()).await;
    let refused = keyed.get_as("none", "/v1/models").await.expect(401);
    assert_eq!(
        (refused.code().as_str(), &refused.headers["www-authenticate"]),
        ("invalid_api_key", &"Bearer".parse().unwrap())
    );
    let (_, member) = keyed.key(&[], false);
    keyed.get_as(&member, "/v1/models").await.expect(200);
}
