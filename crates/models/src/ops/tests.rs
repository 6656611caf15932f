#![allow(clippy::unwrap_used, reason = "tests")]

use super::attention::attention;
use super::elementwise::{self, erf_for_test, exp2_for_test};
use super::gemm::{PackedLinear, Then, linear};
use super::*;

/// Numbers in -1..1 that look random.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn panels(values: &[f32], features: usize) -> Panels {
    let mut panels = Panels::default();
    panels.reshape(values.len() / features, features);
    values.chunks(features).enumerate().for_each(|(token, row)| panels.set_token(token, row));
    panels
}

/// erf by its power series (Abramowitz and Stegun 7.1.5), in f64.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > 1e-18 * sum.abs() {
        n += 1.0;
        term *= -x * x / n;
        sum += term / (2.0 * n + 1.0);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

#[test]
fn erf_and_exp2_are_exact_to_f32() {
    for step in -4000..=4000 {
        let x = step as f32 / 1000.0;
        assert!((f64::from(erf_for_test(x)) - erf(f64::from(x))).abs() < 5e-7, "{x}");
    }
    assert!((erf_for_test(30.0) - 1.0).abs() < 5e-7 && (erf_for_test(-30.0) + 1.0).abs() < 5e-7);
    for step in 0..=12_000 {
        let x = -f64::from(step) / 100.0;
        let error = f64::from(exp2_for_test(x as f32)) / f64::from(x as f32).exp2() - 1.0;
        assert!(error.abs() < 3e-7, "{x}: {error}");
    }
    assert!(exp2_for_test(-1e30) < 1e-37);
}

#[test]
fn gelu_matches_f64() {
    for isa in Isa::available() {
        let values = noise(64 * LANES, 3);
        let mut lanes: Vec<Lanes> =
            values.chunks(LANES).map(|c| Lanes(std::array::from_fn(|l| c[l] * 6.0))).collect();
        elementwise::gelu(isa, &mut lanes);
        for (got, x) in lanes.iter().flat_map(|lanes| lanes.0).zip(&values) {
            let x = f64::from(x * 6.0);
            let want = 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2));
            assert!((f64::from(got) - want).abs() < 2e-6, "{isa:?} {x}: {got} {want}");
        }
    }
}

#[test]
fn layer_norm_matches_f64() {
    for isa in Isa::available() {
        let (tokens, features) = (16, 77);
        let (x, weight, bias) = (noise(tokens * features, 1), noise(features, 2), noise(features, 3));
        let mut got = panels(&x, features);
        elementwise::layer_norm(isa, got.block_mut(0), &weight, &bias, 1e-5);
        for (token, row) in x.chunks(features).enumerate() {
            let count = features as f64;
            let mean = row.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
            let variance = row.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count;
            for (f, got) in got.token(token).into_iter().enumerate() {
                let want = (f64::from(row[f]) - mean) / (variance + 1e-5).sqrt() * f64::from(weight[f])
                    + f64::from(bias[f]);
                assert!((f64::from(got) - want).abs() < 3e-6, "{isa:?}");
            }
        }
    }
}

#[test]
fn products_match_f64_in_every_shape() {
    for isa in Isa::available() {
        for (tokens, inputs, outputs) in
            [(1, 1, 1), (16, 32, 12), (17, 30, 13), (33, 384, 100), (64, 401, 24), (50, 1000, 7), (5, 8, 205)]
        {
            for (then, parallel) in
                [(Then::Store, false), (Then::Add, true), (Then::Gelu, true), (Then::Add, false)]
            {
                let (x, w, b) = (noise(tokens * inputs, 1), noise(outputs * inputs, 2), noise(outputs, 3));
                let before = noise(tokens * outputs, 4);
                let layer = PackedLinear::pack(&w, &b, inputs);
                assert_eq!((layer.inputs(), layer.outputs()), (inputs, outputs));
                let (x_panels, mut y) = (panels(&x, inputs), panels(&before, outputs));
                linear(isa, parallel, &layer, x_panels.view(), y.view_mut(), then);
                for token in 0..tokens {
                    for (o, got) in y.token(token).into_iter().enumerate() {
                        let products = (0..inputs)
                            .map(|i| f64::from(x[token * inputs + i]) * f64::from(w[o * inputs + i]));
                        let mut want = products.sum::<f64>() + f64::from(b[o]);
                        match then {
                            Then::Store => {}
                            Then::Add => want += f64::from(before[token * outputs + o]),
                            Then::Gelu => {
                                want = if want < -4.0 {
                                    0.0
                                } else if want > 4.0 {
                                    want
                                } else {
                                    0.5 * want * (1.0 + erf(want * std::f64::consts::FRAC_1_SQRT_2))
                                }
                            }
                        }
                        let error = (f64::from(got) - want).abs();
                        // GELU beyond 4 is taken as 0 or x above: off by up to 4 * 3e-5.
                        let allowed = if then == Then::Gelu { 3e-4 } else { 2e-5 };
                        assert!(
                            error < allowed,
                            "{isa:?} {tokens}x{inputs}x{outputs} {then:?}: {got} {want}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn attention_of_packed_sequences_matches_f64() {
    for isa in Isa::available() {
        for (head, heads) in [(32, 3), (26, 2), (8, 4), (64, 1)] {
            for lengths in
                [vec![1], vec![40, 3, 17, 1, 9, 30], vec![100], vec![16, 16], vec![5, 5, 5, 5, 5, 64]]
            {
                let hidden = head * heads;
                let tokens: usize = lengths.iter().sum();
                let qkv: Vec<f32> = noise(tokens * 3 * hidden, 7).iter().map(|v| v * 2.0).collect();
                let mut spans = Vec::new();
                for length in &lengths {
                    let start = spans.len() as u32;
                    spans.extend(std::iter::repeat_n((start, start + *length as u32), *length));
                }
                let mut out = Panels::default();
                out.reshape(tokens, hidden);
                let packed = panels(&qkv, 3 * hidden);
                attention(isa, tokens > 50, head, packed.view(), &spans, out.view_mut());
                let at = |token: usize, feature: usize| f64::from(qkv[token * 3 * hidden + feature]);
                for (token, span) in spans.iter().enumerate() {
                    let got = out.token(token);
                    for h in 0..heads {
                        let score = |key: usize| {
                            (0..head)
                                .map(|d| at(token, h * head + d) * at(key, hidden + h * head + d))
                                .sum::<f64>()
                                .exp2()
                        };
                        let weights: Vec<f64> = (span.0..span.1).map(|key| score(key as usize)).collect();
                        let sum: f64 = weights.iter().sum();
                        for d in 0..head {
                            let values =
                                (span.0..span.1).map(|key| at(key as usize, 2 * hidden + h * head + d));
                            let want = values.zip(&weights).map(|(v, w)| v * w).sum::<f64>() / sum;
                            let error = (f64::from(got[h * head + d]) - want).abs();
                            assert!(error < 5e-5, "{isa:?} {head} {lengths:?} {error}");
                        }
                    }
                }
            }
        }
    }
}
