//! Counts tokens word by word, each distinct word once.

use std::cell::RefCell;
use std::collections::HashMap;

use lore_core::TokenCounter;

/// Words remembered; beyond these, words are counted each time.
const REMEMBERED: usize = 100_000;
/// Bytes of the longest word that is worth remembering.
const LONGEST: usize = 64;
/// A token never stands for more characters than this on average: a tokenizer that maps a long run to one unknown
/// token must not make an endless chunk.
const CHARS_PER_TOKEN: usize = 12;

/// A token counter with a memory.
///
/// A text counts as the sum of its words with the white space before them. The tokenizers of sentence encoders split at
/// white space first, so that the sum is exact for them.
pub(super) struct Tokens<'c> {
    count: &'c TokenCounter,
    words: RefCell<HashMap<Box<str>, usize>>,
}

impl<'c> Tokens<'c> {
    pub(super) fn new(count: &'c TokenCounter) -> Self {
        Self { count, words: RefCell::default() }
    }

    /// Tokens of `text`.
    pub(super) fn count(&self, text: &str) -> usize {
        let mut total = 0;
        let mut rest = text;
        while let Some(word_start) = rest.find(|c: char| !c.is_whitespace()) {
            let len = rest[word_start..].find(char::is_whitespace).map_or(rest.len(), |i| word_start + i);
            // One character of the white space is enough to tell a line's start from a word's.
            let from = rest[..word_start].char_indices().next_back().map_or(0, |(i, _)| i);
            total += self.word(&rest[from..len]);
            rest = &rest[len..];
        }
        total
    }

    /// Tokens of `text` in one call of the counter.
    pub(super) fn count_once(&self, text: &str) -> usize {
        if text.is_empty() { 0 } else { (self.count)(text) }
    }

    fn word(&self, word: &str) -> usize {
        if word.len() > LONGEST {
            return (self.count)(word).max(word.chars().count() / CHARS_PER_TOKEN).max(1);
        }
        if let Some(known) = self.words.borrow().get(word) {
            return *known;
        }
        let tokens = (self.count)(word).max(1);
        let mut words = self.words.borrow_mut();
        if words.len() < REMEMBERED {
            words.insert(word.into(), tokens);
        }
        tokens
    }
}

impl text_splitter::ChunkSizer for &Tokens<'_> {
    fn size(&self, chunk: &str) -> usize {
        self.count(chunk)
    }
}
