//! How runs end before their last step.

use std::fs;

use candle_core::DType;
use lore_models::training::{Method, Precision};
use lore_train::TrainError;
use lore_train::run::{End, Event, Resume};

use crate::support::{bits, config, lora, names, net, net_in, net_with, ruin, run, run_watched, spoil};

#[test]
fn a_nan_ends_the_run_and_says_where_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), lora());
    let net = net_in(lora(), DType::F32);
    let result = run_watched(&net, &config, |event| {
        if let Event::Step { metrics, .. } = event
            && metrics.step == 6
        {
            spoil(&net.parameters()[0].value, f32::NAN);
        }
        false
    });
    let Err(TrainError::NotFinite { what, step, examples, checkpoint }) = result else {
        panic!("{result:?}");
    };
    assert_eq!((what, step), ("the loss", 7));
    assert_eq!(examples.len(), 2);
    assert!(examples.iter().all(|id| id.starts_with("1:")), "{examples:?}");
    assert_eq!(checkpoint, Some(folder.path().join("checkpoint-4")));
    let found: Vec<_> = names(folder.path()).into_iter().filter(|name| name.contains("checkpoint")).collect();
    assert_eq!(found, ["checkpoint-4"]);
    // The good state is still there.
    config.run.resume = Resume::Last;
    assert_eq!(run(&net, &config).unwrap().steps, 10);
}

/// Squares of numbers near the end of f32's range: the loss is finite, its gradient is not.
#[test]
fn a_gradient_that_is_not_finite_ends_the_run_where_nothing_is_scaled() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), Method::Full);
    let net = net_in(Method::Full, DType::F32);
    let norm = net.parameters().iter().find(|parameter| parameter.name == "model.norm.weight").unwrap();
    spoil(&norm.value, 3e38);
    let error = run(&net, &config).unwrap_err();
    let TrainError::NotFinite { step: 1, checkpoint: None, .. } = &error else { panic!("{error}") };
    assert!(error.to_string().contains("the last good checkpoint is none"), "{error}");
}

#[test]
fn evaluations_that_become_worse_end_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), Method::Full);
    config.run.eval_steps = Some(1);
    config.run.early_stopping = Some(2);
    config.run.load_best_at_end = true;
    config.optim.learning_rate = 1e-4;
    config.optim.max_steps = Some(50);
    let net = net_with(Method::Full, Precision::Fp32);
    let outcome = run_watched(&net, &config, |event| {
        if matches!(event, Event::Step { metrics, .. } if metrics.step == 4) {
            ruin(&net);
        }
        false
    })
    .unwrap();
    let best = outcome.best.unwrap();
    assert_eq!(outcome.end, End::Early);
    assert_eq!(outcome.steps, best.step + 2);
    assert!(best.step < 4, "{best:?}");
    assert!(folder.path().join(format!("checkpoint-{}", best.step)).exists());
    // There is nothing to go on with.
    config.run.resume = Resume::Last;
    let outcome = run(&net_with(Method::Full, Precision::Fp32), &config).unwrap();
    assert_eq!((outcome.end, outcome.steps), (End::Early, best.step + 2));
}

#[test]
fn a_folder_with_other_files_is_not_used_unless_told_so() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let mut config = config(folder.path(), lora());
    let error = run(&net(), &config).unwrap_err().to_string();
    assert!(error.contains("is not empty") && error.contains("overwrite_output_dir"), "{error}");
    config.run.overwrite = true;
    let first = net();
    run(&first, &config).unwrap();
    let second = net();
    run(&second, &config).unwrap();
    assert!(bits(&first) == bits(&second), "a run with the same seed ends elsewhere");
    assert_eq!(fs::read_to_string(folder.path().join("notes.txt")).unwrap(), "mine");
    assert_eq!(names(&folder.path().join("tensorboard")).len(), 1);
}

#[test]
fn a_folder_that_no_run_made_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("adapter").join("theirs.txt");
    fs::create_dir(folder.path().join("adapter")).unwrap();
    fs::write(&theirs, "").unwrap();
    let mut config = config(folder.path(), lora());
    config.run.resume = Resume::Last;
    let error = run(&net(), &config).unwrap_err().to_string();
    assert!(error.contains("adapter is there and no run made it"), "{error}");
    assert!(theirs.exists());
}
