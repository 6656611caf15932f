#![allow(clippy::unwrap_used, reason = "tests")]

use lore_core::{DocumentId, NearDocument, Span, Verdict};

use super::*;

#[test]
fn lines_break_between_words_and_chinese_characters() {
    assert_eq!(wrapped("one two three four", Some(9), 0), "one two\nthree\nfour");
    assert_eq!(wrapped("one two three", Some(9), 2), "  one two\n  three");
    assert_eq!(wrapped("年假为十五天。", Some(8), 0), "年假为十\n五天。");
    assert_eq!(wrapped("one\ntwo", None, 0), "one\ntwo");
    assert_eq!(wrapped("extraordinarily", Some(5), 0), "extraordinarily");
}

#[test]
fn pieces_wrap_like_the_whole() {
    let text = "New employees in Munich get 30 days of vacation; 上海的新员工有十五天年假。";
    for width in [10, 17, 40] {
        let mut wrapper = Wrapper::new(width, 0);
        let mut out = String::new();
        for c in text.chars() {
            out.push_str(&wrapper.push(&c.to_string()));
        }
        out.push_str(&wrapper.finish());
        assert_eq!(out, wrapped(text, Some(width), 0));
    }
}

fn citation(marker: u32, quote: &str, page: Option<u32>, headings: &[&str]) -> Citation {
    Citation {
        marker,
        answer_span: Span::new(0, 1),
        document: DocumentId::from_source("file:///handbook"),
        name: "people/handbook.pdf".into(),
        title: "Handbook".into(),
        version: 1,
        source_span: Span::new(0, 1),
        page,
        headings: headings.iter().map(|h| (*h).to_owned()).collect(),
        quote: quote.into(),
        score: 1.0,
        verdict: Verdict::Supported,
    }
}

fn summary() -> AnswerSummary {
    AnswerSummary { answered: true, confidence: 0.9, model: "extractive".into(), ..AnswerSummary::default() }
}

#[test]
fn citations_say_where_and_what() {
    let citations = vec![
        citation(2, "The second.", None, &[]),
        citation(1, "Thirty days.", Some(4), &["Time off", "Vacation"]),
        citation(1, "For all.", Some(4), &["Time off", "Vacation"]),
    ];
    let summary = AnswerSummary { citations, ..summary() };
    assert_eq!(
        sources(&summary, None),
        "\n[1] people/handbook.pdf, page 4, Time off > Vacation\n    \"Thirty days.\"\n    \"For all.\"\n\
         \n[2] people/handbook.pdf\n    \"The second.\"\n"
    );
}

#[test]
fn what_came_near_is_named() {
    let near = NearDocument {
        document: DocumentId::from_source("x"),
        name: "people/handbook.pdf".into(),
        title: "Handbook".into(),
    };
    let summary = AnswerSummary { answered: false, nearest: vec![near], ..summary() };
    assert_eq!(sources(&summary, None), "\n- people/handbook.pdf\n");
}

#[test]
fn statements_without_support_are_listed_unless_that_is_the_whole_answer() {
    let answer = "Thirty days. Paid twice.".to_owned();
    let partly = AnswerSummary { answer: answer.clone(), unsupported: vec![Span::new(13, 24)], ..summary() };
    assert_eq!(doubts(&partly, None), "\nThe documents do not support:\n  Paid twice.\n");
    let whole = AnswerSummary { answered: false, unsupported: vec![Span::new(0, 24)], ..partly.clone() };
    assert_eq!(doubts(&whole, None), "");
    // After a refusal there is no word of what follows it.
    let refused = AnswerSummary { answered: false, ..partly };
    assert!(doubts(&refused, None).contains("Paid twice."), "{refused:?}");
}

#[tokio::test]
async fn of_a_server_that_is_not_there_the_cause_is_said_and_not_the_layers() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = crate::client::Client::at(&format!("http://{free}/"), None).unwrap();
    let said = chain(&client.text("/readyz").await.unwrap_err());
    assert!(said.starts_with(&format!("no answer from the server at http://{free}: ")), "{said}");
    assert!(said.to_lowercase().contains("refused") && !said.contains("readyz"), "{said}");
}

#[test]
fn causes_are_said_once() {
    let inner = std::io::Error::other("disk gone");
    let error = anyhow::Error::new(inner).context("cannot write x: disk gone").context("ingest stopped");
    assert_eq!(chain(&error), "ingest stopped: cannot write x: disk gone");
}
