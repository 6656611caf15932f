//! Figures for Prometheus.
//!
//! Counters and histograms are counted as things happen, by every crate of the process; what the state alone knows
//! (queues, documents, lag, memory) is read when somebody looks.

use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use ::metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use jiff::Timestamp;
use lore_core::Seq;
use lore_index::Rating;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::error::ApiError;
use crate::history::{Figures, History, Queues};
use crate::state::AppState;

const REQUESTS: &str = "lore_http_requests_total";
const REQUEST_SECONDS: &str = "lore_http_request_seconds";
const IN_FLIGHT: &str = "lore_http_requests_in_flight";
const QUESTIONS: &str = "lore_questions_total";
const CHATS: &str = "lore_chats_total";
const QUESTION_SECONDS: &str = "lore_question_seconds";
const FIRST_TOKEN_SECONDS: &str = "lore_question_first_token_seconds";
const SEARCH_SECONDS: &str = "lore_search_seconds";
const FEEDBACK: &str = "lore_feedback_total";

/// Upper bounds of the latency histograms, in seconds.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// The process has one recorder; every state of the process shows it.
static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// The last day, minute by minute; like the recorder it is the process's.
static HISTORY: LazyLock<History> = LazyLock::new(|| History::new(Timestamp::now()));

/// Model and release that were last said to write.
static WRITER: Mutex<Option<(String, String)>> = Mutex::new(None);

/// A handle to the process's figures.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    started: Instant,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").field("started", &self.started).finish_non_exhaustive()
    }
}

/// How a question ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The documents held an answer.
    Answered,
    /// They did not.
    Refused,
    /// Something failed.
    Failed,
    /// The caller went away.
    Cancelled,
}

impl Metrics {
    /// Makes the process's recorder, once; where another one is there already, only what the state knows is shown.
    pub fn install(version: &str) -> Self {
        let handle = RECORDER.get_or_init(|| {
            let recorder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
                .unwrap_or_else(|_| PrometheusBuilder::new())
                .build_recorder();
            let handle = recorder.handle();
            if ::metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("another metrics recorder is installed; /metrics will miss what it counts");
            }
            describe();
            handle
        });
        LazyLock::force(&HISTORY);
        gauge!("lore_build_info", "version" => version.to_owned()).set(1.0);
        Self { handle: handle.clone(), started: Instant::now() }
    }

    /// The last day, minute by minute.
    pub fn history(&self) -> &'static History {
        &HISTORY
    }

    /// Looks at the queues; to be called every few seconds.
    pub async fn look(&self, state: &AppState) {
        let jobs = state.catalog(|catalog| catalog.open_jobs()).await.map_or(0, |(queued, _)| queued);
        let engine = state.models().ok();
        let embedder = engine.map_or(0, |engine| engine.retriever.index().embedder().queued());
        let writer = engine.and_then(|engine| engine.writer());
        let queues = Queues {
            questions: state.questions().waiting() as u64,
            embedder: embedder as u64,
            generator: writer.map_or(0, |writer| writer.generator.queued()) as u64,
            uploads: state.uploads().waiting() as u64,
            jobs,
        };
        note(|figures| figures.waits(queues));
    }

    /// Folds what histograms collected, so that they stay small when nobody looks; to be called every few seconds.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// All figures as Prometheus text.
    ///
    /// # Errors
    /// Fails where the catalog does.
    pub async fn render(&self, state: &AppState) -> Result<String, ApiError> {
        let ((documents, chunks), (queued, running), last) = state
            .catalog(|catalog| Ok((catalog.counts()?, catalog.open_jobs()?, catalog.last_seq()?)))
            .await?;
        gauge!("lore_documents").set(documents as f64);
        gauge!("lore_chunks").set(chunks as f64);
        gauge!("lore_jobs", "state" => "queued").set(queued as f64);
        gauge!("lore_jobs", "state" => "running").set(running as f64);
        gauge!("lore_changes_total").set(last.0 as f64);
        if let Some(lag) = lag(state, last) {
            gauge!("lore_index_lag").set(lag as f64);
        }
        gauge!("lore_ready").set(if state.missing_now().await.is_empty() { 1.0 } else { 0.0 });
        for (queue, gate) in [("questions", state.questions()), ("uploads", state.uploads())] {
            gauge!("lore_queue_running", "queue" => queue).set(gate.running() as f64);
            gauge!("lore_queue_waiting", "queue" => queue).set(gate.waiting() as f64);
        }
        if let Ok(engine) = state.engine() {
            let waiting = engine.retriever.index().embedder().queued();
            gauge!("lore_queue_waiting", "queue" => "embedder").set(waiting as f64);
        }
        let writer = state.models().ok().and_then(|engine| engine.writer());
        if let Some(writer) = &writer {
            gauge!("lore_queue_waiting", "queue" => "generator").set(writer.generator.queued() as f64);
        }
        tell_writer(
            writer
                .map(|writer| (writer.generator.info().id.clone(), writer.release_id().unwrap_or_default())),
        );
        gauge!("lore_uptime_seconds").set(self.started.elapsed().as_secs_f64());
        if let Some(bytes) = resident_bytes() {
            gauge!("process_resident_memory_bytes").set(bytes as f64);
        }
        Ok(self.handle.render())
    }
}

