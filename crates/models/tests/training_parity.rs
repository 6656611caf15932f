//! Training against transformers and PEFT: logits, losses and gradients of tiny random models, made by
//! `fixtures/training/make.py` in float64. The gates are those that PyTorch itself keeps on these models in the same type.
#![allow(clippy::unwrap_used, reason = "tests")]

mod training_fixtures;

use candle_core::{DType, Device, Tensor};
use lore_models::training::{
    FrozenMatrix, Gradients, Matrix, Precision, Quantization, TrainNet, TrainOptions,
};
use training_fixtures::{
    Case, Cases, apart, batch, beyond, fixtures, gradients, json, length, open, relative, tensors, values,
};

/// How far from the reference is right.
#[derive(Clone, Copy)]
struct Gates {
    /// Largest difference of a logit, where logits have a standard deviation of 0.16.
    logits: f64,
    /// Relative.
    loss: f64,
    /// Relative length of the difference, for each tensor.
    gradient: f64,
}

const F32: Gates = Gates { logits: 2e-6, loss: 1e-6, gradient: 1e-5 };
const BF16: Gates = Gates { logits: 2e-2, loss: 2e-4, gradient: 6e-2 };

fn check(net: &TrainNet, case: &Case, sequences: &training_fixtures::Sequences, gates: Gates, scale: f64) {
    let mut trained: Vec<_> = net.parameters().iter().map(|parameter| parameter.name.clone()).collect();
    trained.sort();
    assert_eq!(trained, case.trained, "{}", case.name);
    let (batch, expected) = (batch(sequences), tensors(&case.file));
    assert_eq!(batch.labels(), case.labels);

    let logits = apart(&net.logits(&batch).unwrap(), &expected["logits"]) / case.std * 0.16;
    let (sum, gradients) = gradients(net, &batch, scale);
    let loss = (sum / case.sum - 1.0).abs();
    let loss_alone = (net.loss(&batch).unwrap().sum / case.sum - 1.0).abs();
    let mut worst = (0.0, "");
    let mut failures = Vec::new();
    for (index, parameter) in net.parameters().iter().enumerate() {
        let Some(own) = gradients.get(index) else {
            panic!("{}: no gradient of {}", case.name, parameter.name)
        };
        let off = relative(own, &expected[&format!("gradient.{}", parameter.name)]);
        if length(&values(own)) == 0.0 || beyond(off, gates.gradient) {
            failures.push(format!("gradient of {}: {off:.1e}", parameter.name));
        }
        if beyond(off, worst.0) {
            worst = (off, &parameter.name);
        }
    }
    eprintln!("{}: logits {logits:.1e}, loss {loss:.1e}, gradient {:.1e} ({})", case.name, worst.0, worst.1);
    for (what, off, gate) in
        [("logits", logits, gates.logits), ("loss", loss, gates.loss), ("loss alone", loss_alone, gates.loss)]
    {
        if beyond(off, gate) {
            failures.push(format!("{what}: {off:.1e}"));
        }
    }
    assert!(failures.is_empty(), "{}: too far off: {failures:#?}", case.name);
}

/// Checks every case.
fn check_all(net: impl Fn(&Case) -> TrainNet, gates: impl Fn(&Case) -> Gates, scale: f64) {
    let Cases { batch, cases } = json("cases.json");
    assert_eq!(cases.len(), 17);
    for case in &cases {
        check(&net(case), case, &batch, gates(case), scale);
    }
}

#[test]
fn the_graph_in_f64_is_the_reference() {
    let gates = Gates { logits: 2e-7, loss: 2e-9, gradient: 5e-7 };
    let net = |case: &Case| open(&case.family, case.method.options(Precision::Fp32)).on_graph(DType::F64);
    check_all(net, |_| gates, 1.0);
}

#[test]
fn the_graph_in_f32_is_as_near_as_pytorch() {
    let net = |case: &Case| open(&case.family, case.method.options(Precision::Fp32)).on_graph(DType::F32);
    check_all(net, |_| F32, 1.0);
}

#[test]
fn the_graph_in_bf16_is_as_near_as_pytorch() {
    let net = |case: &Case| open(&case.family, case.method.options(Precision::Bf16)).on_graph(DType::BF16);
    // PyTorch's logits of one case, with DoRA, are a little farther off than the gate.
    check_all(net, |case| Gates { logits: BF16.logits.max(case.pytorch["bf16"].logits), ..BF16 }, 1.0);
}

#[test]
fn the_cpu_in_fp32_is_as_near_as_pytorch() {
    check_all(|case| open(&case.family, case.method.options(Precision::Fp32)), |_| F32, 1.0);
}

