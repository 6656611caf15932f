//! What a step reads.

/// The target of a position without one.
pub const IGNORED: u32 = u32::MAX;

/// Sequences, one after the other, and what is to follow each of their tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Ids of all sequences.
    pub tokens: Vec<u32>,
    /// For each position the id that is to follow, or [`IGNORED`]; so the target of position `i` is the label of token
    /// `i + 1`, and a sequence's last position has none.
    pub targets: Vec<u32>,
    /// Tokens of each sequence. Sequences do not see each other, and each starts at position 0.
    pub lengths: Vec<usize>,
}

impl Batch {
    /// Adds a sequence; `labelled[i]` says whether token `i` is to be learned.
    ///
    /// The first token of a sequence follows nothing and is never learned.
    pub fn push(&mut self, tokens: &[u32], labelled: &[bool]) {
        let next = tokens.iter().zip(labelled).skip(1);
        let targets = next.map(|(token, labelled)| if *labelled { *token } else { IGNORED });
        self.targets.extend(targets.chain([IGNORED]).take(tokens.len()));
        self.tokens.extend_from_slice(tokens);
        self.lengths.push(tokens.len());
    }

    /// Positions with a target.
    pub fn labels(&self) -> usize {
        self.targets.iter().filter(|target| **target != IGNORED).count()
    }

    /// Checks that lengths add up and that ids lie below `vocabulary`.
    ///
    /// # Errors
    /// When one does not.
    pub fn check(&self, vocabulary: usize) -> candle_core::Result<()> {
        let tokens = self.tokens.len();
        if self.targets.len() != tokens || self.lengths.iter().sum::<usize>() != tokens {
            let (targets, lengths) = (self.targets.len(), &self.lengths);
            candle_core::bail!("a batch of {tokens} tokens, {targets} targets and sequences of {lengths:?}");
        }
        let known = |id: &u32| (*id as usize) < vocabulary;
        if let Some(id) = self.tokens.iter().find(|id| !known(id)) {
            candle_core::bail!("token {id} of a batch is not in the vocabulary of {vocabulary}");
        }
        if let Some(id) = self.targets.iter().find(|id| **id != IGNORED && !known(id)) {
            candle_core::bail!("target {id} of a batch is not in the vocabulary of {vocabulary}");
        }
        Ok(())
    }
}

/// What a batch cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BatchLoss {
    /// Sum of the cross-entropies of all positions with a target, in nats.
    pub sum: f64,
    /// Positions with a target.
    pub labels: usize,
}

impl BatchLoss {
    /// The mean, or 0 where there is nothing to learn.
    pub fn mean(&self) -> f64 {
        if self.labels == 0 { 0.0 } else { self.sum / self.labels as f64 }
    }
}

impl std::ops::AddAssign for BatchLoss {
    fn add_assign(&mut self, other: Self) {
        self.sum += other.sum;
        self.labels += other.labels;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_the_labels_that_follow() {
        let mut batch = Batch::default();
        batch.push(&[5, 6, 7], &[true, false, true]);
        batch.push(&[8], &[true]);
        batch.push(&[9, 10], &[false, true]);
        assert_eq!(batch.targets, [IGNORED, 7, IGNORED, IGNORED, 10, IGNORED]);
        assert_eq!((batch.lengths.as_slice(), batch.labels()), ([3, 1, 2].as_slice(), 2));
        assert!(batch.check(11).is_ok());
        assert!(batch.check(10).is_err());
    }
}
