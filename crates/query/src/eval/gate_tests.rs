#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn outcome(number: usize, (answerable, good, quality): (bool, bool, f64)) -> QuestionOutcome {
    let answered = good == answerable;
    QuestionOutcome {
        id: format!("q{number}"),
        question: format!("Question {number}?"),
        kind: "lookup".into(),
        lang: "en".into(),
        answerable,
        gold: String::new(),
        answer: String::new(),
        answered,
        confidence: 0.5,
        cited: Vec::new(),
        sources: Vec::new(),
        contains_gold: answerable && good,
        citation_precision: if answered { quality } else { 0.0 },
        citation_recall: if answered { quality } else { 0.0 },
        quote_precision: 0.0,
        f1: if answerable && answered { quality } else { 0.0 },
        exact: false,
        support: answered.then_some(quality),
        ms: 1.0,
    }
}

/// What question `number` of a test is: three of four are answerable.
fn report(model: &str, of: impl Fn(usize) -> (bool, f64), questions: usize) -> AnswerReport {
    let one = |number: usize| {
        let (good, quality) = of(number);
        outcome(number, (number % 4 != 3, good, quality))
    };
    AnswerReport::new(model, (0..questions).map(one).collect())
}

fn judged(candidate: &AnswerReport, incumbent: &AnswerReport) -> GateVerdict {
    gate(candidate, incumbent, &GateConfig::default()).unwrap()
}

fn middling(number: usize) -> (bool, f64) {
    (!number.is_multiple_of(3), 0.4 + (number % 5) as f64 / 20.0)
}

fn of(verdict: &GateVerdict, metric: Metric) -> &MetricVerdict {
    verdict.metrics.iter().find(|m| m.metric == metric).unwrap()
}

#[test]
fn the_means_are_those_of_the_reports() {
    let (new, old) = (report("new", |_| (true, 0.9), 60), report("old", middling, 60));
    let verdict = judged(&new, &old);
    let means = |r: &AnswerReport| {
        let m = &r.means;
        let all = [m.answer_f1, m.contains_gold, m.citation_precision, m.citation_recall, m.refusal_recall];
        [all.as_slice(), &[m.false_refusals, m.support_rate]].concat()
    };
    assert_eq!(verdict.metrics.iter().map(|m| m.candidate).collect::<Vec<_>>(), means(&new));
    assert_eq!(verdict.metrics.iter().map(|m| m.incumbent).collect::<Vec<_>>(), means(&old));
}

#[test]
fn a_question_does_not_count_twice() {
    let (mut new, mut old) = (report("new", middling, 40), report("old", middling, 40));
    for outcomes in [&mut new.outcomes, &mut old.outcomes] {
        let again = outcomes[3].clone();
        outcomes.push(again);
    }
    let refused = gate(&new, &old, &GateConfig::default()).unwrap_err();
    assert_eq!(refused, GateError::Twice { id: "q3".into() });
}

#[test]
fn a_better_candidate_passes_and_says_why() {
    let verdict = judged(&report("new", |n| (n % 9 != 0, 0.8), 120), &report("old", middling, 120));
    assert!(verdict.passed, "{:?}", verdict.reasons);
    assert!(verdict.reasons[0].starts_with("answer_f1 got better (0."), "{:?}", verdict.reasons);
    assert!(verdict.metrics.iter().all(|m| m.low <= m.difference && m.difference <= m.high));
    assert_eq!(of(&verdict, Metric::FalseRefusals).change, Change::Better);
    assert!(verdict.lost.is_empty() && verdict.gained.contains(&"q3".to_owned()), "{verdict:?}");
}

#[test]
fn a_small_gain_has_to_be_sure() {
    let old = report("old", |_| (true, 0.5), 120);
    // Two answers of ninety are better: on average by less than the tolerance, in many draws by nothing.
    let lucky = judged(&report("new", |n| (true, if n < 2 { 0.9 } else { 0.5 }), 120), &old);
    assert!(!lucky.passed, "{:?}", lucky.reasons);
    assert!(lucky.reasons.iter().any(|reason| reason.contains("no more than chance")), "{:?}", lucky.reasons);
    // Every answer is better by a little.
    let steady = judged(&report("new", |_| (true, 0.51), 120), &old);
    assert!(steady.passed, "{:?}", steady.reasons);
}

#[test]
fn one_that_never_refuses_fails_however_good_its_answers_are() {
    let chatty = report("new", |n| (n % 4 != 3, 0.95), 120);
    let verdict = judged(&chatty, &report("old", |_| (true, 0.5), 120));
    assert!(!verdict.passed);
    assert_eq!(of(&verdict, Metric::AnswerF1).change, Change::Better);
    assert_eq!(of(&verdict, Metric::RefusalRecall).candidate, 0.0);
    assert_eq!(verdict.reasons.len(), 1);
    assert!(verdict.reasons[0].starts_with("refusal_recall is surely worse"), "{:?}", verdict.reasons);
}

#[test]
fn a_large_fall_over_few_questions_fails_and_a_single_question_does_not() {
    let old = |n: usize| (true, if n.is_multiple_of(2) { 0.5 } else { 0.6 });
    // Of ten unanswerable ones the candidate gets `missed` wrong, and everything else better.
    let lost = |missed: usize| {
        move |n: usize| (n % 4 != 3 || n / 4 >= missed, if n.is_multiple_of(2) { 0.8 } else { 0.7 })
    };
    let verdict = judged(&report("new", lost(2), 40), &report("old", old, 40));
    assert!(!verdict.passed && verdict.reasons[0].contains("refusal_recall is worse by more than 0.1000"));
    let verdict = judged(&report("new", lost(1), 40), &report("old", old, 40));
    assert!(verdict.passed, "{:?}", verdict.reasons);
}

