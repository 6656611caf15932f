//! What a person takes along: an answer on the clipboard, a conversation as a file, the original of a source.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ask::{ask, kept_citations};
use crate::corpus::{MANUAL, QUESTION, manual};
use crate::world::World;

/// What follows a citation's statement, and its footnote.
fn footnote(citation: &Value) -> String {
    let page = citation["page"].as_u64().map_or(String::new(), |page| format!(", page {page}"));
    let headings: Vec<&str> =
        citation["headings"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let headings = if headings.is_empty() { String::new() } else { format!(", {}", headings.join(" > ")) };
    let quote = citation["quote"].as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{}{page}{headings}: “{quote}”", citation["name"].as_str().unwrap())
}

/// Markdown is `bare` with a mark behind each statement, and then the footnotes, numbered from 1.
fn is_noted(markdown: &str, bare: &str, turns: &[&Value]) {
    let mut notes = String::new();
    let mut text = markdown.split("\n[^1]: ").next().unwrap().to_owned();
    let mut number = 0;
    for turn in turns {
        let answer: Vec<char> = turn["answer"].as_str().unwrap().chars().collect();
        for citation in turn["citations"].as_array().unwrap() {
            number += 1;
            let place = |end: &str| citation["answer_span"][end].as_u64().unwrap() as usize;
            let statement: String = answer[place("start")..place("end")].iter().collect();
            let marked = format!("{statement}[^{number}]");
            assert!(text.contains(&marked), "no `{marked}` in {markdown}");
            notes.push_str(&format!("[^{number}]: {}\n", footnote(citation)));
            text = text.replacen(&format!("[^{number}]"), "", 1);
        }
    }
    assert!(number > 0, "nothing is cited: {markdown}");
    assert_eq!(text.trim_end(), bare.trim_end(), "{markdown}");
    assert!(markdown.ends_with(&format!("\n\n{notes}")), "{markdown}\nshould end with\n{notes}");
}

pub fn copies_exports_and_opens(world: &World) {
    let browser = &world.browser;
    browser.open("/");
    ask(browser, QUESTION);
    ask(browser, "How often is the tightness of the cable glands checked?");
    let cited = kept_citations(world);
    let id = browser.path().strip_prefix("/c/").unwrap().to_owned();
    let (_, kept) = world.server.send("GET", &format!("/v1/conversations/{id}"), None, None);
    let turns: Vec<&Value> =
        kept["history"].as_array().unwrap().iter().map(|turn| &turn["summary"]).collect();
    let answers: Vec<&str> = turns.iter().map(|turn| turn["answer"].as_str().unwrap()).collect();

    // The clipboard holds the answer with its sources.
    let both = ["clipboardReadWrite", "clipboardSanitizedWrite"];
    browser.cdp("Browser.grantPermissions", json!({ "permissions": both }));
    browser.js("return navigator.clipboard.writeText('something else')");
    browser.click(".turn:last-child button", "Copy");
    browser.see(".toast", "Copied");
    let copied = browser.js("return navigator.clipboard.readText()");
    is_noted(copied.as_str().unwrap(), answers[1], &turns[1..]);

    // The file holds the whole conversation.
    let folder = TempDir::new().unwrap();
    let place = json!({"behavior": "allow", "downloadPath": folder.path()});
    browser.cdp("Browser.setDownloadBehavior", place);
    browser.click(".conversation:first-child button", "What to do with");
    browser.click("[role=menuitem]", "Export as Markdown");
    let file = folder.path().join(format!("conversation-{id}.md"));
    browser.wait("the exported file", |_| file.is_file());
    let left: BTreeSet<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, BTreeSet::from([file.clone()]));
    let asked: Vec<&str> =
        kept["history"].as_array().unwrap().iter().map(|turn| turn["question"].as_str().unwrap()).collect();
    let bare = format!(
        "# {}\n\n## {}\n\n{}\n\n## {}\n\n{}\n",
        kept["title"].as_str().unwrap(),
        asked[0],
        answers[0],
        asked[1],
        answers[1]
    );
    is_noted(&std::fs::read_to_string(&file).unwrap(), &bare, &turns);

    // The original of what a PDF says is one click away, at its page.
    assert!(cited[0]["name"] == MANUAL && cited[0]["page"].as_u64() > Some(1), "{cited:?}");
    browser.click(".turn:last-child .answer-text button.cite", "1");
    browser.see(".source mark", "cable glands");
    let href = browser.js("return document.querySelector('.source-tools a').getAttribute('href')");
    let expected = format!(
        "/v1/documents/{}/content?version=1#page={}",
        cited[0]["document"].as_str().unwrap(),
        cited[0]["page"]
    );
    assert_eq!(href, json!(expected));
    let script = "return fetch(arguments[0]).then(async (answer) => {
        const bytes = new Uint8Array(await answer.arrayBuffer());
        return [answer.headers.get('content-type'), bytes.length, String.fromCharCode(...bytes.slice(0, 5))];
      })";
    let size = std::fs::metadata(manual()).unwrap().len();
    assert_eq!(browser.js_with(script, vec![href]), json!(["application/pdf", size, "%PDF-"]));
    browser.click(".source-tools a", "Open the original");
    let shown = browser.in_new_window(|browser| {
        browser.wait("the address of the original", |browser| browser.path() == expected);
        browser.until("document.contentType")
    });
    assert_eq!(shown, "application/pdf");
    browser.click(".source button", "Close the source");
}
