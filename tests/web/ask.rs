//! The page where questions are asked.

use fantoccini::key::Key;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::corpus::{QUESTION, QUOTE};
use crate::stubs;
use crate::world::World;

/// The last turn, once it is done.
pub const DONE: &str = ".turn:last-child[data-state=done]";
const TEXT: &str = ".turn:last-child .answer-text";

/// Asks and waits for the answer; its words.
pub fn ask(browser: &Browser, question: &str) -> String {
    let before = browser.count(".turn");
    browser.enter(".composer-input", question);
    browser.counts(".turn", before + 1);
    browser.see(DONE, "");
    // The server makes HTML of it a moment later.
    browser.see(".turn:last-child .answer-text.prose", "");
    browser.text(TEXT)
}

/// Writes down from now on how the last turn looks.
pub fn watch(browser: &Browser) {
    browser.js(
        "window.looks = [];
         window.watching?.disconnect();
         window.watching = new MutationObserver(() => {
           const turn = document.querySelector('.turn:last-child');
           const now = turn && [turn.dataset.state, turn.querySelector('.answer-text').textContent.length];
           if (now && String(window.looks.at(-1)) !== String(now)) window.looks.push(now);
         });
         window.watching.observe(document.querySelector('.thread'), {subtree: true, childList: true, attributes: true});",
    );
}

/// Each look of the last turn since [`watch`]: its state, and how long its text was.
pub fn looks(browser: &Browser) -> Vec<(String, u64)> {
    serde_json::from_value(browser.js("return window.looks")).unwrap()
}

/// The citations of the conversation's last answer, as the server keeps them.
pub fn kept_citations(world: &World) -> Vec<Value> {
    let path = world.browser.until("location.pathname.startsWith('/c/') && location.pathname.slice(3)");
    let path = format!("/v1/conversations/{}", path.as_str().unwrap());
    let (status, detail) = world.server.send("GET", &path, None, None);
    assert_eq!(status, 200, "{detail}");
    let last = detail["history"].as_array().unwrap().last().unwrap();
    last["summary"]["citations"].as_array().unwrap().clone()
}

/// What is highlighted in the source, all of it, in sight.
pub fn highlighted(browser: &Browser) -> String {
    browser.see(".source-text mark", "");
    browser.in_sight(".source-text mark", ".source-text");
    let all =
        "return [...document.querySelectorAll('.source-text mark')].map((mark) => mark.textContent).join('')";
    browser.js(all).as_str().unwrap().to_owned()
}

pub fn streams_cites_and_opens(world: &World) {
    let browser = &world.browser;
    browser.open("/");
    // An empty page suggests questions.
    browser.see(".suggestion", "");
    watch(browser);
    let answer = ask(browser, QUESTION);
    assert!(answer.contains("30 days"), "{answer}");
    let looks = looks(browser);
    assert_eq!(looks.first(), Some(&("waiting".to_owned(), 0)), "{looks:?}");
    assert!(looks.iter().any(|(state, _)| state == "writing"), "it does not stream: {looks:?}");

    let citations = kept_citations(world);
    let quote = citations[0]["quote"].as_str().unwrap();
    assert!(quote.contains(QUOTE), "{citations:?}");
    // Pointed at, and with the focus, the mark shows its quote, the document and the heading.
    let mark = ".turn:last-child .answer-text button.cite";
    for point in [true, false] {
        if point {
            browser.hover(mark, "1");
        } else {
            browser.js("document.querySelector('.turn:last-child .answer-text button.cite').focus()");
        }
        let card = browser.text(".popover");
        assert!(
            card.contains("30 days of vacation") && card.contains("Leave") && card.contains("Vacation"),
            "{card}"
        );
        browser.press(Key::Escape);
        browser.gone(".popover", "");
    }
    // A click opens the source at the exact span.
    browser.click(mark, "1");
    assert_eq!(highlighted(browser), quote);
    let original = browser.js("return document.querySelector('.source-tools a').getAttribute('href')");
    let original = original.as_str().unwrap();
    let (status, _) = world.server.send("GET", original, None, None);
    assert!(status == 200 && original.contains("/content?version=1"), "{status} {original}");
    browser.press(Key::Escape);
    browser.gone(".source", "");
    browser.until("document.activeElement.matches('button.cite')");
    assert!(!browser.sees(".popover", ""), "the quote stands over the answer again");

    // A long text is opened in its midst.
    browser.click("a", "New conversation");
    let answer = ask(browser, "How often is machine 257 of the northern hall serviced?");
    assert!(answer.contains("260 weeks"), "{answer}");
    browser.click(mark, "1");
    let quote = kept_citations(world)[0]["quote"].clone();
    assert_eq!(json!(highlighted(browser)), quote);
    browser.click(".source button", "Close the source");
}

