//! The answerer: a question in, a stream of events out.
//!
//! Without a generator the supporting sentences are the answer; with one, [`crate::write`] writes it from the passages.

use std::sync::Arc;
use std::time::Instant;

use lore_core::{
    Access, AnswerEvent, AnswerStyle, AnswerSummary, Caller, Citation, Generator, Limits, Live, ModelError,
    NearDocument, Question, SearchMode, Serving, Span, Timings, Verdict,
};
use lore_index::IndexError;
use tokio::sync::mpsc;

use crate::asked::Asked;
use crate::config::AnswerConfig;
use crate::error::{QueryError, Result};
use crate::extract::{Candidate, Extractor};
use crate::ground::Grounding;
use crate::passages::{FoundPassage, passages};
use crate::prompt::PromptLanguage;
use crate::quote;
use crate::retrieve::{Retriever, SearchRequest};
use crate::rewrite::{self, standalone};
use crate::select::select;
use crate::support::sigmoid;
use crate::write::Job;

/// Events that wait for a slow reader; the answer waits with them.
pub const EVENT_BUFFER: usize = 64;

/// Answers questions with the supporting sentences themselves, or with what a language model writes from them; clones
/// share everything.
#[derive(Clone, Debug)]
pub struct Answerer {
    pub(crate) retriever: Retriever,
    pub(crate) extractor: Extractor,
    pub(crate) config: Arc<AnswerConfig>,
    live: Live,
    pub(crate) question_chars: usize,
}

/// What the extractive answerer found before it decides: for answering and for calibration.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The question as it was looked for.
    pub rewritten: String,
    /// The passages, best first.
    pub passages: Vec<FoundPassage>,
    /// The question's unit vector, where the embedder understands its language.
    pub vector: Option<Vec<f32>>,
    /// The question, taken apart.
    pub asked: Asked,
    /// The passages' sentences, best first.
    pub candidates: Vec<Candidate>,
    /// Milliseconds until the passages were there.
    pub retrieve_ms: f64,
}

impl Findings {
    /// Probability that the best sentence answers.
    pub fn confidence(&self, config: &AnswerConfig) -> f32 {
        confidence(&self.candidates, config)
    }
}

/// Probability that the first of `candidates` (best first) answers.
pub(crate) fn confidence(candidates: &[Candidate], config: &AnswerConfig) -> f32 {
    let ranked: Vec<(usize, f32)> = candidates.iter().map(|c| (c.passage, c.score)).collect();
    candidates.first().map_or(0.0, |best| config.support.confidence(&best.evidence, &ranked))
}

impl Answerer {
    /// An extractive answerer over `retriever`.
    pub fn new(retriever: Retriever, config: AnswerConfig) -> Self {
        let question_chars = Limits::default().question_chars;
        Self {
            retriever,
            extractor: Extractor::default(),
            config: Arc::new(config),
            live: Live::default(),
            question_chars,
        }
    }

    /// The same, with answers written by `generator`.
    #[must_use]
    pub fn with_generator(self, generator: Generator) -> Self {
        self.with_live(Live::new(Some(generator.into())))
    }

    /// The same, with answers written by whatever `live` holds when a question begins.
    #[must_use]
    pub fn with_live(self, live: Live) -> Self {
        Self { live, ..self }
    }

    /// Who writes the answers; where that is nobody, the supporting sentences are the answer.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// The same with another limit, in characters, for a question, for each earlier one, and for what is looked for.
    #[must_use]
    pub fn with_question_chars(self, question_chars: usize) -> Self {
        Self { question_chars, ..self }
    }

    /// The retriever.
    pub fn retriever(&self) -> &Retriever {
        &self.retriever
    }

    /// The settings.
    pub fn config(&self) -> &AnswerConfig {
        &self.config
    }

    /// Answers `question` for `caller`. Dropping the receiver cancels the work at its next step.
    pub fn ask(&self, question: Question, caller: &Caller) -> mpsc::Receiver<AnswerEvent> {
        let (events, receiver) = mpsc::channel(EVENT_BUFFER);
        let this = self.clone();
        let caller = caller.clone();
        tokio::spawn(async move {
            let work = this.run(&question, &caller, &events);
            let failed = tokio::select! {
                outcome = work => outcome.err(),
                () = events.closed() => None,
            };
            if let Some(error) = failed {
                tracing::warn!(%error, "a question could not be answered");
                let _ = events.send(error_event(&error)).await;
            }
        });
        receiver
    }

