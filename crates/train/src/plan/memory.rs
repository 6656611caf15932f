//! How much memory a training will take, about.

use lore_models::decoder::DecoderConfig;
use lore_models::training::Method;
use serde::{Deserialize, Serialize};

use super::shape::Counts;
use crate::config::TrainConfig;

/// Rows of logits that are computed at once.
const LOGIT_ROWS: u64 = 256;
/// Bytes of a value that is trained.
const TRAINED: u64 = 4;

/// Bytes, by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Weights that are not trained.
    pub weights: u64,
    /// Values that are trained,
    pub values: u64,
    /// their gradients,
    pub gradients: u64,
    /// and both their moments.
    pub moments: u64,
    /// What the backward pass needs of the forward pass of the largest batch, as configured;
    pub activations: u64,
    /// the same where all of it is kept,
    pub activations_kept: u64,
    /// and where most of it is computed again (`gradient_checkpointing`).
    pub activations_checkpointed: u64,
    /// Logits that are computed at once.
    pub logits: u64,
}

impl Memory {
    /// Of a training whose largest batch has `tokens` tokens.
    pub(super) fn of(config: &TrainConfig, shape: &DecoderConfig, counts: &Counts, tokens: usize) -> Self {
        let trained = counts.trained as u64 * TRAINED;
        let kept = Activations::of(config, shape, counts, false).bytes(tokens);
        let checkpointed = Activations::of(config, shape, counts, true).bytes(tokens);
        Self {
            weights: counts.frozen_bytes,
            values: trained,
            gradients: trained,
            moments: 2 * trained,
            activations: if config.gradient_checkpointing { checkpointed } else { kept },
            activations_kept: kept,
            activations_checkpointed: checkpointed,
            logits: LOGIT_ROWS.min(tokens as u64) * shape.vocabulary as u64 * 4,
        }
    }

    /// All of it, as configured.
    pub fn total(&self) -> u64 {
        let Self { weights, values, gradients, moments, activations, logits, .. } = self;
        [*weights, *values, *gradients, *moments, *activations, *logits]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// Most tokens of a batch under `limit` bytes in all.
    pub(super) fn tokens_under(
        config: &TrainConfig,
        shape: &DecoderConfig,
        counts: &Counts,
        limit: u64,
    ) -> usize {
        let fixed = Self { activations: 0, ..Self::of(config, shape, counts, LOGIT_ROWS as usize) }.total();
        let each = Activations::of(config, shape, counts, config.gradient_checkpointing).bytes(1).max(1);
        usize::try_from(limit.saturating_sub(fixed) / each).unwrap_or(usize::MAX)
    }
}

/// Bytes for each token.
struct Activations {
    /// Kept in each layer with a backward pass,
    layer: u64,
    layers: u64,
    /// and while one layer is computed, of that layer beside what is kept.
    passing: u64,
}

impl Activations {
    fn of(config: &TrainConfig, shape: &DecoderConfig, counts: &Counts, checkpointing: bool) -> Self {
        let DecoderConfig { hidden, intermediate, heads, kv_heads, head_dim, .. } = *shape;
        let size = config.precision.dtype().size_in_bytes();
        let (queries, keys) = (heads * head_dim, kv_heads * head_dim);
        // Input, residual after attention, attention's output, and the logarithms of its sums.
        let least = size * (2 * hidden + queries) + 4 * heads;
        let adapters = if matches!(config.method, Method::Bottleneck(_)) { 2 * size * hidden } else { 0 };
        // Queries, keys and values, gate and up.
        let rest = size * (queries + 2 * keys + 2 * intermediate);
        // Norm's output, gated product, and gradients of the widest.
        let passing = size * (2 * hidden + 3 * intermediate);
        let layer = least + adapters + if checkpointing { 0 } else { rest };
        Self {
            layer: layer as u64,
            layers: shape.layers().saturating_sub(counts.lowest) as u64,
            passing: (passing + if checkpointing { rest } else { 0 }) as u64,
        }
    }

    fn bytes(&self, tokens: usize) -> u64 {
        // A configuration may say any number of tokens; what no machine has is told as such.
        (tokens as u64).saturating_mul(self.layer * self.layers + self.passing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_told_as_such() {
        let activations = Activations { layer: 1 << 16, layers: 32, passing: 1 << 16 };
        assert_eq!(activations.bytes(1_000_000_000 * 1_000_000_000), u64::MAX);
        let memory = Memory {
            weights: 1,
            values: 1,
            gradients: 1,
            moments: 2,
            activations: u64::MAX,
            activations_kept: u64::MAX,
            activations_checkpointed: u64::MAX,
            logits: 1,
        };
        assert_eq!(memory.total(), u64::MAX);
    }
}
