//! The page of documents.

use std::path::PathBuf;

use serde_json::json;

use crate::ask;
use crate::browser::Browser;
use crate::world::World;

/// Writes a file beside the documents, to be uploaded.
fn file(world: &World, name: &str, content: &str) -> PathBuf {
    let folder = world.house.docs().join("../uploads");
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
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
}

/// Files and folders that are dropped on the page are asked for; what nobody can read is told, or passed over.
pub fn drops_a_folder(world: &World) {
    let browser = &world.browser;
    browser.open("/documents");
    browser.see(".doc-row", "");
    browser.drop_files(".doc-list", &[file(world, "weights.bin", "01")], |browser| {
        browser.see(".drop-veil", "Drop to upload");
    });
    browser.gone(".drop-veil", "");
    browser.see(".toast", "None of these files");

    // Of a folder with more entries than the browser tells at once, each file is seen.
    for n in 0..250 {
        file(world, &format!("archive/note-{n}.md"), "# Note\n");
    }
    browser.drop_files(
        ".doc-list",
        &[file(world, "archive/note-0.md", "# Note\n").with_file_name("")],
        |_| {},
    );
    browser.see("dialog", "250 files");
    browser.see("dialog", "archive/note-0.md");
    browser.click("dialog button", "Cancel");
    browser.gone("dialog", "");
    assert!(!browser.sees(".up-panel", ""));

    let names = ["handbook/bicycles.md", "handbook/house/keys.md", "handbook/house/roof/garden.md"];
    for (name, what) in names.iter().zip(["Bicycles", "Door keys", "The roof garden"]) {
        file(world, name, &format!("# {what}\n\n{what} are looked after by the porter of house 12.\n"));
    }
    file(world, "handbook/.DS_Store", "01");
    let unread = file(world, "handbook/house/weights.bin", "01");
    let beside = file(world, "porter.txt", "The porter of house 12 is called Amsel.\n");
    let folder = unread.parent().unwrap().parent().unwrap().to_owned();
    browser.js("window.seen = new Set();
         new MutationObserver(() => {
           for (const row of document.querySelectorAll('.up-row')) {
             window.seen.add(`${row.querySelector('.ellipsis').textContent} ${row.classList[1]}`);
           }
         }).observe(document.querySelector('#documents'), {subtree: true, childList: true});");
    browser.drop_files(".doc-list", &[folder, beside], |_| {});
    browser.see("dialog", "4 files");
    browser.see("dialog", "1 file has a format that Lore does not read: handbook/house/weights.bin");
    for name in names {
        browser.see("dialog li", name);
    }
    browser.click("dialog button[type=submit]", "");
    for name in names.iter().chain(&["porter.txt"]) {
        browser.see(".up-row.done", name);
    }
    browser.see(".up-words", "4 done");
    browser.see(".up-words", "1 failed");
    let seen = browser.js("return [...window.seen]");
    let seen: Vec<&str> = seen.as_array().unwrap().iter().filter_map(serde_json::Value::as_str).collect();
    for name in names {
        let passed = |state: &str| seen.contains(&format!("{name} {state}").as_str());
        let under_way = ["sending", "queued", "running"].into_iter().any(passed);
        assert!(under_way && passed("done"), "{name}: {seen:?}");
    }
    assert!(!seen.iter().any(|row| row.contains("DS_Store")), "{seen:?}");
    for title in ["Bicycles", "Door keys", "The roof garden"] {
        browser.see(".doc-row", title);
    }
    let (_, found) = world.server.send("GET", "/v1/documents?q=handbook", None, None);
    let mut known: Vec<&str> =
        found["documents"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    known.sort_unstable();
    assert_eq!(known, names);
}

/// Uploads over a slow line: their progress is seen, one is cancelled, then all.
pub fn cancels(world: &World) {
    let browser = &world.browser;
    let line = |bytes: i32| {
        let line =
            json!({"offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes});
        browser.cdp("Network.emulateNetworkConditions", line);
    };
    browser.open("/documents");
    browser.see(".doc-row", "");
    browser.cdp("Network.enable", json!({}));
    line(100_000);
    let text = "A line of a text that takes its time.\n".repeat(60_000);
    let files: Vec<PathBuf> = (0..5).map(|n| file(world, &format!("slow-{n}.txt"), &text)).collect();
    browser.drop_files(".doc-list", &files, |_| {});
    browser.click("dialog button[type=submit]", "");
    browser.counts(".up-row.sending", 3);
    browser.counts(".up-row.waiting", 2);
    browser.see(".up-words", "5 files to send");
    let sent = "document.querySelector('.up-head progress').value";
    let first = browser.until(sent).as_f64().unwrap();
    browser.wait("progress", |browser| {
        browser.js(&format!("return {sent}")).as_f64().is_some_and(|now| now > first && now < 1.0)
    });
    browser.see(".up-row.sending .badge", " / ");

    // Another takes the place of one that is cancelled.
    browser.click(".up-row button", "Cancel slow-0.txt");
    browser.see(".up-row.cancelled", "slow-0.txt");
    browser.see(".up-row.sending", "slow-3.txt");
    browser.see(".up-row.waiting", "slow-4.txt");
    browser.click(".up-panel button", "Cancel all");
    browser.until("!document.querySelector('.up-row:not(.cancelled)')");
    browser.see(".up-words", "cancelled");
    line(-1);
    browser.click(".up-panel button", "Close");
    browser.gone(".up-panel", "");
    let (_, found) = world.server.send("GET", "/v1/documents?q=slow", None, None);
    assert_eq!(found["total"], 0, "what was cancelled is kept: {found}");
    // And the line is free for what is uploaded next.
    upload(browser, &file(world, "after.md", "# After\n\nAll is quiet.\n"), "done");
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
    browser.see(".toast", "still cannot be read");
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
    // What is changed from the list reaches the document that is open.
    browser.see(".tab-panel .doc-tag", "site=north");
    entry(browser, "Parking", "Edit groups");
    browser.click("dialog button", "Add a tag");
    browser.type_into(".tag-row:last-child .tag-key", "floor");
    browser.type_into(".tag-row:last-child .tag-value", "two");
    browser.click("dialog button", "Save");
    browser.see(".tab-panel .doc-tag", "floor=two");
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
