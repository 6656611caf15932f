//! Trainings over HTTP: who may, what is refused, and how one goes while a trainer has it.

use std::sync::Arc;

use lore_index::{TrainingEnd, TrainingFigure, TrainingProgress};
use lore_server::Options;
use lore_server::trainings::{
    Ask, CheckRequest, ConfigProblem, DeskError, ReleaseLearned, TrainingCheck, TrainingChoices,
    TrainingDesk, TrainingPreview,
};
use serde_json::{Value, json};

use crate::support::{World, keyed_options, open_options};

fn ask<Q: Send + 'static, T: Send + 'static>(
    work: impl Fn(Q) -> Result<T, DeskError> + Send + Sync + 'static,
) -> Ask<Q, T> {
    Arc::new(move |request| {
        let outcome = work(request);
        Box::pin(async move { outcome })
    })
}

/// A desk that takes every configuration but those with `wrong`.
fn with_desk(options: Options) -> Options {
    let check = |request: CheckRequest| {
        let text = request.config.as_str().unwrap_or_default().to_owned();
        let problem =
            ConfigProblem { key: Some("wrong".into()), line: Some(1), message: "wrong is wrong".into() };
        let problems = if text.contains("wrong") { vec![problem] } else { Vec::new() };
        Ok(TrainingCheck { ok: problems.is_empty(), problems, ..TrainingCheck::default() })
    };
    let desk = TrainingDesk {
        check: ask(check),
        preview: ask(|_| Err::<TrainingPreview, _>(DeskError::Busy)),
        choices: ask(|()| {
            Ok(TrainingChoices { start_with: "lore trainer".into(), ..TrainingChoices::default() })
        }),
        learned: ask(|_: String| Ok(Some(ReleaseLearned { pairs: 3, ..ReleaseLearned::default() }))),
        remove: ask(|_: String| Ok(())),
        base: "/srv".into(),
    };
    Options { trainings: Some(desk), ..options }
}

