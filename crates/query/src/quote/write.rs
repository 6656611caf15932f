//! Asks a model to point, and puts what it points at into the answer.

use std::sync::Arc;

use lore_core::{
    Access, AnswerEvent, AnswerSummary, Form, GenerateEvent, Generation, Generator, ModelError, Prompt,
    Question, Quotes, Span, Verdict,
};
use tokio::sync::mpsc;

use super::{Shown, ToShow, read, show};
use crate::answer::{Answerer, Findings, citation, join, nearest, not_found, send};
use crate::error::Result;
use crate::support::sigmoid;
use crate::write::StillOpen;

/// One answer that points.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    pub answerer: &'a Answerer,
    pub generator: &'a Generator,
    pub question: &'a Question,
    pub findings: &'a Findings,
    /// What the caller may read.
    pub access: &'a Access,
}

impl Job<'_> {
    /// Asks the model, writes the answer into `summary` and sends its events, but for the last.
    pub async fn write(&self, summary: &mut AnswerSummary, events: &mpsc::Sender<AnswerEvent>) -> Result<()> {
        let config = &self.answerer.config.generate;
        let options = &self.question.options;
        let shown = self.show(summary.confidence).await?;
        let quotes = Quotes {
            sentences: shown.sentences.clone(),
            most: config.quotes.most,
            words: config.quotes.words,
            refuse_at: config.quotes.refuse_at,
        };
        let prompt = Prompt {
            tokens: shown.tokens.clone(),
            sampling: options.sampling.clone().unwrap_or_else(|| config.sampling.clone()),
            max_tokens: shown.max_tokens,
            stop: Vec::new(),
            form: Some(Form::Quotes(Arc::new(quotes))),
            ignore_end: false,
        };
        let catalog = self.answerer.retriever().index().catalog().clone();
        let mut open = StillOpen::new(catalog, self.access.clone(), &self.findings.passages);
        open.check().await?;
        // Before the first event, so that a full queue is told as such.
        let mut written = self.generator.generate(prompt)?;
        let passages = self.findings.passages.iter().map(|found| found.passage.clone()).collect();
        send(events, AnswerEvent::Sources { passages }).await?;
        let (text, generation) = self.read(&mut written).await?;
        open.check().await?;
        if let Some(refusal) = generation.refusal {
            summary.confidence = 1.0 - refusal;
        }
        summary.usage = Some(generation.usage);
        summary.finish = Some(generation.finish);
        summary.timings.generation = Some(generation.timings);
        self.tell(&text, &shown, summary, events).await
    }

    async fn show(&self, confidence: f32) -> Result<Shown> {
        let config = self.answerer.config.generate.clone();
        let max_tokens = self.question.options.max_tokens.unwrap_or(config.max_tokens);
        let (generator, question) = (self.generator.clone(), self.findings.rewritten.clone());
        let (passages, candidates) = (self.findings.passages.clone(), self.findings.candidates.clone());
        let (index, asked) = (self.answerer.retriever().index().clone(), self.findings.asked.clone());
        // Tokenizing takes its time: not on a thread that serves requests.
        let showing = move || {
            let parts = ToShow {
                index: &index,
                asked: &asked,
                question: &question,
                passages: &passages,
                candidates: &candidates,
                confidence,
                max_tokens,
            };
            show(&generator, &config.quotes, &parts)
        };
        Ok(tokio::task::spawn_blocking(showing).await??)
    }

    /// All that the model writes.
    async fn read(&self, written: &mut mpsc::Receiver<GenerateEvent>) -> Result<(String, Generation)> {
        let mut text = String::new();
        let model = || self.generator.info().id.clone();
        loop {
            match written.recv().await.ok_or_else(|| ModelError::Stopped { model: model() })? {
                GenerateEvent::Text(piece) => text.push_str(&piece),
                GenerateEvent::Done(generation) => return Ok((text, generation)),
                GenerateEvent::Failed(error) => return Err(error.into()),
            }
        }
    }

    /// Sends what `text` points at, each with its citation, or that nothing was found.
    async fn tell(
        &self,
        text: &str,
        shown: &Shown,
        summary: &mut AnswerSummary,
        events: &mpsc::Sender<AnswerEvent>,
    ) -> Result<()> {
        for pointed in read(text, &shown.sentences) {
            let Some(candidate) = shown.candidates.get(pointed.sentence) else { continue };
            let Some(found) = self.findings.passages.get(candidate.passage) else { continue };
            let words = if pointed.words.is_empty() { &candidate.text } else { &pointed.words };
            let gap = join(&summary.answer, words);
            let start = summary.answer.chars().count() + gap.chars().count();
            let span = Span::new(start, start + words.chars().count());
            let piece = format!("{gap}{words}");
            summary.answer.push_str(&piece);
            send(events, AnswerEvent::Token { text: piece }).await?;
            let place = (candidate.span, sigmoid(candidate.score));
            let Some(citation) = citation(found, span, place, Verdict::Supported) else { continue };
            summary.citations.push(citation.clone());
            send(events, AnswerEvent::Citation { citation }).await?;
        }
        summary.answered = !summary.answer.is_empty();
        if !summary.answered {
            summary.nearest = nearest(&self.findings.passages);
            summary.answer = not_found(&self.question.text, &summary.nearest);
            send(events, AnswerEvent::Token { text: summary.answer.clone() }).await?;
        }
        Ok(())
    }
}
