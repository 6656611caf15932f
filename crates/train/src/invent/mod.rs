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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    const ENGLISH: &str = "The warranty of the pump lasts 24 months from the day of delivery.|Marlow Brothers repair it in Leeds \
        within 10 days.|Batteries are not covered by the warranty.|A spare filter costs EUR 18.50 and fits all pumps.|The pump \
        weighs 92 kilograms and needs 230 volts.|Customers return the pump in its box to the depot in Hull.|Dr Ines Okoro leads \
        the laboratory since 2019.|The laboratory opens at 8 and closes at 18.|Visitors must wear glasses in the laboratory.|The \
        archive holds 1,200 drawings of ships.|Every Tuesday a guide shows the archive to groups of 12.|The ferry to Skerry \
        takes 45 minutes in calm weather.";
    const CHINESE: &str = "水泵的保修期为 24 个月，从交货之日起计算。|备用滤芯的价格是 18 元。|客户应将水泵装箱退回苏州仓库。|实验室\
        由陈立主任负责，每天 8 点开放。|访客进入实验室须佩戴护目镜。|档案馆收藏了 1200 张船舶图纸。";

    fn inventor(count: usize, seed: u64) -> Inventor {
        let source = |(index, text): (usize, &str)| Source {
            document: index / 6,
            title: format!("Document {}", index / 6),
            heading: String::new(),
            text: text.trim().to_owned(),
        };
        let texts = ENGLISH.split('|').chain(CHINESE.split('|'));
        let config = InventConfig { count, sentences: 6, seed, ..InventConfig::default() };
        Inventor::new(texts.enumerate().map(source).collect(), config)
    }

    #[test]
    fn the_same_seed_gives_the_same_exercises() {
        let all = |seed| inventor(60, seed).exercises().collect::<Vec<_>>();
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
    }

    #[test]
    fn exercises_grow_and_a_third_has_no_answer() {
        let all: Vec<Exercise> = inventor(600, 3).exercises().collect();
        assert!(all.len() > 400, "{}", all.len());
        let without = all.iter().filter(|exercise| exercise.answer.is_empty()).count();
        assert!((all.len() / 4..all.len() / 2).contains(&without), "{without} of {}", all.len());
        let mean = |some: &[Exercise]| {
            some.iter().map(|exercise| exercise.sentences.len()).sum::<usize>() as f64 / some.len() as f64
        };
        assert!(mean(&all[..100]) + 1.0 < mean(&all[all.len() - 100..]));
        assert!(all.iter().any(|exercise| exercise.answer.len() == 2));
        assert!(all.iter().any(|exercise| words::mostly_chinese(&exercise.question)));
    }

    #[test]
    fn answers_are_shown_and_their_words_stand_in_them() {
        for exercise in inventor(400, 5).exercises() {
            assert!(exercise.sentences.len() <= 6 && !exercise.question.trim().is_empty());
            let likely = exercise.sentences.iter().map(|shown| shown.marks[0]);
            assert!(likely.is_sorted_by(|a, b| a >= b), "{exercise:?}");
            for (index, words) in &exercise.answer {
                let shown = &exercise.sentences[*index];
                if let Some(words) = words {
                    assert!(shown.text.contains(words.as_str()), "{words}: {exercise:?}");
                }
            }
        }
    }

    #[test]
    fn what_question_and_sentence_share_is_marked() {
        let terms = BTreeSet::from(["warranti".to_owned(), words::stem("warranty"), "保修".to_owned()]);
        assert_eq!(
            highlighted("Warranty of the pump: 保修期", &terms, '*'),
            "Warranty* of the pump: 保修期*"
        );
    }

    proptest! {
        #[test]
        fn any_text_can_be_asked_about(texts in prop::collection::vec("\\PC{0,80}", 1..12), seed: u64) {
            let sources = texts.into_iter().map(|text| Source {
                document: 1, title: text.chars().take(9).collect(), heading: text.chars().rev().take(9).collect(), text,
            });
            let config = InventConfig { count: 30, seed, ..InventConfig::default() };
            let inventor = Inventor::new(sources.collect(), config);
            for exercise in inventor.exercises() {
                let shared = exercise.shared();
                for shown in &exercise.sentences {
                    highlighted(&shown.text, &shared.asked, '*');
                }
            }
        }
    }
}
