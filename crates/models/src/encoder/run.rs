//! Many sequences through a net: groups of whole sequences, one group per thread, or one group shared by all threads.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::net::{Net, Workspace};
use crate::error::ModelsError;
use crate::ops::Panels;
use crate::tokenizer::Tokens;

/// Tokens of a group, where there are enough: its activations stay in a core's L2 cache.
const GROUP: usize = 256;
/// Fewer tokens than this per thread, and the threads share each step instead.
const LEAST: usize = 64;
/// A workspace that grew beyond this is given back.
const KEEP_BYTES: usize = 64 << 20;

/// A net with its threads and buffers.
#[derive(Debug)]
pub(super) struct Runner {
    pub net: Net,
    pool: rayon::ThreadPool,
    spare: Mutex<Vec<Workspace>>,
}

impl Runner {
    pub fn new(net: Net, pool: rayon::ThreadPool) -> Self {
        Self { net, pool, spare: Mutex::new(Vec::new()) }
    }

    /// Threads of its own; the machine's number of cores unless `threads` says another.
    pub fn pool(threads: Option<usize>) -> Result<rayon::ThreadPool, ModelsError> {
        let threads =
            threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("encoder-{index}"))
            .build()
            .map_err(|error| ModelsError::Threads { threads, message: error.to_string() })
    }

    /// What `work` gives for each item, on these threads.
    pub fn map<T: Sync, U: Send>(
        &self,
        items: &[T],
        work: impl Fn(&T) -> Result<U, ModelsError> + Sync + Send,
    ) -> Result<Vec<U>, ModelsError> {
        if items.len() < 2 {
            return items.iter().map(work).collect();
        }
        self.pool.install(|| items.par_iter().map(work).collect())
    }

    /// What `read` makes of each sequence's token vectors `[tokens of the group, hidden]` and its range of them.
    pub fn run<U: Send>(
        &self,
        sequences: &[Tokens],
        read: impl Fn(&Panels, Range<usize>) -> U + Sync + Send,
    ) -> Result<Vec<U>, ModelsError> {
        for tokens in sequences {
            self.net.check(tokens)?;
        }
        let threads = self.pool.current_num_threads();
        let groups = plan(&sequences.iter().map(|tokens| tokens.ids.len()).collect::<Vec<_>>(), threads);
        let own = groups.len() - groups.len() % threads;
        let (own, shared) = groups.split_at(if threads == 1 { groups.len() } else { own });
        let mut found: Vec<(usize, U)> = self.pool.install(|| {
            let mut found: Vec<_> = own
                .par_iter()
                .with_max_len(1)
                .flat_map_iter(|group| self.group(sequences, group, false, &read))
                .collect();
            for group in shared {
                found.extend(self.group(sequences, group, threads > 1, &read));
            }
            found
        });
        found.sort_unstable_by_key(|(index, _)| *index);
        Ok(found.into_iter().map(|(_, value)| value).collect())
    }

    fn group<U>(
        &self,
        sequences: &[Tokens],
        group: &[usize],
        parallel: bool,
        read: impl Fn(&Panels, Range<usize>) -> U,
    ) -> Vec<(usize, U)> {
        let mut work = self.spare().pop().unwrap_or_default();
        let tokens: Vec<&Tokens> = group.iter().map(|index| &sequences[*index]).collect();
        self.net.forward(&tokens, &mut work, parallel);
        let mut start = 0;
        let mut found = Vec::with_capacity(group.len());
        for (index, tokens) in group.iter().zip(tokens) {
            let end = start + tokens.ids.len();
            found.push((*index, read(&work.tokens, start..end)));
            start = end;
        }
        if work.bytes() <= KEEP_BYTES {
            self.spare().push(work);
        }
        found
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Workspace>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Groups of sequences (as indexes), the longest first, each of about as many tokens as suits the caches and threads.
fn plan(lengths: &[usize], threads: usize) -> Vec<Vec<usize>> {
    let total: usize = lengths.iter().sum();
    let target = total.div_ceil(threads).clamp(LEAST, GROUP);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(lengths[*index]));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for index in order {
        match groups.last_mut() {
            Some(group) if lengths[index] <= room => group.push(index),
            _ => {
                groups.push(vec![index]);
                room = target;
            }
        }
        room = room.saturating_sub(lengths[index]);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::plan;

    #[test]
    fn every_sequence_is_in_one_group_and_groups_keep_their_size() {
        let lengths = [5, 300, 17, 64, 256, 1, 40, 90, 200];
        let groups = plan(&lengths, 2);
        let mut all: Vec<usize> = groups.concat();
        all.sort_unstable();
        assert_eq!(all, (0..lengths.len()).collect::<Vec<_>>());
        for group in &groups {
            assert!(group.len() == 1 || group.iter().map(|index| lengths[*index]).sum::<usize>() <= 256);
        }
        assert!(plan(&[], 2).is_empty());
        assert_eq!(plan(&[32; 4], 2), [[0, 1], [2, 3]]);
    }
}
