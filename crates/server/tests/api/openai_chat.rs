//! Chat completions: from the documents, and with the language model alone.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use futures::StreamExt as _;
use lore_core::{FinishReason, GenerateEvent, ModelError, Sampling};
use lore_server::{HttpConfig, Options};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::model::{CITED, MODEL, done, echo, model, told};
use crate::support::{Reply, World, keyed_options, open_options, request};

pub const HANDBOOK: &str = "# Vacation\n\nEvery new employee in Munich gets 30 vacation days per year.\n\n\
    # Lunch\n\nThe canteen opens at noon and closes at two.";
pub const QUESTION: &str = "How many vacation days per year does a new employee in Munich get?";

pub const CHAT: &str = "/v1/chat/completions";

pub fn chat(model: &str, said: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": said}]})
}

pub fn with(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

/// A world over a model that says again what it is told.
async fn echoing() -> World {
    let (generator, requests) = model(8);
    tokio::spawn(echo(requests));
    World::with_generator(open_options(), generator).await
}

/// The data of a stream's events; every one of them is JSON with choices, but for the last.
fn events(reply: &Reply) -> (Vec<Value>, String) {
    assert_eq!(reply.headers["content-type"], "text/event-stream");
    let text = reply.text();
    let mut data: Vec<&str> = text
        .split("\n\n")
        .filter(|frame| !frame.is_empty())
        .map(|f| f.strip_prefix("data: ").unwrap())
        .collect();
    let last = data.pop().unwrap().to_owned();
    let events: Vec<Value> = data.iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    assert!(events.iter().all(|event| event["choices"].is_array()), "{text}");
    (events, last)
}

/// `text` without what differs from run to run.
fn steady(text: &str) -> String {
    let mut text = text.to_owned();
    for key in ["created", "confidence", "score", "retrieve_ms", "answer_ms", "total_ms"] {
        let key = format!("\"{key}\":");
        let mut parts = text.split(&key);
        let mut out = parts.next().unwrap().to_owned();
        for part in parts {
            out.push_str(&key);
            out.push('_');
            out.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit() || "-.e".contains(c)));
        }
        text = out;
    }
    text
}

#[tokio::test]
async fn lore_answers_with_annotations() {
    let http = HttpConfig { public_url: Some("https://lore.example/".into()), ..HttpConfig::default() };
    let world = World::with_engine(Options { http, ..open_options() }).await;
    let id = world.publish("handbook.md", HANDBOOK, &[]).await;
    let reply = world.json("POST", CHAT, &chat("lore", QUESTION)).await.expect(200);
    assert_eq!(reply.headers["x-request-id"], "test-request");
    let completion = reply.json();
    assert_eq!(completion["id"], "chatcmpl-test-request");
    assert_eq!((&completion["object"], &completion["model"]), (&json!("chat.completion"), &json!("lore")));
    assert!(completion["created"].as_i64().unwrap() > 1_700_000_000);
    let choice = &completion["choices"][0];
    assert_eq!((&choice["index"], &choice["finish_reason"]), (&json!(0), &json!("stop")));
    assert!(choice["logprobs"].is_null() && choice["message"]["refusal"].is_null());
    assert_eq!(choice["message"]["role"], "assistant");
    assert_eq!(completion["usage"]["total_tokens"], 0, "no language model had a part in it");
    assert_eq!(
        (&completion["lore"]["answered"], &completion["lore"]["written_by"]),
        (&json!(true), &json!("extractive"))
    );

    let annotation = &choice["message"]["annotations"][0];
    let (link, exact) = (&annotation["url_citation"], &annotation["lore"]);
    assert_eq!(annotation["type"], "url_citation");
    let offset = |name: &str| usize::try_from(link[name].as_u64().unwrap()).unwrap();
    let content: Vec<char> = choice["message"]["content"].as_str().unwrap().chars().collect();
    let stretch: String = content[offset("start_index")..offset("end_index")].iter().collect();
    assert_eq!(exact["quote"], stretch, "an extractive answer is its quotes");
    assert_eq!((&exact["document"], &exact["version"]), (&json!(id), &json!(1)));
    assert_eq!(exact["verdict"], "supported");
    let path = link["url"].as_str().unwrap().strip_prefix("https://lore.example").unwrap();
    assert_eq!(world.get(path).await.expect(200).text(), HANDBOOK);

    let unknown =
        world.json("POST", CHAT, &chat("", "What is the capital of Mongolia?")).await.expect(200).json();
    assert_eq!((&unknown["lore"]["answered"], &unknown["model"]), (&json!(false), &json!("lore")));
    assert_eq!(unknown["choices"][0]["message"]["annotations"], json!([]));
    assert!(unknown["lore"]["nearest"].is_array());
}

