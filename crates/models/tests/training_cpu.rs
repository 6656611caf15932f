//! The CPU's backward pass against finite differences, and against the plain reference.
#![allow(clippy::unwrap_used, reason = "tests")]

mod training_support;

use candle_core::{DType, Tensor};
use lore_models::decoder::DecoderConfig;
use lore_models::training::{
    Batch, BatchLoss, BottleneckActivation, BottleneckOptions, FreezeOptions, Gradients, Layers, LoraOptions,
    Method, Quantization, Targets, TrainNet, TrainOptions,
};
use training_support::{tiny, values};

fn config(tied: bool) -> DecoderConfig {
    DecoderConfig {
        vocabulary: 37,
        hidden: 24,
        intermediate: 40,
        head_dim: 6,
        windows: vec![None, Some(5), None],
        qkv_bias: !tied,
        output_bias: false,
        mlp_bias: !tied,
        qk_norm: tied,
        tied,
        ..tiny()
    }
}

fn batch() -> Batch {
    let mut batch = Batch::default();
    for length in [9usize, 1, 14] {
        let tokens: Vec<u32> = (0..length).map(|i| ((i * 7 + length * 3) % 37) as u32).collect();
        let labelled: Vec<bool> = (0..length).map(|i| i % 3 != 1).collect();
        batch.push(&tokens, &labelled);
    }
    batch
}

/// Values that are all different, on a grid, so that sums with powers of two are exact in f32.
fn scramble(net: &TrainNet) {
    for (index, parameter) in net.parameters().iter().enumerate() {
        let shape = parameter.value.shape().clone();
        let count = shape.elem_count();
        let old: Vec<f32> = parameter.value.flatten_all().unwrap().to_vec1().unwrap();
        let values: Vec<f32> = (0..count)
            .map(|i| {
                let noise = (((i * 97 + index * 31) % 127) as f32 - 63.0) / 400.0;
                ((old[i] + noise) * 4096.0).round() / 4096.0
            })
            .collect();
        parameter
            .value
            .set(&Tensor::from_vec(values, shape, net.parameters()[index].value.device()).unwrap())
            .unwrap();
    }
}

fn methods() -> Vec<(&'static str, Method, bool)> {
    let lora = LoraOptions { rank: 3, alpha: 6.0, ..LoraOptions::default() };
    let named = Targets::Named(vec!["q_proj".into(), "mlp.down_proj".into()]);
    vec![
        ("full, tied", Method::Full, true),
        ("full", Method::Full, false),
        (
            "freeze",
            Method::Freeze(FreezeOptions {
                layers: Layers::Last(2),
                modules: vec!["mlp".into(), "input_layernorm".into()],
                extra: vec!["norm".into()],
            }),
            true,
        ),
        ("lora", Method::Lora(lora.clone()), true),
        (
            "lora of two, with a norm",
            Method::Lora(LoraOptions {
                targets: named,
                rank_stabilised: true,
                modules_to_save: vec!["norm".into(), "lm_head".into()],
                ..lora.clone()
            }),
            false,
        ),
        ("dora", Method::Lora(LoraOptions { dora: true, ..lora.clone() }), false),
        ("lora with dropout", Method::Lora(LoraOptions { dropout: 0.3, ..lora.clone() }), true),
        ("dora with dropout", Method::Lora(LoraOptions { dora: true, dropout: 0.3, ..lora }), true),
        (
            "bottleneck",
            Method::Bottleneck(BottleneckOptions { size: 5, activation: BottleneckActivation::Silu }),
            true,
        ),
    ]
}

fn net(method: Method, tied: bool) -> TrainNet {
    let net = TrainNet::random(config(tied), 0.2, TrainOptions::new(method)).unwrap();
    scramble(&net);
    net
}

/// The loss of a pass, and the gradient of every parameter.
fn passed(net: &TrainNet, scale: f64) -> (BatchLoss, Vec<Vec<f64>>) {
    let mut gradients = Gradients::new(net.parameters().len());
    let loss = net.forward_backward(&batch(), scale, 3, &mut gradients).unwrap();
    (loss, (0..net.parameters().len()).map(|index| values(gradients.get(index).unwrap())).collect())
}

