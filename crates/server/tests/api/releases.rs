//! Releases over HTTP: who may, what is refused, and models that take each other's place while answers are written.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use jiff::Timestamp;
use lore_core::{OpenError, ReleaseName, Serving};
use lore_index::{NewRelease, ReleaseOrigin, ReleaseVerdict};
use lore_server::Options;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::model::named;
use crate::openai_chat::{CHAT, QUESTION, chat, with};
use crate::support::{World, keyed_options, open_options};
use crate::zoo::{Zoo, names};

/// Digits of a release's id.
fn id(first: &str) -> String {
    format!("{first:0<64}")
}

/// Takes a release in that passed its evaluation, or was not evaluated.
fn add(world: &World, name: &str, first: &str, proven: bool) -> String {
    let new = NewRelease {
        id: id(first),
        name: name.into(),
        bytes: 7,
        origin: ReleaseOrigin::default(),
        sources: Vec::new(),
    };
    let release = world.catalog.add_release(&new).unwrap();
    if proven {
        let verdict = ReleaseVerdict {
            passed: true,
            reasons: Vec::new(),
            against: "base@test".into(),
            at: Timestamp::now(),
        };
        world.catalog.judge_release(&release.id, &verdict, &json!({"questions": 3})).unwrap();
    }
    release.id
}

/// Has a release pass against what is live now.
fn prove(world: &World, wanted: &str) {
    let live = world.catalog.live_release().unwrap();
    let verdict = ReleaseVerdict {
        passed: true,
        reasons: Vec::new(),
        against: live.map_or_else(|| "base@test".to_owned(), |live| live.label()),
        at: Timestamp::now(),
    };
    let id = world.catalog.release(wanted).unwrap().release.id;
    world.catalog.judge_release(&id, &verdict, &json!({"questions": 3})).unwrap();
}

async fn promote(world: &World, wanted: &str) -> Value {
    prove(world, wanted);
    world.json("POST", &format!("/v1/releases/{wanted}/promote"), &json!({})).await.expect(200).json()
}

async fn rollback(world: &World) -> Value {
    world.json("POST", "/v1/releases/rollback", &json!({})).await.expect(200).json()
}

#[tokio::test]
async fn only_administrators_see_and_move_releases() {
    let zoo = Zoo::default();
    let world = zoo.world(keyed_options()).await;
    let release = add(&world, "alpha", "aaaa1", true);
    let (_, reader) = world.key(&["board"], false);
    let (key, admin) = world.key(&[], true);
    let moves = [
        ("GET", "/v1/releases".to_owned()),
        ("GET", format!("/v1/releases/{release}")),
        ("POST", format!("/v1/releases/{release}/promote")),
        ("POST", format!("/v1/releases/{release}/rollback")),
        ("POST", "/v1/releases/rollback".to_owned()),
    ];
    for (method, path) in &moves {
        world.json(method, path, &json!({})).await.expect(401);
        world.json_as(&reader, method, path, &json!({})).await.expect(403);
    }
    assert_eq!(zoo.opened.load(Ordering::Relaxed), 0);
    for (method, path) in &moves[..4] {
        world.json_as(&admin, method, path, &json!({})).await.expect(200);
    }
    let shown = world.get_as(&admin, &format!("/v1/releases/{release}")).await.expect(200).json();
    assert_eq!((&shown["state"], &shown["report"]["questions"]), (&json!("retired"), &json!(3)));
    assert_eq!(
        (&shown["promotions"][0]["by"], &shown["promotions"][0]["undone_by"]),
        (&json!(key), &json!(key))
    );
}

#[test]
fn releases_are_described() {
    let document = serde_json::to_value(lore_server::openapi::document()).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let paths: Value = paths
        .filter(|(path, _)| path.starts_with("/v1/releases"))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let schemas = &document["components"]["schemas"];
    let names = [
        "PromoteRequest",
        "Switched",
        "ReleaseList",
        "Release",
        "ReleaseDetails",
        "ReleaseState",
        "SourceState",
    ];
    let schemas: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), schemas[*name].clone())).collect();
    insta::assert_json_snapshot!("description_of_releases", json!({"paths": paths, "schemas": schemas}));
}

