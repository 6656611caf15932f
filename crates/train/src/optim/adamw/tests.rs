#![allow(clippy::unwrap_used, reason = "tests")]

use candle_core::{Device, Var};
use proptest::prelude::*;

use super::*;
use crate::optim::clipping;

/// Values that another program makes to the bit.
fn number(index: usize, step: usize) -> f32 {
    ((index * 37 + step * 53) % 101) as f32 / 64.0 - 50.0 / 64.0
}

fn parameter(kind: ParameterKind, count: usize) -> Parameter {
    let values: Vec<f32> = (0..count).map(|index| number(index, 0)).collect();
    let value = Var::from_tensor(&Tensor::new(values, &Device::Cpu).unwrap()).unwrap();
    Parameter { name: format!("{kind:?}"), kind, value }
}

fn gradients(values: Vec<f32>) -> Gradients {
    let mut gradients = Gradients::new(1);
    gradients.add(0, Tensor::new(values, &Device::Cpu).unwrap()).unwrap();
    gradients
}

fn values(parameter: &Parameter) -> Vec<f32> {
    parameter.value.to_vec1().unwrap()
}

/// Seven steps of `torch.optim.AdamW` (2.15, CPU with fused multiply-add), gradients clipped to 1 by
/// `torch.nn.utils.clip_grad_norm_`, the learning rate falling. torch takes roots through MKL, which rounds some of them
/// the wrong way; that is the one difference, and it moves nothing but the values.
#[test]
fn seven_steps_are_torchs() {
    const VALUES: [u32; 37] = [
        0xbf47_dd40,
        0xbe63_7ba4,
        0x3ec4_9592,
        0xbf21_78cb,
        0xbd72_9d05,
        0x3f08_b477,
        0xbef6_6bc9,
        0x3e01_f02c,
        0x3f31_49c5,
        0xbea8_fb72,
        0x3e8e_a83f,
        0xbf3c_4af6,
        0xbe32_0d1f,
        0x3edb_a07f,
        0xbf16_0381,
        0x3ca1_ceb3,
        0x3f14_c794,
        0xbedf_4f98,
        0x3e30_ba6a,
        0x3f40_ae98,
        0xbe91_14f5,
        0x3ea5_ce52,
        0xbf30_c601,
        0xbdf6_3b33,
        0x3ef2_a944,
        0xbf0a_8bf8,
        0x3d86_a929,
        0x3f20_5a67,
        0xbec8_18a3,
        0x3e5f_5dcf,
        0x3f47_3825,
        0xbe73_2d0a,
        0x3ebc_e5ae,
        0xbf25_4b08,
        0xbd98_8aac,
        0x3f04_db94,
        0xbefe_1a4d,
    ];
    const FIRST: [u32; 37] = [
        0xbcd8_5455,
        0x3c88_4ad5,
        0x3c88_0b4e,
        0x3a1b_1bfe,
        0xbcd3_4b20,
        0x3d32_9c41,
        0x3ce2_0612,
        0xbcef_f4bd,
        0xbcb4_4e80,
        0x3d5f_99a3,
        0xbb16_3c47,
        0xbc95_f9f8,
        0xbbec_963e,
        0x3cca_65a9,
        0x3c0e_6676,
        0xbd45_63ca,
        0x3a10_e540,
        0x3d12_3037,
        0xbcad_9a62,
        0xbd18_6667,
        0x3bbf_496a,
        0x3bbe_4b4e,
        0xbc27_3f39,
        0xbd15_e1ce,
        0x3d06_6003,
        0x3c89_8d98,
        0xbd24_369c,
        0x3c0d_c30b,
        0x3d33_5d66,
        0xbc56_8009,
        0xbcee_7272,
        0x3c64_596e,
        0x3c63_da5d,
        0xbb0a_2a05,
        0xbce9_693f,
        0x3d27_8d30,
        0x3ccb_e7f4,
    ];
    const SECOND: [u32; 37] = [
        0x390d_d20e,
        0x3969_2331,
        0x390b_6d34,
        0x38f2_2560,
        0x3967_27a8,
        0x3931_a1ee,
        0x390c_0595,
        0x3925_9458,
        0x392f_23a6,
        0x3946_aabc,
        0x3908_4d3c,
        0x3903_6d9b,
        0x396e_9c4f,
        0x3912_b863,
        0x38f5_2dd6,
        0x3951_b178,
        0x393a_c8a8,
        0x3919_727e,
        0x3918_a0c6,
        0x3921_3c07,
        0x395c_a54b,
        0x3907_4257,
        0x38f9_3786,
        0x3972_abac,
        0x391d_962b,
        0x38ff_5b81,
        0x393c_67d2,
        0x393d_74d7,
        0x392a_7200,
        0x390f_3fd0,
        0x3912_141c,
        0x3965_6b47,
        0x3909_ca0d,
        0x38f2_b90b,
        0x3969_703b,
        0x392c_068f,
        0x3908_5732,
    ];
    let settings = OptimSettings { weight_decay: 0.1, ..OptimSettings::default() };
    let parameters = [parameter(ParameterKind::Weight, 37)];
    let mut optimiser = AdamW::new(&settings, 1);
    for step in 1..8 {
        let scale = 0.5f32.powi(step as i32 % 3);
        let gradients = gradients((0..37).map(|index| number(index, step) * scale).collect());
        let factor = clipping(gradients.norm().unwrap(), 1.0);
        optimiser.step(&parameters, &gradients, 1e-2 / step as f64, factor).unwrap();
    }
    let moments = optimiser.moments()[0].as_ref().unwrap();
    let (first, second) = (moments.first().unwrap(), moments.second().unwrap());
    for (own, torch) in [(first, FIRST), (second, SECOND)] {
        for (own, torch) in own.iter().zip(torch.map(f32::from_bits)) {
            if Isa::detect() == Isa::Portable {
                assert!((own - torch).abs() <= 1e-6 * torch.abs(), "{own} {torch}");
            } else {
                assert_eq!(own.to_bits(), torch.to_bits(), "{own} {torch}");
            }
        }
    }
    for (own, torch) in values(&parameters[0]).iter().zip(VALUES.map(f32::from_bits)) {
        assert!((own - torch).abs() <= 2.0 * f32::EPSILON * torch.abs(), "{own} {torch}");
    }
}

