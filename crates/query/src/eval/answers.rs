//! Answers measured against known answers and sources.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use lore_core::{AnswerSummary, Caller, Question, Verdict};
use serde::{Deserialize, Serialize};

use crate::answer::Answerer;
use crate::error::Result;
use crate::eval::dataset::EvalQuestion;
use crate::eval::metrics::{contains, exact_match, percentile, token_f1};

/// Means over the questions of a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswersReport {
    /// Number of questions.
    pub questions: usize,
    /// Answerable ones: best token F1 against the right answers ([`token_f1`]); 0 for a refusal.
    pub answer_f1: f64,
    /// Answerable ones: share of exact matches ([`exact_match`]).
    pub exact: f64,
    /// Answerable ones: share of answers that hold all parts of a right answer ([`contains`]).
    pub contains_gold: f64,
    /// Answered answerable ones: mean share of an answer's citations whose document is among the gold provenance
    /// documents. This is KILT's page-level provenance (Petroni et al. 2021, section 5) as precision.
    pub citation_precision: f64,
    /// Answerable ones: mean share of the gold documents that are cited (the same as recall); 0 for a refusal.
    pub citation_recall: f64,
    /// As `citation_precision`, but a citation counts only where its quote overlaps a gold quote of that document or
    /// holds a part of the right answer.
    pub quote_precision: f64,
    /// Unanswerable ones: share that was refused (the recall of no-answer; Rajpurkar et al. 2018).
    pub refusal_recall: f64,
    /// Answerable ones: share that was refused.
    pub false_refusals: f64,
    /// Mean share of an answer's statements that a passage supports, over the questions whose answer has statements.
    pub support_rate: f64,
    /// Median time of an answer in milliseconds.
    pub p50_ms: f64,
    /// 95th percentile of the time of an answer in milliseconds.
    pub p95_ms: f64,
    /// `contains_gold` (answerable) or `refusal_recall` (unanswerable) by kind of question.
    pub by_kind: BTreeMap<String, f64>,
    /// `contains_gold` by language.
    pub by_language: BTreeMap<String, f64>,
}

/// One question's outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuestionOutcome {
    /// Identifier.
    pub id: String,
    /// The question.
    pub question: String,
    /// Kind of question.
    pub kind: String,
    /// Language.
    pub lang: String,
    /// Whether the documents answer it.
    pub answerable: bool,
    /// The right answer's first form.
    pub gold: String,
    /// What was answered.
    pub answer: String,
    /// Whether an answer was given.
    pub answered: bool,
    /// Confidence.
    pub confidence: f32,
    /// Names of the documents cited.
    pub cited: Vec<String>,
    /// Names of the gold documents.
    pub sources: Vec<String>,
    /// [`AnswersReport::contains_gold`] of this question.
    pub contains_gold: bool,
    /// [`AnswersReport::citation_precision`] of this question.
    pub citation_precision: f64,
    /// [`AnswersReport::citation_recall`] of this question.
    pub citation_recall: f64,
    /// [`AnswersReport::quote_precision`] of this question.
    pub quote_precision: f64,
    /// [`AnswersReport::answer_f1`] of this question.
    pub f1: f64,
    /// [`AnswersReport::exact`] of this question.
    pub exact: bool,
    /// Share of the answer's statements that a passage supports; `None` where it states nothing.
    pub support: Option<f64>,
    /// Milliseconds.
    pub ms: f64,
}

impl QuestionOutcome {
    /// Whether the answer holds the right one, or was rightly refused.
    pub fn is_right(&self) -> bool {
        if self.answerable { self.contains_gold } else { !self.answered }
    }
}

/// A metric that the gate looks at; [`AnswersReport`] defines them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Token F1 of the answers.
    AnswerF1,
    /// Share of answers that hold the right one.
    ContainsGold,
    /// Share of citations whose document is a right one.
    CitationPrecision,
    /// Share of the right documents that are cited.
    CitationRecall,
    /// Share of unanswerable questions that are refused.
    RefusalRecall,
    /// Share of answerable questions that are refused; the lower the better.
    FalseRefusals,
    /// Share of an answer's statements that a passage supports.
    SupportRate,
}

