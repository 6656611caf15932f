//! What is written: the same text as alone, with its stops, ends and markers.

use lore_core::{FinishReason, Form, Prompt, Sampling};
use proptest::prelude::*;

use super::super::GeneratorOptions;
use super::super::markers::tests::{markers, valid};
use super::fake::{END, PIECES, alone, finish, read, rig};

fn sampled() -> impl Strategy<Value = Sampling> {
    (
        prop_oneof![Just(0.0f32), 0.5f32..2.0],
        0usize..6,
        0.3f32..=1.0,
        prop_oneof![Just(1.0f32), 0.5f32..2.0],
        any::<u64>(),
    )
        .prop_map(|(temperature, top_k, top_p, repetition_penalty, seed)| Sampling {
            temperature,
            top_k,
            top_p,
            repetition_penalty,
            seed: Some(seed),
            ..Sampling::default()
        })
}

/// Prompts over few tokens, so that they begin alike.
fn prompts() -> impl Strategy<Value = Prompt> {
    let tokens = (prop::collection::vec(0u32..2, 0..4), 1usize..40);
    let stop = prop::collection::vec(prop_oneof![Just("STOP"), Just("b\n"), Just("é"), Just("] ")], 0..3);
    (tokens, sampled(), 1usize..100, stop, prop::option::of(0u32..15), any::<bool>()).prop_map(
        |((heads, rest), sampling, max_tokens, stop, last, ignore_end)| Prompt {
            tokens: heads
                .iter()
                .flat_map(|head| [*head + 1; 32])
                .chain(std::iter::repeat_n(3, rest))
                .collect(),
            sampling,
            max_tokens,
            stop: stop.into_iter().map(str::to_owned).collect(),
            form: last.map(|last| Form::Marked(markers(last))),
            ignore_end,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Few blocks, so that texts are paused and contents forgotten; requests come, and some of their callers go, while
    /// others are written.
    #[test]
    fn a_text_is_the_same_whatever_else_runs(
        requests in prop::collection::vec((prompts(), 0usize..12, any::<bool>()), 1..12),
        blocks in 5usize..12, max_running in 1usize..6, prefill_tokens in 1usize..80, prefill_tokens_alone in 1usize..120,
    ) {
        let options =
            GeneratorOptions { max_running, prefill_tokens, prefill_tokens_alone, queue: 40, ..Default::default() };
        let (generator, mut engine, _) = rig(blocks, &options);
        let mut running = Vec::new();
        let mut coming = requests.into_iter();
        let mut pause = 0;
        for turn in 0.. {
            prop_assert!(turn < 20_000, "nothing goes on: {:?}", engine.stats());
            if pause == 0 && let Some((prompt, next, goes)) = coming.next() {
                pause = next;
                let events = generator.generate(prompt.clone()).unwrap();
                running.push((prompt, events, String::new(), goes && next > 5));
            }
            pause = pause.saturating_sub(1);
            engine.turn();
            let mut at = 0;
            while at < running.len() {
                let (prompt, events, text, goes) = &mut running[at];
                let (piece, end) = read(events);
                text.push_str(&piece);
                if let Some(end) = end {
                    let expected = alone(prompt, blocks * 32);
                    prop_assert_eq!((text.clone(), end.unwrap().finish), expected);
                } else if !*goes || text.is_empty() {
                    at += 1;
                    continue;
                }
                running.remove(at);
            }
            if running.is_empty() && coming.len() == 0 {
                break;
            }
        }
        engine.turn();
        prop_assert_eq!((engine.stats().running, engine.stats().blocks_used), (0, 0));
    }

    #[test]
    fn no_marker_of_a_passage_that_does_not_exist(seed: u64, last in 0u32..14, temperature in 0.0f32..2.0) {
        let (generator, mut engine, _) = rig(8, &GeneratorOptions::default());
        let sampling = Sampling { temperature, seed: Some(seed), logit_bias: vec![(4, 2.0), (6, 2.0)], ..Sampling::default() };
        let tokens = (0..5).map(|at| (seed >> (at * 4)) as u32 % PIECES.len() as u32).collect();
        let prompt = Prompt { tokens, sampling, max_tokens: 100, form: Some(Form::Marked(markers(last))), ..Prompt::default() };
        let (text, done) = finish(&mut engine, &mut generator.generate(prompt).unwrap());
        prop_assert!(valid(&text, last), "{text}");
        let open = text.rsplit_once('[').is_some_and(|(_, rest)| {
            !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit())
        });
        prop_assert!(!open || done.finish == FinishReason::Length, "{text} has room for the marker's end");
    }
}

#[test]
fn a_text_ends_with_its_tokens_the_context_or_the_end_token() {
    let (generator, mut engine, _) = rig(4, &GeneratorOptions::default());
    let prompt = |max_tokens, ignore_end, bias| Prompt {
        tokens: vec![1, 2, 3],
        max_tokens,
        ignore_end,
        sampling: Sampling { logit_bias: vec![(END, bias), (1, 9.0)], ..Sampling::default() },
        ..Prompt::default()
    };
    let mut run = |prompt| finish(&mut engine, &mut generator.generate(prompt).unwrap());
    let (text, done) = run(prompt(5, false, -9.0));
    assert_eq!((&text[..], done.finish, done.usage.completion_tokens), ("aaaaa", FinishReason::Length, 5));
    let (text, done) = run(prompt(0, false, -9.0));
    assert_eq!((text.len(), done.finish, done.usage.prompt_tokens), (4 * 32 - 3, FinishReason::Length, 3));
    let (text, done) = run(prompt(5, false, 100.0));
    assert_eq!((&text[..], done.finish, done.usage.completion_tokens), ("", FinishReason::Stop, 1));
    let (text, done) = run(prompt(5, true, 100.0));
    assert_eq!((&text[..], done.finish, done.usage.completion_tokens), ("", FinishReason::Length, 5));
    assert!(done.timings.first_token_ms <= done.timings.total_ms && done.timings.tokens_per_second > 0.0);
    assert!(done.timings.queue_ms + done.timings.prefill_ms <= done.timings.first_token_ms);
}

#[test]
fn without_a_seed_texts_differ_with_one_they_do_not() {
    let (generator, mut engine, _) = rig(8, &GeneratorOptions::default());
    let mut run = |seed| {
        let sampling = Sampling { temperature: 1.0, seed, ..Sampling::default() };
        let prompt =
            Prompt { tokens: vec![1], sampling, max_tokens: 50, ignore_end: true, ..Prompt::default() };
        finish(&mut engine, &mut generator.generate(prompt).unwrap()).0
    };
    assert_ne!(run(None), run(None));
    assert_eq!(run(Some(1)), run(Some(1)));
    assert_ne!(run(Some(1)), run(Some(2)));
}
