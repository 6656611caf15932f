//! Training on an NVIDIA device against the CPU in f64. Skipped where there is no device, unless `LORE_TEST_CUDA=required`.
#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod training_support;

use candle_core::{DType, Device};
use lore_models::training::{
    BottleneckActivation, BottleneckOptions, Gradients, LoraOptions, Method, Precision, Quantization,
    TrainNet, TrainOptions,
};
use training_support::{batch, relative, scattered, tiny, values};

fn device() -> Option<Device> {
    match Device::new_cuda(0) {
        Ok(device) => Some(device),
        Err(error) => {
            let required = std::env::var("LORE_TEST_CUDA").is_ok_and(|value| value == "required");
            assert!(!required, "no CUDA device: {error}");
            eprintln!("skipped: {error}");
            None
        }
    }
}

/// Gradients, loss with dropout, loss without, logits.
fn run(net: &TrainNet) -> (Vec<Vec<f64>>, f64, f64, Vec<f64>) {
    scattered(net);
    let mut gradients = Gradients::new(net.parameters().len());
    let loss = net.forward_backward(&batch(), 1.0, 3, &mut gradients).unwrap();
    assert!(gradients.norm().unwrap() > 0.0);
    let all = (0..gradients.len()).map(|index| values(gradients.get(index).unwrap())).collect();
    (all, loss.sum, net.loss(&batch()).unwrap().sum, values(&net.logits(&batch()).unwrap()))
}

#[test]
fn a_device_computes_what_the_cpu_computes() {
    let Some(device) = device() else { return };
    let lora = |dora, dropout| Method::Lora(LoraOptions { dora, dropout, ..LoraOptions::default() });
    let bottleneck = |activation| Method::Bottleneck(BottleneckOptions { size: 3, activation });
    let nf4 = |double| Some(Quantization::nf4(double));
    for (method, quantization) in [
        (Method::Full, None),
        (lora(false, 0.0), None),
        (lora(true, 0.2), None),
        (lora(false, 0.2), nf4(true)),
        (lora(true, 0.0), nf4(false)),
        (lora(false, 0.0), Some(Quantization::Int8)),
        (bottleneck(BottleneckActivation::Silu), None),
        (bottleneck(BottleneckActivation::Relu), nf4(true)),
    ] {
        let options = TrainOptions { quantization, ..TrainOptions::new(method.clone()) };
        let exact = TrainOptions { precision: Precision::Fp32, ..options.clone() };
        let expected = run(&TrainNet::random(tiny(), 0.3, exact).unwrap().on_graph(DType::F64));
        for (precision, near) in [(Precision::Fp32, 2e-5), (Precision::Bf16, 0.15), (Precision::Fp16, 0.02)] {
            for gradient_checkpointing in [false, true] {
                let (device, options) = (device.clone(), options.clone());
                let options = TrainOptions { precision, device, gradient_checkpointing, ..options };
                let own = run(&TrainNet::random(tiny(), 0.3, options).unwrap());
                let off = [
                    relative(&own.0.concat(), &expected.0.concat()),
                    (own.1 / expected.1 - 1.0).abs(),
                    (own.2 / expected.2 - 1.0).abs(),
                    relative(&own.3, &expected.3),
                ];
                eprintln!("{method:?} {quantization:?} {precision:?}: {off:?}");
                assert!(
                    off.iter().all(|off| *off < near),
                    "{method:?} {quantization:?} {precision:?}: {off:?}"
                );
            }
        }
    }
}
