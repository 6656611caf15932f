//! Our own forward and backward passes on the CPU.
//!
//! A layer keeps what its backward pass cannot do without: its input, q, k and v, attention's output, the residual between
//! its halves, gate and up. Norms, rotated heads and the gate's product are computed again, and with gradient
//! checkpointing so are q, k, v, gate and up. Frozen weights get no gradient, layers below the lowest parameter no backward
//! pass, and logits are computed only where there is a target.

mod context;
mod head;
mod layer;
mod net;
mod projection;

use candle_core::{DType, Result, Tensor};

use super::net::View;
use super::{Batch, BatchLoss, Gradients};
use context::Pools;

/// The CPU's back end.
#[derive(Debug)]
pub struct CpuNet {
    pools: AnyPools,
}

/// Buffers of the type that values are kept in.
#[derive(Debug)]
enum AnyPools {
    F32(Pools<f32>),
    Bf16(Pools<half::bf16>),
    F16(Pools<half::f16>),
    F64(Pools<f64>),
}

/// Runs an expression with the pools of whichever type.
macro_rules! with_pools {
    ($any:expr, $pools:ident => $work:expr) => {
        match $any {
            AnyPools::F32($pools) => $work,
            AnyPools::Bf16($pools) => $work,
            AnyPools::F16($pools) => $work,
            AnyPools::F64($pools) => $work,
        }
    };
}

impl CpuNet {
    /// A back end that keeps values in this type: f32, bf16, f16 or f64.
    pub(crate) fn new(kind: DType) -> Self {
        let pools = match kind {
            DType::BF16 => AnyPools::Bf16(Pools::default()),
            DType::F16 => AnyPools::F16(Pools::default()),
            DType::F64 => AnyPools::F64(Pools::default()),
            _ => AnyPools::F32(Pools::default()),
        };
        Self { pools }
    }

    pub(crate) fn forward_backward(
        &self,
        view: View<'_>,
        batch: &Batch,
        scale: f64,
        step: u64,
        gradients: &mut Gradients,
    ) -> Result<BatchLoss> {
        with_pools!(&self.pools, pools => net::forward_backward(view, pools, batch, scale, step, gradients))
    }

    pub(crate) fn loss(&self, view: View<'_>, batch: &Batch) -> Result<BatchLoss> {
        with_pools!(&self.pools, pools => net::loss(view, pools, batch))
    }

    pub(crate) fn logits(&self, view: View<'_>, batch: &Batch) -> Result<Tensor> {
        with_pools!(&self.pools, pools => net::logits(view, pools, batch))
    }
}
