//! Answers that a test makes up: the page is given them where it asks `/v1/ask`, the rest of the server stays real.

use serde_json::{Value, json};

use crate::browser::Browser;

/// Events that come one after the other with `ms` milliseconds between them, the last not while `window.held` is true;
/// without `end` the stream stays open.
pub fn answer(browser: &Browser, events: &[(&str, Value)], ms: u64, end: bool) {
    let script = "const [events, ms, end] = arguments;
        window.realFetch ??= window.fetch;
        window.fetch = (path, options = {}) => {
          if (path !== '/v1/ask') return window.realFetch.call(window, path, options);
          const encoder = new TextEncoder();
          const body = new ReadableStream({
            async start(controller) {
              options.signal?.addEventListener('abort', () => controller.error(new DOMException('stopped', 'AbortError')));
              for (const [event, data] of events) {
                if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
                while (event === 'done' && window.held) await new Promise((resolve) => setTimeout(resolve, 20));
                if (options.signal?.aborted) return;
                controller.enqueue(encoder.encode(`event: ${event}\\ndata: ${JSON.stringify(data)}\\n\\n`));
              }
              if (end) controller.close();
            },
          });
          return Promise.resolve(new Response(body, {headers: {'Content-Type': 'text/event-stream'}}));
        };";
    browser.js_with(script, vec![json!(events), json!(ms), json!(end)]);
}

/// What ends an answer of these words with these citations.
pub fn done(text: &str, citations: &[Value]) -> Value {
    json!({
        "answer": text, "citations": citations, "answered": true, "confidence": 0.9, "unsupported": [], "nearest": [],
        "model": "made-up", "release": null, "finish": "stop", "rewritten": null, "conversation": null,
        "usage": null, "timings": {"total_ms": 12, "retrieve_ms": 5, "answer_ms": 7},
    })
}

/// A citation of `words` in `text`, which stand for the whole sentence `quote` of a document.
pub fn citation(text: &str, words: &str, quote: &str, verdict: &str) -> Value {
    let at = text.find(words).unwrap();
    let start = text[..at].chars().count();
    json!({
        "answer_span": {"start": start, "end": start + words.chars().count()}, "document": "none", "version": 1,
        "source_span": {"start": 0, "end": quote.chars().count()}, "quote": quote, "name": "made-up.md", "title": "Made up",
        "headings": [], "page": null, "verdict": verdict, "marker": 1, "score": 0.5,
    })
}
