//! What a person does with a page, and what he sees there. Everything waits for a while and then says what is missing.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fantoccini::Client;
use fantoccini::elements::{Element, ElementRef};
use fantoccini::error::CmdError;
use fantoccini::key::Key;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::driver::{Driver, Own};

/// Longest that something may take to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(40);
/// Longest that one command may take.
const COMMAND: Duration = Duration::from_secs(150);

/// Elements by selector and words that can be seen, the first of them.
const FIND: &str = "const [css, words] = arguments;
    const says = (e) => words === '' || e.textContent.includes(words) || (e.getAttribute('aria-label') ?? '').includes(words);
    return [...document.querySelectorAll(css)].find((e) => e.checkVisibility({visibilityProperty: true}) && says(e)) ?? null;";

/// A session with its pages.
pub struct Browser {
    runtime: Runtime,
    client: Option<Client>,
    base: String,
    name: &'static str,
    failures: Cell<u32>,
    _driver: Driver,
}

impl Browser {
    /// Opens a session on the server at `base`; `name` names its screenshots.
    pub fn new(driver: Driver, base: &str, name: &'static str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = Some(runtime.block_on(driver.session()));
        let browser =
            Self { runtime, client, base: base.to_owned(), name, failures: Cell::new(0), _driver: driver };
        browser.size(1280, 800);
        browser
    }

    fn run<T>(&self, work: impl AsyncFnOnce(&Client) -> Result<T, CmdError>) -> Result<T, CmdError> {
        let client = self.client.as_ref().unwrap();
        self.runtime.block_on(async {
            tokio::time::timeout(COMMAND, work(client))
                .await
                .expect("a command of the browser takes too long")
        })
    }

    /// The server's address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Goes to a path of the server.
    pub fn open(&self, path: &str) {
        let url = format!("{}{path}", self.base);
        self.run(async |client| client.goto(&url).await).unwrap();
    }

    /// Loads the page anew.
    pub fn reload(&self) {
        self.run(async |client| client.refresh().await).unwrap();
    }

    /// Path, query and fragment of the page.
    pub fn path(&self) -> String {
        self.js("return location.pathname + location.search + location.hash").as_str().unwrap().to_owned()
    }

