//! Applies the catalog's changes to the indexes, in order, each index at its own checkpoint.

/// What a round of following did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FollowReport {
    /// Changes applied.
    pub changes: u64,
    /// Chunks written to the indexes.
    pub chunks: u64,
    /// Chunks that had to be embedded (the others' vectors were known).
    pub embedded: u64,
}
