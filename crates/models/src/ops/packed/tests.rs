#![allow(clippy::unwrap_used, reason = "tests")]

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

use super::*;

fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn plain(w: &[f32], x: &[f32], columns: usize) -> Vec<f32> {
    let dot = |x: &[f32], w: &[f32]| x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>();
    x.chunks(columns).flat_map(|x| w.chunks(columns).map(move |w| dot(x, w) as f32)).collect()
}

fn product(
    isa: Isa,
    packed: &PackedMatrix,
    x: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
    accumulate: bool,
) {
    let quantised = packed.wants_quantised().then(|| Quantised::of(isa, x, packed.columns()));
    let tokens = x.len() / packed.columns();
    let x = Activations { tokens, values: x, quantised: quantised.as_ref() };
    products(isa, &x, &mut [Product { weights: packed, bias, out, accumulate }]);
}

#[test]
fn floats_of_every_width_multiply_as_the_plain_sum_says() {
    for (rows, columns) in [(1, 1), (31, 7), (32, 64), (70, 96)] {
        let w = noise(rows * columns, 1);
        let bias = noise(rows, 3);
        let halves: Vec<f16> = w.iter().map(|v| f16::from_f32(*v)).collect();
        let brains: Vec<bf16> = w.iter().map(|v| bf16::from_f32(*v)).collect();
        let widened = |values: Vec<f32>| values;
        let cases = [
            (widened(w.clone()), RawMatrix::F32(w.clone())),
            (halves.iter().map(|v| v.to_f32()).collect(), RawMatrix::F16(halves)),
            (brains.iter().map(|v| v.to_f32()).collect(), RawMatrix::Bf16(brains)),
        ];
        for (values, raw) in cases {
            let packed = PackedMatrix::pack(raw, rows, columns).unwrap();
            let mut row = vec![0.0; columns];
            packed.row(rows - 1, &mut row);
            assert_eq!(row, values[(rows - 1) * columns..], "{packed:?}");
            for isa in Isa::available() {
                for tokens in [1, 2, 3, 5, 6, 7, 8, 13] {
                    let x = noise(tokens * columns, 2);
                    let expected = plain(&values, &x, columns);
                    let mut out = vec![1.0; tokens * rows];
                    product(isa, &packed, &x, Some(&bias), &mut out, true);
                    for (i, (out, expected)) in out.iter().zip(&expected).enumerate() {
                        let expected = expected + bias[i % rows] + 1.0;
                        assert!(
                            (out - expected).abs() < 1e-5,
                            "{isa:?} {packed:?} {tokens}: {out} {expected}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn q8_is_the_same_on_every_machine_and_near_its_dequantised_weights() {
    for (rows, columns) in [(1, 32), (33, 64), (96, 160)] {
        let w = Tensor::from_vec(noise(rows * columns, 5), (rows, columns), &Device::Cpu).unwrap();
        let quantised = QTensor::quantize(&w, GgmlDType::Q8_0).unwrap();
        let values: Vec<f32> =
            quantised.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let bytes = quantised.data().unwrap().into_owned();
        let packed = PackedMatrix::pack(RawMatrix::Quantized { kind: GgmlDType::Q8_0, bytes }, rows, columns);
        let packed = packed.unwrap();
        for row in 0..rows {
            let mut out = vec![0.0; columns];
            packed.row(row, &mut out);
            assert_eq!(out, values[row * columns..][..columns], "row {row}");
        }
        for tokens in [1, 4, 6, 9] {
            let x = noise(tokens * columns, 6);
            let expected = plain(&values, &x, columns);
            let mut reference = vec![0.0; tokens * rows];
            product(Isa::Portable, &packed, &x, None, &mut reference, false);
            let norm = expected.iter().map(|v| v * v).sum::<f32>().sqrt();
            let off = expected.iter().zip(&reference).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt();
            assert!(off < 2e-2 * norm, "relative error {}", off / norm);
            for isa in Isa::available() {
                let mut out = vec![0.0; tokens * rows];
                product(isa, &packed, &x, None, &mut out, false);
                for (out, reference) in out.iter().zip(&reference) {
                    assert!((out - reference).abs() < 2e-6 * norm.max(1.0), "{isa:?}: {out} {reference}");
                }
            }
        }
    }
}

#[test]
fn a_type_without_a_packed_form_comes_back() {
    let raw = RawMatrix::Quantized { kind: GgmlDType::Q4K, bytes: vec![0; 144] };
    assert!(PackedMatrix::pack(raw.clone(), 1, 256).is_err_and(|back| back == raw));
}