    /// The whole answer at once.
    ///
    /// # Errors
    /// As [`Answerer::findings`].
    pub async fn answer(&self, question: &Question, caller: &Caller) -> Result<AnswerSummary> {
        whole(|events| async move { self.run(question, caller, &events).await }).await
    }

    /// Retrieval and scored sentences, without a decision.
    ///
    /// # Errors
    /// Fails on a question that is empty or over the limit, and where an index, the catalog or the embedder fails.
    pub async fn findings(&self, question: &Question, caller: &Caller) -> Result<Findings> {
        self.check(question)?;
        let rewritten = standalone(&question.text, &question.history, self.question_chars);
        self.find(question, rewritten, caller).await
    }

    fn check(&self, question: &Question) -> Result<()> {
        let limit = self.question_chars;
        for text in question.history.iter().map(|turn| &turn.question).chain([&question.text]) {
            let chars = text.chars().count();
            if chars > limit {
                return Err(QueryError::QuestionTooLong { chars, limit });
            }
        }
        Ok(())
    }

    /// The question as it is to be looked for, and whether the model made it whole.
    async fn stand_alone(&self, question: &Question, generator: Option<&Generator>) -> (String, bool) {
        let limit = self.question_chars;
        if let Some(generator) = generator.filter(|_| self.config.generate.rewrite) {
            match rewrite::by_model(generator, &question.text, &question.history, limit).await {
                Ok(Some(whole)) => return (whole, true),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "a follow-up question is made whole by rules"),
            }
        }
        (standalone(&question.text, &question.history, limit), false)
    }

    /// Looks for `rewritten` and scores what is found.
    async fn find(&self, question: &Question, rewritten: String, caller: &Caller) -> Result<Findings> {
        let started = Instant::now();
        let request = SearchRequest {
            query: rewritten.clone(),
            mode: SearchMode::Hybrid,
            filter: question.filter.clone(),
            access: caller.access.clone(),
            limit: self.config.passages,
        };
        let retrieval = self.retriever.search(&request).await?;
        let catalog = self.retriever.index().catalog().clone();
        let limit = self.config.passages;
        let hits = retrieval.hits;
        let passages = tokio::task::spawn_blocking(move || passages(&catalog, &hits, limit)).await??;
        let retrieve_ms = millis(started);
        let vector = retrieval.query_vector.filter(|_| self.retriever.dense_understands(&rewritten));
        let (asked, candidates) = self.candidates(&rewritten, vector.as_deref(), &passages).await?;
        Ok(Findings { rewritten, passages, vector, asked, candidates, retrieve_ms })
    }

    /// The sentences of `passages` for a question, wherever the passages come from; best first.
    ///
    /// # Errors
    /// As [`Answerer::findings`].
    pub(crate) async fn candidates(
        &self,
        rewritten: &str,
        vector: Option<&[f32]>,
        passages: &[FoundPassage],
    ) -> Result<(Asked, Vec<Candidate>)> {
        let (index, model) = (self.retriever.index(), &self.config.support.sentence);
        self.extractor.candidates(index, rewritten, vector, passages, model).await
    }

    /// What checks statements of answers to `question`, which was looked for as `rewritten`, against `passages`.
    ///
    /// # Errors
    /// As [`Grounding::new`].
    pub(crate) async fn grounding(
        &self,
        question: &str,
        rewritten: &str,
        passages: &[FoundPassage],
    ) -> Result<Grounding> {
        let known = format!("{question} {rewritten}");
        let (retriever, extractor) = (&self.retriever, &self.extractor);
        Grounding::new(retriever, extractor, &known, passages, &self.config.generate).await
    }

    async fn run(
        &self,
        question: &Question,
        caller: &Caller,
        events: &mpsc::Sender<AnswerEvent>,
    ) -> Result<()> {
        let started = Instant::now();
        self.check(question)?;
        // The lease: a question is rewritten and answered by one model, whatever takes its place meanwhile.
        let serving = self.live.now();
        let generator = serving.as_ref().map(|serving| &serving.generator);
        // What was taught to point alone cannot rewrite.
        let writer = generator.filter(|generator| generator.info().answer_style == AnswerStyle::Prose);
        let (rewritten, by_model) = self.stand_alone(question, writer).await;
        let findings = self.find(question, rewritten, caller).await?;
        let told = Told { question, by_model, access: &caller.access, started };
        self.answer_from(serving.as_deref(), &told, &findings, events).await
    }

    /// Answers `question` from `passages`, whoever found them, as from what a search found; `vector` is the question's, where
    /// the embedder understands its language.
    ///
    /// # Errors
    /// As [`Answerer::findings`].
    pub(crate) async fn answer_over(
        &self,
        question: &Question,
        passages: Vec<FoundPassage>,
        vector: Option<Vec<f32>>,
    ) -> Result<AnswerSummary> {
        let started = Instant::now();
        let serving = self.live.now();
        let rewritten = question.text.trim().to_owned();
        let (asked, candidates) = self.candidates(&rewritten, vector.as_deref(), &passages).await?;
        let findings = Findings { rewritten, passages, vector, asked, candidates, retrieve_ms: 0.0 };
        let access = Caller::local().access;
        let told = Told { question, by_model: false, access: &access, started };
        whole(|events| async move { self.answer_from(serving.as_deref(), &told, &findings, &events).await })
            .await
    }

    /// Decides and answers, and sends all events.
    async fn answer_from(
        &self,
        serving: Option<&Serving>,
        told: &Told<'_>,
        findings: &Findings,
        events: &mpsc::Sender<AnswerEvent>,
    ) -> Result<()> {
        let Told { question, by_model, access, started } = *told;
        let generator = serving.map(|serving| &serving.generator);
        let pointing = generator
            .is_some_and(|generator| self.config.generate.style_of(generator) == AnswerStyle::Quotes);
        let answering = Instant::now();
        let mut summary = AnswerSummary {
            confidence: findings.confidence(&self.config),
            model: Serving::called(serving).to_owned(),
            release: serving.and_then(Serving::release_id),
            rewritten: Some(findings.rewritten.clone()).filter(|text| text != question.text.trim()),
            ..AnswerSummary::default()
        };
        let least = match generator {
            // It says itself how sure it is.
            Some(_) if pointing && !findings.candidates.is_empty() => 0.0,
            Some(_) => self.config.generate.ask_threshold,
            None => self.config.support_threshold,
        };
        let promising = summary.confidence >= least && !findings.passages.is_empty();
        match (generator, promising) {
            (Some(generator), true) if pointing => {
                let job = quote::Job { answerer: self, generator, question, findings, access };
                job.write(&mut summary, events).await?;
            }
            (Some(generator), true) => {
                let text = if by_model { &findings.rewritten } else { &question.text };
                let job = Job { answerer: self, generator, question, text, findings, access };
                job.write(&mut summary, events).await?;
            }
            (generator, _) => {
                let passages = findings.passages.iter().map(|p| p.passage.clone()).collect();
                send(events, AnswerEvent::Sources { passages }).await?;
                if promising && generator.is_none() {
                    let chosen =
                        select(&findings.asked, &findings.candidates, &findings.passages, &self.config);
                    self.write(findings, &chosen, &mut summary, events).await?;
                    summary.answered = true;
                } else {
                    summary.nearest = nearest(&findings.passages);
                    summary.answer = not_found(&question.text, &summary.nearest);
                    send(events, AnswerEvent::Token { text: summary.answer.clone() }).await?;
                }
            }
        }
        summary.timings = Timings {
            retrieve_ms: findings.retrieve_ms,
            answer_ms: millis(answering),
            total_ms: millis(started),
            ..summary.timings
        };
        send(events, AnswerEvent::Done(summary)).await
    }

    /// Sends the chosen sentences, each followed by its citation.
    async fn write(
        &self,
        findings: &Findings,
        chosen: &[Candidate],
        summary: &mut AnswerSummary,
        events: &mpsc::Sender<AnswerEvent>,
    ) -> Result<()> {
        let mut written = 0;
        for candidate in chosen {
            let Some(found) = findings.passages.get(candidate.passage) else { continue };
            let mut piece = join(&summary.answer, &candidate.text).to_owned();
            let start = written + piece.chars().count();
            piece.push_str(&candidate.text);
            written += piece.chars().count();
            summary.answer.push_str(&piece);
            send(events, AnswerEvent::Token { text: piece }).await?;
            // The statement is the quote itself.
            let place = (candidate.span, sigmoid(candidate.score));
            let Some(citation) = citation(found, Span::new(start, written), place, Verdict::Supported) else {
                continue;
            };
            summary.citations.push(citation.clone());
            send(events, AnswerEvent::Citation { citation }).await?;
        }
        Ok(())
    }
}

