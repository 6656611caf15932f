//! Two models that answer the same questions in one run, and what the gate says of them.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use lore_query::eval::{AnswerReport, EvalQuestion, GateConfig, Metric, evaluate_pair, gate};
use lore_query::{AnswerConfig, GenerateConfig};
use support::{HANDBOOK, World, asked};

/// A question about the handbook, of which only the document is known.
fn of_handbook(id: &str, question: &str, answer: &str) -> EvalQuestion {
    EvalQuestion { answerable: !answer.is_empty(), ..asked(id, question, answer, &[("handbook.md", "")]) }
}

#[tokio::test]
async fn both_go_the_whole_way_and_the_better_one_passes() {
    let world = World::new(&[("handbook.md", HANDBOOK)]).await;
    let generate = GenerateConfig { ask_threshold: 0.0, ..GenerateConfig::default() };
    let config = AnswerConfig { generate, ..AnswerConfig::default() };
    let questions = [
        of_handbook("munich", "How many vacation days in Munich?", "30 days"),
        of_handbook("canteen", "When does the canteen open?", "noon"),
        of_handbook("parking", "Where may visitors park?", ""),
    ];
    let refusal = "I could not find this in the documents.";
    let good = [
        "A full-time employee in Munich is entitled to 30 days of vacation per year [1].",
        "The canteen opens at noon [1].",
        refusal,
    ];
    let bad = [
        "Employees in Munich are entitled to 40 days of vacation and to 30 pears a year [1].",
        refusal,
        "Guests pay EUR 9.50 for lunch [1].",
    ];
    let (candidate, incumbent) = (world.writing(config.clone(), &good).0, world.writing(config, &bad).0);
    let done = AtomicUsize::new(0);
    let progress = |count: usize| done.store(count, Ordering::Relaxed);
    let (new, old) = evaluate_pair(&candidate, &incumbent, &questions, &progress).await.unwrap();
    assert_eq!(done.into_inner(), 3);
    let ids = |report: &AnswerReport| report.outcomes.iter().map(|o| o.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&new), ["munich", "canteen", "parking"]);
    assert_eq!(ids(&new), ids(&old));
    assert_eq!(new.model, "scripted@test");
    let figures = |report: &AnswerReport| {
        let means = &report.means;
        (means.contains_gold, means.refusal_recall, means.false_refusals, means.support_rate)
    };
    assert_eq!(figures(&new), (1.0, 1.0, 0.0, 1.0));
    assert_eq!(figures(&old), (0.0, 0.0, 1.0, 0.5), "{old:?}");
    let few = GateConfig { min_questions: 2, ..GateConfig::default() };
    let verdict = gate(&new, &old, &few).unwrap();
    assert!(verdict.passed, "{:?}", verdict.reasons);
    assert_eq!(verdict.gained, ["munich", "canteen", "parking"]);
    let back = gate(&old, &new, &few).unwrap();
    let refusals = back.metrics.iter().find(|m| m.metric == Metric::FalseRefusals).unwrap();
    assert!(!back.passed && refusals.difference == 1.0, "{:?}", back.reasons);
    // What is stored is read again.
    let stored: AnswerReport = serde_json::from_str(&serde_json::to_string(&new).unwrap()).unwrap();
    assert_eq!(ids(&stored), ids(&new));
    // Decimal digits may move a number's last bit.
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-12 * b.abs();
    assert!(near(stored.means.answer_f1, new.means.answer_f1) && near(stored.means.p50_ms, new.means.p50_ms));
}
