//! Documents of the tests.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::house::House;

pub const LEAVE: &str = "# Leave\n\n## Vacation\n\nA new employee in Munich gets 30 days of vacation a year.\n\n\
    A new employee in Shanghai gets 15 days of vacation a year.\n\n## Parental leave\n\n\
    Parental leave is paid for 14 weeks.\n";
pub const QUESTION: &str = "How many days of vacation does a new employee in Munich get?";
pub const QUOTE: &str = "A new employee in Munich gets 30 days of vacation a year.";
const CANTEEN: &str =
    "# Canteen\n\nThe canteen opens at noon and closes at 14:30.\n\nA lunch costs 6.50 euros.\n";
const CHINESE: &str = "# 差旅报销\n\n出差结束后十四天内提交报销单。\n\n国内航班只报销经济舱。\n";

/// A script that tells that it ran.
const MARK: &str = "window.hacked = 1";

/// A PDF of several pages.
pub const MANUAL: &str = "fjord-g4-manual.pdf";

/// Where it is.
pub fn manual() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs-corpus/documents/products").join(MANUAL)
}

/// A small company: Markdown, Chinese, a PDF with pages, and a text of many pages.
pub fn company(house: &House) {
    house.write("leave.md", LEAVE);
    house.write("lunch.md", CANTEEN);
    house.write("zh/差旅报销.md", CHINESE);
    let filler = |n: usize| {
        format!(
            "## Section {n}\n\nMachine {n} of the northern hall is serviced every {} weeks by its own crew.\n\n",
            n + 3
        )
    };
    let long: String = (0..400).map(filler).collect();
    house.write("machines.md", &format!("# Machines\n\n{long}"));
    std::fs::copy(manual(), house.docs().join(MANUAL)).unwrap();
}

/// What the hostile document answers.
pub const SECRET_QUESTION: &str = "What is the code word of the harbour warehouse?";

/// Documents that would run scripts, lead elsewhere, and break the layout.
pub fn hostile(house: &House) {
    let cells = |n: usize| (0..300).map(|at| format!(" c{n}-{at} |")).collect::<String>();
    let rule = "---|".repeat(300);
    let word = "W".repeat(4000);
    let text = format!(
        "# <img src=x onerror=\"{MARK}\"> Harbour\n\n\
         The code word of the harbour warehouse is <script>{MARK}</script> blue heron <img src=x onerror=\"{MARK}\">.\n\n\
         <svg onload=\"{MARK}\"></svg> <iframe srcdoc=\"<script>parent.{MARK}</script>\"></iframe>\n\n\
         [the code word of the warehouse](javascript:{MARK}) and <a href=\"javascript:{MARK}\" onclick=\"{MARK}\">a link</a>\n\n\
         <style>body {{ display: none }}</style><base href=\"https://elsewhere.invalid/\">\n\n\
         ![](https://elsewhere.invalid/pixel.png) <form action=\"https://elsewhere.invalid/\"><input name=a></form>\n\n\
         {word}\n\n|{}\n|{rule}\n|{}\n|{}\n",
        cells(0),
        cells(1),
        cells(2)
    );
    house.write("<b onclick=alert(1)>harbour<b>.md", &text);
    let page = format!(
        "<!doctype html><title><script>{MARK}</script>Crane</title><body onload=\"{MARK}\"><h1>Crane \
         &lt;img src=x onerror={MARK}&gt;</h1><p onclick=\"{MARK}\">The crane of the quay lifts 40 tons.</p><script>{MARK}\
         </script><a href=\"javascript:{MARK}\">crane</a><math><mtext><img src=x onerror=\"{MARK}\"></mtext></math></body>"
    );
    house.write("crane.html", &page);
}

/// Questions to learn from and to be judged by, beside their documents.
pub fn school(house: &House) {
    house.write("documents/leave.md", LEAVE);
    house.write("documents/lunch.md", CANTEEN);
    let line = |id: &str, question: &str, answer: Option<(&str, &str, &str)>| {
        let sources: Vec<Value> = answer
            .iter()
            .map(|(_, name, quote)| json!({"document": format!("documents/{name}"), "quote": quote}))
            .collect();
        json!({"id": id, "question": question, "answer": answer.map_or("", |(answer, _, _)| answer), "sources": sources,
            "answerable": answer.is_some(), "kind": "lookup", "lang": "en"})
        .to_string()
    };
    let shanghai = "A new employee in Shanghai gets 15 days of vacation a year.";
    let train = [
        line("t1", "How long is the vacation in Munich?", Some(("30 days", "leave.md", QUOTE))),
        line("t2", "Vacation days in Shanghai?", Some(("15 days", "leave.md", shanghai))),
        line("t3", "What does a lunch cost?", Some(("6.50 euros", "lunch.md", "A lunch costs 6.50 euros."))),
        line("t4", "Who is the head of the canteen?", None),
    ];
    let test = [
        line("q1", QUESTION, Some(("30 days", "leave.md", QUOTE))),
        line(
            "q2",
            "How many days of vacation does a new employee in Shanghai get?",
            Some(("15 days", "leave.md", shanghai)),
        ),
        line(
            "q3",
            "When does the canteen close?",
            Some(("14:30", "lunch.md", "The canteen opens at noon and closes at 14:30.")),
        ),
        line("q4", "What does a coffee cost?", None),
    ];
    house.write("questions/train.jsonl", &train.join("\n"));
    house.write("questions/test.jsonl", &test.join("\n"));
    house.write(".lore.yaml", "ignore: [\"questions/**\"]\n");
}
