//! From the logits after a text's last token to the next token and the text that it adds.

use lore_core::{ModelError, Pointing, Prompt};

use super::form::FormState;
use super::model::Text;
use super::quotes::Leaning;
use super::sampler::{Sampler, Scratch};
use super::stop::Stops;

/// Choices made before more is looked at together; what the form forbids is rarely the likeliest twice.
const ATTEMPTS: usize = 8;
/// Likeliest tokens that are looked at together, before all are.
const SHORTLIST: usize = 512;

/// What makes one text.
#[derive(Debug)]
pub(super) struct Writer<S> {
    sampler: Sampler,
    stream: S,
    stops: Stops,
    state: FormState,
    ignore_end: bool,
    /// How sure it was when it began to point.
    pointing: Option<Pointing>,
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
    state: FormState,
    piece: String,
}

impl<S: Clone + Send> Writer<S> {
    /// The writer of what `prompt` asks for.
    pub fn new(stream: S, prompt: &mut Prompt) -> Self {
        Self {
            sampler: Sampler::new(std::mem::take(&mut prompt.sampling), &prompt.tokens),
            stream,
            stops: Stops::new(std::mem::take(&mut prompt.stop)),
            state: FormState::new(prompt.form.take()),
            ignore_end: prompt.ignore_end,
            pointing: None,
        }
    }

