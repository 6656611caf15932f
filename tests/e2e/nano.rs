//! The model that comes with the binary: it answers by pointing, learns, and is released.

use serde_json::{Value, json};

use crate::house::House;

const LEAVE: &str = "# Leave\n\nA new employee in Munich gets 30 days of vacation a year.\n\n\
    A new employee in Shanghai gets 15 days of vacation a year.\n\n# Lunch\n\nThe canteen opens at noon.\n";
const QUESTION: &str = "How many days of vacation does a new employee in Munich get?";

/// A house with a document and questions about it.
fn school() -> House {
    let house = House::new();
    house.write("documents/leave.md", LEAVE);
    let line = |id: &str, question: &str, answer: Option<(&str, &str)>| {
        let sources: Vec<Value> = answer
            .iter()
            .map(|(_, quote)| json!({"document": "documents/leave.md", "quote": quote}))
            .collect();
        json!({"id": id, "question": question, "answer": answer.map_or("", |(answer, _)| answer), "sources": sources,
            "answerable": answer.is_some(), "kind": "lookup", "lang": "en"})
        .to_string()
    };
    let munich = "A new employee in Munich gets 30 days of vacation a year.";
    let shanghai = "A new employee in Shanghai gets 15 days of vacation a year.";
    let noon = "The canteen opens at noon.";
    let train = [
        line("t1", "How long is the vacation in Munich?", Some(("30 days", munich))),
        line("t2", "Vacation days in Shanghai?", Some(("15 days", shanghai))),
        line("t3", "When does the canteen open?", Some(("noon", noon))),
        line("t4", "When does the canteen close?", None),
    ];
    let test = [
        line("q1", QUESTION, Some(("30 days", munich))),
        line(
            "q2",
            "How many days of vacation does a new employee in Shanghai get?",
            Some(("15 days", shanghai)),
        ),
        line("q3", "What does lunch in the canteen cost?", None),
    ];
    house.write("questions/train.jsonl", &train.join("\n"));
    house.write("questions/test.jsonl", &test.join("\n"));
    house.write(".lore.yaml", "ignore: [\"questions/**\"]\n");
    house
}

#[test]
fn it_points_at_the_sentence_and_the_sentence_is_the_answer() {
    let house = school();
    house.ingest();
    let answer = house.json(&["ask", "--generator", "lore-nano", QUESTION]);
    assert!(answer["model"].as_str().unwrap().starts_with("lore-nano@"), "{answer}");
    assert_eq!(answer["answered"], true, "{answer}");
    let citations = answer["citations"].as_array().unwrap();
    assert!(!citations.is_empty(), "{answer}");
    let said = answer["answer"].as_str().unwrap();
    assert!(said.contains("30 days"), "{said}");
    for citation in citations {
        // Word for word, from the document.
        let quote = citation["quote"].as_str().unwrap();
        assert!(
            LEAVE.contains(quote) && said.contains(quote) && citation["verdict"] == "supported",
            "{citation}"
        );
    }
    let settings = house.json(&["config"]);
    assert_eq!(settings["generator"], "auto", "{settings}");
}

#[test]
fn auto_goes_by_the_last_measurement() {
    let house = school();
    house.ingest();
    let questions = house.docs().join("questions/test.jsonl");
    let settings = house.docs().join("../auto.yaml");
    std::fs::write(&settings, "gate: {min_questions: 3}\n").unwrap();
    let args =
        ["eval", "auto", "--dataset", questions.to_str().unwrap(), "--config", settings.to_str().unwrap()];
    let told = house.fails(&args[..4]);
    assert!(told.contains("gate.min_questions"), "{told}");
    let measured = house.json(&args);
    let (nano, extraction) =
        (&measured["measured"]["nano"]["right"], &measured["measured"]["extraction"]["right"]);
    assert_eq!(measured["measured"]["questions"], 3, "{measured}");
    let better = nano.as_f64() > extraction.as_f64();
    let model = house.json(&["ask", QUESTION])["model"].as_str().unwrap().to_owned();
    assert_eq!(model.starts_with("lore-nano@"), better, "{model}: {measured}");
    // The other way round, it is the other one.
    let path = house.data().join("measured.json");
    let mut turned: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    turned["nano"]["right"] = json!(if better { 0.0 } else { 1.0 });
    turned["extraction"]["right"] = json!(0.5);
    std::fs::write(&path, turned.to_string()).unwrap();
    let model = house.json(&["ask", QUESTION])["model"].as_str().unwrap().to_owned();
    assert_eq!(model.starts_with("lore-nano@"), !better, "{model}");
}

#[test]
fn it_learns_is_released_judged_and_serves() {
    let house = school();
    house.ingest();
    let docs = house.docs();
    let config = format!(
        "model_name_or_path: lore-nano\nstage: sft\nfinetuning_type: lora\nlora_rank: 4\nlora_target: all\n\
         dataset: {docs}/questions/train.jsonl\ndataset_format: questions\nrag_documents: {docs}\n\
         rag_no_answer_share: 0.5\nrag_variants: 2\ncutoff_len: 1024\noutput_dir: {docs}/../nano-lora\n\
         batch_tokens: 1024\nmax_steps: 3\nlearning_rate: 1.0e-3\nreport_to: none\n",
        docs = docs.display()
    );
    let path = docs.join("../lora.yaml");
    std::fs::write(&path, config).unwrap();
    let outcome = house.json(&["train", path.to_str().unwrap(), "--release"]);
    assert_eq!(
        (&outcome["steps"], &outcome["release"]["state"]),
        (&json!(3), &json!("candidate")),
        "{outcome}"
    );
    let questions = docs.join("questions/test.jsonl");
    let settings = docs.join("../gate.yaml");
    std::fs::write(
        &settings,
        "gate: {min_questions: 2}\ngenerator: {model: lore-nano, kv_bytes: 67108864}\n",
    )
    .unwrap();
    let settings = settings.to_str().unwrap();
    let args =
        ["releases", "evaluate", "nano-lora", "--config", settings, "--dataset", questions.to_str().unwrap()];
    let out = house.run(&[&args[..], &["--json"]].concat());
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    let gate = &report["report"]["gate"];
    assert_eq!(out.status.success(), gate["passed"] == true, "{report}");
    assert!(report["report"]["incumbent"]["model"].as_str().unwrap().starts_with("lore-nano@"), "{report}");
    let forced = ["releases", "promote", "nano-lora", "--force", "--reason", "a test", "--config", settings];
    house.ok(&forced);
    let answer = house.json(&["ask", "--config", settings, QUESTION]);
    assert!(answer["model"].as_str().unwrap().starts_with("nano-lora@"), "{answer}");
    let id = outcome["release"]["id"].as_str().unwrap();
    let generation =
        std::fs::read_to_string(house.data().join("releases").join(id).join("generation_config.json"));
    assert!(generation.unwrap().contains("\"quotes\""));
    house.ok(&["releases", "rollback", "--config", settings]);
    let answer = house.json(&["ask", "--config", settings, QUESTION]);
    assert!(answer["model"].as_str().unwrap().starts_with("lore-nano@"), "{answer}");
}
