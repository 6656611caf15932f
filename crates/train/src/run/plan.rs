//! Which batches make which step.

use crate::data::{Batching, DataSettings, Example, Order, batches};
use crate::optim::OptimSettings;

/// Epochs after which counting ahead ends; a run of more is one of `max_steps`.
const MOST_EPOCHS: f64 = 1e6;

/// The steps of a run: a pure function of examples, settings and seed, so that a run that goes on finds the same.
pub(super) struct Plan<'a> {
    examples: &'a [Example],
    batching: Batching,
    order: Order,
    accumulation: usize,
    /// Steps in all.
    pub steps: usize,
    /// The epoch that was asked for last, and its batches.
    current: Option<(usize, Vec<Vec<usize>>)>,
}

impl<'a> Plan<'a> {
    /// The plan over `examples`; `found` is the number of tokens that trying found.
    pub fn new(
        examples: &'a [Example],
        data: &DataSettings,
        optim: &OptimSettings,
        found: Option<usize>,
    ) -> Self {
        let batching = Batching::new(data, found.unwrap_or(data.cutoff_len));
        let accumulation = optim.accumulation.max(1);
        let mut plan =
            Self { examples, batching, order: Order::new(data), accumulation, steps: 0, current: None };
        plan.steps = optim.max_steps.unwrap_or_else(|| plan.count(optim.epochs.clamp(0.0, MOST_EPOCHS)));
        plan
    }

    /// Steps of so many epochs; a part of an epoch is rounded up, as transformers does.
    fn count(&self, epochs: f64) -> usize {
        let steps = |epoch: usize| self.batches(epoch).len().div_ceil(self.accumulation);
        // Numbers of examples are the same in each epoch, and only batches by tokens may differ in number.
        let same = matches!(self.batching, Batching::Sequences(_));
        let whole = epochs as usize;
        let all = if same { whole * steps(0) } else { (0..whole).map(steps).sum() };
        let part = epochs - whole as f64;
        if part > 0.0 {
            all + (part * steps(if same { 0 } else { whole }) as f64).ceil() as usize
        } else {
            all
        }
    }

    fn batches(&self, epoch: usize) -> Vec<Vec<usize>> {
        batches(self.examples, self.batching, self.order, epoch as u64)
    }

    /// Batches of an epoch.
    pub fn epoch(&mut self, epoch: usize) -> &[Vec<usize>] {
        if self.current.as_ref().is_none_or(|(current, _)| *current != epoch) {
            self.current = Some((epoch, self.batches(epoch)));
        }
        self.current.as_ref().map_or(&[], |(_, batches)| batches)
    }

    /// The batches of the step that begins with batch `batch` of an epoch.
    pub fn step(&mut self, epoch: usize, batch: usize) -> Vec<Vec<usize>> {
        let accumulation = self.accumulation;
        self.epoch(epoch).iter().skip(batch).take(accumulation).cloned().collect()
    }

    /// Batches of held-out examples, in the same order each time.
    pub fn held_out(&self, examples: &[Example]) -> Vec<Vec<usize>> {
        batches(examples, self.batching, self.order, 0)
    }
}

/// Steps that a run over these examples has; `found` is the number of tokens of a batch where trying has found it.
pub(crate) fn steps_of(
    examples: &[Example],
    data: &DataSettings,
    optim: &OptimSettings,
    found: Option<usize>,
) -> usize {
    Plan::new(examples, data, optim, found).steps
}
