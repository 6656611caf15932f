//! Which sentences the model is shown, as many as its context has room for.

use std::collections::BTreeSet;

use lore_core::{ChatOptions, Generator, Message, ModelError};
use lore_index::Index;

use super::QuoteConfig;
use super::highlight::highlighted;
use super::prompt::{Line, quotes_chat};
use crate::asked::Asked;
use crate::error::Result;
use crate::extract::Candidate;
use crate::pack::encode;
use crate::passages::FoundPassage;

/// What a prompt is made of.
#[derive(Clone)]
pub struct ToShow {
    /// What takes texts apart.
    pub index: Index,
    /// The question taken apart.
    pub asked: Asked,
    /// The question, made whole.
    pub question: String,
    /// The passages.
    pub passages: Vec<FoundPassage>,
    /// Their sentences, best first.
    pub candidates: Vec<Candidate>,
    /// How sure the search is that the first answers.
    pub confidence: f32,
}

/// A prompt with the sentences in it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The sentences, in the order of their tags.
    pub candidates: Vec<Candidate>,
    /// Their texts as the prompt has them.
    pub sentences: Vec<String>,
    /// The chat.
    pub messages: Vec<Message>,
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Most tokens of the answer.
    pub max_tokens: usize,
}

/// Makes the prompt of the best sentences; those that say nothing new are left out. Tokenizes: blocks.
///
/// # Errors
/// [`ModelError::Refused`] where the context has no room for one sentence, or the model has no chat template.
pub fn show(
    generator: &Generator,
    config: &QuoteConfig,
    parts: &ToShow,
) -> std::result::Result<Shown, ModelError> {
    let context = generator.info().context_tokens;
    // The same in training and in serving, so that both show as much.
    let max_tokens = config.max_tokens.clamp(1, (context / 2).max(1));
    let terms = parts.asked.terms_in(|_| true);
    let mut candidates = distinct(&parts.candidates, config.sentences);
    let best = candidates.first().map_or(0.0, |best| best.score);
    let line = |candidate: &Candidate| {
        let title = parts.passages.get(candidate.passage).map_or("", |found| found.passage.title.as_str());
        let (evidence, likely) = (&candidate.evidence, (candidate.score - best).exp());
        let marks = [likely, evidence.coverage, evidence.semantic];
        let highlight = |text: &str| highlighted(&parts.index, text, &terms);
        Line::new(title, candidate.heading.as_deref(), &candidate.read, &highlight, marks)
    };
    let mut lines: Vec<Line> = candidates.iter().map(line).collect();
    let options = ChatOptions { open_answer: true, thinking: Some(false) };
    while !lines.is_empty() {
        let shared: BTreeSet<String> =
            candidates.iter().flat_map(|candidate| candidate.terms.iter().cloned()).collect();
        let highlight = |text: &str| highlighted(&parts.index, text, &shared);
        let chat = quotes_chat(&parts.question, &lines, &highlight, parts.confidence);
        let (messages, tokens) = encode(generator, chat, &options)?;
        if tokens.len() + max_tokens <= context {
            let sentences = lines.into_iter().map(|line| line.text).collect();
            return Ok(Shown { candidates, sentences, messages, tokens, max_tokens });
        }
        lines.pop();
        candidates.truncate(lines.len());
    }
    Err(ModelError::Refused {
        model: generator.info().id.clone(),
        message: format!(
            "the model's context of {context} tokens has no room for the question and a sentence; shorten the question, or \
             raise generator.context_tokens and generator.kv_bytes where they bound it"
        ),
    })
}

/// As [`show`], on a thread that may block: tokenizing takes its time.
///
/// # Errors
/// As [`show`].
pub(crate) async fn show_apart(
    generator: &Generator,
    config: &QuoteConfig,
    parts: ToShow,
) -> Result<std::result::Result<Shown, ModelError>> {
    let (generator, config) = (generator.clone(), config.clone());
    Ok(tokio::task::spawn_blocking(move || show(&generator, &config, &parts)).await?)
}

/// The first `most` candidates of which none repeats another.
pub(crate) fn distinct(candidates: &[Candidate], most: usize) -> Vec<Candidate> {
    let mut out: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if out.len() >= most.max(1) {
            break;
        }
        let repeats = |known: &Candidate| {
            known.read == candidate.read && known.heading == candidate.heading
                || known.passage == candidate.passage && known.span.overlaps(&candidate.span)
        };
        if !out.iter().any(repeats) {
            out.push(candidate.clone());
        }
    }
    out
}
