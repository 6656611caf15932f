//! Who runs when, and what it costs.

use lore_core::{ModelError, Prompt, Sampling};

use super::super::GeneratorOptions;
use super::fake::{END, Fault, alone, faulty, finish, read, rig};

/// A prompt that writes `max_tokens` tokens.
fn prompt(tokens: Vec<u32>, max_tokens: usize) -> Prompt {
    let sampling = Sampling { logit_bias: vec![(END, -100.0)], ..Sampling::default() };
    Prompt { tokens, max_tokens, sampling, ..Prompt::default() }
}

fn varied(length: usize, from: u32) -> Vec<u32> {
    (0..length as u32).map(|at| (at * 7 + from + at / 20) % 20 + 1).collect()
}

#[test]
fn what_begins_alike_is_read_once() {
    let (generator, mut engine, _) = rig(32, &GeneratorOptions::default());
    let (text, first) = finish(&mut engine, &mut generator.generate(prompt(varied(100, 0), 40)).unwrap());
    assert_eq!(first.usage.cached_tokens, 0);
    let (same, second) = finish(&mut engine, &mut generator.generate(prompt(varied(100, 0), 40)).unwrap());
    assert_eq!((same, second.usage.cached_tokens), (text, 96));
    let (_, whole) = finish(&mut engine, &mut generator.generate(prompt(varied(96, 0), 1)).unwrap());
    assert_eq!(whole.usage.cached_tokens, 64, "the last token is read for its logits");
    let (_, other) = finish(&mut engine, &mut generator.generate(prompt(varied(100, 1), 1)).unwrap());
    assert_eq!(other.usage.cached_tokens, 0);
}

#[test]
fn a_conversation_goes_on_from_what_was_written() {
    let (generator, mut engine, _) = rig(32, &GeneratorOptions::default());
    // A bias that makes the text known: all "a".
    let ask = |tokens| {
        let mut prompt = prompt(tokens, 60);
        prompt.sampling.logit_bias.push((1, 50.0));
        prompt
    };
    let first = varied(50, 3);
    finish(&mut engine, &mut generator.generate(ask(first.clone())).unwrap());
    let second: Vec<u32> = first.into_iter().chain([1; 60]).chain(varied(20, 5)).collect();
    let (_, done) = finish(&mut engine, &mut generator.generate(ask(second)).unwrap());
    assert_eq!(done.usage.cached_tokens, 96, "50 asked and 59 of the 60 written make three blocks");
}

#[test]
fn two_at_the_same_time_share_what_the_first_has_read() {
    let options = GeneratorOptions { prefill_tokens: 64, prefill_tokens_alone: 64, ..Default::default() };
    let (generator, mut engine, steps) = rig(32, &options);
    // The second has less to read, so that it would be read beside the first.
    let asked = |rest: u32| {
        prompt(varied(320, 0).into_iter().chain(std::iter::repeat_n(rest, 2 / rest as usize)).collect(), 4)
    };
    let mut one = generator.generate(asked(1)).unwrap();
    let mut two = generator.generate(asked(2)).unwrap();
    let (mut texts, mut ends) = ([String::new(), String::new()], Vec::new());
    for _ in 0..40 {
        engine.turn();
        for (text, events) in texts.iter_mut().zip([&mut one, &mut two]) {
            let (piece, end) = read(events);
            text.push_str(&piece);
            ends.extend(end.map(|end| end.unwrap().usage.cached_tokens));
        }
    }
    assert_eq!(texts, [1, 2].map(|rest| alone(&asked(rest), 1024).0));
    assert_eq!(ends, [0, 320]);
    let read: usize = steps.lock().unwrap().iter().flatten().map(|(_, count, _)| count).sum();
    assert_eq!(read, 320 + 2 + 1 + 2 * 3);
}

#[test]
fn a_long_prompt_stalls_nobody() {
    let options = GeneratorOptions { prefill_tokens: 64, prefill_tokens_alone: 128, ..Default::default() };
    let (generator, mut engine, steps) = rig(100, &options);
    let mut stream = generator.generate(prompt(vec![1, 2, 3], 200)).unwrap();
    engine.turn();
    let mut long = generator.generate(prompt(varied(1500, 0), 1)).unwrap();
    engine.turn();
    let mut short = generator.generate(prompt(varied(60, 9), 1)).unwrap();
    let mut ends = Vec::new();
    for turn in 0..100 {
        engine.turn();
        for (name, events) in [("long", &mut long), ("short", &mut short)] {
            if read(events).1.is_some() {
                ends.push((name, turn));
            }
        }
    }
    assert_eq!(read(&mut stream).1, None);
    assert_eq!(ends.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["short", "long"]);
    assert!(ends[0].1 <= 2, "the short one took {} steps", ends[0].1);
    assert!(ends[1].1 <= 25, "the long one took {} steps", ends[1].1);
    for step in steps.lock().unwrap().iter().skip(1) {
        assert!(step.iter().any(|(_, count, last)| *count == 1 && *last), "the stream waits in {step:?}");
        assert!(step.iter().map(|(_, count, _)| count).sum::<usize>() <= 64 + 2, "{step:?}");
    }
}

