//! What a decoder is made of: the shape and the options of the Llama, Mistral, Qwen2, Qwen3 and SmolLM families.

/// Shape and options of a decoder; one skeleton, whose options tell the families apart.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderConfig {
    /// The family as its files name it, such as `llama` or `qwen3`; for messages only.
    pub architecture: String,
    /// Ids that the embedding knows.
    pub vocabulary: usize,
    /// Length of a token's hidden state.
    pub hidden: usize,
    /// Length between the two halves of the MLP.
    pub intermediate: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; a divisor of `heads`.
    pub kv_heads: usize,
    /// Length of a head.
    pub head_dim: usize,
    /// Layers, each with the tokens that its attention looks back over (itself included); `None` for all.
    pub windows: Vec<Option<usize>>,
    /// Added to the mean square in RMSNorm.
    pub norm_epsilon: f32,
    /// Rotary position embedding.
    pub rope: Rope,
    /// Whether q, k and v have biases.
    pub qkv_bias: bool,
    /// Whether the attention's output has a bias.
    pub output_bias: bool,
    /// Whether the MLP's linears have biases.
    pub mlp_bias: bool,
    /// Whether q and k are normalised per head before the rotation (Qwen3).
    pub qk_norm: bool,
    /// Whether the output layer is the embedding.
    pub tied: bool,
    /// Most tokens that the model was made for.
    pub context: usize,
}

/// Rotary position embedding (Su et al. 2021), its two halves rotated against each other ("NeoX" order).
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Base of the wavelengths.
    pub theta: f64,
    /// Scaling for contexts longer than the model was first trained on.
    pub scaling: RopeScaling,
}

/// How RoPE's frequencies are changed for long contexts.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    Default,
    /// Positions divided by `factor`.
    Linear {
        /// Divisor.
        factor: f64,
    },
    /// Llama 3.1: long wavelengths divided, short ones kept, those between blended.
    Llama3 {
        /// Divisor of the long wavelengths.
        factor: f64,
        /// Wavelengths above `original_context / low_frequency_factor` are long.
        low_frequency_factor: f64,
        /// Wavelengths below `original_context / high_frequency_factor` are short.
        high_frequency_factor: f64,
        /// Context of the first training, in tokens.
        original_context: usize,
    },
    /// YaRN (Peng et al. 2023, section 3).
    Yarn {
        /// How much longer the context is.
        factor: f64,
        /// Rotations above which a dimension is kept.
        beta_fast: f64,
        /// Rotations below which a dimension is interpolated fully.
        beta_slow: f64,
        /// Context of the first training, in tokens.
        original_context: usize,
        /// Factor on the cosines and sines; `0.1 ln(factor) + 1` where the file names none.
        attention_factor: f64,
        /// Whether the ramp's borders are rounded to whole dimensions.
        truncate: bool,
    },
    /// Each frequency divided by its own number (GGUF's tensor `rope_freqs.weight`, which is what is left there of
    /// Llama 3.1's scaling).
    Divisors {
        /// One for each frequency, `head_dim / 2` in all.
        divisors: Vec<f32>,
    },
}

impl DecoderConfig {
    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.windows.len()
    }

    /// Query heads that share a key and value head.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}
