//! What happened in each minute of the last day, for the charts of whoever runs this server.
//!
//! It is kept in memory alone, from the start of the process on; Prometheus keeps figures for longer. A minute in which
//! nothing happened takes no memory, the others some hundred bytes each.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::metrics::Outcome;
use crate::sketch::Sketch;

/// Minutes that are kept.
pub const MINUTES: usize = 24 * 60;

/// What happened in a while.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Questions by how they ended.
    pub questions: Questions,
    /// Searches that were answered.
    pub searches: u32,
    /// Thumbs up.
    pub up: u32,
    /// Thumbs down.
    pub down: u32,
    /// From a question's arrival to the end of its answer.
    pub took: Sketch,
    /// From a question's arrival to the first piece of its answer.
    pub first_token: Sketch,
    /// From a search's arrival to its hits.
    pub search_took: Sketch,
    /// The longest that the queues were, where somebody looked.
    pub waiting: Option<Queues>,
}

/// Questions by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Questions {
    /// The documents held an answer.
    pub answered: u32,
    /// They did not.
    pub refused: u32,
    /// Something failed.
    pub failed: u32,
    /// The caller went away.
    pub cancelled: u32,
}

/// How many wait in each queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Queues {
    /// Questions and searches that wait for a place.
    pub questions: u64,
    /// Requests to the embedder.
    pub embedder: u64,
    /// Requests to the language model.
    pub generator: u64,
    /// Uploads.
    pub uploads: u64,
    /// Documents that wait to be read.
    pub jobs: u64,
}

impl Queues {
    fn longest(self, other: Self) -> Self {
        Self {
            questions: self.questions.max(other.questions),
            embedder: self.embedder.max(other.embedder),
            generator: self.generator.max(other.generator),
            uploads: self.uploads.max(other.uploads),
            jobs: self.jobs.max(other.jobs),
        }
    }
}

impl Figures {
    /// Counts a question.
    pub fn question(&mut self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Answered => &mut self.questions.answered,
            Outcome::Refused => &mut self.questions.refused,
            Outcome::Failed => &mut self.questions.failed,
            Outcome::Cancelled => &mut self.questions.cancelled,
        };
        *counter = counter.saturating_add(1);
    }

    /// Notes how long the queues are.
    pub fn waits(&mut self, queues: Queues) {
        self.waiting = Some(self.waiting.map_or(queues, |before| before.longest(queues)));
    }

    /// Adds what happened in another while.
    pub fn merge(&mut self, other: &Figures) {
        let (mine, theirs) = (&mut self.questions, other.questions);
        for (mine, theirs) in [
            (&mut mine.answered, theirs.answered),
            (&mut mine.refused, theirs.refused),
            (&mut mine.failed, theirs.failed),
            (&mut mine.cancelled, theirs.cancelled),
            (&mut self.searches, other.searches),
            (&mut self.up, other.up),
            (&mut self.down, other.down),
        ] {
            *mine = mine.saturating_add(theirs);
        }
        self.took.merge(&other.took);
        self.first_token.merge(&other.first_token);
        self.search_took.merge(&other.search_took);
        if let Some(waiting) = other.waiting {
            self.waits(waiting);
        }
    }
}

/// The minutes of the last day.
#[derive(Debug)]
pub struct History {
    began: Timestamp,
    /// Minutes since 1970 in which something happened, oldest first.
    minutes: Mutex<VecDeque<(i64, Figures)>>,
}

impl History {
    /// An empty one that begins `at`.
    pub fn new(at: Timestamp) -> Self {
        Self { began: at, minutes: Mutex::default() }
    }

    /// Since when figures are kept.
    pub fn began(&self) -> Timestamp {
        self.began
    }

