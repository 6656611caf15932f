//! From the logits after a text's last token to the next token and the text that it adds.

use lore_core::{Markers, ModelError, Prompt};

use super::markers::MarkerState;
use super::model::Text;
use super::sampler::{Sampler, Scratch};
use super::stop::Stops;

/// Choices made before more is looked at together; a marker that does not exist is rarely the likeliest twice.
const ATTEMPTS: usize = 8;
/// Likeliest tokens that are looked at together, before all are.
const SHORTLIST: usize = 512;

/// What makes one text.
#[derive(Debug)]
pub(super) struct Writer<S> {
    sampler: Sampler,
    stream: S,
    stops: Stops,
    markers: Option<Markers>,
    state: MarkerState,
    ignore_end: bool,
}

/// What comes next in a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A token, and what can be shown of the text.
    Token(u32, String),
    /// A token that ends the text, and the rest of what is shown.
    Last(u32, String),
    /// Nothing may come.
    Nothing(String),
}

/// A token's effect: the text before it can go on from there.
struct Effect<S> {
    stream: S,
    state: MarkerState,
    piece: String,
}

impl<S: Clone + Send> Writer<S> {
    /// The writer of what `prompt` asks for.
    pub fn new(stream: S, prompt: &mut Prompt) -> Self {
        Self {
            sampler: Sampler::new(std::mem::take(&mut prompt.sampling), &prompt.tokens),
            stream,
            stops: Stops::new(std::mem::take(&mut prompt.stop)),
            markers: prompt.markers.take(),
            state: MarkerState::new(),
            ignore_end: prompt.ignore_end,
        }
    }

    /// Chooses the token at `place` of the text.
    ///
    /// # Errors
    /// When the logits are no numbers, as text.
    pub fn next<T>(
        &mut self,
        text: &T,
        row: &[f32],
        scratch: &mut Scratch,
        place: usize,
    ) -> Result<Next, String>
    where
        T: Text<Stream = S>,
    {
        if !self.sampler.prepare(row, scratch) {
            return Err("its logits are not finite; the weights are damaged or overflow".to_owned());
        }
        let Some((token, effect)) = self.choose(text, scratch, place) else {
            return Ok(Next::Nothing(self.finish(text)));
        };
        self.sampler.saw(token);
        let Some(effect) = effect else { return Ok(Next::Last(token, self.finish(text))) };
        (self.stream, self.state) = (effect.stream, effect.state);
        let (shown, stopped) = self.stops.push(&effect.piece);
        Ok(if stopped { Next::Last(token, shown) } else { Next::Token(token, shown) })
    }

    /// What is still held back of a text that ends here.
    pub fn finish<T: Text<Stream = S>>(&mut self, text: &T) -> String {
        let rest = text.finish(&mut self.stream);
        let allowed = self.markers.as_ref().is_none_or(|markers| self.state.after(markers, &rest).is_some());
        let (mut shown, stopped) = self.stops.push(if allowed { &rest } else { "" });
        if !stopped {
            shown.push_str(&self.stops.finish());
        }
        shown
    }

    /// A token that the markers allow, and its effect (`None`: it ends the text).
    fn choose<T>(&self, text: &T, scratch: &mut Scratch, place: usize) -> Option<(u32, Option<Effect<S>>)>
    where
        T: Text<Stream = S>,
    {
        for attempt in 0..ATTEMPTS {
            let token = self.sampler.choose(scratch, place, attempt)?;
            match self.effect(text, token) {
                Some(effect) => return Some((token, effect)),
                None => scratch.forbid(token),
            }
        }
        let allowed = |tokens: Vec<u32>| -> Vec<u32> {
            tokens.into_iter().filter(|token| self.effect(text, *token).is_some()).collect()
        };
        let mut kept = allowed(scratch.likeliest(SHORTLIST));
        if kept.is_empty() {
            kept = allowed((0..scratch.vocabulary()).collect());
        }
        scratch.keep(&kept);
        let token = self.sampler.choose(scratch, place, ATTEMPTS)?;
        Some((token, self.effect(text, token)?))
    }

    /// What `token` does to the text; `None` where the markers do not allow it. Inside a marker a token must bring it
    /// on, so that neither the end of the text nor a token without text leaves it open.
    fn effect<T: Text<Stream = S>>(&self, text: &T, token: u32) -> Option<Option<Effect<S>>> {
        if text.is_end(token) && !self.ignore_end {
            return (!self.state.inside()).then_some(None);
        }
        let mut stream = self.stream.clone();
        let piece = text.push(&mut stream, token);
        let state = match &self.markers {
            Some(_) if piece.is_empty() && self.state.inside() => return None,
            Some(markers) => self.state.after(markers, &piece)?,
            None => self.state.clone(),
        };
        Some(Some(Effect { stream, state, piece }))
    }
}

/// Why the engine does not take what `prompt` asks for.
pub(super) fn refusal(model: &str, prompt: &Prompt, vocabulary: usize, most: usize) -> Option<ModelError> {
    let tokens = prompt.tokens.len();
    let message = if let Some(token) = prompt.tokens.iter().find(|token| **token as usize >= vocabulary) {
        format!("token {token} of the prompt is unknown; the model has {vocabulary}")
    } else if tokens == 0 {
        "the prompt is empty".to_owned()
    } else if tokens >= most {
        format!(
            "the prompt has {tokens} tokens, generator.kv_bytes has room for {most}; raise it or shorten the prompt"
        )
    } else if prompt.stop.len() > super::stop::MOST {
        format!("{} stop texts; at most {} are possible", prompt.stop.len(), super::stop::MOST)
    } else if prompt.stop.iter().any(|stop| stop.len() > super::stop::MOST_BYTES) {
        format!("a stop text is longer than {} bytes", super::stop::MOST_BYTES)
    } else {
        return None;
    };
    Some(ModelError::Refused { model: model.to_owned(), message })
}
