//! The layers of a BERT, RoBERTa or XLM-RoBERTa encoder and their forward pass.
//!
//! Devlin et al., "BERT" (2019): post-norm layers, learned positions, exact GELU.

use super::config::{NetConfig, Positions};
use crate::error::ModelsError;
use crate::ops::attention::attention;
use crate::ops::elementwise::layer_norm;
use crate::ops::gemm::{PackedLinear, Then, linear};
use crate::ops::{Isa, LANES, Panels, for_each};
use crate::tokenizer::Tokens;
use crate::weights::{Tensor, Weights};

/// Blocks whose feed-forward runs through before the next: 128 tokens, so that its inner vectors stay in the L2 cache.
const CHUNK: usize = 8;

/// A layer norm's weight and bias.
#[derive(Debug)]
struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

#[derive(Debug)]
struct Layer {
    qkv: PackedLinear,
    attended: PackedLinear,
    attended_norm: Norm,
    up: PackedLinear,
    down: PackedLinear,
    norm: Norm,
}

/// An encoder's weights, packed.
#[derive(Debug)]
pub(super) struct Net {
    isa: Isa,
    config: NetConfig,
    words: Tensor,
    positions: Vec<f32>,
    types: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

/// The buffers of a forward pass; they keep their memory.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    /// Token vectors `[tokens, hidden]`: the result.
    pub tokens: Panels,
    qkv: Panels,
    attended: Panels,
    inner: Panels,
    spans: Vec<(u32, u32)>,
}

impl Workspace {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        [&self.tokens, &self.qkv, &self.attended, &self.inner].iter().map(|panels| panels.bytes()).sum()
    }
}

/// Reads tensors below a name.
struct Reader<'a> {
    weights: &'a Weights,
    prefix: String,
}

impl Reader<'_> {
    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelsError> {
        self.weights.read(&format!("{}{name}", self.prefix), shape)
    }

    fn at(&self, name: &str) -> Self {
        Reader { weights: self.weights, prefix: format!("{}{name}.", self.prefix) }
    }

    fn norm(&self, name: &str, hidden: usize) -> Result<Norm, ModelsError> {
        let reader = self.at(name);
        // Checkpoints converted from TensorFlow keep its names.
        let old = self.weights.contains(&format!("{}gamma", reader.prefix));
        let (weight, bias) = if old { ("gamma", "beta") } else { ("weight", "bias") };
        Ok(Norm { weight: reader.read(weight, &[hidden])?, bias: reader.read(bias, &[hidden])? })
    }

    fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<PackedLinear, ModelsError> {
        let reader = self.at(name);
        Ok(PackedLinear::pack(
            &reader.read("weight", &[outputs, inputs])?,
            &reader.read("bias", &[outputs])?,
            inputs,
        ))
    }

    fn qkv(&self, hidden: usize, head: usize) -> Result<PackedLinear, ModelsError> {
        let (mut weight, mut bias) =
            (Vec::with_capacity(3 * hidden * hidden), Vec::with_capacity(3 * hidden));
        for name in ["query", "key", "value"] {
            let reader = self.at(name);
            weight.extend(reader.read("weight", &[hidden, hidden])?);
            bias.extend(reader.read("bias", &[hidden])?);
        }
        // The attention's scale, and log2(e) for its softmax to base 2.
        let scale = std::f32::consts::LOG2_E / (head as f32).sqrt();
        weight[..hidden * hidden].iter_mut().chain(&mut bias[..hidden]).for_each(|value| *value *= scale);
        Ok(PackedLinear::pack(&weight, &bias, hidden))
    }
}

impl Net {
    /// Packs the weights that stand below `prefix` (such as `bert.`).
    pub fn load(config: NetConfig, weights: &Weights, prefix: &str, isa: Isa) -> Result<Self, ModelsError> {
        use rayon::prelude::*;
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let root = Reader { weights, prefix: prefix.to_owned() };
        let embeddings = root.at("embeddings");
        let words = format!("{prefix}embeddings.word_embeddings.weight");
        let load_layer = |index: usize| {
            let layer = root.at(&format!("encoder.layer.{index}"));
            Ok(Layer {
                qkv: layer.at("attention.self").qkv(hidden, hidden / config.num_attention_heads)?,
                attended: layer.linear("attention.output.dense", hidden, hidden)?,
                attended_norm: layer.norm("attention.output.LayerNorm", hidden)?,
                up: layer.linear("intermediate.dense", hidden, inner)?,
                down: layer.linear("output.dense", inner, hidden)?,
                norm: layer.norm("output.LayerNorm", hidden)?,
            })
        };
        Ok(Self {
            isa,
            words: weights.shaped(&words, &[config.vocab_size, hidden])?,
            positions: embeddings
                .read("position_embeddings.weight", &[config.max_position_embeddings, hidden])?,
            types: embeddings.read("token_type_embeddings.weight", &[config.type_vocab_size, hidden])?,
            norm: embeddings.norm("LayerNorm", hidden)?,
            layers: (0..config.num_hidden_layers)
                .into_par_iter()
                .map(load_layer)
                .collect::<Result<_, ModelsError>>()?,
            config,
        })
    }

