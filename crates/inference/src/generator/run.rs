//! The engine: takes requests, runs steps, sends text.

use std::task::Poll;
use std::time::Instant;

use lore_core::{FinishReason, GenerateEvent, GenerateRequest, ModelError};
use lore_models::decoder::{BLOCK_TOKENS, Stretch, Want};
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;

use super::blocks::Blocks;
use super::model::{Model, Rows, Text};
use super::options::GeneratorOptions;
use super::outlet::{Outlet, Sent, any_room};
use super::sampler::Scratch;
use super::scheduler::{Lines, Part};
use super::sequence::Sequence;
use super::writer::{Next, refusal};
use crate::engine::guarded;

/// Most ended texts that wait for their readers; beyond it the oldest one's reader finds its channel closed.
const LEAVING: usize = 1024;

/// How full an engine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stats {
    /// Texts being read or written.
    pub running: usize,
    /// Requests that wait, without those still in the channel.
    pub waiting: usize,
    /// Ended texts whose readers have not taken all.
    pub leaving: usize,
    /// Blocks that running texts hold.
    pub blocks_used: usize,
    /// Steps so far.
    pub steps: u64,
}

/// A model, its cache, and the requests that it works on.
pub(super) struct Engine<M, T: Text> {
    id: String,
    model: M,
    text: T,
    options: GeneratorOptions,
    requests: Receiver<GenerateRequest>,
    closed: bool,
    /// Requests that may wait here; more wait in the channel.
    ahead: usize,
    /// Most tokens of prompt and text together.
    most: usize,
    blocks: Blocks,
    lines: Lines<T::Stream>,
    leaving: Vec<Outlet>,
    scratch: Scratch,
    arrivals: u64,
    steps: u64,
}

impl<M: Model, T: Text> Engine<M, T> {
    /// An engine whose model has `blocks` blocks and a context of `context` tokens.
    pub fn new(
        id: String,
        model: M,
        text: T,
        (blocks, context): (usize, usize),
        options: GeneratorOptions,
        (requests, ahead): (Receiver<GenerateRequest>, usize),
    ) -> Self {
        let empty = Blocks::new(blocks);
        Self {
            blocks: if model.shares() { empty } else { empty.unshared() },
            id,
            model,
            text,
            options,
            requests,
            closed: false,
            ahead,
            most: context.min(blocks.saturating_mul(BLOCK_TOKENS)),
            lines: Lines::new(),
            leaving: Vec::new(),
            scratch: Scratch::default(),
            arrivals: 0,
            steps: 0,
        }
    }

    /// Works until the last handle is dropped and what was asked is done.
    pub fn run(mut self) {
        loop {
            self.turn();
            if self.lines.running.is_empty() && self.lines.waiting.is_empty() {
                if self.closed && self.leaving.is_empty() {
                    return;
                }
                self.wait();
            }
        }
    }

    /// Takes what has come, drops whom nobody waits for, and runs a step.
    pub fn turn(&mut self) {
        self.sweep();
        while !self.closed && self.lines.waiting.len() < self.ahead {
            match self.requests.try_recv() {
                Ok(request) => self.line_up(request),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.closed = true,
            }
        }
        self.lines.admit(&mut self.blocks, self.options.max_running.max(1));
        self.step();
        self.report();
    }

    /// How full it is.
    pub fn stats(&self) -> Stats {
        Stats {
            running: self.lines.running.len(),
            waiting: self.lines.waiting.len(),
            leaving: self.leaving.len(),
            blocks_used: self.blocks.used(),
            steps: self.steps,
        }
    }

    /// Waits for a request, or for a reader to take the rest of his text.
    fn wait(&mut self) {
        let Self { requests, closed, leaving, .. } = self;
        let request = futures::executor::block_on(any_room(leaving, |context| {
            if *closed { Poll::Pending } else { requests.poll_recv(context) }
        }));
        match request {
            Some(Some(request)) => self.line_up(request),
            Some(None) => self.closed = true,
            None => {}
        }
    }

    fn line_up(&mut self, request: GenerateRequest) {
        metrics::counter!("lore_generate_requests_total").increment(1);
        if request.reply.is_closed() {
            metrics::counter!("lore_generate_cancelled_total").increment(1);
            return;
        }
        match refusal(&self.id, &request.prompt, self.model.vocabulary(), self.most) {
            Some(error) => self.fail(Outlet::new(request.reply), error),
            None => {
                let sequence = Sequence::new(self.arrivals, request, self.text.stream(), self.most);
                self.arrivals += 1;
                self.lines.waiting.push_back(sequence);
            }
        }
    }

    /// Frees what belongs to readers who have gone, and sends what others have room for.
    fn sweep(&mut self) {
        let Self { lines, blocks, leaving, .. } = self;
        let mut gone = 0;
        lines.waiting.retain(|sequence| {
            gone += u64::from(sequence.outlet.is_gone());
            !sequence.outlet.is_gone()
        });
        lines.running.retain_mut(|sequence| {
            let stays = !sequence.outlet.is_gone() && sequence.outlet.flush() != Sent::Gone;
            if !stays {
                sequence.leave(blocks);
                gone += 1;
            }
            stays
        });
        leaving.retain_mut(|outlet| outlet.flush() == Sent::Waits);
        leaving.drain(..leaving.len().saturating_sub(LEAVING));
        if gone > 0 {
            metrics::counter!("lore_generate_cancelled_total").increment(gone);
        }
    }

