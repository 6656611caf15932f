//! What tokenising leaves behind in the threads that did it: nothing.
#![allow(clippy::unwrap_used, reason = "tests")]

mod live_bytes;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Barrier;

use candle_core::quantized::gguf_file::Value;
use live_bytes::live_bytes;
use lore_models::GeneratorText;
use lore_models::text::TextOptions;

/// One character a token, and some pairs.
fn text() -> GeneratorText {
    let string = |text: &str| Value::String(text.to_owned());
    let merges = ["a b", "c d", "ab cd"];
    let tokens = ('!'..='~').map(String::from).chain(["Ġ", "ab", "cd", "abcd"].map(str::to_owned));
    let metadata = HashMap::from([
        ("tokenizer.ggml.model".to_owned(), string("gpt2")),
        ("tokenizer.ggml.tokens".to_owned(), Value::Array(tokens.map(Value::String).collect())),
        ("tokenizer.ggml.merges".to_owned(), Value::Array(merges.map(string).to_vec())),
    ]);
    GeneratorText::from_gguf(Path::new("test.gguf"), &metadata, &TextOptions::default()).unwrap()
}

#[test]
fn threads_keep_no_words() {
    const THREADS: usize = 8;
    let text = text();
    let words = |from: usize, count: usize| -> String {
        (from..from + count).map(|number| format!("word{} ", number * 7919)).collect()
    };
    let (warm, done) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (text, warm, done) = (&text, &warm, &done);
            scope.spawn(move || {
                assert!(text.count(&words(thread, 3)) > 3);
                warm.wait();
                warm.wait();
                (0..20).for_each(|round| _ = text.count(&words((thread * 20 + round) * 50, 50)));
                done.wait();
                done.wait();
            });
        }
        warm.wait();
        let before = live_bytes();
        warm.wait();
        done.wait();
        let more = live_bytes() - before;
        done.wait();
        eprintln!("{more} bytes kept");
        assert!(more < 200_000, "{more} bytes are kept of 8,000 words");
    });
}
