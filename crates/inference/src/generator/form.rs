//! What a text may go on with.

use std::sync::Arc;

use lore_core::{Form, Markers, Quotes};

use super::markers::MarkerState;
use super::quotes::{Leaning, QuoteState};

/// Where a text stands in the form that it must have.
#[derive(Clone, Debug)]
pub(super) enum FormState {
    /// It may be anything.
    Free,
    /// Text with markers.
    Marked(Arc<Markers>, MarkerState),
    /// Tags of sentences.
    Quotes(Arc<Quotes>, QuoteState),
}

impl FormState {
    /// The beginning of a text.
    pub fn new(form: Option<Form>) -> Self {
        match form {
            None => Self::Free,
            Some(Form::Marked(markers)) => Self::Marked(Arc::new(markers), MarkerState::new()),
            Some(Form::Quotes(quotes)) => Self::Quotes(quotes, QuoteState::new()),
        }
    }

    /// Where the text stands after `piece`; `None` where that is no text of this form. Where a tag or a marker is open a
    /// token must bring it on, so that a token without text does not leave it open.
    pub fn after(&self, piece: &str) -> Option<Self> {
        if piece.is_empty() && !self.may_wait() {
            return None;
        }
        Some(match self {
            Self::Free => Self::Free,
            Self::Marked(markers, state) => Self::Marked(markers.clone(), state.after(markers, piece)?),
            Self::Quotes(quotes, state) => Self::Quotes(quotes.clone(), state.after(quotes, piece)?),
        })
    }

    /// Whether the text may end here.
    pub fn may_end(&self) -> bool {
        match self {
            Self::Free => true,
            Self::Marked(_, state) => !state.inside(),
            Self::Quotes(quotes, state) => state.may_end(quotes),
        }
    }

    /// Whether it refuses, and where a refusal begins at which probability, where that is not decided yet.
    pub fn undecided(&self) -> Option<f32> {
        match self {
            Self::Quotes(quotes, state) if state.leaning() == Leaning::Open => Some(quotes.refuse_at),
            _ => None,
        }
    }

    /// What the text has become of those that point at sentences.
    pub fn leaning(&self) -> Leaning {
        match self {
            Self::Quotes(_, state) => state.leaning(),
            _ => Leaning::Open,
        }
    }

    /// The sentence whose tag the text ends with, from 0.
    pub fn tagged(&self) -> Option<usize> {
        match self {
            Self::Quotes(_, state) => state.tagged(),
            _ => None,
        }
    }

    /// Sentences that may be pointed at.
    pub fn sentences(&self) -> usize {
        match self {
            Self::Quotes(quotes, _) => quotes.sentences.len(),
            _ => 0,
        }
    }

    fn may_wait(&self) -> bool {
        match self {
            Self::Free => true,
            Self::Marked(_, state) => !state.inside(),
            Self::Quotes(_, state) => state.may_wait(),
        }
    }
}