/// Says which model writes, and of the one before that it does not any more.
fn tell_writer(now: Option<(String, String)>) {
    let mut before = WRITER.lock().unwrap_or_else(PoisonError::into_inner);
    if *before == now {
        return;
    }
    let set = |writer: &Option<(String, String)>, to: f64| {
        if let Some((model, release)) = writer.clone() {
            gauge!("lore_model_info", "model" => model, "release" => release).set(to);
        }
    };
    set(&before, 0.0);
    set(&now, 1.0);
    *before = now;
}

/// Changes that the indexes do not hold yet, where that is known.
pub fn lag(state: &AppState, last: Seq) -> Option<u64> {
    let followed = (state.options().followed)()?;
    Some(last.0.saturating_sub(followed.0))
}

/// Counts a request.
pub fn request_done(method: &'static str, route: &str, status: u16, took: Duration) {
    let route = route.to_owned();
    counter!(REQUESTS, "method" => method, "route" => route.clone(), "status" => status.to_string())
        .increment(1);
    histogram!(REQUEST_SECONDS, "method" => method, "route" => route).record(took.as_secs_f64());
}

/// Counts requests that run; `by` is 1 or -1.
pub fn in_flight(by: f64) {
    gauge!(IN_FLIGHT).increment(by);
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Outcome::Answered => "answered",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
        }
    }
}

/// Adds to this minute's figures.
fn note(add: impl FnOnce(&mut Figures)) {
    HISTORY.record(Timestamp::now(), add);
}

/// Counts a question.
pub fn question_done(outcome: Outcome) {
    counter!(QUESTIONS, "outcome" => outcome.label()).increment(1);
    note(|figures| figures.question(outcome));
}

/// Counts the time from a question's arrival to the end of its answer.
pub fn question_took(took: Duration) {
    histogram!(QUESTION_SECONDS).record(took.as_secs_f64());
    note(|figures| figures.took.add(took.as_secs_f64()));
}

/// Counts the time from a question's arrival to the first piece of its answer.
pub fn question_began(took: Duration) {
    histogram!(FIRST_TOKEN_SECONDS).record(took.as_secs_f64());
    note(|figures| figures.first_token.add(took.as_secs_f64()));
}

/// Counts a search and the time from its arrival to its hits.
pub fn search_done(took: Duration) {
    histogram!(SEARCH_SECONDS).record(took.as_secs_f64());
    note(|figures| {
        figures.searches = figures.searches.saturating_add(1);
        figures.search_took.add(took.as_secs_f64());
    });
}

