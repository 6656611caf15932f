//! A server with its documents, and a browser on it.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::browser::Browser;
use crate::driver::{Driver, Programs};
use crate::house::{House, Server};

/// What a browser logs of requests that a test means to be refused.
const REFUSED: &str = "Failed to load resource: the server responded with a status of 4";

/// All that a test needs; ended with it.
pub struct World {
    pub browser: Browser,
    pub server: Server,
    pub house: House,
    failed: RefCell<Vec<String>>,
}

impl World {
    /// A house with `settings`, filled by `fill`, its server and a browser. Nothing where there is no browser.
    pub fn new(test: &str, name: &'static str, settings: &str, fill: impl FnOnce(&House)) -> Option<Self> {
        let programs = Programs::find(test)?;
        let driver = Driver::start(programs);
        let house = House::new();
        std::fs::write(house.docs().join("../lore.yaml"), settings).unwrap();
        fill(&house);
        house.ingest();
        let server = house.serve();
        let browser = Browser::new(driver, &server.url, name);
        Some(Self { browser, server, house, failed: RefCell::default() })
    }

    /// One journey; says how long it took. After one that fails the others go on.
    pub fn go(&self, what: &str, journey: fn(&Self)) {
        let since = Instant::now();
        self.browser.size(1280, 800);
        let ended = catch_unwind(AssertUnwindSafe(|| journey(self)));
        if ended.is_err() {
            // What comes next begins as if this had ended well.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                self.browser.js("document.cookie = 'lore_lang=en; path=/'")
            }));
            self.failed.borrow_mut().push(what.to_owned());
        }
        let how = if ended.is_ok() { "" } else { " FAILED" };
        eprintln!("{:6.1} s  {what}{how}", since.elapsed().as_secs_f64());
    }

    /// All journeys went well.
    pub fn end(self) {
        let failed = self.failed.borrow();
        assert!(failed.is_empty(), "failed: {}", failed.join("; "));
    }

    /// Nothing went wrong in the console: no script failed, and the content security policy had nothing to refuse.
    pub fn quiet(&self) {
        let bad: Vec<String> = self
            .browser
            .log("browser")
            .iter()
            .filter(|line| line["level"] == "SEVERE" || line["source"] == "security")
            .map(|line| line["message"].as_str().unwrap_or_default().to_owned())
            .filter(|message| !message.contains(REFUSED))
            .collect();
        assert!(bad.is_empty(), "the console says: {bad:#?}");
    }
}
