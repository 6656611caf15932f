//! Releases: from a merged model to live and back, in this process and in a running server.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::house::{House, Server};
use crate::tiny;

const LEAVE: &str = "# Leave\n\nA new employee in Munich gets 30 days of vacation a year.\n\n\
    A new employee in Shanghai gets 15 days of vacation a year.\n";
const QUESTION: &str = "How many days of vacation does a new employee in Munich get?";

/// A house with documents, settings whose generator is a tiny model, and two models to be released.
fn furnished() -> (House, String, [PathBuf; 2]) {
    let house = House::new();
    house.write("leave.md", LEAVE);
    house.write("lunch.md", "# Lunch\n\nThe canteen opens at noon.\n");
    house.ingest();
    let place = house.docs().join("..").canonicalize().unwrap();
    let base = tiny::llama(&place);
    let settings = place.join("generator.yaml");
    let yaml = format!(
        "generator: {{model: \"{}\", kv_bytes: 67108864}}\nanswer: {{generate: {{max_tokens: 24}}}}\n\
         gate: {{min_questions: 2}}\n",
        base.display()
    );
    std::fs::write(&settings, yaml).unwrap();
    let models = [tiny::named(&place, "alpha", 11), tiny::named(&place, "beta", 13)];
    (house, settings.to_str().unwrap().to_owned(), models)
}