#[test]
fn gradients_are_finite_differences() {
    for (name, method, tied) in methods() {
        let net = net(method, tied).on_cpu(DType::F64);
        let batch = batch();
        let mut gradients = Gradients::new(net.parameters().len());
        let loss = net.forward_backward(&batch, 1.0, 3, &mut gradients).unwrap();
        assert!(loss.labels > 0 && loss.sum.is_finite());
        for (index, parameter) in net.parameters().iter().enumerate() {
            let gradient = values(gradients.get(index).unwrap());
            assert!(gradient.iter().any(|g| g.abs() > 1e-9), "{name}: {} has no gradient", parameter.name);
            if name.starts_with("dora")
                && parameter.name.contains("lora_")
                && !parameter.name.contains("magnitude")
            {
                // The norm that DoRA divides by is held constant, which differences cannot do; see the next test.
                continue;
            }
            let old = parameter.value.as_tensor().copy().unwrap();
            let count = gradient.len();
            // A direction of all values.
            let direction: Vec<f64> =
                (0..count).map(|i| if (i * 13 + index) % 7 < 3 { 1.0 } else { -1.0 }).collect();
            let along: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
            let size = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
            let at = |step: f64| {
                let step = Tensor::from_vec(
                    direction.iter().map(|d| (d * step) as f32).collect::<Vec<_>>(),
                    old.shape(),
                    old.device(),
                )
                .unwrap();
                parameter.value.set(&(&old + step).unwrap()).unwrap();
                let mut ignored = Gradients::new(net.parameters().len());
                net.forward_backward(&batch, 1.0, 3, &mut ignored).unwrap().sum
            };
            // Central differences, three steps, extrapolated twice (Richardson).
            let central = |step: f64| (at(step) - at(-step)) / (2.0 * step);
            let base = 1.0 / 1024.0;
            let [a, b, c] = [base, base / 2.0, base / 4.0].map(central);
            let (ab, bc) = ((4.0 * b - a) / 3.0, (4.0 * c - b) / 3.0);
            let expected = (16.0 * bc - ab) / 15.0;
            parameter.value.set(&old).unwrap();
            assert!(
                (along - expected).abs() <= 1e-6 * (size * (count as f64).sqrt()).max(1e-3),
                "{name}: {}: {along} {expected} (size {size})",
                parameter.name
            );
        }
    }
}

#[test]
fn both_back_ends_say_the_same() {
    for (name, method, tied) in methods() {
        let run = |net: TrainNet| {
            let (loss, all) = passed(&net, 0.5);
            (loss.sum, all, net.loss(&batch()).unwrap().sum, values(&net.logits(&batch()).unwrap()))
        };
        let graph = run(net(method.clone(), tied).on_graph(DType::F64));
        let own = run(net(method, tied).on_cpu(DType::F64));
        assert!((own.0 - graph.0).abs() <= 1e-10 * graph.0, "{name}: {} {}", own.0, graph.0);
        assert!((own.2 - graph.2).abs() <= 1e-10 * graph.2, "{name}: {} {}", own.2, graph.2);
        for (own, graph) in own.1.iter().zip(&graph.1).chain([(&own.3, &graph.3)]) {
            assert_eq!(own.len(), graph.len());
            let most = graph.iter().fold(0f64, |most, v| most.max(v.abs()));
            assert!(own.iter().zip(graph).all(|(a, b)| (a - b).abs() <= 1e-9 * most), "{name}");
        }
    }
}

#[test]
fn what_is_no_number_is_no_loss() {
    for kind in [DType::F32, DType::BF16, DType::F64] {
        for parameter in 0..14 {
            let net = net(Method::Lora(LoraOptions { rank: 2, ..LoraOptions::default() }), true).on_cpu(kind);
            let value = &net.parameters()[parameter].value;
            let mut values: Vec<f32> = value.flatten_all().unwrap().to_vec1().unwrap();
            values[1] = f32::NAN;
            value.set(&Tensor::from_vec(values, value.shape(), value.device()).unwrap()).unwrap();
            assert!(
                net.loss(&batch()).unwrap().sum.is_nan(),
                "{kind:?} {}",
                net.parameters()[parameter].name
            );
        }
    }
}