    /// Adds to the minute of `at`; to the newest one where the clock was put back.
    pub fn record(&self, at: Timestamp, add: impl FnOnce(&mut Figures)) {
        let mut minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = minute(at);
        if minutes.back().is_none_or(|(newest, _)| *newest < minute) {
            minutes.push_back((minute, Figures::default()));
        }
        let oldest = minute.saturating_sub(MINUTES as i64);
        while minutes.len() > MINUTES || minutes.front().is_some_and(|(first, _)| *first <= oldest) {
            minutes.pop_front();
        }
        if let Some((_, figures)) = minutes.back_mut() {
            add(figures);
        }
    }

    /// The `count` spans of `step` minutes up to `now`, oldest first, each with its start; the last one is not over yet.
    pub fn spans(&self, now: Timestamp, step: usize, count: usize) -> Vec<(Timestamp, Figures)> {
        let step = step.max(1) as i64;
        // Spans begin at multiples of the step, so that they stay the same while time goes on.
        let last = minute(now).div_euclid(step);
        let first = last.saturating_sub(count.max(1) as i64 - 1);
        let mut out: Vec<(i64, Figures)> = (first..=last).map(|span| (span, Figures::default())).collect();
        let minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        for (minute, figures) in minutes.iter() {
            let place = usize::try_from(minute.div_euclid(step) - first).ok();
            if let Some((_, span)) = place.and_then(|place| out.get_mut(place)) {
                span.merge(figures);
            }
        }
        drop(minutes);
        let start = |span: i64| Timestamp::from_second(span * step * 60).unwrap_or(Timestamp::UNIX_EPOCH);
        out.into_iter().map(|(span, figures)| (start(span), figures)).collect()
    }
}

fn minute(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60 + 7).unwrap_or_default()
    }

    #[test]
    fn minutes_become_spans() {
        let history = History::new(at(100));
        for (minute, seconds) in [(100, 1.0), (101, 2.0), (101, 3.0), (110, 4.0)] {
            history.record(at(minute), |figures| {
                figures.question(Outcome::Answered);
                figures.took.add(seconds);
            });
        }
        history.record(at(110), |figures| figures.question(Outcome::Refused));
        let spans = history.spans(at(112), 5, 3);
        let told: Vec<(i64, u32, u64)> =
            spans.iter().map(|(at, f)| (at.as_second() / 60, f.questions.answered, f.took.len())).collect();
        assert_eq!(told, [(100, 3, 3), (105, 0, 0), (110, 1, 1)]);
        assert_eq!(spans[2].1.questions.refused, 1);
        let single = history.spans(at(101), 1, 2);
        assert_eq!(single.iter().map(|(_, f)| f.questions.answered).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_day_is_kept_and_no_more() {
        let history = History::new(at(0));
        for minute in 0..3 * MINUTES as i64 {
            history.record(at(minute), |figures| figures.searches += 1);
        }
        let kept = history.minutes.lock().unwrap_or_else(PoisonError::into_inner).len();
        assert_eq!(kept, MINUTES);
        let now = 3 * MINUTES as i64 - 1;
        let day: u32 = history.spans(at(now), 15, 96).iter().map(|(_, f)| f.searches).sum();
        assert_eq!(day, MINUTES as u32);
        // After a long silence nothing of the old is left.
        history.record(at(now + 10 * MINUTES as i64), |figures| figures.searches += 1);
        assert_eq!(history.minutes.lock().unwrap_or_else(PoisonError::into_inner).len(), 1);
    }

    #[test]
    fn a_clock_that_is_put_back_loses_nothing() {
        let history = History::new(at(50));
        history.record(at(50), |figures| figures.up += 1);
        history.record(at(20), |figures| figures.up += 1);
        assert_eq!(history.spans(at(50), 1, 1)[0].1.up, 2);
    }

    #[test]
    fn the_longest_of_a_queue_is_told() {
        let history = History::new(at(1));
        for questions in [1, 5, 2] {
            history.record(at(1), |figures| figures.waits(Queues { questions, ..Queues::default() }));
        }
        let spans = history.spans(at(2), 1, 2);
        assert_eq!(spans[0].1.waiting.map(|w| w.questions), Some(5));
        assert_eq!(spans[1].1.waiting, None, "nobody looked");
    }
}