    /// What the net is.
    pub fn config(&self) -> &NetConfig {
        &self.config
    }

    /// Whether the net can take these tokens.
    pub fn check(&self, tokens: &Tokens) -> Result<(), ModelsError> {
        let NetConfig { vocab_size, type_vocab_size, .. } = self.config;
        let fail = |message: String| Err(ModelsError::Input { message });
        if tokens.ids.is_empty() {
            return fail("it has no tokens".into());
        }
        if tokens.ids.len() > self.config.longest() {
            return fail(format!(
                "{} tokens, but the model has {} positions",
                tokens.ids.len(),
                self.config.longest()
            ));
        }
        if let Some(id) = tokens.ids.iter().find(|id| **id as usize >= vocab_size) {
            return fail(format!(
                "token {id}, but the model has {vocab_size}; is tokenizer.json another model's?"
            ));
        }
        if let Some(kind) = tokens.types.iter().find(|kind| **kind as usize >= type_vocab_size) {
            return fail(format!("token type {kind}, but the model has {type_vocab_size}"));
        }
        Ok(())
    }

    /// Computes the last hidden state of `sequences`, packed one after the other, into `work.tokens`.
    ///
    /// Each sequence has passed [`Net::check`]. With `parallel`, the steps are shared among the current rayon threads.
    pub fn forward(&self, sequences: &[&Tokens], work: &mut Workspace, parallel: bool) {
        let config = &self.config;
        let (hidden, head) = (config.hidden_size, config.hidden_size / config.num_attention_heads);
        self.embed(sequences, work);
        let total = work.spans.len();
        self.normalise(&mut work.tokens, &self.norm, parallel);
        work.qkv.reshape(total, 3 * hidden);
        work.attended.reshape(total, hidden);
        let chunk = if parallel { CHUNK * rayon::current_num_threads() } else { CHUNK };
        work.inner.reshape(total.min(chunk * LANES), config.intermediate_size);
        for layer in &self.layers {
            let tokens = work.tokens.view_mut();
            linear(self.isa, parallel, &layer.qkv, tokens.read(), work.qkv.view_mut(), Then::Store);
            attention(self.isa, parallel, head, work.qkv.view(), &work.spans, work.attended.view_mut());
            linear(self.isa, parallel, &layer.attended, work.attended.view(), tokens, Then::Add);
            self.normalise(&mut work.tokens, &layer.attended_norm, parallel);
            let tokens = work.tokens.view_mut();
            for first in (0..tokens.blocks).step_by(chunk) {
                let count = chunk.min(tokens.blocks - first);
                let (tokens, inner) = (tokens.slice(first, count), work.inner.view_mut().slice(0, count));
                linear(self.isa, parallel, &layer.up, tokens.read(), inner, Then::Gelu);
                linear(self.isa, parallel, &layer.down, inner.read(), tokens, Then::Add);
            }
            self.normalise(&mut work.tokens, &layer.norm, parallel);
        }
    }

    /// Sums of word, position and type embeddings, and the span of each token's sequence.
    fn embed(&self, sequences: &[&Tokens], work: &mut Workspace) {
        let hidden = self.config.hidden_size;
        work.spans.clear();
        for tokens in sequences {
            let start = work.spans.len() as u32;
            work.spans
                .extend(std::iter::repeat_n((start, start + tokens.ids.len() as u32), tokens.ids.len()));
        }
        let total = work.spans.len();
        work.tokens.reshape(total, hidden);
        if !total.is_multiple_of(LANES) {
            // Lanes without a token hold what was there before; zeros keep them finite.
            let last = work.tokens.blocks() - 1;
            work.tokens.block_mut(last).fill(Default::default());
        }
        let mut row = vec![0.0; hidden];
        let mut index = 0;
        for tokens in sequences {
            let mut next = match self.config.positions() {
                Positions::FromZero => 0,
                Positions::AfterPadding(pad) => pad as usize + 1,
            };
            for (place, id) in tokens.ids.iter().enumerate() {
                let position = match self.config.positions() {
                    Positions::AfterPadding(pad) if *id == pad => pad as usize,
                    _ => {
                        next += 1;
                        next - 1
                    }
                };
                let kind = tokens.types.get(place).map_or(0, |kind| *kind as usize);
                self.words.copy(*id as usize * hidden, &mut row);
                let others = self.positions[position * hidden..].iter().zip(&self.types[kind * hidden..]);
                for (value, (position, kind)) in row.iter_mut().zip(others) {
                    *value += position + kind;
                }
                work.tokens.set_token(index, &row);
                index += 1;
            }
        }
    }

    fn normalise(&self, tokens: &mut Panels, norm: &Norm, parallel: bool) {
        let view = tokens.view_mut();
        for_each(parallel && view.blocks > 2, view.blocks, |block| {
            #[allow(unsafe_code, reason = "each task has a block of its own")]
            // SAFETY: the panels outlive this call, blocks do not overlap, and each is one task's alone.
            let lanes = unsafe { std::slice::from_raw_parts_mut(view.at(block, 0).cast(), view.features) };
            layer_norm(self.isa, lanes, &norm.weight, &norm.bias, self.config.layer_norm_eps);
        });
    }
}