pub fn goes_on_and_judges(world: &World) {
    let browser = &world.browser;
    browser.open("/");
    ask(browser, QUESTION);
    let answer = ask(browser, "And in Shanghai?");
    assert!(answer.contains("15 days"), "{answer}");
    assert!(browser.sees(".answer-remark", "Shanghai"), "what was looked for is told");

    browser.click(".turn:last-child button", "Not helpful");
    browser.click(".feedback-form .chip", "incomplete");
    browser.click(".feedback-form button", "Write the better answer");
    browser.fill(".better-answer", "15 days, and three more after five years.");
    browser.click(".feedback-form button[type=submit]", "");
    browser.see(".toast", "This is kept");
    browser.until("document.activeElement.getAttribute('aria-label') === 'Not helpful'");
    browser.see(".turn:last-child button[aria-pressed=true]", "Not helpful");
    // It can be learned from now.
    let (_, choices) = world.server.send("GET", "/v1/trainings/choices", None, None);
    assert!(choices["datasets"].as_array().unwrap().iter().any(|set| set["kind"] == "feedback"), "{choices}");
    // A reload knows what was said.
    browser.see(".conversation a[aria-current=page]", "");
    browser.reload();
    browser.see(".turn:last-child button[aria-pressed=true]", "Not helpful");
    browser.click(".turn:last-child button", "Not helpful");
    browser.see(".toast", "Taken back");

    // Again takes the last one's place; so does the edited question.
    browser.click(".turn:last-child button", "Answer again");
    browser.see(DONE, "Shanghai");
    browser.counts(".turn", 2);
    browser.click(".turn:last-child button", "Edit the question");
    browser.fill(".composer-input", "");
    browser.enter(".composer-input", "How long is parental leave paid?");
    browser.see(DONE, "14 weeks");
    browser.counts(".turn", 2);
    // A reload shows the same.
    browser.see(".conversation a[aria-current=page]", "");
    browser.reload();
    browser.see(DONE, "14 weeks");
    assert_eq!(browser.count(".turn"), 2);
}

pub fn conversations(world: &World) {
    let browser = &world.browser;
    let menu = |entry: &str| {
        browser.click(".conversation:first-child button", "What to do with");
        browser.click("[role=menuitem]", entry);
    };
    browser.open("/");
    ask(browser, "When does the canteen open?");
    browser.see(".conversation:first-child", "canteen");
    menu("Rename");
    browser.fill("dialog input", "Lunch hours");
    browser.click("dialog button", "Save");
    browser.see(".conversation:first-child", "Lunch hours");
    browser.see("h1", "Lunch hours");
    browser.type_into(".conversation-search input", "lunch ho");
    browser.counts(".conversation", 1);
    browser.type_into(".conversation-search input", "xyz");
    browser.see(".conversations .empty", "No conversation matches");
    browser.fill(".conversation-search input", "");
    browser.see(".conversation:first-child", "Lunch hours");

    let id = browser.path();
    let id = id.strip_prefix("/c/").unwrap();
    menu("Delete");
    browser.see("dialog", "cannot be undone");
    browser.press(Key::Escape);
    browser.gone("dialog", "");
    menu("Delete");
    browser.click("dialog button.danger", "Delete");
    browser.gone(".conversation", "Lunch hours");
    browser.see(".welcome", "");
    assert_eq!(browser.path(), "/");
    browser.open(&format!("/c/{id}"));
    browser.see(".empty", "There is no such conversation");

    // One that was deleted elsewhere: asked again, the question begins another.
    browser.open("/");
    ask(browser, "When does the canteen open?");
    let gone = browser.until("location.pathname.startsWith('/c/') && location.pathname");
    let gone = gone.as_str().unwrap();
    world.server.send("DELETE", &format!("/v1/conversations/{}", &gone[3..]), None, None);
    browser.enter(".composer-input", QUESTION);
    browser.see(".turn[data-state=failed]", "deleted meanwhile");
    browser.click(".turn[data-state=failed] button", "Try again");
    browser.see(DONE, "30 days");
    browser.until(&format!("location.pathname.startsWith('/c/') && location.pathname !== '{gone}'"));
}

