//! A run that stopped goes on in the same bits.

use std::cell::Cell;
use std::path::Path;

use candle_core::DType;
use lore_models::training::{
    BottleneckActivation, BottleneckOptions, LoraOptions, Method, Precision, TrainNet,
};
use lore_train::config::TrainConfig;
use lore_train::data::BatchSize;
use lore_train::run::{End, Event, Resume};

use crate::support::{bits, config, lora, names, net, net_with, run, run_watched, timeless};

/// Ten steps with evaluations after every third, uninterrupted.
fn whole(folder: &Path, change: impl Fn(&mut TrainConfig)) -> (TrainNet, TrainConfig, Vec<String>) {
    let net = net();
    let mut config = config(folder, lora());
    config.run.eval_steps = Some(3);
    change(&mut config);
    assert_eq!(run(&net, &config).unwrap().end, End::Finished);
    let lines = timeless(folder);
    (net, config, lines)
}

/// When to stop, one after the other.
type Stops = Vec<Box<dyn Fn(&Event<'_>) -> bool>>;

#[test]
fn a_run_that_is_stopped_anywhere_ends_in_the_same_bits() {
    let reference = tempfile::tempdir().unwrap();
    let (expected, config, lines) = whole(reference.path(), |_| {});
    // After a step, after each of several, and within an evaluation.
    let at = |step: usize| move |event: &Event<'_>| matches!(event, Event::Step { metrics, .. } if metrics.step == step);
    let seen = Cell::new(0);
    let in_second_evaluation = move |event: &Event<'_>| {
        seen.set(seen.get() + usize::from(matches!(event, Event::Evaluating { done: 1, .. })));
        seen.get() == 2
    };
    let cases: Vec<(Stops, &str)> = vec![
        (vec![Box::new(at(5))], "after 5"),
        (vec![Box::new(at(1)), Box::new(at(2)), Box::new(at(9))], "after 1, 2 and 9"),
        (vec![Box::new(at(10))], "after the last"),
        (vec![Box::new(in_second_evaluation)], "in the second evaluation"),
    ];
    for (stops, name) in cases {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config.clone();
        config.run.output_dir = folder.path().into();
        for stop in stops {
            // Another process' net: only what is on the disk goes on.
            let outcome = run_watched(&net(), &config, |event| stop(event)).unwrap();
            // Also after the last step, where an evaluation is due.
            assert_eq!((outcome.end, outcome.output), (End::Stopped, None), "{name}");
            config.run.resume = Resume::Last;
        }
        let net = net();
        let outcome = run(&net, &config).unwrap();
        assert_eq!((outcome.end, outcome.steps), (End::Finished, 10));
        assert!(bits(&net) == bits(&expected), "{name}: other parameters");
        assert_eq!(timeless(folder.path()), lines, "{name}");
    }
}

#[test]
fn a_run_that_was_killed_goes_on_from_its_last_checkpoint_and_logs_no_step_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (expected, mut config, lines) = whole(folder.path(), |_| {});
    assert!(folder.path().join("checkpoint-10").exists());
    // As if it had died after step 7, in the middle of a line and of a checkpoint.
    std::fs::remove_dir_all(folder.path().join("checkpoint-8")).unwrap();
    std::fs::remove_dir_all(folder.path().join("checkpoint-10")).unwrap();
    // Where step 9 had the best evaluation.
    let _ = std::fs::remove_dir_all(folder.path().join("checkpoint-9"));
    std::fs::create_dir(folder.path().join(".checkpoint-8.unfinished")).unwrap();
    let metrics = folder.path().join("metrics.jsonl");
    let mut text = std::fs::read_to_string(&metrics).unwrap();
    text.truncate(text.len() - 40);
    std::fs::write(&metrics, text).unwrap();
    config.run.resume = Resume::Last;
    let net = net();
    run(&net, &config).unwrap();
    assert!(bits(&net) == bits(&expected));
    assert_eq!(timeless(folder.path()), lines);
    assert!(!names(folder.path()).iter().any(|name| name.starts_with('.')));
    assert_eq!(names(&folder.path().join("tensorboard")).len(), 2);
}

