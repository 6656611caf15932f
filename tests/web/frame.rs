//! What holds for every page: what it loads and from where, its languages, themes and widths.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::world::World;

/// Most bytes of a first load, compressed.
const BUDGET: u64 = 120_000;

/// Every page, with what shows that it is there.
pub const PAGES: [(&str, &str); 8] = [
    ("/", ".suggestion"),
    ("/documents", ".doc-row .doc-link"),
    ("/search?q=vacation", ".hit"),
    ("/training", ".runs .empty, .runs .table"),
    ("/training?tab=new", ".problems .notice"),
    ("/settings", ".charts svg"),
    ("/api", ".routes"),
    ("/nothing", ".empty"),
];

/// Opens a page and waits until it is whole.
pub fn show(browser: &Browser, path: &str, whole: &str) {
    browser.open(path);
    browser.see(whole, "");
    browser.gone("main .skeletons", "");
}

/// The page is no wider than the window.
pub fn no_wider_than(browser: &Browser, width: u64) {
    let found = browser.js(
        "const wide = [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
           .map((e) => `${e.tagName}.${e.className} ${Math.round(e.getBoundingClientRect().right)}`);
         return [document.documentElement.scrollWidth, wide.slice(0, 8)]",
    );
    let broad = found[0].as_u64().unwrap();
    assert!(broad <= width, "{} is {broad} pixels wide in {width}: {}", browser.path(), found[1]);
}

pub fn first_load(world: &World) {
    let browser = &world.browser;
    browser.cdp("Network.setCacheDisabled", json!({"cacheDisabled": true}));
    browser.open("/nothing");
    for (path, whole) in PAGES {
        browser.log("performance");
        show(browser, path, whole);
        // Whatever the page asked for, by what the browser itself saw of the network.
        let mut hosts = BTreeSet::new();
        let (mut bytes, mut requests) = (0, 0);
        for line in browser.log("performance") {
            let line: Value = serde_json::from_str(line["message"].as_str().unwrap()).unwrap();
            let (method, told) = (line["message"]["method"].as_str().unwrap(), &line["message"]["params"]);
            match method {
                "Network.requestWillBeSent" => {
                    let url = told["request"]["url"].as_str().unwrap();
                    // What stands in the page, and the browser's own first page, are no requests.
                    if !["data:", "blob:", "chrome:"].iter().any(|own| url.starts_with(own)) {
                        requests += 1;
                        hosts.insert(url.split('/').take(3).collect::<Vec<_>>().join("/"));
                    }
                }
                "Network.loadingFinished" => bytes += told["encodedDataLength"].as_f64().unwrap() as u64,
                _ => {}
            }
        }
        let paint = browser.until("performance.getEntriesByName('first-contentful-paint')[0]?.startTime");
        eprintln!(
            "         {path}: {:.1} kB in {requests} requests, first paint {:.0} ms",
            bytes as f64 / 1000.0,
            paint.as_f64().unwrap()
        );
        assert_eq!(hosts.iter().collect::<Vec<_>>(), [browser.base()], "{path} asks other hosts");
        assert!(bytes > 5_000 && bytes <= BUDGET, "{path} loads {bytes} bytes");
    }
    browser.cdp("Network.setCacheDisabled", json!({"cacheDisabled": false}));
}

/// Keys that stand where words should.
fn no_keys(browser: &Browser) {
    let text = browser.js("return document.body.innerText + [...document.querySelectorAll('[aria-label]')].map((e) => e.ariaLabel).join(' ')");
    let text = text.as_str().unwrap();
    for area in ["core", "ask", "documents", "search", "training", "settings", "signin", "api"] {
        let start = format!("{area}.");
        let key = text.match_indices(&start).find(|(at, _)| {
            let before = text[..*at].chars().next_back();
            let rest: String = text[at + start.len()..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '.')
                .collect();
            before.is_none_or(char::is_whitespace)
                && !rest.is_empty()
                && !["yaml", "md", "json", "start"].contains(&rest.as_str())
        });
        assert!(
            key.is_none(),
            "{}: a key instead of words: {:?}",
            browser.path(),
            key.map(|(at, _)| &text[at..text.len().min(at + 40)])
        );
    }
}