    /// Makes the page so many pixels wide and high.
    pub fn size(&self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.cdp("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// What a script returns; a promise is waited for.
    pub fn js(&self, script: &str) -> Value {
        self.js_with(script, Vec::new())
    }

    /// The same with `arguments`.
    pub fn js_with(&self, script: &str, arguments: Vec<Value>) -> Value {
        match self.run(async |client| client.execute(script, arguments).await) {
            Ok(value) => value,
            Err(error) => self.fail(&format!("{script}: {error}")),
        }
    }

    /// The first element of `css` that can be seen and has `words` in it (or in its label).
    pub fn see(&self, css: &str, words: &str) -> Element {
        self.see_within(PATIENCE, css, words)
    }

    /// The same where it may take so long.
    pub fn see_within(&self, patience: Duration, css: &str, words: &str) -> Element {
        self.come(patience, &format!("{css} with `{words}`"), || {
            let found = self.run(async |client| client.execute(FIND, vec![json!(css), json!(words)]).await);
            // In the midst of a navigation there is no page.
            let id = found.ok()?.as_object()?.values().next()?.as_str()?.to_owned();
            Some(Element::from_element_id(self.client.clone().unwrap(), ElementRef::from(id)))
        })
    }

    /// Whether such an element can be seen now.
    pub fn sees(&self, css: &str, words: &str) -> bool {
        !self.js_with(FIND, vec![json!(css), json!(words)]).is_null()
    }

    /// Waits until no such element can be seen.
    pub fn gone(&self, css: &str, words: &str) {
        self.wait(&format!("the end of {css} with `{words}`"), |browser| !browser.sees(css, words));
    }

    /// Waits until `condition` holds.
    pub fn wait(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        self.come(PATIENCE, what, || condition(self).then_some(()));
    }

    /// Waits until an expression is true; what it is at last.
    pub fn until(&self, expression: &str) -> Value {
        let script = format!("return ({expression}) ?? null");
        self.come(PATIENCE, expression, || {
            let value = self.run(async |client| client.execute(&script, Vec::new()).await).ok()?;
            let nothing = [Value::Null, json!(false), json!(0), json!("")].contains(&value);
            (!nothing).then_some(value)
        })
    }

    /// Waits until there are so many such elements.
    pub fn counts(&self, css: &str, number: u64) {
        self.wait(&format!("{number} of {css}"), |browser| browser.count(css) == number);
    }

    /// Waits until the first element of `css` stands where the window of the box `within` shows it.
    pub fn in_sight(&self, css: &str, within: &str) {
        let script = "const [e, b] = [...arguments].map((css) => document.querySelector(css)?.getBoundingClientRect());
            return Boolean(e && b) && e.top >= b.top - 1 && e.top < b.bottom";
        self.wait(&format!("{css} in sight"), |browser| {
            browser.js_with(script, vec![json!(css), json!(within)]) == true
        });
    }

    /// Looks again and again until there is something.
    fn come<T>(&self, patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let since = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            if since.elapsed() > patience {
                self.fail(&format!("{what} did not come"));
            }
            std::thread::park_timeout(LOOK);
        }
    }

    /// Clicks as a mouse does, as soon as nothing is in the way.
    pub fn click(&self, css: &str, words: &str) {
        self.come(PATIENCE, &format!("a click on {css} with `{words}`"), || {
            let element = self.see(css, words);
            if self.run(async |_| element.click().await).is_ok() {
                return Some(());
            }
            // Drawn anew, or moved, or something sticks over it: a person scrolls.
            let script = "arguments[0].scrollIntoView({block: 'center'})";
            let element = serde_json::to_value(&element).unwrap();
            let _ = self.run(async |client| client.execute(script, vec![element]).await);
            None
        });
    }

    /// Types into a field and sends it off with the Enter key.
    pub fn enter(&self, css: &str, text: &str) {
        self.type_into(css, &format!("{text}{}", Key::Enter));
    }

    /// Types into a field, key by key, where something may stand already.
    pub fn type_into(&self, css: &str, text: &str) {
        let element = self.see(css, "");
        if let Err(error) = self.run(async |_| element.send_keys(text).await) {
            self.fail(&format!("cannot type into {css}: {error}"));
        }
    }

    /// Puts a text in the place of what stands in a field.
    pub fn fill(&self, css: &str, text: &str) {
        self.see(css, "");
        let script = "const [css, text] = arguments;
            const field = [...document.querySelectorAll(css)].find((e) => e.checkVisibility());
            field.focus();
            field.value = text;
            field.dispatchEvent(new Event('input', {bubbles: true}));
            field.dispatchEvent(new Event('change', {bubbles: true}));";
        self.js_with(script, vec![json!(css), json!(text)]);
    }

    /// Gives files to a file field, which need not be seen.
    pub fn choose_file(&self, css: &str, file: &std::path::Path) {
        let file = file.canonicalize().unwrap();
        self.run(async |client| {
            let element = client.find(fantoccini::Locator::Css(css)).await?;
            element.send_keys(file.to_str().unwrap()).await
        })
        .unwrap();
    }

    /// Presses keys wherever the focus is.
    pub fn press(&self, keys: impl std::fmt::Display) {
        let keys = keys.to_string();
        self.run(async |client| client.active_element().await?.send_keys(&keys).await).unwrap();
    }

    /// Moves the pointer over an element.
    pub fn hover(&self, css: &str, words: &str) {
        use fantoccini::actions::{InputSource, MouseActions, PointerAction};
        let element = self.see(css, words);
        let to = PointerAction::MoveToElement { element, duration: None, x: 0.0, y: 0.0 };
        let actions = MouseActions::new("mouse".to_owned()).then(to);
        self.run(async |client| client.perform_actions(actions).await).unwrap();
    }

    /// The words of the first such element.
    pub fn text(&self, css: &str) -> String {
        let element = self.see(css, "");
        self.run(async |_| element.text().await).unwrap()
    }

    /// Looks at the window that was opened last, and closes it.
    pub fn in_new_window<T>(&self, look: impl FnOnce(&Self) -> T) -> T {
        let windows = || self.run(async |client| client.windows().await).unwrap();
        let own = self.run(async |client| client.window().await).unwrap();
        let new = self.come(PATIENCE, "a new window", || windows().into_iter().find(|window| *window != own));
        self.run(async |client| client.switch_to_window(new).await).unwrap();
        let seen = look(self);
        self.run(async |client| client.close_window().await).unwrap();
        self.run(async |client| client.switch_to_window(own).await).unwrap();
        seen
    }

    /// Drops files and folders on an element, as a file manager does; `over` runs while they hang over it.
    pub fn drop_files(&self, css: &str, files: &[PathBuf], over: impl FnOnce(&Self)) {
        self.see(css, "");
        let script = "const box = document.querySelector(arguments[0]).getBoundingClientRect();
            return [box.left + box.width / 2, box.top + Math.min(box.height, innerHeight - box.top) / 2]";
        let place = self.js_with(script, vec![json!(css)]);
        let files: Vec<PathBuf> = files.iter().map(|file| file.canonicalize().unwrap()).collect();
        let drag = |kind: &str| {
            let data = json!({"items": [], "files": files, "dragOperationsMask": 1});
            let event = json!({"type": kind, "x": place[0], "y": place[1], "data": data});
            self.cdp("Input.dispatchDragEvent", event);
        };
        drag("dragEnter");
        drag("dragOver");
        over(self);
        drag("drop");
    }

    /// How many such elements there are.
    pub fn count(&self, css: &str) -> u64 {
        let script = "return document.querySelectorAll(arguments[0]).length";
        self.js_with(script, vec![json!(css)]).as_u64().unwrap()
    }

    /// A command of Chromium's own protocol.
    pub fn cdp(&self, command: &str, parameters: Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.run(async |client| client.issue_cmd(Own { path: "goog/cdp/execute", body }).await)
            .unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// What was logged since the last look: `browser` is the console, `performance` the network.
    pub fn log(&self, kind: &'static str) -> Vec<Value> {
        let found = self
            .run(async |client| client.issue_cmd(Own { path: "se/log", body: json!({"type": kind}) }).await);
        found.unwrap().as_array().unwrap().clone()
    }

    /// Cookies, those too that scripts cannot see: names and values.
    pub fn cookies(&self) -> Vec<(String, String)> {
        let found = self.run(async |client| client.get_all_cookies().await).unwrap();
        found.into_iter().map(|cookie| (cookie.name().to_owned(), cookie.value().to_owned())).collect()
    }

    /// Forgets all cookies.
    pub fn forget(&self) {
        self.run(async |client| client.delete_all_cookies().await).unwrap();
    }

    /// Ends the test with what the page looks like.
    pub fn fail(&self, why: &str) -> ! {
        let picture = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!(
            "web-{}-{}.png",
            self.name,
            self.failures.replace(self.failures.get() + 1)
        ));
        if let Ok(bytes) = self.run(async |client| client.screenshot().await) {
            let _ = std::fs::write(&picture, bytes);
        }
        let page = self.run(async |client| {
            client
                .execute("return location.href + '\\n' + document.body.innerText.slice(0, 900)", Vec::new())
                .await
        });
        let page =
            page.map_or_else(|error| error.to_string(), |page| page.as_str().unwrap_or_default().to_owned());
        let console: Vec<String> =
            self.log("browser").iter().map(|line| line["message"].to_string()).collect();
        panic!("{why}\nat {page}\nconsole: {}\npicture: {}", console.join("\n"), picture.display());
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            let close = async { tokio::time::timeout(Duration::from_secs(5), client.close()).await };
            let _ = self.runtime.block_on(close);
        }
    }
}
