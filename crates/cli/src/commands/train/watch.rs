//! A run as a person sees it: a bar on a terminal, plain lines elsewhere, and what it came to.

use std::path::Path;

use lore_train::plan::count;
use lore_train::run::{End, Event, Observer, Outcome, StepMetrics};

use crate::progress::{self, Progress, Unit};

/// Shows a run.
pub struct Watch {
    /// Values in all.
    values: usize,
    bar: Option<Progress>,
    /// Where the bar stands: steps done, in all, and what was told with the last.
    at: (u64, u64, String),
}

impl Watch {
    /// Of a net with so many values.
    pub fn new(values: usize) -> Self {
        Self { values, bar: None, at: (0, 0, String::new()) }
    }

    /// Brings the bar up to date, where there is one.
    fn bar(&self, more: Option<&str>) {
        let (done, of, told) = &self.at;
        if let Some(bar) = &self.bar {
            bar.set_with(*done, *of, more.unwrap_or(told));
        }
    }
}

impl Observer for Watch {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Probing { tokens, peak } => {
                let took = match peak {
                    Some(peak) => format!("takes {}", size(*peak)),
                    None => "was tried".into(),
                };
                progress::say(&format!("a batch of {} tokens {took}", count(*tokens)));
            }
            Event::Begun { steps, done, examples, held_out, batch_tokens, trained } => {
                let share = 100.0 * *trained as f64 / self.values.max(1) as f64;
                let batches = match batch_tokens {
                    Some(tokens) => format!(" in batches of {} tokens", count(*tokens)),
                    None => String::new(),
                };
                progress::say(&format!(
                    "training {} of {} values ({share:.2} %) on {} examples{batches}, {} held out: {} steps",
                    count(*trained),
                    count(self.values),
                    count(*examples),
                    count(*held_out),
                    count(*steps)
                ));
                if *done > 0 {
                    progress::say(&format!("going on after step {}", count(*done)));
                }
                self.bar = Some(Progress::with_figures("training", Unit::Count("steps")));
                self.at = (*done as u64, *steps as u64, String::new());
                self.bar(None);
            }
            Event::Step { metrics, logged, steps, left } => {
                let plain = self.bar.as_ref().is_some_and(|bar| !bar.is_bar());
                self.at = (metrics.step as u64, *steps as u64, short(metrics, *left));
                if !plain {
                    self.bar(None);
                } else if *logged {
                    let (step, steps) = (count(metrics.step), count(*steps));
                    progress::say(&format!("step {step} of {steps}: {}", told(metrics, *left)));
                }
            }
            Event::Skipped { step, scale } => progress::say(&format!(
                "step {step} was left out: a gradient overflowed; the loss is multiplied by {scale} from now on"
            )),
            Event::Evaluating { done, of } => self.bar(Some(&format!("evaluating, batch {done} of {of}"))),
            Event::Evaluated { metrics, best } => {
                let best = if *best { ", the best so far" } else { "" };
                progress::say(&format!(
                    "step {}: eval loss {:.4}{best}",
                    count(metrics.step),
                    metrics.eval_loss
                ));
                self.bar(None);
            }
            Event::Saved { folder, step } => {
                progress::say(&format!("step {}: saved {}", count(*step), folder.display()));
            }
            Event::Ended(_) => self.bar = None,
        }
    }
}

/// Figures of a step.
fn told(metrics: &StepMetrics, left: f64) -> String {
    let StepMetrics { loss, learning_rate, tokens_per_s, .. } = metrics;
    format!(
        "loss {loss:.4}, learning rate {learning_rate:.2e}, {} tokens/s, {} left",
        count(*tokens_per_s as usize),
        time(left)
    )
}

/// The same beside a bar, on a terminal of 80 columns.
fn short(metrics: &StepMetrics, left: f64) -> String {
    let StepMetrics { loss, learning_rate, tokens_per_s, .. } = metrics;
    let speed = count(*tokens_per_s as usize);
    format!("loss {loss:.3}, rate {learning_rate:.1e}, {speed} tokens/s, {}", time(left))
}

/// What a run came to, in lines.
pub fn summary(outcome: &Outcome) -> Vec<String> {
    let how = match outcome.end {
        End::Finished => "finished",
        End::Early => "ended early, since evaluations no longer became better,",
        End::Stopped => "stopped",
    };
    let mut lines = vec![format!(
        "{how} after {} steps ({:.2} epochs) in {}: loss {:.4}, {} tokens, {} tokens/s",
        count(outcome.steps),
        outcome.epochs,
        time(outcome.elapsed),
        outcome.train_loss,
        count(usize::try_from(outcome.tokens).unwrap_or(usize::MAX)),
        count(outcome.tokens_per_s as usize)
    )];
    if let Some(eval) = &outcome.eval {
        let best = match &outcome.best {
            Some(best) if best.step != eval.step => {
                format!(", the best {:.4} at step {}", best.loss, best.step)
            }
            _ => String::new(),
        };
        lines.push(format!("eval loss {:.4}{best}", eval.eval_loss));
    }
    let place = |path: &Path| path.display().to_string();
    if let Some(output) = &outcome.output {
        lines.push(format!("what was learned is in {}", place(output)));
    }
    match (&outcome.checkpoint, outcome.end) {
        (Some(checkpoint), End::Stopped) => {
            lines.push(format!("`--resume` goes on from {}", place(checkpoint)));
        }
        (None, End::Stopped) => lines.push("no step was done, so that there is nothing to go on from".into()),
        _ => {}
    }
    lines
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Seconds in words.
fn time(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..100 => format!("{whole} s"),
        100..6000 => format!("{} min", (whole + 30) / 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.2, 99.0, 100.0, 5999.0, 6000.0].map(time),
            ["0 s", "99 s", "2 min", "100 min", "1 h 40 min"]
        );
        assert_eq!([5_000_000, 1_500_000_000].map(size), ["5 MB", "1.5 GB"]);
    }

    fn outcome(end: End) -> Outcome {
        Outcome {
            end,
            steps: 1200,
            epochs: 2.0,
            train_loss: 1.5,
            eval: None,
            best: None,
            tokens: 1_000_000,
            tokens_per_s: 800.4,
            elapsed: 1250.0,
            checkpoint: Some("out/checkpoint-1200".into()),
            output: (end != End::Stopped).then(|| "out/adapter".into()),
        }
    }

    #[test]
    fn a_run_ends_with_what_to_do_next() {
        assert_eq!(
            summary(&outcome(End::Finished)),
            [
                "finished after 1,200 steps (2.00 epochs) in 21 min: loss 1.5000, 1,000,000 tokens, 800 tokens/s",
                "what was learned is in out/adapter",
            ]
        );
        let stopped = summary(&outcome(End::Stopped));
        assert!(stopped[0].starts_with("stopped after 1,200 steps"));
        assert_eq!(stopped[1], "`--resume` goes on from out/checkpoint-1200");
        let nothing = Outcome { checkpoint: None, ..outcome(End::Stopped) };
        assert!(summary(&nothing)[1].contains("nothing to go on from"));
    }
}
