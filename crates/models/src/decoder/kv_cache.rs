//! Keys and values of past tokens, in blocks that sequences share and hand back.

use std::collections::HashSet;

use half::f16;
use serde::{Deserialize, Serialize};

use super::DecoderConfig;
use super::error::StepError;
use crate::nn::Rotation;
use crate::ops::Isa;
use crate::ops::packed::Float;
use crate::ops::paged::{self, BLOCK, Heads, Layer};

/// Tokens of a block.
pub const BLOCK_TOKENS: usize = BLOCK;

/// How keys and values are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KvType {
    /// 32-bit floats where the weights are, else half precision.
    #[default]
    Auto,
    /// 32-bit floats.
    F32,
    /// Half precision: half the memory.
    F16,
}

/// Which rows of logits a stretch wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// None: more of the prompt follows.
    Nothing,
    /// The last token's.
    Last,
    /// Every token's.
    All,
}

/// Tokens of one sequence that are read in one step.
#[derive(Clone, Copy, Debug)]
pub struct Stretch<'a> {
    /// The tokens.
    pub tokens: &'a [u32],
    /// Position of the first.
    pub start: usize,
    /// The sequence's blocks: the i-th holds positions from `i * BLOCK_TOKENS` on, up to the stretch's last.
    pub blocks: &'a [u32],
    /// Which rows of logits come back.
    pub want: Want,
}

/// Memory for keys and values; made by [`super::Decoder::cache`] for that decoder's shape.
#[derive(Debug)]
pub struct KvCache {
    shape: Shape,
    blocks: usize,
    store: Store,
}

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    layers: usize,
    kv_heads: usize,
    dim: usize,
    padded: usize,
}

#[derive(Debug)]
enum Store {
    F32(Vec<Pair<f32>>),
    F16(Vec<Pair<f16>>),
}

/// One layer's keys and values.
#[derive(Debug)]
struct Pair<E> {
    keys: Aligned<E>,
    values: Aligned<E>,
}

/// Zeroed memory that begins at a cache line; pages that nobody wrote take no memory.
#[derive(Debug)]
struct Aligned<E> {
    words: Vec<u64>,
    skip: usize,
    of: std::marker::PhantomData<E>,
}

impl<E> Aligned<E> {
    fn zeroed(count: usize) -> Self {
        const LINE: usize = 64;
        let words = vec![0u64; (count * size_of::<E>() + LINE).div_ceil(size_of::<u64>())];
        let skip = words.as_ptr().align_offset(LINE);
        Self { words, skip, of: std::marker::PhantomData }
    }

    fn as_mut_ptr(&mut self) -> *mut E {
        self.words.as_mut_ptr().wrapping_add(self.skip).cast()
    }
}

impl Shape {
    pub(super) fn of(config: &DecoderConfig) -> Self {
        let dim = config.head_dim;
        let padded = dim.next_multiple_of(paged::WIDTH);
        Self { layers: config.layers(), kv_heads: config.kv_heads, dim, padded }
    }

    /// Bytes of a block over all layers.
    pub(super) fn block_bytes(&self, kind: KvType) -> usize {
        let size = if kind == KvType::F16 { size_of::<f16>() } else { size_of::<f32>() };
        self.layers * self.kv_heads * BLOCK * (self.dim + self.padded) * size
    }
}

impl KvCache {
    pub(super) fn new(shape: Shape, blocks: usize, kind: KvType) -> Self {
        fn pairs<E>(shape: Shape, blocks: usize) -> Vec<Pair<E>> {
            let units = blocks * shape.kv_heads * BLOCK;
            let pair = || Pair {
                keys: Aligned::zeroed(units * shape.dim),
                values: Aligned::zeroed(units * shape.padded),
            };
            (0..shape.layers).map(|_| pair()).collect()
        }
        let store = match kind {
            KvType::F16 => Store::F16(pairs(shape, blocks)),
            KvType::F32 | KvType::Auto => Store::F32(pairs(shape, blocks)),
        };
        Self { shape, blocks, store }
    }

    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Checks a step against the cache, and prepares it.
    pub(super) fn step<'a>(
        &'a mut self,
        shape: Shape,
        stretches: &'a [Stretch<'a>],
    ) -> Result<Step<'a>, StepError> {
        if self.shape != shape {
            return Err(StepError::OtherModel);
        }
        let mut rows = Vec::with_capacity(stretches.len());
        let mut row = 0;
        let mut written = HashSet::new();
        for (index, stretch) in stretches.iter().enumerate() {
            let needed = stretch.start.saturating_add(stretch.tokens.len()).div_ceil(BLOCK);
            if stretch.blocks.len() < needed {
                return Err(StepError::Blocks { index, given: stretch.blocks.len(), needed });
            }
            if let Some(block) = stretch.blocks.iter().find(|block| **block as usize >= self.blocks) {
                return Err(StepError::UnknownBlock { index, block: *block, blocks: self.blocks });
            }
            // Threads write tokens side by side: no two may have one place.
            let first = if stretch.tokens.is_empty() { needed } else { stretch.start / BLOCK };
            let own = &stretch.blocks[first..needed];
            if let Some(block) = own.iter().find(|block| !written.insert(**block)) {
                return Err(StepError::SharedBlock { index, block: *block });
            }
            let count = stretch.tokens.len();
            rows.push(paged::Stretch { row, count, start: stretch.start, blocks: stretch.blocks });
            row += count;
        }
        Ok(Step { cache: self, stretches: rows, isa: Isa::detect() })
    }
}

/// A step's stretches with the cache that they read and write; block numbers are checked.
pub(crate) struct Step<'a> {
    cache: &'a mut KvCache,
    stretches: Vec<paged::Stretch<'a>>,
    isa: Isa,
}

impl Step<'_> {
    /// Positions of the step's tokens.
    pub(super) fn positions(&self) -> Vec<usize> {
        self.stretches.iter().flat_map(|stretch| stretch.start..stretch.start + stretch.count).collect()
    }

    /// Adds keys and values to a layer's cache and looks back with the queries.
    pub(crate) fn attend(&mut self, layer: usize, heads: Heads, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
        match &mut self.cache.store {
            Store::F32(layers) => run(self.isa, &mut layers[layer], heads, &self.stretches, q, k, v),
            Store::F16(layers) => run(self.isa, &mut layers[layer], heads, &self.stretches, q, k, v),
        }
    }
}

fn run<E: Float>(
    isa: Isa,
    pair: &mut Pair<E>,
    heads: Heads,
    stretches: &[paged::Stretch<'_>],
    q: &[f32],
    k: &[f32],
    v: &[f32],
) -> Vec<f32> {
    let mut out = vec![0f32; q.len()];
    let layer = Layer { keys: pair.keys.as_mut_ptr(), values: pair.values.as_mut_ptr() };
    #[allow(unsafe_code, reason = "kernels over the cache's memory")]
    // SAFETY: `KvCache::step` checked the shape, that every block number is below the cache's count, and that the
    // blocks cover the positions; positions before a stretch were written by earlier steps or are zero.
    unsafe {
        paged::write(layer, heads, stretches, k, v);
        paged::attend(isa, layer, heads, stretches, q, &mut out);
    }
    out
}

/// Checks that a rotation and a step have as many tokens.
pub(super) fn rotation_of(frequencies: &crate::nn::Frequencies, step: &Step<'_>) -> Rotation {
    frequencies.rotation(&step.positions())
}
