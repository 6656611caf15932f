//! The gated MLP.

use candle_core::{Result, Tensor};

use super::{Bottleneck, Linear, bottleneck, plain, with_values};
use crate::ops::Isa;
use crate::ops::isa::{fma, for_each_isa};
use crate::ops::team::for_pieces;

/// Values of a thread's piece of work.
const PIECE: usize = 8192;

/// SwiGLU: `down(silu(gate(x)) * up(x))` (Shazeer 2020, equation 6).
#[derive(Debug)]
pub struct Mlp {
    /// `[intermediate, hidden]`.
    pub gate: Linear,
    /// `[intermediate, hidden]`.
    pub up: Linear,
    /// `[hidden, intermediate]`.
    pub down: Linear,
    /// Over its output.
    pub adapter: Option<Bottleneck>,
}

impl Mlp {
    /// `residual + mlp(x)`, both `[tokens, hidden]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward_onto(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        let gated = {
            let [gate, up] = Linear::forward_each([&self.gate, &self.up], x)?;
            swiglu(&gate, &up)?
        };
        bottleneck::onto(&self.down, self.adapter.as_ref(), &gated, residual)
    }
}

/// `silu(gate) * up`.
///
/// # Errors
/// When shapes differ.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if !plain(gate) || !plain(up) || gate.shape() != up.shape() {
        return gate.silu()?.mul(up);
    }
    let isa = Isa::detect();
    let out = with_values(gate, |gate| {
        with_values(up, |up| {
            let mut out = vec![0f32; gate.len()];
            for_pieces(&mut out, PIECE, |at, out| {
                gated(isa, &gate[at..at + out.len()], &up[at..at + out.len()], out);
            });
            out
        })
    })??;
    Tensor::from_vec(out, gate.shape(), gate.device())
}

for_each_isa! {
    fn gated(gate: &[f32], up: &[f32], out: &mut [f32]) {
        for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
            // e^-x by the kernels' own power of two, which has no branch and takes exponents up to 0 only.
            let power = crate::ops::elementwise::exp2::<FUSED>(-gate.abs() * std::f32::consts::LOG2_E);
            let sigmoid = if *gate >= 0.0 { 1.0 } else { power } / (1.0 + power);
            *out = fma::<FUSED>(*gate * sigmoid, *up, 0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_is_the_plain_gate() {
        let gate: Vec<f32> =
            (-200..200).map(|i| i as f32 / 4.0).chain([0.0, -1e4, 1e4, 88.0, -88.0]).collect();
        let up: Vec<f32> = (0..gate.len()).map(|i| ((i * 13 % 11) as f32 - 5.0) / 4.0).collect();
        for isa in Isa::available() {
            let mut out = vec![0.0; gate.len()];
            gated(isa, &gate, &up, &mut out);
            for ((gate, up), out) in gate.iter().zip(&up).zip(&out) {
                let wide = f64::from(*gate);
                let expected = wide / (1.0 + (-wide).exp()) * f64::from(*up);
                let off = (f64::from(*out) - expected).abs();
                assert!(off <= 1e-6 * expected.abs().max(1.0), "{isa:?} {gate}: {out} {expected}");
            }
            let mut out = [0.0; 2];
            gated(isa, &[f32::NAN, 1.0], &[1.0, f32::NAN], &mut out);
            assert!(out.iter().all(|value| value.is_nan()), "{isa:?}");
        }
    }
}
