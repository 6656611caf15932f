//! The shape of a net that has no weights yet.

use serde_json::{Value, json};

use super::SPECIAL;
use super::tokenizer::pointers;
use crate::error::ModelsError;

/// Tokens that every vocabulary has: the bytes and the special ones.
const LEAST: usize = 256 + SPECIAL.len();
/// Most tags of sentences.
const MOST_TAGS: usize = 99;
/// Base of the rotation of positions.
const ROPE_THETA: f64 = 10_000.0;

/// A decoder in the manner of Qwen3, whose output layer is its embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreshShape {
    /// Most tokens of the vocabulary.
    pub vocabulary: usize,
    /// Length of a token's vector.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Heads of queries in a layer.
    pub heads: usize,
    /// Heads of keys and values in a layer.
    pub kv_heads: usize,
    /// Length of the MLP's inner vector.
    pub intermediate: usize,
    /// Most tokens of a text.
    pub context: usize,
    /// Tags of sentences that are a token each, for a model that answers by pointing; 0 for one that writes.
    pub tags: usize,
}

impl FreshShape {
    /// Refuses what no net can be; the message names the flag of `lore models new`.
    pub(super) fn check(&self) -> Result<(), ModelsError> {
        let within =
            |name: &str, value: usize, least: usize, most: usize| match (least..=most).contains(&value) {
                true => Ok(()),
                false => Err(refused(format!("{name} is {value}; it must lie between {least} and {most}"))),
            };
        within("tags", self.tags, 0, MOST_TAGS)?;
        within("vocabulary", self.vocabulary, LEAST + pointers(self.tags), 1 << 20)?;
        within("hidden", self.hidden, 2, 1 << 16)?;
        within("layers", self.layers, 1, 1 << 10)?;
        within("heads", self.heads, 1, self.hidden)?;
        within("kv-heads", self.kv_heads, 1, self.heads)?;
        within("intermediate", self.intermediate, 1, 1 << 18)?;
        within("context", self.context, 2, 1 << 24)?;
        let Self { hidden, heads, kv_heads, .. } = self;
        if !hidden.is_multiple_of(2 * heads) {
            return Err(refused(format!(
                "a hidden length of {hidden} does not part into {heads} heads of an even length; choose a multiple of {}",
                2 * heads
            )));
        }
        if !heads.is_multiple_of(*kv_heads) {
            return Err(refused(format!(
                "{heads} heads cannot share {kv_heads} kv-heads evenly; choose a divisor of {heads}"
            )));
        }
        Ok(())
    }

    /// Length of a head.
    fn head(&self) -> usize {
        self.hidden / self.heads
    }

    /// `config.json`.
    pub(super) fn config(&self, end: u32, pad: u32) -> Value {
        json!({
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head(),
            "intermediate_size": self.intermediate,
            "max_position_embeddings": self.context,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-6,
            "rope_theta": ROPE_THETA,
            "rope_scaling": null,
            "attention_bias": false,
            "attention_dropout": 0.0,
            "use_sliding_window": false,
            "tie_word_embeddings": true,
            "initializer_range": 0.02,
            "use_cache": true,
            "bos_token_id": null,
            "eos_token_id": end,
            "pad_token_id": pad,
            "torch_dtype": "float32",
        })
    }
}

fn refused(message: String) -> ModelsError {
    ModelsError::Input { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: FreshShape = FreshShape {
        vocabulary: 300,
        hidden: 64,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        intermediate: 96,
        context: 128,
        tags: 0,
    };

    #[test]
    fn shapes_that_cannot_be_are_refused_by_name() {
        assert!(SHAPE.check().is_ok());
        let cases = [
            (FreshShape { vocabulary: 258, ..SHAPE }, "vocabulary is 258; it must lie between 259"),
            (FreshShape { tags: 50, ..SHAPE }, "vocabulary is 300; it must lie between 310"),
            (FreshShape { tags: 100, ..SHAPE }, "tags is 100"),
            (FreshShape { hidden: 66, ..SHAPE }, "choose a multiple of 8"),
            (FreshShape { hidden: 4, ..SHAPE }, "choose a multiple of 8"),
            (FreshShape { kv_heads: 3, ..SHAPE }, "choose a divisor of 4"),
            (FreshShape { kv_heads: 8, ..SHAPE }, "kv-heads is 8"),
            (FreshShape { heads: 0, ..SHAPE }, "heads is 0"),
            (FreshShape { layers: 0, ..SHAPE }, "layers is 0"),
        ];
        for (shape, wanted) in cases {
            let told = shape.check().err().map(|error| error.to_string()).unwrap_or_default();
            assert!(told.contains(wanted), "{told}");
        }
    }
}
