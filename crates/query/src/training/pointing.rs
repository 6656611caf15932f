//! Examples of a model that points at sentences: their tags, perhaps with the words that answer.

use std::collections::BTreeSet;

use lore_core::Quotes;
use lore_core::random::Random;

use super::gold::Gold;
use super::passages::{Found, Shower};
use super::{AnswerForm, Prompted, named};
use crate::asked::Asked;
use crate::error::Result;
use crate::eval::EvalQuestion;
use crate::extract::Candidate;
use crate::passages::FoundPassage;
use crate::quote::{Shown, distinct, read};

/// Sentences of an example at least, where there are as many.
const FEWEST: usize = 3;

/// An example's parts.
pub(super) struct Example {
    pub prompt: Prompted,
    pub answer: String,
    /// The answer as a person would read it.
    pub plain: String,
    /// Numbers of the right sentences.
    pub right: BTreeSet<u32>,
}

/// What is to be pointed at for a question.
pub(super) struct Pointing<'a> {
    form: AnswerForm,
    question: &'a EvalQuestion,
    golds: &'a [Gold],
}

impl<'a> Pointing<'a> {
    pub fn new(form: AnswerForm, question: &'a EvalQuestion, golds: &'a [Gold]) -> Self {
        Self { form, question, golds }
    }

    /// `variants` examples over what was `found`, or why there is none.
    pub async fn examples(
        &self,
        shower: &Shower<'_>,
        found: &Found,
        variants: usize,
        random: &mut Random,
    ) -> Result<Result<Vec<Example>, String>> {
        let (asked, candidates) = shower.candidates(found).await?;
        let mut out = Vec::new();
        for variant in 0..variants.max(1) {
            let right =
                |candidate: &Candidate| self.golds.iter().any(|gold| holds(gold, candidate, &found.passages));
            let some = if variant == 0 { candidates.clone() } else { thinned(&candidates, right, random) };
            match self.example(shower, found, &asked, some).await? {
                Ok(example) => out.push(example),
                Err(reason) if variant == 0 => return Ok(Err(reason)),
                Err(_) => {}
            }
        }
        Ok(Ok(out))
    }

    async fn example(
        &self,
        shower: &Shower<'_>,
        found: &Found,
        asked: &Asked,
        candidates: Vec<Candidate>,
    ) -> Result<Result<Example, String>> {
        let most = shower.most_sentences();
        let best = distinct(&candidates, most);
        let mut wanted: Vec<Candidate> = Vec::new();
        for gold in self.golds {
            let right = |candidate: &&Candidate| holds(gold, candidate, &found.passages);
            let Some(candidate) = best.iter().find(right) else {
                // Put in all the same it would stand where it never does: what is last would be learned to be right.
                return Ok(Err(match candidates.iter().any(|candidate| right(&candidate)) {
                    true => "the search scores what answers it too low for it to be shown".to_owned(),
                    false => "what answers it is no sentence that could be pointed at".to_owned(),
                }));
            };
            if wanted.iter().all(|known| (known.passage, known.span) != (candidate.passage, candidate.span)) {
                wanted.push(candidate.clone());
            }
        }
        let shown = match shower.show(found, asked, candidates).await? {
            Ok(shown) => shown,
            Err(reason) => return Ok(Err(reason)),
        };
        let number = |wanted: &Candidate| {
            let same = |shown: &Candidate| shown.passage == wanted.passage && shown.span == wanted.span;
            shown.candidates.iter().position(same).map(|at| at + 1)
        };
        let Some(numbers) = wanted.iter().map(number).collect::<Option<Vec<usize>>>() else {
            return Ok(Err("what answers it has no room beside other sentences".to_owned()));
        };
        let answer = self.answer(&shown.sentences, &numbers);
        let plain: Vec<String> = read(&answer, &shown.sentences)
            .into_iter()
            .filter_map(|pointed| {
                let whole = || shown.candidates.get(pointed.sentence).map(|candidate| candidate.text.clone());
                if pointed.words.is_empty() { whole() } else { Some(pointed.words) }
            })
            .collect();
        Ok(Ok(Example {
            answer,
            plain: plain.join(" "),
            right: numbers.iter().map(|number| *number as u32).collect(),
            prompt: prompted(shown, &found.passages),
        }))
    }

