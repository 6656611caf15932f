//! Kernels of training: matrix products with either operand transposed, attention, norms, gates and cross-entropy, each
//! with its backward pass.
//!
//! Everything is generic over the type that values are kept in ([`Element`]): f32, bf16 and f16 are computed in f32, f64
//! in f64, which is what finite differences are checked in. Rows are tokens; matrices are row-major.

pub(crate) mod attention;
pub(crate) mod element;
pub(crate) mod gate;
pub(crate) mod kernel;
pub(crate) mod linear;
pub(crate) mod matmul;
pub(crate) mod norm;
pub(crate) mod pool;
pub(crate) mod rope;
pub(crate) mod shared;
pub(crate) mod softmax;

pub(crate) use element::vectorised;
pub(crate) use linear::{Segment, linear};
pub(crate) use matmul::View;
pub(crate) use pool::Pool;
pub(crate) use shared::Shared;

#[cfg(test)]
mod tests;
