//! `lore bench ask`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use lore_core::{AnswerEvent, AnswerSummary};
use lore_query::eval::metrics::percentile;
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;

use super::switch::{self, Texts, Times};
use crate::client::{self, Client, Refusal};
use crate::progress::{self, Progress, Unit};
use crate::settings::{self, Settings};
use crate::{open, print};

/// Asked where no file of questions is given; the documents of docs-corpus answer them.
const QUESTIONS: [&str; 8] = [
    "How many vacation days does a new employee in Munich get?",
    "What is the largest cash advance I can ask for before a long trip?",
    "How do I set up the VPN on a Mac?",
    "Which torque do the mounting screws need?",
    "How long is the warranty of the K210?",
    "Who may work from abroad, and for how long?",
    "锡膏从冰箱拿出来要放多久才能用？",
    "上海的新员工有多少天年假？",
];
/// Most questions of a file.
const MOST_QUESTIONS: usize = 10_000;
/// Most users; each has a connection.
const MOST_USERS: usize = 1_000;
/// Most times that are kept; what comes on top is counted but not measured.
const TIMES: usize = 1_000_000;
/// Times at which the server's memory is looked at, beside the start.
const LOOKS: u32 = 10;
/// Longest wait after a refusal.
const PATIENCE: Duration = Duration::from_secs(10);
/// Different errors that are told apart.
const CODES: usize = 32;

/// A server: many people who ask one question after another
#[derive(Debug, Args)]
pub struct Ask {
    /// Base address of the server [default: that of the settings]
    #[arg(long)]
    url: Option<String>,
    /// People who ask at the same time
    #[arg(long, default_value_t = 4)]
    users: usize,
    /// For how long new questions are asked; those that run then are waited for
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Questions, a JSON object with `question` on each line [default: eight about docs-corpus]
    #[arg(long, value_name = "FILE")]
    questions: Option<PathBuf>,
    /// An API key, where the server wants one
    #[arg(long)]
    key: Option<String>,
    /// Ask a server on another machine, too
    #[arg(long)]
    allow_remote: bool,
    /// Go on asking while these releases are promoted in turn, each followed by a rollback; an answer that fails or mixes
    /// models is counted, exit code 1 where there is one. Needs an administrator's key
    #[arg(long, value_name = "RELEASE", value_delimiter = ',')]
    promote: Vec<String>,
    /// Promotions, each with its rollback
    #[arg(long, default_value_t = 10, requires = "promote")]
    times: usize,
    /// Promote releases that were not proven, too
    #[arg(long, requires = "promote")]
    force: bool,
}

/// What users went through.
#[derive(Debug, Default)]
struct Tally {
    answers: u64,
    answered: u64,
    errors: BTreeMap<String, u64>,
    first_error: Option<String>,
    total_ms: Vec<f64>,
    first_token_ms: Vec<f64>,
    prompt_tokens: u64,
    cached_tokens: u64,
    completion_tokens: u64,
    texts: Texts,
}

/// One answer.
struct Heard {
    total_ms: f64,
    first_token_ms: Option<f64>,
    pieces: String,
    summary: AnswerSummary,
}

/// How long users go on asking.
#[derive(Clone)]
enum Until {
    Time(Instant),
    Told(Arc<AtomicBool>),
}

impl Until {
    fn is_over(&self) -> bool {
        match self {
            Self::Time(end) => Instant::now() >= *end,
            Self::Told(stop) => stop.load(Ordering::Relaxed),
        }
    }

    /// Time that is left, where that is known.
    fn left(&self) -> Duration {
        match self {
            Self::Time(end) => end.saturating_duration_since(Instant::now()),
            Self::Told(_) => PATIENCE,
        }
    }
}

/// The outcome, as JSON.
#[derive(Debug, Serialize)]
struct Report {
    users: usize,
    seconds: f64,
    requests: u64,
    answers: u64,
    answered: u64,
    errors: u64,
    errors_by_code: BTreeMap<String, u64>,
    first_error: Option<String>,
    answers_per_s: f64,
    total_ms_p50: Option<f64>,
    total_ms_p95: Option<f64>,
    total_ms_max: Option<f64>,
    ttft_ms_p50: Option<f64>,
    ttft_ms_p95: Option<f64>,
    prompt_tokens: u64,
    cached_tokens: u64,
    completion_tokens: u64,
    tokens_per_s: Option<f64>,
    rss_start_mb: Option<f64>,
    rss_middle_mb: Option<f64>,
    rss_end_mb: Option<f64>,
    rss_mb: Vec<f64>,
}