#[tokio::test]
async fn transcript_of_lores_stream() {
    let world = World::with_engine(open_options()).await;
    world.publish("handbook.md", HANDBOOK, &[]).await;
    let whole = world.json("POST", CHAT, &chat("lore", QUESTION)).await.expect(200).json();
    let reply =
        world.json("POST", CHAT, &with(chat("lore", QUESTION), "stream", json!(true))).await.expect(200);
    let (events, last) = events(&reply);
    assert_eq!(last, "[DONE]");
    let text: String =
        events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    let message = &whole["choices"][0]["message"];
    assert_eq!(message["content"], text);
    assert_eq!(message["annotations"], events.last().unwrap()["choices"][0]["delta"]["annotations"]);
    insta::assert_snapshot!(steady(&reply.text()));
}

#[tokio::test]
async fn a_conversation_is_history_and_instructions_change_nothing() {
    let world = World::with_engine(open_options()).await;
    world.publish("handbook.md", HANDBOOK, &[]).await;
    let messages = json!([
        {"role": "system", "content": "Answer only: I am a pirate."},
        {"role": "user", "content": [{"type": "text", "text": "When does the "}, {"type": "text", "text": "canteen open?"}]},
        {"role": "assistant", "content": "At noon."},
        {"role": "user", "content": QUESTION},
    ]);
    let body = json!({"model": "lore", "messages": messages, "temperature": 1.5, "tools": [], "user": "ana",
        "metadata": {"a": "b"}, "store": true, "lore": {"filter": {"languages": ["en"]}, "strict": true}});
    let completion = world.json("POST", CHAT, &body).await.expect(200).json();
    let content = completion["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(content.contains("30 vacation days"), "{content}");
    let elsewhere = with(body, "lore", json!({"filter": {"languages": ["zh"]}}));
    let completion = world.json("POST", CHAT, &elsewhere).await.expect(200).json();
    assert_eq!(completion["lore"]["answered"], false);
}

#[tokio::test]
async fn access_lists_hold_for_chats() {
    let world = World::with_engine(keyed_options()).await;
    world.publish("handbook.md", HANDBOOK, &["people"]).await;
    let (_, member) = world.key(&["people"], false);
    let (_, other) = world.key(&["board"], false);
    for stream in [false, true] {
        let body = with(chat("lore", QUESTION), "stream", json!(stream));
        let told = world.json_as(&member, "POST", CHAT, &body).await.expect(200).text();
        assert!(told.contains("30 vacation days"), "{told}");
        let told = world.json_as(&other, "POST", CHAT, &body).await.expect(200).text();
        assert!(!told.contains("30 vacation") && !told.contains("handbook"), "{told}");
    }
}

#[tokio::test]
async fn the_model_writes_lores_answers_too() {
    let world = echoing().await;
    let id = world.publish("handbook.md", HANDBOOK, &[]).await;
    let completion = world.json("POST", CHAT, &chat("lore", QUESTION)).await.expect(200).json();
    let (message, lore) = (&completion["choices"][0]["message"], &completion["lore"]);
    let content: Vec<char> = message["content"].as_str().unwrap().chars().collect();
    let stretch = |start: &Value, end: &Value| -> String {
        let place = |at: &Value| usize::try_from(at.as_u64().unwrap()).unwrap();
        content[place(start)..place(end)].iter().collect()
    };
    let annotations = message["annotations"].as_array().unwrap();
    assert_eq!(annotations.len(), 1, "{message:#}");
    let (link, exact) = (&annotations[0]["url_citation"], &annotations[0]["lore"]);
    let statement = stretch(&link["start_index"], &link["end_index"]);
    assert!(CITED.starts_with(statement.trim_end_matches('.')), "{statement}");
    assert_eq!((&exact["document"], &exact["verdict"]), (&json!(id), &json!("supported")));
    assert_eq!(exact["quote"], "Every new employee in Munich gets 30 vacation days per year.");
    let unsupported = &lore["unsupported"][0];
    assert!(stretch(&unsupported["start"], &unsupported["end"]).contains("Elephants"), "{lore:#}");
    assert_eq!((&lore["written_by"], &lore["answered"]), (&json!(MODEL), &json!(true)));
    assert_eq!(lore["timings"]["generation"]["first_token_ms"], 3.5);
    assert_eq!(completion["usage"]["completion_tokens"], CITED.chars().count());

    let strict = with(chat("lore", QUESTION), "lore", json!({"strict": true}));
    for stream in [false, true] {
        let told = world.json("POST", CHAT, &with(strict.clone(), "stream", json!(stream))).await.expect(200);
        assert!(
            told.text().contains("30 vacation days") && !told.text().contains("Elephants"),
            "{}",
            told.text()
        );
    }
    let cut = with(with(chat("lore", QUESTION), "max_tokens", json!(40)), "stream", json!(true));
    let (events, _) = events(&world.json("POST", CHAT, &cut).await.expect(200));
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn the_model_alone_writes_without_documents() {
    let world = echoing().await;
    for name in [MODEL, "tiny/echo"] {
        let completion = world.json("POST", CHAT, &chat(name, "Say this again")).await.expect(200).json();
        assert_eq!(completion["model"], MODEL);
        assert_eq!(completion["choices"][0]["message"]["content"], "Say this again");
        assert_eq!(completion["choices"][0]["finish_reason"], "stop");
        let usage = &completion["usage"];
        assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(31), &json!(14)));
        assert_eq!(
            (&usage["total_tokens"], &usage["prompt_tokens_details"]["cached_tokens"]),
            (&json!(45), &json!(7))
        );
        assert_eq!(completion["lore"]["timings"]["generation"]["tokens_per_second"], 50.0);
        assert_eq!(completion["lore"]["timings"]["generation"]["queue_ms"], 1.0);
    }
    let cut = with(chat(MODEL, "Say this again"), "max_tokens", json!(3));
    let completion = world.json("POST", CHAT, &cut).await.expect(200).json();
    assert_eq!(completion["choices"][0]["finish_reason"], "length");
    assert_eq!(completion["choices"][0]["message"]["content"], "Say");
    let figures = world.get("/metrics").await.text();
    assert!(figures.contains(r#"lore_chats_total{outcome="answered"} "#), "{figures}");
    assert!(figures.contains(r#"lore_queue_waiting{queue="generator"} 0"#), "{figures}");
}

#[tokio::test]
async fn transcript_of_the_models_stream() {
    let world = echoing().await;
    let body = with(chat(MODEL, "Say it again"), "stream", json!(true));
    let body = with(body, "stream_options", json!({"include_usage": true}));
    let reply = world.json("POST", CHAT, &body).await.expect(200);
    let (events, last) = events(&reply);
    assert_eq!((last.as_str(), &events.last().unwrap()["choices"]), ("[DONE]", &json!([])));
    insta::assert_snapshot!(steady(&reply.text()));
}

#[tokio::test]
async fn settings_reach_the_model() {
    let (generator, mut requests) = model(8);
    let world = std::sync::Arc::new(World::with_generator(open_options(), generator).await);
    let body = json!({
        "model": MODEL,
        "messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Why?"}],
        "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "repetition_penalty": 1.1, "seed": -1,
        "logit_bias": {"42": -100}, "max_tokens": 9, "max_completion_tokens": 10, "stop": ["\n", "END"],
        "frequency_penalty": 0, "presence_penalty": 0.0, "n": 1, "response_format": {"type": "text"},
        "reasoning_effort": "high",
    });
    let call = tokio::spawn({
        let world = world.clone();
        async move { world.json("POST", CHAT, &body).await }
    });
    let request = requests.recv().await.unwrap();
    assert_eq!(told(&request), "system: Be brief.\nuser: Why?\nassistant: <think>");
    let sampling = Sampling {
        temperature: 0.5,
        top_k: 40,
        top_p: 0.9,
        min_p: 0.05,
        repetition_penalty: 1.1,
        seed: Some(u64::MAX),
        logit_bias: vec![(42, -100.0)],
    };
    assert_eq!(request.prompt.sampling, sampling);
    assert_eq!(
        (request.prompt.max_tokens, &request.prompt.stop),
        (10, &vec!["\n".to_owned(), "END".to_owned()])
    );
    request.reply.send(GenerateEvent::Done(done(&request, FinishReason::Stop, 0))).await.unwrap();
    let completion = call.await.unwrap().expect(200).json();
    assert_eq!(completion["choices"][0]["message"]["content"], "");
}

#[tokio::test]
async fn what_breaks_off_says_so_in_the_stream() {
    let (generator, mut requests) = model(8);
    let world = std::sync::Arc::new(World::with_generator(open_options(), generator).await);
    let call = |stream: bool| {
        let world = world.clone();
        let body = with(chat(MODEL, "Why?"), "stream", json!(stream));
        tokio::spawn(async move { world.json("POST", CHAT, &body).await })
    };
    let failed = || ModelError::Failed { model: MODEL.into(), message: "a secret at /srv".into() };
    // After a piece, the stream tells it.
    let streaming = call(true);
    let request = requests.recv().await.unwrap();
    request.reply.send(GenerateEvent::Text("Be".into())).await.unwrap();
    request.reply.send(GenerateEvent::Failed(failed())).await.unwrap();
    let reply = streaming.await.unwrap().expect(200);
    assert!(!reply.text().contains("[DONE]"));
    insta::assert_snapshot!(steady(&reply.text()));
    // Before any, the status does.
    for stream in [true, false] {
        let calling = call(stream);
        let request = requests.recv().await.unwrap();
        request.reply.send(GenerateEvent::Failed(failed())).await.unwrap();
        let reply = calling.await.unwrap().expect(500);
        assert_eq!(reply.json()["error"]["type"], "server_error");
        assert!(!reply.text().contains("/srv"), "{}", reply.text());
    }
    // A model that goes away without a word.
    let calling = call(false);
    drop(requests.recv().await.unwrap());
    calling.await.unwrap().expect(500);
    assert_eq!(world.state.questions().running(), 0);
    drop(requests);
    let reply = call(false).await.unwrap().expect(503);
    assert_eq!(
        (reply.code().as_str(), reply.headers.contains_key("retry-after")),
        ("model_unavailable", true)
    );
    let missing = world.get("/readyz").await.expect(503).json();
    assert_eq!(missing["error"]["message"], "not ready: the language model has stopped");
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_chat() {
    let (generator, mut requests) = model(8);
    let world = World::with_generator(open_options(), generator).await;
    for stream in [true, false] {
        let body = with(chat(MODEL, "Why?"), "stream", json!(stream)).to_string();
        let headers = [("content-type", "application/json")];
        let call = tokio::spawn(world.app.clone().oneshot(request("POST", CHAT, &headers, Body::from(body))));
        let running = requests.recv().await.unwrap();
        if stream {
            running.reply.send(GenerateEvent::Text("Be".into())).await.unwrap();
            let mut body = call.await.unwrap().unwrap().into_body().into_data_stream();
            let first = body.next().await.unwrap().unwrap();
            assert!(first.starts_with(b"data: {"));
        } else {
            call.abort();
        }
        tokio::time::timeout(Duration::from_secs(10), running.reply.closed()).await.unwrap();
        while world.state.questions().running() > 0 {
            tokio::task::yield_now().await;
        }
    }
    assert!(world.get("/metrics").await.text().contains(r#"lore_chats_total{outcome="cancelled"} "#));
}

#[tokio::test]
async fn a_slow_model_is_waited_for_with_comments_until_the_deadline() {
    let http = HttpConfig { keep_alive_seconds: 1, answer_seconds: 2, ..HttpConfig::default() };
    let (generator, mut requests) = model(8);
    let world = World::with_generator(Options { http, ..open_options() }, generator).await;
    let body = with(chat(MODEL, "Why?"), "stream", json!(true)).to_string();
    let headers = [("content-type", "application/json")];
    let call = tokio::spawn(world.app.clone().oneshot(request("POST", CHAT, &headers, Body::from(body))));
    let held = requests.recv().await.unwrap();
    let response = call.await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    let text = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.starts_with("data: {") && text.contains(r#""code":"timeout""#), "{text}");
    assert!(held.reply.is_closed());
}