#[tokio::test]
async fn what_is_not_proven_goes_live_only_by_force_with_a_reason() {
    let zoo = Zoo::default();
    let world = zoo.world(open_options()).await;
    let release = add(&world, "alpha", "aaaa1", false);
    let path = format!("/v1/releases/{release}/promote");
    for (body, status, code) in [
        (json!({}), 409, "unproven"),
        (json!({"force": true}), 422, "bad_reason"),
        (json!({"force": true, "reason": " "}), 422, "bad_reason"),
        (json!({"force": true, "reason": "x".repeat(501)}), 422, "bad_reason"),
        (json!({"reason": "because"}), 422, "bad_reason"),
        (json!({"forse": true}), 400, "unknown_field"),
    ] {
        assert_eq!(world.json("POST", &path, &body).await.expect(status).code(), code, "{body}");
    }
    assert_eq!(zoo.opened.load(Ordering::Relaxed), 0, "nothing was loaded for what is refused");
    let body = json!({"force": true, "reason": "for the fair"});
    let live = world.json("POST", &path, &body).await.expect(200).json();
    assert_eq!(live["release"]["forced"], "for the fair");
    assert_eq!((&live["model"], &live["before"]), (&json!("alpha@aaaa10000000"), &json!("base@test")));

    add(&world, "alpha", "aaaa2", true);
    for (wanted, status, code) in
        [("nothing", 404, "not_found"), ("aaaa", 409, "ambiguous"), ("aaaa2", 409, "not_live")]
    {
        let path = format!("/v1/releases/{wanted}/rollback");
        assert_eq!(world.json("POST", &path, &json!({})).await.expect(status).code(), code, "{wanted}");
    }
    // Without a body, too.
    let bare = crate::support::request("POST", "/v1/releases/live/rollback", &[], axum::body::Body::empty());
    let back = world.send(bare).await.expect(200).json();
    assert_eq!((&back["release"], &back["model"]), (&Value::Null, &json!("base@test")));
    let again = world.json("POST", "/v1/releases/rollback", &json!({})).await.expect(409);
    assert_eq!(again.code(), "nothing_live");
}

#[tokio::test]
async fn a_verdict_counts_against_what_writes_alone() {
    let zoo = Zoo::default();
    let world = zoo.world(open_options()).await;
    let (alpha, beta) = (add(&world, "alpha", "aaaa1", false), add(&world, "beta", "bbbb2", true));
    let verdict = ReleaseVerdict {
        passed: true,
        reasons: Vec::new(),
        against: "extractive".into(),
        at: Timestamp::now(),
    };
    world.catalog.judge_release(&alpha, &verdict, &json!({})).unwrap();
    let refused = world.json("POST", &format!("/v1/releases/{alpha}/promote"), &json!({})).await.expect(409);
    assert!(refused.text().contains("the model of the settings writes"), "{}", refused.text());
    promote(&world, "alpha").await;
    // Beta was proven against the model of the settings.
    let refused = world.json("POST", &format!("/v1/releases/{beta}/promote"), &json!({})).await.expect(409);
    assert_eq!(refused.code(), "unproven");
    assert!(refused.text().contains("alpha@aaaa10000000 is live"), "{}", refused.text());
    assert_eq!(zoo.opened.load(Ordering::Relaxed), 1, "nothing was loaded for what is refused");
}

#[tokio::test]
async fn promoting_the_live_release_starts_its_engine_again_where_it_died() {
    let zoo = Zoo::default();
    let world = zoo.world(open_options()).await;
    let release = add(&world, "alpha", "aaaa1", true);
    promote(&world, "alpha").await;
    promote(&world, "alpha").await;
    assert_eq!(zoo.opened.load(Ordering::Relaxed), 1, "it runs");
    // An engine that nobody hears any more.
    let name = ReleaseName { id: release, name: "alpha".into() };
    let (generator, requests) = named(&name.label(), 1);
    drop(requests);
    let dead = Serving { release: Some(name), bytes: 0, ..generator.into() };
    world.state.engine().unwrap().answerer.live().swap(Some(dead));
    promote(&world, "alpha").await;
    assert_eq!(zoo.opened.load(Ordering::Relaxed), 2);
    let answer = world.json("POST", "/v1/ask", &json!({"question": QUESTION})).await.expect(200).json();
    assert_eq!(answer["model"], "alpha@aaaa10000000");
}

