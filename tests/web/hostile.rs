//! Documents and models that attack whoever reads them: nothing runs, nothing leads away, nothing breaks the layout.

use serde_json::{Value, json};

use crate::ask;
use crate::browser::Browser;
use crate::corpus::SECRET_QUESTION;
use crate::frame::no_wider_than;
use crate::stubs;
use crate::world::World;

/// Nothing of the text became more than text.
fn harmless(browser: &Browser) {
    let found = browser.js(
        "const bad = [...document.querySelectorAll('main script, main iframe, main object, main embed, main base, main style, main meta, main img, main form[action]')];
         const led = [...document.querySelectorAll('a[href]')].filter((a) => !['http:', 'https:', 'mailto:'].includes(a.protocol));
         const on = [...document.querySelectorAll('*')].filter((e) => [...e.attributes].some(({name}) => name.startsWith('on')));
         return [window.hacked ?? null, [...bad, ...led, ...on].map((e) => e.outerHTML.slice(0, 200))];",
    );
    assert_eq!(found, json!([null, []]), "{}", browser.path());
    no_wider_than(browser, 360);
}

pub fn documents(world: &World) {
    let browser = &world.browser;
    browser.size(360, 740);
    browser.open("/");
    browser.see(".welcome", "");
    harmless(browser);
    let answer = ask::ask(browser, SECRET_QUESTION);
    assert!(answer.contains("blue heron"), "{answer}");
    harmless(browser);
    browser.click(".turn:last-child .answer-text button.cite", "1");
    browser.see(".source mark", "blue heron");
    harmless(browser);
    // To its end: the long word and the wide table.
    browser.fill(".source-slider", "1000");
    browser.see(".source-text", "c2-299");
    harmless(browser);
    browser.click(".source button", "Close the source");
    ask::ask(browser, "How many tons does the crane of the quay lift?");
    harmless(browser);

    browser.open("/documents?q=harbour");
    browser.click(".doc-link", "Harbour");
    browser.see(".doc-open .chunk-text", "blue heron");
    harmless(browser);
    browser.until("(document.querySelector('.text-window:last-child').scrollIntoView({block: 'end'}), document.querySelector('.doc-open').textContent.includes('c2-299'))");
    harmless(browser);
    // The original of a page is a file to keep, not a page of this server.
    let crane = world.server.send("GET", "/v1/documents?q=crane", None, None).1;
    let id = crane["documents"][0]["id"].as_str().unwrap();
    let url = format!("{}/v1/documents/{id}/content", world.server.url);
    let original = reqwest::blocking::get(url).unwrap();
    let header = |name: &str| {
        original.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    let kept = header("content-disposition").starts_with("attachment");
    let boxed = header("content-security-policy").contains("sandbox");
    assert!(kept || boxed || !header("content-type").contains("html"), "{:?}", original.headers());
    assert_eq!(header("x-content-type-options"), "nosniff");

    let query = "/search?q=code%20word%20of%20the%20harbour%20warehouse";
    browser.open(query);
    browser.see(".hit", "blue heron");
    harmless(browser);
    browser.click(".hit .hit-more", "Show all");
    harmless(browser);
}

pub fn model(world: &World) {
    let browser = &world.browser;
    let mark = "window.hacked = 1";
    let text = format!(
        "The **code** <script>{mark}</script> word <img src=x onerror=\"{mark}\"> is [here](javascript:{mark}).\n\n\
         [there](https://elsewhere.invalid/?q=1) ![p](https://elsewhere.invalid/p.png) <a href='javascript:{mark}'>x</a>\n\n\
         <style>*{{display:none}}</style><svg/onload=\"{mark}\"> [data](data:text/html,<script>{mark}</script>)\n\n\
         {}\n\n|{}\n|{}\n|{}\n\n```html\n<script>{mark}</script>{}\n```\n",
        "W".repeat(3000),
        " a |".repeat(300),
        "---|".repeat(300),
        " b |".repeat(300),
        "x".repeat(3000),
    );
    browser.size(360, 740);
    browser.open("/");
    browser.see(".composer-input", "");
    let events: Vec<(&str, Value)> = vec![
        ("sources", json!({"passages": []})),
        ("token", json!({ "text": text })),
        ("done", stubs::done(&text, &[])),
    ];
    stubs::answer(browser, &events, 5, true);
    ask::ask(browser, "<img src=x onerror=alert(1)>?");
    browser.see(".answer-text strong", "code");
    harmless(browser);
    let link = browser.js(
        "const link = document.querySelector('.answer-text a[href^=https]'); return [link.rel, link.target, link.textContent]",
    );
    assert_eq!(link, json!(["noopener noreferrer nofollow", "_blank", "there"]));
}
