//! Which checkpoints are kept.

/// The last few, and the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retention {
    /// How many of the last; `None` for all.
    pub last: Option<usize>,
}

impl Retention {
    /// Those of `steps` (ascending) that may go.
    ///
    /// The last always stays: it is what a run goes on from.
    pub fn surplus(&self, steps: &[usize], best: Option<usize>) -> Vec<usize> {
        let Some(last) = self.last else { return Vec::new() };
        let others = steps.len().saturating_sub(last.max(1));
        steps[..others].iter().copied().filter(|step| Some(*step) != best).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_and_the_best_stay() {
        let steps = [10, 20, 30, 40, 50];
        let surplus = |last, best| Retention { last }.surplus(&steps, best);
        assert!(surplus(None, None).is_empty());
        assert_eq!(surplus(Some(2), None), [10, 20, 30]);
        assert_eq!(surplus(Some(2), Some(20)), [10, 30]);
        assert_eq!(surplus(Some(2), Some(40)), [10, 20, 30]);
        assert_eq!(surplus(Some(0), Some(50)), [10, 20, 30, 40]);
        assert!(surplus(Some(9), Some(10)).is_empty());
    }
}