/// A net of nothing but one parameter moves by the learning rate in its first step, whichever way the gradient points.
fn moved(kind: ParameterKind, gradient: f32) -> f32 {
    let settings =
        OptimSettings { weight_decay: 0.5, loraplus_ratio: Some(16.0), ..OptimSettings::default() };
    let parameters = [parameter(kind, 1)];
    let before = values(&parameters[0])[0];
    AdamW::new(&settings, 1).step(&parameters, &gradients(vec![gradient]), 1e-3, 1.0).unwrap();
    values(&parameters[0])[0] - before
}

#[test]
fn norms_and_biases_do_not_decay_and_b_learns_faster() {
    use ParameterKind::{Bias, Bottleneck, Embedding, LoraA, LoraB, Magnitude, Norm, Weight};
    let near = |is: f32, expected: f32| assert!((is - expected).abs() < 1e-6, "{is} {expected}");
    let start = number(0, 0);
    for kind in [Weight, Embedding, LoraA, Bottleneck] {
        near(moved(kind, 0.0), -start * 1e-3 * 0.5);
        near(moved(kind, 3.0), -start * 1e-3 * 0.5 - 1e-3);
    }
    for kind in [LoraB, Magnitude] {
        near(moved(kind, 0.0), -start * 16e-3 * 0.5);
        near(moved(kind, -3.0), -start * 16e-3 * 0.5 + 16e-3);
    }
    for kind in [Norm, Bias] {
        near(moved(kind, 0.0), 0.0);
        near(moved(kind, 3.0), -16e-3);
    }
}

