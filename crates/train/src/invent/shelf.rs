//! The sentences, and what a search by words would find among them.

use std::collections::{BTreeSet, HashMap, HashSet};

use lore_core::random::Random;

use super::Source;
use super::words::terms;

/// Sentences that are looked at because they share a rare word with the question.
const SHARING: usize = 60;
/// A word in more sentences than this tells nothing.
const COMMON: usize = 4000;
/// Share of a word's weight that counts where it stands in heading or title.
const AROUND: f32 = 0.7;

/// Sentences by their words.
#[derive(Debug)]
pub(super) struct Shelf {
    sources: Vec<Source>,
    /// Words of each sentence, and of what stands around it.
    own: Vec<HashSet<u32>>,
    around: Vec<HashSet<u32>>,
    numbers: HashMap<String, u32>,
    /// Sentences that hold a word.
    holding: Vec<Vec<u32>>,
    /// Code points of each sentence.
    lengths: Vec<usize>,
}

/// A sentence that was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub source: usize,
    pub score: f32,
    pub marks: [f32; 3],
}

impl Shelf {
    pub fn new(sources: Vec<Source>) -> Self {
        let mut numbers: HashMap<String, u32> = HashMap::new();
        let mut holding: Vec<Vec<u32>> = Vec::new();
        let (mut own, mut around) = (Vec::new(), Vec::new());
        let mut number = |term: String, holding: &mut Vec<Vec<u32>>| {
            *numbers.entry(term).or_insert_with(|| {
                holding.push(Vec::new());
                holding.len() as u32 - 1
            })
        };
        for (index, source) in (0u32..).zip(&sources) {
            let words: HashSet<u32> =
                terms(&source.text).into_iter().map(|term| number(term, &mut holding)).collect();
            let context = format!("{} {}", source.title, source.heading);
            let beside: HashSet<u32> =
                terms(&context).into_iter().map(|term| number(term, &mut holding)).collect();
            for word in &words {
                holding[*word as usize].push(index);
            }
            own.push(words);
            around.push(beside);
        }
        let lengths = sources.iter().map(|source| source.text.chars().count()).collect();
        Self { sources, own, around, numbers, holding, lengths }
    }

    pub fn source(&self, index: usize) -> &Source {
        &self.sources[index]
    }

    /// A sentence by chance, of a length that something can be asked of.
    pub fn draw(&self, random: &mut Random, longest: usize) -> Option<usize> {
        let index = random.below(self.sources.len());
        let length = *self.lengths.get(index)?;
        ((12..=longest).contains(&length) && self.own[index].len() >= 3).then_some(index)
    }

    /// A neighbour of the same document.
    pub fn neighbour(&self, index: usize, random: &mut Random) -> Option<usize> {
        let at = (index + 1 + random.below(4)).checked_sub(2 + random.below(2))?;
        let near = self.sources.get(at)?;
        (at != index && near.document == self.sources[index].document).then_some(at)
    }

    /// How rare a word is; the rarest where it is not known.
    pub fn weight(&self, term: &str) -> f32 {
        let known = self.numbers.get(term).map_or(0, |number| self.holding[*number as usize].len());
        (1.0 + self.sources.len() as f32 / (known as f32 + 0.5)).ln()
    }

    /// Whether a sentence, or what stands around it, has a word.
    pub fn has(&self, index: usize, term: &str) -> bool {
        let Some(number) = self.numbers.get(term) else { return false };
        self.own[index].contains(number) || self.around[index].contains(number)
    }

    /// At most `most` sentences, likeliest first: those of `right`, none of `banned` nor any that says the same, neighbours
    /// of `target`, those that share rare words with the question, and some by chance.
    pub fn found(
        &self,
        question: &str,
        target: usize,
        right: &BTreeSet<usize>,
        banned: &BTreeSet<usize>,
        most: usize,
        random: &mut Random,
    ) -> Vec<Found> {
        let asked: Vec<(Option<u32>, f32)> = terms(question)
            .into_iter()
            .map(|term| (self.numbers.get(&term).copied(), self.weight(&term)))
            .collect();
        let total: f32 = asked.iter().map(|(_, weight)| weight).sum::<f32>().max(1e-6);
        let mut near: BTreeSet<usize> = right.clone();
        for _ in 0..most {
            near.extend(self.neighbour(target, random));
        }
        let mut rare: Vec<u32> = asked.iter().filter_map(|(number, _)| *number).collect();
        rare.sort_by_key(|number| self.holding[*number as usize].len());
        for number in rare.into_iter().take(4) {
            let all = &self.holding[number as usize];
            if all.len() <= COMMON {
                let from = random.below(all.len());
                let some = all.iter().cycle().skip(from).take(all.len().min(SHARING / 4));
                near.extend(some.map(|index| *index as usize));
            }
        }
        for _ in 0..most {
            near.insert(random.below(self.sources.len()));
        }
        let texts: HashSet<&str> =
            right.iter().chain(banned).map(|index| self.sources[*index].text.as_str()).collect();
        // A search by words alone for some, as for languages that the embedder does not know.
        let blind = random.unit() < 0.4;
        // Some searches are worse than others.
        let noise = (random.unit() * 0.45) as f32;
        let mut out: Vec<Found> = near
            .into_iter()
            .filter(|index| {
                right.contains(index)
                    || (!banned.contains(index) && !texts.contains(self.sources[*index].text.as_str()))
            })
            .map(|index| {
                let held: f32 = asked
                    .iter()
                    .map(|(number, weight)| match number {
                        Some(number) if self.own[index].contains(number) => *weight,
                        Some(number) if self.around[index].contains(number) => AROUND * weight,
                        _ => 0.0,
                    })
                    .sum();
                let holds = held / total;
                let mut error = || (random.unit() + random.unit() - 1.0) as f32;
                let near = if blind { 0.0 } else { (0.15 + 0.55 * holds + 0.25 * error()).clamp(0.0, 1.0) };
                let score = holds + 0.3 * near + noise * error();
                Found { source: index, score, marks: [0.0, holds, near] }
            })
            .collect();
        out.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.source.cmp(&b.source)));
        // A right one that stands lower is not shown, and there is no exercise.
        out.truncate(most);
        let best = out.first().map_or(0.0, |found| found.score);
        for found in &mut out {
            found.marks[0] = (8.0 * (found.score - best)).exp();
        }
        out
    }
}
