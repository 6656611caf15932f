//! The gate: whether a candidate may take the place of the incumbent, as a pure function of two reports.
//!
//! Both have answered the same held-out questions in the same run ([`crate::eval::evaluate_pair`]). A candidate passes
//! where all of this holds:
//!
//! 1. At least `min_questions` questions tell the main metric.
//! 2. The main metric rose by more than `min_gain`, and the lower end of its interval is not below `-tolerance`: the gain
//!    is no accident that hides a loss. A gain within the tolerance has to be sure, its whole interval above zero.
//! 3. No metric fell by more than its tolerance where the whole interval lies on the worse side of zero: what is surely
//!    worse is refused.
//! 4. No metric fell by more than `limit`, whatever its interval: a fall that large is not excused by few questions; one
//!    question alone never counts as such a fall.
//!
//! The interval is that of the paired bootstrap (Efron and Tibshirani 1993, chapter 13; Koehn 2004 for systems that
//! answer the same questions): questions are drawn with replacement, both reports' means are taken over the same draw,
//! and the percentiles of the differences are its ends.

use std::collections::{BTreeMap, BTreeSet};

use lore_core::random::Random;
use serde::{Deserialize, Serialize};

use crate::eval::answers::{Metric, QuestionOutcome};
use crate::eval::compare::AnswerReport;

/// Most ids of questions that are listed as gained or lost.
const LISTED: usize = 50;

/// When a candidate passes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateConfig {
    /// The metric that must rise.
    pub metric: Metric,
    /// What it must rise by more than.
    pub min_gain: f64,
    /// What a metric may surely fall by.
    pub tolerance: f64,
    /// Other tolerances for some metrics.
    pub tolerances: BTreeMap<Metric, f64>,
    /// What no metric may fall by more than, sure or not.
    pub limit: f64,
    /// Fewer questions that the main metric looks at tell nothing.
    pub min_questions: usize,
    /// Share of the draws that lie within the interval.
    pub confidence: f64,
    /// Draws.
    pub resamples: usize,
    /// What the draws start from.
    pub seed: u64,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            metric: Metric::AnswerF1,
            min_gain: 0.0,
            tolerance: 0.02,
            tolerances: BTreeMap::new(),
            limit: 0.1,
            min_questions: 30,
            confidence: 0.95,
            resamples: 2000,
            seed: 0,
        }
    }
}

impl GateConfig {
    /// Refuses values that mean nothing, naming the key.
    ///
    /// # Errors
    /// The key, its value and its bounds, as text.
    pub fn check(&self) -> Result<(), String> {
        let within = |key: &str, value: f64| match (0.0..=1.0).contains(&value) {
            true => Ok(()),
            false => Err(format!("gate.{key} is {value}; it must lie between 0 and 1")),
        };
        within("min_gain", self.min_gain)?;
        within("tolerance", self.tolerance)?;
        within("limit", self.limit)?;
        for (metric, tolerance) in &self.tolerances {
            within(&format!("tolerances.{}", metric.name()), *tolerance)?;
        }
        if !(0.5..1.0).contains(&self.confidence) {
            return Err(format!("gate.confidence is {}; it must lie between 0.5 and 1", self.confidence));
        }
        if !(100..=100_000).contains(&self.resamples) {
            return Err(format!("gate.resamples is {}; it must lie between 100 and 100000", self.resamples));
        }
        Ok(())
    }

    fn tolerance_of(&self, metric: Metric) -> f64 {
        self.tolerances.get(&metric).copied().unwrap_or(self.tolerance)
    }
}

/// How a metric changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The whole interval lies on the better side of zero.
    Better,
    /// Zero lies in the interval.
    Unsure,
    /// The whole interval lies on the worse side of zero.
    Worse,
    /// No question tells it.
    Unmeasured,
}

/// A metric of both reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricVerdict {
    /// Which.
    pub metric: Metric,
    /// The candidate's mean.
    pub candidate: f64,
    /// The incumbent's mean.
    pub incumbent: f64,
    /// Candidate less incumbent.
    pub difference: f64,
    /// Lower end of the difference's interval.
    pub low: f64,
    /// Upper end of the difference's interval.
    pub high: f64,
    /// Questions that tell it, of the report that has fewer of them.
    pub questions: usize,
    /// What that says.
    pub change: Change,
}

/// What the gate says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateVerdict {
    /// Whether the candidate may go live.
    pub passed: bool,
    /// Why, or why not.
    pub reasons: Vec<String>,
    /// Who was judged.
    pub candidate: String,
    /// Against whom.
    pub incumbent: String,
    /// Questions that both answered.
    pub questions: usize,
    /// Each metric.
    pub metrics: Vec<MetricVerdict>,
    /// Questions that only the candidate answered right, or refused rightly; at most 50.
    pub gained: Vec<String>,
    /// Questions that only the incumbent answered right, or refused rightly; at most 50.
    pub lost: Vec<String>,
    /// The settings.
    pub settings: GateConfig,
}