impl Metric {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 7] = [
        Self::AnswerF1,
        Self::ContainsGold,
        Self::CitationPrecision,
        Self::CitationRecall,
        Self::RefusalRecall,
        Self::FalseRefusals,
        Self::SupportRate,
    ];

    /// Its name in reports and settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::AnswerF1 => "answer_f1",
            Self::ContainsGold => "contains_gold",
            Self::CitationPrecision => "citation_precision",
            Self::CitationRecall => "citation_recall",
            Self::RefusalRecall => "refusal_recall",
            Self::FalseRefusals => "false_refusals",
            Self::SupportRate => "support_rate",
        }
    }

    /// 1 where more is better, -1 where less is.
    pub(super) fn sign(self) -> f64 {
        if self == Self::FalseRefusals { -1.0 } else { 1.0 }
    }

    /// What a question adds to the metric's mean; `None` where the metric does not look at it.
    pub(super) fn of(self, outcome: &QuestionOutcome) -> Option<f64> {
        let answerable = outcome.answerable;
        match self {
            Self::AnswerF1 => answerable.then_some(outcome.f1),
            Self::ContainsGold => answerable.then(|| flag(outcome.contains_gold)),
            Self::CitationPrecision => (answerable && outcome.answered).then_some(outcome.citation_precision),
            Self::CitationRecall => answerable.then_some(outcome.citation_recall),
            Self::RefusalRecall => (!answerable).then(|| flag(!outcome.answered)),
            Self::FalseRefusals => answerable.then(|| flag(!outcome.answered)),
            Self::SupportRate => outcome.support,
        }
    }
}

/// Asks every question, one after the other, as a caller with the question's groups.
///
/// # Errors
/// Fails where a question fails; its id is in the message.
pub async fn run(
    answerer: &Answerer,
    questions: &[EvalQuestion],
    progress: &(dyn Fn(usize) + Send + Sync),
) -> Result<(AnswersReport, Vec<QuestionOutcome>)> {
    let mut outcomes = Vec::with_capacity(questions.len());
    for (done, question) in questions.iter().enumerate() {
        outcomes.push(ask(answerer, question).await?.0);
        progress(done + 1);
    }
    Ok((report(&outcomes), outcomes))
}

/// The caller and the question that an evaluation question stands for.
pub fn as_asked(question: &EvalQuestion) -> (Question, Caller) {
    let asked = Question {
        text: question.question.clone(),
        history: question.history.clone(),
        ..Question::default()
    };
    (asked, Caller::with_groups("eval", question.groups.iter().cloned()))
}

/// The outcome of one question, and who answered it.
pub(crate) async fn ask(answerer: &Answerer, question: &EvalQuestion) -> Result<(QuestionOutcome, String)> {
    let started = Instant::now();
    let (asked, caller) = as_asked(question);
    let summary = answerer.answer(&asked, &caller).await.map_err(|error| error.of_question(&question.id))?;
    let ms = started.elapsed().as_secs_f64() * 1e3;
    Ok((judge(question, &summary, ms), summary.model))
}

