//! The embedding engine.
//!
//! It looks ahead in its queue, so that a person's query does not wait behind a folder's ingestion: queries that wait
//! together become one batch and go first; longer requests are worked off in parts, and between two parts the queue is
//! looked at again.

use std::collections::VecDeque;
use std::time::Instant;

use lore_core::model::{EmbedRequest, Embedder, EmbedderInfo, TokenCounter};
use lore_core::{EmbedKind, ModelError};
use lore_models::{Encoder, ModelsError};
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;

use crate::engine::{guarded, start};

/// Bytes of text in a part: about a thousand tokens, which two cores embed in a tenth of a second.
const PART_BYTES: usize = 4096;
/// Most texts in a part, and most queries in a batch.
const PART_TEXTS: usize = 64;
/// Bytes per token, generously; what a text has beyond its token limit costs little.
const TOKEN_BYTES: usize = 8;

/// Starts the engine of `encoder`; at most `bound` requests wait (at least one is let in).
///
/// Counters `lore_embed_requests_total`, `lore_embed_texts_total` (each with label `kind`), `lore_embed_abandoned_total`,
/// `lore_embed_failures_total`; histogram `lore_embed_batch_seconds`.
pub fn spawn(encoder: Encoder, bound: usize) -> Embedder {
    let count = encoder.token_counter();
    let info = encoder.info();
    spawn_with(info, count, bound, move |texts, kind| encoder.embed(texts, kind))
}

fn spawn_with<F>(info: EmbedderInfo, count: TokenCounter, bound: usize, forward: F) -> Embedder
where
    F: Fn(&[String], EmbedKind) -> Result<Vec<Vec<f32>>, ModelsError> + Send + 'static,
{
    // Half of what may wait stands in the channel, half in the engine's own two lines.
    let ahead = (bound / 2).max(1);
    let model = info.id.clone();
    let text_bytes = info.max_tokens.saturating_mul(TOKEN_BYTES);
    let (embedder, requests) = Embedder::channel(info, count, bound.saturating_sub(ahead));
    let engine = Engine { requests, ahead, model, text_bytes, forward, lines: Lines::default() };
    start("embedder", move || engine.run());
    embedder
}

/// A request of which some texts may be done.
struct Started {
    request: EmbedRequest,
    vectors: Vec<Vec<f32>>,
}

/// Requests taken from the queue.
#[derive(Default)]
struct Lines {
    queries: VecDeque<EmbedRequest>,
    long: VecDeque<Started>,
}

impl Lines {
    fn len(&self) -> usize {
        self.queries.len() + self.long.len()
    }
}

struct Engine<F> {
    requests: Receiver<EmbedRequest>,
    ahead: usize,
    model: String,
    text_bytes: usize,
    forward: F,
    lines: Lines,
}

impl<F> Engine<F>
where
    F: Fn(&[String], EmbedKind) -> Result<Vec<Vec<f32>>, ModelsError>,
{
    fn run(mut self) {
        loop {
            if self.lines.len() == 0 {
                let Some(request) = self.requests.blocking_recv() else { return };
                self.line_up(request);
            }
            while self.lines.len() < self.ahead {
                let Ok(request) = self.requests.try_recv() else { break };
                self.line_up(request);
            }
            if self.lines.queries.is_empty() {
                self.part();
            } else {
                self.queries();
            }
        }
    }

    fn line_up(&mut self, request: EmbedRequest) {
        let kind = kind(request.kind);
        metrics::counter!("lore_embed_requests_total", "kind" => kind).increment(1);
        let bytes: usize = request.texts.iter().map(|text| text.len().min(self.text_bytes)).sum();
        if request.kind == EmbedKind::Query && request.texts.len() <= PART_TEXTS && bytes <= PART_BYTES {
            self.lines.queries.push_back(request);
        } else {
            let vectors = Vec::with_capacity(request.texts.len());
            self.lines.long.push_back(Started { request, vectors });
        }
    }

    /// Answers the waiting queries, as many as fit a batch.
    fn queries(&mut self) {
        let mut batch: Vec<EmbedRequest> = Vec::new();
        let mut texts: Vec<String> = Vec::new();
        while let Some(next) = self.lines.queries.pop_front() {
            if next.reply.is_closed() {
                abandoned();
            } else if batch.is_empty() || texts.len() + next.texts.len() <= PART_TEXTS {
                texts.extend_from_slice(&next.texts);
                batch.push(next);
            } else {
                self.lines.queries.push_front(next);
                break;
            }
        }
        if batch.is_empty() {
            return;
        }
        match self.embed(&texts, EmbedKind::Query) {
            Ok(vectors) => {
                let mut vectors = vectors.into_iter();
                for request in batch {
                    answer(request.reply, Ok(vectors.by_ref().take(request.texts.len()).collect()));
                }
            }
            // One of them may have spoilt it for the others.
            Err(_) if batch.len() > 1 => {
                for request in batch {
                    let result = self.embed(&request.texts, EmbedKind::Query);
                    answer(request.reply, result);
                }
            }
            Err(error) => batch.into_iter().for_each(|request| answer(request.reply, Err(error.clone()))),
        }
    }

    /// The next part of the oldest long request.
    fn part(&mut self) {
        let Some(mut started) = self.lines.long.pop_front() else { return };
        if started.request.reply.is_closed() {
            return abandoned();
        }
        let rest = &started.request.texts[started.vectors.len()..];
        let mut bytes = 0;
        let fits = |text: &&String| {
            bytes += text.len().min(self.text_bytes);
            bytes <= PART_BYTES
        };
        let count = rest.iter().take(PART_TEXTS).take_while(fits).count().max(1).min(rest.len());
        match self.embed(&rest[..count], started.request.kind) {
            Err(error) => answer(started.request.reply, Err(error)),
            Ok(vectors) => {
                started.vectors.extend(vectors);
                if started.vectors.len() < started.request.texts.len() {
                    self.lines.long.push_front(started);
                } else {
                    answer(started.request.reply, Ok(started.vectors));
                }
            }
        }
    }

    fn embed(&self, texts: &[String], of: EmbedKind) -> Result<Vec<Vec<f32>>, ModelError> {
        let start = Instant::now();
        let result = guarded(&self.model, || (self.forward)(texts, of));
        metrics::histogram!("lore_embed_batch_seconds").record(start.elapsed().as_secs_f64());
        match &result {
            Ok(_) => {
                metrics::counter!("lore_embed_texts_total", "kind" => kind(of)).increment(texts.len() as u64)
            }
            Err(_) => metrics::counter!("lore_embed_failures_total").increment(1),
        }
        result
    }
}

fn answer(to: oneshot::Sender<Result<Vec<Vec<f32>>, ModelError>>, result: Result<Vec<Vec<f32>>, ModelError>) {
    if to.send(result).is_err() {
        abandoned();
    }
}

fn abandoned() {
    metrics::counter!("lore_embed_abandoned_total").increment(1);
}

fn kind(kind: EmbedKind) -> &'static str {
    match kind {
        EmbedKind::Query => "query",
        EmbedKind::Passage => "passage",
    }
}

#[cfg(test)]
mod tests;
