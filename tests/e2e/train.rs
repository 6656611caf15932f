//! Training from outside: a plan, a run with its files, a stop, and what goes on from it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::house::House;
use crate::tiny;

/// A house with a tiny model, sums to learn, and a configuration with LLaMA-Factory's keys.
fn school() -> (House, PathBuf) {
    let house = House::new();
    let model = tiny::llama(&house.docs());
    let sum = |n: u32| json!({"instruction": format!("What is {n} and {n}?"), "input": "", "output": format!("{}.", 2 * n)});
    let lines: Vec<String> = (0..24).map(|n| sum(n).to_string()).collect();
    house.write("sums.jsonl", &lines.join("\n"));
    let run = house.docs().join("run");
    let config = format!(
        "model_name_or_path: {}\ntrust_remote_code: true\nstage: sft\nfinetuning_type: lora\nlora_rank: 4\n\
         lora_target: all\ndataset: {}\noutput_dir: {}\ncutoff_len: 128\nper_device_train_batch_size: 4\n\
         learning_rate: 1.0e-2\nnum_train_epochs: 2\nval_size: 4\nlogging_steps: 2\nsave_steps: 5\nplot_loss: true\n",
        model.display(),
        house.docs().join("sums.jsonl").display(),
        run.display()
    );
    house.write("train.yaml", &config);
    (house, run)
}

fn config(house: &House) -> String {
    house.docs().join("train.yaml").display().to_string()
}

#[test]
fn a_model_learns_what_a_configuration_says() {
    let (house, run) = school();
    let config = config(&house);
    let plan = house.json(&["train", &config, "--dry-run"]);
    assert_eq!((plan["steps"].as_u64(), plan["data"]["held_out"].as_u64()), (Some(10), Some(4)));
    assert!(!run.exists());

    let inspected = house.ok(&["train", &config, "--inspect", "2"]);
    assert_eq!(inspected.matches("<|im_start|>assistant").count(), 2, "{inspected}");
    assert!(inspected.contains("<|im_end|>\n⟧"), "{inspected}");

    let outcome = house.json(&["train", &config]);
    assert_eq!((outcome["end"].as_str(), outcome["steps"].as_u64()), (Some("finished"), Some(10)));
    assert_eq!(outcome["output"].as_str(), Some(run.join("adapter").to_str().unwrap()));
    for file in ["adapter/adapter_config.json", "run.yaml", "loss.svg", "checkpoint-10"] {
        assert!(run.join(file).exists(), "{file}");
    }
    let lines = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let losses: Vec<f64> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter_map(|line| line["loss"].as_f64())
        .collect();
    assert!(losses.last() < losses.first(), "{losses:?}");
    assert_eq!(losses.len(), 5);

    // What was learned can be made a release: merged, with the record of its run.
    let again = run.with_file_name("school");
    let place = format!("output_dir={}", again.display());
    let outcome = house.json(&["train", &config, &place, "--release"]);
    assert_eq!(outcome["release"]["state"].as_str(), Some("candidate"), "{outcome}");
    assert_eq!(outcome["release"]["name"].as_str(), Some("school"));
    let id = outcome["release"]["id"].as_str().unwrap().to_owned();
    let shown = house.json(&["releases", "show", &id]);
    assert!(shown.to_string().contains("rank: 4"), "{shown}");
    let left = std::fs::read_dir(&again).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with('.')));

    // What is there is not written over, unless that is wished.
    let refused = house.fails(&["train", &config]);
    assert!(refused.contains("is not empty"), "{refused}");
    let told = house.fails(&["train", &config, "lora_rnk=3"]);
    assert!(told.ends_with("command line: unknown key `lora_rnk`; did you mean `lora_rank`?\n"), "{told}");
}

#[test]
fn a_run_that_is_stopped_goes_on() {
    let (house, run) = school();
    let config = config(&house);
    let long = ["max_steps=100000000", "lr_scheduler_type=constant"];
    let mut child = house.lore();
    child.args(["train", &config, long[0], long[1], "--json"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let child = child.spawn().unwrap();
    let begun = Instant::now();
    while !run.join("checkpoint-5").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no checkpoint");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(outcome["end"].as_str(), Some("stopped"));
    let checkpoint = outcome["checkpoint"].as_str().unwrap();
    let plan = house.json(&["train", &config, long[0], long[1], "--resume", "--dry-run"]);
    assert_eq!(plan["resumes_from"].as_str(), Some(checkpoint));
}

#[test]
fn a_model_is_made_from_nothing_and_begins_to_learn() {
    let house = House::new();
    house.write("a.md", &"# Leave\n\nEmployees in Munich have 30 days of leave.\n".repeat(10));
    house.write("secret.md", "Zzyzx zzyzx zzyzx zzyzx.");
    house.write(".lore.yaml", "rules:\n  - path: secret.md\n    acl: [board]\n");
    house.write(
        "q.jsonl",
        "{\"question\": \"上海员工有多少天年假？\"}\n{\"question\": \"上海员工有多少天年假？\"}\n",
    );
    let (docs, model) = (house.docs().display().to_string(), house.docs().join("model"));
    let (out, questions) = (model.display().to_string(), format!("{docs}/q.jsonl"));
    let shape =
        ["--vocabulary", "400", "--hidden", "32", "--layers", "2", "--heads", "2", "--context", "256"];
    let new = ["models", "new", "--out", &out, "--text", &docs, &questions];
    let made = house.json(&[new.as_slice(), shape.as_slice()].concat());
    assert!(made["vocabulary"].as_u64().is_some_and(|tokens| (280..=400).contains(&tokens)), "{made}");
    let words = std::fs::read_to_string(model.join("tokenizer.json")).unwrap();
    assert!(words.contains("Ġdays") && !words.contains("zzy"));
    let told = house.fails(&[new.as_slice(), shape.as_slice()].concat());
    assert!(told.contains("exists already"), "{told}");
    let told = house.fails(&["models", "new", "--out", "x", "--text", &docs, "--heads", "3"]);
    assert!(told.contains("choose a multiple of 6"), "{told}");

    let config = format!(
        "model_name_or_path: {out}\ninit: random\nstage: pt\ndataset: {docs}/a.md\noutput_dir: {docs}/run\n\
         cutoff_len: 64\nmax_steps: 3\nlearning_rate: 1.0e-2\nreport_to: none\n"
    );
    house.write("pretrain.yaml", &config);
    let outcome = house.json(&["train", &format!("{docs}/pretrain.yaml")]);
    assert_eq!(outcome["output"].as_str(), Some(format!("{docs}/run/model").as_str()));
    assert!(house.docs().join("run/model/model.safetensors").is_file());
}
