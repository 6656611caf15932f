//! A text that is being read and written.

use std::time::Instant;

use lore_core::{FinishReason, GenerateRequest, Generation, GenerationTimings, Usage};
use lore_models::decoder::BLOCK_TOKENS;

use super::blocks::{Blocks, ROOT};
use super::outlet::Outlet;
use super::writer::Writer;

/// One request's tokens, where their keys and values are, and what writes on.
#[derive(Debug)]
pub(super) struct Sequence<S> {
    /// Its number among all requests.
    pub arrival: u64,
    /// The prompt and what is written so far.
    pub tokens: Vec<u32>,
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Most tokens that it may have.
    limit: usize,
    /// Tokens whose keys and values are there.
    pub computed: usize,
    /// The block at `i` holds positions from `BLOCK_TOKENS * i`.
    pub blocks: Vec<u32>,
    /// Blocks whose content others can find.
    published: usize,
    /// How often a later request was let in before this one.
    pub overtaken: usize,
    /// What chooses its tokens.
    pub writer: Writer<S>,
    /// Where its text goes.
    pub outlet: Outlet,
    /// Tokens of the prompt that others had computed; what is read again after a pause does not count.
    pub cached: usize,
    paused: bool,
    asked: Instant,
    started: Option<Instant>,
    read: Option<Instant>,
    first: Option<Instant>,
}

impl<S: Clone + Send> Sequence<S> {
    /// A request in its line; `most` tokens at most.
    pub fn new(arrival: u64, mut request: GenerateRequest, stream: S, most: usize) -> Self {
        let writer = Writer::new(stream, &mut request.prompt);
        let prompt = request.prompt.tokens.len();
        let asked_for = match request.prompt.max_tokens {
            0 => usize::MAX,
            tokens => prompt.saturating_add(tokens),
        };
        Self {
            arrival,
            tokens: request.prompt.tokens,
            prompt,
            limit: asked_for.min(most),
            computed: 0,
            blocks: Vec::new(),
            published: 0,
            overtaken: 0,
            writer,
            outlet: Outlet::new(request.reply),
            cached: 0,
            paused: false,
            asked: request.asked,
            started: None,
            read: None,
            first: None,
        }
    }

    /// Tokens that are not computed; one at least.
    pub fn left(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Whether it has as many tokens as it may.
    pub fn is_full(&self) -> bool {
        self.tokens.len() >= self.limit
    }

    /// Blocks that its tokens need beyond those that it has.
    pub fn wanted(&self) -> usize {
        self.tokens.len().div_ceil(BLOCK_TOKENS).saturating_sub(self.blocks.len())
    }

    /// The next whole block that it is to compute, as others would find it; `None` in the midst of one, and where the
    /// block holds the last token, whose logits are wanted.
    pub fn next_block(&self, blocks: &Blocks) -> Option<(u64, &[u32])> {
        if self.computed != self.published * BLOCK_TOKENS || self.left() <= BLOCK_TOKENS {
            return None;
        }
        Some((self.parent(blocks), &self.tokens[self.computed..][..BLOCK_TOKENS]))
    }

    /// Goes on from what others have computed.
    pub fn adopt(&mut self, blocks: &mut Blocks) {
        while let Some((parent, tokens)) = self.next_block(blocks) {
            let Some(found) = blocks.find(parent, tokens) else { break };
            match self.blocks.get_mut(self.published) {
                Some(own) => blocks.release(&[std::mem::replace(own, found)]),
                None => self.blocks.push(found),
            }
            self.published += 1;
            self.computed += BLOCK_TOKENS;
            if !self.paused {
                self.cached += BLOCK_TOKENS;
            }
        }
    }

    /// `count` tokens more are computed; full blocks can be found by others from now on.
    pub fn advance(&mut self, count: usize, blocks: &mut Blocks) {
        self.computed += count;
        while self.computed >= (self.published + 1) * BLOCK_TOKENS {
            let (parent, at) = (self.parent(blocks), self.published);
            let tokens = &self.tokens[at * BLOCK_TOKENS..][..BLOCK_TOKENS];
            self.blocks[at] = blocks.publish(self.blocks[at], parent, at, tokens);
            self.published += 1;
        }
    }

    /// Gives its blocks back.
    pub fn leave(&mut self, blocks: &mut Blocks) {
        blocks.release(&std::mem::take(&mut self.blocks));
        (self.computed, self.published) = (0, 0);
        if self.started.is_none() {
            self.cached = 0;
        }
    }

    /// Gives its blocks back to others; it goes on later, and finds or computes again what it needs.
    pub fn pause(&mut self, blocks: &mut Blocks) {
        self.paused = true;
        self.leave(blocks);
    }

    /// It is let in.
    pub fn start(&mut self) {
        self.started.get_or_insert_with(Instant::now);
    }

    /// Its logits are there; whether that is so for the first time.
    pub fn has_read(&mut self) -> bool {
        let first = self.read.is_none();
        self.read.get_or_insert_with(Instant::now);
        first
    }

    /// A token more; seconds since it was asked for, where it is the first.
    pub fn push(&mut self, token: u32) -> Option<f64> {
        self.tokens.push(token);
        let first = self.first.is_none();
        self.first.get_or_insert_with(Instant::now);
        first.then(|| self.asked.elapsed().as_secs_f64())
    }

    /// Tokens and times of the text that ends now.
    pub fn generation(&self, finish: FinishReason) -> Generation {
        let now = Instant::now();
        let millis = |from: Option<Instant>, to: Option<Instant>| match (from, to) {
            (Some(from), Some(to)) => to.saturating_duration_since(from).as_secs_f64() * 1e3,
            _ => 0.0,
        };
        let written = self.tokens.len() - self.prompt;
        let writing = millis(self.first, Some(now));
        Generation {
            finish,
            pointing: self.writer.pointing(),
            usage: Usage {
                prompt_tokens: self.prompt,
                cached_tokens: self.cached,
                completion_tokens: written,
            },
            timings: GenerationTimings {
                queue_ms: millis(Some(self.asked), self.started),
                prefill_ms: millis(self.started, self.read),
                first_token_ms: millis(Some(self.asked), self.first),
                total_ms: millis(Some(self.asked), Some(now)),
                tokens_per_second: if written > 1 && writing > 0.0 {
                    (written - 1) as f64 / writing * 1e3
                } else {
                    0.0
                },
            },
        }
    }

    fn parent(&self, blocks: &Blocks) -> u64 {
        self.published.checked_sub(1).map_or(ROOT, |last| blocks.content(self.blocks[last]))
    }
}