/// Why two reports cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// They are not of the same questions.
    #[error(
        "the two reports are not of the same questions: number {number} is {candidate} in the candidate's and \
         {incumbent} in the incumbent's; ask both the same questions in one run"
    )]
    Questions {
        /// Number of the question, from 1.
        number: usize,
        /// Its id in the candidate's report.
        candidate: String,
        /// Its id in the incumbent's report.
        incumbent: String,
    },
    /// A question counts twice.
    #[error("two questions have the id {id}; give each its own")]
    Twice {
        /// The id.
        id: String,
    },
    /// A setting means nothing.
    #[error("{0}")]
    Settings(String),
}

/// Whether `candidate` may take the place of `incumbent`.
///
/// # Errors
/// Fails where the reports are not of the same questions, and on settings that mean nothing.
pub fn gate(
    candidate: &AnswerReport,
    incumbent: &AnswerReport,
    config: &GateConfig,
) -> Result<GateVerdict, GateError> {
    config.check().map_err(GateError::Settings)?;
    same_questions(&candidate.outcomes, &incumbent.outcomes)?;
    let (new, old) = (&candidate.outcomes, &incumbent.outcomes);
    let metrics = measure(new, old, config);
    let mut against: Vec<String> = Vec::new();
    let questions = new.len();
    let mut reasons = Vec::new();
    if let Some(main) = metrics.iter().find(|m| m.metric == config.metric) {
        if main.change != Change::Unmeasured && main.questions < config.min_questions {
            let (name, count, least) = (main.metric.name(), main.questions, config.min_questions);
            against.push(format!(
                "{count} questions for {name} are too few to tell; gate.min_questions is {least}"
            ));
        }
        match main_reason(main, config) {
            Ok(reason) => reasons.push(reason),
            Err(reason) => against.push(reason),
        }
    }
    against.extend(metrics.iter().filter_map(|metric| fall_reason(metric, config)));
    let passed = against.is_empty();
    if passed {
        reasons.push("no other metric fell by more than is allowed".to_owned());
    } else {
        reasons = against;
    }
    Ok(GateVerdict {
        passed,
        reasons,
        candidate: candidate.model.clone(),
        incumbent: incumbent.model.clone(),
        questions,
        metrics,
        gained: only_first(new, old),
        lost: only_first(old, new),
        settings: config.clone(),
    })
}

fn same_questions(candidate: &[QuestionOutcome], incumbent: &[QuestionOutcome]) -> Result<(), GateError> {
    let id = |outcomes: &[QuestionOutcome], at: usize| {
        outcomes.get(at).map_or("missing".to_owned(), |outcome| outcome.id.clone())
    };
    let same = |a: &QuestionOutcome, b: &QuestionOutcome| {
        (&a.id, &a.question, a.answerable) == (&b.id, &b.question, b.answerable)
    };
    for at in 0..candidate.len().max(incumbent.len()) {
        if !matches!((candidate.get(at), incumbent.get(at)), (Some(a), Some(b)) if same(a, b)) {
            let (candidate, incumbent) = (id(candidate, at), id(incumbent, at));
            return Err(GateError::Questions { number: at + 1, candidate, incumbent });
        }
    }
    distinct(candidate.iter().map(|outcome| outcome.id.as_str()))
}

/// Refuses ids of questions of which two are the same.
///
/// # Errors
/// [`GateError::Twice`] names the first.
pub fn distinct<'a>(ids: impl IntoIterator<Item = &'a str>) -> Result<(), GateError> {
    let mut seen = BTreeSet::new();
    match ids.into_iter().find(|id| !seen.insert(*id)) {
        Some(id) => Err(GateError::Twice { id: id.to_owned() }),
        None => Ok(()),
    }
}

/// Ids of the questions that `first` did right and `second` did not.
fn only_first(first: &[QuestionOutcome], second: &[QuestionOutcome]) -> Vec<String> {
    let pairs = first.iter().zip(second).filter(|(a, b)| a.is_right() && !b.is_right());
    pairs.take(LISTED).map(|(a, _)| a.id.clone()).collect()
}

