//! Families that our own skeleton does not know, on the nets of candle-transformers.
//!
//! Those nets compute in 32 bits here, whatever the files hold (candle's CPU kernels widen 16-bit numbers at each use, which
//! is slower than reading twice the memory), and keep the keys and values of one sequence. An [`OtherDecoder`] remembers
//! which tokens were read into which block. Where a stretch goes on from just what the net holds, the net goes on; else
//! it forgets and reads the sequence anew from its beginning. So any mix of stretches is right, and one sequence at a time
//! is quick; the engine runs one.

mod config;
mod nets;
mod weights;

use std::path::Path;

use candle_core::{Device, Tensor};

use self::config::{Failed, Spec};
use self::nets::Net;
use self::weights::Tensors;
use super::config_hf::File;
use super::{BLOCK_TOKENS, DecoderOptions, Logits, StepError, Stretch, Want};
use crate::error::ModelsError;
use crate::weights::DecoderWeights;

pub(super) use self::config::KNOWN;

/// Tokens that a net reads at once: attention takes `heads * PIECE * context` numbers several times over.
const PIECE: usize = 128;

/// A language model on a net of candle-transformers, with the sequence that it has read last.
pub struct OtherDecoder {
    spec: Spec,
    id: String,
    weight_bytes: usize,
    net: Box<dyn Net>,
    /// The tokens whose keys and values the net holds.
    held: Vec<u32>,
    /// The tokens that were read into each block.
    blocks: Vec<Vec<u32>>,
}