#[test]
fn short_prompts_that_keep_coming_do_not_keep_a_long_one_from_being_read() {
    let options = GeneratorOptions { prefill_tokens: 64, prefill_tokens_alone: 64, ..Default::default() };
    let (generator, mut engine, _) = rig(100, &options);
    let mut long = generator.generate(prompt(varied(640, 0), 1)).unwrap();
    let mut short = Vec::new();
    for step in 0..20u32 {
        // As much as a step reads, each step.
        short.push(generator.generate(prompt((0..64).map(|at| (at * step) % 23 + 1).collect(), 1)).unwrap());
        engine.turn();
    }
    assert!(read(&mut long).1.is_some(), "{:?}", engine.stats());
}

#[test]
fn texts_that_outgrow_the_blocks_take_turns() {
    let (generator, mut engine, _) = rig(8, &GeneratorOptions::default());
    let prompts = [prompt(vec![1], 220), prompt(vec![2], 220), prompt(vec![3], 30)];
    let mut asked: Vec<_> =
        prompts.iter().map(|prompt| generator.generate(prompt.clone()).unwrap()).collect();
    engine.turn();
    assert_eq!((engine.stats().running, engine.stats().waiting), (3, 0));
    let (mut texts, mut ends, mut paused) = (vec![String::new(); 3], Vec::new(), false);
    for _ in 0..1000 {
        engine.turn();
        paused |= engine.stats().waiting > 0;
        for (at, events) in asked.iter_mut().enumerate() {
            let (piece, end) = read(events);
            texts[at].push_str(&piece);
            if let Some(end) = end {
                ends.push(at);
                assert_eq!(
                    end.unwrap().usage.cached_tokens,
                    0,
                    "what is read again is not what others had read"
                );
            }
        }
    }
    assert!(paused);
    assert_eq!(ends, [2, 0, 1]);
    for (text, prompt) in texts.iter().zip(&prompts) {
        assert_eq!(*text, alone(prompt, 256).0);
    }
}

#[test]
fn a_huge_prompt_is_passed_by_small_ones_but_not_for_ever() {
    let (generator, mut engine, _) = rig(16, &GeneratorOptions::default());
    let _running = generator.generate(prompt(varied(200, 0), 150)).unwrap();
    engine.turn();
    let mut huge = generator.generate(prompt(varied(400, 1), 1)).unwrap();
    let mut small: Vec<_> = (0..9).map(|at| generator.generate(prompt(vec![at], 2)).unwrap()).collect();
    let mut ends = Vec::new();
    for _ in 0..400 {
        engine.turn();
        ends.extend(read(&mut huge).1.map(|_| "huge"));
        small.iter_mut().for_each(|events| ends.extend(read(events).1.map(|_| "small")));
    }
    assert_eq!(ends.len(), 10, "{:?}", engine.stats());
    assert_eq!(ends.iter().position(|end| *end == "huge"), Some(4));
}

#[test]
fn who_goes_frees_his_place_and_his_blocks_within_a_step() {
    let options = GeneratorOptions { max_running: 1, queue: 8, ..Default::default() };
    let (generator, mut engine, steps) = rig(32, &options);
    let running = generator.generate(prompt(varied(600, 0), 100)).unwrap();
    let waiting = generator.generate(prompt(varied(50, 1), 100)).unwrap();
    let mut last = generator.generate(prompt(varied(70, 2), 100)).unwrap();
    (0..5).for_each(|_| engine.turn());
    assert_eq!((engine.stats().running, engine.stats().waiting), (1, 2));
    assert_eq!(engine.stats().blocks_used, 19);
    drop(waiting);
    engine.turn();
    assert_eq!((engine.stats().running, engine.stats().waiting), (1, 1));
    drop(running);
    engine.turn();
    let stats = engine.stats();
    assert_eq!((stats.running, stats.waiting, stats.blocks_used), (1, 0, 3), "the next has its place");
    assert_eq!(steps.lock().unwrap().last().unwrap()[..], [(0, 70, true)]);
    assert!(read(&mut last).1.is_none());
    drop(last);
    engine.turn();
    assert_eq!((engine.stats().running, engine.stats().blocks_used), (0, 0));
}

