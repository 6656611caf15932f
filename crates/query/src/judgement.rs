//! What grounding says of a statement.

use lore_core::{Span, sentences};
use serde::Serialize;

use crate::claim;
use crate::statements::Statement;

/// What speaks for a possible quote of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// Share of the statement's words in the sentences.
    pub own: f32,
    /// The same, with what stands around (discounted).
    pub covered: f32,
    /// Nearness in meaning, where the embedder understands the statement.
    pub cosine: Option<f32>,
    /// Whether statement and quote are in scripts that share no words.
    pub foreign: bool,
    /// Whether the statement has numbers or codes.
    pub definite: bool,
}

impl Evidence {
    /// Whether it is enough with these thresholds, as [`GenerateConfig`] has them.
    pub fn is_enough(&self, lexical: f32, cosine: f32) -> bool {
        let near = self.cosine.map(|near| near >= cosine);
        if self.foreign {
            // Without common words, what is definite must be enough where the meaning cannot be compared.
            return near.unwrap_or(self.definite);
        }
        self.covered >= lexical && self.own >= lexical / 2.0 && near.unwrap_or(true)
    }
}

/// The place that supports a statement, or comes nearest to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Support {
    /// Index of the passage.
    pub passage: usize,
    /// The quote's span in the parsed text.
    pub span: Span,
    /// How well it supports the statement, 0 to 1.
    pub score: f32,
}

/// What became of a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// It claims nothing.
    Empty,
    /// It says that nothing was found.
    NothingFound,
    /// It is supported by these.
    Supported(Vec<Support>),
    /// Nothing supports it; the nearest place of each passage that it names.
    Unsupported(Vec<Support>),
}

impl Judgement {
    /// What became of two sentences of a statement.
    pub(crate) fn and(self, other: Self) -> Self {
        let joined = |mut all: Vec<Support>, more: Vec<Support>| {
            for support in more {
                let known = |s: &Support| s.passage == support.passage && s.span == support.span;
                if !all.iter().any(known) {
                    all.push(support);
                }
            }
            all
        };
        match (self, other) {
            (Self::Unsupported(all), Self::Unsupported(more)) => Self::Unsupported(joined(all, more)),
            (Self::Unsupported(nearest), _) | (_, Self::Unsupported(nearest)) => Self::Unsupported(nearest),
            (Self::Supported(all), Self::Supported(more)) => Self::Supported(joined(all, more)),
            (Self::Supported(all), _) | (_, Self::Supported(all)) => Self::Supported(all),
            (Self::NothingFound, _) | (_, Self::NothingFound) => Self::NothingFound,
            (Self::Empty, Self::Empty) => Self::Empty,
        }
    }
}

/// The sentences of a list item, which is one statement; of another statement itself.
pub(crate) fn parts(statement: &Statement) -> Vec<Statement> {
    let bare = claim::without_label(&statement.text);
    if statement.header || bare.starts_with('|') {
        return Vec::new();
    }
    let part = |span: Span| {
        let text = span.slice(bare)?.to_owned();
        Some(Statement { text, ..statement.clone() })
    };
    sentences(bare).into_iter().filter_map(part).collect()
}