    /// How sure it was, where the text was to point at sentences and has begun to.
    pub fn pointing(&self) -> Option<Pointing> {
        self.pointing.clone()
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
        if let Some(refuse_at) = self.state.undecided() {
            self.decide(text, scratch, refuse_at);
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
        let allowed = self.state.after(&rest).is_some();
        let (mut shown, stopped) = self.stops.push(if allowed { &rest } else { "" });
        if !stopped {
            shown.push_str(&self.stops.finish());
        }
        shown
    }

    /// Decides whether the text refuses, where the likeliest token does: by the probability of the tokens that begin a
    /// refusal among those that begin either. The others are then ruled out.
    fn decide<T>(&mut self, text: &T, scratch: &mut Scratch, refuse_at: f32)
    where
        T: Text<Stream = S>,
    {
        let mut allowed: Vec<(u32, Leaning)> = Vec::new();
        let mut tags: Vec<(usize, f32)> = Vec::new();
        for tokens in [scratch.likeliest(SHORTLIST), (0..scratch.vocabulary()).collect()] {
            for token in tokens {
                let Some(Some(effect)) = self.effect(text, token) else { continue };
                let first = allowed.first().map_or(token, |(first, _)| *first);
                tags.extend(effect.state.tagged().map(|sentence| (sentence, scratch.weight(token, first))));
                allowed.push((token, effect.state.leaning()));
            }
            if !allowed.is_empty() {
                break;
            }
        }
        if allowed.first().is_none_or(|(_, leaning)| *leaning == Leaning::Open) {
            return;
        }
        let weight = |of: Leaning, scratch: &Scratch| {
            let tokens = allowed.iter().filter(|(_, leaning)| *leaning == of);
            tokens.map(|(token, _)| scratch.weight(*token, allowed[0].0)).sum::<f32>()
        };
        let (refuses, answers) = (weight(Leaning::Refuses, scratch), weight(Leaning::Answers, scratch));
        let share = refuses / (refuses + answers);
        if !share.is_finite() {
            return;
        }
        let mut sentences = vec![0.0; if tags.is_empty() { 0 } else { self.state.sentences() }];
        for (sentence, weight) in tags {
            if let Some(place) = sentences.get_mut(sentence) {
                *place += weight / answers.max(f32::MIN_POSITIVE);
            }
        }
        self.pointing = Some(Pointing { refusal: share, sentences });
        let chosen = if share >= refuse_at { Leaning::Refuses } else { Leaning::Answers };
        let of_chosen = |leaning: Leaning| allowed.iter().filter(move |(_, of)| *of == leaning);
        // A side without a token, which a bias or a small vocabulary makes, cannot be chosen.
        let kept = of_chosen(chosen).next().map_or(allowed[0].1, |_| chosen);
        scratch.keep(&of_chosen(kept).map(|(token, _)| *token).collect::<Vec<u32>>());
    }

    /// A token that the form allows, and its effect (`None`: it ends the text).
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

    /// What `token` does to the text; `None` where its form does not allow it.
    fn effect<T: Text<Stream = S>>(&self, text: &T, token: u32) -> Option<Option<Effect<S>>> {
        if text.is_end(token) && !self.ignore_end {
            return self.state.may_end().then_some(None);
        }
        let mut stream = self.stream.clone();
        let piece = text.push(&mut stream, token);
        let state = self.state.after(&piece)?;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use lore_core::{Form, Quotes, Sampling};

    use super::*;

    const PIECES: [&str; 9] = ["", "[none]", "[s1]", "[s2]", "[s3]", " EUR", " 800", "[", "s1]"];
    const END: u32 = 0;

    struct Pieces;

    impl Text for Pieces {
        type Stream = ();

        fn stream(&self) {}

        fn push(&self, (): &mut (), token: u32) -> String {
            PIECES[token as usize].to_owned()
        }

        fn finish(&self, (): &mut ()) -> String {
            String::new()
        }

        fn is_end(&self, token: u32) -> bool {
            token == END
        }
    }

    /// What is written where each step has these logits, and how sure it was.
    fn written(refuse_at: f32, rows: &[[f32; 9]]) -> (String, Pointing) {
        let sentences = ["Up to EUR 800.".to_owned(), "None.".to_owned(), "Ten.".to_owned()];
        let quotes = Quotes { sentences: sentences.to_vec(), most: 2, words: true, refuse_at };
        let mut prompt = Prompt {
            tokens: vec![1],
            sampling: Sampling { temperature: 0.0, ..Sampling::default() },
            form: Some(Form::Quotes(Arc::new(quotes))),
            ..Prompt::default()
        };
        let mut writer = Writer::new((), &mut prompt);
        let (mut scratch, mut text) = (Scratch::default(), String::new());
        for (place, row) in rows.iter().enumerate() {
            match writer.next(&Pieces, row, &mut scratch, place).unwrap() {
                Next::Token(_, shown) => text.push_str(&shown),
                Next::Last(_, shown) | Next::Nothing(shown) => {
                    text.push_str(&shown);
                    break;
                }
            }
        }
        (text, writer.pointing().unwrap())
    }

    #[test]
    fn a_refusal_is_decided_by_its_probability_and_not_by_the_likeliest_token() {
        // Among what may come: none 0.4, s1 0.3, s2 0.2, s3 0.1; other tokens are likelier and not allowed.
        let first = [0.4f32, 0.3, 0.2, 0.1].map(f32::ln);
        let row = [9.0, first[0], first[1], first[2], first[3], 9.0, 9.0, -9.0, 9.0];
        let end = [9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let (text, sure) = written(0.5, &[row, end]);
        assert_eq!(text, "[s1]");
        assert!((sure.refusal - 0.4).abs() < 1e-3, "{sure:?}");
        let near = |a: f32, b: f32| (a - b).abs() < 1e-3;
        assert!(near(sure.sentences[0], 0.5) && near(sure.sentences[2], 1.0 / 6.0), "{sure:?}");
        assert_eq!(written(0.3, &[row, end]).0, "[none]");
        assert_eq!(written(f32::INFINITY, &[row, end]).0, "[s1]");
    }

    #[test]
    fn what_follows_a_tag_is_held_to_the_sentence() {
        let row = |likely: u32| {
            let mut row = [0.0; 9];
            row[likely as usize] = 5.0;
            row
        };
        let wanting =
            |tokens: &[u32]| written(0.5, &tokens.iter().map(|token| row(*token)).collect::<Vec<_>>()).0;
        assert_eq!(wanting(&[2, 5, 6, END]), "[s1] EUR 800");
        assert_eq!(wanting(&[2, 3, END]), "[s1][s2]");
        // No words of another sentence, no tag twice, no refusal behind a tag.
        assert!(!wanting(&[3, 5, END]).contains("EUR"));
        assert!(!wanting(&[2, 2, END]).starts_with("[s1][s1]"));
        assert!(!wanting(&[2, 1, END]).contains("none"));
    }
}