#[test]
fn a_module_that_is_not_there_is_named_with_those_that_are() {
    let refused = |method: Method, tied| {
        method.check_names(&config(tied)).map_err(|error| error.to_string()).unwrap_err()
    };
    let lora =
        |target: &str| LoraOptions { targets: Targets::Named(vec![target.into()]), ..LoraOptions::default() };
    let text = refused(Method::Lora(lora("q_prj")), true);
    assert!(
        text.contains("lora_target") && text.contains("`q_prj`") && text.contains("q_proj, k_proj"),
        "{text}"
    );
    assert!(refused(Method::Lora(lora("lm_head")), false).contains("additional_target"));
    let saved = LoraOptions { modules_to_save: vec!["lm_head".into()], ..LoraOptions::default() };
    assert!(refused(Method::Lora(saved.clone()), true).contains("embed_tokens"));
    assert!(Method::Lora(saved).check_names(&config(false)).is_ok());
    let frozen = |modules: &str, extra: &str| {
        Method::Freeze(FreezeOptions {
            layers: Layers::All,
            modules: vec![modules.into()],
            extra: vec![extra.into()],
        })
    };
    assert!(refused(frozen("mlp", "mlp"), true).contains("freeze_extra_modules"));
    assert!(refused(frozen("norm", "norm"), true).contains("freeze_trainable_modules"));
    assert!(frozen("self_attn.q_proj", "norm").check_names(&config(true)).is_ok());
}

#[test]
fn checkpointing_changes_nothing() {
    for (name, method, tied) in methods() {
        let run = |lean: bool| {
            let options = TrainOptions { gradient_checkpointing: lean, ..TrainOptions::new(method.clone()) };
            let net = TrainNet::random(config(tied), 0.2, options).unwrap();
            scramble(&net);
            passed(&net, 1.0)
        };
        assert_eq!(run(false), run(true), "{name}");
    }
}

#[test]
fn precisions_are_near_each_other() {
    for quantization in [None, Some(Quantization::nf4(true)), Some(Quantization::Int8)] {
        for (name, method, tied) in methods() {
            if quantization.is_some() && matches!(method, Method::Full | Method::Freeze(_)) {
                continue;
            }
            let run = |kind| {
                let options = TrainOptions {
                    quantization,
                    precision: lore_models::training::Precision::Fp32,
                    ..TrainOptions::new(method.clone())
                };
                let net = TrainNet::random(config(tied), 0.2, options).unwrap().on_cpu(kind);
                scramble(&net);
                let (loss, all) = passed(&net, 1.0);
                let plain = net.loss(&batch()).unwrap();
                let logits = values(&net.logits(&batch()).unwrap());
                (loss.sum, all, plain.sum, logits)
            };
            let wide = run(DType::F64);
            for (kind, loss_bound, bound) in
                [(DType::F32, 1e-6, 2e-5), (DType::F16, 2e-3, 3e-2), (DType::BF16, 1e-2, 2e-1)]
            {
                let own = run(kind);
                assert!(
                    (own.0 - wide.0).abs() <= loss_bound * wide.0,
                    "{name} {kind:?}: {} {}",
                    own.0,
                    wide.0
                );
                assert!(
                    (own.2 - wide.2).abs() <= loss_bound * wide.2,
                    "{name} {kind:?}: {} {}",
                    own.2,
                    wide.2
                );
                assert_eq!(own.3.len(), wide.3.len());
                for (own, wide) in own.1.iter().zip(&wide.1) {
                    let off: f64 = own.iter().zip(wide).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
                    let size: f64 = wide.iter().map(|v| v * v).sum::<f64>().sqrt();
                    assert!(off <= bound * size, "{name} {kind:?}: {off} of {size}");
                }
            }
        }
    }
}
