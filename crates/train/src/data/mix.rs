//! What is trained on and what is evaluated on, and how data sets are mixed.

use std::collections::{BTreeMap, HashMap, HashSet};

use lore_core::random::finalise;

use super::Mix;
use super::record::Hash;
use super::rng::Rng;
use crate::error::TrainError;

/// Most examples that interleaving may draw for each that there is.
const REPEATS: usize = 1000;
/// What holding out, sampling and interleaving draw from.
const STREAMS: [u64; 3] = [0x5e11, 0x5a3e, 0x317];

/// What an example is, and what else is made of the same: its digest, and data set and stem of its id where it has one.
pub(super) type Kin<'a> = (Hash, Option<(usize, &'a str)>);

/// The group of each example: those with one digest or one stem are in one, which is named by its least digest.
///
/// Stems that leave one group only, as where all lines have the same id, say nothing and are not looked at.
pub(super) fn groups(kin: &[Kin<'_>]) -> Vec<Hash> {
    let mut parent: Vec<usize> = (0..kin.len()).collect();
    let root = |parent: &mut Vec<usize>, mut at: usize| {
        while parent[at] != at {
            parent[at] = parent[parent[at]];
            at = parent[at];
        }
        at
    };
    let (mut digests, mut stems) = (HashMap::new(), HashMap::new());
    for (at, (digest, stem)) in kin.iter().enumerate() {
        let with =
            [Some(*digests.entry(*digest).or_insert(at)), stem.map(|stem| *stems.entry(stem).or_insert(at))];
        for other in with.into_iter().flatten() {
            let (one, other) = (root(&mut parent, at), root(&mut parent, other));
            parent[one.max(other)] = one.min(other);
        }
    }
    let mut least: HashMap<usize, Hash> = HashMap::new();
    for (at, (digest, _)) in kin.iter().enumerate() {
        let least = least.entry(root(&mut parent, at)).or_insert(*digest);
        *least = *digest.min(&*least);
    }
    let own = least.len() < 2;
    let group = |(at, (digest, _)): (usize, &Kin<'_>)| match own {
        true => *digest,
        false => least.get(&root(&mut parent, at)).copied().unwrap_or(*digest),
    };
    kin.iter().enumerate().map(group).collect()
}

/// The digests that are held out: `size` below 1 is a share of the examples, from 1 a number of them.
///
/// What is chosen depends on the examples and the seed, not on their order or files; equal examples go to the same side.
pub(super) fn held_out(digests: &[Hash], size: f64, seed: u64) -> Result<HashSet<Hash>, TrainError> {
    let mut counts: BTreeMap<Hash, usize> = BTreeMap::new();
    for digest in digests {
        *counts.entry(*digest).or_default() += 1;
    }
    if size <= 0.0 {
        return Ok(HashSet::new());
    }
    let wanted = if size < 1.0 { (size * digests.len() as f64).round().max(1.0) } else { size.round() };
    let wanted = wanted as usize;
    if counts.len() < 2 || wanted >= digests.len() {
        return Err(TrainError::Settings {
            key: "val_size",
            message: format!(
                "{size} of {} examples ({} different ones) leaves nothing to train on; make it smaller, or name an \
                 eval_dataset",
                digests.len(),
                counts.len()
            ),
        });
    }
    let salt = finalise(seed ^ STREAMS[0]);
    let rank = |digest: &Hash| {
        let head = digest.first_chunk::<8>().map_or(0, |head| u64::from_le_bytes(*head));
        finalise(head ^ salt)
    };
    let mut order: Vec<(u64, Hash)> = counts.keys().map(|digest| (rank(digest), *digest)).collect();
    order.sort_unstable();
    let mut held = HashSet::new();
    let mut count = 0;
    for (_, digest) in &order {
        if count + counts[digest] <= wanted {
            count += counts[digest];
            held.insert(*digest);
        }
    }
    // Where every kind has more copies than are wanted, the one with the fewest.
    if held.is_empty() {
        held.extend(
            order.iter().min_by_key(|(rank, digest)| (counts[digest], *rank)).map(|(_, digest)| *digest),
        );
    }
    Ok(held)
}

/// `count` of `available` by chance: each once before any is taken again.
pub(super) fn sample(available: usize, count: usize, seed: u64, set: usize) -> Vec<usize> {
    let mut rng = Rng::new(seed ^ STREAMS[1], set as u64);
    let mut taken = Vec::with_capacity(count);
    while taken.len() < count && available > 0 {
        let mut order: Vec<usize> = (0..available).collect();
        rng.shuffle(&mut order);
        order.truncate(count - taken.len());
        taken.extend(order);
    }
    taken
}

/// The order in which the examples of data sets with these sizes are taken, as (data set, place in it).
pub(super) fn mixed(sizes: &[usize], how: &Mix, seed: u64) -> Result<Vec<(usize, usize)>, TrainError> {
    let (weights, over) = match how {
        Mix::Concat => {
            return Ok((0..sizes.len()).flat_map(|set| (0..sizes[set]).map(move |at| (set, at))).collect());
        }
        Mix::InterleaveUnder(weights) => (weights, false),
        Mix::InterleaveOver(weights) => (weights, true),
    };
    let wrong = |message: String| Err(TrainError::Settings { key: "interleave_probs", message });
    let weights = if weights.is_empty() { &vec![1.0; sizes.len()] } else { weights };
    if weights.len() != sizes.len() {
        return wrong(format!(
            "there are {} for {} data sets; give one for each",
            weights.len(),
            sizes.len()
        ));
    }
    if weights.iter().any(|weight| !weight.is_finite() || *weight <= 0.0) {
        return wrong("each must lie above 0; leave out a data set that is not to be drawn".to_owned());
    }
    if let Some(empty) = sizes.iter().position(|size| *size == 0) {
        return wrong(format!("data set {} has no example to draw", empty + 1));
    }
    let total: f64 = weights.iter().sum();
    let most = sizes.iter().sum::<usize>().saturating_mul(REPEATS);
    let mut rng = Rng::new(seed ^ STREAMS[2], 0);
    let mut order = Vec::new();
    let (mut next, mut ended) = (vec![0; sizes.len()], vec![false; sizes.len()]);
    loop {
        let drawn = rng.uniform() * total;
        let mut sum = 0.0;
        let set = weights.iter().position(|weight| {
            sum += weight;
            drawn < sum
        });
        let set = set.unwrap_or(sizes.len() - 1);
        order.push((set, next[set]));
        next[set] += 1;
        if next[set] == sizes[set] {
            next[set] = 0;
            ended[set] = true;
            if !over || ended.iter().all(|ended| *ended) {
                return Ok(order);
            }
        }
        if order.len() >= most {
            return wrong(format!(
                "{most} examples were drawn and a data set has not ended; make them less different"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn digests(kinds: &[u8]) -> Vec<Hash> {
        kinds.iter().map(|kind| crate::data::record::Body::Text(kind.to_string()).digest()).collect()
    }

    #[test]
    fn a_share_is_held_out_and_stays_when_examples_are_added_or_moved() {
        let all = digests(&(0..200).collect::<Vec<_>>());
        let held = held_out(&all, 0.1, 7).unwrap();
        assert_eq!(held.len(), 20);
        let reversed: Vec<Hash> = all.iter().rev().copied().collect();
        assert_eq!(held_out(&reversed, 0.1, 7).unwrap(), held);
        assert_ne!(held_out(&all, 0.1, 8).unwrap(), held);
        let fewer = held_out(&all[..190], 19.0, 7).unwrap();
        assert!(fewer.intersection(&held).count() >= 17);
        assert_eq!(held_out(&all, 3.0, 7).unwrap().len(), 3);
        assert!(held_out(&all, 0.0, 7).unwrap().is_empty());
        assert!(held_out(&all, 200.0, 7).is_err());
        assert!(held_out(&all[..1], 0.5, 7).is_err());
    }

    #[test]
    fn what_was_made_of_the_same_is_one_group() {
        let [a, b, c, d] = digests(&[0, 1, 2, 3])[..] else { panic!() };
        let kin = [
            (a, Some((0, "x"))),
            (b, Some((0, "x"))),
            (c, Some((0, "y"))),
            // Another data set's id; as an example the same as one above.
            (b, Some((1, "z"))),
            (d, Some((1, "z"))),
            (d, Some((1, "y"))),
        ];
        let found = groups(&kin);
        let first = a.min(b).min(d);
        assert_eq!(found, [first, first, c, first, first, first]);
        let same = groups(&[(a, Some((0, "x"))), (b, Some((0, "x")))]);
        assert_eq!(same, [a, b]);
        assert_eq!(groups(&[(a, None), (b, None), (a, None)]), [a, b, a]);
    }

    #[test]
    fn under_ends_with_the_first_set_and_over_with_the_last() {
        let sizes = [50, 10];
        let under = mixed(&sizes, &Mix::InterleaveUnder(vec![0.5, 0.5]), 1).unwrap();
        assert_eq!(under.iter().filter(|(set, _)| *set == 1).count(), 10);
        assert_eq!(under.last(), Some(&(1, 9)));
        let unique: HashSet<_> = under.iter().collect();
        assert_eq!(unique.len(), under.len(), "none is taken twice");
        let over = mixed(&sizes, &Mix::InterleaveOver(Vec::new()), 1).unwrap();
        let unique: HashSet<_> = over.iter().collect();
        assert_eq!(unique.len(), 60, "all are taken");
        assert_eq!(over.last(), Some(&(0, 49)));
        assert!(mixed(&sizes, &Mix::InterleaveOver(vec![1.0]), 1).is_err());
        assert!(mixed(&sizes, &Mix::InterleaveUnder(vec![1.0, 0.0]), 1).is_err());
        assert!(mixed(&[3, 0], &Mix::InterleaveUnder(vec![1.0, 1.0]), 1).is_err());
    }

    #[test]
    fn a_sample_takes_each_before_any_again() {
        let taken = sample(5, 12, 3, 0);
        let mut first = taken[..5].to_vec();
        first.sort_unstable();
        assert_eq!((taken.len(), first), (12, vec![0, 1, 2, 3, 4]));
        assert_eq!(sample(0, 3, 3, 0), Vec::<usize>::new());
    }

    proptest! {
        #[test]
        fn equal_examples_are_on_one_side(kinds in prop::collection::vec(0u8..12, 2..60), size in 0.01f64..0.9, seed: u64) {
            let all = digests(&kinds);
            if let Ok(held) = held_out(&all, size, seed) {
                let eval = all.iter().filter(|digest| held.contains(*digest)).count();
                prop_assert!(eval > 0 && eval < all.len());
                prop_assert_eq!(held_out(&all, size, seed).unwrap(), held);
            }
        }
    }
}