    fn step(&mut self) {
        let (parts, paused) = self.lines.plan(&mut self.blocks, &self.options);
        if paused > 0 {
            metrics::counter!("lore_generate_paused_total").increment(paused as u64);
        }
        if parts.is_empty() {
            return;
        }
        let start = Instant::now();
        let result = self.forward(&parts);
        self.steps += 1;
        metrics::histogram!("lore_generate_step_seconds").record(start.elapsed().as_secs_f64());
        match result {
            Ok(rows) => self.write(&parts, &rows),
            Err(error) => {
                for part in parts.iter().rev() {
                    self.end(part.at, Err(error.clone()));
                }
            }
        }
    }

    fn forward(&mut self, parts: &[Part]) -> Result<M::Rows, ModelError> {
        let stretch = |part: &Part| {
            let sequence = &self.lines.running[part.at];
            let end = sequence.computed + part.count;
            Stretch {
                tokens: &sequence.tokens[sequence.computed..end],
                start: sequence.computed,
                blocks: &sequence.blocks[..end.div_ceil(BLOCK_TOKENS)],
                want: if end == sequence.tokens.len() { Want::Last } else { Want::Nothing },
            }
        };
        let step: Vec<Stretch<'_>> = parts.iter().map(stretch).collect();
        let wanted = step.iter().filter(|stretch| stretch.want == Want::Last).count();
        let model = &mut self.model;
        let rows = guarded(&self.id, || model.forward(&step))?;
        if rows.count() != wanted {
            let message = format!("it gave {} rows of logits where {wanted} were wanted", rows.count());
            return Err(ModelError::Failed { model: self.id.clone(), message });
        }
        Ok(rows)
    }

    /// Chooses the next token of each sequence that was read to its end.
    fn write(&mut self, parts: &[Part], rows: &M::Rows) {
        let mut rows = (0..rows.count()).map(|index| rows.row(index));
        let mut ended = Vec::new();
        for part in parts {
            let sequence = &mut self.lines.running[part.at];
            sequence.advance(part.count, &mut self.blocks);
            if sequence.left() > 0 {
                continue;
            }
            let Some(row) = rows.next() else { break };
            if sequence.has_read() {
                count("prompt", sequence.prompt);
                count("cached", sequence.cached);
            }
            let (text, scratch, place) =
                (&self.text, &mut self.scratch, sequence.tokens.len() - sequence.prompt);
            let next = guarded(&self.id, || sequence.writer.next(text, row, scratch, place));
            if let Some(end) = take(sequence, next, text) {
                ended.push((part.at, end));
            }
        }
        for (at, end) in ended.into_iter().rev() {
            self.end(at, end);
        }
    }

    /// Frees the running sequence at `at` and sends its end.
    fn end(&mut self, at: usize, end: Result<FinishReason, ModelError>) {
        let mut sequence = self.lines.running.remove(at);
        sequence.leave(&mut self.blocks);
        match end {
            Err(error) => self.fail(sequence.outlet, error),
            Ok(finish) => {
                let generation = sequence.generation(finish);
                tracing::debug!(model = self.id, ?generation, "a text has ended");
                sequence.outlet.close(GenerateEvent::Done(generation));
                self.see_off(sequence.outlet);
            }
        }
    }

    fn fail(&mut self, mut outlet: Outlet, error: ModelError) {
        metrics::counter!("lore_generate_failures_total").increment(1);
        outlet.close(GenerateEvent::Failed(error));
        self.see_off(outlet);
    }

    fn see_off(&mut self, mut outlet: Outlet) {
        if outlet.flush() == Sent::Waits {
            self.leaving.push(outlet);
        }
    }

    fn report(&self) {
        let Stats { running, waiting, blocks_used, .. } = self.stats();
        metrics::gauge!("lore_generate_running").set(running as f64);
        metrics::gauge!("lore_generate_waiting").set((waiting + self.requests.len()) as f64);
        metrics::gauge!("lore_generate_kv_blocks").set(self.blocks.total() as f64);
        metrics::gauge!("lore_generate_kv_blocks_used").set(blocks_used as f64);
    }
}

/// Adds what comes next to a sequence and sends it; how the text ends, if it does.
fn take<T: Text>(
    sequence: &mut Sequence<T::Stream>,
    next: Result<Next, ModelError>,
    text: &T,
) -> Option<Result<FinishReason, ModelError>> {
    let (token, shown, stopped) = match next {
        Err(error) => return Some(Err(error)),
        Ok(Next::Token(token, shown)) => (Some(token), shown, false),
        Ok(Next::Last(token, shown)) => (Some(token), shown, true),
        Ok(Next::Nothing(shown)) => (None, shown, true),
    };
    count("completion", usize::from(token.is_some()));
    if let Some(seconds) = token.and_then(|token| sequence.push(token)) {
        metrics::histogram!("lore_generate_first_token_seconds").record(seconds);
    }
    sequence.outlet.write(&shown);
    if stopped {
        return Some(Ok(FinishReason::Stop));
    }
    if sequence.is_full() {
        let rest = sequence.writer.finish(text);
        sequence.outlet.write(&rest);
        return Some(Ok(FinishReason::Length));
    }
    sequence.outlet.flush();
    None
}

fn count(kind: &'static str, tokens: usize) {
    metrics::counter!("lore_generate_tokens_total", "kind" => kind).increment(tokens as u64);
}