fn add(house: &House, model: &std::path::Path) -> Value {
    house.json(&["releases", "add", "--model", model.to_str().unwrap()])
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

#[test]
fn a_merged_model_becomes_a_release_goes_live_and_back() {
    let (house, settings, [alpha, beta]) = furnished();
    let settings = settings.as_str();
    let lunch = house.json(&["documents", "show", "lunch.md"]);
    let run = format!(
        "lore: 0.1.0\nseed: 7\nbase: {{name: tiny-llama, fingerprint: ff}}\n\
         data: {{hash: aa, documents: [\"{}@{}\"]}}\nconfig: {{lora_rank: 8}}\n",
        text(&lunch, "id"),
        lunch["version"]
    );
    std::fs::write(alpha.join("run.yaml"), run).unwrap();

    let made = add(&house, &alpha);
    assert_eq!((text(&made, "state"), text(&made, "name")), ("candidate", "alpha"));
    assert_eq!((&made["documents"], &made["origin"]["seed"]), (&json!(1), &json!(7)));
    let id = text(&made, "id");
    let folder = house.data().join("releases").join(id);
    assert!(folder.join("model.safetensors").is_file() && folder.join("run.yaml").is_file());
    assert_eq!(add(&house, &alpha)["id"], made["id"], "the same files are the same release");

    assert!(house.fails(&["releases", "promote", "alpha"]).contains("was not evaluated"));
    assert!(!house.run(&["releases", "promote", "alpha", "--force"]).status.success());
    let forced = ["releases", "promote", &id[..8], "--force", "--reason", "a test", "--config", settings];
    let live = house.json(&forced);
    let label = format!("alpha@{}", &id[..12]);
    assert_eq!((text(&live, "model"), text(&live["release"], "state")), (label.as_str(), "live"));
    let answer = house.json(&["ask", "--config", settings, QUESTION]);
    assert_eq!((text(&answer, "model"), text(&answer, "release")), (label.as_str(), id));
    // Whoever names a writer gets that one.
    assert_eq!(house.json(&["ask", "--generator", "none", QUESTION])["model"], "extractive");

    house.ok(&["documents", "delete", "lunch.md"]);
    let listed = house.ok(&["releases", "list"]);
    assert!(listed.contains("LEARNED FROM 1 DOCUMENT that was deleted"), "{listed}");
    let shown = house.json(&["releases", "show", "live"]);
    assert_eq!(shown["gone"][0]["state"], "deleted");
    let shown = house.ok(&["releases", "show", "alpha"]);
    for line in ["lunch.md (version 1): deleted", "forced: a test", "lora_rank: 8", "base hash    ff"] {
        assert!(shown.contains(line), "{line} is missing in\n{shown}");
    }

    let beta_id = text(&add(&house, &beta), "id").to_owned();
    house.ok(&["releases", "promote", "beta", "--force", "--reason", "a test", "--config", settings]);
    let said = house.fails(&["releases", "rollback", "alpha"]);
    assert!(said.contains("is not live"), "{said}");
    let back = house.json(&["releases", "rollback", "beta", "--config", settings]);
    assert_eq!(text(&back, "model"), label);
    let back = house.json(&["releases", "rollback", "--config", settings]);
    assert!(back["release"].is_null(), "{back}");
    let answer = house.json(&["ask", "--config", settings, QUESTION]);
    assert!(text(&answer, "model").starts_with("tiny-llama@") && answer["release"].is_null(), "{answer}");
    assert!(house.fails(&["releases", "rollback"]).contains("no release is live"));

    let dry = house.json(&["releases", "prune", "--keep", "0", "--dry-run"]);
    assert_eq!(dry["removed"].as_array().unwrap().len(), 2);
    assert!(folder.is_dir());
    let pruned = house.json(&["releases", "prune", "--keep", "1"]);
    assert_eq!(pruned["removed"].as_array().unwrap().len(), 1, "{pruned}");
    assert_eq!(pruned["bytes"], pruned["removed"][0]["bytes"]);
    let gone = text(&pruned["removed"][0], "id").to_owned();
    assert!(gone == beta_id || gone == id);
    assert!(!house.data().join("releases").join(&gone).exists());
    let said = house.fails(&["releases", "promote", &gone, "--force", "--reason", "x"]);
    assert!(said.contains("was removed"), "{said}");
}

#[test]
fn a_release_is_proven_against_what_is_live_by_the_same_questions() {
    let (house, settings, [alpha, _]) = furnished();
    add(&house, &alpha);
    let place = house.docs().join("..").canonicalize().unwrap();
    let questions = place.join("held-out.jsonl");
    let line = |id: &str, question: &str, answer: Option<&str>| {
        let sources: Vec<Value> =
            answer.iter().map(|quote| json!({"document": "leave.md", "quote": quote})).collect();
        json!({"id": id, "question": question, "answer": answer.unwrap_or_default(), "sources": sources,
            "answerable": answer.is_some(), "kind": "lookup", "lang": "en"})
        .to_string()
    };
    let lines = [
        line("q1", QUESTION, Some("30 days")),
        line("q2", "How many days of vacation does a new employee in Shanghai get?", Some("15 days")),
        line("q3", "Who won the championship of chess?", None),
    ];
    std::fs::write(&questions, lines.join("\n")).unwrap();
    let docs = house.docs();
    let args = [
        "releases",
        "evaluate",
        "alpha",
        "--dataset",
        questions.to_str().unwrap(),
        "--documents",
        docs.to_str().unwrap(),
        "--config",
        settings.as_str(),
    ];
    // Nonsense is not better than nonsense.
    let out = house.run(&[&args[..], &["--json"]].concat());
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{said}");
    let found: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
    assert_eq!(
        (text(&found["release"], "state"), &found["report"]["gate"]["questions"]),
        ("rejected", &json!(3))
    );
    assert!(text(&found["release"]["verdict"], "against").starts_with("tiny-llama@"), "{found}");
    let said = house.fails(&["releases", "promote", "alpha"]);
    assert!(said.contains("did not pass its evaluation"), "{said}");
    let shown = house.json(&["releases", "show", "alpha"]);
    assert_eq!(shown["report"]["dataset"], "held-out.jsonl");
    assert!(!shown.to_string().contains("30 days of vacation a year"), "no text of documents is kept");
}

#[test]
fn a_running_server_changes_its_model_while_people_ask() {
    let (house, settings, models) = furnished();
    let settings = settings.as_str();
    let ids = models.each_ref().map(|model| text(&add(&house, model), "id").to_owned());
    let server = house.start(&["serve", "--config", settings]);
    server.wait("readiness", Server::is_ready);
    assert!(text(&server.ask(None, QUESTION), "model").starts_with("tiny-llama@"));

    let promote = ["bench", "ask", "--url", &server.url, "--users", "4", "--seconds", "1", "--promote"];
    let both = format!("{},beta", &ids[0][..8]);
    let report = house.json(&[&promote[..], &[&both, "--times", "2", "--force"]].concat());
    assert_eq!((&report["promotes"], &report["rollbacks"]), (&json!(2), &json!(2)), "{report}");
    assert_eq!((&report["failed"], &report["mixed"]), (&json!(0), &json!(0)), "{report}");
    assert_eq!(report["by_model"].as_object().unwrap().len(), 3, "{report}");
    let said = house.fails(&[&promote[..], &["nothing", "--times", "1"]].concat());
    assert!(said.contains("there is no release nothing"), "{said}");

    // The old engines have ended.
    let engines = |server: &Server| {
        let figures = reqwest::blocking::get(format!("{}/metrics", server.url)).unwrap().text().unwrap();
        let line = figures.lines().find_map(|line| line.strip_prefix("lore_generate_engines "));
        line.unwrap().parse::<f64>().unwrap()
    };
    server.wait("the end of the old engines", |server| engines(server) == 1.0);

    // A command beside the server goes through it.
    house.ok(&["releases", "promote", "alpha", "--force", "--reason", "a test"]);
    let label = format!("alpha@{}", &ids[0][..12]);
    assert_eq!(text(&server.ask(None, QUESTION), "model"), label);
    house.ok(&["releases", "promote", "beta", "--force", "--reason", "a test"]);
    house.ok(&["releases", "rollback"]);
    assert_eq!(text(&server.ask(None, QUESTION), "model"), label);
    let (_, list) = server.send("GET", "/v1/releases", None, None);
    assert_eq!(text(&list, "model"), label);
    server.wait("the end of the old engines", |server| engines(server) == 1.0);
    let pruned = house.json(&["releases", "prune", "--keep", "0"]);
    assert_eq!(text(&pruned["removed"][0], "id"), ids[1], "{pruned}");
    assert!(server.stop());

    // It begins with the live release; where that is damaged, it says so, and the model of the settings writes.
    let server = house.start(&["serve", "--config", settings]);
    server.wait("readiness", Server::is_ready);
    assert_eq!(text(&server.ask(None, QUESTION), "model"), label);
    assert!(server.stop());
    let weights = house.data().join("releases").join(&ids[0]).join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::remove_file(&weights).unwrap();
    std::fs::write(&weights, bytes).unwrap();
    let server = house.start(&["serve", "--config", settings]);
    server.wait("readiness", Server::is_ready);
    assert!(text(&server.ask(None, QUESTION), "model").starts_with("tiny-llama@"));
    let (_, ready) = server.send("GET", "/readyz", None, None);
    assert!(ready["troubles"].to_string().contains(&label), "{ready}");
    let said = house.fails(&["releases", "promote", "alpha"]);
    assert!(said.contains("are not what they were"), "{said}");
    assert!(server.stop());
}
