//! A tiny decoder with every option, and what its tests share.
#![allow(dead_code, reason = "each test uses a part")]

use candle_core::{DType, Device, Tensor};
use lore_models::decoder::{DecoderConfig, Rope, RopeScaling};
use lore_models::training::{Batch, TrainNet};

/// Two layers, the second with a window; grouped heads, norms of heads, all biases, an output layer of its own.
pub fn tiny() -> DecoderConfig {
    DecoderConfig {
        architecture: "tiny".into(),
        vocabulary: 13,
        hidden: 8,
        intermediate: 10,
        heads: 4,
        kv_heads: 2,
        head_dim: 4,
        windows: vec![None, Some(3)],
        norm_epsilon: 1e-5,
        rope: Rope { theta: 100.0, scaling: RopeScaling::Default },
        qkv_bias: true,
        output_bias: true,
        mlp_bias: true,
        qk_norm: true,
        tied: false,
        context: 64,
    }
}

/// Sequences of several lengths, some of whose tokens are learned.
pub fn batch() -> Batch {
    let mut batch = Batch::default();
    batch.push(&[3, 1, 4, 1, 5, 9, 2], &[false, false, true, true, true, true, true]);
    batch.push(&[6], &[true]);
    batch.push(&[5, 3, 5, 8, 0], &[true; 5]);
    batch.push(&[2, 7, 1, 8, 2, 8], &[false, true, true, true, true, true]);
    batch
}

/// Numbers between -1 and 1 on a grid of 2^-16, so that small steps from them are exact in f32.
pub fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 47) as f32 / 65536.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Sets all parameters to random values: around 1 for norms and magnitudes, around 0 for the rest.
pub fn scattered(net: &TrainNet) {
    use lore_models::training::ParameterKind::{Magnitude, Norm};
    for (seed, parameter) in net.parameters().iter().enumerate() {
        let middle = if matches!(parameter.kind, Norm | Magnitude) { 1.0 } else { 0.0 };
        let values = numbers(parameter.value.elem_count(), seed as u64);
        let values = values.into_iter().map(|value| middle + value / 2.0).collect();
        let values = Tensor::from_vec(values, parameter.value.shape(), &Device::Cpu).unwrap();
        parameter.value.set(&values.to_device(parameter.value.device()).unwrap()).unwrap();
    }
}

/// All values of a tensor, in f64.
pub fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Length of the difference, as a share of the second's length.
pub fn relative(own: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(own.len(), expected.len());
    let length =
        |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let off = length(&mut own.iter().zip(expected).map(|(own, expected)| own - expected));
    off / length(&mut expected.iter().copied()).max(f64::MIN_POSITIVE)
}
