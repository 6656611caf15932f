//! The page of documents.

use std::path::PathBuf;

use serde_json::json;

use crate::ask;
use crate::browser::Browser;
use crate::world::World;

/// Writes a file beside the documents, to be uploaded.
fn file(world: &World, name: &str, content: &str) -> PathBuf {
    let folder = world.house.docs().join("../uploads");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// Uploads a file through the dialog and waits until it is `state`.
fn upload(browser: &Browser, file: &std::path::Path, state: &str) {
    browser.choose_file("#pick-files", file);
    browser.see("dialog", file.file_name().unwrap().to_str().unwrap());
    browser.click("dialog button[type=submit]", "");
    let name = file.file_name().unwrap().to_str().unwrap();
    browser.see(&format!(".up-row.{state}"), name);
}

/// Chooses an entry of a row's menu.
fn entry(browser: &Browser, name: &str, entry: &str) {
    browser.click(".doc-row button", &format!("Actions for {name}"));
    browser.click("[role=menuitem]", entry);
}

fn search(browser: &Browser, words: &str) {
    browser.fill(".doc-search", words);
    browser.until("!document.querySelector('.doc-skeleton')");
}

pub fn uploads_and_asks(world: &World) {
    let browser = &world.browser;
    let text = "# Parking\n\nEmployees park in the garage of house 7; a place costs 40 euros a month.\n";
    let path = file(world, "parking.md", text);
    browser.open("/documents");
    browser.see(".doc-row", "Leave");
    let before = browser.text(".doc-sum");
    upload(browser, &path, "done");
    browser.see(".doc-row", "Parking");
    browser.wait("another count", |browser| browser.text(".doc-sum") != before);
    browser.click(".doc-link", "Parking");
    browser.see(".doc-open .chunk-border", "Chunk 1");
    browser.see(".doc-open .chunk-text", "garage of house 7");
    assert!(browser.path().starts_with("/documents/"), "{}", browser.path());

    browser.open("/");
    let answer = ask::ask(browser, "What does a parking place cost a month?");
    assert!(answer.contains("40 euros"), "{answer}");
    browser.click(".turn:last-child .source-chip", "Parking");
    browser.see(".source mark", "40 euros a month");
    browser.click(".source button", "Close the source");

    // Files that are dropped on the page are asked for as well; what nobody can read is told.
    browser.open("/documents");
    browser.see(".doc-row", "");
    let drop = "const [name, text] = arguments;
        const given = new DataTransfer();
        given.items.add(new File([text], name));
        const target = document.querySelector('.doc-list');
        for (const kind of ['dragenter', 'dragover', 'drop']) {
          target.dispatchEvent(new DragEvent(kind, {dataTransfer: given, bubbles: true, cancelable: true}));
        }";
    browser.js_with(drop, vec![json!("weights.bin"), json!("01")]);
    browser.see(".toast", "None of these files");
    browser.js_with(drop, vec![json!("bicycles.md"), json!("# Bicycles\n\nBicycles stand in the yard.\n")]);
    browser.see("dialog", "bicycles.md");
    browser.click("dialog button[type=submit]", "");
    browser.see(".up-row.done", "bicycles.md");
    browser.see(".doc-row", "Bicycles");
}

pub fn fails_and_tries_again(world: &World) {
    let browser = &world.browser;
    browser.open("/documents");
    browser.see(".doc-row", "");
    let path = file(world, "broken.pdf", "%PDF-1.7\nthis is none\n");
    upload(browser, &path, "failed");
    assert!(!browser.text(".up-row.failed .up-why").is_empty());
    browser.fill(".doc-filter select", "failed");
    browser.counts(".doc-row", 1);
    browser.click(".doc-link", "broken");
    browser.see(".doc-open .notice.bad", "could not be read");
    browser.click(".doc-open .notice.bad button", "Try again");
    browser.see(".toast", "is read once more");
    // It is as broken as before.
    browser.see(".doc-open .notice.bad", "could not be read");
    browser.click(".doc-sum button", "Try all again");
    browser.see(".toast", "All are read once more");
    browser.click(".doc-bar button", "Back to the list");
    entry(browser, "broken", "Delete");
    browser.see(".empty", "Nothing matches");
}

pub fn versions_and_tags(world: &World) {
    let browser = &world.browser;
    let path = file(
        world,
        "parking.md",
        "# Parking\n\nEmployees park in the garage of house 9; a place costs 55 euros a month.\n",
    );
    browser.open("/documents");
    browser.see(".doc-row", "Parking");
    upload(browser, &path, "done");
    search(browser, "parking");
    browser.counts(".doc-row", 1);
    browser.click(".doc-link", "Parking");
    browser.click("[role=tab]", "Versions (2)");
    browser.click(".kept-version button", "What changed since 1");
    browser.see(".hunk ins", "9");
    browser.see(".hunk del", "7");
    // The address says what is open.
    browser.reload();
    browser.see("[role=tab][aria-selected=true]", "Versions (2)");

    browser.click("[role=tab]", "Details");
    browser.click(".tab-panel button", "Edit groups");
    browser.click("dialog button", "Add a tag");
    browser.type_into(".tag-key", "site");
    browser.type_into(".tag-value", "north");
    browser.click("dialog button", "Save");
    browser.see(".toast", "Saved");
    browser.click(".tab-panel .doc-tag", "site=north");
    browser.until("document.querySelector('.doc-sum').textContent.startsWith('1 document found')");
    browser.click(".doc-filters button", "Clear filters");
    browser.see(".doc-row", "Leave");
}

pub fn deletes_and_undoes(world: &World) {
    let browser = &world.browser;
    let known = |world: &World| {
        let (_, found) = world.server.send("GET", "/v1/documents?q=canteen", None, None);
        found["total"].as_u64().unwrap()
    };
    browser.open("/documents");
    browser.see(".doc-row", "Canteen");
    entry(browser, "Canteen", "Delete");
    browser.see(".toast", "is deleted");
    browser.gone(".doc-row", "Canteen");
    assert_eq!(known(world), 0);
    let cites = |world: &World| {
        let answer = world.server.ask(None, "When does the canteen open?");
        answer["citations"].as_array().unwrap().iter().any(|citation| citation["name"] == "lunch.md")
    };
    assert!(!cites(world), "a deleted document answers");
    browser.click(".toast button", "Undo");
    browser.see(".doc-row", "Canteen");
    browser.see(".toast", "is back");
    assert_eq!(known(world), 1);
    assert!(cites(world), "a document that is back does not answer");
}
