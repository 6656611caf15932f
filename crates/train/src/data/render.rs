//! A conversation becomes token ids, with the answers marked as learned.
//!
//! What is learned of a conversation is what the chat template adds when an answer follows its prompt: the tokens of
//! `apply_chat_template(messages[..=i])` after those of `apply_chat_template(messages[..i], add_generation_prompt=True)`,
//! the end token and what the template writes after it included. All answers of a conversation are learned from one
//! sequence, as long as each of these prompts and answers begins the whole. Some templates write earlier turns otherwise
//! than the last one (they leave out earlier thoughts, or put the instructions before the last question): then each answer
//! is an example of its own, as the model will be asked for it.

use std::cell::RefCell;

use lore_core::generate::{ChatOptions, Message, Role};
use lore_models::ModelsError;
use lore_models::text::{GeneratorText, KnownTexts};

use super::DataSettings;
use super::cut::{self, Cut};
use super::record::Turn;

/// What becomes of a conversation.
pub(super) struct Renderer<'a> {
    text: &'a GeneratorText,
    /// The conversation's texts, each of which is written in many prompts.
    known: RefCell<KnownTexts>,
    cutoff: usize,
    train_on_prompt: bool,
    mask_history: bool,
    thinking: Option<bool>,
}

/// Tokens of an example, and which are learned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rendered {
    pub tokens: Vec<u32>,
    pub labelled: Vec<bool>,
    /// Whether it lost text to the cutoff.
    pub shortened: bool,
}

/// Why a conversation becomes no example.
#[derive(Debug)]
pub(super) enum Refused {
    /// The line is not valid for this model.
    Bad(String),
    /// Nothing to learn would be left.
    TooLong(String),
}

impl From<ModelsError> for Refused {
    fn from(error: ModelsError) -> Self {
        Self::Bad(error.to_string())
    }
}

/// Tokens, and the stretches of them that are learned, in order.
type Spans = (Vec<u32>, Vec<(usize, usize)>);

impl<'a> Renderer<'a> {
    pub(super) fn new(settings: &DataSettings, text: &'a GeneratorText) -> Self {
        Self {
            text,
            known: RefCell::default(),
            cutoff: settings.cutoff_len,
            train_on_prompt: settings.train_on_prompt,
            mask_history: settings.mask_history,
            thinking: Some(settings.thinking),
        }
    }

    /// The examples of a conversation, at least one.
    pub(super) fn chat(&self, turns: &[Turn]) -> Result<Vec<Rendered>, Refused> {
        let mut turns = turns.to_vec();
        let Some(last) = turns.iter().rposition(|turn| turn.learned) else {
            return Err(Refused::Bad("has no answer to learn".to_owned()));
        };
        turns.truncate(last + 1);
        if self.mask_history {
            turns[..last].iter_mut().for_each(|turn| turn.learned = false);
        }
        let Some((tokens, spans)) = self.whole(&turns)? else { return self.one_by_one(&turns) };
        if tokens.len() <= self.cutoff {
            return Ok(vec![self.finish(tokens, &spans, false)]);
        }
        self.windows(&turns)
    }

    fn encode(
        &self,
        turns: &[Turn],
        open_answer: bool,
        thinking: Option<bool>,
    ) -> Result<Vec<u32>, ModelsError> {
        let messages: Vec<Message> = turns.iter().map(|turn| turn.message.clone()).collect();
        let options = ChatOptions { open_answer, thinking };
        self.text.encode_chat_again(&messages, &options, &mut self.known.borrow_mut())
    }

    /// Tokens up to and with the last turn, an answer, and where that begins.
    fn answer(&self, turns: &[Turn]) -> Result<(Vec<u32>, usize), Refused> {
        let full = self.encode(turns, false, self.thinking)?;
        let before = &turns[..turns.len() - 1];
        let mut opened = Vec::new();
        // A prompt that forbids to think does not begin an answer with a thought.
        for thinking in [self.thinking, None, Some(true)] {
            let prompt = self.encode(before, true, thinking)?;
            if full.starts_with(&prompt) && prompt.len() < full.len() {
                return Ok((full, prompt.len()));
            }
            if opened.is_empty() {
                opened = prompt;
            }
        }
        // Where no special token parts them, a token may hold the prompt's end and the answer's beginning.
        let common = full.iter().zip(&opened).take_while(|(a, b)| a == b).count();
        if self.text.written(&full[common..]).starts_with(&self.text.written(&opened[common..]))
            && common < full.len()
        {
            return Ok((full, common));
        }
        // A template may show less of a conversation once it is answered (Mistral's shows the instructions only before an
        // open question): what is learned is then the answer alone, after the prompt as it is asked.
        let command = opened.iter().rposition(|id| self.text.is_special(*id));
        if let Some(frame) = command.map(|at| &opened[at..]) {
            let found = full.windows(frame.len()).rposition(|window| window == frame);
            if let Some(at) = found.map(|at| at + frame.len()).filter(|at| *at < full.len()) {
                let start = opened.len();
                opened.extend_from_slice(&full[at..]);
                return Ok((opened, start));
            }
        }
        let shown =
            |ids: &[u32]| String::from_utf8_lossy(&self.text.written(&ids[..ids.len().min(24)])).into_owned();
        Err(Refused::Bad(format!(
            "the chat template has the model begin with {:?} and writes the answer as {:?}, so that it would learn what it \
             is never asked for; write thoughts into the answers, or name another template (chat_template)",
            shown(&opened[common..]),
            shown(&full[common..])
        )))
    }

