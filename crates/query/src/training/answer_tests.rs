use lore_core::{Block, BlockKind, DocumentId, Parsed, Span};

use super::*;
use crate::eval::GoldSource;

fn gold(text: &str, quote: &str, kind: BlockKind) -> Gold {
    let start = text.find(quote).map(|at| text[..at].chars().count()).unwrap_or_default();
    let whole = Span::new(0, text.chars().count());
    Gold {
        document: DocumentId::from_source("test"),
        version: 1,
        quote: quote.into(),
        places: vec![Span::new(start, start + quote.chars().count())],
        parsed: Parsed { text: text.into(), blocks: vec![Block { kind, span: whole }], ..Parsed::default() }
            .into(),
        chunks: Vec::new(),
    }
}

fn asked(question: &str, answer: &str) -> EvalQuestion {
    EvalQuestion {
        id: "q".into(),
        lang: String::new(),
        question: question.into(),
        history: Vec::new(),
        groups: Default::default(),
        answers: vec![answer.split("; ").map(str::to_owned).collect()],
        sources: vec![GoldSource { document: "d".into(), quote: String::new() }],
        answerable: true,
        kind: "lookup".into(),
    }
}

const VACATION: &str = "A new employee in Austin receives 18 days [1] of vacation.";
const STOCK: &str = "| Part | Name | EUR | Munich | Suzhou |\n|---|---|---|---|---|\n\
    | SP-1007 | LoRa antenna 868 MHz | 28.00 | 175 | 0 |\n";

#[test]
fn sentences_are_quoted_with_their_marker_before_the_full_stop() {
    let golds = [gold(VACATION, VACATION, BlockKind::Paragraph)];
    let question = asked("How many days in Austin?", "18 days");
    let worded = |form| worded(form, &question, &golds, &[3]);
    assert_eq!(worded(AnswerForm::Quote), "A new employee in Austin receives 18 days (1) of vacation [3].");
    assert_eq!(worded(AnswerForm::Short), "18 days [3].");
    assert_eq!(
        worded(AnswerForm::ShortThenQuote),
        "18 days: A new employee in Austin receives 18 days (1) of vacation [3]."
    );
}

#[test]
fn what_is_already_short_is_not_said_twice_and_chinese_has_its_own_marks() {
    let golds = [gold("年假 12 天。", "年假 12 天。", BlockKind::Paragraph)];
    let worded =
        |answer: &str| worded(AnswerForm::ShortThenQuote, &asked("年假有几天？", answer), &golds, &[1]);
    assert_eq!(worded("年假 12 天"), "年假 12 天[1]。");
    assert_eq!(worded("12 天"), "12 天：年假 12 天[1]。");
    let golds = [gold("No meetings on Friday", "No meetings on Friday", BlockKind::List)];
    let worded = super::worded(AnswerForm::Quote, &asked("Any meetings?", "No meetings"), &golds, &[2]);
    assert_eq!(worded, "No meetings on Friday [2].");
}

#[test]
fn a_row_is_what_it_is_about_and_the_cells_that_answer() {
    let row = "| SP-1007 | LoRa antenna 868 MHz | 28.00 | 175 | 0 |";
    let golds = [gold(STOCK, row, BlockKind::Table)];
    let question = asked("How many antennas for 868 MHz does Munich have?", "175");
    let worded = |question: &EvalQuestion| worded(AnswerForm::ShortThenQuote, question, &golds, &[1]);
    assert_eq!(worded(&question), "SP-1007, LoRa antenna 868 MHz, Munich: 175 [1].");
    assert_eq!(
        worded(&asked("What is SP-1007?", "28.00; 175")),
        "SP-1007, LoRa antenna 868 MHz, EUR: 28.00; Munich: 175 [1]."
    );
    let sheet = "| Property | Value |\n|---|---|\n| Burst pressure | 75 bar |\n";
    let single = [gold(sheet, "| Burst pressure | 75 bar |", BlockKind::Table)];
    let said = super::worded(AnswerForm::Quote, &asked("When does it burst?", "75 bar"), &single, &[1]);
    assert_eq!(said, "Burst pressure: 75 bar [1].");
    let days = "| Event | Munich | Leeds |\n|---|---|---|\n| Moving house | 1 day | 1 day |\n";
    let single = [gold(days, "| Moving house | 1 day | 1 day |", BlockKind::Table)];
    let said = super::worded(AnswerForm::Quote, &asked("Days for moving in Leeds?", "1 day"), &single, &[1]);
    assert_eq!(said, "Moving house, Leeds: 1 day [1].");
    let all = "Part: SP-1007; Name: LoRa antenna 868 MHz; EUR: 28.00; Munich: 175; Suzhou: 0 [1].";
    assert_eq!(worded(&asked("What is SP-1007?", "no cell")), all);
    let table = "| 折扣 | 审批人 | 时限 |\n|---|---|---|\n| 超过12% | 陈伟明 | 4个工作日 |\n";
    let golds = [gold(table, "| 超过12% | 陈伟明 | 4个工作日 |", BlockKind::Table)];
    let question = asked("打八五折找谁批？", "陈伟明; 4个工作日");
    let worded = super::worded(AnswerForm::Quote, &question, &golds, &[2]);
    assert_eq!(worded, "折扣 超过12%，审批人：陈伟明；时限：4个工作日[2]。");
}

#[test]
fn sources_that_say_the_same_from_one_passage_are_said_once() {
    let golds =
        [gold(VACATION, VACATION, BlockKind::Paragraph), gold(VACATION, VACATION, BlockKind::Paragraph)];
    let question = asked("How many days in Austin?", "18 days");
    let worded = |markers: &[u32]| worded(AnswerForm::Short, &question, &golds, markers);
    assert_eq!(worded(&[1, 1]), "18 days [1].");
    assert_eq!(worded(&[1, 4]), "18 days [1]. 18 days [4].");
}