impl std::fmt::Debug for OtherDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OtherDecoder").field("id", &self.id).field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl OtherDecoder {
    /// Loads a Hugging Face folder; `None` where it is no folder, or one of another family.
    ///
    /// The context is what `options.context` says, at most the model's own and at most a sliding window that its net does
    /// not have; 8,192 tokens where nothing is said.
    ///
    /// # Errors
    /// When a file is absent or damaged, a tensor is missing or has another shape, or an option of the family is not
    /// implemented; the message names it.
    pub fn open(path: &Path, options: &DecoderOptions) -> Result<Option<Self>, ModelsError> {
        if !path.join("config.json").is_file() {
            return Ok(None);
        }
        let file = File::read(path)?;
        if !KNOWN.contains(&file.family()?.as_str()) {
            return Ok(None);
        }
        if options.quantize.is_some() {
            return file
                .refuse(format!("quantised weights, although it is of the family {}", file.family()?));
        }
        if options.adapter.is_some() {
            return file.refuse(format!("an adapter over a model of the family {}", file.family()?));
        }
        let spec = Spec::of(&file, options.context)?;
        let weights = DecoderWeights::open(path)?;
        let id = options.id(path, &weights)?;
        let tensors = Tensors::new(weights);
        let net = spec.net(&file, tensors.builder()).map_err(|failed| match failed {
            Failed::Config(error) => error,
            Failed::Tensors(error) => tensors.fault(error),
        })?;
        let weight_bytes = tensors.bytes();
        Ok(Some(Self { spec, id, weight_bytes, net, held: Vec::new(), blocks: Vec::new() }))
    }

    /// Name and weights hash.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Ids that it knows.
    pub fn vocabulary(&self) -> usize {
        self.spec.vocabulary
    }

    /// Most tokens of a sequence.
    pub fn context(&self) -> usize {
        self.spec.context
    }

    /// Bytes of keys and values of [`BLOCK_TOKENS`] tokens.
    pub fn block_bytes(&self) -> usize {
        BLOCK_TOKENS * self.spec.token_bytes
    }

    /// Bytes of the weights in memory.
    pub fn weight_bytes(&self) -> usize {
        self.weight_bytes
    }

    /// Makes it a decoder with `blocks` empty blocks. They take next to no memory; only one sequence's keys and values
    /// are kept.
    pub fn with_blocks(mut self, blocks: usize) -> Self {
        self.blocks = vec![Vec::new(); blocks];
        self
    }

    /// As [`super::Decoder::forward`], with the blocks of [`OtherDecoder::with_blocks`].
    ///
    /// # Errors
    /// When a stretch's blocks do not cover its positions or do not hold what stands before it, a number is out of range,
    /// or an operation fails.
    pub fn forward(&mut self, step: &[Stretch<'_>]) -> Result<Logits, StepError> {
        for (index, stretch) in step.iter().enumerate() {
            self.check(index, stretch)?;
        }
        let mut values = Vec::new();
        for (index, stretch) in step.iter().enumerate() {
            let before = self.text(index, stretch)?;
            self.note(stretch);
            self.read(&before, stretch, &mut values).inspect_err(|_| self.forget())?;
        }
        Ok(Logits { vocabulary: self.spec.vocabulary, values })
    }

    fn check(&self, index: usize, stretch: &Stretch<'_>) -> Result<(), StepError> {
        let end = stretch.start + stretch.tokens.len();
        let (given, needed) = (stretch.blocks.len(), end.div_ceil(BLOCK_TOKENS));
        if given < needed {
            return Err(StepError::Blocks { index, given, needed });
        }
        let blocks = self.blocks.len();
        if let Some(&block) = stretch.blocks.iter().find(|block| **block as usize >= blocks) {
            return Err(StepError::UnknownBlock { index, block, blocks });
        }
        let context = self.spec.context;
        if end > context {
            return Err(StepError::TooLong { index, end, context });
        }
        let vocabulary = self.spec.vocabulary;
        match stretch.tokens.iter().find(|token| **token as usize >= vocabulary) {
            Some(&token) => Err(StepError::UnknownToken { token, vocabulary }),
            None => Ok(()),
        }
    }

    /// The tokens before the stretch.
    fn text(&self, index: usize, stretch: &Stretch<'_>) -> Result<Vec<u32>, StepError> {
        let start = stretch.start;
        let mut text = Vec::with_capacity(start);
        for block in stretch.blocks {
            let tokens = &self.blocks[*block as usize];
            let left = (start - text.len()).min(BLOCK_TOKENS);
            text.extend_from_slice(&tokens[..left.min(tokens.len())]);
            if tokens.len() < left {
                return Err(StepError::Unread { index, start, held: text.len() });
            }
        }
        Ok(text)
    }

    /// Remembers the stretch's tokens in its blocks.
    fn note(&mut self, stretch: &Stretch<'_>) {
        for (position, token) in (stretch.start..).zip(stretch.tokens) {
            let block = &mut self.blocks[stretch.blocks[position / BLOCK_TOKENS] as usize];
            block.truncate(position % BLOCK_TOKENS);
            block.push(*token);
        }
    }

    fn read(
        &mut self,
        before: &[u32],
        stretch: &Stretch<'_>,
        values: &mut Vec<f32>,
    ) -> Result<(), StepError> {
        if self.held != before {
            self.forget();
            self.read_on(before)?;
        }
        match stretch.want {
            Want::Nothing => _ = self.read_on(stretch.tokens)?,
            Want::Last => {
                if let Some(logits) = self.read_on(stretch.tokens)? {
                    values.extend(logits.flatten_all()?.to_vec1::<f32>()?);
                }
            }
            Want::All => {
                for token in stretch.tokens {
                    if let Some(logits) = self.read_on(std::slice::from_ref(token))? {
                        values.extend(logits.flatten_all()?.to_vec1::<f32>()?);
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads tokens behind those that the net holds; the last one's logits.
    fn read_on(&mut self, mut tokens: &[u32]) -> Result<Option<Tensor>, StepError> {
        let mut logits = None;
        while !tokens.is_empty() {
            let offset = self.held.len();
            let room = self.spec.window.map_or(PIECE, |window| window.saturating_sub(offset).max(1));
            let (piece, rest) = tokens.split_at(tokens.len().min(room).min(PIECE));
            let ids = Tensor::new(piece, &Device::Cpu)?.unsqueeze(0)?;
            logits = Some(self.net.read(&ids, offset)?);
            self.held.extend_from_slice(piece);
            tokens = rest;
        }
        Ok(logits)
    }

    fn forget(&mut self) {
        self.net.forget();
        self.held.clear();
    }
}