#[test]
fn too_few_questions_and_unmeasured_metrics_are_told() {
    let verdict = judged(&report("new", |_| (true, 0.9), 12), &report("old", middling, 12));
    assert!(!verdict.passed && verdict.reasons[0].contains("9 questions for answer_f1 are too few"));
    // Many questions of which few tell the metric are few questions.
    let config = GateConfig { metric: Metric::RefusalRecall, min_questions: 13, ..GateConfig::default() };
    let (new, old) = (report("new", |_| (true, 0.9), 48), report("old", |n| (n % 4 != 3, 0.9), 48));
    let verdict = gate(&new, &old, &config).unwrap();
    assert!(verdict.reasons[0].contains("12 questions for refusal_recall are too few"), "{verdict:?}");
    assert!(gate(&new, &old, &GateConfig { min_questions: 12, ..config }).unwrap().passed);
    let answerable =
        |quality: f64| AnswerReport::new("m", (0..40).map(|n| outcome(n, (true, true, quality))).collect());
    let verdict = judged(&answerable(0.8), &answerable(0.5));
    assert!(verdict.passed, "{:?}", verdict.reasons);
    assert_eq!(of(&verdict, Metric::RefusalRecall).change, Change::Unmeasured);
    let config = GateConfig { metric: Metric::RefusalRecall, ..GateConfig::default() };
    let verdict = gate(&answerable(0.8), &answerable(0.5), &config).unwrap();
    assert!(!verdict.passed && verdict.reasons[0].contains("no question tells refusal_recall"));
}

#[test]
fn reports_of_other_questions_are_refused() {
    let (new, mut old) = (report("new", middling, 40), report("old", middling, 40));
    old.outcomes.swap(3, 4);
    let error = gate(&new, &old, &GateConfig::default()).unwrap_err().to_string();
    assert!(error.contains("number 4 is q3 in the candidate's and q4"), "{error}");
    old.outcomes.swap(3, 4);
    old.outcomes.pop();
    let error = gate(&new, &old, &GateConfig::default()).unwrap_err().to_string();
    assert!(error.contains("number 40 is q39 in the candidate's and missing"), "{error}");
    let config = GateConfig { confidence: 1.5, ..GateConfig::default() };
    assert!(gate(&new, &new, &config).unwrap_err().to_string().contains("gate.confidence is 1.5"));
}

#[test]
fn a_verdict_survives_being_stored() {
    let verdict = judged(&report("new", |_| (true, 0.9), 40), &report("old", middling, 40));
    let stored: GateVerdict = serde_json::from_str(&serde_json::to_string(&verdict).unwrap()).unwrap();
    assert_eq!(stored, verdict);
}

fn answers() -> impl Strategy<Value = Vec<(bool, bool, f64, bool, f64)>> {
    let one = (any::<bool>(), any::<bool>(), 0.0..1.0f64, any::<bool>(), 0.0..1.0f64);
    proptest::collection::vec(one, 30..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn identical_reports_never_improve(answers in answers()) {
        let all = answers.iter().enumerate().map(|(n, a)| outcome(n, (a.0, a.1, a.2))).collect();
        let report = AnswerReport::new("m", all);
        let verdict = judged(&report, &report);
        prop_assert!(!verdict.passed);
        prop_assert!(verdict.metrics.iter().all(|m| (m.difference, m.low, m.high) == (0.0, 0.0, 0.0)));
        prop_assert!(verdict.gained.is_empty() && verdict.lost.is_empty());
    }

    #[test]
    fn swapping_the_two_mirrors_everything_and_never_passes_both(answers in answers()) {
        let side = |first: bool| {
            let one = |(n, a): (usize, &(bool, bool, f64, bool, f64))| {
                let (good, quality) = if first { (a.1, a.2) } else { (a.3, a.4) };
                outcome(n, (a.0, good, quality))
            };
            AnswerReport::new("m", answers.iter().enumerate().map(one).collect())
        };
        let (there, back) = (judged(&side(true), &side(false)), judged(&side(false), &side(true)));
        for (a, b) in there.metrics.iter().zip(&back.metrics) {
            prop_assert_eq!((a.difference, a.low, a.high), (-b.difference, -b.high, -b.low));
            let mirrored = match a.change {
                Change::Better => Change::Worse,
                Change::Worse => Change::Better,
                other => other,
            };
            prop_assert_eq!(mirrored, b.change);
        }
        prop_assert!(!(there.passed && back.passed));
        prop_assert_eq!((&there.gained, &there.lost), (&back.lost, &back.gained));
        prop_assert_eq!(judged(&side(true), &side(false)), there);
    }

    #[test]
    fn a_damaged_candidate_fails(answers in answers(), seed in any::<u64>()) {
        // The same, but for some right answers that are gone.
        let all = |damaged: bool| {
            let one = |(n, a): (usize, &(bool, bool, f64, bool, f64))| {
                outcome(n, (a.0, a.1 && !(damaged && n % 3 == 0), a.2))
            };
            AnswerReport::new("m", answers.iter().enumerate().map(one).collect())
        };
        let config = GateConfig { seed, ..GateConfig::default() };
        prop_assert!(!gate(&all(true), &all(false), &config).unwrap().passed);
    }
}