fn main_reason(main: &MetricVerdict, config: &GateConfig) -> Result<String, String> {
    let (told, name) = (told(main), main.metric.name());
    if main.change == Change::Unmeasured {
        return Err(format!("no question tells {name}, which must rise"));
    }
    let (gain, low, _) = towards_better(main);
    if gain <= config.min_gain {
        let wanted = match config.min_gain > 0.0 {
            true => format!("by more than {:.4} ", config.min_gain),
            false => String::new(),
        };
        return Err(format!("{name} did not get better {wanted}{told}"));
    }
    let tolerance = config.tolerance_of(main.metric);
    if low < -tolerance {
        return Err(format!(
            "{name} got better, but chance may hide a loss of more than {tolerance:.4} {told}"
        ));
    }
    if low <= 0.0 && gain <= tolerance {
        return Err(format!("{name} got better by no more than chance may give {told}"));
    }
    Ok(format!("{name} got better {told}"))
}

/// Why a metric's fall is refused, if it is.
fn fall_reason(metric: &MetricVerdict, config: &GateConfig) -> Option<String> {
    if metric.change == Change::Unmeasured {
        return None;
    }
    let (gain, ..) = towards_better(metric);
    let (told, name, tolerance) = (told(metric), metric.metric.name(), config.tolerance_of(metric.metric));
    if metric.change == Change::Worse && gain < -tolerance {
        return Some(format!("{name} is surely worse, by more than {tolerance:.4} {told}"));
    }
    let limit = config.limit.max(1.0 / metric.questions.max(1) as f64 + 1e-9);
    (gain < -limit).then(|| format!("{name} is worse by more than {limit:.4} {told}"))
}

fn told(metric: &MetricVerdict) -> String {
    let &MetricVerdict { candidate, incumbent, low, high, .. } = metric;
    format!("({incumbent:.4} to {candidate:.4}; interval of the difference {low:+.4} to {high:+.4})")
}

/// Difference and interval with the better side above zero.
fn towards_better(metric: &MetricVerdict) -> (f64, f64, f64) {
    let &MetricVerdict { difference, low, high, .. } = metric;
    match metric.metric.sign() > 0.0 {
        true => (difference, low, high),
        false => (-difference, -high, -low),
    }
}

/// A question's value in each report, and whether the metric looks at it there.
type Told = [Option<f64>; 2];

fn measure(new: &[QuestionOutcome], old: &[QuestionOutcome], config: &GateConfig) -> Vec<MetricVerdict> {
    let tables: Vec<Vec<Told>> = Metric::ALL
        .iter()
        .map(|metric| new.iter().zip(old).map(|(a, b)| [metric.of(a), metric.of(b)]).collect())
        .collect();
    let all = || 0..new.len();
    let mut drawn: Vec<Vec<f64>> = vec![Vec::with_capacity(config.resamples); tables.len()];
    let mut random = Random::new(config.seed);
    let mut draw = vec![0; new.len()];
    for _ in 0..config.resamples {
        draw.fill_with(|| random.below(new.len()));
        for (table, drawn) in tables.iter().zip(&mut drawn) {
            let [a, b] = means(table, draw.iter().copied());
            drawn.push(a.0 - b.0);
        }
    }
    let metrics = Metric::ALL.iter().zip(tables.iter().zip(drawn));
    metrics
        .map(|(&metric, (table, mut drawn))| {
            let [candidate, incumbent] = means(table, all());
            drawn.sort_by(f64::total_cmp);
            // As many draws beyond either end, so that swapping the reports mirrors the interval.
            let beyond = ((1.0 - config.confidence) / 2.0 * drawn.len() as f64) as usize;
            let end = |at: usize| drawn.get(at).copied().unwrap_or(0.0);
            let mut verdict = MetricVerdict {
                metric,
                candidate: candidate.0,
                incumbent: incumbent.0,
                difference: candidate.0 - incumbent.0,
                low: end(beyond),
                high: end(drawn.len().saturating_sub(1 + beyond)),
                questions: candidate.1.min(incumbent.1),
                change: Change::Unsure,
            };
            let (_, low, high) = towards_better(&verdict);
            verdict.change = match () {
                () if candidate.1 == 0 && incumbent.1 == 0 => Change::Unmeasured,
                () if low > 0.0 => Change::Better,
                () if high < 0.0 => Change::Worse,
                () => Change::Unsure,
            };
            verdict
        })
        .collect()
}

/// Both reports' means over the questions `drawn`, each with how many told it; 0 for none, as in the reports.
fn means(table: &[Told], drawn: impl Iterator<Item = usize>) -> [(f64, usize); 2] {
    let mut sums = [(0.0, 0usize); 2];
    for told in drawn.filter_map(|at| table.get(at)) {
        for (sum, value) in sums.iter_mut().zip(told) {
            if let Some(value) = value {
                *sum = (sum.0 + value, sum.1 + 1);
            }
        }
    }
    sums.map(|(sum, count)| (if count == 0 { 0.0 } else { sum / count as f64 }, count))
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
