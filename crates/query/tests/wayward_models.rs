//! Models that write what no model should, and documents that go while an answer is written.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use lore_core::{
    Access, AnswerEvent, AnswerOptions, AnswerSummary, Caller, FinishReason, GenerateEvent, Generation,
    GenerationTimings, Question, Usage, Verdict,
};
use lore_query::{AnswerConfig, Answerer, GenerateConfig};
use support::{HANDBOOK, SENSORS, World, events, generator, question};

const MUNICH: &str = "How many vacation days per year does a full-time employee in Munich get?";
const REFUSAL: &str = "I could not find this in the documents.";
/// Characters of several code units, marks that join the letter before, and line ends of Windows.
const SCRIPTS: &str = "# Vacation 🏖️\r\n\r\nAn employee in Zu\u{308}rich gets 25 days 🎉 of vacation per year.\r\n\r\n\
    上海全职员工每年享有 12 天年假👨‍👩‍👧。\r\n";

fn config() -> AnswerConfig {
    let generate = GenerateConfig { ask_threshold: 0.0, ..GenerateConfig::default() };
    AnswerConfig { generate, ..AnswerConfig::default() }
}

async fn world() -> World {
    World::new(&[("handbook.md", HANDBOOK), ("sensors.md", SENSORS), ("scripts.md", SCRIPTS)]).await
}

fn with_strict(strict: bool) -> Question {
    Question {
        options: AnswerOptions { strict: Some(strict), ..AnswerOptions::default() },
        ..question(MUNICH)
    }
}

/// What becomes of `script`, after what holds for every answer.
async fn written(world: &World, answerer: &Answerer, script: &str, strict: bool) -> AnswerSummary {
    let answerer = answerer.clone().with_generator(generator(4096, &[script]).0);
    let (events, summary) = events(&answerer, with_strict(strict)).await;
    let mut text = String::new();
    for event in &events {
        match event {
            AnswerEvent::Token { text: more } => text.push_str(more),
            AnswerEvent::Citation { citation } => {
                let statement =
                    citation.answer_span.slice(&text).expect("a statement comes before its citation");
                assert!(
                    !statement.is_empty() && statement.trim() == statement,
                    "{statement:?} of {script:?}"
                );
                let source = world.text(citation.document, citation.version);
                assert_eq!(citation.source_span.slice(&source), Some(citation.quote.as_str()), "{script:?}");
            }
            _ => {}
        }
    }
    assert_eq!(text, summary.answer, "{script:?}");
    for span in &summary.unsupported {
        assert!(span.slice(&text).is_some_and(|text| text.trim() == text), "{script:?}");
    }
    if !strict {
        let clean = lore_query::cite::parse(script, 9).0;
        assert!(text.starts_with(&clean), "nothing is lost or said twice: {text:?} of {script:?}");
    }
    summary
}

/// The statements that are cited as supported.
fn supported(summary: &AnswerSummary) -> Vec<String> {
    let cited = summary.citations.iter().filter(|citation| citation.verdict == Verdict::Supported);
    cited.map(|citation| citation.answer_span.slice(&summary.answer).unwrap().to_owned()).collect()
}