/// Compares an answer with what is known.
pub fn judge(question: &EvalQuestion, summary: &AnswerSummary, ms: f64) -> QuestionOutcome {
    let answer = if summary.answered { summary.answer.as_str() } else { "" };
    let best = |score: &dyn Fn(&[String]) -> f64| {
        question.answers.iter().map(|parts| score(parts)).fold(0.0, f64::max)
    };
    let contains_gold =
        question.answers.iter().any(|parts| !parts.is_empty() && parts.iter().all(|p| contains(answer, p)));
    let gold_documents: Vec<&str> = {
        let mut names: Vec<&str> = question.sources.iter().map(|s| s.document.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    // What is withdrawn cites nothing.
    let citations = if summary.answered { summary.citations.as_slice() } else { &[] };
    let share = |count: usize, of: usize| if of == 0 { 0.0 } else { count as f64 / of as f64 };
    let right_document = |name: &str| gold_documents.contains(&name);
    let right_quote = |document: &str, quote: &str| {
        question.sources.iter().any(|s| {
            s.document == document
                && !s.quote.is_empty()
                && (s.quote.contains(quote.trim()) || quote.contains(s.quote.trim()))
        }) || (right_document(document) && question.answers.iter().flatten().any(|p| contains(quote, p)))
    };
    QuestionOutcome {
        id: question.id.clone(),
        question: question.question.clone(),
        kind: question.kind.clone(),
        lang: question.lang.clone(),
        answerable: question.answerable,
        gold: question.answers.first().map(|parts| parts.join("; ")).unwrap_or_default(),
        answer: summary.answer.clone(),
        answered: summary.answered,
        confidence: summary.confidence,
        cited: citations.iter().map(|c| c.name.clone()).collect(),
        sources: gold_documents.iter().map(|n| (*n).to_owned()).collect(),
        contains_gold,
        citation_precision: share(
            citations.iter().filter(|c| right_document(&c.name)).count(),
            citations.len(),
        ),
        citation_recall: share(
            gold_documents.iter().filter(|name| citations.iter().any(|c| c.name == **name)).count(),
            gold_documents.len(),
        ),
        quote_precision: share(
            citations.iter().filter(|c| right_quote(&c.name, &c.quote)).count(),
            citations.len(),
        ),
        f1: best(&|parts| token_f1(answer, &parts.join(" "))),
        exact: best(&|parts| f64::from(u8::from(exact_match(answer, &parts.join(" "))))) > 0.0,
        support: support(summary),
        ms,
    }
}

/// The share of an answer's statements that a passage supports.
fn support(summary: &AnswerSummary) -> Option<f64> {
    let supported = summary.citations.iter().filter(|c| c.verdict == Verdict::Supported);
    let supported = supported.map(|c| c.answer_span).collect::<BTreeSet<_>>().len();
    let all = supported + summary.unsupported.len();
    (all > 0).then(|| supported as f64 / all as f64)
}

fn flag(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

/// Means of the outcomes.
pub fn report(outcomes: &[QuestionOutcome]) -> AnswersReport {
    let mean = |values: &mut dyn Iterator<Item = f64>| {
        let (sum, count) = values.fold((0.0, 0usize), |(sum, count), v| (sum + v, count + 1));
        if count == 0 { 0.0 } else { sum / count as f64 }
    };
    let answerable = || outcomes.iter().filter(|o| o.answerable);
    let answered = || outcomes.iter().filter(|o| o.answerable && o.answered);
    let of = |metric: Metric| mean(&mut outcomes.iter().filter_map(|outcome| metric.of(outcome)));
    let mut times: Vec<f64> = outcomes.iter().map(|o| o.ms).collect();
    times.sort_by(f64::total_cmp);
    let mut by_kind: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut by_language: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for outcome in outcomes {
        let kind = match (outcome.kind.as_str(), outcome.answerable) {
            ("permission", false) => "permission_refused".to_owned(),
            (kind, _) => kind.to_owned(),
        };
        by_kind.entry(kind).or_default().push(flag(outcome.is_right()));
        if outcome.answerable {
            by_language.entry(outcome.lang.clone()).or_default().push(flag(outcome.contains_gold));
        }
    }
    let means = |groups: BTreeMap<String, Vec<f64>>| {
        groups.into_iter().map(|(key, v)| (key, mean(&mut v.into_iter()))).collect()
    };
    AnswersReport {
        questions: outcomes.len(),
        answer_f1: of(Metric::AnswerF1),
        exact: mean(&mut answerable().map(|o| flag(o.exact))),
        contains_gold: of(Metric::ContainsGold),
        citation_precision: of(Metric::CitationPrecision),
        citation_recall: of(Metric::CitationRecall),
        quote_precision: mean(&mut answered().map(|o| o.quote_precision)),
        refusal_recall: of(Metric::RefusalRecall),
        false_refusals: of(Metric::FalseRefusals),
        support_rate: of(Metric::SupportRate),
        p50_ms: percentile(&times, 0.5),
        p95_ms: percentile(&times, 0.95),
        by_kind: means(by_kind),
        by_language: means(by_language),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use lore_core::{Citation, DocumentId, Span};

    use super::*;
    use crate::eval::dataset::GoldSource;

    #[test]
    fn what_is_withdrawn_cites_nothing() {
        let citation = Citation {
            marker: 1,
            answer_span: Span::new(0, 7),
            document: DocumentId::from_source("upload:a.md"),
            name: "a.md".into(),
            title: "A".into(),
            version: 1,
            source_span: Span::new(0, 7),
            page: None,
            headings: Vec::new(),
            quote: "30 days".into(),
            score: 0.9,
            verdict: Verdict::Supported,
        };
        let question = EvalQuestion {
            id: "q".into(),
            lang: "en".into(),
            question: "How long?".into(),
            history: Vec::new(),
            groups: std::collections::BTreeSet::new(),
            answers: vec![vec!["30 days".into()]],
            sources: vec![GoldSource { document: "a.md".into(), quote: "30 days".into() }],
            answerable: true,
            kind: "lookup".into(),
        };
        let given = AnswerSummary {
            answered: true,
            answer: "30 days".into(),
            citations: vec![citation],
            ..AnswerSummary::default()
        };
        let kept = judge(&question, &given, 1.0);
        assert_eq!((kept.citation_recall, kept.citation_precision, kept.cited.len()), (1.0, 1.0, 1));
        let withdrawn = judge(&question, &AnswerSummary { answered: false, ..given }, 1.0);
        assert_eq!(
            (withdrawn.citation_recall, withdrawn.quote_precision, withdrawn.cited.len()),
            (0.0, 0.0, 0)
        );
    }
}