#[test]
fn a_full_queue_refuses_and_what_cannot_be_done_is_refused_with_its_reason() {
    let options = GeneratorOptions { max_running: 1, queue: 4, ..Default::default() };
    let (generator, mut engine, _) = rig(4, &options);
    let mut kept: Vec<_> = (0..2).map(|_| generator.generate(prompt(vec![1], 100)).unwrap()).collect();
    engine.turn();
    engine.turn();
    kept.extend((0..3).map(|_| {
        let events = generator.generate(prompt(vec![1], 100)).unwrap();
        engine.turn();
        events
    }));
    let refused = generator.generate(prompt(vec![1], 1)).and_then(|_| generator.generate(prompt(vec![1], 1)));
    assert!(matches!(refused, Err(ModelError::Overloaded { .. })), "{refused:?}");
    let (generator, mut engine, _) = rig(4, &GeneratorOptions::default());
    let mut reason = |prompt: Prompt| {
        let mut events = match generator.generate(prompt) {
            Ok(events) => events,
            Err(error) => return error.to_string(),
        };
        engine.turn();
        read(&mut events).1.unwrap().unwrap_err()
    };
    assert!(reason(prompt(vec![1; 128], 1)).contains("generator.kv_bytes"));
    assert!(reason(prompt(vec![24], 1)).contains("token 24"));
    assert!(reason(Prompt { stop: vec!["x".into(); 17], ..prompt(vec![1], 1) }).contains("stop texts"));
    assert!(reason(Prompt { stop: vec!["x".repeat(300)], ..prompt(vec![1], 1) }).contains("256 bytes"));
}

#[test]
fn a_step_that_fails_fails_its_requests_and_no_other() {
    let faults = [Fault::None, Fault::Error, Fault::Panic, Fault::NoNumbers];
    let (generator, mut engine, _) = faulty(8, &GeneratorOptions::default(), &faults);
    for wanted in ["a bad step", "a panic in a step", "not finite"] {
        let mut events = generator.generate(prompt(varied(40, 0), 9)).unwrap();
        if wanted == "a bad step" {
            engine.turn();
        }
        engine.turn();
        let error = read(&mut events).1.unwrap().unwrap_err();
        assert!(error.contains(wanted), "{error}");
        assert_eq!((engine.stats().running, engine.stats().blocks_used), (0, 0));
    }
    let (text, _) = finish(&mut engine, &mut generator.generate(prompt(varied(40, 0), 9)).unwrap());
    assert_eq!(text, alone(&prompt(varied(40, 0), 9), 256).0);
}

#[test]
fn a_slow_reader_is_waited_for_by_nobody() {
    let (generator, mut engine, _) = rig(32, &GeneratorOptions { max_running: 1, ..Default::default() });
    let mut slow = generator.generate(prompt(vec![1], 300)).unwrap();
    let mut quick = generator.generate(prompt(vec![2], 5)).unwrap();
    let (text, _) = finish(&mut engine, &mut quick);
    assert_eq!(text, alone(&prompt(vec![2], 5), 1024).0);
    let stats = engine.stats();
    assert_eq!((stats.running, stats.blocks_used, stats.leaving), (0, 0, 1));
    let (start, none) = read(&mut slow);
    assert_eq!(none, None);
    engine.turn();
    let (rest, done) = read(&mut slow);
    assert_eq!((start + &rest, engine.stats().leaving), (alone(&prompt(vec![1], 300), 1024).0, 0));
    assert_eq!(done.unwrap().unwrap().usage.completion_tokens, 300);
}

#[test]
fn the_engine_ends_after_its_work_when_the_last_handle_is_dropped() {
    let (generator, engine, _) = rig(32, &GeneratorOptions::default());
    let thread = std::thread::spawn(move || engine.run());
    let mut first = generator.generate(prompt(vec![1], 300)).unwrap();
    let mut second = generator.clone().generate(prompt(vec![2], 300)).unwrap();
    drop(generator);
    for (token, events) in [(1, &mut first), (2, &mut second)] {
        let mut text = String::new();
        while let Some(event) = events.blocking_recv() {
            match event {
                lore_core::GenerateEvent::Text(piece) => text.push_str(&piece),
                end => assert!(matches!(end, lore_core::GenerateEvent::Done(_)), "{end:?}"),
            }
        }
        assert_eq!(text, alone(&prompt(vec![token], 300), 1024).0);
    }
    thread.join().unwrap();
}