pub fn finds_nothing_and_filters(world: &World) {
    let browser = &world.browser;
    browser.open("/");
    let answer = ask(browser, "What is the phone number of the bakery in Lisbon?");
    browser.see(".turn.not-found", "");
    assert!(!answer.contains("30 days"), "{answer}");
    browser.see(".turn .nearest", "");

    // One document alone is asked, until the filter is taken away.
    browser.open("/");
    ask(browser, QUESTION);
    browser.click(".turn:last-child .source-chip", "");
    browser.click(".source button", "Ask this document alone");
    browser.see(".filter-chips .chip", "Leave");
    browser.click(".source button", "Close the source");
    browser.enter(".composer-input", "What does a lunch in the canteen cost?");
    browser.see(".turn:last-child.not-found", "Only filtered documents were searched");
    browser.click(".turn:last-child button", "Ask all documents");
    browser.see(DONE, "6.50");
    assert!(!browser.sees(".filter-chips .chip", ""));
    browser.click("button", "Filters");
    browser.click(".filters .chip", "Chinese");
    browser.see(".filter-chips .chip", "Chinese");
    browser.click("button", "Clear all filters");
    browser.gone(".filter-chips .chip", "");
}

pub fn stops_and_doubts(world: &World) {
    let browser = &world.browser;
    browser.open("/");
    browser.see(".composer-input", "");
    let token = |text: &str| ("token", json!({ "text": text }));
    let sources = ("sources", json!({"passages": []}));
    stubs::answer(browser, &[sources.clone(), token("It begins "), token("and does not ")], 30, false);
    browser.enter(".composer-input", "A long one?");
    browser.see(".answer-text", "and does not");
    browser.click("button", "Stop the answer");
    browser.see(".turn[data-state=stopped]", "Stopped");

    let text = "Lunch is at noon. The cook is a former pilot.";
    let citations = [
        stubs::citation(text, "Lunch is at noon.", "The canteen opens at noon.", "supported"),
        stubs::citation(text, "The cook is a former pilot.", "Pilots get lunch.", "unsupported"),
    ];
    let mut events = vec![sources, token("Lunch is at noon. "), token("The cook is a former pilot.")];
    events.extend(citations.iter().map(|citation| ("citation", json!({ "citation": citation }))));
    events.push(("done", stubs::done(text, &citations)));
    stubs::answer(browser, &events, 5, true);
    browser.click("button", "Ask again");
    browser.see(DONE, "Lunch is at noon");
    // What nothing supports looks different, and says why.
    let plain = "getComputedStyle(document.querySelector('.answer-text p'))";
    let doubted = "getComputedStyle(document.querySelector('.answer-text .unsupported'))";
    browser.until(
        "document.querySelector('.answer-text.prose .unsupported')?.textContent.includes('former pilot')",
    );
    let differs = format!(
        "['backgroundColor', 'textDecorationLine', 'color'].some((name) => {doubted}[name] !== {plain}[name])"
    );
    browser.until(&differs);
    browser.hover(".answer-text .cite.doubt", "");
    browser.see(".popover", "does not say this");
    browser.see(".popover", "Pilots get lunch.");
    browser.see(".answer-remark", "1 statement has no source");
    browser.press(Key::Escape);

    // An answer that nothing supports says so to its end; the nearest documents stand below it.
    let text = "You get 45 days. The Leave policy adds five.\n\nThe documents do not support this answer. \
        The nearest are: Leave; Canteen.";
    let mut done = stubs::done(text, &[]);
    done["answered"] = json!(false);
    done["nearest"] = json!(["Leave", "Canteen"].map(
        |title| json!({"document": "none", "name": title.to_lowercase(), "title": title, "score": 0.5})
    ));
    stubs::answer(browser, &[token(text), ("done", done)], 5, true);
    browser.enter(".composer-input", "How many days do I get?");
    browser.see(".turn:last-child.not-found .nearest", "Canteen");
    browser.see(".turn:last-child .answer-text.prose", "adds five");
    browser.see(".turn:last-child .answer-text.prose", "do not support this answer.");
    assert!(!browser.sees(".turn:last-child .answer-text", "The nearest are"), "they are named twice");

    // Rows of a table that are quoted alone are no table: dots stand between their cells, marks behind them.
    let text = "| Kestrel sensors | 36 months | | Fjord gateways | 24 months |";
    let rows = ["| Kestrel sensors | 36 months |", "| Fjord gateways | 24 months |"]
        .map(|row| stubs::citation(text, row, row, "supported"));
    let mut events = vec![token(text)];
    events.extend(rows.iter().map(|citation| ("citation", json!({ "citation": citation }))));
    events.push(("done", stubs::done(text, &rows)));
    stubs::answer(browser, &events, 5, true);
    browser.enter(".composer-input", "How long are the warranties?");
    browser.see(".turn:last-child .answer-text.prose", "Kestrel sensors · 36 months");
    browser.see(".turn:last-child .answer-text.prose", "Fjord gateways · 24 months");
    assert!(!browser.sees(".turn:last-child .answer-text.prose", "|"));
    browser.counts(".turn:last-child .answer-text button.cite", 2);

    // A connection that breaks off is told, and the question is asked again.
    stubs::answer(browser, &[token("Half of ")], 5, true);
    browser.enter(".composer-input", "Half?");
    browser.see(".turn[data-state=failed]", "broke off");
    browser.js("window.fetch = window.realFetch");
    browser.click(".turn[data-state=failed] button", "Try again");
    browser.see(".turn:last-child.not-found, .turn:last-child[data-state=done]", "");
}