    /// The answer that points at the sentences with these `numbers` of those `shown`.
    fn answer(&self, shown: &[String], numbers: &[usize]) -> String {
        let parts = || self.question.answers.first().into_iter().flatten();
        let mut answer = String::new();
        for number in numbers {
            answer.push_str(&Quotes::tag(*number));
            let Some(sentence) = shown.get(number - 1).filter(|_| self.form != AnswerForm::Quote) else {
                continue;
            };
            let words = parts().filter_map(|part| words_of(sentence, part)).max_by_key(|words| words.len());
            if let Some(words) = words {
                answer.push(' ');
                answer.push_str(words);
            }
        }
        answer
    }
}

/// `variants` prompts of a question that nothing answers.
pub(super) async fn prompts(
    shower: &Shower<'_>,
    found: &Found,
    variants: usize,
    random: &mut Random,
) -> Result<Result<Vec<Prompted>, String>> {
    let (asked, candidates) = shower.candidates(found).await?;
    if candidates.is_empty() {
        return Ok(Err("no sentence was found for it".to_owned()));
    }
    let mut out = Vec::new();
    for variant in 0..variants.max(1) {
        let some = if variant == 0 { candidates.clone() } else { thinned(&candidates, |_| false, random) };
        match shower.show(found, &asked, some).await? {
            Ok(shown) => out.push(prompted(shown, &found.passages)),
            Err(reason) if variant == 0 => return Ok(Err(reason)),
            Err(_) => {}
        }
    }
    Ok(Ok(out))
}

/// Some of the candidates by chance, and all that are `right`: as if less had been found, or more had been in the way.
fn thinned(
    candidates: &[Candidate],
    right: impl Fn(&Candidate) -> bool,
    random: &mut Random,
) -> Vec<Candidate> {
    let share = 0.3 + 0.6 * random.unit();
    let most = FEWEST + random.below(candidates.len().max(1));
    let kept = candidates.iter().filter(|candidate| random.unit() < share || right(candidate)).cloned();
    let mut kept: Vec<Candidate> = kept.collect();
    if kept.is_empty() {
        return candidates.iter().take(FEWEST).cloned().collect();
    }
    let mut place = 0;
    kept.retain(|candidate| {
        place += 1;
        place <= most || right(candidate)
    });
    kept
}

fn prompted(shown: Shown, passages: &[FoundPassage]) -> Prompted {
    let passage = |candidate: &Candidate| passages.get(candidate.passage).map(named);
    Prompted {
        documents: shown.candidates.iter().filter_map(passage).collect(),
        shown: shown.candidates.len(),
        tokens: shown.tokens.len(),
        messages: shown.messages,
    }
}

/// Whether a sentence holds a source: most of the shorter of both is common.
fn holds(gold: &Gold, candidate: &Candidate, passages: &[FoundPassage]) -> bool {
    let Some(found) = passages.get(candidate.passage).filter(|found| gold.is_of_passage(found)) else {
        return false;
    };
    debug_assert!(found.passage.span.contains(&candidate.span));
    gold.places.iter().any(|place| {
        let common = place.end.min(candidate.span.end).saturating_sub(place.start.max(candidate.span.start));
        common * 2 > place.len().min(candidate.span.len())
    })
}

/// The words of `sentence` that are `part` but for capitals.
fn words_of<'a>(sentence: &'a str, part: &str) -> Option<&'a str> {
    let part = part.trim();
    let at = sentence.find(part).or_else(|| {
        // Lengths stay the same in ASCII alone.
        let plain = sentence.is_ascii() && part.is_ascii();
        plain.then(|| sentence.to_lowercase().find(&part.to_lowercase())).flatten()
    })?;
    let words = sentence.get(at..at + part.len())?;
    (Quotes::is_part(sentence, words) && !words.contains('[')).then_some(words)
}