#[tokio::test]
async fn whoever_answers_is_named_everywhere() {
    let zoo = Zoo::default();
    let world = zoo.world(open_options()).await;
    let release = add(&world, "alpha", "aaaa1", true);
    let models = world.get("/v1/models").await.expect(200).text();
    assert!(models.contains("base@test") && !models.contains("release"), "{models}");
    promote(&world, "alpha").await;
    let label = "alpha@aaaa10000000";
    let answer = world.json("POST", "/v1/ask", &json!({"question": QUESTION})).await.expect(200).json();
    assert_eq!((&answer["model"], &answer["release"]), (&json!(label), &json!(release)));
    assert_eq!(names(answer["answer"].as_str().unwrap()), BTreeSet::from(["alpha".to_owned()]));
    let stream = with(json!({"question": QUESTION}), "stream", json!(true));
    let streamed = world.json("POST", "/v1/ask", &stream).await.expect(200).text();
    assert!(streamed.contains(&format!("\"model\":\"{label}\"")), "{streamed}");
    for model in ["lore", "alpha", label] {
        let reply = world.json("POST", CHAT, &chat(model, QUESTION)).await.expect(200).json();
        let wrote = &reply["lore"];
        assert_eq!((&wrote["written_by"], &wrote["release"]), (&json!(label), &json!(release)), "{model}");
    }
    let models = world.get("/v1/models").await.expect(200).json();
    assert_eq!(models["data"][1]["id"], label);
    assert_eq!(models["data"][1]["lore"]["release"], json!(release));
    let listed = world.get("/v1/releases").await.expect(200).json();
    assert_eq!((&listed["model"], &listed["releases"][0]["state"]), (&json!(label), &json!("live")));
    let figures = world.get("/metrics").await.expect(200).text();
    let line = format!("lore_model_info{{model=\"{label}\",release=\"{release}\"}} ");
    assert!(
        figures.contains(&line) && figures.contains("lore_model_switches_total{outcome=\"done\"}"),
        "{figures}"
    );
}

#[tokio::test]
async fn a_model_that_cannot_take_over_changes_nothing() {
    let zoo = Zoo::default();
    let world = zoo.world(open_options()).await;
    let release = add(&world, "alpha", "aaaa1", true);
    let path = format!("/v1/releases/{release}/promote");
    let fail = |error| *zoo.refusal.lock().unwrap() = Some(error);
    fail(OpenError::NoRoom { needed: 5_000, available: 4_000 });
    let refused = world.json("POST", &path, &json!({})).await.expect(503);
    assert_eq!(refused.code(), "no_memory");
    for figure in ["5000", "4000", "about 0 bytes"] {
        assert!(refused.text().contains(figure), "{}", refused.text());
    }
    fail(OpenError::Failed("/secret/place: input/output error".into()));
    let refused = world.json("POST", &path, &json!({})).await.expect(500);
    assert!(!refused.text().contains("/secret"), "{}", refused.text());
    assert_eq!(world.catalog.release(&release).unwrap().release.state.name(), "candidate");

    fail(OpenError::Damaged("they hash to 0".into()));
    assert_eq!(world.json("POST", &path, &json!({})).await.expect(422).code(), "unfit");
    let failed = world.catalog.release(&release).unwrap().release;
    assert_eq!(failed.state.name(), "failed");
    assert!(failed.reason.unwrap().contains("they hash to 0"));
    assert!(world.catalog.live_release().unwrap().is_none());
    let answer = world.json("POST", "/v1/ask", &json!({"question": QUESTION})).await.expect(200).json();
    assert_eq!(answer["model"], "base@test");
    assert_eq!(zoo.running(), 1);
}

#[tokio::test]
async fn a_server_that_cannot_load_models_and_one_that_is_not_ready_say_so() {
    let (generator, _requests) = named("base@test", 1);
    let world = World::with_generator(open_options(), generator).await;
    let release = add(&world, "alpha", "aaaa1", true);
    let path = format!("/v1/releases/{release}/promote");
    assert_eq!(world.json("POST", &path, &json!({})).await.expect(503).code(), "no_switch");
    let world = World::without_engine(open_options());
    assert_eq!(world.json("POST", &path, &json!({})).await.expect(503).code(), "not_ready");
    world.get("/v1/releases").await.expect(200);
}

