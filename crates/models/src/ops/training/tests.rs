//! Kernels against their plain references.

use half::{bf16, f16};

use super::element::{Element, Real};
use super::linear::Out;
use super::matmul::{matmul, reference};
use super::*;

fn values<E: Element>(count: usize, seed: usize) -> Vec<E> {
    (0..count).map(|i| E::of_f32((((i * 37 + seed * 11) % 101) as f32 - 50.0) / 64.0)).collect()
}

fn near<R: Real>(own: &[R], expected: &[f64], relative: f64) {
    let most = expected.iter().fold(1.0f64, |most, value| most.max(value.abs()));
    for (index, (own, expected)) in own.iter().zip(expected).enumerate() {
        assert!((own.wide() - expected).abs() <= relative * most, "{index}: {own:?} {expected}");
    }
}

/// `rounding` is half the distance of two values at 1.
fn products<E: Element>(relative: f64, rounding: f64) {
    for (rows, inner, columns) in [(1, 1, 1), (13, 7, 33), (5, 64, 40), (100, 18, 70), (97, 33, 31)] {
        let (a, b) = (values::<E>(rows * inner, 1), values::<E>(inner * columns, 2));
        let plain = View::new(&a, rows, inner);
        let turned = View::new(&a, inner, rows).t();
        let wide = View::new(&b, inner, columns);
        let tall = View::new(&b, columns, inner).t();
        for (a, b) in [(plain, wide), (plain, tall), (turned, wide), (turned, tall)] {
            let expected = reference(a, b);
            let mut out = vec![E::Wide::of(1.0); rows * columns];
            matmul(a, b, &mut out, columns);
            let more: Vec<f64> = expected.iter().map(|value| value + 1.0).collect();
            near(&out, &more, relative);
            let segments = [Segment { a, b }, Segment { a, b }];
            linear(&segments, Out::Wide { out: &mut out, accumulate: false });
            let twice: Vec<f64> = expected.iter().map(|value| value * 2.0).collect();
            near(&out, &twice, relative);
            let bias = values::<E>(columns, 3);
            let bias: Vec<E::Wide> = bias.into_iter().map(E::widen).collect();
            let residual = values::<E>(rows * columns, 4);
            let mut rounded = vec![E::default(); rows * columns];
            linear(
                &segments[..1],
                Out::Rounded { out: &mut rounded, bias: Some(&bias), residual: Some(&residual) },
            );
            for (index, own) in rounded.iter().enumerate() {
                let sum = expected[index] + bias[index % columns].wide() + residual[index].widen().wide();
                let bound = relative.max(rounding);
                assert!(
                    (own.widen().wide() - sum).abs() <= bound * sum.abs().max(4.0),
                    "{index}: {own:?} {sum}"
                );
            }
        }
    }
}

#[test]
fn products_are_those_of_the_plain_reference() {
    products::<f64>(1e-14, 2e-16);
    products::<f32>(2e-6, 6e-8);
    products::<bf16>(2e-6, 1.0 / 256.0);
    products::<f16>(2e-6, 1.0 / 2048.0);
}
