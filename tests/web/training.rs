//! The page of trainings: from a configuration to a release that answers, and back.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::ask;
use crate::corpus::QUESTION;
use crate::world::World;

/// Longest that a training and what belongs to it may take: its processes give way to all others.
const LEARNING: Duration = Duration::from_secs(300);

const CONFIG: &str = "# what the test learns\nmodel_name_or_path: lore-nano\nstage: sft\nfinetuning_type: lora\nlora_rank: 4\n\
    lora_target: all\ndataset: docs/questions/train.jsonl\ndataset_format: questions\nrag_documents: docs\n\
    rag_no_answer_share: 0.5\nrag_variants: 2\ncutoff_len: 1024\nbatch_tokens: 1024\nmax_steps: 4\nlearning_rate: 1.0e-3\n\
    logging_steps: 1\n";

pub fn to_release_and_back(world: &World) {
    let browser = &world.browser;
    browser.open("/training");
    browser.see(".notice", "No trainer is running");
    browser.see(".empty", "No trainings yet");
    browser.click(".empty button", "New training");
    browser.see(".yaml-text", "");

    // The YAML and the form say the same, whichever is changed.
    browser.fill(".yaml-text", CONFIG);
    browser.see(".problems", "The configuration is valid");
    browser.see(".dataset", "docs/questions/train.jsonl");
    browser.counts(".dataset input:checked", 1);
    let field = |key: &str| {
        let script = "const [key] = arguments;
            const code = [...document.querySelectorAll('.compose-form label code')].find((code) => code.textContent === key);
            return code?.closest('label').htmlFor ?? null";
        browser.js_with(script, vec![json!(key)]).as_str().map(|id| format!("#{id}"))
    };
    let rank = field("lora_rank").expect("lora_rank has a field");
    browser.fill(&rank, "8");
    browser.until("document.querySelector('.yaml-text').value.includes('lora_rank: 8')");
    browser.until("document.querySelector('.yaml-text').value.includes('# what the test learns')");
    browser.fill(".yaml-text", &CONFIG.replace("lora_rank: 4", "lora_rank: many"));
    browser.see(".problem", "lora_rank");
    browser.fill(".yaml-text", CONFIG);
    browser.see(".problems", "The configuration is valid");
    browser.see(".memory-sum", "of memory at most");
    browser.click("button", "Read the examples");
    browser.see_within(LEARNING, ".memory-sum", "on these examples");
    browser.click("button", "Preview examples");
    browser.see_within(LEARNING, "dialog", "vacation");
    browser.click("dialog button", "Close");

    browser.fill(".compose-side .field input[type=text]", "first-try");
    browser.click(".start-bar button", "Start");
    browser.see(".run-head .badge", "waiting");
    browser.see(".notice", "no trainer is running");
    let since = Instant::now();
    let trainer = world.house.run_on(&["trainer", "--log", "error"]);
    browser.see_within(LEARNING, ".run-head .badge.good", "done");
    eprintln!("         from start to release: {:.1} s", since.elapsed().as_secs_f64());
    browser.until("[...document.querySelectorAll('.run svg')].length >= 3");
    browser.until("document.querySelector('.run-progress').textContent.includes('4 / 4')");

    // A long one is paused, goes on, is stopped, and is forgotten.
    let first = browser.path();
    browser.click("button", "Use as a new training");
    browser.see(".problems", "The configuration is valid");
    browser.until("document.querySelector('.yaml-text').value.includes('# what the test learns')");
    browser.fill(".yaml-text", &CONFIG.replace("max_steps: 4", "max_steps: 1000000"));
    browser.see(".problems", "The configuration is valid");
    browser.fill(".compose-side .field input[type=text]", "long");
    browser.click("label", "Make a release at the end");
    browser.click(".start-bar button", "Start");
    browser.see_within(LEARNING, ".run-head .badge", "running");
    // The server answers meanwhile.
    let asked = Instant::now();
    world.server.ask(None, QUESTION);
    eprintln!("         an answer while it trains: {} ms", asked.elapsed().as_millis());
    browser.see_within(LEARNING, ".run-progress progress:not([value='0'])", "");
    browser.click(".run-head button", "Pause");
    browser.see_within(LEARNING, ".run-head .badge", "paused");
    browser.click(".run-head button", "Resume");
    browser.see_within(LEARNING, ".run-head .badge", "running");
    browser.click(".run-head button", "Stop");
    browser.click("dialog button.danger", "Stop");
    browser.see_within(LEARNING, ".run-head .badge", "stopped");
    browser.click(".run-head button", "Delete");
    browser.click("dialog button.danger", "Delete");
    browser.see(".runs .table", "first-try");
    assert!(!browser.sees(".runs .table", "long"));
    drop(trainer);

    browser.open(&first);
    browser.click("a", "see its evaluation");
    browser.see(".release-detail h2", "first-try@");
    browser.see(".release-detail", "Verdict");
    browser.see(".release-detail .questions tr", QUESTION);
    browser.see(".release-detail", "Answer F1");
    browser.see(".release-detail", "Lineage");
    if browser.sees(".release-detail button", "Promote by force") {
        browser.click(".release-detail button", "Promote by force");
        browser.see("dialog", "without proof");
        browser.type_into("dialog input", "a test of the page");
        browser.click("dialog button.primary", "Promote by force");
    } else {
        browser.click(".release-detail button", "Promote");
        browser.click("dialog button.primary", "Promote");
    }
    browser.see(".toast", "writes now");
    browser.see(".release-item .badge.good", "live");

    browser.open("/");
    browser.see(".state-words", "first-try");
    ask::ask(browser, QUESTION);
    browser.see(".turn:last-child .answer-meta", "first-try@");
    browser.see(".turn:last-child .answer-text button.cite", "1");

    browser.open("/training?tab=releases");
    browser.click(".toolbar button", "Roll back");
    browser.see("dialog", "Go back from first-try");
    browser.click("dialog button.danger", "Roll back");
    browser.see(".release-item .badge", "retired");
    browser.see(".toast", "writes now");
    browser.open("/");
    ask::ask(browser, QUESTION);
    browser.see(".turn:last-child .answer-meta", "lore-nano@");
}
