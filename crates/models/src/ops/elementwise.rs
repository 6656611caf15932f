//! GELU, softmax and layer norm over token panels.

use super::isa::{fma, for_each_isa};
use super::{LANES, Lanes};

/// erf(x)/x as a quotient of polynomials in x², fitted to |x| <= 3.92 (weighted least squares with Lawson's
/// reweighting); beyond, erf is 1 within f32. Absolute error of erf evaluated in f32: 3.2e-7.
#[allow(clippy::approx_constant, reason = "a fitted coefficient, near the constant but not it")]
const ERF_P: [f32; 6] =
    [1.128379, 0.192_764_39, 0.053_060_506, 0.003_868_335_9, 0.000_287_478_64, 2.034_721e-6];
const ERF_Q: [f32; 6] = [1.0, 0.504_164_64, 0.115_084_74, 0.015_172_315, 0.001_188_115_4, 3.807_045_5e-5];
const ERF_END: f32 = 3.92;

/// (2^x - 1)/x on [-0.5, 0.5], minimax in the relative error of 2^x: 2e-9 before rounding.
#[allow(clippy::approx_constant, reason = "a fitted coefficient, near the constant but not it")]
const EXP2: [f32; 6] =
    [0.693_147_2, 0.240_226_48, 0.055_503_324, 0.009_618_437, 0.001_339_887_5, 0.000_153_533_6];
/// Adding it to a small number leaves that number, rounded to an integer, in the low bits.
const ROUND: f32 = 12_582_912.0;
/// Below it 2^x is taken as 2^-125.
const EXP2_LEAST: f32 = -125.0;

#[inline(always)]
fn horner<const FUSED: bool, const N: usize>(x: f32, coefficients: &[f32; N]) -> f32 {
    let mut value = coefficients[N - 1];
    for c in coefficients[..N - 1].iter().rev() {
        value = fma::<FUSED>(value, x, *c);
    }
    value
}

/// erf(x).
#[inline(always)]
fn erf<const FUSED: bool>(x: f32) -> f32 {
    let x = if x > ERF_END { ERF_END } else { x };
    let x = if x < -ERF_END { -ERF_END } else { x };
    let u = x * x;
    x * horner::<FUSED, 6>(u, &ERF_P) / horner::<FUSED, 6>(u, &ERF_Q)
}

/// 2^x for x <= 0.
#[inline(always)]
pub(crate) fn exp2<const FUSED: bool>(x: f32) -> f32 {
    let x = if x > EXP2_LEAST { x } else { EXP2_LEAST };
    let shifted = x + ROUND;
    let f = x - (shifted - ROUND);
    let p = fma::<FUSED>(horner::<FUSED, 6>(f, &EXP2), f, 1.0);
    f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23))
}

for_each_isa! {
    /// `x = x/2 (1 + erf(x/√2))`, the exact GELU (Hendrycks and Gimpel, 2016).
    pub fn gelu(values: &mut [Lanes]) {
        for lanes in values {
            for x in &mut lanes.0 {
                let half = 0.5 * *x;
                *x = fma::<FUSED>(half, erf::<FUSED>(*x * std::f32::consts::FRAC_1_SQRT_2), half);
            }
        }
    }
}

for_each_isa! {
    /// Layer norm over the features of a block (Ba, Kiros and Hinton, 2016): per token, mean and variance, two passes.
    pub fn layer_norm(block: &mut [Lanes], weight: &[f32], bias: &[f32], epsilon: f32) {
        let count = block.len() as f32;
        let mut mean = [0f32; LANES];
        for lanes in block.iter() {
            for l in 0..LANES {
                mean[l] += lanes.0[l];
            }
        }
        for m in &mut mean {
            *m /= count;
        }
        let mut scale = [0f32; LANES];
        for lanes in block.iter() {
            for l in 0..LANES {
                let d = lanes.0[l] - mean[l];
                scale[l] = fma::<FUSED>(d, d, scale[l]);
            }
        }
        for s in &mut scale {
            *s = 1.0 / (*s / count + epsilon).sqrt();
        }
        for ((lanes, w), b) in block.iter_mut().zip(weight).zip(bias) {
            for l in 0..LANES {
                lanes.0[l] = fma::<FUSED>((lanes.0[l] - mean[l]) * scale[l], *w, *b);
            }
        }
    }
}

for_each_isa! {
    /// Per lane, the largest score of its keys.
    fn maximum(scores: &[Lanes]) -> Lanes {
        let mut most = [[f32::MIN; LANES]; 2];
        let mut pairs = scores.chunks_exact(2);
        for pair in &mut pairs {
            for l in 0..LANES {
                most[0][l] = if pair[0].0[l] > most[0][l] { pair[0].0[l] } else { most[0][l] };
                most[1][l] = if pair[1].0[l] > most[1][l] { pair[1].0[l] } else { most[1][l] };
            }
        }
        for lanes in pairs.remainder() {
            for l in 0..LANES {
                most[0][l] = if lanes.0[l] > most[0][l] { lanes.0[l] } else { most[0][l] };
            }
        }
        let mut found = Lanes::default();
        for l in 0..LANES {
            found.0[l] = if most[0][l] > most[1][l] { most[0][l] } else { most[1][l] };
        }
        found
    }
}

for_each_isa! {
    /// `score = 2^(score - most)`; per lane, one over their sum.
    fn exponentials(scores: &mut [Lanes], most: &Lanes) -> Lanes {
        let mut sum = [0f32; LANES];
        let most = *most;
        for lanes in scores {
            for l in 0..LANES {
                let e = exp2::<FUSED>(lanes.0[l] - most.0[l]);
                lanes.0[l] = e;
                sum[l] += e;
            }
        }
        let mut inverse = Lanes::default();
        for l in 0..LANES {
            inverse.0[l] = 1.0 / sum[l];
        }
        inverse
    }
}

/// A score that no key keeps against any other.
const MASKED: f32 = -1e30;

/// Softmax to base 2 over the keys (rows) of each query (lane): `scores` becomes `2^(score - max)`, and one over the
/// sum of each lane is returned. A lane sees the rows `from[lane]..to[lane]`; what others hold there becomes about 0.
pub fn softmax(isa: super::Isa, scores: &mut [Lanes], from: &[u32], to: &[u32]) -> Lanes {
    let all = 0..scores.len() as u32;
    if from.iter().any(|f| *f != all.start) || to.iter().any(|t| *t != all.end) {
        for (key, lanes) in scores.iter_mut().enumerate() {
            let key = key as u32;
            for l in 0..LANES {
                lanes.0[l] = if from[l] <= key && key < to[l] { lanes.0[l] } else { MASKED };
            }
        }
    }
    let most = maximum(isa, scores);
    exponentials(isa, scores, &most)
}

for_each_isa! {
    /// `values *= factor`, lane by lane.
    pub fn scale(values: &mut [Lanes], factor: &Lanes) {
        let factor = *factor;
        for lanes in values {
            for l in 0..LANES {
                lanes.0[l] *= factor.0[l];
            }
        }
    }
}

/// erf as the kernels compute it, for a test of its error.
#[cfg(test)]
pub(crate) fn erf_for_test(x: f32) -> f32 {
    erf::<false>(x)
}

/// 2^x as the kernels compute it, for a test of its error.
#[cfg(test)]
pub(crate) fn exp2_for_test(x: f32) -> f32 {
    exp2::<false>(x)
}