/// Counts a piece of feedback.
pub fn feedback_given(rating: Rating) {
    let label = match rating {
        Rating::Up => "up",
        Rating::Down => "down",
    };
    counter!(FEEDBACK, "rating" => label).increment(1);
    note(|figures| {
        let counter = if rating == Rating::Up { &mut figures.up } else { &mut figures.down };
        *counter = counter.saturating_add(1);
    });
}

/// Counts a chat with the model alone.
pub fn chat_done(outcome: Outcome) {
    counter!(CHATS, "outcome" => outcome.label()).increment(1);
}

fn describe() {
    describe_counter!(REQUESTS, "Requests by method, route and status; 499 where the client went away.");
    describe_histogram!(REQUEST_SECONDS, "Seconds from a request's headers to its answer's headers.");
    describe_gauge!(IN_FLIGHT, "Requests whose headers are not answered yet.");
    describe_counter!(QUESTIONS, "Questions by outcome: answered, refused, failed, cancelled.");
    describe_counter!(CHATS, "Chats with the model alone by outcome: answered, failed, cancelled.");
    describe_histogram!(QUESTION_SECONDS, "Seconds from a question's arrival to the end of its answer.");
    describe_histogram!(
        FIRST_TOKEN_SECONDS,
        "Seconds from a question's arrival to the first piece of its answer."
    );
    describe_histogram!(SEARCH_SECONDS, "Seconds from a search's arrival to its hits.");
    describe_counter!(FEEDBACK, "Pieces of feedback by rating: up, down.");
    describe_gauge!("lore_documents", "Live documents.");
    describe_gauge!("lore_chunks", "Live chunks.");
    describe_gauge!("lore_jobs", "Ingestion jobs by state.");
    describe_gauge!("lore_changes_total", "Number of the newest change to a document.");
    describe_gauge!("lore_index_lag", "Changes that the indexes do not hold yet.");
    describe_gauge!("lore_ready", "1 when questions are answered.");
    describe_gauge!("lore_queue_running", "Work that runs, by queue.");
    describe_gauge!("lore_queue_waiting", "Work that waits, by queue.");
    describe_gauge!("lore_uptime_seconds", "Seconds since the start.");
    describe_gauge!("lore_build_info", "Always 1; the label tells the version.");
    describe_gauge!(
        "lore_model_info",
        "1 for the language model that writes; the labels tell it and its release."
    );
    describe_counter!("lore_model_switches_total", "Times that another model was put to work, by outcome.");
    describe_gauge!(
        "lore_generate_engines",
        "Language models that run; two while one takes the other's place."
    );
    describe_counter!("lore_generate_requests_total", "Texts that the language model was asked for.");
    describe_counter!(
        "lore_generate_tokens_total",
        "Tokens by kind: of prompts, of those the cached ones, written ones."
    );
    describe_counter!("lore_generate_cancelled_total", "Texts whose reader went away.");
    describe_counter!(
        "lore_generate_paused_total",
        "Texts that gave their memory to an older one for a while."
    );
    describe_counter!("lore_generate_failures_total", "Texts that were refused or failed.");
    describe_histogram!("lore_generate_step_seconds", "Seconds of a step of the language model.");
    describe_histogram!("lore_generate_first_token_seconds", "Seconds from asking to the first token.");
    describe_gauge!("lore_generate_running", "Texts that are being read or written.");
    describe_gauge!("lore_generate_waiting", "Texts that wait.");
    describe_gauge!("lore_generate_kv_blocks", "Blocks of keys and values that there are.");
    describe_gauge!(
        "lore_generate_kv_blocks_used",
        "Blocks of keys and values that texts in the making hold."
    );
    describe_gauge!("process_resident_memory_bytes", "Memory of this process that is in RAM.");
}

/// Resident memory of this process, where the system tells (Linux).
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}
