//! The layers that decoders are made of; training and serving share them.
//!
//! A layer looks at its input: where that is part of a gradient's graph, it computes with candle's differentiable
//! operations (or its own, with a backward pass); where it is not, with the kernels of [`crate::ops`].

pub(crate) mod attention;
pub mod bottleneck;
pub(crate) mod bytes;
pub mod int8;
pub mod linear;
pub mod lora;
pub mod mlp;
pub mod nf4;
pub mod norm;
pub mod rope;

pub use bottleneck::Bottleneck;
pub use int8::Int8Matrix;
pub use linear::{Dense, Linear, Quantized};
pub use lora::{Lora, LoraDelta};
pub use mlp::Mlp;
pub use nf4::{Nf4, Nf4Matrix};
pub use norm::RmsNorm;
pub use rope::{Frequencies, Rotation};

use candle_core::{CpuStorage, DType, Result, Storage, Tensor};

/// Whether a tensor's values lie in memory as one piece of f32 that no gradient needs to know of.
pub(crate) fn plain(x: &Tensor) -> bool {
    !x.track_op() && x.device().is_cpu() && x.dtype() == DType::F32 && x.is_contiguous()
}

/// Calls `work` with the values of a [`plain`] tensor.
pub(crate) fn with_values<T>(x: &Tensor, work: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let (storage, layout) = x.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((from, to))) => Ok(work(&values[from..to])),
        _ => candle_core::bail!("a kernel wants contiguous f32 values in memory"),
    }
}
