//! The two things that the engine drives: a model that reads tokens, and what makes text of them.

use lore_models::ModelsError;

/// Tokens in a block of keys and values.
pub(crate) const BLOCK_TOKENS: usize = 32;

/// Tokens of one sequence in a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch<'a> {
    /// What is read.
    pub tokens: &'a [u32],
    /// Position of its first token in the sequence.
    pub start: usize,
    /// The sequence's blocks: the one at `i` holds positions from `BLOCK_TOKENS * i`; they cover the stretch.
    pub blocks: &'a [u32],
    /// Whether the logits after its last token are wanted.
    pub last: bool,
}

/// A language model over its own cache of keys and values.
pub(crate) trait Model: Send + 'static {
    /// Ids that it knows; the length of a row of logits.
    fn vocabulary(&self) -> usize;

    /// Reads the stretches, writing their keys and values into their blocks; rows of logits, `[stretches that want
    /// them, vocabulary]`, in the order of the stretches.
    fn forward(&mut self, step: &[Stretch<'_>]) -> Result<Vec<f32>, ModelsError>;
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
