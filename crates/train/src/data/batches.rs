//! Which examples make which batch, and the batches themselves.
//!
//! Everything here is a pure function of the lengths, the seed and the epoch, so that a run that goes on in the middle of
//! an epoch finds the same batches. Sequences of a batch do not see each other and have no padding, so that packing is
//! nothing but filling a number of tokens.

use std::collections::BTreeMap;

use lore_models::training::Batch;

use super::rng::Rng;
use super::{BatchSize, DataSettings, Example};

/// Batches whose examples are sorted together: enough for like lengths to meet, few enough for epochs to differ.
const POOL: usize = 64;
/// Examples that are packed together.
const PACK: usize = 16_384;
/// What the shuffling of batches draws from.
const STREAM: u64 = 0xba7c;

/// How examples are put into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batching {
    /// This many examples.
    Sequences(usize),
    /// This many rows, each of as many whole examples as fit its length.
    Packed {
        /// Rows of a batch.
        rows: usize,
        /// Most tokens of a row.
        length: usize,
    },
    /// Examples of about one length with at most this many tokens together; a longer example is a batch alone.
    Tokens(usize),
}

impl Batching {
    /// As the settings say; `found` is the number of tokens that probing found for [`BatchSize::Auto`].
    pub fn new(settings: &DataSettings, found: usize) -> Self {
        match settings.batch {
            BatchSize::Sequences(rows) if settings.packing => {
                Self::Packed { rows: rows.max(1), length: settings.cutoff_len }
            }
            BatchSize::Sequences(count) => Self::Sequences(count.max(1)),
            BatchSize::Tokens(tokens) => Self::Tokens(tokens.max(1)),
            BatchSize::Auto { .. } => Self::Tokens(found.max(1)),
        }
    }
}

/// In which order examples are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By chance, from this seed; another in each epoch.
    Shuffled(u64),
    /// About that of their files, for a curriculum; chance, from this seed, mixes those of some [`POOL`] batches.
    AsGiven(u64),
}

impl Order {
    /// As the settings say.
    pub fn new(settings: &DataSettings) -> Self {
        if settings.ordered { Self::AsGiven(settings.seed) } else { Self::Shuffled(settings.seed) }
    }

    fn seed(self) -> u64 {
        match self {
            Self::Shuffled(seed) | Self::AsGiven(seed) => seed,
        }
    }
}

/// An epoch's batches in the order in which they are seen, as indexes of examples; each example is in exactly one.
pub fn batches(examples: &[Example], batching: Batching, order: Order, epoch: u64) -> Vec<Vec<usize>> {
    let lengths: Vec<usize> = examples.iter().map(|example| example.tokens.len()).collect();
    by_length(&lengths, batching, order, epoch)
}

/// As [`batches`], of the examples' tokens.
pub fn by_length(lengths: &[usize], batching: Batching, order: Order, epoch: u64) -> Vec<Vec<usize>> {
    let mut rng = Rng::new(order.seed() ^ STREAM, epoch);
    let shuffled = matches!(order, Order::Shuffled(_));
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    if shuffled {
        rng.shuffle(&mut order);
    }
    let mut mix = |all: &mut [Vec<usize>]| {
        let stretch = if shuffled { all.len().max(1) } else { POOL };
        all.chunks_mut(stretch).for_each(|some| rng.shuffle(some));
    };
    match batching {
        Batching::Sequences(count) => order.chunks(count.max(1)).map(<[usize]>::to_vec).collect(),
        Batching::Packed { rows, length } => {
            let mut packed: Vec<Vec<usize>> =
                order.chunks(PACK).flat_map(|some| pack(some, lengths, length)).collect();
            mix(&mut packed);
            packed.chunks(rows.max(1)).map(<[Vec<usize>]>::concat).collect()
        }
        Batching::Tokens(budget) => {
            let mut all = grouped(&order, lengths, budget.max(1));
            mix(&mut all);
            all
        }
    }
}

/// Batches of like lengths: a pool of examples is sorted and filled in; what does not fill a batch goes on to the next
/// pool, so that only the last batch is small.
fn grouped(order: &[usize], lengths: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut all = Vec::new();
    let mut pool: Vec<usize> = Vec::new();
    let mut tokens = 0;
    for (at, index) in order.iter().enumerate() {
        pool.push(*index);
        tokens += lengths[*index];
        if tokens < budget.saturating_mul(POOL) && at + 1 < order.len() {
            continue;
        }
        // Longest first: what is left over is short, and fits in with others.
        pool.sort_by_key(|index| std::cmp::Reverse(lengths[*index]));
        let (mut batch, mut filled) = (Vec::new(), 0);
        for index in pool.drain(..) {
            if !batch.is_empty() && filled + lengths[index] > budget {
                all.push(std::mem::take(&mut batch));
                filled = 0;
            }
            filled += lengths[index];
            batch.push(index);
        }
        tokens = filled;
        pool = batch;
    }
    if !pool.is_empty() {
        all.push(pool);
    }
    all
}

/// Rows of at most `length` tokens: the longest examples first, each into the fullest row that has room for it (best-fit
/// decreasing; Johnson 1974: at most 11/9 of the fewest rows, and 4).
fn pack(order: &[usize], lengths: &[usize], length: usize) -> Vec<Vec<usize>> {
    let mut sorted = order.to_vec();
    sorted.sort_by_key(|index| std::cmp::Reverse(lengths[*index]));
    let mut rows: Vec<Vec<usize>> = Vec::new();
    // Rows by the room that they have left.
    let mut room: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in sorted {
        let needed = lengths[index];
        let found = room.range_mut(needed..).next().and_then(|(left, some)| Some((*left, some.pop()?)));
        let (left, row) = match found {
            Some((left, row)) => {
                if room.get(&left).is_some_and(Vec::is_empty) {
                    room.remove(&left);
                }
                (left, row)
            }
            None => {
                rows.push(Vec::new());
                (length.max(needed), rows.len() - 1)
            }
        };
        rows[row].push(index);
        room.entry(left - needed).or_default().push(row);
    }
    rows
}

/// A batch of these examples.
pub fn assemble(examples: &[Example], batch: &[usize]) -> Batch {
    let mut assembled = Batch::default();
    for index in batch {
        let example = &examples[*index];
        assembled.push(&example.tokens, &example.labelled);
    }
    assembled
}

/// The ids of a batch's examples, for messages.
pub fn ids(examples: &[Example], batch: &[usize]) -> Vec<String> {
    batch.iter().map(|index| examples[*index].id.clone()).collect()
}
