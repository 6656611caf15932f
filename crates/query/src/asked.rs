//! What a question is about: its terms with their weights, its codes, names and numbers, and what it wants.

use std::collections::{BTreeMap, BTreeSet};

use lore_index::Index;
use lore_index::lexical::analyzer::{WordClass, chinese_words};

use crate::error::Result;
use crate::kind::Wanted;
use crate::text;

/// A question, taken apart.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Weight (inverse document frequency) of each term that carries matter.
    weights: BTreeMap<String, f32>,
    total: f32,
    rarest: f32,
    /// Everything definite: codes, names, numbers; lower case.
    specific: Vec<String>,
    codes: Vec<String>,
    names: Vec<String>,
    numbers: Vec<String>,
    /// Chinese words that carry matter.
    words: Vec<String>,
    /// What kind of thing is wanted.
    pub wanted: Wanted,
}

/// Shares of definite things that a text lacks; 0 where the question has none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lacks {
    /// Share of the codes, names and numbers that are missing.
    pub specific: f32,
    /// Whether a code is missing.
    pub code: f32,
    /// Whether a name is missing.
    pub name: f32,
    /// Whether a number is missing.
    pub number: f32,
    /// Share of the Chinese words that are missing.
    pub word: f32,
}

impl Asked {
    /// Takes `question` apart, with the statistics of `index`. Reads postings: blocks.
    ///
    /// # Errors
    /// Fails where the lexical index fails.
    pub fn new(index: &Index, question: &str) -> Result<Self> {
        let matter = text::matter(question);
        let mut weights = weighted(index, &matter)?;
        if weights.is_empty() {
            weights = weighted(index, question)?;
        }
        let total = weights.values().sum();
        let rarest = weights.values().copied().fold(0.0, f32::max);
        let specific = text::specific_terms(question);
        let (mut codes, mut names, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        for term in &specific {
            let digits = term.chars().any(|c| c.is_ascii_digit());
            let letters = term.chars().any(char::is_alphabetic);
            match (digits, letters) {
                (true, true) => codes.push(term.clone()),
                (true, false) => numbers.push(term.clone()),
                (false, _) => names.push(term.clone()),
            }
        }
        let mut words = Vec::new();
        for word in chinese_words(question) {
            if word.class == WordClass::Other || text::is_function_word(&word.text) {
                continue;
            }
            if word.class == WordClass::Name {
                names.push(word.text.clone());
            }
            words.push(word.text);
        }
        Ok(Self {
            weights,
            total,
            rarest,
            specific,
            codes,
            names,
            numbers,
            words,
            wanted: Wanted::of(question),
        })
    }

    /// Share of the weight that `found` gives, where it says for each term how much of it counts (0 to 1).
    pub fn share(&self, found: impl Fn(&str) -> f32) -> f32 {
        if self.total <= 0.0 {
            return 0.0;
        }
        self.weights.iter().map(|(term, weight)| weight * found(term)).sum::<f32>() / self.total
    }

    /// Weight of the rarest term that `holds` denies, relative to the rarest of all.
    pub fn rarest_missing(&self, holds: impl Fn(&str) -> bool) -> f32 {
        let missing = self.weights.iter().filter(|(term, _)| !holds(term)).map(|(_, weight)| *weight);
        missing.fold(0.0, f32::max) / self.rarest.max(1e-6)
    }

    /// Sum of all weights.
    pub fn total(&self) -> f32 {
        self.total
    }

    /// The terms that `holds` says are there.
    pub fn terms_in(&self, holds: impl Fn(&str) -> bool) -> BTreeSet<String> {
        self.weights.keys().filter(|term| holds(term)).cloned().collect()
    }

    /// What `haystack` (lower case) lacks of the definite things asked for.
    pub fn lacks(&self, haystack: &str) -> Lacks {
        let any =
            |terms: &[String]| f32::from(u8::from(terms.iter().any(|t| !haystack.contains(t.as_str()))));
        let share = |terms: &[String]| {
            let missing = terms.iter().filter(|t| !haystack.contains(t.as_str())).count();
            missing as f32 / terms.len().max(1) as f32
        };
        Lacks {
            specific: share(&self.specific),
            code: any(&self.codes),
            name: any(&self.names),
            number: any(&self.numbers),
            word: share(&self.words),
        }
    }
}

fn weighted(index: &Index, text: &str) -> Result<BTreeMap<String, f32>> {
    let weights = index.term_weights(text)?.into_iter();
    // A single Chinese character is in too many words to say anything.
    let tells = |term: &str| !(term.chars().count() == 1 && term.chars().all(text::is_cjk));
    Ok(weights.filter(|(term, _)| tells(term) && !text::is_function_word(term)).collect())
}
