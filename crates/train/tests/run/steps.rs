//! What a step computes, and what is written about it.

use candle_core::DType;
use lore_models::training::{Batch, Gradients, Method, Precision};
use lore_train::config::ModelSettings;
use lore_train::data::BatchSize;
use lore_train::optim::{LearningRate, OptimSettings};
use lore_train::run::{Base, End, Event, Inputs, Line, Resume, RunRecord, RunSettings, read_metrics, train};

use crate::support::{self, bits, config, examples, lora, names, net, net_in, run, run_watched};

#[test]
fn a_run_leaves_settings_metrics_events_curves_checkpoints_and_the_values() {
    let folder = tempfile::tempdir().unwrap();
    let net = net();
    let mut config = config(folder.path(), lora());
    config.run.eval_steps = Some(5);
    let outcome = run(&net, &config).unwrap();
    assert_eq!((outcome.end, outcome.steps), (End::Finished, 10));
    assert!(outcome.epochs > 2.0 && outcome.train_loss > 0.0 && outcome.tokens > 0, "{outcome:?}");
    assert_eq!(
        names(folder.path()),
        [
            "adapter",
            "checkpoint-10",
            "checkpoint-4",
            // The best evaluation's.
            "checkpoint-5",
            "checkpoint-8",
            "learning_rate.svg",
            "loss.svg",
            "metrics.jsonl",
            "run.yaml",
            "tensorboard"
        ]
    );
    let lines = read_metrics(&folder.path().join("metrics.jsonl")).unwrap();
    let rates = LearningRate::new(&config.optim, 10);
    let mut evals = Vec::new();
    let mut steps = Vec::new();
    for line in lines {
        match line {
            Line::Step(metrics) => {
                assert_eq!(metrics.learning_rate, rates.at(metrics.step - 1));
                assert!(metrics.grad_norm.is_some_and(|norm| norm > 0.0) && metrics.loss_scale.is_none());
                assert!(metrics.tokens_per_s > 0.0 && metrics.labels < metrics.tokens);
                steps.push(metrics.step);
            }
            Line::Eval(metrics) => {
                assert!((metrics.eval_perplexity - metrics.eval_loss.exp()).abs() < 1e-9);
                evals.push(metrics.step);
            }
        }
    }
    assert_eq!((steps, evals), ((1..=10).collect(), vec![5, 10]));
    let record = RunRecord::read(&folder.path().join("run.yaml")).unwrap();
    assert_eq!((record.steps, record.seed, record.base.name.as_str()), (10, 42, "tiny"));
    assert_eq!((record.data.examples, record.data.held_out, record.data.documents.len()), (14, 5, 3));
    assert_eq!(record.config["optim"]["learning_rate"], 0.01);
    let events = std::fs::read_dir(folder.path().join("tensorboard")).unwrap().count();
    assert_eq!(events, 1);
}

#[test]
fn a_run_also_learned_what_the_runs_before_it_learned() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first");
    let mut config = config(&first, Method::Full);
    config.optim = OptimSettings { max_steps: Some(2), ..config.optim };
    run(&net_in(Method::Full, DType::F32), &config).unwrap();
    let own = RunRecord::read(&first.join("run.yaml")).unwrap().data;
    assert_eq!((own.documents.len(), own.questions.len()), (3, 1));
    // The record of a base that is itself the outcome of a run, and that of an adapter.
    let base = folder.path().join("earlier/model");
    let adapter = folder.path().join("other/adapter");
    for (place, learned) in [(&base, "x@1"), (&adapter, "y@2")] {
        std::fs::create_dir_all(place).unwrap();
        let record = format!("data: {{documents: ['{learned}'], questions: ['{learned}'], examples: 3}}\n");
        std::fs::write(place.parent().unwrap().join("run.yaml"), record).unwrap();
    }
    std::fs::write(base.join("config.json"), r#"{"model_type": "llama"}"#).unwrap();
    let second = folder.path().join("second");
    config.run = RunSettings { logging_steps: 1, ..RunSettings::new(&second) };
    config.model = ModelSettings::Files { name: "tiny".into(), adapter: Some(adapter) };
    let (train_on, held_out) = (examples(14, 1), examples(5, 2));
    let inputs = Inputs {
        train: &train_on,
        held_out: &held_out,
        base: Base { path: Some(base.clone()), ..support::base() },
        questions: ["a".to_owned()].into(),
    };
    let net = net_in(Method::Full, DType::F32);
    train(&net, &inputs, &config, &mut |_: &Event<'_>| {}, &Default::default()).unwrap();
    let united = RunRecord::read(&second.join("run.yaml")).unwrap().data;
    assert_eq!((united.documents.len(), united.questions.len()), (5, 3));
    assert!(["x@1", "y@2"].iter().all(|learned| united.documents.contains(*learned)));
    assert_eq!(united.hash, own.hash, "it tells what this run learned");

    std::fs::write(base.parent().unwrap().join("run.yaml"), "- nothing\n").unwrap();
    config.run.output_dir = folder.path().join("third");
    let refused = train(&net, &inputs, &config, &mut |_: &Event<'_>| {}, &Default::default()).unwrap_err();
    assert!(refused.to_string().contains("no record of a run"), "{refused}");
}

/// A step is the mean over all its labels, whichever batches they are in.
#[test]
fn accumulated_batches_count_by_their_labels() {
    let mut ends = Vec::new();
    for (sequences, accumulation) in [(4, 1), (2, 2), (1, 4)] {
        let folder = tempfile::tempdir().unwrap();
        let net = net_in(Method::Full, DType::F32);
        let mut config = config(folder.path(), Method::Full);
        config.data.batch = BatchSize::Sequences(sequences);
        config.optim = OptimSettings { accumulation, max_steps: Some(3), ..config.optim };
        run(&net, &config).unwrap();
        ends.push(bits(&net));
    }
    for other in &ends[1..] {
        for (one, other) in ends[0].iter().zip(other) {
            let (one, other) = (f32::from_bits(*one), f32::from_bits(*other));
            assert!((one - other).abs() < 1e-4, "{one} {other}");
        }
    }
}

#[test]
fn steps_follow_from_epochs_and_the_last_of_an_epoch_is_smaller() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), lora());
    // 14 examples are 7 batches, and those are 4 steps an epoch.
    config.optim.max_steps = None;
    config.optim.epochs = 1.5;
    config.run.save_steps = None;
    let mut epochs = Vec::new();
    let outcome = run_watched(&net(), &config, |event| {
        if let Event::Step { metrics, steps, .. } = event {
            assert_eq!(*steps, 6);
            epochs.push(metrics.epoch);
        }
        false
    });
    assert_eq!(outcome.unwrap().steps, 6);
    let expected = [2.0 / 7.0, 4.0 / 7.0, 6.0 / 7.0, 1.0, 1.0 + 2.0 / 7.0, 1.0 + 4.0 / 7.0];
    assert_eq!(epochs, expected);
    assert!(folder.path().join("checkpoint-4").exists() && folder.path().join("checkpoint-6").exists());
}

