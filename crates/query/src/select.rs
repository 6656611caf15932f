//! Which sentences make the answer.

use std::collections::BTreeSet;

use crate::asked::Asked;
use crate::config::AnswerConfig;
use crate::extract::Candidate;
use crate::passages::FoundPassage;
use crate::text;

/// Best candidates that are looked at for a further sentence.
const LOOKED_AT: usize = 24;
/// Sentences whose words agree to more than this share say the same.
const REPEATS: f32 = 0.7;

/// Chooses the fewest sentences that answer: the best, then others only where each is nearly as likely as the best or
/// holds much of what is asked and the answer lacks. The result is in reading order (by passage, then position).
pub fn select(
    asked: &Asked,
    ranked: &[Candidate],
    passages: &[FoundPassage],
    config: &AnswerConfig,
) -> Vec<Candidate> {
    let Some(best) = ranked.first() else { return Vec::new() };
    let document = |c: &Candidate| passages.get(c.passage).map(|p| p.passage.document);
    let mut chosen = vec![best.clone()];
    let mut said = vec![text::word_set(&best.text)];
    let mut covered: BTreeSet<String> = best.terms.clone();
    for candidate in ranked.iter().skip(1).take(LOOKED_AT) {
        if chosen.len() >= config.max_sentences {
            break;
        }
        let words = text::word_set(&candidate.text);
        let repeats = chosen.iter().zip(&said).any(|(c, said)| {
            text::jaccard(said, &words) > REPEATS
                || (c.passage == candidate.passage && c.span.overlaps(&candidate.span))
        });
        if repeats {
            continue;
        }
        // How likely it is, relative to the best, by the softmax of the scores.
        let likelihood = (candidate.score - best.score).exp();
        let bar = if document(candidate) == document(best) {
            config.same_document_ratio
        } else {
            config.other_document_ratio
        };
        let adds = |term: &str| candidate.terms.contains(term) && !covered.contains(term);
        let gain = asked.share(|term| f32::from(u8::from(adds(term))));
        if likelihood >= bar || (gain >= config.min_gain && likelihood >= config.gain_ratio) {
            covered.extend(candidate.terms.iter().cloned());
            chosen.push(candidate.clone());
            said.push(words);
        }
    }
    chosen.sort_by_key(|c| (c.passage, c.span));
    chosen
}
