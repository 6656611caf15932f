//! The net: embedding, layers, norm and output.

use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::{DType, Device, Result, Tensor};

use super::DecoderConfig;
use super::error::StepError;
use super::kv_cache::{Shape, Step, Stretch, Want, rotation_of};
use crate::adapter::LowRank;
use crate::nn::attention::{Attention, Past};
use crate::nn::linear::blocks;
use crate::nn::{Bottleneck, Frequencies, Linear, Lora, LoraDelta, Mlp, RmsNorm, Rotation};
use crate::ops::packed::PackedMatrix;
use crate::ops::paged::Heads;
use crate::weights::RawMatrix;

/// Where a net's weights come from, by Hugging Face's names.
pub(crate) trait Source {
    /// Why a tensor could not be given.
    type Error: From<candle_core::Error>;
    /// A matrix `[rows, columns]`.
    fn matrix(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> std::result::Result<RawMatrix, Self::Error>;
    /// A vector.
    fn vector(&mut self, name: &str, length: usize) -> std::result::Result<Vec<f32>, Self::Error>;
    /// A low-rank difference that is computed beside the linear `module`.
    fn difference(
        &mut self,
        _module: &str,
        _rows: usize,
        _columns: usize,
    ) -> std::result::Result<Option<LowRank>, Self::Error> {
        Ok(None)
    }
    /// A bottleneck of this name.
    fn bottleneck(
        &mut self,
        _name: &str,
        _hidden: usize,
    ) -> std::result::Result<Option<Bottleneck>, Self::Error> {
        Ok(None)
    }
}

/// A decoder's layers.
#[derive(Debug)]
pub(crate) struct Net {
    embedding: Embedding,
    layers: Vec<Block>,
    norm: RmsNorm,
    output: Linear,
    /// Whether the output layer is the embedding.
    tied: bool,
    frequencies: Frequencies,
    shape: Shape,
    vocabulary: usize,
    hidden: usize,
}

#[derive(Debug)]
struct Block {
    attention_norm: RmsNorm,
    attention: Attention,
    mlp_norm: RmsNorm,
    mlp: Mlp,
}

/// Token ids to hidden states.
enum Embedding {
    /// In a kernel's layout, where it is the output layer too.
    Packed(Arc<PackedMatrix>),
    /// Blocks that candle reads.
    Blocks(Arc<QTensor>),
}

impl std::fmt::Debug for Embedding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Packed(packed) => packed.fmt(f),
            Self::Blocks(blocks) => write!(f, "{:?}{:?}", blocks.dtype(), blocks.shape()),
        }
    }
}

impl Embedding {
    /// `[tokens, hidden]`.
    fn forward(&self, tokens: &[u32], hidden: usize) -> Result<Tensor> {
        match self {
            Self::Packed(packed) => {
                let mut out = vec![0f32; tokens.len() * hidden];
                for (token, out) in tokens.iter().zip(out.chunks_exact_mut(hidden)) {
                    packed.row(*token as usize, out);
                }
                Tensor::from_vec(out, (tokens.len(), hidden), &Device::Cpu)
            }
            Self::Blocks(blocks) => blocks.embedding(&Tensor::new(tokens, &Device::Cpu)?),
        }
    }
}

impl Net {
    /// Reads the weights of a net of this shape, frozen.
    pub fn read<S: Source>(config: &DecoderConfig, source: &mut S) -> std::result::Result<Self, S::Error> {
        let (vocabulary, hidden) = (config.vocabulary, config.hidden);
        let raw = source.matrix("model.embed_tokens.weight", vocabulary, hidden)?;
        let (embedding, tied) = match PackedMatrix::pack(raw, vocabulary, hidden) {
            Ok(packed) => {
                let packed = Arc::new(packed);
                (Embedding::Packed(packed.clone()), config.tied.then(|| Linear::shared(packed)))
            }
            Err(RawMatrix::Quantized { kind, bytes }) => {
                let blocks = Arc::new(blocks(kind, bytes, vocabulary, hidden)?);
                (Embedding::Blocks(blocks.clone()), config.tied.then(|| Linear::shared_blocks(blocks)))
            }
            Err(other) => {
                let message = format!("an embedding of {other:?} cannot be read");
                return Err(candle_core::Error::Msg(message).into());
            }
        };
        let mut layers = Vec::with_capacity(config.layers());
        for layer in 0..config.layers() {
            layers.push(Block::read(config, layer, source)?);
        }
        let norm = norm(source, "model.norm.weight", hidden, config.norm_epsilon)?;
        let output = match tied {
            Some(output) => output,
            None => linear(source, "lm_head", vocabulary, hidden, false)?,
        };
        let frequencies = Frequencies::new(&config.rope, config.head_dim);
        Ok(Self {
            embedding,
            layers,
            norm,
            output,
            tied: config.tied,
            frequencies,
            shape: Shape::of(config),
            vocabulary,
            hidden,
        })
    }