/// Who asks what since when.
#[derive(Clone, Copy)]
struct Told<'a> {
    question: &'a Question,
    /// Whether a model made the question whole.
    by_model: bool,
    access: &'a Access,
    started: Instant,
}

/// The last event of what sends all of them; the channel closes with the work, also where it fails.
async fn whole<F: Future<Output = Result<()>>>(
    work: impl FnOnce(mpsc::Sender<AnswerEvent>) -> F,
) -> Result<AnswerSummary> {
    let (events, mut receiver) = mpsc::channel(EVENT_BUFFER);
    let listening = async {
        let mut summary = None;
        while let Some(event) = receiver.recv().await {
            if let AnswerEvent::Done(done) = event {
                summary = Some(done);
            }
        }
        summary.ok_or(QueryError::Cancelled)
    };
    tokio::try_join!(work(events), listening).map(|((), summary)| summary)
}

/// The citation of the statement at `answer_span`; `place` is the quote's span and score.
pub(crate) fn citation(
    found: &FoundPassage,
    answer_span: Span,
    place: (Span, f32),
    verdict: Verdict,
) -> Option<Citation> {
    let (passage, (source_span, score)) = (&found.passage, place);
    Some(Citation {
        marker: passage.marker,
        answer_span,
        document: passage.document,
        name: passage.name.clone(),
        title: passage.title.clone(),
        version: passage.version,
        source_span,
        page: found.parsed.pages_of(source_span).map(|p| p.first),
        headings: found.parsed.heading_path(source_span.start),
        quote: source_span.slice(&found.parsed.text)?.to_owned(),
        score,
        verdict,
    })
}

