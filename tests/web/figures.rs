//! Figures of long lists and long answers; printed, since they are this machine's.
//!
//! `cargo test -p lore-cli --test web figures -- --ignored --nocapture --test-threads 1`

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::corpus;
use crate::stubs;
use crate::world::World;

const FRAMES: &str = "window.frames_ = []; window.counting = true; let last = performance.now();
    const tick = (now) => { window.frames_.push(now - last); last = now; if (window.counting) requestAnimationFrame(tick); };
    requestAnimationFrame(tick);
    window.long_ = [];
    new PerformanceObserver((list) => window.long_.push(...list.getEntries().map((e) => e.duration))).observe({type: 'longtask'});";

/// Longest frame and 95th percentile since [`FRAMES`] ran, and the longest piece of work, in ms.
fn frames(browser: &Browser) -> (f64, f64, f64) {
    let found = browser.js("window.counting = false; const all = [...window.frames_].sort((a, b) => a - b);
         return [all.at(-1), all[Math.floor(all.length * 0.95)], Math.max(0, ...window.long_)]");
    (found[0].as_f64().unwrap(), found[1].as_f64().unwrap(), found[2].as_f64().unwrap())
}

/// Heap in bytes, nodes and listeners, after a collection of garbage.
fn memory(browser: &Browser) -> [f64; 3] {
    for _ in 0..3 {
        browser.cdp("HeapProfiler.collectGarbage", json!({}));
    }
    let told = browser.cdp("Performance.getMetrics", json!({}));
    ["JSHeapUsedSize", "Nodes", "JSEventListeners"].map(|wanted| {
        let metric = told["metrics"].as_array().unwrap().iter().find(|metric| metric["name"] == wanted);
        metric.unwrap()["value"].as_f64().unwrap()
    })
}

#[test]
#[ignore = "takes a minute; prints figures"]
fn ten_thousand_documents() {
    let many = |house: &crate::house::House| {
        for n in 0..10_000 {
            house.write(
                &format!("part-{}/note-{n}.md", n / 500),
                &format!("# Note {n}\n\nShelf {n} holds {} boxes.\n", n % 37),
            );
        }
    };
    let Some(world) = World::new("ten_thousand_documents", "many", "generator: none\n", many) else { return };
    let browser = &world.browser;
    let watch = "new MutationObserver((_, observer) => {
        if (!document.querySelector('.doc-row .doc-link')) return;
        requestAnimationFrame(() => (window.shown = performance.now()));
        observer.disconnect();
      }).observe(document, {subtree: true, childList: true});";
    browser.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": watch }));
    for look in 1..=3 {
        browser.open("/documents");
        browser.see(".doc-row .doc-link", "Note");
        let shown = browser.until("window.shown").as_f64().unwrap();
        eprintln!("10,000 documents, look {look}: first rows after {shown:.0} ms");
        assert!(shown < 1_000.0, "the list opens after {shown} ms");
    }
    browser.see(".doc-sum", "10,000 documents");
    assert!(browser.count(".doc-row") < 60, "all rows are elements");
    browser.js(FRAMES);
    browser.js(
        "const list = document.querySelector('.doc-body .virtual');
         return new Promise((resolve) => {
           let step = 0;
           const go = () => { list.scrollTop += 400; step += 1; step < 240 ? requestAnimationFrame(go) : resolve(true); };
           go();
         })",
    );
    let (longest, p95, work) = frames(browser);
    eprintln!(
        "scrolling 96,000 pixels: longest frame {longest:.0} ms, 95 of 100 within {p95:.1} ms, tasks over 50 ms: {work:.0} ms at most"
    );
    browser.js("document.querySelector('.doc-body .virtual').scrollTop = 9990 * 54");
    browser.until(
        "!document.querySelector('.doc-skeleton') && document.querySelector('.doc-row[data-index=\"9999\"]')",
    );
}

/// An answer of `tokens` words with a citation every twentieth.
fn long_answer(tokens: usize) -> Vec<(&'static str, Value)> {
    let words: Vec<String> = (0..tokens)
        .map(|n| {
            if n % 20 == 19 {
                format!("w{n}.\n\n")
            } else if n % 7 == 0 {
                format!("**w{n}** ")
            } else {
                format!("w{n} ")
            }
        })
        .collect();
    let text = words.concat();
    let mut events = vec![("sources", json!({"passages": []}))];
    let mut citations = Vec::new();
    for (n, word) in words.iter().enumerate() {
        events.push(("token", json!({ "text": word })));
        if n % 20 == 19 {
            let citation = stubs::citation(&text, word.trim_end(), &format!("Quote {n}."), "supported");
            events.push(("citation", json!({ "citation": citation })));
            citations.push(citation);
        }
    }
    events.push(("done", stubs::done(&text, &citations)));
    events
}

#[test]
#[ignore = "takes a minute; prints figures"]
fn long_and_many_answers() {
    let Some(world) = World::new("long_and_many_answers", "long", "generator: none\n", corpus::company)
    else {
        return;
    };
    let browser = &world.browser;
    browser.open("/");
    browser.see(".composer-input", "");
    stubs::answer(browser, &long_answer(500), 4, true);
    for look in 1..=3 {
        browser.js(FRAMES);
        crate::ask::ask(browser, "A long answer?");
        let (longest, p95, work) = frames(browser);
        eprintln!(
            "500 tokens, look {look}: longest frame {longest:.0} ms, 95 of 100 within {p95:.1} ms, tasks over 50 ms: {work:.0} ms at most"
        );
    }

    browser.open("/");
    browser.see(".composer-input", "");
    browser.cdp("Performance.enable", json!({}));
    stubs::answer(browser, &long_answer(200), 0, true);
    crate::ask::ask(browser, "Again and again?");
    // No element leaves the page: what the driver holds would not be collected.
    let again = || {
        browser.js("document.querySelector('.turn').id = 'before'; document.querySelector('.turn:last-child [data-action=regenerate]').click()");
        browser.until("!document.querySelector('#before') && document.querySelector('.turn[data-state=done] .answer-text.prose') !== null");
    };
    (0..10).for_each(|_| again());
    let first = memory(browser);
    (0..100).for_each(|_| again());
    let last = memory(browser);
    let [heap, nodes, listeners] = [0, 1, 2].map(|at| last[at] - first[at]);
    let (heap, before) = (heap / 1e6, first[0] / 1e6);
    eprintln!(
        "100 answers of 200 tokens: heap {before:.2} MB, then {heap:+.2} MB; nodes {nodes:+}, listeners {listeners:+}"
    );
    assert!(heap < 3.0 && nodes < 3_000.0, "answers leak");
}
