//! Whichever decoder a model needs.

use std::path::Path;
use std::sync::Arc;

use super::{Decoder, DecoderOptions, OtherDecoder};
use crate::error::ModelsError;

/// A language model of any family.
#[derive(Debug)]
pub enum AnyDecoder {
    /// On our own skeleton.
    Own(Arc<Decoder>),
    /// On a net of candle-transformers.
    Other(Box<OtherDecoder>),
}

impl AnyDecoder {
    /// Loads a Hugging Face folder of any family that is known, or a GGUF file of those of [`Decoder`].
    ///
    /// # Errors
    /// As [`Decoder::open`] and [`OtherDecoder::open`].
    pub fn open(path: &Path, options: &DecoderOptions) -> Result<Self, ModelsError> {
        match OtherDecoder::open(path, options)? {
            Some(other) => Ok(Self::Other(Box::new(other))),
            None => Ok(Self::Own(Arc::new(Decoder::open(path, options)?))),
        }
    }

    /// Name and weights hash.
    pub fn id(&self) -> &str {
        match self {
            Self::Own(decoder) => decoder.id(),
            Self::Other(other) => other.id(),
        }
    }

    /// Ids that it knows.
    pub fn vocabulary(&self) -> usize {
        match self {
            Self::Own(decoder) => decoder.config().vocabulary,
            Self::Other(other) => other.vocabulary(),
        }
    }

    /// Most tokens of a sequence.
    pub fn context(&self) -> usize {
        match self {
            Self::Own(decoder) => decoder.config().context,
            Self::Other(other) => other.context(),
        }
    }

    /// Bytes of keys and values of [`super::BLOCK_TOKENS`] tokens.
    pub fn block_bytes(&self) -> usize {
        match self {
            Self::Own(decoder) => decoder.block_bytes(),
            Self::Other(other) => other.block_bytes(),
        }
    }

    /// Bytes of the weights in memory.
    pub fn weight_bytes(&self) -> usize {
        match self {
            Self::Own(decoder) => decoder.weight_bytes(),
            Self::Other(other) => other.weight_bytes(),
        }
    }
}

impl From<Arc<Decoder>> for AnyDecoder {
    fn from(decoder: Arc<Decoder>) -> Self {
        Self::Own(decoder)
    }
}