#[test]
fn the_cpu_in_fp32_is_as_near_with_gradient_checkpointing() {
    let net = |case: &Case| {
        let options = case.method.options(Precision::Fp32);
        open(&case.family, TrainOptions { gradient_checkpointing: true, ..options })
    };
    check_all(net, |_| F32, 1.0);
}

#[test]
fn the_cpu_in_bf16_is_as_near_as_pytorch() {
    check_all(|case| open(&case.family, case.method.options(Precision::Bf16)), |_| BF16, 1.0);
}

#[test]
fn the_cpu_in_fp16_with_a_scaled_loss_is_nearer_than_bf16() {
    let gates = Gates { logits: 4e-3, loss: 5e-5, gradient: 1e-2 };
    check_all(|case| open(&case.family, case.method.options(Precision::Fp16)), |_| gates, 256.0);
}

#[test]
fn batches_add_up() {
    let Cases { batch: sequences, cases } = json("cases.json");
    let whole = batch(&sequences);
    for case in cases.iter().filter(|case| ["qwen3-full", "qwen2-dora"].contains(&case.name.as_str())) {
        let net = open(&case.family, case.method.options(Precision::Fp32));
        let (sum, together) = gradients(&net, &whole, 1.0);
        let mut parts = Gradients::new(net.parameters().len());
        let mut sums = 0.0;
        for part in sequences.chunks(2) {
            let loss = net
                .forward_backward(&batch(&part.to_vec()), 1.0 / case.labels as f64, 0, &mut parts)
                .unwrap();
            sums += loss.sum;
        }
        assert!((sums / sum - 1.0).abs() < 1e-6, "{}: {sums} {sum}", case.name);
        for (index, parameter) in net.parameters().iter().enumerate() {
            let off = relative(parts.get(index).unwrap(), together.get(index).unwrap());
            assert!(off < 1e-5, "{}: {} is off by {off:.1e}", case.name, parameter.name);
        }
    }
}

/// A copy of a model folder with the values that `net` has for its frozen linears.
fn dequantised(net: &TrainNet, family: &str) -> tempfile::TempDir {
    let from = fixtures().join(family);
    let mut weights = candle_core::safetensors::load(from.join("model.safetensors"), &Device::Cpu).unwrap();
    for projection in net.modules().layers.iter().flat_map(|layer| layer.projections()) {
        let Matrix::Frozen(matrix) = &projection.weight else { panic!("{} is trained", projection.name) };
        assert!(!matches!(matrix, FrozenMatrix::Dense { .. }), "{} is not quantised", projection.name);
        let mut values = vec![0.0; projection.rows * projection.columns];
        matrix.copy(0, &mut values);
        let values = Tensor::from_vec(values, (projection.rows, projection.columns), &Device::Cpu).unwrap();
        let before = weights.insert(format!("{}.weight", projection.name), values);
        assert!(before.is_some());
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(from.join("config.json"), folder.path().join("config.json")).unwrap();
    candle_core::safetensors::save(&weights, folder.path().join("model.safetensors")).unwrap();
    folder
}

#[test]
fn a_quantised_base_trains_as_its_dequantised_weights_do() {
    let Cases { batch: sequences, cases } = json("cases.json");
    let sequences = batch(&sequences);
    let double = Quantization::nf4(true);
    for case in
        cases.iter().filter(|case| ["qwen2-lora", "qwen2-dora", "qwen3-lora"].contains(&case.name.as_str()))
    {
        for quantization in [double, Quantization::Int8] {
            let options = case.method.options(Precision::Fp32);
            let net =
                open(&case.family, TrainOptions { quantization: Some(quantization), ..options.clone() });
            let folder = dequantised(&net, &case.family);
            let plain = TrainNet::open(folder.path(), options).unwrap();
            for (to, from) in plain.parameters().iter().zip(net.parameters()) {
                to.value.set(&from.value).unwrap();
            }
            let ((own, ours), (exact, theirs)) =
                (gradients(&net, &sequences, 1.0), gradients(&plain, &sequences, 1.0));
            let name = format!("{} on {quantization:?}", case.name);
            assert!((own / exact - 1.0).abs() < 1e-6, "{name}: {own} {exact}");
            for (index, parameter) in net.parameters().iter().enumerate() {
                let off = relative(ours.get(index).unwrap(), theirs.get(index).unwrap());
                assert!(off < 1e-5, "{name}: {} is off by {off:.1e}", parameter.name);
            }
        }
    }
}
