//! The threads that share a decoder's products: candle's barrier pool, whose workers spin between two products.

use std::ops::Range;

/// Runs `work` over parts of `0..count` on all threads; small counts run here.
pub(crate) fn for_chunks(count: usize, work: impl Fn(Range<usize>) + Sync) {
    if count <= 1 {
        work(0..count);
    } else {
        candle_core::utils::barrier_pool().execute_chunked(count, work);
    }
}
