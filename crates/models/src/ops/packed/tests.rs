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
        for tokens in 1..10 {
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
    let raw = RawMatrix::Quantized { kind: GgmlDType::Q2K, bytes: vec![0; 84] };
    assert!(PackedMatrix::pack(raw.clone(), 1, 256).is_err_and(|back| back == raw));
}

fn q8(bytes: Vec<u8>, rows: usize, columns: usize) -> PackedMatrix {
    PackedMatrix::pack(RawMatrix::Quantized { kind: GgmlDType::Q8_0, bytes }, rows, columns).unwrap()
}

#[test]
fn any_bytes_of_a_file_multiply_alike_on_every_machine() {
    let (rows, columns) = (45, 96);
    let mut bytes = Vec::new();
    for (block, noise) in noise(rows * columns, 8).chunks(32).enumerate() {
        bytes.extend(f16::from_f32(0.01 + block as f32 * 1e-4).to_le_bytes());
        bytes.extend(noise.iter().map(|v| if *v < -0.5 { 0x80 } else { (v * 127.0) as i8 as u8 }));
    }
    let packed = q8(bytes, rows, columns);
    for tokens in 1..10 {
        let x = noise(tokens * columns, 9);
        let mut reference = vec![0.0; tokens * rows];
        product(Isa::Portable, &packed, &x, None, &mut reference, false);
        for isa in Isa::available() {
            let mut out = vec![0.0; tokens * rows];
            product(isa, &packed, &x, None, &mut out, false);
            for (out, reference) in out.iter().zip(&reference) {
                assert!((out - reference).abs() < 1e-4, "{isa:?} {tokens}: {out} {reference}");
            }
        }
    }
}

#[test]
fn a_token_gets_the_same_sums_to_the_last_bit_whatever_is_read_beside_it() {
    let (rows, columns) = (70, 96);
    let w = noise(rows * columns, 5);
    let tensor = Tensor::from_vec(w.clone(), (rows, columns), &Device::Cpu).unwrap();
    let bytes = QTensor::quantize(&tensor, GgmlDType::Q8_0).unwrap().data().unwrap().into_owned();
    for packed in [q8(bytes, rows, columns), PackedMatrix::pack(RawMatrix::F32(w), rows, columns).unwrap()] {
        let x = noise(20 * columns, 6);
        for isa in Isa::available() {
            let run = |x: &[f32]| {
                let mut out = vec![0.0; x.len() / columns * rows];
                product(isa, &packed, x, None, &mut out, false);
                out
            };
            let one_by_one: Vec<f32> = x.chunks(columns).flat_map(run).collect();
            for chunk in 2..=20 {
                let chunks: Vec<f32> = x.chunks(chunk * columns).flat_map(run).collect();
                assert_eq!(chunks, one_by_one, "{isa:?} {packed:?} {chunk}");
            }
        }
    }
}

#[test]
fn no_tokens_are_no_work() {
    let packed = q8(vec![0; 34], 1, 32);
    Isa::available().into_iter().for_each(|isa| product(isa, &packed, &[], None, &mut [], false));
}

#[test]
fn what_is_no_number_does_not_become_one() {
    let packed = q8([f16::ONE.to_le_bytes().as_slice(), &[1; 32]].concat(), 1, 32);
    for isa in Isa::available() {
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, 20, 31] {
                let mut x = noise(96, 3);
                x[32 + place] = wrong;
                let mut out = [0.0; 3];
                product(isa, &packed, &x, None, &mut out, false);
                assert_eq!(out.map(f32::is_finite), [true, false, true], "{isa:?} {wrong} {place}: {out:?}");
            }
        }
        let mut out = [0.0];
        product(isa, &packed, &[1e-38; 32], None, &mut out, false);
        assert!(out[0].abs() < 1e-30, "{isa:?}: {out:?}");
    }
}

#[test]
fn coarser_types_become_q8_and_stay_near() {
    for (kind, most) in [(GgmlDType::Q4K, 8e-3), (GgmlDType::Q6K, 8e-3)] {
        let (rows, columns) = (45, 512);
        let w = Tensor::from_vec(noise(rows * columns, 5), (rows, columns), &Device::Cpu).unwrap();
        let blocks = QTensor::quantize(&w, kind).unwrap();
        let values: Vec<f32> =
            blocks.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let bytes = blocks.data().unwrap().into_owned();
        let packed = PackedMatrix::pack(RawMatrix::Quantized { kind, bytes }, rows, columns).unwrap();
        let (mut off, mut norm) = (0.0, 0.0);
        for (row, values) in values.chunks(columns).enumerate() {
            let mut out = vec![0.0; columns];
            packed.row(row, &mut out);
            off += out.iter().zip(values).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
            norm += values.iter().map(|v| v * v).sum::<f32>();
        }
        let error = (off / norm).sqrt();
        assert!(error > 0.0 && error < most, "{kind:?}: {error}");
        let cut = RawMatrix::Quantized { kind, bytes: vec![0; kind.type_size()] };
        assert!(PackedMatrix::pack(cut, 2, 256).is_err());
    }
}
