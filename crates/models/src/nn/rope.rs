//! Rotary position embeddings: frequencies with their scalings, and the rotation of a step's positions.

use candle_core::{DType, Device, Result, Tensor};

use crate::decoder::{Rope, RopeScaling};
use crate::ops::team::for_pieces;

/// Tokens of a thread's piece of work.
const TOKENS: usize = 16;

/// The angle that each pair of features turns per position.
#[derive(Clone, Debug, PartialEq)]
pub struct Frequencies {
    /// `[dim / 2]`, in radians per position.
    inverse: Vec<f32>,
    /// Factor on cosines and sines.
    attention_factor: f32,
}

impl Frequencies {
    /// Frequencies for heads of `dim` features.
    pub fn new(rope: &Rope, dim: usize) -> Self {
        let theta = rope.theta;
        let base = |pair: usize| 1.0 / theta.powf((2 * pair) as f64 / dim as f64);
        let pairs = 0..dim / 2;
        let mut attention_factor = 1.0;
        let inverse: Vec<f64> = match &rope.scaling {
            RopeScaling::Default => pairs.map(base).collect(),
            RopeScaling::Divisors { divisors } => {
                pairs.zip(divisors).map(|(pair, divisor)| base(pair) / f64::from(*divisor)).collect()
            }
            RopeScaling::Linear { factor } => pairs.map(|pair| base(pair) / factor).collect(),
            RopeScaling::Llama3 { factor, low_frequency_factor, high_frequency_factor, original_context } => {
                let original = *original_context as f64;
                let (low, high) = (original / low_frequency_factor, original / high_frequency_factor);
                let scale = |frequency: f64| {
                    let wavelength = std::f64::consts::TAU / frequency;
                    if wavelength < high {
                        return frequency;
                    }
                    if wavelength > low {
                        return frequency / factor;
                    }
                    let smooth = (original / wavelength - low_frequency_factor)
                        / (high_frequency_factor - low_frequency_factor);
                    (1.0 - smooth) * frequency / factor + smooth * frequency
                };
                pairs.map(|pair| scale(base(pair))).collect()
            }
            RopeScaling::Yarn {
                factor,
                beta_fast,
                beta_slow,
                original_context,
                attention_factor: own,
                truncate,
            } => {
                attention_factor = *own;
                // The pair that turns `rotations` times over the original context (section 3.2, "NTK-by-parts").
                let turning = |rotations: f64| {
                    let context = *original_context as f64;
                    (dim as f64 * (context / (rotations * std::f64::consts::TAU)).ln()) / (2.0 * theta.ln())
                };
                let (mut low, mut high) = (turning(*beta_fast), turning(*beta_slow));
                if *truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                (low, high) = (low.max(0.0), high.min(dim as f64 - 1.0));
                if low == high {
                    high += 0.001;
                }
                let kept = |pair: usize| 1.0 - ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0);
                pairs.map(|pair| base(pair) / factor * (1.0 - kept(pair)) + base(pair) * kept(pair)).collect()
            }
        };
        Self {
            inverse: inverse.into_iter().map(|v| v as f32).collect(),
            attention_factor: attention_factor as f32,
        }
    }

    /// The rotation of `positions`.
    ///
    /// Angles are rounded to f32 before their sine is taken, as models are trained.
    pub fn rotation(&self, positions: &[usize]) -> Rotation {
        let half = self.inverse.len();
        let (mut cos, mut sin) =
            (Vec::with_capacity(positions.len() * half), Vec::with_capacity(positions.len() * half));
        for position in positions {
            for inverse in &self.inverse {
                let (s, c) = f64::from(*position as f32 * inverse).sin_cos();
                cos.push(c as f32 * self.attention_factor);
                sin.push(s as f32 * self.attention_factor);
            }
        }
        Rotation { half, cos, sin }
    }
}

/// Cosines and sines of a step's tokens, `[tokens, dim / 2]`.
#[derive(Clone, Debug)]
pub struct Rotation {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rotation {
    /// Half a head's length, cosines and sines, `[tokens, dim / 2]` each.
    pub(crate) fn halves(&self) -> (usize, &[f32], &[f32]) {
        (self.half, &self.cos, &self.sin)
    }

    /// Rotates `[tokens, heads, dim]` in place: pair `i` is features `i` and `i + dim / 2` (Su et al. 2021, equation 34).
    pub(crate) fn apply(&self, values: &mut [f32], heads: usize) {
        let (half, row) = (self.half, heads * 2 * self.half);
        if half == 0 {
            return;
        }
        for_pieces(values, TOKENS * row, |at, values| {
            for (token, values) in values.chunks_exact_mut(row).enumerate() {
                let first = (at / row + token) * half;
                let (cos, sin) = (&self.cos[first..][..half], &self.sin[first..][..half]);
                for head in values.chunks_exact_mut(2 * half) {
                    let (first, second) = head.split_at_mut(half);
                    for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                    }
                }
            }
        });
    }

    /// Rotates `[tokens, heads, dim]` with operations through which gradients flow.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn differentiable(&self, x: &Tensor) -> Result<Tensor> {
        self.on(x.device(), x.dtype())?.rotate(x)
    }

    /// Cosines and sines as tensors of a device.
    pub(crate) fn on(&self, device: &Device, kind: DType) -> Result<Tables> {
        let half = self.half;
        let table = |values: &[f32]| {
            Tensor::from_slice(values, (values.len() / half.max(1), 1, half), &Device::Cpu)?
                .to_device(device)?
                .to_dtype(kind)
        };
        Ok(Tables { cos: table(&self.cos)?, sin: table(&self.sin)? })
    }
}

/// Cosines and sines, `[tokens, 1, dim / 2]` each.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    cos: Tensor,
    sin: Tensor,
}

impl Tables {
    /// Rotates `[tokens, heads, dim]` with operations through which gradients flow.
    pub fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        let half = self.cos.dim(2)?;
        let (first, second) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
        let a = (first.broadcast_mul(&self.cos)? - second.broadcast_mul(&self.sin)?)?;
        let b = (second.broadcast_mul(&self.cos)? + first.broadcast_mul(&self.sin)?)?;
        Tensor::cat(&[a, b], 2)
    }
}
