//! What the gate says, for a person.

use lore_query::eval::gate::Change;
use lore_query::eval::{GateVerdict, MetricVerdict};

use crate::print;

/// Writes a verdict: as one line of JSON, or its metrics as a table and its reasons.
///
/// # Errors
/// Fails where stdout is gone.
pub fn print(as_json: bool, verdict: &GateVerdict) -> anyhow::Result<()> {
    if as_json {
        return print::json(verdict);
    }
    let head = ["metric", "incumbent", "candidate", "difference", "interval", "questions", ""];
    print::table(&head, &verdict.metrics.iter().map(row).collect::<Vec<_>>())?;
    for (name, ids) in [("gained", &verdict.gained), ("lost", &verdict.lost)] {
        if !ids.is_empty() {
            print::line(&format!("{name}: {}", ids.join(", ")))?;
        }
    }
    let said = if verdict.passed { "passed" } else { "failed" };
    print::line(&format!("{said}: {} against {}", verdict.candidate, verdict.incumbent))?;
    verdict.reasons.iter().try_for_each(|reason| print::line(&format!("- {reason}")))
}

fn row(metric: &MetricVerdict) -> Vec<String> {
    let &MetricVerdict { candidate, incumbent, difference, low, high, questions, change, .. } = metric;
    let said = match change {
        Change::Better => "better",
        Change::Worse => "worse",
        Change::Unsure => "",
        Change::Unmeasured => "not measured",
    };
    vec![
        metric.metric.name().to_owned(),
        format!("{incumbent:.4}"),
        format!("{candidate:.4}"),
        format!("{difference:+.4}"),
        format!("{low:+.4} to {high:+.4}"),
        questions.to_string(),
        said.to_owned(),
    ]
}
