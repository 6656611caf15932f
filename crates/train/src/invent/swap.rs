//! Other names and numbers throughout an exercise.

use std::collections::BTreeMap;

use lore_core::random::Random;

use super::Exercise;
use super::ask::other_number;
use super::words::{Kind, is_function, words};

/// Syllables that names are made of.
const SYLLABLES: [&str; 40] = [
    "ba", "bel", "cor", "da", "den", "dor", "el", "fa", "fen", "gar", "ha", "hol", "in", "jo", "ka", "kel",
    "la", "len", "lor", "ma", "mel", "mor", "na", "nor", "o", "pa", "per", "ra", "ren", "ri", "sa", "sel",
    "ta", "ter", "ul", "va", "ven", "wes", "yar", "zel",
];
/// Share of exercises that stay as they are.
const KEPT: f64 = 0.3;

/// The exercise with some of its numbers and names changed, each to the same everywhere.
pub(super) fn swapped(mut exercise: Exercise, random: &mut Random) -> Exercise {
    if random.unit() < KEPT {
        return exercise;
    }
    let share = random.unit();
    let mut changes: BTreeMap<String, String> = BTreeMap::new();
    for shown in &exercise.sentences {
        let text = &shown.text;
        for (at, word) in words(text).into_iter().enumerate() {
            let old = &text[word.at];
            let new = match word.kind {
                Kind::Number if random.unit() < share => other_number(old, random),
                // The first word of a sentence need not be a name.
                Kind::Capital
                    if at > 0 && old.len() > 3 && !is_function(old) && random.unit() < share * 0.7 =>
                {
                    name(old, random)
                }
                _ => continue,
            };
            // Questions are in lower case sometimes.
            changes.entry(old.to_lowercase()).or_insert(new);
        }
    }
    let change = |text: &str| {
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for word in words(text) {
            let old = &text[word.at.clone()];
            if let Some(new) = changes.get(&old.to_lowercase()) {
                out.push_str(&text[done..word.at.start]);
                let low = !old.chars().any(char::is_uppercase);
                out.push_str(&if low { new.to_lowercase() } else { new.clone() });
                done = word.at.end;
            }
        }
        out.push_str(&text[done..]);
        out
    };
    exercise.question = change(&exercise.question);
    for shown in &mut exercise.sentences {
        shown.text = change(&shown.text);
        shown.title = change(&shown.title);
        shown.heading = change(&shown.heading);
    }
    for (_, answer) in &mut exercise.answer {
        *answer = answer.as_deref().map(change);
    }
    exercise
}

/// A name with as many syllables as about fit `old`, in its capitals.
fn name(old: &str, random: &mut Random) -> String {
    let count = (old.chars().count() / 3).clamp(2, 4);
    let made: String = (0..count).map(|_| SYLLABLES[random.below(SYLLABLES.len())]).collect();
    if old.chars().all(|char| !char.is_lowercase()) {
        return made.to_uppercase();
    }
    let first = made.chars().next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}", made.chars().skip(1).collect::<String>())
}
