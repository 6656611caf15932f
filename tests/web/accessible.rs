//! The rules of WCAG 2.2, A and AA, as far as axe-core can tell, in both themes and both languages.
//!
//! axe-core is no part of this project: `LORE_TEST_AXE` names its `axe.min.js`, and without it this is skipped.

use serde_json::{Value, json};

use crate::ask;
use crate::browser::Browser;
use crate::corpus::QUESTION;
use crate::frame::{PAGES, show};
use crate::world::World;

const RUN: &str = "return axe.run(document, {
    runOnly: {type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']},
    resultTypes: ['violations'],
  }).then(({violations, passes}) => [passes.length, violations.map(({id, impact, nodes}) =>
    `${id} (${impact}): ${nodes.slice(0, 4).map((node) => `${node.html.slice(0, 160)} – ${node.failureSummary.replace(/\\s+/g, ' ').slice(0, 300)}`).join('; ')}`)])";

/// The script, where there is one.
fn script() -> Option<String> {
    let Some(path) = std::env::var_os("LORE_TEST_AXE").filter(|path| !path.is_empty()) else {
        eprintln!("skipped: accessibility: LORE_TEST_AXE names no axe.min.js");
        return None;
    };
    Some(
        std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("LORE_TEST_AXE: {}: {error}", path.display())),
    )
}

/// A walk through pages, each looked at in both themes and both languages.
struct Walk<'a> {
    browser: &'a Browser,
    script: String,
    found: Vec<String>,
    looks: usize,
}

impl<'a> Walk<'a> {
    fn begin(world: &'a World) -> Option<Self> {
        // Whatever moves would be looked at in the middle of its way.
        let features = json!([{"name": "prefers-reduced-motion", "value": "reduce"}]);
        let script = script()?;
        world.browser.cdp("Emulation.setEmulatedMedia", json!({ "features": features }));
        Some(Self { browser: &world.browser, script, found: Vec::new(), looks: 0 })
    }

    /// Looks at the page as it is, in both themes; `name` names it.
    fn look(&mut self, name: &str) {
        let lang = self.browser.js("return document.documentElement.lang");
        self.browser.js_with("if (!window.axe) (0, eval)(arguments[0])", vec![json!(self.script)]);
        for theme in ["light", "dark"] {
            self.browser.js_with("document.documentElement.dataset.theme = arguments[0]", vec![json!(theme)]);
            let settled = "return Promise.all(document.getAnimations().filter((one) => one instanceof CSSTransition).map((one) => one.finished.catch(() => null))).then(() => true)";
            self.browser.js(settled);
            let told = self.browser.js(RUN);
            assert!(told[0].as_u64() > Some(5), "{name}: axe looked at nothing: {told}");
            let bad = told[1].as_array().unwrap().iter().filter_map(Value::as_str);
            self.found.extend(bad.map(|bad| format!("{name} {lang} {theme}: {bad}")));
            self.looks += 1;
        }
    }

    /// The same in both languages: `go` opens what is looked at.
    fn both(&mut self, name: &str, go: impl Fn(&Browser)) {
        for lang in ["en", "zh"] {
            self.browser.js_with("document.cookie = `lore_lang=${arguments[0]}; path=/`", vec![json!(lang)]);
            go(self.browser);
            self.look(name);
        }
        self.browser.js("document.cookie = 'lore_lang=en; path=/'");
    }

    fn end(self) {
        eprintln!("         {} looks", self.looks);
        assert!(self.found.is_empty(), "{} violations:\n{}", self.found.len(), self.found.join("\n"));
    }
}

pub fn pages(world: &World) {
    let Some(mut walk) = Walk::begin(world) else { return };
    for (path, whole) in PAGES {
        walk.both(path, |browser| show(browser, path, whole));
    }
    for tab in ["health", "keys", "groups", "configuration"] {
        walk.both(&format!("/settings#{tab}"), |browser| {
            browser.open("/nothing");
            show(browser, &format!("/settings#{tab}"), "[role=tabpanel] :is(.card, .empty, pre)");
        });
    }
    for tab in ["compare", "releases"] {
        walk.both(&format!("/training?tab={tab}"), |browser| {
            show(browser, &format!("/training?tab={tab}"), "[role=tabpanel] .empty")
        });
    }
    walk.both("an answer with its source", |browser| {
        browser.open("/");
        ask::ask(browser, QUESTION);
        browser.click(".turn:last-child .answer-text button.cite", "1");
        browser.see(".source mark", "");
        browser.click(".turn:last-child .feedback-buttons button:nth-child(2)", "");
        browser.see(".feedback-form", "");
    });
    walk.both("an open document", |browser| {
        browser.open("/documents");
        browser.click(".doc-link", "Leave");
        browser.see(".doc-open .chunk-text", "");
    });
    walk.both("upload", |browser| {
        browser.open("/documents");
        browser.see(".doc-row", "");
        browser.choose_file("#pick-files", &world.house.docs().join("lunch.md"));
        browser.see("dialog", "lunch.md");
    });
    walk.both("two searches", |browser| {
        browser.open(
            "/search?q=vacation&b=%7B%22fusion%22%3A%7B%22convex%22%3A%7B%22dense_weight%22%3A0%7D%7D%7D",
        );
        browser.see(".bench-results.two .hit", "");
    });
    walk.both("narrow", |browser| {
        browser.size(360, 740);
        browser.open("/");
        browser.click(".drawer-button", "");
        browser.see(".conversation", "");
    });
    walk.end();
}

pub fn sign_in(world: &World) {
    let Some(mut walk) = Walk::begin(world) else { return };
    walk.both("keys", |browser| {
        browser.open("/nothing");
        show(browser, "/settings#keys", ".key");
    });
    world.browser.click("#sign-out", "");
    walk.both("/signin", |browser| show(browser, "/signin", "#signin"));
    walk.end();
}

pub fn training(world: &World) {
    let Some(mut walk) = Walk::begin(world) else { return };
    walk.both("runs", |browser| show(browser, "/training", ".runs .table"));
    walk.both("releases", |browser| show(browser, "/training?tab=releases", ".release-detail .questions"));
    let (_, told) = world.server.send("GET", "/v1/trainings", None, None);
    let path = format!("/training/{}", told["trainings"][0]["id"].as_str().unwrap());
    walk.both("a run", |browser| show(browser, &path, ".run svg"));
    walk.end();
}
