//! RMSNorm.

use candle_core::{D, Result, Tensor};

use super::{plain, with_values};
use crate::ops::Isa;
use crate::ops::isa::for_each_isa;
use crate::ops::team::for_pieces;

/// Rows of a thread's piece of work.
const ROWS: usize = 16;

/// `y = x / sqrt(mean(x²) + epsilon) * weight` over the last dimension (Zhang and Sennrich 2019, equation 4).
#[derive(Clone, Debug)]
pub struct RmsNorm {
    weight: Tensor,
    epsilon: f32,
    isa: Isa,
}

impl RmsNorm {
    /// A norm with `weight` `[features]`.
    pub fn new(weight: Tensor, epsilon: f32) -> Self {
        Self { weight, epsilon, isa: Isa::detect() }
    }

    /// The weight.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// Normalises `[.., features]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if !plain(x) || !plain(&self.weight) {
            return self.differentiable(x);
        }
        let features = self.weight.elem_count();
        if x.dim(D::Minus1)? != features {
            candle_core::bail!("a norm over {features} features got {:?}", x.shape());
        }
        let out = with_values(x, |x| with_values(&self.weight, |weight| self.rows(x, weight)))??;
        Tensor::from_vec(out, x.shape(), x.device())
    }

    /// The plain reference, through which gradients flow.
    fn differentiable(&self, x: &Tensor) -> Result<Tensor> {
        let mean = x.sqr()?.mean_keepdim(D::Minus1)?;
        let scale = (mean + f64::from(self.epsilon))?.sqrt()?;
        x.broadcast_div(&scale)?.broadcast_mul(&self.weight)
    }

    fn rows(&self, x: &[f32], weight: &[f32]) -> Vec<f32> {
        let mut out = vec![0f32; x.len()];
        for_pieces(&mut out, ROWS * weight.len(), |at, out| {
            normalise(self.isa, &x[at..at + out.len()], weight, self.epsilon, out);
        });
        out
    }
}

for_each_isa! {
    fn normalise(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
        let _ = FUSED;
        for (x, out) in x.chunks_exact(weight.len()).zip(out.chunks_exact_mut(weight.len())) {
            let mut sums = [0f32; 16];
            let (whole, rest) = x.as_chunks::<16>();
            for x in whole {
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum += x * x;
                }
            }
            let mut square = rest.iter().map(|x| x * x).sum::<f32>();
            square += sums.iter().sum::<f32>();
            let scale = 1.0 / (square / weight.len() as f32 + epsilon).sqrt();
            for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
                *out = x * scale * weight;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_is_the_plain_norm() {
        for features in [1, 5, 16, 37, 128] {
            let x: Vec<f32> = (0..features * 3).map(|i| ((i * 37 % 19) as f32 - 9.0) / 3.0).collect();
            let weight: Vec<f32> = (0..features).map(|i| 1.0 + (i % 7) as f32 / 10.0).collect();
            for isa in Isa::available() {
                let mut out = vec![0.0; x.len()];
                normalise(isa, &x, &weight, 1e-5, &mut out);
                for (x, out) in x.chunks(features).zip(out.chunks(features)) {
                    let mean = x.iter().map(|v| f64::from(v * v)).sum::<f64>() / features as f64;
                    for ((x, weight), out) in x.iter().zip(&weight).zip(out) {
                        let expected = f64::from(x * weight) / (mean + 1e-5).sqrt();
                        assert!(
                            (f64::from(*out) - expected).abs() < 1e-6,
                            "{isa:?} {features}: {out} {expected}"
                        );
                    }
                }
            }
        }
    }
}
