//! What can be wrong with a step.

/// Why a step could not be taken; the caller's bookkeeping is wrong.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The cache was made by a decoder of another shape.
    #[error("the cache of keys and values belongs to a model of another shape")]
    OtherModel,
    /// A stretch has fewer blocks than its positions need.
    #[error("stretch {index} has {given} blocks and needs {needed}")]
    Blocks {
        /// Which stretch.
        index: usize,
        /// Blocks given.
        given: usize,
        /// Blocks needed.
        needed: usize,
    },
    /// A block number is not below the cache's number of blocks.
    #[error("stretch {index} names block {block}, the cache has {blocks}")]
    UnknownBlock {
        /// Which stretch.
        index: usize,
        /// The number.
        block: u32,
        /// Blocks of the cache.
        blocks: usize,
    },
    /// A stretch goes on from tokens that nobody has read into its blocks.
    #[error("stretch {index} begins at {start}, but its blocks hold only {held} tokens")]
    Unread {
        /// Which stretch.
        index: usize,
        /// Position of its first token.
        start: usize,
        /// Tokens that its blocks hold.
        held: usize,
    },
    /// A sequence grows beyond the model's context.
    #[error("stretch {index} ends at {end}, beyond the context of {context} tokens")]
    TooLong {
        /// Which stretch.
        index: usize,
        /// Position after its last token.
        end: usize,
        /// Tokens that the model can look back over.
        context: usize,
    },
    /// Two stretches, or two places of one, write the same block.
    #[error("stretch {index} writes block {block}, which is written in this step already")]
    SharedBlock {
        /// Which stretch.
        index: usize,
        /// The number.
        block: u32,
    },
    /// A token id is not in the vocabulary.
    #[error("token {token} is not below the vocabulary of {vocabulary}")]
    UnknownToken {
        /// The id.
        token: u32,
        /// Ids that there are.
        vocabulary: usize,
    },
    /// An operation failed.
    #[error("the forward pass failed: {0}")]
    Operation(#[from] candle_core::Error),
}
