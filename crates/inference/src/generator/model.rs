//! The two things that the engine drives: a model that reads tokens, and what makes text of them.

use std::fmt::Display;
use std::sync::Arc;

use lore_models::GeneratorText;
use lore_models::decoder::{Decoder, KvCache, Logits, OtherDecoder, StepError, Stretch};
use lore_models::text::Detokenizer;

/// A language model over its own cache of keys and values.
pub(crate) trait Model: Send + 'static {
    /// The logits of a step.
    type Rows: Rows;
    /// Why a step failed.
    type Error: Display;

    /// Ids that it knows; the length of a row of logits.
    fn vocabulary(&self) -> usize;

    /// Whether a sequence that begins like an earlier one can go on from that one's blocks.
    fn shares(&self) -> bool {
        true
    }

    /// Reads the stretches, writing their keys and values into their blocks; the rows of logits that they want, in
    /// their order.
    fn forward(&mut self, step: &[Stretch<'_>]) -> Result<Self::Rows, Self::Error>;
}

/// Rows of logits.
pub(crate) trait Rows {
    /// How many.
    fn count(&self) -> usize;

    /// The `index`-th.
    fn row(&self, index: usize) -> &[f32];
}

/// Token ids as text.
pub(crate) trait Text: Send + 'static {
    /// What a text in the making needs to remember, such as the bytes of half a character.
    type Stream: Clone + Send;

    /// The beginning of a text.
    fn stream(&self) -> Self::Stream;

    /// The text that `token` adds; what is not complete yet comes with a later token.
    fn push(&self, stream: &mut Self::Stream, token: u32) -> String;

    /// What is still held back when no token comes any more.
    fn finish(&self, stream: &mut Self::Stream) -> String;

    /// Whether `token` ends a text.
    fn is_end(&self, token: u32) -> bool;
}

/// A decoder and its cache.
pub(crate) struct Cached {
    decoder: Arc<Decoder>,
    cache: KvCache,
}

impl Cached {
    /// A cache of `blocks` blocks for `decoder`.
    pub fn new(decoder: Arc<Decoder>, blocks: usize) -> Self {
        let cache = decoder.cache(blocks);
        Self { decoder, cache }
    }
}

impl Model for Cached {
    type Rows = Logits;
    type Error = StepError;

    fn vocabulary(&self) -> usize {
        self.decoder.config().vocabulary
    }

    fn forward(&mut self, step: &[Stretch<'_>]) -> Result<Logits, StepError> {
        self.decoder.forward(step, &mut self.cache)
    }
}

impl Model for OtherDecoder {
    type Rows = Logits;
    type Error = StepError;

    fn vocabulary(&self) -> usize {
        OtherDecoder::vocabulary(self)
    }

    fn shares(&self) -> bool {
        false
    }

    fn forward(&mut self, step: &[Stretch<'_>]) -> Result<Logits, StepError> {
        OtherDecoder::forward(self, step)
    }
}

impl Rows for Logits {
    fn count(&self) -> usize {
        self.rows()
    }

    fn row(&self, index: usize) -> &[f32] {
        Logits::row(self, index)
    }
}

impl Text for Arc<GeneratorText> {
    type Stream = Detokenizer;

    fn stream(&self) -> Detokenizer {
        self.detokenizer()
    }

    fn push(&self, stream: &mut Detokenizer, token: u32) -> String {
        stream.push(token)
    }

    fn finish(&self, stream: &mut Detokenizer) -> String {
        stream.finish()
    }

    fn is_end(&self, token: u32) -> bool {
        self.ends().binary_search(&token).is_ok()
    }
}

/// Ids as `<id>`, for measuring without a tokenizer; nothing ends a text but its length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ids;

impl Text for Ids {
    type Stream = ();

    fn stream(&self) {}

    fn push(&self, (): &mut (), token: u32) -> String {
        format!("<{token}>")
    }

    fn finish(&self, (): &mut ()) -> String {
        String::new()
    }

    fn is_end(&self, _token: u32) -> bool {
        false
    }
}