pub fn goes_on_elsewhere(world: &World) {
    let browser = &world.browser;
    let begun = |question: &str| {
        browser.open("/");
        ask(browser, question);
        browser.until("location.pathname.startsWith('/c/') && location.pathname").as_str().unwrap().to_owned()
    };
    let (other, mine) = (begun("When does the canteen open?"), begun(QUESTION));
    let show = |path: &str| browser.click(&format!(".conversation a[href='{path}']"), "");
    let mut events = vec![("sources", json!({"passages": []}))];
    events.extend((0..60).map(|n| ("token", json!({"text": format!("word{n} ")}))));
    let mut done = stubs::done("word0 and all others", &[]);
    done["conversation"] = json!(mine.strip_prefix("/c/").unwrap());
    events.push(("done", done));
    browser.js("window.held = true");
    stubs::answer(browser, &events, 80, true);
    browser.enter(".composer-input", "A slow one?");
    browser.see(".answer-text", "word3");
    // Another conversation is looked at meanwhile, where questions can be asked.
    show(&other);
    browser.see(DONE, "noon");
    browser.counts(".turn", 1);
    browser.see("button", "Send");
    // It is found again where it was asked, still growing.
    show(&mine);
    browser.see(".turn[data-state=writing]", "word9");
    browser.counts(".turn", 2);
    browser.see("button", "Stop the answer");
    show(&other);
    browser.js("window.held = false");
    browser.see(".toast", "The answer to “A slow one?” is ready");
    browser.click(".toast button", "Open");
    browser.until(&format!("location.pathname === '{mine}'"));

    // A question whose answer goes with the page is in the box again.
    stubs::answer(browser, &[("token", json!({"text": "It begins "}))], 5, false);
    browser.enter(".composer-input", "Asked before a reload?");
    browser.see(".answer-text", "It begins");
    browser.reload();
    browser.until("document.querySelector('.composer-input')?.value === 'Asked before a reload?'");
    browser.fill(".composer-input", "");
}

pub fn by_keyboard(world: &World) {
    let browser = &world.browser;
    browser.open("/");
    browser.see(".suggestion", "");
    browser.js("document.querySelector('.brand').focus()");
    browser.press("/");
    browser.until("document.activeElement.matches('.composer-input')");
    browser.press(format!("{QUESTION}{}", Key::Enter));
    browser.see(".turn:last-child[data-state=done] .answer-text.prose", "30 days");
    // Backwards from the box, the marks come after the buttons.
    for _ in 0..60 {
        browser.press(format!("{}{}", Key::Shift, Key::Tab));
        if browser.js("return document.activeElement.matches('.answer-text button.cite')") == true {
            break;
        }
    }
    browser.see(".popover", "30 days");
    let ring =
        "const style = getComputedStyle(document.activeElement); return style.outlineStyle + style.boxShadow";
    assert_ne!(browser.js(ring), "nonenone", "the focus cannot be seen");
    browser.press(Key::Enter);
    browser.see(".source mark", "30 days");
    browser.press(Key::Escape);
    browser.gone(".source", "");
    browser.until("document.activeElement.matches('.answer-text button.cite')");
    browser.press("?");
    browser.see("dialog", "new conversation");
    browser.press(Key::Escape);
    browser.gone("dialog", "");
    browser.press(format!("{}n", Key::Alt));
    browser.see(".welcome", "");
}
