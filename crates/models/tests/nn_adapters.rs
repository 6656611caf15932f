//! LoRA and NF4: packed bytes against bitsandbytes, gradients against finite differences.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use half::f16;
use lore_models::nn::lora::{Lora, LoraDelta, lora_scale};
use lore_models::nn::nf4::{NF4, Nf4, Nf4Matrix};
use lore_models::nn::{Dense, Linear};
use proptest::prelude::*;

/// Numbers between -1 and 1.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn tensor(shape: &[usize], seed: u64, kind: DType) -> Tensor {
    let values = numbers(shape.iter().product(), seed);
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(kind).unwrap()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn flat(x: &Tensor) -> Vec<f32> {
    x.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn nf4_is_packed_as_bitsandbytes_packs_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/nf4/expected.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let data = |name: &str| file.tensor(name).unwrap().data();
    let (rows, columns) = (64, 272);
    let weight: Vec<f32> =
        data("weight").as_chunks::<2>().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect();
    let row = |matrix: &Nf4Matrix| {
        let mut out = vec![0.0; columns];
        matrix.dequantise(8 * columns, &mut out);
        out
    };
    let plain = Nf4Matrix::quantise(&weight, rows, columns, false).unwrap();
    assert!(plain.packed() == data("packed"));
    assert_eq!(row(&plain), floats(data("dequantised")));
    let double = Nf4Matrix::quantise(&weight, rows, columns, true).unwrap();
    assert!(double.packed() == data("packed"));
    let (codes, map) = (data("codes"), floats(data("map")));
    // bitsandbytes' CPU kernel does not always take the nearest code of the second level; its others do, as we do.
    let (seconds, offset) = (floats(data("second_absmax")), floats(data("offset"))[0]);
    let mut all = vec![0.0; rows * columns];
    double.dequantise(0, &mut all);
    let mut exact = 0;
    for (block, (values, scale)) in all.chunks(64).zip(floats(data("absmax"))).enumerate() {
        let largest = values.iter().fold(0f32, |most, value| most.max(value.abs()));
        let theirs = map[usize::from(codes[block])] * seconds[block / 256] + offset;
        assert!((largest - scale).abs() <= (theirs - scale).abs() + 1e-7 || scale == 0.0, "block {block}");
        exact += usize::from(largest == theirs || scale == 0.0);
    }
    assert_eq!(exact, 272 - 5);
    assert!(apart(&row(&double), &floats(data("double_dequantised"))) < 1e-7);
    assert_eq!(double.bytes(), 32 * 272 + 272 + 2 * 4 + 4);
}

#[test]
fn double_quantisation_takes_four_and_an_eighth_bits_a_weight() {
    let matrix = Nf4Matrix::quantise(&numbers(512 * 1024, 3), 512, 1024, true).unwrap();
    let bits = matrix.bytes() as f64 * 8.0 / (512.0 * 1024.0);
    assert!(bits < 4.13, "{bits}");
}

#[test]
fn what_cannot_be_packed_is_an_error() {
    assert!(Nf4Matrix::quantise(&[1.0; 6], 2, 4, true).is_err());
    assert!(Nf4Matrix::quantise(&[], 0, 4, true).is_err());
    assert!(Nf4Matrix::quantise(&[1.0, f32::NAN], 1, 2, true).is_err());
}

