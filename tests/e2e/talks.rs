//! Conversations and many people at once.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::house::House;
use crate::tiny;

const LEAVE: &str = "# Leave\n\nA new employee in Munich gets 30 days of vacation a year.\n\n\
    A new employee in Shanghai gets 15 days of vacation a year.\n";
const QUESTION: &str = "How many days of vacation does a new employee in Munich get?";

/// Runs `lore chat --json` with `args` on these lines; each answer, and what it said beside.
fn chat(house: &House, args: &[&str], lines: &str) -> (Vec<Value>, String) {
    let mut child = house
        .lore()
        .args(["chat", "--json"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(out.status.success(), "{said}");
    let answers = String::from_utf8(out.stdout).unwrap();
    (answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), said)
}

#[test]
fn a_chat_is_kept_and_gone_on_with_here_and_through_a_server() {
    let house = House::new();
    house.write("leave.md", LEAVE);
    house.ingest();
    let (answers, said) =
        chat(&house, &[], &format!("{QUESTION}\n/nonsense\n\nAnd in Shanghai?\n/quit\nnever asked\n"));
    assert_eq!(answers.len(), 2, "{answers:?}");
    let text = |answer: &Value| answer["answer"].as_str().unwrap().to_owned();
    assert!(text(&answers[0]).contains("30 days") && text(&answers[1]).contains("15 days"), "{answers:?}");
    let id = answers[0]["conversation"].as_str().unwrap();
    assert_eq!(answers[1]["conversation"], *id);
    assert!(said.contains("/nonsense is no command") && said.contains(id), "{said}");

    // Through a server the same conversation goes on; its input may simply end.
    let server = house.serve();
    let (answers, said) = chat(&house, &["--conversation", id], "And in Munich?\n/new\nAnd in Munich?");
    assert!(said.contains(QUESTION) && said.contains("2 turns"), "{said}");
    assert!(text(&answers[0]).contains("30 days"), "{answers:?}");
    assert_eq!(answers[0]["conversation"], *id);
    assert_ne!(answers[1]["conversation"], *id);
    let (status, shown) = server.send("GET", &format!("/v1/conversations/{id}"), None, None);
    assert_eq!((status, shown["turns"].as_u64()), (200, Some(3)), "{shown}");

    let asked = house.json(&["ask", "--conversation", id, "And in Shanghai?"]);
    assert!(text(&asked).contains("15 days"), "{asked}");
    let wrong = "0190b3a0-0000-7000-8000-000000000000";
    assert!(house.fails(&["chat", "--conversation", wrong]).contains("no conversation"), "chat");
    assert!(house.fails(&["ask", "--conversation", wrong, "x"]).contains("no such conversation"), "ask");
    assert!(server.stop());
}

#[test]
fn many_people_ask_a_server_at_once() {
    let house = House::new();
    house.write("leave.md", LEAVE);
    house.ingest();
    let server = house.serve();
    let report = house.json(&["bench", "ask", "--url", &server.url, "--users", "3", "--seconds", "1"]);
    assert_eq!((report["users"].as_u64(), report["errors"].as_u64()), (Some(3), Some(0)), "{report}");
    assert!(report["answers"].as_u64().unwrap() >= 3, "{report}");
    assert!(report["ttft_ms_p50"].as_f64().unwrap() <= report["total_ms_max"].as_f64().unwrap(), "{report}");
    if cfg!(target_os = "linux") {
        assert!(report["rss_end_mb"].as_f64().unwrap() > 1.0, "{report}");
    }
    assert!(house.fails(&["bench", "ask", "--url", "http://192.0.2.1:1"]).contains("--allow-remote"));
    assert!(server.stop());
}

#[test]
fn a_language_model_writes_here_and_through_a_server() {
    let house = House::new();
    house.write("leave.md", LEAVE);
    house.ingest();
    let model = tiny::llama(&house.docs().join("..")).canonicalize().unwrap();
    let model = model.to_str().unwrap();
    let settings = house.data().join("../generator.yaml");
    let yaml = format!(
        "generator: {{model: \"{model}\", kv_bytes: 67108864}}\nanswer: {{generate: {{max_tokens: 24}}}}\n"
    );
    std::fs::write(&settings, yaml).unwrap();
    let settings = settings.to_str().unwrap();

    let answer = house.json(&["ask", "--config", settings, QUESTION]);
    // Whoever asks need not know where it lies.
    assert!(answer["model"].as_str().unwrap().starts_with("tiny-llama@"), "{answer}");
    assert!(answer["usage"]["completion_tokens"].as_u64().unwrap() > 0, "{answer}");
    let extractive = house.json(&["ask", "--config", settings, "--generator", "none", QUESTION]);
    assert_eq!(extractive["model"], "extractive");

    let server = house.start(&["serve", "--config", settings]);
    server.wait("readiness", crate::house::Server::is_ready);
    let report = house.json(&["bench", "ask", "--url", &server.url, "--users", "4", "--seconds", "1"]);
    assert_eq!(report["errors"].as_u64(), Some(0), "{report}");
    assert!(report["tokens_per_s"].as_f64().unwrap() > 0.0, "{report}");
    let (status, models) = server.send("GET", "/v1/models", None, None);
    assert!(status == 200 && models.to_string().contains("tiny-llama"), "{models}");
    assert!(server.stop());
}

#[test]
fn a_language_model_that_is_not_there_is_told_with_the_next_step() {
    let house = House::new();
    house.write("leave.md", LEAVE);
    house.ingest();
    let said = house.fails(&["ask", "--offline", "--generator", "acme/tiny:tiny.gguf", QUESTION]);
    assert!(said.contains("`lore models pull acme/tiny:tiny.gguf`"), "{said}");
    let said = house.fails(&["ask", "--generator", "a/b/c", QUESTION]);
    assert!(said.contains("--generator"), "{said}");
    let said = house.fails(&["ask", "--generator", "./nothing", QUESTION]);
    assert!(said.contains("there is no model at /") && said.contains("/nothing;"), "{said}");
}

#[test]
fn a_language_model_that_cannot_answer_is_refused_before_it_is_asked() {
    let house = House::new();
    house.write("leave.md", LEAVE);
    house.ingest();
    let model = tiny::llama(&house.docs().join("..")).canonicalize().unwrap();
    let ask = |kv_bytes: u64| {
        let settings = house.data().join("../generator.yaml");
        let yaml = format!("generator: {{model: \"{}\", kv_bytes: {kv_bytes}}}\n", model.display());
        std::fs::write(&settings, yaml).unwrap();
        let said = house.fails(&["ask", "--config", settings.to_str().unwrap(), QUESTION]);
        // Said once.
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    };
    let said = ask(100_000);
    assert!(said.contains("generator.kv_bytes is 100000") && said.contains("at least"), "{said}");
    if cfg!(target_os = "linux") {
        assert!(ask(1 << 60).contains("bytes of memory; set it lower"), "memory");
    }
    std::fs::write(model.join("tokenizer_config.json"), "{\"eos_token\": \"<|im_end|>\"}").unwrap();
    assert!(ask(67_108_864).contains("generator.chat_template"), "template");

    let bench = |args: &[&str]| {
        house.fails(&[&["bench", "generate", "--model", model.to_str().unwrap()], args].concat())
    };
    assert!(bench(&["--prompt-tokens", "9000"]).contains("the model's context is 8192"), "context");
    assert!(bench(&["--kv-mb", "0"]).contains("--kv-mb"), "memory");
    assert!(bench(&["--concurrency", "99999999999"]).contains("--concurrency"), "texts");
    let said = house.fails(&["bench", "generate", "--model", "acme/tiny"]);
    assert!(said.contains("there is no model at acme/tiny") && said.contains("lore models pull"), "{said}");
}

#[test]
fn a_load_test_says_at_once_that_its_key_is_wrong() {
    let house = House::new();
    let settings = house.data().join("../keys.yaml");
    std::fs::write(&settings, "http: {require_keys: true}\n").unwrap();
    let server = house.start(&["serve", "--config", settings.to_str().unwrap()]);
    server.wait("readiness", crate::house::Server::is_ready);
    let said = house.fails(&["bench", "ask", "--url", &server.url]);
    assert!(said.contains("an API key is needed"), "{said}");
    let said = house.fails(&["bench", "ask", "--url", &server.url, "--key", "lore_wrong"]);
    assert!(said.contains("the key is unknown"), "{said}");
    assert!(server.stop());
    assert!(house.fails(&["bench", "ask", "--url", "nonsense"]).contains("http://"), "address");
}
