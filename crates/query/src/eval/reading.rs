//! Reading alone, apart from retrieval: is the sentence found that answers, and is it seen where none does?
//!
//! Each question comes with a fixed number of passages: the paragraph that it was asked about and the nearest others that
//! a search finds. Where it has an answer, it is asked a second time with that paragraph absent. Nothing is refused; how
//! sure each answer is gives the refusals at any threshold.

use lore_core::random::Random;
use lore_core::{Access, Question, SearchMode};
use serde::Serialize;

use crate::answer::Answerer;
use crate::error::Result;
use crate::eval::dataset::EvalQuestion;
use crate::eval::metrics::contains;
use crate::passages::{FoundPassage, passages};
use crate::retrieve::SearchRequest;

/// Share of the answerable questions that may be refused where refusals are compared.
const FALSE_REFUSALS: f64 = 0.1;

/// Which questions.
#[derive(Clone, Copy, Debug)]
pub struct ReadingConfig {
    /// Questions with an answer, and as many without one, drawn by chance.
    pub questions: usize,
    /// Passages of a question.
    pub passages: usize,
    /// What chance starts from.
    pub seed: u64,
}

impl Default for ReadingConfig {
    fn default() -> Self {
        Self { questions: 500, passages: 4, seed: 42 }
    }
}

/// How well was read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReadingReport {
    /// Questions with an answer.
    pub answerable: usize,
    /// Questions without one.
    pub unanswerable: usize,
    /// Answerable ones: share whose answer holds a right one.
    pub right: f64,
    /// Answerable ones: share where the surest sentence, or the words of it that answer, hold a right one.
    pub first_right: f64,
    /// Sentences of an answer on average.
    pub sentences: f64,
    /// Share of the questions without an answer that are refused where 10 % of the others are, too.
    pub refusal_recall: f64,
    /// The same of the answerable questions whose paragraph is absent.
    pub absent_refusal_recall: f64,
    /// Probability that a question without an answer gets a less sure one than a question with one (area under the ROC
    /// curve).
    pub area: f64,
    /// Milliseconds of an answer on average.
    pub mean_ms: f64,
}

/// One question's outcome.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReadingOutcome {
    /// Identifier.
    pub id: String,
    /// What was asked.
    pub question: String,
    /// `answerable`, `unanswerable`, or `absent`.
    pub kind: &'static str,
    /// A right answer.
    pub gold: String,
    /// What was answered.
    pub answer: String,
    /// How sure it is.
    pub confidence: f32,
    /// Whether the answer holds a right one.
    pub right: bool,
    /// Whether its first sentence does.
    pub first_right: bool,
    /// Sentences in it.
    pub sentences: usize,
    /// Milliseconds.
    pub ms: f64,
}

/// Reads the questions that `config` draws of `questions`, each of which names the one document that it was asked about.
/// The answerer must refuse nothing.
///
/// # Errors
/// Fails where a question fails; its id is in the message.
pub async fn run(
    answerer: &Answerer,
    questions: &[EvalQuestion],
    config: ReadingConfig,
    progress: &(dyn Fn(usize) + Send + Sync),
) -> Result<(ReadingReport, Vec<ReadingOutcome>)> {
    let mut outcomes = Vec::new();
    for question in drawn(questions, config) {
        let failed = |error: crate::QueryError| error.of_question(&question.id);
        let (near, vector) = near(answerer, question, config).await.map_err(failed)?;
        let source = |found: &FoundPassage| question.sources.iter().any(|s| s.document == found.passage.name);
        let kinds: &[&str] = if question.answerable { &["answerable", "absent"] } else { &["unanswerable"] };
        for kind in kinds {
            let shown = choose(&near, source, *kind != "absent", config.passages);
            let asked = Question { text: question.question.clone(), ..Question::default() };
            let summary = answerer.answer_over(&asked, shown, vector.clone()).await.map_err(failed)?;
            let holds = |text: &str| {
                *kind == "answerable"
                    && question.answers.iter().any(|parts| parts.iter().all(|part| contains(text, part)))
            };
            let surest = summary.citations.iter().max_by(|a, b| a.score.total_cmp(&b.score));
            let first = surest.and_then(|citation| citation.answer_span.slice(&summary.answer));
            outcomes.push(ReadingOutcome {
                id: question.id.clone(),
                question: question.question.clone(),
                kind,
                gold: question.answers.first().map(|parts| parts.join("; ")).unwrap_or_default(),
                confidence: summary.confidence,
                right: summary.answered && holds(&summary.answer),
                first_right: first.is_some_and(holds),
                sentences: summary.citations.len(),
                ms: summary.timings.total_ms,
                answer: summary.answer,
            });
        }
        progress(outcomes.len());
    }
    Ok((report(&outcomes), outcomes))
}

/// The questions of both sorts, in their order.
fn drawn(questions: &[EvalQuestion], config: ReadingConfig) -> Vec<&EvalQuestion> {
    let mut keep: Vec<usize> = Vec::new();
    for answerable in [true, false] {
        let mut of_sort: Vec<(u64, usize)> = questions
            .iter()
            .enumerate()
            .filter(|(_, question)| question.answerable == answerable && !question.sources.is_empty())
            .map(|(index, question)| (Random::of(config.seed, &question.id).next(), index))
            .collect();
        of_sort.sort_unstable();
        keep.extend(of_sort.into_iter().take(config.questions).map(|(_, index)| index));
    }
    keep.sort_unstable();
    keep.into_iter().filter_map(|index| questions.get(index)).collect()
}

