//! The web pages in a real browser: Chromium, driven by its chromedriver.
//!
//! Both come with Debian's packages chromium and chromium-driver. Where one is missing, each test says that it is skipped,
//! unless `LORE_TEST_BROWSER=required` is set. `LORE_TEST_AXE` names axe-core's `axe.min.js`, for the accessibility rules
//! (WCAG 2.2, A and AA); without it they are skipped. What is measured and not asserted is printed; so are the figures of
//! long lists and long answers: `cargo test -p lore-cli --test web -- --ignored --nocapture --test-threads 1`.
#![allow(clippy::unwrap_used, clippy::result_large_err, reason = "tests")]

mod accessible;
mod ask;
mod browser;
mod corpus;
mod documents;
mod driver;
mod figures;
mod frame;
mod hostile;
#[path = "../e2e/house.rs"]
#[allow(dead_code, reason = "a part of what other tests use")]
mod house;
mod keys;
mod search;
mod stubs;
mod taken;
#[path = "../e2e/tiny.rs"]
#[allow(dead_code, reason = "a part of what other tests use")]
mod tiny;
mod training;
mod world;
mod written;
mod yaml;

use world::World;

/// The pages of a server that everybody on this machine may use.
#[test]
fn people_ask_read_and_keep_documents() {
    let Some(world) =
        World::new("people_ask_read_and_keep_documents", "open", "generator: none\n", corpus::company)
    else {
        return;
    };
    world.go("a question, its answer and its source", ask::streams_cites_and_opens);
    world.go("a follow-up, feedback, again", ask::goes_on_and_judges);
    world.go("conversations", ask::conversations);
    world.go("the clipboard, an export, an original", taken::copies_exports_and_opens);
    world.go("nothing found, filters", ask::finds_nothing_and_filters);
    world.go("stop, doubts", ask::stops_and_doubts);
    world.go("an answer goes on elsewhere", ask::goes_on_elsewhere);
    world.go("by keyboard alone", ask::by_keyboard);
    world.go("an upload answers", documents::uploads_and_asks);
    world.go("a folder is dropped", documents::drops_a_folder);
    world.go("uploads are cancelled", documents::cancels);
    world.go("a failed file", documents::fails_and_tries_again);
    world.go("versions, tags", documents::versions_and_tags);
    world.go("delete and undo", documents::deletes_and_undoes);
    world.go("two searches side by side", search::side_by_side);
    world.go("a quiet console", World::quiet);
    world.end();
}

/// What holds for each page: languages, themes, sizes, hosts, accessibility; and documents that attack.
#[test]
fn every_page_is_whole_and_nothing_foreign_runs() {
    let Some(world) =
        World::new("every_page_is_whole_and_nothing_foreign_runs", "frame", "generator: none\n", |house| {
            corpus::company(house);
            corpus::hostile(house);
        })
    else {
        return;
    };
    world.go("first load", frame::first_load);
    world.go("languages", frame::languages);
    world.go("themes", frame::themes);
    world.go("widths", frame::widths);
    world.go("hostile documents", hostile::documents);
    world.go("a hostile model", hostile::model);
    world.go("a quiet console", World::quiet);
    world.go("accessibility", accessible::pages);
    world.end();
}

/// A server that asks for keys, with a language model that writes.
#[test]
fn keys_let_people_in_and_out() {
    let settings = "generator: {model: ./tiny-llama, kv_bytes: 67108864}\nanswer: {generate: {max_tokens: 7000}}\n\
        http: {require_keys: true}\n";
    let fill = |house: &house::House| {
        corpus::company(house);
        tiny::llama(&house.docs().join(".."));
    };
    let Some(world) = World::new("keys_let_people_in_and_out", "keys", settings, fill) else { return };
    world.go("keys", keys::made_used_revoked);
    world.go("a writing model", written::writes_until_it_is_stopped);
    world.go("settings", keys::settings);
    world.go("accessibility", accessible::sign_in);
    world.end();
}

/// From a configuration to a release that answers, and back.
#[test]
fn a_training_becomes_a_release_and_goes_back() {
    let settings = "generator: {model: lore-nano, kv_bytes: 67108864}\ngate: {min_questions: 2}\n";
    let name = "a_training_becomes_a_release_and_goes_back";
    let Some(world) = World::new(name, "training", settings, corpus::school) else { return };
    world.go("a pointing model", written::points);
    world.go("the YAML and its form", yaml::reads_and_writes);
    world.go("training", training::to_release_and_back);
    world.go("accessibility", accessible::training);
    world.end();
}
