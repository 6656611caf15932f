//! Questions that nobody asked: exercises for a model that points at the sentence which answers.
//!
//! Made from the sentences of any documents, without end, the same for the same seed. An exercise is a question about one
//! or two sentences ([`ask`]), those sentences among others that a search would find with them, in the order of a score by
//! words as a search has it, and the right ones, or none: a third is asked without the sentence that answers, or asks for
//! what no sentence says. Names and numbers are changed throughout an exercise ([`swap`]), so that nothing is gained by
//! knowing documents by heart.
//!
//! Early exercises have few and short sentences, late ones as many as serving shows: the curriculum of Bengio et al. 2009
//! ("Curriculum Learning", section 3), in whose order they come.

mod ask;
mod shelf;
mod swap;
mod words;

use std::collections::BTreeSet;

use lore_core::random::Random;
use serde::Serialize;

use self::shelf::{Found, Shelf};

/// A sentence to make exercises of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Number of its document; neighbours of a document stand together.
    pub document: usize,
    /// The document's title.
    pub title: String,
    /// The heading above it; empty where there is none.
    pub heading: String,
    /// The sentence, or the table row read with its columns' names.
    pub text: String,
}

/// How exercises are made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct InventConfig {
    /// How many.
    pub count: usize,
    /// Sentences of the last ones; the first have two to four.
    pub sentences: usize,
    /// Share without an answer.
    pub unanswerable: f64,
    /// Share of the exercises over which the number of sentences grows.
    pub growing: f64,
    /// What chance starts from.
    pub seed: u64,
}

impl Default for InventConfig {
    fn default() -> Self {
        Self { count: 20_000, sentences: 12, unanswerable: 0.33, growing: 0.6, seed: 42 }
    }
}

/// A sentence of an exercise.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Its document's title.
    pub title: String,
    /// The heading above it.
    pub heading: String,
    /// Its text.
    pub text: String,
    /// How likely it is the right one of these, the share of the question's words that it holds, and how near its meaning
    /// is, as a search would say: 0 to 1.
    pub marks: [f32; 3],
}

/// An exercise.
#[derive(Clone, Debug, PartialEq)]
pub struct Exercise {
    /// What is asked.
    pub question: String,
    /// The sentences, likeliest first.
    pub sentences: Vec<Shown>,
    /// How sure a search would be that the first answers: 0 to 1.
    pub confidence: f32,
    /// Indexes of the sentences that answer, each perhaps with the words of it; none where nothing does.
    pub answer: Vec<(usize, Option<String>)>,
}

impl Exercise {
    /// What the question shares with the sentences, for [`highlighted`].
    pub fn shared(&self) -> Shared {
        let around = |shown: &Shown| format!("{} {} {}", shown.title, shown.heading, shown.text);
        let told: BTreeSet<String> =
            self.sentences.iter().flat_map(|shown| words::terms(&around(shown))).collect();
        let asked: BTreeSet<String> = words::terms(&self.question).into_iter().collect();
        Shared { found: asked.intersection(&told).cloned().collect(), asked }
    }
}

/// Words of a question.
#[derive(Clone, Debug)]
pub struct Shared {
    /// All that carry matter.
    pub asked: BTreeSet<String>,
    /// Those of them that a sentence has.
    pub found: BTreeSet<String>,
}

/// `text` with `mark` behind each word that is among `terms`, as serving shows it.
pub fn highlighted(text: &str, terms: &BTreeSet<String>, mark: char) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut done = 0;
    for word in words::words(text) {
        if words::terms(&text[word.at.clone()]).iter().any(|term| terms.contains(term)) {
            out.push_str(&text[done..word.at.end]);
            out.push(mark);
            done = word.at.end;
        }
    }
    out.push_str(&text[done..]);
    out
}

/// Makes exercises.
#[derive(Debug)]
pub struct Inventor {
    shelf: Shelf,
    config: InventConfig,
}

impl Inventor {
    /// Over `sources`; those that are too short or too long to ask about only stand beside others.
    pub fn new(sources: Vec<Source>, config: InventConfig) -> Self {
        Self { shelf: Shelf::new(sources), config }
    }

    /// All exercises, in the order in which they are to be learned.
    pub fn exercises(&self) -> impl Iterator<Item = Exercise> {
        (0..self.config.count).filter_map(|index| self.exercise(index))
    }

    /// The exercise with this number; `None` where chance found no sentence that something can be asked of.
    pub fn exercise(&self, index: usize) -> Option<Exercise> {
        let mut random = Random::new(lore_core::random::mix(self.config.seed).wrapping_add(index as u64));
        let progress = index as f64 / self.config.count.max(1) as f64;
        let most = self.shown_at(progress, &mut random);
        // Short sentences first, too.
        let longest = if progress < self.config.growing / 3.0 { 90 } else { 400 };
        let target = (0..20).find_map(|_| self.shelf.draw(&mut random, longest))?;
        let refuse = random.unit() < self.config.unanswerable;
        let asked = ask::about(&self.shelf, target, &mut random)?;
        let (question, hidden) = match refuse {
            // Half of them ask for what is not there, half are asked where the answer is not.
            true if random.unit() < 0.5 => (ask::beside(&self.shelf, target, &asked, &mut random)?, false),
            true => (asked.question.clone(), true),
            false => (asked.question.clone(), false),
        };
        let mut right: BTreeSet<usize> = asked.answers.iter().map(|(source, _)| *source).collect();
        let banned = if hidden { std::mem::take(&mut right) } else { BTreeSet::new() };
        let found = self.shelf.found(&question, target, &right, &banned, most, &mut random);
        let answer = match refuse {
            true => Vec::new(),
            false => asked
                .answers
                .iter()
                .map(|(source, words)| {
                    let at = found.iter().position(|found| found.source == *source)?;
                    Some((at, words.clone()))
                })
                .collect::<Option<Vec<_>>>()?,
        };
        let confidence = confidence(&found, &mut random);
        let exercise = Exercise {
            question,
            confidence,
            answer,
            sentences: found.iter().map(|found| self.shown(found)).collect(),
        };
        Some(swap::swapped(exercise, &mut random))
    }

    fn shown(&self, found: &Found) -> Shown {
        let source = self.shelf.source(found.source);
        Shown {
            title: source.title.clone(),
            heading: source.heading.clone(),
            text: source.text.clone(),
            marks: found.marks,
        }
    }

    /// Sentences of an exercise when this share of all is done.
    fn shown_at(&self, progress: f64, random: &mut Random) -> usize {
        let grown = (progress / self.config.growing.max(1e-9)).min(1.0);
        let most = 3.0 + grown * (self.config.sentences as f64 - 3.0);
        // Serving shows fewer where few are found.
        let fewer = (random.unit() * random.unit() * 0.6 * most) as usize;
        (most.round() as usize - fewer).max(2)
    }
}

/// How sure a search would be of the first: surer the more it holds and the farther the second is behind, with errors.
fn confidence(found: &[Found], random: &mut Random) -> f32 {
    let Some(first) = found.first() else { return 0.0 };
    let behind = found.get(1).map_or(1.0, |second| first.score - second.score);
    let error = (random.unit() + random.unit() - 1.0) as f32;
    let odds = 5.0 * (first.marks[1] - 0.55) + 2.0 * behind + 1.5 * error;
    1.0 / (1.0 + (-odds).exp())
}