impl Ask {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where the server does not answer at the start, where it is on another machine, and where the questions cannot
    /// be read; what fails later is counted, and where nothing was answered at all the exit code is 1.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => client::local_url(settings::socket_address(&settings.config.listen)?),
        };
        if !reqwest::Url::parse(&url).is_ok_and(|url| url.has_host()) {
            bail!("{url:?} is no address of a server; write it as http://127.0.0.1:8787");
        }
        if !self.allow_remote && !is_here(&url) {
            bail!("{url} is not on this machine; --allow-remote asks it all the same");
        }
        if !(1..=MOST_USERS).contains(&self.users) || self.seconds == 0 {
            bail!("--users must be 1 to {MOST_USERS}, and --seconds at least 1");
        }
        let questions = match self.questions.clone() {
            Some(path) => open::blocking(move || read(&path)).await?,
            None => QUESTIONS.map(str::to_owned).to_vec(),
        };
        let client = Client::at(&url, self.key.clone())?;
        client.text("/readyz").await.with_context(|| format!("{url} is not ready to be asked"))?;
        // Which needs a key where a question does.
        client.text("/v1/models").await.with_context(|| format!("{url} does not take questions"))?;

        let started = Instant::now();
        let span = Duration::from_secs(self.seconds);
        let watching = tokio::spawn(watch(client.clone(), span));
        let mut users = self.start(&client, &questions, Until::Time(started + span));
        let shown = Progress::new("asking", Unit::Count("seconds"));
        let mut tally = Tally::default();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                done = users.join_next() => match done {
                    Some(done) => tally.join(done.context("a user broke off")?),
                    None => break,
                },
                _ = tick.tick() => shown.set(started.elapsed().as_secs().min(self.seconds), self.seconds),
            }
        }
        shown.finish("");
        let seconds = started.elapsed().as_secs_f64();
        let rss = watching.await.context("the look at the server's memory broke off")?;
        if !self.promote.is_empty() {
            return self.switch(&settings, &client, &questions, tally).await;
        }
        let report = tally.report(self.users, seconds, rss);
        print::report(settings.json, &report)?;
        Ok(if report.answers > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn start(&self, client: &Client, questions: &[String], until: Until) -> JoinSet<Tally> {
        let mut users = JoinSet::new();
        for user in 0..self.users {
            // Each begins elsewhere, so that they do not ask the same at the same time.
            let from = user * questions.len() / self.users;
            users.spawn(ask_on(client.clone(), questions.to_vec(), from, until.clone()));
        }
        users
    }

    /// Asks on while models take each other's place; `before` is what was heard without that.
    async fn switch(
        &self,
        settings: &Settings,
        client: &Client,
        questions: &[String],
        mut before: Tally,
    ) -> anyhow::Result<ExitCode> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut users = self.start(client, questions, Until::Told(stop.clone()));
        let turns = switch::take_turns(client.clone(), self.promote.clone(), self.times, self.force, stop);
        let switches = tokio::spawn(turns);
        let mut during = Tally::default();
        while let Some(done) = users.join_next().await {
            during.join(done.context("a user broke off")?);
        }
        let switches = switches.await.context("the switching broke off")??;
        for times in [
            &mut before.first_token_ms,
            &mut before.total_ms,
            &mut during.first_token_ms,
            &mut during.total_ms,
        ] {
            times.sort_by(f64::total_cmp);
        }
        let times = Times {
            before: [quantile(&before.first_token_ms, 0.95), quantile(&before.total_ms, 0.95)],
            during: [&during.first_token_ms, &during.total_ms],
        };
        // What a model writes without any switch is what it should write with them.
        let mut texts = before.texts;
        texts.join(during.texts);
        let failed = during.errors.values().sum();
        let report = switches.report(&texts, &times, (during.answers, failed));
        print::report(settings.json, &report)?;
        if let Some(error) = during.first_error {
            progress::say(&format!("the first failure: {error}"));
        }
        let good = report.answers > 0 && report.failed == 0 && report.mixed == 0;
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Whether `url` is a loopback address of this machine.
fn is_here(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The questions of a file.
fn read(path: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut questions = Vec::new();
    for (number, line) in
        (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()).take(MOST_QUESTIONS)
    {
        let value: serde_json::Value =
            serde_json::from_str(line).with_context(|| format!("{}, line {number}", path.display()))?;
        let question = value["question"].as_str().filter(|question| !question.trim().is_empty());
        let question =
            question.with_context(|| format!("{}, line {number}: there is no `question`", path.display()))?;
        questions.push(question.to_owned());
    }
    if questions.is_empty() {
        bail!("{} holds no questions", path.display());
    }
    Ok(questions)
}

/// One user: asks one question after another.
async fn ask_on(client: Client, questions: Vec<String>, from: usize, until: Until) -> Tally {
    let mut tally = Tally::default();
    for question in questions.iter().cycle().skip(from) {
        if until.is_over() {
            break;
        }
        match ask(&client, question).await {
            Ok(heard) => tally.add(question, heard),
            Err(error) => {
                let refusal = error.downcast_ref::<Refusal>();
                let code = refusal.map_or_else(|| kind(&error).to_owned(), |refusal| refusal.code.clone());
                let wait =
                    refusal.and_then(|refusal| refusal.retry_after).map_or(1, |seconds| seconds.max(1));
                tally.fail(code, print::chain(&error));
                let wait = Duration::from_secs(wait).min(PATIENCE);
                tokio::time::sleep(wait.min(until.left())).await;
            }
        }
    }
    tally
}

/// Asks one question.
async fn ask(client: &Client, question: &str) -> anyhow::Result<Heard> {
    let started = Instant::now();
    let ms = || started.elapsed().as_secs_f64() * 1e3;
    let (mut first_token_ms, mut end, mut pieces) = (None, None, String::new());
    client
        .ask(&json!({"question": question, "stream": true}), |received| {
            match received.event {
                AnswerEvent::Token { text } => {
                    first_token_ms.get_or_insert_with(ms);
                    pieces.push_str(&text);
                }
                AnswerEvent::Done(summary) => end = Some((ms(), summary)),
                AnswerEvent::Error { code, message } => {
                    return Err(Refusal { code, message, retry_after: None }.into());
                }
                AnswerEvent::Sources { .. } | AnswerEvent::Citation { .. } => {}
            }
            Ok(())
        })
        .await?;
    let (total_ms, summary) = end.context("an answer without an end")?;
    Ok(Heard { total_ms, first_token_ms, pieces, summary })
}

/// What kind of failure an error is that the server did not name.
fn kind(error: &anyhow::Error) -> &'static str {
    if client::is_unreachable(error) {
        return "unreachable";
    }
    let timed_out = |e: &reqwest::Error| e.is_timeout();
    if error.chain().any(|cause| cause.downcast_ref().is_some_and(timed_out)) {
        "client_timeout"
    } else {
        "broken_off"
    }
}

/// The server's resident memory in megabytes, at the start and then at equal distances over `span`; empty where the
/// server does not tell.
async fn watch(client: Client, span: Duration) -> Vec<f64> {
    let (mut seen, mut missed) = (Vec::new(), 0);
    let mut ticks = tokio::time::interval((span / LOOKS).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for _ in 0..=LOOKS {
        ticks.tick().await;
        match client.text("/metrics").await {
            Ok(text) => seen.extend(resident_mb(&text)),
            // Once is enough.
            Err(error) if missed == 0 => {
                missed += 1;
                tracing::warn!(error = print::chain(&error), "the server's memory is not told");
            }
            Err(_) => missed += 1,
        }
    }
    seen
}

/// `process_resident_memory_bytes` of Prometheus text, in megabytes.
fn resident_mb(metrics: &str) -> Option<f64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "))?;
    Some(line.trim().parse::<f64>().ok()? / 1e6)
}

impl Tally {
    fn add(&mut self, question: &str, heard: Heard) {
        self.texts.add(&heard.summary.model, question, &heard.pieces, &heard.summary.answer);
        self.answers += 1;
        self.answered += u64::from(heard.summary.answered);
        if self.total_ms.len() < TIMES {
            self.total_ms.push(heard.total_ms);
            self.first_token_ms.extend(heard.first_token_ms);
        }
        if let Some(usage) = heard.summary.usage {
            self.prompt_tokens += usage.prompt_tokens as u64;
            self.cached_tokens += usage.cached_tokens as u64;
            self.completion_tokens += usage.completion_tokens as u64;
        }
    }

    fn fail(&mut self, code: String, message: String) {
        let known = self.errors.contains_key(&code) || self.errors.len() < CODES;
        *self.errors.entry(if known { code } else { "other".to_owned() }).or_default() += 1;
        self.first_error.get_or_insert(message);
    }

    fn join(&mut self, other: Self) {
        self.answers += other.answers;
        self.answered += other.answered;
        for (code, count) in other.errors {
            *self.errors.entry(code).or_default() += count;
        }
        self.first_error = self.first_error.take().or(other.first_error);
        self.texts.join(other.texts);
        self.total_ms.extend(other.total_ms);
        self.first_token_ms.extend(other.first_token_ms);
        self.prompt_tokens += other.prompt_tokens;
        self.cached_tokens += other.cached_tokens;
        self.completion_tokens += other.completion_tokens;
    }

    fn report(mut self, users: usize, seconds: f64, rss_mb: Vec<f64>) -> Report {
        self.total_ms.sort_by(f64::total_cmp);
        self.first_token_ms.sort_by(f64::total_cmp);
        let errors = self.errors.values().sum();
        Report {
            users,
            seconds,
            requests: self.answers + errors,
            answers: self.answers,
            answered: self.answered,
            errors,
            errors_by_code: self.errors,
            first_error: self.first_error,
            answers_per_s: self.answers as f64 / seconds,
            total_ms_p50: quantile(&self.total_ms, 0.5),
            total_ms_p95: quantile(&self.total_ms, 0.95),
            total_ms_max: self.total_ms.last().copied(),
            ttft_ms_p50: quantile(&self.first_token_ms, 0.5),
            ttft_ms_p95: quantile(&self.first_token_ms, 0.95),
            prompt_tokens: self.prompt_tokens,
            cached_tokens: self.cached_tokens,
            completion_tokens: self.completion_tokens,
            tokens_per_s: (self.completion_tokens > 0).then(|| self.completion_tokens as f64 / seconds),
            rss_start_mb: rss_mb.first().copied(),
            rss_middle_mb: rss_mb.get(rss_mb.len() / 2).copied(),
            rss_end_mb: rss_mb.last().copied(),
            rss_mb,
        }
    }
}

/// As [`percentile`]; `None` where nothing was measured.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    (!sorted.is_empty()).then(|| percentile(sorted, q))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_loopback_addresses_are_here() {
        for here in ["http://127.0.0.1:8787", "http://localhost", "http://[::1]:1/", "http://127.8.9.1:1"] {
            assert!(is_here(here), "{here}");
        }
        for away in [
            "http://10.0.0.1:8787",
            "http://localhost.example",
            "https://lore.example",
            "x",
            "http://0.0.0.0",
        ] {
            assert!(!is_here(away), "{away}");
        }
    }

    #[test]
    fn quantiles_by_nearest_rank() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!([quantile(&values, 0.5), quantile(&values, 0.95)], [Some(50.0), Some(95.0)]);
        assert_eq!((quantile(&[3.0], 0.95), quantile(&[], 0.5)), (Some(3.0), None));
    }

    #[test]
    fn the_servers_memory_is_found_among_its_figures() {
        let text =
            "# HELP process_resident_memory_bytes x\nprocess_resident_memory_bytes 250000000\nlore_ready 1\n";
        assert_eq!(resident_mb(text), Some(250.0));
        assert_eq!(resident_mb("lore_ready 1\n"), None);
    }

    #[test]
    fn questions_come_from_a_file_and_a_line_without_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.jsonl");
        std::fs::write(&path, "{\"question\": \"a?\", \"id\": 1}\n\n{\"question\": \"b?\"}\n").unwrap();
        assert_eq!(read(&path).unwrap(), ["a?", "b?"]);
        std::fs::write(&path, "{\"question\": \"a?\"}\n{\"q\": \"b?\"}\n").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.ends_with("line 2: there is no `question`"), "{error}");
    }
}
