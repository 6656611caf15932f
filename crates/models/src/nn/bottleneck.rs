//! Bottleneck adapters (Houlsby et al. 2019): `x + up(activation(down(x)))`.

use candle_core::{Result, Tensor};

use super::Linear;
use crate::training::BottleneckActivation;

/// Two linears over what a part of a layer puts out, before its residual is added.
#[derive(Debug)]
pub struct Bottleneck {
    /// `[size, hidden]`.
    pub down: Linear,
    /// `[hidden, size]`.
    pub up: Linear,
    /// What stands between them.
    pub activation: BottleneckActivation,
}

impl Bottleneck {
    /// `residual + x + up(activation(down(x)))`, all `[tokens, hidden]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward_onto(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        let low = self.down.forward(x)?;
        let low = match self.activation {
            BottleneckActivation::Relu => low.relu()?,
            BottleneckActivation::Silu => low.silu()?,
        };
        self.up.forward_onto(&low, &(residual + x)?)
    }

    /// Bytes of the weights in memory.
    pub fn bytes(&self) -> usize {
        self.down.bytes() + self.up.bytes()
    }
}

/// `residual + adapter(linear(x))`, without the adapter where there is none.
pub(crate) fn onto(
    linear: &Linear,
    adapter: Option<&Bottleneck>,
    x: &Tensor,
    residual: &Tensor,
) -> Result<Tensor> {
    match adapter {
        Some(adapter) => adapter.forward_onto(&linear.forward(x)?, residual),
        None => linear.forward_onto(x, residual),
    }
}
