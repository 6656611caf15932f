//! Answers of models that run in the binary: one that points at sentences, and one that writes.

use fantoccini::key::Key;
use serde_json::{Value, json};

use crate::ask::{self, highlighted, kept_citations, looks, watch};
use crate::browser::Browser;
use crate::corpus::{QUESTION, QUOTE};
use crate::world::World;

/// The states that a turn went through, in their order.
fn states(looks: &[(String, u64)]) -> Vec<&str> {
    let mut states: Vec<&str> = looks.iter().map(|(state, _)| state.as_str()).collect();
    states.dedup();
    states
}

/// lore-nano answers with sentences of the documents: each mark leads to exactly that sentence.
pub fn points(world: &World) {
    let browser = &world.browser;
    browser.open("/");
    browser.see(".suggestion", "");
    browser.see(".state-words", "lore-nano");
    watch(browser);
    let answer = ask::ask(browser, QUESTION);
    assert!(answer.contains("30 days"), "{answer}");
    let looks = looks(browser);
    assert_eq!(states(&looks), ["waiting", "writing", "done"], "{looks:?}");
    browser.see(".turn:last-child .answer-meta", "lore-nano@");

    let citations = kept_citations(world);
    assert!(citations.iter().any(|citation| citation["quote"] == QUOTE), "{citations:?}");
    let marks = ".turn:last-child .answer-text button.cite";
    assert_eq!(browser.count(marks), citations.len() as u64);
    for (at, citation) in citations.iter().enumerate() {
        browser.click(marks, &(at + 1).to_string());
        assert_eq!(json!(highlighted(browser)), citation["quote"]);
        let (document, span) = (citation["document"].as_str().unwrap(), &citation["source_span"]);
        let path = format!(
            "/v1/documents/{document}/text?version={}&start={}&end={}",
            citation["version"], span["start"], span["end"]
        );
        let (_, text) = world.server.send("GET", &path, None, None);
        assert_eq!(text["text"], citation["quote"], "the mark leads beside the source");
        browser.press(Key::Escape);
        browser.gone(".source", "");
    }
}

/// How many texts the model was told to leave off, as the server counts them.
fn cancelled(browser: &Browser) -> u64 {
    let script = "return fetch('/metrics').then((answer) => answer.text())
        .then((text) => Number(/^lore_generate_cancelled_total\\S* (\\d+)/m.exec(text)?.[1] ?? 0))";
    browser.js(script).as_u64().unwrap()
}

/// A model that writes nonsense without an end: its words come one by one, until somebody has read enough.
pub fn writes_until_it_is_stopped(world: &World) {
    let browser = &world.browser;
    browser.open("/");
    browser.see(".state-words", "tiny-llama");
    let before = cancelled(browser);
    for (times, stop) in [(1, "the button"), (2, "Escape")] {
        watch(browser);
        if times == 1 {
            browser.enter(".composer-input", QUESTION);
        } else {
            browser.click("button", "Ask again");
        }
        browser.see(".turn[data-state=writing]", "");
        browser.wait("an answer that grows", |browser| {
            looks(browser).iter().filter(|(state, words)| state == "writing" && *words > 0).count() > 4
        });
        if stop == "Escape" {
            browser.press(Key::Escape);
        } else {
            browser.click("button", "Stop the answer");
        }
        browser.see(".turn[data-state=stopped]", "Stopped");
        let looks = looks(browser);
        assert_eq!(states(&looks), ["waiting", "writing", "stopped"], "{stop}");
        let lengths: Vec<u64> = looks.iter().map(|(_, words)| *words).collect();
        assert!(lengths.is_sorted(), "what was written goes away: {lengths:?}");
        // The model stops as well, and the page waits for nothing.
        browser.wait("the end of the writing", |browser| cancelled(browser) == before + times);
        assert_eq!(json!(ask::looks(browser).len()), json!(looks.len()), "it goes on after {stop}");
        browser.see("button", "Send");
    }
    let kept: Value = browser.js("return fetch('/v1/conversations').then((answer) => answer.json())");
    assert_eq!(kept["conversations"], json!([]), "half an answer is kept");
}
