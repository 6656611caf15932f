//! CPU kernels: of the encoders, over activations laid out in token panels, and of the decoders ([`packed`]).
//!
//! Sixteen tokens make a block; a block stores each feature's sixteen values side by side (`[block][feature][16]`).
//! So every step of a transformer is a vertical operation over tokens: a matrix product loads activations as whole
//! vectors and broadcasts weights that were packed once at load, layer norm and softmax need no horizontal sums, and
//! what one product stores is what the next one loads. Sequences are packed one after the other without padding; only
//! the last block of a group has unused lanes.
//!
//! Each kernel has a plain version that any target compiles; on x86-64 the same steps run with AVX2 or AVX-512 where
//! the machine has them ([`Isa::detect`]).
#![allow(clippy::needless_range_loop, reason = "a lane's index runs over several arrays at once")]

pub mod adamw;
pub mod attention;
pub mod elementwise;
pub mod gemm;
pub mod isa;
pub mod packed;
pub(crate) mod paged;
pub mod panels;
pub(crate) mod team;
pub(crate) mod training;

pub use isa::Isa;
pub use panels::{LANES, Lanes, Panels};

/// Runs `work` for `0..count`, on the rayon threads when `parallel`.
pub(crate) fn for_each(parallel: bool, count: usize, work: impl Fn(usize) + Sync + Send) {
    use rayon::prelude::*;
    if parallel && count > 1 {
        (0..count).into_par_iter().with_max_len(1).for_each(work);
    } else {
        (0..count).for_each(work);
    }
}

#[cfg(test)]
mod tests;
