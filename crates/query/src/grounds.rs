//! Passages and statements, taken apart for being compared.

use std::collections::{BTreeMap, BTreeSet};

use lore_index::Index;

use crate::asked::Asked;
use crate::claim::{self, Definite};
use crate::measure::measures;
use crate::passages::FoundPassage;
use crate::prompt::table_header;
use crate::text;
use crate::units::{Unit, term_set, units};

/// A passage, taken apart.
#[derive(Debug)]
pub(crate) struct Grounds {
    pub units: Vec<Ground>,
    /// Name, title, headings and text, in lower case, without spaces and hyphens.
    pub haystack: String,
    pub terms: BTreeSet<String>,
}

/// A sentence of a passage, with what a statement is compared with.
#[derive(Debug)]
pub(crate) struct Ground {
    pub unit: Unit,
    pub measures: BTreeMap<String, BTreeSet<&'static str>>,
    /// Names and codes in it and in its headings.
    pub entities: BTreeSet<String>,
    /// The unit's haystack, without spaces and hyphens.
    pub squeezed: String,
    pub denies: bool,
    pub chinese: bool,
}

/// A statement, taken apart.
pub(crate) struct Said {
    pub asked: Asked,
    pub definite: Definite,
    pub measures: BTreeMap<String, BTreeSet<&'static str>>,
    pub entities: BTreeSet<String>,
    /// The statement in lower case, without spaces and hyphens.
    pub squeezed: String,
    pub denies: bool,
    pub chinese: bool,
}

impl Grounds {
    pub fn of(index: &Index, found: &FoundPassage) -> Self {
        let passage = &found.passage;
        let headings = passage.headings.join(" ");
        // What the model is shown above a table that is cut belongs to the passage.
        let header = table_header(&found.parsed, passage.span).unwrap_or_default();
        let all = format!("{} {} {headings} {header} {}", passage.name, passage.title, passage.text);
        let ground = |unit: Unit| Ground {
            measures: measures(&unit.haystack),
            entities: claim::entities(&unit.text),
            squeezed: claim::squeeze(&unit.haystack),
            denies: claim::denies(&unit.text),
            chinese: text::language(&unit.text) == "zh",
            unit,
        };
        Self {
            units: units(index, found).into_iter().map(ground).collect(),
            terms: term_set(index, &all),
            haystack: claim::squeeze(&all.to_lowercase()),
        }
    }
}

impl Ground {
    /// Adds the names of `known` at the head of the sentence and in the headings, which their capitals do not tell.
    pub fn add_known(&mut self, known: &BTreeSet<String>) {
        let headings = self.unit.headings.iter().flat_map(|heading| text::word_set(heading));
        let words = headings.chain(first_word(&self.unit.text));
        let found: Vec<String> = words.filter(|word| known.contains(word)).collect();
        self.entities.extend(found);
    }

    /// Whether it speaks of something else than `said`: it lacks what that names, and names what that does not.
    pub fn differs(&self, said: &Said) -> bool {
        let lacks = said.entities.iter().any(|e| !self.squeezed.contains(&claim::squeeze(e)));
        lacks && self.entities.iter().any(|e| !said.squeezed.contains(&claim::squeeze(e)))
    }
}

/// The first word of a sentence, in lower case.
pub(crate) fn first_word(sentence: &str) -> Option<String> {
    let word = sentence.split(|c: char| !c.is_alphanumeric() && c != '-').find(|word| !word.is_empty())?;
    Some(word.to_lowercase())
}
