//! Models that take each other's place while people ask (`lore bench ask --promote`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use lore_server::Switched;
use lore_server::routes::releases::PromoteRequest;
use serde::Serialize;

use crate::client::Client;
use crate::progress::{Progress, Unit};

/// Why a release is forced that was not evaluated; the catalog keeps it.
const REASON: &str = "lore bench ask";
/// How long a model writes before the next takes its place, at least.
const PAUSE: Duration = Duration::from_secs(1);
/// Different pairs of model and question whose texts are kept.
const TEXTS: usize = 10_000;

/// Takes turns: promotes the first release, rolls back, promotes the second, and so on.
pub async fn take_turns(
    client: Client,
    releases: Vec<String>,
    times: usize,
    force: bool,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<Switches> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    let wrong = releases.iter().find(|name| name.is_empty() || !name.chars().all(fits));
    if let Some(wrong) = wrong {
        stop.store(true, Ordering::Relaxed);
        bail!("{wrong:?} is no release; `lore releases list` shows them");
    }
    let mut switches = Switches::default();
    let shown = Progress::new("switching", Unit::Count("switches"));
    let ended = async {
        tokio::time::sleep(PAUSE).await;
        for (turn, release) in (1_u64..).zip(releases.iter().cycle().take(times)) {
            let reason = force.then(|| REASON.to_owned());
            let started = Instant::now();
            let path = format!("/v1/releases/{release}/promote");
            let done: Switched = client
                .work_with(&path, &PromoteRequest { force, reason })
                .await
                .with_context(|| format!("cannot promote {release}"))?;
            switches.promote_s.push(started.elapsed().as_secs_f64());
            tracing::debug!(model = done.model, before = done.before, "promoted");
            tokio::time::sleep(PAUSE).await;
            let started = Instant::now();
            client.work::<Switched>("/v1/releases/rollback").await.context("cannot roll back")?;
            switches.rollback_s.push(started.elapsed().as_secs_f64());
            tokio::time::sleep(PAUSE).await;
            shown.set(turn, times as u64);
        }
        anyhow::Ok(())
    }
    .await;
    stop.store(true, Ordering::Relaxed);
    shown.finish("");
    ended.map(|()| switches)
}

/// How long the switches took.
#[derive(Debug, Default)]
pub struct Switches {
    promote_s: Vec<f64>,
    rollback_s: Vec<f64>,
}

/// What models wrote: with greedy sampling one model answers one question with one text, whenever it is asked.
#[derive(Debug, Default)]
pub struct Texts {
    seen: BTreeMap<(String, String), BTreeMap<String, u64>>,
    /// Answers whose pieces were not the answer that they ended with.
    torn: u64,
}

impl Texts {
    /// Takes an answer in: the model that ended it, its pieces, and the whole that it ended with.
    pub fn add(&mut self, model: &str, question: &str, pieces: &str, whole: &str) {
        self.torn += u64::from(pieces != whole);
        let key = (model.to_owned(), question.to_owned());
        if self.seen.len() < TEXTS || self.seen.contains_key(&key) {
            *self.seen.entry(key).or_default().entry(whole.to_owned()).or_default() += 1;
        }
    }

    /// Takes in what somebody else saw.
    pub fn join(&mut self, other: Self) {
        self.torn += other.torn;
        for (key, texts) in other.seen {
            if self.seen.len() < TEXTS || self.seen.contains_key(&key) {
                let own = self.seen.entry(key).or_default();
                texts.into_iter().for_each(|(text, count)| *own.entry(text).or_default() += count);
            }
        }
    }

    /// Answers that are not what their model writes otherwise, torn ones included.
    pub fn mixed(&self) -> u64 {
        let odd = |texts: &BTreeMap<String, u64>| {
            texts.values().sum::<u64>() - texts.values().max().copied().unwrap_or(0)
        };
        self.torn + self.seen.values().map(odd).sum::<u64>()
    }

    /// Answers by model.
    pub fn by_model(&self) -> BTreeMap<String, u64> {
        let mut out = BTreeMap::new();
        for ((model, _), texts) in &self.seen {
            *out.entry(model.clone()).or_default() += texts.values().sum::<u64>();
        }
        out
    }
}

/// The outcome, as JSON.
#[derive(Debug, Serialize)]
pub struct Report {
    pub promotes: usize,
    pub rollbacks: usize,
    pub promote_s_max: f64,
    pub rollback_s_max: f64,
    /// Answers while models took each other's place.
    pub answers: u64,
    pub failed: u64,
    pub mixed: u64,
    pub by_model: BTreeMap<String, u64>,
    /// Without switches: the 95th percentiles.
    pub before_ttft_ms_p95: Option<f64>,
    pub before_total_ms_p95: Option<f64>,
    /// With them: the longest.
    pub longest_ttft_ms: Option<f64>,
    pub longest_total_ms: Option<f64>,
    /// The longest wait against the 95th percentile before, for the first piece and for the whole.
    pub ttft_ratio: Option<f64>,
    pub total_ratio: Option<f64>,
}

/// Times of answers without switches, and with them; each sorted.
pub struct Times<'a> {
    pub before: [Option<f64>; 2],
    pub during: [&'a [f64]; 2],
}

impl Switches {
    /// What became of everybody.
    pub fn report(&self, texts: &Texts, times: &Times<'_>, (answers, failed): (u64, u64)) -> Report {
        let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        let longest = |at: usize| times.during[at].last().copied();
        let ratio = |at: usize| longest(at).zip(times.before[at]).map(|(longest, before)| longest / before);
        Report {
            promotes: self.promote_s.len(),
            rollbacks: self.rollback_s.len(),
            promote_s_max: most(&self.promote_s),
            rollback_s_max: most(&self.rollback_s),
            answers,
            failed,
            mixed: texts.mixed(),
            by_model: texts.by_model(),
            before_ttft_ms_p95: times.before[0],
            before_total_ms_p95: times.before[1],
            longest_ttft_ms: longest(0),
            longest_total_ms: longest(1),
            ttft_ratio: ratio(0),
            total_ratio: ratio(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_its_model_does_not_write_otherwise_is_mixed() {
        let mut texts = Texts::default();
        for _ in 0..3 {
            texts.add("a", "q", "thirty days", "thirty days");
        }
        texts.add("b", "q", "fifteen", "fifteen");
        assert_eq!((texts.mixed(), texts.by_model()["a"]), (0, 3));
        let mut other = Texts::default();
        other.add("a", "q", "thirty teen", "thirty teen");
        other.add("b", "q", "fif", "fifteen");
        texts.join(other);
        assert_eq!(texts.mixed(), 2);
    }
}