async fn queue(world: &World, name: &str) -> String {
    let body = json!({"name": name, "config": {"stage": "sft"}, "outcome": {"release": true}});
    let made = world.json("POST", "/v1/trainings", &body).await.expect(201).json();
    assert_eq!((&made["state"], &made["config"]), (&json!("queued"), &json!(r#"{"stage":"sft"}"#)));
    made["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn only_administrators_see_and_control_trainings() {
    let world = World::without_engine(with_desk(keyed_options()));
    let (_, reader) = world.key(&["board"], false);
    let none = "01900000-0000-7000-8000-000000000000";
    let calls = [
        ("GET", "/v1/trainings".to_owned()),
        ("POST", "/v1/trainings".to_owned()),
        ("POST", "/v1/trainings/check".to_owned()),
        ("POST", "/v1/trainings/preview".to_owned()),
        ("GET", "/v1/trainings/choices".to_owned()),
        ("GET", format!("/v1/trainings/{none}")),
        ("DELETE", format!("/v1/trainings/{none}")),
        ("GET", format!("/v1/trainings/{none}/metrics")),
        ("POST", format!("/v1/trainings/{none}/pause")),
        ("POST", format!("/v1/trainings/{none}/resume")),
        ("POST", format!("/v1/trainings/{none}/stop")),
        ("GET", "/v1/releases/live/learned".to_owned()),
    ];
    for (method, path) in &calls {
        world.json(method, path, &json!({})).await.expect(401);
        world.json_as(&reader, method, path, &json!({})).await.expect(403);
    }
    let (_, admin) = world.key(&[], true);
    for (method, path) in &calls[5..11] {
        world.json_as(&admin, method, path, &json!({})).await.expect(404);
    }
}

#[tokio::test]
async fn what_cannot_start_is_not_queued() {
    let world = World::without_engine(with_desk(open_options()));
    for (body, status, code) in [
        (json!({"name": "a", "config": "wrong: 1"}), 422, "bad_config"),
        (json!({"name": "a", "config": 3}), 422, "bad_config"),
        (json!({"name": "a", "config": "x".repeat(70_000)}), 422, "bad_config"),
        (json!({"name": "a b", "config": "stage: sft"}), 422, "invalid"),
        (json!({"name": "a", "config": "stage: sft", "release": true}), 400, "unknown_field"),
    ] {
        let refused = world.json("POST", "/v1/trainings", &body).await.expect(status);
        assert_eq!(refused.code(), code, "{}", refused.text());
    }
    assert_eq!(world.get("/v1/trainings").await.expect(200).json()["trainings"], json!([]));
    let checked =
        world.json("POST", "/v1/trainings/check", &json!({"config": "wrong: 1"})).await.expect(200).json();
    assert_eq!((&checked["ok"], &checked["problems"][0]["line"]), (&json!(false), &json!(1)));
    let busy =
        world.json("POST", "/v1/trainings/preview", &json!({"config": "stage: sft"})).await.expect(429);
    assert!(busy.headers.contains_key("retry-after"));
    let many = json!({"config": "stage: sft", "count": 21});
    assert_eq!(world.json("POST", "/v1/trainings/preview", &many).await.expect(422).code(), "bad_count");
    assert_eq!(world.get("/v1/trainings/choices").await.expect(200).json()["start_with"], "lore trainer");
    let without = World::without_engine(open_options());
    let refused = without.get("/v1/trainings/choices").await.expect(503);
    assert_eq!(refused.code(), "no_trainings");
}

#[tokio::test]
async fn a_training_is_watched_paused_and_ended() {
    let world = World::without_engine(with_desk(open_options()));
    let id = queue(&world, "nano").await;
    let path = |what: &str| format!("/v1/trainings/{id}{what}");
    let state = |reply: Value| reply["state"].as_str().unwrap().to_owned();
    let nothing = json!({});
    assert_eq!(world.catalog.claim_training("t").unwrap().unwrap().base, "/srv");
    let figures: Vec<TrainingFigure> = (1..=3)
        .map(|step| TrainingFigure { step, eval: false, figures: json!({"loss": 1.0 / step as f64}) })
        .collect();
    let progress = TrainingProgress { step: 3, steps: 9, ..TrainingProgress::default() };
    world.catalog.report_training(&id, "t", &progress, &figures).unwrap();
    world.catalog.hear_trainer("t").unwrap();
    let list = world.get("/v1/trainings").await.expect(200).json();
    assert_eq!(
        (&list["trainers"][0]["alive"], &list["trainings"][0]["progress"]["steps"]),
        (&json!(true), &json!(9))
    );
    let after = world.get(&path("/metrics?after=1&limit=1")).await.expect(200).json();
    assert_eq!(after["figures"], json!([{"step": 2, "eval": false, "figures": {"loss": 0.5}}]));
    assert_eq!(world.get(&path("/metrics?limit=0")).await.expect(422).code(), "bad_limit");

    let paused = world.json("POST", &path("/pause"), &nothing).await.expect(200).json();
    assert_eq!((&paused["state"], &paused["wanted"]), (&json!("running"), &json!("pause")));
    world.json("DELETE", &path(""), &nothing).await.expect(422);
    world.catalog.end_training(&id, "t", &TrainingEnd::ToldTo).unwrap();
    assert_eq!(state(world.get(&path("")).await.expect(200).json()), "paused");
    assert_eq!(state(world.json("POST", &path("/resume"), &nothing).await.expect(200).json()), "queued");
    assert_eq!(state(world.json("POST", &path("/stop"), &nothing).await.expect(200).json()), "stopped");
    assert_eq!(world.json("POST", &path("/pause"), &nothing).await.expect(422).code(), "invalid");
    world.json("DELETE", &path(""), &nothing).await.expect(204);
    world.get(&path("/metrics")).await.expect(404);
}
