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
use crate::support::{Linear, Standing, SupportModel, answerable_features};

/// Penalty of the sentence model's weights.
const SENTENCE_L2: f64 = 1e-3;
/// Penalty of the second model's weights.
const ANSWERABLE_L2: f64 = 5e-3;
/// Weight of all questions whose sources were taken away, relative to those without an answer.
const TAKEN: f64 = 0.5;
/// Weight of all questions over another's passages, relative to those without an answer.
const STRAY: f64 = 1.5;
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
    /// Sentences with whether each is a right one.
    candidates: Vec<(Candidate, bool)>,
    /// For each, whether it stands in a document that has the answer.
    in_source: Vec<bool>,
    /// Sentences of passages that were found for another question.
    strays: Vec<Candidate>,
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
    let mut before: Vec<FoundPassage> = Vec::new();
    for (number, question) in questions.iter().enumerate() {
        let (asked, caller) = as_asked(question);
        let findings = answerer.findings(&asked, &caller).await;
        let findings = findings.map_err(|error| error.of_question(&question.id))?;
        let of_another = |p: &&FoundPassage| question.sources.iter().all(|s| s.document != p.passage.name);
        let others: Vec<FoundPassage> = before.iter().filter(of_another).cloned().collect();
        let strays = answerer.candidates(&findings.rewritten, findings.vector.as_deref(), &others).await;
        let (_, strays) = strays.map_err(|error| error.of_question(&question.id))?;
        before = findings.passages.clone();
        let document = |c: &Candidate| findings.passages.get(c.passage).map(|p| p.passage.name.as_str());
        let source =
            |c: &Candidate| question.sources.iter().any(|s| Some(s.document.as_str()) == document(c));
        let in_source = findings.candidates.iter().map(source).collect();
        let candidates: Vec<(Candidate, bool)> = findings
            .candidates
            .into_iter()
            .map(|c| {
                let right = findings.passages.get(c.passage).is_some_and(|p| is_right(question, p, &c));
                (c, right)
            })
            .collect();
        seen.push(Seen { question: number, answerable: question.answerable, candidates, in_source, strays });
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
    // What the second model learns: that a right sentence answers; that nothing answers a question without an answer,
    // nor one whose sources were taken away, nor one over another's passages. The best sentence of an answerable
    // question is left out where it is wrong.
    let (mut right, mut without, mut taken, mut strays) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for s in seen {
        if !s.answerable {
            without.extend(best_features(s, &sentence, |_| true));
        } else if best_is_right(s, &sentence) {
            right.extend(best_features(s, &sentence, |_| true));
            taken.extend(best_features(s, &sentence, |i| !s.in_source[i]));
        }
        strays.extend(features_of(&ordered(s.strays.iter(), &sentence)));
    }
    // People ask what has no answer more often near one than far from any.
    let share = |rows: &[Vec<f32>], relative: f64| match without.len() {
        0 => 1.0,
        count => relative * count as f64 / rows.len().max(1) as f64,
    };
    let (taken_weight, stray_weight) = (share(&taken, TAKEN), share(&strays, STRAY));
    let weighted = |rows: Vec<Vec<f32>>, y: bool, weight: f64| {
        rows.into_iter().map(move |features| fit::Example { features, y, weight })
    };
    let answers: Vec<fit::Example> = weighted(right, true, 1.0)
        .chain(weighted(without, false, 1.0))
        .chain(weighted(taken, false, taken_weight))
        .chain(weighted(strays, false, stray_weight))
        .collect();
    let answerable = fit::logistic(&answers, ANSWERABLE_L2);
    SupportModel { sentence, answerable }
}

/// The candidates as `model` orders them, with their scores, best first.
fn ordered<'a>(candidates: impl Iterator<Item = &'a Candidate>, model: &Linear) -> Vec<(&'a Candidate, f32)> {
    let mut order: Vec<(&Candidate, f32)> =
        candidates.map(|c| (c, model.value(&c.evidence.features()))).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    order
}

/// What the second model sees of ordered candidates; `None` where there are none.
fn features_of(order: &[(&Candidate, f32)]) -> Option<Vec<f32>> {
    let (best, _) = order.first()?;
    Some(answerable_features(&best.evidence, &Standing::of(&ranked(order))))
}

/// Passage and score of ordered candidates.
fn ranked(order: &[(&Candidate, f32)]) -> Vec<(usize, f32)> {
    order.iter().map(|(c, score)| (c.passage, *score)).collect()
}

/// What the second model sees of a question when only the sentences that `kept` names were found.
fn best_features(seen: &Seen, model: &Linear, kept: impl Fn(usize) -> bool) -> Option<Vec<f32>> {
    let candidates = seen.candidates.iter().enumerate().filter(|(i, _)| kept(*i)).map(|(_, (c, _))| c);
    features_of(&ordered(candidates, model))
}

fn confidence(seen: &Seen, model: &SupportModel) -> f32 {
    let order = ordered(seen.candidates.iter().map(|(c, _)| c), &model.sentence);
    order.first().map_or(0.0, |(best, _)| model.confidence(&best.evidence, &ranked(&order)))
}

fn best_is_right(seen: &Seen, model: &Linear) -> bool {
    let scored = seen.candidates.iter().map(|(c, right)| (model.value(&c.evidence.features()), *right));
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).is_some_and(|(_, right)| right)
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