pub fn languages(world: &World) {
    let browser = &world.browser;
    let lang = |browser: &Browser| browser.js("return document.documentElement.lang");
    // The first visit follows the browser.
    browser.cdp("Network.enable", json!({}));
    browser.cdp("Network.setExtraHTTPHeaders", json!({"headers": {"Accept-Language": "zh-CN,zh;q=0.9"}}));
    browser.open("/");
    assert_eq!(lang(browser), "zh-CN");
    browser.see(".nav a", "提问");
    browser.cdp("Network.setExtraHTTPHeaders", json!({"headers": {}}));
    browser.open("/");
    assert_eq!(lang(browser), "en");
    browser.see(".nav a", "Documents");
    browser.click("#language", "");
    browser.see(".nav a", "文档");
    // And is remembered, everywhere.
    for (path, whole) in PAGES {
        show(browser, path, whole);
        assert_eq!(lang(browser), "zh-CN", "{path}");
        no_keys(browser);
        let left = browser.js(
            "return [...document.querySelectorAll('h1, main button, main label, main legend, main [role=tab]')]
               .filter((e) => e.checkVisibility() && !e.matches('.suggestion, .chip, .release-item, .doc-link') && !e.closest('[lang=en]'))
               .map((e) => [...e.childNodes].filter((n) => n.nodeType === 3 || n.matches?.('span:not(.num)')).map((n) => n.textContent).join('').trim())
               .filter((words) => /[a-z]{3}/i.test(words) && !/[\\u4e00-\\u9fff]/.test(words))",
        );
        let allowed = ["LoRA", "LoRA alpha", "DoRA", "rsLoRA", "YAML", "Lore", "HTTP API", "English"];
        let left: Vec<&str> = left
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .filter(|words| !allowed.contains(words))
            .collect();
        assert!(left.is_empty(), "{path} is not all Chinese: {left:?}");
    }
    // What the server refuses is said in the page's language, and then in its own words.
    browser.open("/search?q=x&a=%7B%22bm25_b%22%3A7%7D");
    browser.see(".empty.bad p", "这些权重无法使用");
    browser.see(".empty.bad [lang=en]", "bm25_b");
    browser.open("/");
    browser.enter(".composer-input", "出差结束后几天内提交报销单？");
    browser.see(crate::ask::DONE, "十四天内");
    browser.click("#language", "");
    browser.see(".nav a", "Documents");
    for (path, whole) in PAGES {
        show(browser, path, whole);
        assert_eq!(lang(browser), "en", "{path}");
        no_keys(browser);
    }
}

pub fn themes(world: &World) {
    let browser = &world.browser;
    let ground =
        |browser: &Browser| browser.js("return getComputedStyle(document.documentElement).backgroundColor");
    browser.open("/");
    browser.see(".composer-input", "");
    let system = |dark: bool| {
        let value = if dark { "dark" } else { "light" };
        browser.cdp(
            "Emulation.setEmulatedMedia",
            json!({"features": [{"name": "prefers-color-scheme", "value": value}]}),
        );
    };
    system(false);
    let light = ground(browser);
    system(true);
    let dark = ground(browser);
    assert_ne!(light, dark, "auto follows the system");
    browser.click("#theme", "");
    browser.until("document.documentElement.dataset.theme === 'light'");
    assert_eq!(ground(browser), light);
    browser.click("#theme", "");
    system(false);
    assert_eq!(ground(browser), dark);
    browser.open("/documents");
    assert_eq!(ground(browser), dark, "the theme is remembered");
    browser.click("#theme", "");
    assert_eq!(ground(browser), light);
}

pub fn widths(world: &World) {
    let browser = &world.browser;
    for width in [360, 800, 1440] {
        browser.size(width, 800);
        for (path, whole) in PAGES {
            show(browser, path, whole);
            no_wider_than(browser, width.into());
        }
    }
}
