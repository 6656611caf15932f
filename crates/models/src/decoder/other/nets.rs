//! candle-transformers' nets behind one face.

use candle_core::{Result, Tensor};
pub(super) use candle_transformers::models;
use models::{gemma, gemma2, gemma3, glm4_new, olmo2, phi3, smol, starcoder2};

/// A net with the keys and values of one sequence.
pub(super) trait Net: Send {
    /// Reads `tokens` `[1, count]` behind `offset` tokens; the last one's logits `[1, 1, vocabulary]`.
    fn read(&mut self, tokens: &Tensor, offset: usize) -> Result<Tensor>;

    /// Forgets the sequence.
    fn forget(&mut self);
}

macro_rules! nets {
    ($($net:ty),*) => {
        $(impl Net for $net {
            fn read(&mut self, tokens: &Tensor, offset: usize) -> Result<Tensor> {
                self.forward(tokens, offset)
            }

            fn forget(&mut self) {
                self.clear_kv_cache();
            }
        })*
    };
}

nets!(
    gemma::Model,
    gemma2::Model,
    gemma3::Model,
    glm4_new::ModelForCausalLM,
    olmo2::Model,
    phi3::Model,
    smol::smollm3::ModelForCausalLM,
    starcoder2::Model
);
