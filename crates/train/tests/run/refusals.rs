//! What is refused before the first step, and what a folder keeps.

use std::fs;
use std::sync::atomic::AtomicBool;

use lore_models::training::{LoraOptions, Method, Precision};
use lore_train::TrainError;
use lore_train::config::RagSettings;
use lore_train::data::{BatchSize, Example};
use lore_train::run::{Base, End, Event, Inputs, Resume, train};

use crate::support::{base, config, examples, lora, names, net, net_with, run, run_watched};

fn refused(result: Result<lore_train::run::Outcome, TrainError>, words: &[&str]) {
    let error = result.unwrap_err();
    assert!(matches!(error, TrainError::Setup(_)), "{error}");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
}

fn inputs<'a>(train: &'a [Example], held_out: &'a [Example], base: Base) -> Inputs<'a> {
    Inputs { train, held_out, base, questions: Default::default() }
}

#[test]
fn a_whole_model_that_could_not_be_saved_is_not_trained() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.gguf");
    fs::write(&file, "").unwrap();
    let (data, stop) = (examples(4, 1), AtomicBool::new(false));
    let mut of_file = base();
    of_file.path = Some(file);
    let given = inputs(&data, &[], of_file);
    let config = config(&folder.path().join("run"), Method::Full);
    let watch = &mut |_: &Event<'_>| {};
    let result = train(&net_with(Method::Full, Precision::Fp32), &given, &config, watch, &stop);
    refused(result, &["model.gguf has no config.json", "finetuning_type: lora"]);
    assert!(!folder.path().join("run").exists());
    // An adapter needs none.
    assert!(train(&net(), &given, &config, watch, &stop).is_ok());
}

#[test]
fn tokens_that_the_model_does_not_know_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = examples(4, 1);
    data[2].tokens[1] = 31;
    let (held_out, stop) = (examples(2, 2), AtomicBool::new(false));
    let config = config(folder.path(), lora());
    let watch = &mut |_: &Event<'_>| {};
    let given = inputs(&held_out, &data, base());
    refused(train(&net(), &given, &config, watch, &stop), &["example 1:2 has the token 31", "31 tokens"]);
}

#[test]
fn what_looks_at_evaluations_wants_some() {
    let folder = tempfile::tempdir().unwrap();
    let (data, stop) = (examples(4, 1), AtomicBool::new(false));
    let given = inputs(&data, &[], base());
    let watch = &mut |_: &Event<'_>| {};
    let mut early = config(folder.path(), lora());
    early.run.early_stopping = Some(2);
    refused(train(&net(), &given, &early, watch, &stop), &["early_stopping_steps is set", "val_size"]);
    let mut best = config(folder.path(), lora());
    best.run.load_best_at_end = true;
    refused(train(&net(), &given, &best, watch, &stop), &["load_best_model_at_end is set"]);
}

#[test]
fn without_a_checkpoint_what_a_run_ended_with_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), lora());
    config.run.save_steps = Some(usize::MAX);
    run(&net(), &config).unwrap();
    let adapter = folder.path().join("adapter");
    assert!(names(folder.path()).iter().all(|name| !name.starts_with("checkpoint")));
    config.run.resume = Resume::Last;
    refused(run(&net(), &config), &["adapter is what a run ended with", "overwrite_output_dir: true"]);
    assert!(adapter.join("adapter_config.json").exists());
    config.run.overwrite = true;
    assert_eq!(run(&net(), &config).unwrap().end, End::Finished);
}

#[test]
fn checkpoints_of_others_and_hidden_files_stay() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("checkpoint-10");
    fs::create_dir(&theirs).unwrap();
    fs::write(theirs.join("trainer_state.json"), "{}").unwrap();
    fs::write(folder.path().join(".model.part"), "").unwrap();
    let mut config = config(folder.path(), lora());
    refused(run(&net(), &config), &["is not empty"]);
    config.run.overwrite = true;
    refused(run(&net(), &config), &["checkpoint-10 is there and no run of this program made it"]);
    assert_eq!(names(folder.path()), [".model.part", "checkpoint-10"]);
    assert!(theirs.join("trainer_state.json").exists());
}

#[test]
fn one_run_at_a_time_is_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), lora());
    let mut second = config.clone();
    second.run.overwrite = true;
    let mut tried = 0;
    run_watched(&net(), &config, |event| {
        if matches!(event, Event::Step { metrics, .. } if metrics.step == 5) {
            tried += 1;
            refused(run(&net(), &second), &["another run is under way"]);
        }
        false
    })
    .unwrap();
    assert_eq!(tried, 1);
    run(&net(), &second).unwrap();
}

#[test]
fn a_run_that_is_stopped_while_it_tries_batches_tries_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), lora());
    config.data.batch = BatchSize::Auto { memory_limit: None };
    let mut probes = 0;
    let outcome = run_watched(&net(), &config, |event| {
        probes += usize::from(matches!(event, Event::Probing { .. }));
        probes > 0
    })
    .unwrap();
    assert_eq!((outcome.end, outcome.steps, probes), (End::Stopped, 0, 1));
}

#[test]
fn a_runs_folder_is_no_checkpoint_and_changed_questions_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), Method::Lora(LoraOptions::default()));
    let make = || net_with(Method::Lora(LoraOptions::default()), Precision::Fp32);
    run(&make(), &config).unwrap();
    config.run.resume = Resume::From(folder.path().into());
    let error = run(&make(), &config).unwrap_err().to_string();
    assert!(error.contains("it is the folder of a run") && error.contains("checkpoint-10"), "{error}");

    fs::create_dir(folder.path().join("examples")).unwrap();
    config.run.resume = Resume::Last;
    config.rag = Some(RagSettings {
        train: vec![0],
        eval: Vec::new(),
        documents: None,
        answer: None,
        no_answer_share: None,
        passages: None,
        unanswerable_share: None,
        variants: None,
    });
    let (data, stop) = (examples(14, 9), AtomicBool::new(false));
    let given = inputs(&data, &[], base());
    let error = train(&make(), &given, &config, &mut |_: &Event<'_>| {}, &stop).unwrap_err().to_string();
    assert!(error.contains("which changed since") && error.contains("dataset_format to messages"), "{error}");
}
