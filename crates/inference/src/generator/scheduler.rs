//! What runs, what waits, and what a step reads.
//!
//! **Who is let in.** Requests in their order, as soon as a place is free and the blocks for their prompt (and one more
//! for each text that is running) can be had. Where the first does not fit, a later one that fits goes before it, but
//! only [`OVERTAKES`] times, so that a huge prompt does not wait for ever.
//!
//! **What a step reads.** One token of each text that is being written, always; and as many prompt tokens as the
//! settings say. The oldest prompt has at least half of those; the rest goes to the prompts with the least left to read,
//! so that a short prompt does not wait behind a huge one, and prompts of one length are read one after the other. A
//! prompt whose next block another one reads in this step waits for it, and goes on from there.
//!
//! **When blocks run out.** Texts grow a block at a time. Where none is left, the latest request gives its blocks back
//! and goes to the front of the line; it goes on later from what is still known of it, with the same text. The oldest
//! never has to, and it fits alone, so there is always one that ends.

use std::collections::{HashSet, VecDeque};

use lore_models::decoder::BLOCK_TOKENS;

use super::blocks::Blocks;
use super::options::GeneratorOptions;
use super::sequence::Sequence;

/// How often a request that does not fit is passed by later ones.
const OVERTAKES: usize = 4;
/// How many requests behind the first one are looked at.
const LOOKED_AT: usize = 8;

/// The sequences, both lines by arrival.
#[derive(Debug)]
pub(super) struct Lines<S> {
    pub running: Vec<Sequence<S>>,
    pub waiting: VecDeque<Sequence<S>>,
}

/// Tokens of a running sequence that a step reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Its place in `running`.
    pub at: usize,
    /// How many tokens.
    pub count: usize,
}

impl<S: Clone + Send> Lines<S> {
    /// Nothing runs or waits.
    pub fn new() -> Self {
        Self { running: Vec::new(), waiting: VecDeque::new() }
    }

    /// Lets in what fits.
    pub fn admit(&mut self, blocks: &mut Blocks, max_running: usize) {
        while self.running.len() < max_running {
            let Some(at) = self.fitting(blocks) else { return };
            let Some(mut sequence) = self.waiting.remove(at) else { return };
            self.waiting.iter_mut().take(at).for_each(|passed| passed.overtaken += 1);
            sequence.start();
            let place = self.running.partition_point(|other| other.arrival < sequence.arrival);
            self.running.insert(place, sequence);
        }
    }

    /// The first that fits; it has its blocks then.
    fn fitting(&mut self, blocks: &mut Blocks) -> Option<usize> {
        for at in 0..self.waiting.len().min(LOOKED_AT + 1) {
            let sequence = &mut self.waiting[at];
            sequence.adopt(blocks);
            let wanted = sequence.wanted();
            if blocks.available() >= wanted + self.running.len() {
                sequence.blocks.extend((0..wanted).filter_map(|_| blocks.take()));
                return Some(at);
            }
            sequence.leave(blocks);
            if sequence.overtaken >= OVERTAKES {
                return None;
            }
        }
        None
    }

    /// What the next step reads, in the order of `running`; and how many had to give their blocks back for it.
    pub fn plan(&mut self, blocks: &mut Blocks, options: &GeneratorOptions) -> (Vec<Part>, usize) {
        let paused = self.grow(blocks);
        for sequence in self.running.iter_mut().filter(|sequence| sequence.left() > 1) {
            sequence.adopt(blocks);
        }
        let mut parts: Vec<Part> = self.running.iter().enumerate().filter_map(writing).collect();
        let budget = if parts.is_empty() { options.prefill_tokens_alone } else { options.prefill_tokens };
        self.read_prompts(blocks, budget.max(1), &mut parts);
        parts.sort_unstable_by_key(|part| part.at);
        (parts, paused)
    }

    /// Blocks for the texts that go on.
    fn grow(&mut self, blocks: &mut Blocks) -> usize {
        let (mut at, mut paused) = (0, 0);
        while at < self.running.len() {
            let sequence = &mut self.running[at];
            if sequence.left() == 1 && sequence.wanted() > 0 {
                match blocks.take() {
                    Some(block) => sequence.blocks.push(block),
                    None => {
                        paused += 1;
                        self.pause_latest(blocks);
                        continue;
                    }
                }
            }
            at += 1;
        }
        paused
    }

    fn pause_latest(&mut self, blocks: &mut Blocks) {
        if let Some(mut latest) = self.running.pop() {
            latest.pause(blocks);
            let place = self.waiting.partition_point(|other| other.arrival < latest.arrival);
            self.waiting.insert(place, latest);
        }
    }

    fn read_prompts(&self, blocks: &Blocks, budget: usize, parts: &mut Vec<Part>) {
        let left = |at: &usize| self.running[*at].left();
        let reading = || (0..self.running.len()).filter(|at| left(at) > 1);
        let Some(oldest) = reading().next() else { return };
        let mut order: Vec<usize> = reading().collect();
        order.sort_by_key(left);
        let mut claimed = HashSet::new();
        let mut claims =
            |at: usize| self.running[at].next_block(blocks).is_none_or(|key| claimed.insert(key));
        claims(oldest);
        order.retain(|&at| at == oldest || claims(at));

        let reserved = left(&oldest).min(budget.div_ceil(2));
        let mut rest = budget - reserved;
        for at in order {
            let own = if at == oldest { reserved } else { 0 };
            let count = left(&at).min(own + rest);
            rest -= count - own;
            let count = whole_blocks(self.running[at].computed, count, left(&at));
            if count > 0 {
                parts.push(Part { at, count });
            }
        }
    }
}

fn writing<S: Clone + Send>((at, sequence): (usize, &Sequence<S>)) -> Option<Part> {
    (sequence.left() == 1).then_some(Part { at, count: 1 })
}

/// `count` cut so that it ends with a block, where it reaches the end of one: others find whole blocks only.
fn whole_blocks(computed: usize, count: usize, left: usize) -> usize {
    let end = (computed + count) / BLOCK_TOKENS * BLOCK_TOKENS;
    if count < left && end > computed { end - computed } else { count }
}