/// What stands between an answer so far and what comes next: table rows are lines of their own.
pub(crate) fn join(before: &str, next: &str) -> &'static str {
    match before {
        "" => "",
        _ if next.starts_with('|') || before.ends_with('|') => "\n",
        _ => " ",
    }
}

pub(crate) fn nearest(passages: &[FoundPassage]) -> Vec<NearDocument> {
    let mut out: Vec<NearDocument> = Vec::new();
    for found in passages {
        let passage = &found.passage;
        if out.len() < 3 && !out.iter().any(|near| near.document == passage.document) {
            out.push(NearDocument {
                document: passage.document,
                name: passage.name.clone(),
                title: passage.title.clone(),
            });
        }
    }
    out
}

/// What is said where nothing supports an answer, in the question's language.
pub fn not_found(question: &str, nearest: &[NearDocument]) -> String {
    let language = PromptLanguage::of(question);
    let mut out = language.refusal().to_owned();
    out.push_str(&nearest_text(language, nearest));
    out
}

/// The sentence that names the nearest documents, with the space before it; nothing where there are none.
pub(crate) fn nearest_text(language: PromptLanguage, nearest: &[NearDocument]) -> String {
    let titles: Vec<&str> = nearest.iter().map(|n| n.title.as_str()).collect();
    match language {
        _ if titles.is_empty() => String::new(),
        PromptLanguage::Chinese => format!("最接近的文档：{}。", titles.join("；")),
        PromptLanguage::English => format!(" The nearest are: {}.", titles.join("; ")),
    }
}

/// The event that tells a caller of a failure, without internals.
fn error_event(error: &QueryError) -> AnswerEvent {
    let (code, message) = match error {
        QueryError::EmptyQuestion => ("bad_question", error.to_string()),
        QueryError::QuestionTooLong { .. } => ("question_too_long", error.to_string()),
        QueryError::Model(model) | QueryError::Index(IndexError::Model(model)) => match model {
            ModelError::Overloaded { .. } => ("overloaded", model.to_string()),
            ModelError::Stopped { .. } => {
                ("model_unavailable", "a model is not running; try again in a moment".to_owned())
            }
            ModelError::Refused { message, .. } => ("refused", message.clone()),
            ModelError::Failed { .. } => internal(),
        },
        QueryError::Withdrawn => ("withdrawn", error.to_string()),
        QueryError::Index(IndexError::Unreachable { .. }) => {
            ("vectors_unavailable", "the vector store cannot be reached; try again in a moment".to_owned())
        }
        _ => internal(),
    };
    AnswerEvent::Error { code: code.into(), message }
}

fn internal() -> (&'static str, String) {
    ("internal", "the question could not be answered; the server's log says why".to_owned())
}

pub(crate) async fn send(events: &mpsc::Sender<AnswerEvent>, event: AnswerEvent) -> Result<()> {
    events.send(event).await.map_err(|_| QueryError::Cancelled)
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