/// What a search finds, its hits one passage each, with more than enough of them, and the question's vector.
async fn near(
    answerer: &Answerer,
    question: &EvalQuestion,
    config: ReadingConfig,
) -> Result<(Vec<FoundPassage>, Option<Vec<f32>>)> {
    let request = SearchRequest {
        query: question.question.clone(),
        mode: SearchMode::Hybrid,
        filter: lore_core::Filter::default(),
        access: Access::All,
        limit: config.passages * 50,
    };
    let retriever = answerer.retriever();
    let found = retriever.search(&request).await?;
    let vector = found.query_vector.filter(|_| retriever.dense_understands(&question.question));
    let catalog = retriever.index().catalog().clone();
    let hits = found.hits;
    let passages = tokio::task::spawn_blocking(move || passages(&catalog, &hits, hits.len())).await??;
    Ok((passages, vector))
}

/// The first `count` passages, that of the source among them, or not; numbered.
fn choose(
    near: &[FoundPassage],
    source: impl Fn(&FoundPassage) -> bool,
    with_source: bool,
    count: usize,
) -> Vec<FoundPassage> {
    let others = count.saturating_sub(usize::from(with_source));
    let (mut sources, mut rest) = (usize::from(with_source), others);
    let mut shown: Vec<FoundPassage> = near
        .iter()
        .filter(|found| {
            let left = if source(found) { &mut sources } else { &mut rest };
            let taken = *left > 0;
            *left -= usize::from(taken);
            taken
        })
        .cloned()
        .collect();
    for (number, found) in (1..).zip(&mut shown) {
        found.passage.marker = number;
    }
    shown
}

fn report(outcomes: &[ReadingOutcome]) -> ReadingReport {
    let of = |kind: &str| outcomes.iter().filter(|outcome| outcome.kind == kind).collect::<Vec<_>>();
    let (answerable, unanswerable, absent) = (of("answerable"), of("unanswerable"), of("absent"));
    let share = |of: &[&ReadingOutcome], is: &dyn Fn(&ReadingOutcome) -> bool| {
        of.iter().filter(|outcome| is(outcome)).count() as f64 / of.len().max(1) as f64
    };
    let mean = |of: &[&ReadingOutcome], value: &dyn Fn(&ReadingOutcome) -> f64| {
        of.iter().map(|outcome| value(outcome)).sum::<f64>() / of.len().max(1) as f64
    };
    let least = least(&answerable, FALSE_REFUSALS);
    let below = |outcome: &ReadingOutcome| outcome.confidence < least;
    let area = mean(&unanswerable, &|without| {
        let surer = |with: &ReadingOutcome| match with.confidence.total_cmp(&without.confidence) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        };
        mean(&answerable, &surer)
    });
    ReadingReport {
        answerable: answerable.len(),
        unanswerable: unanswerable.len(),
        right: share(&answerable, &|outcome| outcome.right),
        first_right: share(&answerable, &|outcome| outcome.first_right),
        sentences: mean(&answerable, &|outcome| outcome.sentences as f64),
        refusal_recall: share(&unanswerable, &below),
        absent_refusal_recall: share(&absent, &below),
        area,
        mean_ms: mean(&outcomes.iter().collect::<Vec<_>>(), &|outcome| outcome.ms),
    }
}

/// The confidence below which at most this share of `answerable` lies.
fn least(answerable: &[&ReadingOutcome], share: f64) -> f32 {
    let mut sorted: Vec<f32> = answerable.iter().map(|outcome| outcome.confidence).collect();
    sorted.sort_by(f32::total_cmp);
    sorted.get((share * sorted.len() as f64) as usize).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(kind: &'static str, confidence: f32, right: bool) -> ReadingOutcome {
        ReadingOutcome {
            id: String::new(),
            question: String::new(),
            kind,
            gold: String::new(),
            answer: String::new(),
            confidence,
            right,
            first_right: right,
            sentences: 2,
            ms: 1.0,
        }
    }

    #[test]
    fn refusals_are_counted_where_a_tenth_of_the_answerable_is_refused() {
        let mut all: Vec<ReadingOutcome> =
            (0..10u8).map(|i| outcome("answerable", 0.1 * f32::from(i) + 0.05, i > 2)).collect();
        all.extend([0.0, 0.1, 0.5, 1.0].map(|confidence| outcome("unanswerable", confidence, false)));
        all.push(outcome("absent", 0.2, false));
        let told = report(&all);
        // The threshold is 0.15: one of ten answerable ones lies below, and two of four others.
        assert_eq!((told.right, told.refusal_recall, told.absent_refusal_recall), (0.7, 0.5, 0.0));
        assert!((told.area - (1.0 + 0.9 + 0.5 + 0.0) / 4.0).abs() < 1e-9, "{}", told.area);
        assert_eq!((told.answerable, told.unanswerable, told.sentences), (10, 4, 2.0));
    }
}
