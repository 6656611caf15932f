//! Calibration: computes the weights of the extractive answerer from questions with known sources.

use serde::Serialize;

use crate::answer::Answerer;
use crate::error::Result;
use crate::eval::answers::as_asked;
use crate::eval::dataset::EvalQuestion;
use crate::eval::fit;
use crate::eval::metrics::contains;
use crate::extract::Candidate;
use crate::passages::FoundPassage;
use crate::support::{Linear, Standing, SupportModel, answerable_features, sigmoid};

/// Penalty of the sentence model's weights.
const SENTENCE_L2: f64 = 1e-3;
/// Penalty of the second model's weights.
const ANSWERABLE_L2: f64 = 2e-2;
/// Parts of the cross-validation.
const FOLDS: usize = 5;

/// What calibration computed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// The weights.
    pub support: SupportModel,
    /// The threshold that refuses the most where at most `max_false_refusals` of the answerable questions are refused,
    /// on questions that the weights had not seen (five-fold cross-validation).
    pub support_threshold: f32,
    /// Refusals of unanswerable questions at that threshold, cross-validated.
    pub refusal_recall: f64,
    /// Refusals of answerable questions at that threshold, cross-validated.
    pub false_refusals: f64,
    /// Share of answerable questions whose best sentence is a right one (on the questions learned from).
    pub best_sentence: f64,
    /// Share of answerable questions with a right sentence among the passages.
    pub reachable: f64,
    /// Questions used.
    pub questions: usize,
}

struct Seen {
    question: usize,
    answerable: bool,
    candidates: Vec<(Candidate, bool)>,
}

/// Fits both models of [`SupportModel`] to `questions`.
///
/// # Errors
/// Fails where retrieval fails; the question's id is in the message.
pub async fn run(
    answerer: &Answerer,
    questions: &[EvalQuestion],
    max_false_refusals: f64,
    progress: &(dyn Fn(usize) + Send + Sync),
) -> Result<Calibration> {
    let mut seen = Vec::with_capacity(questions.len());
    for (number, question) in questions.iter().enumerate() {
        let (asked, caller) = as_asked(question);
        let findings = answerer.findings(&asked, &caller).await;
        let findings = findings.map_err(|error| error.of_question(&question.id))?;
        let candidates: Vec<(Candidate, bool)> = findings
            .candidates
            .into_iter()
            .map(|c| {
                let right = findings.passages.get(c.passage).is_some_and(|p| is_right(question, p, &c));
                (c, right)
            })
            .collect();
        seen.push(Seen { question: number, answerable: question.answerable, candidates });
        progress(number + 1);
    }

    // Held-out confidences by cross-validation, then the threshold on them.
    let mut held_out: Vec<(f32, bool)> = Vec::new();
    for fold in 0..FOLDS {
        let (test, train): (Vec<&Seen>, Vec<&Seen>) = seen.iter().partition(|s| s.question % FOLDS == fold);
        let model = learn(&train);
        for s in test {
            let confidence = confidence(s, &model);
            held_out.push((confidence, s.answerable));
        }
    }
    let (support_threshold, refusal_recall, false_refusals) = threshold(&held_out, max_false_refusals);

    let all: Vec<&Seen> = seen.iter().collect();
    let support = learn(&all);
    let answerable = seen.iter().filter(|s| s.answerable).count().max(1) as f64;
    let right_first =
        seen.iter().filter(|s| s.answerable).filter(|s| best_is_right(s, &support.sentence)).count();
    let reachable = seen.iter().filter(|s| s.answerable && s.candidates.iter().any(|(_, r)| *r)).count();
    Ok(Calibration {
        support,
        support_threshold,
        refusal_recall,
        false_refusals,
        best_sentence: right_first as f64 / answerable,
        reachable: reachable as f64 / answerable,
        questions: questions.len(),
    })
}

/// Whether a sentence is a right one: it overlaps a gold quote in its document, or stands there and holds a part of the
/// right answer.
fn is_right(question: &EvalQuestion, found: &FoundPassage, candidate: &Candidate) -> bool {
    question.sources.iter().filter(|s| s.document == found.passage.name).any(|source| {
        let (quote, text) = (source.quote.trim(), candidate.text.trim());
        let same = !quote.is_empty() && (quote.contains(text) || text.contains(quote));
        let overlap = same && text.chars().count() * 2 >= quote.chars().count().min(40);
        overlap
            || (quote.is_empty()
                && question.answers.iter().any(|parts| parts.iter().all(|p| contains(text, p))))
    })
}

fn learn(seen: &[&Seen]) -> SupportModel {
    let questions: Vec<fit::Ranking> = seen
        .iter()
        .filter(|s| s.answerable && s.candidates.iter().any(|(_, right)| *right))
        .map(|s| s.candidates.iter().map(|(c, right)| (c.evidence.features().to_vec(), *right)).collect())
        .collect();
    let sentence = fit::ranking(&questions, SENTENCE_L2);
    let answers: Vec<(Vec<f32>, bool)> =
        seen.iter().filter_map(|s| Some((best_features(s, &sentence)?, s.answerable))).collect();
    let answerable = fit::logistic(&answers, ANSWERABLE_L2);
    SupportModel { sentence, answerable }
}

/// The candidates as `model` orders them: index and score, best first.
fn ordered(seen: &Seen, model: &Linear) -> Vec<(usize, f32)> {
    let score = |(i, (c, _)): (usize, &(Candidate, bool))| (i, model.value(&c.evidence.features()));
    let mut order: Vec<(usize, f32)> = seen.candidates.iter().enumerate().map(score).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    order
}

/// What the second model sees of a question; `None` where nothing was found.
fn best_features(seen: &Seen, model: &Linear) -> Option<Vec<f32>> {
    let order = ordered(seen, model);
    let (best, _) = &seen.candidates[order.first()?.0];
    let ranked: Vec<(usize, f32)> = order.iter().map(|(i, s)| (seen.candidates[*i].0.passage, *s)).collect();
    Some(answerable_features(&best.evidence, &Standing::of(&ranked)))
}

fn confidence(seen: &Seen, model: &SupportModel) -> f32 {
    best_features(seen, &model.sentence).map_or(0.0, |f| sigmoid(model.answerable.value(&f)))
}

fn best_is_right(seen: &Seen, model: &Linear) -> bool {
    ordered(seen, model).first().is_some_and(|(i, _)| seen.candidates[*i].1)
}

/// The highest threshold with at most the given share of false refusals; with its refusal recall and false refusals.
fn threshold(confidences: &[(f32, bool)], max_false_refusals: f64) -> (f32, f64, f64) {
    let share = |below: f32, answerable: bool| {
        let of = confidences.iter().filter(|(_, a)| *a == answerable).count().max(1);
        let refused = confidences.iter().filter(|(c, a)| *a == answerable && *c < below).count();
        refused as f64 / of as f64
    };
    let mut steps: Vec<f32> = confidences.iter().map(|(c, _)| *c).collect();
    steps.sort_by(f32::total_cmp);
    let best = steps.into_iter().take_while(|t| share(*t, true) <= max_false_refusals).last().unwrap_or(0.5);
    (best, share(best, false), share(best, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threshold_keeps_false_refusals_in_bounds() {
        let confidences: Vec<(f32, bool)> =
            (0..10).map(|i| (i as f32 / 10.0, i >= 4)).chain([(0.05, true)]).collect();
        let (t, refused, false_refusals) = threshold(&confidences, 0.15);
        assert!((t - 0.4).abs() < 1e-6 && (refused - 1.0).abs() < 1e-9, "{t} {refused}");
        assert!(false_refusals <= 0.15);
    }
}