/// In fp16 the first gradients overflow under the first scale. Such steps change nothing but the scale.
#[test]
fn overflows_halve_the_scale_and_skip_the_step() {
    let folder = tempfile::tempdir().unwrap();
    let net = net_in(Method::Full, DType::F16);
    let mut config = config(folder.path(), Method::Full);
    config.precision = Precision::Fp16;
    config.optim.accumulation = 1;
    // One label, so that its gradient is not divided by others.
    config.data.batch = BatchSize::Sequences(1);
    let start = bits(&net);
    let (mut skipped, mut taken) = (Vec::new(), Vec::new());
    let outcome = run_watched(&net, &config, |event| {
        match event {
            Event::Skipped { step, scale } => {
                assert_eq!(bits(&net) == start, taken.is_empty());
                skipped.push((*step, *scale));
            }
            Event::Step { metrics, .. } if skipped.last().is_none_or(|(step, _)| *step != metrics.step) => {
                assert_eq!(metrics.learning_rate, LearningRate::new(&config.optim, 10).at(taken.len()));
                taken.push(metrics.step);
            }
            _ => {}
        }
        false
    });
    outcome.unwrap();
    assert!(!skipped.is_empty() && !taken.is_empty(), "{skipped:?} {taken:?}");
    for (count, (_, scale)) in skipped.iter().enumerate() {
        assert_eq!(*scale, 65_536.0 / 2f64.powi(count as i32 + 1));
    }
    assert_ne!(bits(&net), start);
}

#[test]
fn the_batch_is_as_large_as_memory_allows_and_stays_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), lora());
    config.data.batch = BatchSize::Auto { memory_limit: None };
    config.run.save_steps = Some(2);
    let (mut probes, mut found) = (0, None);
    let watch = |event: &Event<'_>| {
        match event {
            Event::Probing { .. } => probes += 1,
            Event::Begun { batch_tokens, .. } => found = *batch_tokens,
            Event::Step { metrics, .. } => return metrics.step == 2,
            _ => {}
        }
        false
    };
    run_watched(&net(), &config, watch).unwrap();
    // So little fits whole.
    let all: usize = examples(14, 1).iter().map(|example| example.tokens.len()).sum();
    assert_eq!(found, Some(all));
    assert!(probes > 1);
    // Another limit changes nothing for a run that goes on.
    config.data.batch = BatchSize::Auto { memory_limit: Some(1) };
    config.run.resume = Resume::Last;
    let watch = |event: &Event<'_>| {
        assert!(!matches!(event, Event::Probing { .. }));
        if let Event::Begun { batch_tokens, done, .. } = event {
            assert_eq!((*batch_tokens, *done), (Some(all), 2));
        }
        false
    };
    run_watched(&net(), &config, watch).unwrap();
    // A new one does not begin where nothing fits.
    config.run.resume = Resume::No;
    config.run.overwrite = true;
    let error = run(&net(), &config).unwrap_err().to_string();
    assert!(error.contains("12 tokens") && error.contains("cutoff_len"), "{error}");
}

/// The sum of gradients that a run takes is the one that the net gives.
#[test]
fn the_norm_is_that_of_the_mean_loss() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), Method::Full);
    let net = net_in(Method::Full, DType::F32);
    let examples = examples(14, 1);
    config.data.batch = BatchSize::Sequences(14);
    config.optim = OptimSettings { accumulation: 1, max_steps: Some(1), ..config.optim };
    let mut batch = Batch::default();
    examples.iter().for_each(|example| batch.push(&example.tokens, &example.labelled));
    let mut gradients = Gradients::new(net.parameters().len());
    let loss = net.forward_backward(&batch, 1.0 / batch.labels() as f64, 0, &mut gradients).unwrap();
    let norm = gradients.norm().unwrap();
    run_watched(&net, &config, |event| {
        if let Event::Step { metrics, logged, .. } = event {
            assert!((metrics.loss - loss.mean()).abs() < 1e-6);
            assert!(metrics.grad_norm.is_some_and(|own| (own - norm).abs() < 1e-5 * norm));
            assert!(*logged);
        }
        false
    })
    .unwrap();
}
