//! Asks a model to point, and puts what it points at into the answer.

use std::sync::Arc;

use lore_core::{
    Access, AnswerEvent, AnswerSummary, Form, GenerateEvent, Generation, Generator, ModelError, Prompt,
    Question, Quotes, Sampling, Span, Verdict,
};
use tokio::sync::mpsc;

use super::{Pointed, QuoteConfig, Shown, ToShow, read, show_apart};
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
        let shown = self.show(summary.confidence).await?;
        let quotes = Quotes {
            sentences: shown.sentences.clone(),
            most: config.quotes.most,
            words: config.quotes.words,
            refuse_at: config.quotes.refuse_at,
        };
        let prompt = Prompt {
            tokens: shown.tokens.clone(),
            // A tag is no matter of taste: the likeliest, with nothing that weighs what the prompt holds already.
            sampling: Sampling { temperature: 0.0, repetition_penalty: 1.0, ..Sampling::default() },
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
        let mut pointed = read(&text, &shown.sentences);
        if let Some(pointing) = &generation.pointing {
            summary.confidence = 1.0 - pointing.refusal;
            also(&mut pointed, &pointing.sentences, &config.quotes);
        }
        summary.usage = Some(generation.usage);
        summary.finish = Some(generation.finish);
        summary.timings.generation = Some(generation.timings);
        let likely = generation.pointing.map_or_else(Vec::new, |pointing| pointing.sentences);
        for pointed in pointed {
            // Each sentence only while the caller may read what it stands in; who reads slowly waits with it.
            open.check().await?;
            let share = likely.get(pointed.sentence).copied();
            self.quote(&pointed, share, &shown, summary, events).await?;
        }
        summary.answered = !summary.answer.is_empty();
        if !summary.answered {
            summary.nearest = nearest(&self.findings.passages);
            summary.answer = not_found(&self.question.text, &summary.nearest);
            send(events, AnswerEvent::Token { text: summary.answer.clone() }).await?;
        }
        Ok(())
    }

    async fn show(&self, confidence: f32) -> Result<Shown> {
        let parts = ToShow {
            index: self.answerer.retriever().index().clone(),
            asked: self.findings.asked.clone(),
            question: self.findings.rewritten.clone(),
            passages: self.findings.passages.clone(),
            candidates: self.findings.candidates.clone(),
            confidence,
        };
        Ok(show_apart(self.generator, &self.answerer.config.generate.quotes, parts).await??)
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

    /// Sends a sentence, or the words of it that answer, with its citation; `share` is the model's probability of it.
    async fn quote(
        &self,
        pointed: &Pointed,
        share: Option<f32>,
        shown: &Shown,
        summary: &mut AnswerSummary,
        events: &mpsc::Sender<AnswerEvent>,
    ) -> Result<()> {
        let Some(candidate) = shown.candidates.get(pointed.sentence) else { return Ok(()) };
        let Some(found) = self.findings.passages.get(candidate.passage) else { return Ok(()) };
        // The prompt shows a sentence on one line and without marks; what is said stands in the document.
        let said = Quotes::is_part(&candidate.text, &pointed.words);
        let words = if said { &pointed.words } else { &candidate.text };
        let gap = join(&summary.answer, words);
        let start = summary.answer.chars().count() + gap.chars().count();
        let span = Span::new(start, start + words.chars().count());
        let place = (candidate.span, share.unwrap_or_else(|| sigmoid(candidate.score)));
        let Some(citation) = citation(found, span, place, Verdict::Supported) else { return Ok(()) };
        let piece = format!("{gap}{words}");
        summary.answer.push_str(&piece);
        send(events, AnswerEvent::Token { text: piece }).await?;
        summary.citations.push(citation.clone());
        send(events, AnswerEvent::Citation { citation }).await
    }
}

/// Adds the sentences that the model thought nearly as likely as the one that it points at first.
fn also(pointed: &mut Vec<Pointed>, likely: &[f32], config: &QuoteConfig) {
    let Some(first) = pointed.first().and_then(|first| likely.get(first.sentence)) else { return };
    let least = first * config.also_from;
    let mut more: Vec<(usize, f32)> = likely
        .iter()
        .copied()
        .enumerate()
        .filter(|(sentence, share)| {
            *share >= least && pointed.iter().all(|known| known.sentence != *sentence)
        })
        .collect();
    more.sort_by(|a, b| b.1.total_cmp(&a.1));
    let room = config.most.saturating_sub(pointed.len());
    pointed
        .extend(more.into_iter().take(room).map(|(sentence, _)| Pointed { sentence, words: String::new() }));
}
