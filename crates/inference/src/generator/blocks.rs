//! Who uses which block of keys and values, and which blocks hold what.
//!
//! A full block is known by its tokens and by the block before it, so that a request which begins like an earlier one
//! finds what that one computed. Both are compared, not only their hash: a hash that an attacker makes collide would
//! show one caller's text to another.
//!
//! Blocks that nobody uses keep their content until room is needed; the least recently used go first, and of those the
//! deepest, so that no block outlives the one before it.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use lore_models::decoder::BLOCK_TOKENS;

/// What stands before the first block.
pub(super) const ROOT: u64 = 0;

/// The blocks of one cache.
#[derive(Debug)]
pub(super) struct Blocks {
    slots: Vec<Slot>,
    free: Vec<u32>,
    known: HashMap<Arc<Key>, u32>,
    /// Blocks with content and without users, in the order in which they go.
    idle: BTreeSet<(u64, Reverse<usize>, u32)>,
    clock: u64,
    contents: u64,
    shared: bool,
}

#[derive(Debug, Default)]
struct Slot {
    users: usize,
    released: u64,
    content: Option<Content>,
}

#[derive(Debug)]
struct Content {
    /// Given once and never again.
    id: u64,
    depth: usize,
    key: Arc<Key>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    parent: u64,
    tokens: [u32; BLOCK_TOKENS],
}

impl Blocks {
    /// `count` blocks, all free.
    pub fn new(count: usize) -> Self {
        Self {
            slots: (0..count).map(|_| Slot::default()).collect(),
            free: (0..count as u32).rev().collect(),
            known: HashMap::new(),
            idle: BTreeSet::new(),
            clock: 0,
            contents: ROOT,
            shared: true,
        }
    }

    /// The same, whose contents nobody finds again, for a model that can do nothing with them.
    pub fn unshared(self) -> Self {
        Self { shared: false, ..self }
    }

    /// All blocks.
    pub fn total(&self) -> usize {
        self.slots.len()
    }

    /// Blocks that can be taken now.
    pub fn available(&self) -> usize {
        self.free.len() + self.idle.len()
    }

    /// Blocks that running sequences hold.
    pub fn used(&self) -> usize {
        self.total() - self.available()
    }

    /// An empty block for its first user; forgets the least recently used content where no block is free.
    pub fn take(&mut self) -> Option<u32> {
        let block = match self.free.pop() {
            Some(block) => block,
            None => {
                let (_, _, block) = self.idle.pop_first()?;
                if let Some(content) = self.slots[block as usize].content.take() {
                    self.known.remove(&content.key);
                }
                block
            }
        };
        self.slots[block as usize].users = 1;
        Some(block)
    }

    /// The block that holds `tokens` after the content `parent`, with one user more.
    pub fn find(&mut self, parent: u64, tokens: &[u32]) -> Option<u32> {
        let key = Key { parent, tokens: tokens.try_into().ok()? };
        let block = *self.known.get(&key)?;
        self.hold(block);
        Some(block)
    }

    /// Says that `block`, the caller's, now holds `tokens` after the content `parent`. The block to use from now on:
    /// another one where the same was known already, and the caller's is free then.
    pub fn publish(&mut self, block: u32, parent: u64, depth: usize, tokens: &[u32]) -> u32 {
        if let Some(same) = self.find(parent, tokens) {
            if same != block {
                self.release(&[block]);
            }
            return same;
        }
        let Some(tokens) = tokens.try_into().ok().filter(|_| self.shared) else { return block };
        self.contents += 1;
        let key = Arc::new(Key { parent, tokens });
        self.known.insert(key.clone(), block);
        self.slots[block as usize].content = Some(Content { id: self.contents, depth, key });
        block
    }

    /// The content of `block`, as the next block's parent.
    pub fn content(&self, block: u32) -> u64 {
        self.slots[block as usize].content.as_ref().map_or(ROOT, |content| content.id)
    }

    /// One user fewer for each of them.
    pub fn release(&mut self, blocks: &[u32]) {
        self.clock += 1;
        for &block in blocks {
            let slot = &mut self.slots[block as usize];
            slot.users = slot.users.saturating_sub(1);
            if slot.users == 0 {
                slot.released = self.clock;
                match &slot.content {
                    Some(content) => _ = self.idle.insert((self.clock, Reverse(content.depth), block)),
                    None => self.free.push(block),
                }
            }
        }
    }