#[tokio::test]
async fn spans_are_exact_in_every_script_and_strict_keeps_what_is_supported() {
    let world = world().await;
    let answerer = world.extractive(config());
    let good = [
        "Employees in Zu\u{308}rich get 25 days 🎉 of vacation per year [3].",
        "上海全职员工每年有 12 天年假👨‍👩‍👧【3】。",
        "The FJ-200 measures up to 80 metres.[2]",
        "👉🏽 Both sensors weigh 92 grams [2]!",
    ];
    let bad =
        ["Employees get a company car 🚗 [1].", "上海员工有 99 天年假[3]。", "The FJ-300 weighs 5 kg [9]."];
    let between = [" ", "\r\n", "\n\n", "", "\n- ", "\r\n\r\n1. ", " 🙂 ", " [1] ", "\n> "];
    let mut state = 1_u32;
    let mut pick = |of: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as usize % of
    };
    for _ in 0..60 {
        let mut script = ["", "Sure! 😀\r\n\r\n", "e\u{301}\u{301} [2] ", "\u{feff}"][pick(4)].to_owned();
        for _ in 0..=pick(5) {
            script.push_str(if pick(3) == 0 { bad[pick(bad.len())] } else { good[pick(good.len())] });
            script.push_str(between[pick(between.len())]);
        }
        let lax = written(&world, &answerer, &script, false).await;
        let strict = written(&world, &answerer, &script, true).await;
        assert_eq!(supported(&lax), supported(&strict), "{script:?}");
        assert!(strict.unsupported.is_empty());
        for wrong in ["company car", "99 天", "5 kg"] {
            assert!(!strict.answer.contains(wrong), "{script:?}: {:?}", strict.answer);
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_is_told_as_none() {
    let world = world().await;
    let answerer = world.extractive(config());
    for strict in [false, true] {
        for script in [
            "",
            "[1][2] [3]",
            "\n\n",
            "<think>",
            "<think>The user wants 30 days [1].",
            "<think></think>",
            "[7]",
        ] {
            let summary = written_any(&answerer, script, strict).await;
            let answer = summary.answer.trim();
            assert!(!summary.answered && answer.starts_with(REFUSAL), "{script:?}: {answer:?}");
            assert!(summary.citations.is_empty() && summary.unsupported.is_empty(), "{script:?}");
        }
    }
}

async fn written_any(answerer: &Answerer, script: &str, strict: bool) -> AnswerSummary {
    let answerer = answerer.clone().with_generator(generator(4096, &[script]).0);
    events(&answerer, with_strict(strict)).await.1
}

#[tokio::test]
async fn repetition_and_a_whole_passage_are_cited_to_the_end() {
    let world = world().await;
    let answerer = world.extractive(config());
    let again = "Both sensors weigh 92 grams [2]. ".repeat(200);
    let summary = written(&world, &answerer, &again, false).await;
    assert_eq!((summary.citations.len(), summary.unsupported.len()), (200, 0));
    let endless = "sensors ".repeat(2000);
    let summary = written(&world, &answerer, &endless, true).await;
    assert!(!summary.answered && !summary.answer.contains("sensors sensors"), "{}", summary.answer);
    let summary = written(&world, &answerer, HANDBOOK, false).await;
    assert_eq!(summary.unsupported, []);
    assert!(summary.answered && summary.citations.len() >= 6, "{:?}", summary.citations);
}

#[tokio::test]
async fn a_refusal_in_the_middle_is_part_of_the_answer() {
    let world = world().await;
    let answerer = world.extractive(config());
    let (known, unknown) = ("Both sensors weigh 92 grams.", "I could not find their price in the documents.");
    for strict in [false, true] {
        let told = written(&world, &answerer, &format!("{known} [2] {unknown}"), strict).await;
        assert!(told.answered && told.unsupported.is_empty());
        assert_eq!(told.answer, format!("{known} {unknown}"), "strict: {strict}");
        let told = written(&world, &answerer, &format!("{known} [2] {unknown} {known} [2]"), strict).await;
        assert_eq!((told.answered, told.answer), (true, format!("{known} {unknown} {known}")));
        let told = written(&world, &answerer, &format!("{unknown} {known} [2]"), strict).await;
        assert!(!told.answered && told.answer.starts_with(unknown), "{}", told.answer);
    }
}

#[tokio::test]
async fn a_right_sentence_does_not_carry_a_wrong_one_in_its_list_item() {
    let world = world().await;
    let answerer = world.extractive(config());
    let (right, wrong) = ("Both sensors weigh 92 grams.", "Every employee gets a company car.");
    for item in [format!("{right} {wrong}"), format!("{wrong} {right}")] {
        let summary = written(&world, &answerer, &format!("- {right} [2]\n- {item} [2]"), false).await;
        let flagged: Vec<&str> =
            summary.unsupported.iter().filter_map(|s| s.slice(&summary.answer)).collect();
        assert_eq!(flagged, [item.as_str()]);
    }
    let both = format!("1. {right} The FJ-200 measures up to 80 metres. [2]");
    let summary = written(&world, &answerer, &both, true).await;
    assert_eq!((summary.citations.len(), summary.answer), (2, both.replace(" [2]", "")));
}

#[tokio::test]
async fn code_that_is_dropped_takes_its_fences_along() {
    let world = world().await;
    let answerer = world.extractive(config());
    let (right, wrong) = ("Both sensors weigh 92 grams.", "Every employee gets a company car.");
    for (script, kept) in [
        (format!("```\n{wrong}\n```\n\n{right}"), right.to_owned()),
        (format!("{right}\n```\n{wrong}\n```\n\n{right}"), format!("{right}\n\n{right}")),
        (format!("```\n{right}\n```\n{wrong} {right}"), format!("```\n{right}\n```\n{right}")),
        (format!("```\n{right}\n```\n{wrong}"), format!("```\n{right}\n```")),
        (format!("~~~\n{wrong}\n{right}\n~~~"), format!("```\n{right}\n```")),
    ] {
        let summary = written(&world, &answerer, &script, true).await;
        assert_eq!(summary.answer, kept, "{script:?}");
    }
}

#[tokio::test]
async fn two_passages_that_deny_a_statement_do_not_support_it_together() {
    let rule = "# Leave\n\nUnused vacation days may not be paid out.\n";
    let world = World::new(&[("one.md", rule), ("two.md", &format!("{rule}\nIt is final."))]).await;
    let answerer = world.extractive(config());
    let summary = written(&world, &answerer, "Unused vacation days may be paid out [1][2].", false).await;
    assert_eq!((summary.answered, summary.unsupported.len()), (false, 1), "{summary:#?}");
}

#[tokio::test]
async fn a_copy_that_says_the_opposite_outweighs_what_is_farther() {
    let rule = "# Leave\n\nUnused vacation days may not be paid out.\n\nUnused vacation days are counted in December.\n";
    let world = World::new(&[("one.md", rule)]).await;
    let answerer = world.extractive(config());
    for (script, flagged) in [
        ("Unused vacation days may be paid out [1].", 1),
        ("Unused vacation days are counted in December [1].", 0),
    ] {
        let summary = written(&world, &answerer, script, false).await;
        assert_eq!(summary.unsupported.len(), flagged, "{summary:#?}");
    }
}

#[tokio::test]
async fn a_document_that_goes_while_its_answer_is_written_ends_the_answer() {
    for delete in [true, false] {
        let world = world().await;
        let info = lore_core::GeneratorInfo {
            id: "slow@test".into(),
            context_tokens: 4096,
            answer_style: lore_core::AnswerStyle::default(),
        };
        let (slow, mut requests) = lore_core::Generator::channel(
            info,
            std::sync::Arc::new(|text: &str| text.split_whitespace().count()),
            std::sync::Arc::new(|_, _| Ok(vec![1])),
            1,
        );
        let answerer = world.extractive(config()).with_generator(slow);
        let caller = Caller { access: Access::Groups(Default::default()), ..Caller::local() };
        let mut told = answerer.ask(question(MUNICH), &caller);
        let request = requests.recv().await.unwrap();
        let Some(AnswerEvent::Sources { passages }) = told.recv().await else { panic!("no sources") };
        let say = |text: &str| GenerateEvent::Text(text.to_owned());
        request.reply.send(say("Employees in Munich get ")).await.unwrap();
        assert!(matches!(told.recv().await, Some(AnswerEvent::Token { .. })));
        world.close(passages[0].document, delete);
        request.reply.send(say("30 days of vacation per year [1]. More")).await.unwrap();
        let event = told.recv().await;
        assert!(matches!(&event, Some(AnswerEvent::Error { code, .. }) if code == "withdrawn"), "{event:?}");
        assert_eq!(told.recv().await, None);
        request.reply.closed().await;
        let (finish, usage, timings) = (FinishReason::Stop, Usage::default(), GenerationTimings::default());
        assert!(
            request
                .reply
                .send(GenerateEvent::Done(Generation { finish, usage, timings, pointing: None }))
                .await
                .is_err()
        );
    }
}
