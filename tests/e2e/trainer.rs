//! Trainings over HTTP: a server with its trainer, from a configuration to a release.

use serde_json::{Value, json};

use crate::house::{House, Server};
use crate::tiny;

/// A house with a tiny model and sums to learn, and settings under which a server starts a trainer.
fn school() -> (House, Value) {
    let house = House::new();
    tiny::llama(&house.docs());
    let sum = |n: u32| json!({"instruction": format!("What is {n} and {n}?"), "input": "", "output": format!("{}.", 2 * n)});
    let lines: Vec<String> = (0..24).map(|n| sum(n).to_string()).collect();
    house.write("sums.jsonl", &lines.join("\n"));
    std::fs::write(house.docs().join("../lore.yaml"), "trainer: {start: true}\n").unwrap();
    let config = json!({
        "model_name_or_path": "docs/tiny-llama", "stage": "sft", "finetuning_type": "lora", "lora_rank": 4,
        "dataset": "docs/sums.jsonl", "cutoff_len": 128, "per_device_train_batch_size": 4, "learning_rate": 0.01,
        "num_train_epochs": 2, "val_size": 4, "logging_steps": 2, "save_steps": 5,
    });
    (house, config)
}

fn post(server: &Server, path: &str, body: Value) -> Value {
    let (status, answer) = server.send("POST", path, None, Some(body));
    assert!((200..300).contains(&status), "{path}: {status} {answer}");
    answer
}

fn shown(server: &Server, id: &str) -> Value {
    server.send("GET", &format!("/v1/trainings/{id}"), None, None).1
}

/// Waits until the training `id` is in `state`.
fn until(server: &Server, id: &str, state: &str) -> Value {
    server.wait(state, |server| {
        let now = shown(server, id);
        assert!(now["state"] != "failed" || state == "failed", "{now}");
        now["state"] == state
    });
    shown(server, id)
}

#[test]
fn a_training_is_queued_watched_paused_and_becomes_a_release() {
    let (house, config) = school();
    let server = house.serve();
    let choices = server.send("GET", "/v1/trainings/choices", None, None).1;
    let values = |list: &str| -> Vec<String> {
        choices[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["value"].as_str().unwrap().to_owned())
            .collect()
    };
    assert!(values("bases").contains(&"docs/tiny-llama".to_owned()), "{choices}");
    assert_eq!(values("datasets"), ["docs/sums.jsonl"]);

    // What cannot be is told with its key; what may not be read is refused.
    let with = |key: &str, value: Value| {
        let mut config = config.clone();
        config[key] = value;
        config
    };
    for (key, value) in [
        ("lora_rank", json!("many")),
        ("dataset", json!("/etc/passwd")),
        ("dataset", json!("data/owner.json")),
    ] {
        let checked = post(&server, "/v1/trainings/check", json!({"config": with(key, value)}));
        assert_eq!(
            (&checked["ok"], &checked["problems"][0]["key"]),
            (&json!(false), &json!(key)),
            "{checked}"
        );
    }
    let checked = post(&server, "/v1/trainings/check", json!({"config": config, "whole": true}));
    assert_eq!(
        (&checked["plan"]["steps"], &checked["plan"]["data"]["held_out"]),
        (&json!(10), &json!(4)),
        "{checked}"
    );
    assert!(
        checked["plan"]["memory"]["total"].as_u64() <= checked["outline"]["memory"]["total"].as_u64(),
        "{checked}"
    );
    let preview = post(&server, "/v1/trainings/preview", json!({"config": config, "count": 2}));
    let spans = preview["examples"][1]["spans"].as_array().unwrap();
    assert!(
        spans
            .iter()
            .any(|span| span["learned"] == true && span["text"].as_str().unwrap().contains(".<|im_end|>")),
        "{preview}"
    );

    // A long one is paused and goes on from its checkpoint, then is stopped.
    let mut long = with("max_steps", json!(100_000_000));
    long["lr_scheduler_type"] = json!("constant");
    let id = post(&server, "/v1/trainings", json!({"name": "long", "config": long}))["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let control = |what: &str| post(&server, &format!("/v1/trainings/{id}/{what}"), json!({}));
    server.wait("steps", |server| shown(server, &id)["progress"]["checkpoint"].as_u64() >= Some(5));
    assert_eq!(control("pause")["wanted"], "pause");
    let paused = until(&server, &id, "paused");
    let at = paused["progress"]["checkpoint"].as_u64().unwrap();
    assert_eq!(paused["progress"]["step"].as_u64(), Some(at));
    assert_eq!(control("resume")["state"], "queued");
    server.wait("more steps", |server| shown(server, &id)["progress"]["step"].as_u64() > Some(at));
    assert_eq!(control("stop")["state"], "stopping");
    until(&server, &id, "stopped");
    let run = house.data().join("trainings").join(&id);
    assert!(run.join("run.yaml").is_file());
    assert_eq!(server.send("DELETE", &format!("/v1/trainings/{id}"), None, None).0, 204);
    assert!(!run.exists());

    // A short one ends with a release that bears its name.
    let body = json!({"name": "sums", "config": config, "outcome": {"release": true}});
    let id = post(&server, "/v1/trainings", body)["id"].as_str().unwrap().to_owned();
    let done = until(&server, &id, "succeeded");
    let release = done["release"].as_str().unwrap();
    let (_, details) = server.send("GET", &format!("/v1/releases/{release}"), None, None);
    assert_eq!((&details["name"], &details["state"]), (&json!("sums"), &json!("candidate")), "{details}");
    let (_, learned) = server.send("GET", &format!("/v1/releases/{release}/learned"), None, None);
    assert_eq!((&learned["examples"], &learned["steps"]), (&json!(20), &json!(10)), "{learned}");
    let (_, figures) = server.send("GET", &format!("/v1/trainings/{id}/metrics"), None, None);
    let losses: Vec<f64> =
        figures["figures"].as_array().unwrap().iter().filter_map(|f| f["figures"]["loss"].as_f64()).collect();
    assert!(losses.len() == 10 && losses.last() < losses.first(), "{losses:?}");

    // A trainer ends with its server, and what it had waits for the next.
    let id = post(&server, "/v1/trainings", json!({"name": "left", "config": long}))["id"]
        .as_str()
        .unwrap()
        .to_owned();
    server.wait("steps", |server| shown(server, &id)["progress"]["step"].as_u64() > Some(0));
    assert!(server.stop());
    let server = house.serve();
    server.wait("it goes on", |server| {
        let now = shown(server, &id);
        now["state"] == "running" && now["progress"]["step"].as_u64() > now["progress"]["checkpoint"].as_u64()
    });
    assert!(server.stop());
}