    fn hold(&mut self, block: u32) {
        let slot = &mut self.slots[block as usize];
        if let (0, Some(content)) = (slot.users, &slot.content) {
            self.idle.remove(&(slot.released, Reverse(content.depth), block));
        }
        slot.users += 1;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn tokens(of: u32) -> Vec<u32> {
        (0..BLOCK_TOKENS as u32).map(|at| of * 100 + at).collect()
    }

    /// Takes, fills and names blocks for `texts` after what is known of them; the table, and how many were found.
    fn read(blocks: &mut Blocks, texts: &[u32]) -> Option<(Vec<u32>, usize)> {
        fill(blocks, texts, &mut HashMap::new())
    }

    /// As [`read`]; `memory` is what lies in the blocks: each the whole text up to its end.
    fn fill(
        blocks: &mut Blocks,
        texts: &[u32],
        memory: &mut HashMap<u32, Vec<u32>>,
    ) -> Option<(Vec<u32>, usize)> {
        let (mut table, mut parent, mut found) = (Vec::new(), ROOT, 0);
        for (depth, &text) in texts.iter().enumerate() {
            let block = match blocks.find(parent, &tokens(text)) {
                Some(block) => {
                    assert_eq!(found, depth, "a block is known although the one before it is not");
                    found += 1;
                    block
                }
                None => {
                    let Some(block) = blocks.take() else {
                        blocks.release(&table);
                        return None;
                    };
                    memory.insert(block, texts[..=depth].to_vec());
                    blocks.publish(block, parent, depth, &tokens(text))
                }
            };
            parent = blocks.content(block);
            table.push(block);
        }
        Some((table, found))
    }

    #[test]
    fn what_was_read_is_found_until_its_room_is_needed_the_end_goes_first() {
        let mut blocks = Blocks::new(4);
        let (table, found) = read(&mut blocks, &[1, 2, 3]).unwrap();
        assert_eq!((found, blocks.used()), (0, 3));
        let (same, found) = read(&mut blocks, &[1, 2]).unwrap();
        assert_eq!((found, &same[..], blocks.used()), (2, &table[..2], 3));
        blocks.release(&table);
        assert_eq!(blocks.used(), 2);
        blocks.release(&same);
        assert_eq!((blocks.used(), blocks.available()), (0, 4));
        let (other, found) = read(&mut blocks, &[2, 1]).unwrap();
        assert_eq!(found, 0, "the same tokens after others are another content");
        blocks.release(&other);
        let (again, found) = read(&mut blocks, &[1, 2, 3]).unwrap();
        assert_eq!((found, &again[..2]), (2, &table[..2]), "only the last block had to go");
    }

    #[test]
    fn two_that_compute_the_same_keep_one_block() {
        let mut blocks = Blocks::new(4);
        let (one, two) = (blocks.take().unwrap(), blocks.take().unwrap());
        assert_eq!(blocks.publish(one, ROOT, 0, &tokens(1)), one);
        assert_eq!(blocks.publish(two, ROOT, 0, &tokens(1)), one);
        assert_eq!(blocks.used(), 1);
        blocks.release(&[one]);
        assert_eq!(blocks.used(), 1, "the other still uses it");
        blocks.release(&[one]);
        assert_eq!(blocks.used(), 0);
    }

    proptest! {
        #[test]
        fn users_and_contents_are_kept_apart(
            steps in prop::collection::vec((prop::collection::vec(0u32..3, 1..5), any::<bool>()), 1..60)
        ) {
            let mut blocks = Blocks::new(9);
            let mut memory = HashMap::new();
            let mut held: Vec<(Vec<u32>, Vec<u32>)> = Vec::new();
            for (texts, release) in steps {
                if release && !held.is_empty() {
                    let (table, _) = held.remove(0);
                    blocks.release(&table);
                }
                if let Some((table, _)) = fill(&mut blocks, &texts, &mut memory) {
                    held.push((table, texts));
                }
                let mut used = Vec::new();
                for (table, texts) in &held {
                    used.extend_from_slice(table);
                    for (at, block) in table.iter().enumerate() {
                        prop_assert_eq!(&memory[block], &texts[..=at], "another text in a block that is used");
                    }
                }
                used.sort_unstable();
                used.dedup();
                prop_assert_eq!(blocks.used(), used.len());
            }
            held.iter().for_each(|(table, _)| blocks.release(table));
            prop_assert_eq!(blocks.available(), 9);
        }
    }
}
