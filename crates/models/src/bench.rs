//! How fast an encoder is on this machine.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::encoder::Encoder;
use crate::error::ModelsError;

/// Throughput and latency of embedding batches of equal length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct EmbedBench {
    /// Tokens per second over the whole run.
    pub tokens_per_s: f64,
    /// Median time of a batch in milliseconds.
    pub p50_ms: f64,
    /// 95th percentile in milliseconds.
    pub p95_ms: f64,
    /// 99th percentile in milliseconds.
    pub p99_ms: f64,
    /// Batches timed.
    pub batches: usize,
}

/// Embeds batches of `batch` lists of `length` random tokens for `seconds`, after two untimed ones.
///
/// # Errors
/// When `length` or `batch` is 0, or the model cannot take `length` tokens.
pub fn embed(
    encoder: &Encoder,
    length: usize,
    batch: usize,
    seconds: f64,
) -> Result<EmbedBench, ModelsError> {
    if batch == 0 {
        return Err(ModelsError::Input { message: "a batch of 0 texts has no speed".into() });
    }
    // Marsaglia's xorshift (2003): the ids only have to differ.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % encoder.vocabulary() as u64) as u32
    };
    let tokens: Vec<Vec<u32>> = (0..batch).map(|_| (0..length).map(|_| next()).collect()).collect();
    for _ in 0..2 {
        encoder.embed_tokens(&tokens)?;
    }
    let whole = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let start = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || start.elapsed() < whole {
        let one = Instant::now();
        encoder.embed_tokens(&tokens)?;
        times.push(one.elapsed().as_secs_f64());
    }
    let sum: f64 = times.iter().sum();
    times.sort_unstable_by(f64::total_cmp);
    let at =
        |share: f64| 1e3 * times[((times.len() as f64 * share).ceil() as usize).clamp(1, times.len()) - 1];
    Ok(EmbedBench {
        tokens_per_s: (times.len() * batch * length) as f64 / sum,
        p50_ms: at(0.50),
        p95_ms: at(0.95),
        p99_ms: at(0.99),
        batches: times.len(),
    })
}