    /// The logits that the stretches want, `[rows, vocabulary]`, over cached keys and values.
    pub fn step(
        &self,
        stretches: &[Stretch<'_>],
        step: &mut Step<'_>,
    ) -> std::result::Result<Vec<f32>, StepError> {
        let tokens: Vec<u32> = stretches.iter().flat_map(|stretch| stretch.tokens).copied().collect();
        self.check(&tokens)?;
        let mut wanted: Vec<u32> = Vec::new();
        let mut row = 0;
        for stretch in stretches {
            let end = row + stretch.tokens.len() as u32;
            match stretch.want {
                Want::All => wanted.extend(row..end),
                Want::Last => wanted.extend(end.checked_sub(1).filter(|last| *last >= row)),
                Want::Nothing => {}
            }
            row = end;
        }
        if tokens.is_empty() {
            return Ok(Vec::new());
        }
        let rotation = rotation_of(&self.frequencies, step);
        let hidden = self.hidden(&tokens, &rotation, &mut Past::Cached(step))?;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let hidden = if wanted.len() == tokens.len() {
            hidden
        } else {
            hidden.index_select(&Tensor::new(wanted, hidden.device())?, 0)?
        };
        let logits = self.output.forward(&self.norm.forward(&hidden)?)?;
        Ok(logits.flatten_all()?.to_vec1()?)
    }

    /// The logits `[tokens, vocabulary]` of whole sequences, one after the other; gradients flow.
    pub fn whole(&self, tokens: &[u32], lengths: &[usize]) -> std::result::Result<Tensor, StepError> {
        self.check(tokens)?;
        if lengths.iter().sum::<usize>() != tokens.len() {
            let message = format!("sequences of {lengths:?} are not {} tokens", tokens.len());
            return Err(candle_core::Error::Msg(message).into());
        }
        if tokens.is_empty() {
            return Ok(Tensor::zeros((0, self.vocabulary), DType::F32, &Device::Cpu)?);
        }
        let positions: Vec<usize> = lengths.iter().flat_map(|length| 0..*length).collect();
        let rotation = self.frequencies.rotation(&positions);
        let hidden = self.hidden(tokens, &rotation, &mut Past::Whole(lengths))?;
        Ok(self.output.forward(&self.norm.forward(&hidden)?)?)
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// Bytes of the weights in memory.
    pub fn bytes(&self) -> usize {
        let embedding = match &self.embedding {
            Embedding::Packed(packed) => packed.bytes(),
            Embedding::Blocks(blocks) => blocks.storage_size_in_bytes(),
        };
        let layer = |layer: &Block| {
            let Attention { q, k, v, o, .. } = &layer.attention;
            let Mlp { gate, up, down, .. } = &layer.mlp;
            let adapters = [&layer.attention.adapter, &layer.mlp.adapter];
            let adapters = adapters.into_iter().flatten().map(Bottleneck::bytes).sum::<usize>();
            [q, k, v, o, gate, up, down].iter().map(|linear| linear.bytes()).sum::<usize>() + adapters
        };
        let output = if self.tied { 0 } else { self.output.bytes() };
        embedding + self.layers.iter().map(layer).sum::<usize>() + output
    }

    /// Whether the weights are 32-bit floats.
    pub fn is_f32(&self) -> bool {
        match &self.embedding {
            Embedding::Packed(packed) => packed.kind() == "f32",
            Embedding::Blocks(_) => false,
        }
    }

    fn check(&self, tokens: &[u32]) -> std::result::Result<(), StepError> {
        let vocabulary = self.vocabulary;
        match tokens.iter().find(|token| **token as usize >= vocabulary) {
            Some(token) => Err(StepError::UnknownToken { token: *token, vocabulary }),
            None => Ok(()),
        }
    }

    fn hidden(&self, tokens: &[u32], rotation: &Rotation, past: &mut Past<'_, '_>) -> Result<Tensor> {
        let mut x = self.embedding.forward(tokens, self.hidden)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let normed = layer.attention_norm.forward(&x)?;
            x = layer.attention.forward_onto(index, &normed, &x, rotation, past)?;
            let normed = layer.mlp_norm.forward(&x)?;
            x = layer.mlp.forward_onto(&normed, &x)?;
        }
        Ok(x)
    }
}

impl Block {
    fn read<S: Source>(
        config: &DecoderConfig,
        layer: usize,
        source: &mut S,
    ) -> std::result::Result<Self, S::Error> {
        let DecoderConfig { hidden, intermediate, heads, kv_heads, head_dim, norm_epsilon, .. } = *config;
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let (queries, keys) = (heads * head_dim, kv_heads * head_dim);
        let norms = if config.qk_norm {
            let q = norm(source, &name("self_attn.q_norm.weight"), head_dim, norm_epsilon)?;
            let k = norm(source, &name("self_attn.k_norm.weight"), head_dim, norm_epsilon)?;
            Some((q, k))
        } else {
            None
        };
        Ok(Self {
            attention_norm: norm(source, &name("input_layernorm.weight"), hidden, norm_epsilon)?,
            attention: Attention {
                q: linear(source, &name("self_attn.q_proj"), queries, hidden, config.qkv_bias)?,
                k: linear(source, &name("self_attn.k_proj"), keys, hidden, config.qkv_bias)?,
                v: linear(source, &name("self_attn.v_proj"), keys, hidden, config.qkv_bias)?,
                o: linear(source, &name("self_attn.o_proj"), hidden, queries, config.output_bias)?,
                norms,
                heads: Heads { query: heads, kv: kv_heads, dim: head_dim, window: config.windows[layer] },
                adapter: source.bottleneck(&name("self_attn.adapter"), hidden)?,
            },
            mlp_norm: norm(source, &name("post_attention_layernorm.weight"), hidden, norm_epsilon)?,
            mlp: Mlp {
                gate: linear(source, &name("mlp.gate_proj"), intermediate, hidden, config.mlp_bias)?,
                up: linear(source, &name("mlp.up_proj"), intermediate, hidden, config.mlp_bias)?,
                down: linear(source, &name("mlp.down_proj"), hidden, intermediate, config.mlp_bias)?,
                adapter: source.bottleneck(&name("mlp.adapter"), hidden)?,
            },
        })
    }
}

fn linear<S: Source>(
    source: &mut S,
    name: &str,
    outputs: usize,
    inputs: usize,
    bias: bool,
) -> std::result::Result<Linear, S::Error> {
    let raw = source.matrix(&format!("{name}.weight"), outputs, inputs)?;
    let bias = if bias { Some(source.vector(&format!("{name}.bias"), outputs)?) } else { None };
    let Some(low) = source.difference(name, outputs, inputs)? else {
        return Ok(Linear::frozen(raw, outputs, inputs, bias)?);
    };
    let factors = match low.magnitude {
        Some(_) => low.factors(&raw.clone().into_f32(outputs, inputs)?),
        None => None,
    };
    let tensor = |values: Vec<f32>, shape: &[usize]| Tensor::from_vec(values, shape, &Device::Cpu);
    let delta = LoraDelta::scaled(
        tensor(low.a, &[low.rank, inputs])?,
        tensor(low.b, &[outputs, low.rank])?,
        low.scale,
    )?;
    Ok(Linear::Lora(match factors {
        None => Lora::new(Linear::frozen(raw, outputs, inputs, bias)?, delta)?,
        Some(factors) => {
            let bias = bias.map(|bias| tensor(bias, &[outputs])).transpose()?;
            let base = Linear::frozen(raw, outputs, inputs, None)?;
            Lora::weighed(base, delta, tensor(factors, &[outputs])?, bias)?
        }
    }))
}

fn norm<S: Source>(
    source: &mut S,
    name: &str,
    length: usize,
    epsilon: f32,
) -> std::result::Result<RmsNorm, S::Error> {
    let weight = source.vector(name, length)?;
    Ok(RmsNorm::new(Tensor::from_vec(weight, length, &Device::Cpu)?, epsilon))
}

#[cfg(test)]
mod tests;