#[tokio::test]
async fn one_switch_at_a_time_and_a_client_that_goes_away_does_not_break_it_off() {
    let gate = Arc::new(Semaphore::new(0));
    let zoo = Zoo { gate: Some(gate.clone()), ..Zoo::default() };
    let world = Arc::new(zoo.world(open_options()).await);
    let (a, b) = (add(&world, "alpha", "aaaa1", true), add(&world, "beta", "bbbb2", true));
    let first = tokio::spawn({
        let (world, path) = (world.clone(), format!("/v1/releases/{a}/promote"));
        async move { world.json("POST", &path, &json!({})).await }
    });
    while zoo.opened.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    for path in [format!("/v1/releases/{b}/promote"), "/v1/releases/rollback".to_owned()] {
        assert_eq!(world.json("POST", &path, &json!({})).await.expect(409).code(), "switching");
    }
    first.abort();
    gate.add_permits(1);
    while world.catalog.live_release().unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    prove(&world, "beta");
    // The first lets go of the switch a moment after the catalog knows.
    loop {
        let reply = world.json("POST", &format!("/v1/releases/{b}/promote"), &json!({})).await;
        if reply.status == 200 {
            assert_eq!(reply.json()["before"], "alpha@aaaa10000000");
            break;
        }
        assert_eq!(reply.code(), "switching");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn models_take_each_others_place_while_many_people_ask_and_no_answer_fails_or_mixes() {
    let zoo = Zoo::default();
    let world = Arc::new(zoo.world(Options::clone(&open_options())).await);
    add(&world, "alpha", "aaaa1", true);
    add(&world, "beta", "bbbb2", true);
    let (stop, overtaken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut users = tokio::task::JoinSet::new();
    for user in 0..16 {
        let (world, stop, overtaken) = (world.clone(), stop.clone(), overtaken.clone());
        users.spawn(async move {
            let history = json!([{"question": QUESTION, "answer": "30 days."}]);
            let follow_up =
                json!({"question": "And how many in Munich?", "history": history, "stream": true});
            let (mut seen, mut asked) = (BTreeSet::new(), 0);
            while !stop.load(Ordering::Relaxed) || asked < 3 {
                asked += 1;
                let writer = match user % 4 {
                    // A follow-up question is rewritten and answered by one model.
                    0 | 1 => {
                        let text = world.json("POST", "/v1/ask", &follow_up).await.expect(200).text();
                        let last = text.lines().rev().find_map(|line| line.strip_prefix("data: ")).unwrap();
                        let last: Value = serde_json::from_str(last).unwrap();
                        assert_eq!(last["type"], "done", "{text}");
                        let wrote = names(last["answer"].as_str().unwrap());
                        let model = last["model"].as_str().unwrap().split('@').next().unwrap().to_owned();
                        let rewritten = last["rewritten"].as_str().unwrap();
                        assert!(rewritten.ends_with(&format!("{model}?")), "{last}");
                        assert_eq!(wrote, BTreeSet::from([model.clone()]), "{last}");
                        let tokens: String = text
                            .lines()
                            .filter_map(|line| {
                                serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok()
                            })
                            .filter_map(|event| event["text"].as_str().map(str::to_owned))
                            .collect();
                        assert_eq!(tokens, last["answer"].as_str().unwrap());
                        model
                    }
                    2 => {
                        let reply =
                            world.json("POST", CHAT, &chat("lore", QUESTION)).await.expect(200).json();
                        let text = reply["choices"][0]["message"]["content"].as_str().unwrap();
                        let model = reply["lore"]["written_by"].as_str().unwrap().split('@').next().unwrap();
                        assert_eq!(names(text), BTreeSet::from([model.to_owned()]), "{reply}");
                        model.to_owned()
                    }
                    // Without documents, by the name that the list of models tells; it may have gone meanwhile.
                    _ => {
                        let models = world.get("/v1/models").await.expect(200).json();
                        let id = models["data"][1]["id"].as_str().unwrap().to_owned();
                        let reply = world.json("POST", CHAT, &chat(&id, "Why?")).await;
                        if reply.status == 404 {
                            continue;
                        }
                        let reply = reply.expect(200).json();
                        let text = reply["choices"][0]["message"]["content"].as_str().unwrap();
                        let name = id.split('@').next().unwrap().to_owned();
                        assert_eq!(names(text), BTreeSet::from([name.clone()]), "{reply}");
                        name
                    }
                };
                let now = world.state.engine().unwrap().writer().unwrap().generator.info().id.clone();
                if now.split('@').next().unwrap() != writer {
                    overtaken.fetch_add(1, Ordering::Relaxed);
                }
                seen.insert(writer);
            }
            seen
        });
    }
    let pause = || async {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    };
    for _ in 0..5 {
        pause().await;
        assert_eq!(promote(&world, "alpha").await["model"], "alpha@aaaa10000000");
        pause().await;
        assert_eq!(promote(&world, "beta").await["before"], "alpha@aaaa10000000");
        pause().await;
        assert_eq!(rollback(&world).await["model"], "alpha@aaaa10000000");
        pause().await;
        assert_eq!(rollback(&world).await["model"], "base@test");
    }
    stop.store(true, Ordering::Relaxed);
    let mut seen = BTreeSet::new();
    while let Some(user) = users.join_next().await {
        seen.extend(user.unwrap());
    }
    assert_eq!(seen, ["alpha", "base", "beta"].map(str::to_owned).into());
    assert!(overtaken.load(Ordering::Relaxed) > 0, "no answer was written across a switch");
    // Every engine but the last has ended with its last lease.
    while zoo.running() > 1 {
        tokio::task::yield_now().await;
    }
    let kept = world.state.engine().unwrap().writer().unwrap();
    assert_eq!(Arc::strong_count(&kept), 2, "the one in use, and this one");
}
