//! Packing: as many passages and earlier turns as the model's context has room for.
//!
//! Passages go in best first and whole; the first that does not fit is cut at sentence borders around its best sentence.
//! Earlier turns go in newest first. Equal passages in equal order give prompts that begin alike, which the engine's
//! cache of prefixes lives from.

use lore_core::{ChatOptions, Generator, Message, ModelError, Role, Span, Turn, sentences};

use crate::config::GenerateConfig;
use crate::extract::Candidate;
use crate::passages::FoundPassage;
use crate::prompt::{answer_chat, passage_block};

/// Tokens kept free, since pieces of a prompt need not have as many tokens as they have together.
const SLACK: usize = 16;
/// Tokens of a message besides its text.
const MESSAGE: usize = 8;

/// What a prompt is made of.
#[derive(Clone, Copy, Debug)]
pub struct ToPack<'a> {
    /// The question, as asked or made whole.
    pub question: &'a str,
    /// Earlier turns, oldest first.
    pub history: &'a [Turn],
    /// The passages, best first.
    pub passages: &'a [FoundPassage],
    /// Their sentences, best first; `passage` is an index into `passages`.
    pub candidates: &'a [Candidate],
    /// Most tokens of the answer.
    pub max_tokens: usize,
}

/// A prompt with the passages in it.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The passages that the prompt holds, numbered from 1; a passage that was cut has the span and the text that is left.
    pub passages: Vec<FoundPassage>,
    /// The chat.
    pub messages: Vec<Message>,
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Most tokens of the answer.
    pub max_tokens: usize,
}

/// Packs a prompt for `generator`. Tokenizes: blocks.
///
/// # Errors
/// [`ModelError::Refused`] where the context has no room for a single passage, or the model has no chat template.
pub fn pack(
    generator: &Generator,
    config: &GenerateConfig,
    parts: &ToPack<'_>,
) -> Result<Packed, ModelError> {
    let context = generator.info().context_tokens;
    let max_tokens = parts.max_tokens.clamp(1, (context / 2).max(1));
    let options = ChatOptions { open_answer: true, thinking: Some(config.thinking) };
    let bare = encode(generator, answer_chat(parts.question, &[], &[]), &options)?.1.len();
    let room = context.saturating_sub(max_tokens + bare + SLACK);

    let turn_share = (1.0 - config.passage_share).clamp(0.0, 1.0);
    let mut history = fitting(generator, parts.history, (room as f32 * turn_share) as usize);
    let spent: usize = history.iter().map(|turn| turn_tokens(generator, turn)).sum();
    let mut passages = fit(generator, parts, room.saturating_sub(spent));
    loop {
        if passages.is_empty() {
            return Err(ModelError::Refused {
                model: generator.info().id.clone(),
                message: format!(
                    "the model's context of {context} tokens has no room for the question and a passage; shorten the \
                     question, or raise generator.context_tokens and generator.kv_bytes where they bound it"
                ),
            });
        }
        let chat = answer_chat(parts.question, history, &passages);
        let (messages, tokens) = encode(generator, chat, &options)?;
        if tokens.len() + max_tokens <= context {
            return Ok(Packed { passages, messages, tokens, max_tokens });
        }
        match history.split_first() {
            Some((_, newer)) => history = newer,
            None => {
                passages.pop();
            }
        }
    }
}

/// The chat as tokens; for a template that knows no system message, the instructions go to the first user message.
pub(crate) fn encode(
    generator: &Generator,
    messages: Vec<Message>,
    options: &ChatOptions,
) -> Result<(Vec<Message>, Vec<u32>), ModelError> {
    match generator.encode_chat(&messages, options) {
        Ok(tokens) => Ok((messages, tokens)),
        Err(refused @ ModelError::Refused { .. }) => {
            let mut rest = messages.into_iter();
            let (Some(system), Some(user)) = (rest.next(), rest.next()) else { return Err(refused) };
            let joined = Message::new(Role::User, format!("{}\n\n{}", system.content, user.content));
            let messages: Vec<Message> = std::iter::once(joined).chain(rest).collect();
            // What the model says of its own template tells more than what it says of this one.
            let tokens = generator.encode_chat(&messages, options).map_err(|_| refused)?;
            Ok((messages, tokens))
        }
        Err(other) => Err(other),
    }
}

/// The newest turns that have at most `room` tokens.
fn fitting<'a>(generator: &Generator, history: &'a [Turn], room: usize) -> &'a [Turn] {
    let (mut from, mut spent) = (history.len(), 0);
    for (i, turn) in history.iter().enumerate().rev() {
        spent += turn_tokens(generator, turn);
        if spent > room {
            break;
        }
        from = i;
    }
    history.get(from..).unwrap_or_default()
}

fn turn_tokens(generator: &Generator, turn: &Turn) -> usize {
    generator.count_tokens(&turn.question) + generator.count_tokens(&turn.answer) + 2 * MESSAGE
}

/// The passages that have at most `room` tokens, numbered; one of them may be cut.
fn fit(generator: &Generator, parts: &ToPack<'_>, room: usize) -> Vec<FoundPassage> {
    let cost = |found: &FoundPassage| generator.count_tokens(&passage_block(found)) + 1;
    let mut out: Vec<FoundPassage> = Vec::new();
    let (mut left, mut cut) = (room, false);
    for (i, found) in parts.passages.iter().enumerate() {
        let mut found = found.clone();
        found.passage.marker = out.len() as u32 + 1;
        if cost(&found) > left {
            if cut {
                continue;
            }
            let best = parts.candidates.iter().find(|c| c.passage == i).map(|c| c.span);
            match shorten(&found, best, &|part| cost(part) <= left) {
                Some(part) => found = part,
                None => continue,
            }
            cut = true;
        }
        left -= cost(&found);
        out.push(found);
    }
    out
}

/// The longest run of whole sentences around `best` (a span of the parsed text) that fits.
fn shorten(
    found: &FoundPassage,
    best: Option<Span>,
    fits: &dyn Fn(&FoundPassage) -> bool,
) -> Option<FoundPassage> {
    let units = sentences(&found.passage.text);
    let start = found.passage.span.start;
    let at = best.and_then(|best| units.iter().position(|u| u.shift(start) == best)).unwrap_or(0);
    let part = |first: usize, last: usize| {
        let local = Span::new(units.get(first)?.start, units.get(last)?.end);
        let mut part = found.clone();
        part.passage.text = local.slice(&found.passage.text)?.to_owned();
        part.passage.span = local.shift(start);
        part.passage.pages = found.parsed.pages_of(part.passage.span);
        part.passage.headings = found.parsed.heading_path(part.passage.span.start);
        fits(&part).then_some(part)
    };
    let mut kept = part(at, at)?;
    let (mut first, mut last) = (at, at);
    loop {
        // What follows explains more often than what comes before.
        let longer = part(first, last + 1).map(|p| (p, first, last + 1)).or_else(|| {
            let before = first.checked_sub(1)?;
            part(before, last).map(|p| (p, before, last))
        });
        match longer {
            Some(more) => (kept, first, last) = more,
            None => return Some(kept),
        }
    }
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
