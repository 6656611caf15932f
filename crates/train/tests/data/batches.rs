//! Batches: nothing is lost, nothing is twice, and all fits.

use lore_train::data::{
    BatchSize, Batching, DataSettings, Example, Order, assemble, batches, by_length, ids,
};
use proptest::prelude::*;

fn examples(lengths: &[usize]) -> Vec<Example> {
    let one = |(at, length): (usize, &usize)| Example {
        id: format!("set:{}", at + 1),
        tokens: vec![u32::try_from(at).unwrap(); *length],
        labelled: (0..*length).map(|at| at % 2 == 1).collect(),
        documents: Vec::new(),
    };
    lengths.iter().enumerate().map(one).collect()
}

fn batching() -> impl Strategy<Value = Batching> {
    prop_oneof![
        (1usize..9).prop_map(Batching::Sequences),
        (1usize..4, 64usize..200).prop_map(|(rows, length)| Batching::Packed { rows, length }),
        (1usize..400).prop_map(Batching::Tokens),
    ]
}

proptest! {
    #[test]
    fn each_example_is_in_one_batch_and_batches_fit(
        lengths in prop::collection::vec(1usize..120, 0..300), batching in batching(), seed: u64, epoch in 0u64..4,
    ) {
        let examples = examples(&lengths);
        let all = batches(&examples, batching, Order::Shuffled(seed), epoch);
        let mut seen: Vec<usize> = all.concat();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
        for batch in &all {
            prop_assert!(!batch.is_empty());
            let tokens: usize = batch.iter().map(|index| lengths[*index]).sum();
            match batching {
                Batching::Sequences(count) => prop_assert!(batch.len() <= count),
                Batching::Packed { rows, length } => {
                    // Longer examples have a row alone.
                    let room: usize = batch.iter().map(|index| lengths[*index].saturating_sub(length)).sum();
                    prop_assert!(tokens <= rows * length + room);
                }
                Batching::Tokens(budget) => prop_assert!(tokens <= budget || batch.len() == 1),
            }
        }
        prop_assert_eq!(&batches(&examples, batching, Order::Shuffled(seed), epoch), &all, "the same again");
    }

    #[test]
    fn packing_is_near_the_fewest_rows(lengths in prop::collection::vec(1usize..100, 1..400), seed: u64) {
        let rows = by_length(&lengths, Batching::Packed { rows: 1, length: 100 }, Order::Shuffled(seed), 0).len();
        let least = lengths.iter().sum::<usize>().div_ceil(100);
        let large = lengths.iter().filter(|length| **length > 50).count();
        // Johnson 1974 for best-fit decreasing, over a lower bound of the fewest.
        prop_assert!(rows * 9 <= least.max(large) * 11 + 36 + least, "{rows} rows, at least {least}");
    }
}

#[test]
fn epochs_and_seeds_have_orders_of_their_own() {
    let lengths: Vec<usize> = (0..500).map(|at| 1 + at * 7 % 90).collect();
    for batching in [Batching::Sequences(4), Batching::Tokens(300), Batching::Packed { rows: 2, length: 100 }]
    {
        let first = by_length(&lengths, batching, Order::Shuffled(1), 0);
        assert_ne!(by_length(&lengths, batching, Order::Shuffled(1), 1), first);
        assert_ne!(by_length(&lengths, batching, Order::Shuffled(2), 0), first);
    }
}

#[test]
fn batches_of_tokens_are_of_like_lengths_and_nearly_full() {
    let lengths: Vec<usize> = (0..20_000).map(|at| 20 + at * 7919 % 1000).collect();
    let all = by_length(&lengths, Batching::Tokens(8192), Order::Shuffled(3), 0);
    let tokens: Vec<usize> =
        all.iter().map(|batch| batch.iter().map(|index| lengths[*index]).sum()).collect();
    let full = tokens.iter().filter(|tokens| **tokens > 8192 * 85 / 100).count();
    assert!(full * 100 > all.len() * 95, "{full} of {}", all.len());
    let spread = |batch: &Vec<usize>| {
        let own = || batch.iter().map(|index| lengths[*index]);
        own().max().unwrap() - own().min().unwrap()
    };
    let mean = all.iter().map(spread).sum::<usize>() / all.len();
    assert!(mean < 120, "{mean} of 1000");
    // The order of lengths is not that of time.
    let sorted = all.windows(2).filter(|two| lengths[two[0][0]] <= lengths[two[1][0]]).count();
    assert!((35..65).contains(&(sorted * 100 / all.len())));
}

#[test]
fn a_batch_has_its_examples_as_sequences() {
    let examples = examples(&[3, 2, 4]);
    let batch = assemble(&examples, &[2, 0]);
    assert_eq!((batch.lengths.as_slice(), batch.labels()), ([4, 3].as_slice(), 3));
    assert_eq!(batch.tokens, [2, 2, 2, 2, 0, 0, 0]);
    assert_eq!(ids(&examples, &[2, 0]), ["set:3", "set:1"]);
    batch.check(3).unwrap();
}

#[test]
fn settings_say_how_batches_are_made() {
    let with = |batch, packing| DataSettings { batch, packing, cutoff_len: 100, ..DataSettings::default() };
    let new = |batch, packing| Batching::new(&with(batch, packing), 777);
    assert_eq!(new(BatchSize::Sequences(4), false), Batching::Sequences(4));
    assert_eq!(new(BatchSize::Sequences(4), true), Batching::Packed { rows: 4, length: 100 });
    assert_eq!(new(BatchSize::Tokens(500), true), Batching::Tokens(500));
    assert_eq!(new(BatchSize::Auto { memory_limit: None }, false), Batching::Tokens(777));
}

#[test]
fn a_curriculum_keeps_the_order_of_its_files_but_for_neighbours() {
    let lengths: Vec<usize> = (0..4_000).map(|at| 10 + at / 50).collect();
    let batching = Batching::Tokens(200);
    let all = by_length(&lengths, batching, Order::AsGiven(1), 0);
    assert_ne!(by_length(&lengths, batching, Order::AsGiven(2), 0), all);
    let mut seen = all.concat();
    let place = |batch: &Vec<usize>| batch.iter().sum::<usize>() / batch.len();
    let (first, last) = (place(&all[..20].concat()), place(&all[all.len() - 20..].concat()));
    assert!(first < 800 && last > 3_200, "{first} {last}");
    seen.sort_unstable();
    assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
}
