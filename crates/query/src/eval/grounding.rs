//! Grounding measured: statements that a passage supports and statements that none does, made from questions with known
//! sources, and how many of each are accepted.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::answer::Answerer;
use crate::error::Result;
use crate::eval::answers::as_asked;
use crate::eval::dataset::EvalQuestion;
use crate::eval::pairs::{Kind, pairs};
use crate::ground::Evidence;
use crate::statements::Statement;

/// Thresholds that are tried, in hundredths.
const TRIED: std::ops::RangeInclusive<u8> = 20..=80;
/// Between two that are tried.
const STEP: usize = 5;
/// What accepting a wrong statement costs, in right ones that are not accepted.
const WRONG: f64 = 3.0;

/// How many statements are accepted with a pair of thresholds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Rates {
    /// [`crate::GenerateConfig::support_lexical`].
    pub support_lexical: f32,
    /// [`crate::GenerateConfig::support_cosine`].
    pub support_cosine: f32,
    /// Share of the supported statements that is accepted, the mean over their kinds.
    pub true_accepts: f64,
    /// Share of the unsupported statements that is accepted, the mean over their kinds.
    pub false_accepts: f64,
    /// Share of the statements of each kind that is accepted.
    pub by_kind: BTreeMap<String, f64>,
}

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GroundingReport {
    /// Questions whose source was among the passages found.
    pub questions: usize,
    /// Statements made of them, by kind.
    pub statements: BTreeMap<String, usize>,
    /// With the thresholds of the settings.
    pub now: Rates,
    /// With those that tell the two apart best: the greatest difference of the shares (as in Youden 1950), where a wrong
    /// statement that is accepted costs as much as three right ones that are flagged; the strictest of equals.
    pub best: Rates,
}

/// One statement's outcome.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatementOutcome {
    /// The question's identifier.
    pub id: String,
    /// Language.
    pub lang: String,
    /// How the statement was made.
    pub kind: Kind,
    /// The statement.
    pub statement: String,
    /// Whether it is accepted with the settings' thresholds.
    pub accepted: bool,
    /// What speaks for the possible quotes that hold its numbers, codes and names.
    pub evidence: Vec<Evidence>,
}

/// Makes statements of `questions` and checks each against the passages found for its question.
///
/// # Errors
/// Fails where retrieval or the lexical index fails; the question's id is in the message.
pub async fn run(
    answerer: &Answerer,
    questions: &[EvalQuestion],
    progress: &(dyn Fn(usize) + Send + Sync),
) -> Result<(GroundingReport, Vec<StatementOutcome>)> {
    let (mut outcomes, mut used) = (Vec::new(), 0);
    for (number, question) in questions.iter().enumerate() {
        let found = of_question(answerer, questions, number);
        let found = found.await.map_err(|error| error.of_question(&question.id))?;
        used += usize::from(!found.is_empty());
        outcomes.extend(found);
        progress(number + 1);
    }
    let generate = &answerer.config().generate;
    let now = rates(&outcomes, generate.support_lexical, generate.support_cosine);
    let tried = || TRIED.step_by(STEP).map(|hundredths| f32::from(hundredths) / 100.0);
    let all = tried().flat_map(|lexical| tried().map(move |cosine| (lexical, cosine)));
    let tells = |rates: &Rates| rates.true_accepts - WRONG * rates.false_accepts;
    let best = all.map(|(lexical, cosine)| rates(&outcomes, lexical, cosine));
    let best = best.max_by(|a, b| tells(a).total_cmp(&tells(b))).unwrap_or_default();
    let mut statements = BTreeMap::new();
    for outcome in &outcomes {
        *statements.entry(outcome.kind.name().to_owned()).or_default() += 1;
    }
    for outcome in &mut outcomes {
        outcome.accepted = accepts(outcome, now.support_lexical, now.support_cosine);
    }
    Ok((GroundingReport { questions: used, statements, now, best }, outcomes))
}

/// The statements of question `number`; none where its source was not found.
async fn of_question(
    answerer: &Answerer,
    questions: &[EvalQuestion],
    number: usize,
) -> Result<Vec<StatementOutcome>> {
    let Some(question) = questions.get(number).filter(|q| q.answerable) else { return Ok(Vec::new()) };
    let (asked, caller) = as_asked(question);
    let findings = answerer.findings(&asked, &caller).await?;
    let quoted = question.sources.iter().filter(|source| !source.quote.is_empty()).find_map(|source| {
        let found = findings.passages.iter().find(|found| {
            found.passage.name == source.document && found.passage.text.contains(&source.quote)
        });
        found.map(|found| (source.quote.as_str(), found.passage.marker))
    });
    let Some((quote, marker)) = quoted else { return Ok(Vec::new()) };
    let (rewritten, passages) = (&findings.rewritten, &findings.passages);
    let grounding = answerer.grounding(&question.question, rewritten, passages).await?;
    let all: String = findings.passages.iter().map(|found| found.passage.text.as_str()).collect();
    let mut out = Vec::new();
    for (kind, text) in pairs(questions, number, quote, &findings.rewritten, &all) {
        let span = lore_core::Span::new(0, text.chars().count());
        let statement = Statement { span, text, cited: vec![marker], header: false };
        let evidence = grounding.evidence(&statement).await?;
        let (id, lang) = (question.id.clone(), question.lang.clone());
        out.push(StatementOutcome { id, lang, kind, statement: statement.text, accepted: false, evidence });
    }
    Ok(out)
}

fn accepts(outcome: &StatementOutcome, lexical: f32, cosine: f32) -> bool {
    outcome.evidence.iter().any(|evidence| evidence.is_enough(lexical, cosine))
}

fn rates(outcomes: &[StatementOutcome], support_lexical: f32, support_cosine: f32) -> Rates {
    let mut counts: BTreeMap<Kind, (usize, usize)> = BTreeMap::new();
    for outcome in outcomes {
        let (accepted, all) = counts.entry(outcome.kind).or_default();
        *accepted += usize::from(accepts(outcome, support_lexical, support_cosine));
        *all += 1;
    }
    let share = |(accepted, all): &(usize, usize)| *accepted as f64 / (*all).max(1) as f64;
    let mean = |supported: bool| {
        let of: Vec<f64> = counts
            .iter()
            .filter(|(kind, _)| kind.is_supported() == supported)
            .map(|(_, c)| share(c))
            .collect();
        of.iter().sum::<f64>() / of.len().max(1) as f64
    };
    Rates {
        support_lexical,
        support_cosine,
        true_accepts: mean(true),
        false_accepts: mean(false),
        by_kind: counts.iter().map(|(kind, count)| (kind.name().to_owned(), share(count))).collect(),
    }
}