#[test]
fn what_has_no_gradient_stays_and_counts_no_step() {
    let parameters = [parameter(ParameterKind::Weight, 3), parameter(ParameterKind::Weight, 3)];
    let settings = OptimSettings { weight_decay: 0.5, ..OptimSettings::default() };
    let mut optimiser = AdamW::new(&settings, 2);
    optimiser.step(&parameters, &gradients(vec![1.0; 3]), 1e-3, 1.0).unwrap();
    assert_eq!(values(&parameters[1]), values(&parameter(ParameterKind::Weight, 3)));
    assert_eq!(optimiser.moments()[0].as_ref().map(|moments| moments.steps), Some(1));
    assert!(optimiser.moments()[1].is_none());
}

#[test]
fn moments_that_were_saved_go_on_as_if_nothing_had_been() {
    let settings = OptimSettings { weight_decay: 0.01, ..OptimSettings::default() };
    let (whole, parts) = ([parameter(ParameterKind::LoraB, 9)], [parameter(ParameterKind::LoraB, 9)]);
    let mut optimiser = AdamW::new(&settings, 1);
    let mut other = AdamW::new(&settings, 1);
    for step in 1..7 {
        let gradients = gradients((0..9).map(|index| number(index, step)).collect());
        optimiser.step(&whole, &gradients, 1e-2, 0.5).unwrap();
        other.step(&parts, &gradients, 1e-2, 0.5).unwrap();
        let moments = other.moments()[0].as_ref().unwrap();
        let (first, second) = (moments.first().unwrap().to_vec(), moments.second().unwrap().to_vec());
        let saved = Moments::new(moments.steps, first, second, &parts[0].value).unwrap();
        other = AdamW::new(&settings, 1);
        other.restore(0, saved);
    }
    assert_eq!(values(&whole[0]), values(&parts[0]));
    assert!(Moments::new(1, vec![0.0; 8], vec![0.0; 9], &parts[0].value).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn tensors_and_slices_take_the_same_step(
        kept in prop::collection::vec((-2f32..2.0, -1f32..1.0, 0f32..1.0, -3f32..3.0), 1..40),
        t in 1u64..1000,
    ) {
        let settings = OptimSettings { weight_decay: 0.1, ..OptimSettings::default() };
        let column = |pick: fn(&(f32, f32, f32, f32)) -> f32| kept.iter().map(pick).collect::<Vec<f32>>();
        let make = || {
            let value = Var::from_tensor(&Tensor::new(column(|row| row.0), &Device::Cpu).unwrap()).unwrap();
            Parameter { name: "w".into(), kind: ParameterKind::Weight, value }
        };
        let (slices, tensors) = (make(), make());
        let gradient = Tensor::new(column(|row| row.3), &Device::Cpu).unwrap();
        let mut optimiser = AdamW::new(&settings, 1);
        optimiser.restore(0, Moments::new(t - 1, column(|row| row.1), column(|row| row.2), &slices.value).unwrap());
        let mut gradients = Gradients::new(1);
        gradients.add(0, gradient.clone()).unwrap();
        optimiser.step(std::slice::from_ref(&slices), &gradients, 1e-2, 0.25).unwrap();
        let step = optimiser.numbers(ParameterKind::Weight, t, 1e-2, 0.25);
        let mut first = Tensor::new(column(|row| row.1), &Device::Cpu).unwrap();
        let mut second = Tensor::new(column(|row| row.2), &Device::Cpu).unwrap();
        on_tensors(step, &tensors, &mut first, &mut second, &gradient).unwrap();
        for (slice, tensor) in values(&slices).iter().zip(values(&tensors)) {
            prop_assert!((slice - tensor).abs() <= 1e-5 * slice.abs().max(0.1), "{slice} {tensor}");
        }
    }
}