#[test]
fn an_earlier_checkpoint_can_be_gone_on_from_also_in_another_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (expected, mut config, lines) = whole(folder.path(), |config| {
        // Batches by tokens, whose number may change from epoch to epoch.
        config.data.batch = BatchSize::Tokens(30);
    });
    let other = tempfile::tempdir().unwrap();
    for place in [other.path(), folder.path()] {
        config.run.output_dir = place.into();
        config.run.resume = Resume::From(folder.path().join("checkpoint-4"));
        let net = net();
        let outcome = run_watched(&net, &config, |event| {
            if let Event::Begun { done, .. } = event {
                assert_eq!(*done, 4);
                let step = |name: &String| name.strip_prefix("checkpoint-")?.parse::<usize>().ok();
                assert!(names(place).iter().filter_map(step).all(|step| step <= 4));
            }
            false
        });
        assert_eq!(outcome.unwrap().steps, 10);
        assert!(bits(&net) == bits(&expected));
        assert_eq!(timeless(place), lines);
    }
}

/// `logging_steps` of 3: the mean over three steps is the same though a checkpoint lies between them.
#[test]
fn a_mean_over_steps_spans_a_pause() {
    let reference = tempfile::tempdir().unwrap();
    let (_, mut config, lines) = whole(reference.path(), |config| config.run.logging_steps = 3);
    let folder = tempfile::tempdir().unwrap();
    config.run.output_dir = folder.path().into();
    run_watched(&net(), &config, |event| matches!(event, Event::Step { metrics, .. } if metrics.step == 4))
        .unwrap();
    config.run.resume = Resume::Last;
    run(&net(), &config).unwrap();
    assert_eq!(timeless(folder.path()), lines);
}

#[test]
fn without_a_checkpoint_the_run_begins() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("metrics.jsonl"), "{\"step\":").unwrap();
    let mut config = config(folder.path(), lora());
    config.run.resume = Resume::Last;
    assert_eq!(run(&net(), &config).unwrap().steps, 10);
    // With evaluations at the ends of two epochs, and at the end.
    assert_eq!(timeless(folder.path()).len(), 13);
}

/// Other methods, types and back ends than those of the tests above.
#[test]
fn whatever_is_trained_goes_on_in_the_same_bits() {
    let bottleneck =
        Method::Bottleneck(BottleneckOptions { size: 4, activation: BottleneckActivation::default() });
    let dora = Method::Lora(LoraOptions { rank: 4, dora: true, dropout: 0.1, ..LoraOptions::default() });
    let cases: [(Method, Precision, bool); 6] = [
        (Method::Full, Precision::Fp32, false),
        (Method::Full, Precision::Bf16, false),
        (lora(), Precision::Bf16, false),
        (dora, Precision::Fp32, false),
        (bottleneck, Precision::Fp16, false),
        (lora(), Precision::Fp32, true),
    ];
    for (method, precision, graph) in cases {
        let name = format!("{method:?} {precision:?}");
        let make = || {
            let net = net_with(method.clone(), precision);
            if graph { net.on_graph(DType::F32) } else { net }
        };
        let start = |folder: &Path| {
            let mut config = config(folder, method.clone());
            config.precision = precision;
            config
        };
        let (reference, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let expected = make();
        run(&expected, &start(reference.path())).unwrap();
        let mut config = start(folder.path());
        let stop = |event: &Event<'_>| matches!(event, Event::Step { metrics, .. } if metrics.step == 5);
        run_watched(&make(), &config, stop).unwrap();
        config.run.resume = Resume::Last;
        let net = make();
        run(&net, &config).unwrap();
        assert!(bits(&net) == bits(&expected), "{name}: other parameters");
        assert_eq!(timeless(folder.path()), timeless(reference.path()), "{name}");
    }
}