    /// All learned answers in one sequence; `None` where the template writes a part otherwise than on its own.
    fn whole(&self, turns: &[Turn]) -> Result<Option<Spans>, Refused> {
        let (full, start) = self.answer(turns)?;
        let mut spans = Vec::new();
        for at in (0..turns.len() - 1).filter(|at| turns[*at].learned) {
            let (part, start) = self.answer(&turns[..=at])?;
            if !full.starts_with(&part) {
                return Ok(None);
            }
            spans.push((start, part.len()));
        }
        spans.push((start, full.len()));
        Ok(Some((full, spans)))
    }

    fn finish(&self, tokens: Vec<u32>, spans: &[(usize, usize)], shortened: bool) -> Rendered {
        let mut labelled = vec![self.train_on_prompt; tokens.len()];
        for (start, end) in spans {
            labelled[*start..*end].fill(true);
        }
        Rendered { tokens, labelled, shortened }
    }

    /// Each learned answer with as much of what came before as fits.
    fn one_by_one(&self, turns: &[Turn]) -> Result<Vec<Rendered>, Refused> {
        let mut rendered = Vec::new();
        let mut refused = None;
        for at in (0..turns.len()).filter(|at| turns[*at].learned) {
            match self.last(&turns[..=at]) {
                Ok(one) => rendered.push(one),
                Err(Refused::TooLong(what)) => refused = Some(Refused::TooLong(what)),
                Err(bad) => return Err(bad),
            }
        }
        refused.filter(|_| rendered.is_empty()).map_or(Ok(rendered), Err)
    }

    /// The last answer with as much of what came before as fits: the oldest exchanges go first.
    fn last(&self, turns: &[Turn]) -> Result<Rendered, Refused> {
        let (system, starts) = exchanges(turns);
        let mut shortened = false;
        for start in starts {
            let kept = [&turns[..system], &turns[start..]].concat();
            let (tokens, begin) = self.answer(&kept)?;
            let end = tokens.len();
            if end <= self.cutoff {
                return Ok(self.finish(tokens, &[(begin, end)], shortened));
            }
            shortened = true;
            if exchanges(&kept).1.len() == 1 {
                return self.cut(tokens, vec![(begin, end)]);
            }
        }
        Err(Refused::TooLong("has nothing to learn".to_owned()))
    }

    /// A conversation that is too long becomes several: each learns the exchanges that fit, after as many of those before
    /// as fit half of it. An exchange that does not fit alone loses text.
    fn windows(&self, turns: &[Turn]) -> Result<Vec<Rendered>, Refused> {
        let (system, starts) = exchanges(turns);
        let count = starts.len();
        let end_of = |exchange: usize| starts.get(exchange + 1).copied().unwrap_or(turns.len());
        // The window of these exchanges, of which those from `fresh` are learned.
        let window = |first: usize, fresh: usize, last: usize| {
            let mut kept = [&turns[..system], &turns[starts[first]..end_of(last)]].concat();
            let seen = system + starts[fresh] - starts[first];
            kept[..seen].iter_mut().for_each(|turn| turn.learned = false);
            kept
        };
        let mut rendered = Vec::new();
        let mut fresh = 0;
        while fresh < count {
            if !turns[starts[fresh]..end_of(fresh)].iter().any(|turn| turn.learned) {
                fresh += 1;
                continue;
            }
            let length = |first: usize, last: usize| {
                self.encode(&window(first, fresh, last), false, self.thinking).map(|tokens| tokens.len())
            };
            let mut first = fresh;
            while first > 0
                && length(first - 1, fresh - 1)? <= self.cutoff / 2
                && length(first - 1, fresh)? <= self.cutoff
            {
                first -= 1;
            }
            let mut last = fresh;
            while last + 1 < count && length(first, last + 1)? <= self.cutoff {
                last += 1;
            }
            let mut kept = window(first, fresh, last);
            kept.truncate(kept.iter().rposition(|turn| turn.learned).map_or(kept.len(), |at| at + 1));
            match self.whole(&kept)? {
                Some((tokens, spans)) if tokens.len() <= self.cutoff => {
                    rendered.push(self.finish(tokens, &spans, false));
                }
                Some((tokens, spans)) => match self.cut(tokens, spans) {
                    Ok(cut) => rendered.push(cut),
                    Err(Refused::TooLong(_)) if count > 1 => {}
                    Err(refused) => return Err(refused),
                },
                None => return self.one_by_one(turns),
            }
            fresh = last + 1;
        }
        if rendered.is_empty() {
            return Err(Refused::TooLong("no exchange of it fits cutoff_len; raise it".to_owned()));
        }
        if let [only] = rendered.as_mut_slice() {
            only.shortened = true;
        }
        Ok(rendered)
    }

    fn cut(&self, tokens: Vec<u32>, spans: Vec<(usize, usize)>) -> Result<Rendered, Refused> {
        let long = tokens.len();
        let fixed = |id: u32| self.text.is_special(id);
        let inner = |id: u32| self.text.piece(id).first().is_some_and(|byte| byte & 0xc0 == 0x80);
        let Some(Cut { tokens, spans }) = cut::shorten(&tokens, &spans, self.cutoff, &fixed, &inner) else {
            return Err(Refused::TooLong(format!(
                "has {long} tokens, of which none would be learned under cutoff_len {}; raise it",
                self.cutoff
            )));
        };
        Ok(self.finish(tokens, &spans, true))
    }
}

/// Messages before the first exchange (the instructions), and where each exchange begins: at a question after an answer.
fn exchanges(turns: &[Turn]) -> (usize, Vec<usize>) {
    let system = turns.iter().take_while(|turn| turn.message.role == Role::System).count();
    let begins = |at: &usize| {
        let turn = &turns[*at];
        *at == system
            || (turn.message.role == Role::User
                && !turn.observed
                && turns[*at - 1].message.role == Role::Assistant)
    };
    (system, (system..turns.len()).filter(begins).collect())
}
