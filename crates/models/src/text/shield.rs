//! Keeps the names of special tokens in messages from becoming those tokens.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use lore_core::generate::{Message, Role};

use crate::error::ModelsError;

/// First of the private characters that stand for others while a template is rendered (supplementary private use area A).
const PRIVATE: u32 = 0xF_0000;
/// Last of them.
const PRIVATE_END: u32 = 0xF_FFFD;

/// How much of the model's own earlier messages is covered; everybody else's are always covered at all edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strength {
    /// Every character at which a special token can begin or end.
    Edges,
    /// One character of each special token, and of what may become one with its neighbours.
    Tokens,
}

/// The names that contents may not have as tokens.
pub(super) struct Shield {
    /// Special tokens and others that steer a model.
    names: Vec<String>,
    /// The first and last characters of those, and of what else the template writes as a token.
    edges: BTreeSet<char>,
}

/// What stands for what while a template is rendered.
pub(super) struct Veil {
    /// Edges and their substitutes.
    pairs: Vec<(char, char)>,
}

impl Shield {
    /// Of special tokens' names, and of other tokens' that the chat template writes (which the model's own messages may
    /// hold, such as `<think>`).
    pub(super) fn new(names: Vec<String>, others: &[String]) -> Self {
        let edges = names
            .iter()
            .chain(others)
            .flat_map(|name| name.chars().next().into_iter().chain(name.chars().last()));
        let edges = edges.collect();
        Self { names, edges }
    }

    /// Whether a content has anything to cover.
    pub(super) fn touches(&self, content: &str) -> bool {
        content.chars().any(|c| self.edges.contains(&c))
    }

    /// The messages with what must not become a token covered, and how to undo it in the rendered text.
    pub(super) fn cover(
        &self,
        messages: &[Message],
        strength: Strength,
    ) -> Result<(Vec<Message>, Veil), ModelsError> {
        let used: HashSet<char> = messages
            .iter()
            .flat_map(|message| message.content.chars())
            .filter(|c| (PRIVATE..=PRIVATE_END).contains(&u32::from(*c)))
            .collect();
        let free = (PRIVATE..=PRIVATE_END).filter_map(char::from_u32).filter(|c| !used.contains(c));
        let pairs: Vec<(char, char)> = self.edges.iter().copied().zip(free).collect();
        if pairs.len() < self.edges.len() {
            return Err(ModelsError::Template {
                message: "the chat uses every private character of Unicode; leave some out".to_owned(),
            });
        }
        let veil = Veil { pairs };
        let covered = messages.iter().map(|message| {
            let content = &message.content;
            let content = if message.role == Role::Assistant && strength == Strength::Tokens {
                let places = self.places(content);
                let chars = content.char_indices();
                chars.map(|(at, c)| if places.contains(&at) { veil.cover(c) } else { c }).collect()
            } else {
                content.chars().map(|c| veil.cover(c)).collect::<String>()
            };
            Message { role: message.role, content }
        });
        let covered = covered.collect();
        Ok((covered, veil))
    }

    /// Where a content has a special token's name, or a part of one at its ends (a template trims white space there).
    fn places(&self, content: &str) -> HashSet<usize> {
        let mut places = HashSet::new();
        let trimmed_start = content.len() - content.trim_start().len();
        let trimmed = content.trim();
        for name in &self.names {
            let mut from = 0;
            while let Some(found) = content[from..].find(name.as_str()) {
                let at = from + found;
                places.insert(at);
                from = at + content[at..].chars().next().map_or(1, char::len_utf8);
            }
            for (cut, _) in name.char_indices().skip(1) {
                let (head, tail) = name.split_at(cut);
                if trimmed.ends_with(head) {
                    places.insert(trimmed_start + trimmed.len() - head.len());
                }
                if trimmed.starts_with(tail) {
                    let last = tail.chars().last().map_or(0, char::len_utf8);
                    places.insert(trimmed_start + tail.len() - last);
                }
            }
        }
        places
    }
}

impl Veil {
    fn cover(&self, c: char) -> char {
        self.pairs.iter().find(|(edge, _)| *edge == c).map_or(c, |(_, substitute)| *substitute)
    }

    /// A piece of rendered text with the contents' own characters.
    pub(super) fn lift<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let covered = |c: char| self.pairs.iter().find(|(_, substitute)| *substitute == c);
        if !text.chars().any(|c| covered(c).is_some()) {
            return Cow::Borrowed(text);
        }
        Cow::Owned(text.chars().map(|c| covered(c).map_or(c, |(edge, _)| *edge)).collect())
    }
}