#[test]
fn an_nf4_layer_multiplies_by_its_dequantised_weights_and_gives_the_gradient_of_its_input() {
    let (outputs, inputs) = (300, 70); // more than one panel; blocks that run over the ends of rows
    let weight = Nf4Matrix::quantise(&numbers(outputs * inputs, 1), outputs, inputs, true).unwrap();
    let mut dense = vec![0.0; outputs * inputs];
    weight.dequantise(0, &mut dense);
    let dense = Tensor::from_vec(dense, (outputs, inputs), &Device::Cpu).unwrap();
    let bias = tensor(&[outputs], 2, DType::F32);
    let layer = Nf4::new(weight, Some(bias.clone()));
    let x = Var::from_tensor(&tensor(&[2, 3, inputs], 4, DType::F32)).unwrap();
    let y = layer.forward(&x).unwrap();
    assert_eq!(y.dims(), [2, 3, outputs]);
    let expected = x.reshape((6, inputs)).unwrap().matmul(&dense.t().unwrap()).unwrap();
    let expected = expected.broadcast_add(&bias).unwrap();
    assert!(apart(&flat(&y), &flat(&expected)) < 1e-5);

    let seed = tensor(&[2, 3, outputs], 5, DType::F32);
    let loss = |x: &Tensor| (layer.forward(x).unwrap() * &seed).unwrap().sum_all().unwrap();
    let grads = loss(&x).backward().unwrap();
    let gradient = flat(grads.get(&x).unwrap());
    assert_eq!(grads.get_ids().count(), 3, "of the input, the product and the output; none of the weights");
    // The layer is affine, so that differences over any step are exact but for rounding.
    let values = flat(&x);
    for place in [0, 69, 70, 211, 419] {
        let at = |step: f32| {
            let mut moved = values.clone();
            moved[place] += step;
            loss(&Tensor::from_vec(moved, (2, 3, inputs), &Device::Cpu).unwrap()).to_scalar::<f32>().unwrap()
        };
        let slope = (at(4.0) - at(-4.0)) / 8.0;
        assert!((slope - gradient[place]).abs() < 1e-3, "{place}: {slope} and {}", gradient[place]);
    }
    let half = layer.forward(&x.to_dtype(DType::BF16).unwrap()).unwrap();
    assert_eq!(half.dtype(), DType::BF16);
    assert!(layer.forward(&tensor(&[2, 5], 1, DType::F32)).is_err());
}

#[test]
fn a_low_rank_difference_is_added_and_trained() {
    let (outputs, inputs, rank) = (7, 5, 3);
    let weight = tensor(&[outputs, inputs], 1, DType::F64);
    let a = Var::from_tensor(&tensor(&[rank, inputs], 2, DType::F64)).unwrap();
    let b = Var::from_tensor(&tensor(&[outputs, rank], 3, DType::F64)).unwrap();
    let x = Var::from_tensor(&tensor(&[2, 4, inputs], 4, DType::F64)).unwrap();
    assert_eq!((lora_scale(16.0, 4, false), lora_scale(16.0, 4, true)), (4.0, 8.0));
    let layer = || {
        let delta = LoraDelta::new(a.as_tensor().clone(), b.as_tensor().clone(), 6.0, false).unwrap();
        Lora::new(Linear::Dense(Dense::new(weight.clone(), None)), delta).unwrap()
    };
    let y = layer().forward(&x).unwrap();
    let merged = (&weight + layer().delta().weight().unwrap()).unwrap();
    let expected = x.reshape((8, inputs)).unwrap().matmul(&merged.t().unwrap()).unwrap();
    assert_eq!(y.dims(), [2, 4, outputs]);
    assert!(apart(&flat(&y), &flat(&expected)) < 1e-6);

    let loss = || layer().forward(&x).unwrap().sqr().unwrap().sum_all().unwrap();
    let grads = loss().backward().unwrap();
    for var in [&a, &b, &x] {
        let values = var.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let gradient = grads.get(var).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        for place in 0..values.len() {
            let at = |step: f64| {
                let mut moved = values.clone();
                moved[place] += step;
                var.set(&Tensor::from_vec(moved, var.shape(), &Device::Cpu).unwrap()).unwrap();
                loss().to_scalar::<f64>().unwrap()
            };
            let slope = (at(1e-4) - at(-1e-4)) / 2e-4;
            let off = (slope - gradient[place]).abs();
            assert!(off <= 1e-6 * slope.abs().max(1.0), "{place}: {slope} and {}", gradient[place]);
        }
        var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
    }
    let other = tensor(&[outputs, 4], 1, DType::F64);
    assert!(LoraDelta::new(a.as_tensor().clone(), other, 6.0, true).is_err());
}

proptest! {
    #[test]
    fn nf4_takes_the_nearest_of_its_values(values in prop::collection::vec(-10f32..10.0, 1..200)) {
        let matrix = Nf4Matrix::quantise(&values, 1, values.len(), false).unwrap();
        let mut back = vec![0.0; values.len()];
        matrix.dequantise(0, &mut back);
        for (block, back) in values.chunks(64).zip(back.chunks(64)) {
            let most = block.iter().fold(0f32, |most, value| most.max(value.abs()));
            for (value, back) in block.iter().zip(back) {
                let best = NF4.iter().map(|code| (code * most - value).abs()).fold(f32::INFINITY, f32::min);
                prop_assert!((back - value).abs() <= best + 1e-5 * most);
            }
        }
    }
}
