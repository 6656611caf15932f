//! Words that a sentence shares with the question, made visible.
//!
//! What a search matched is there to be told: a small model need not find out what a large one sees at a glance.

use std::collections::BTreeSet;

use lore_index::Index;
use lore_index::lexical::analyzer::pieces;

/// Stands behind a word that is shared.
pub const MARK: char = '*';

/// `text` with a [`MARK`] behind each word that has one of these terms; other such characters are taken out.
pub fn highlighted(index: &Index, text: &str, terms: &BTreeSet<String>) -> String {
    let plain: String = text.chars().filter(|char| *char != MARK).collect();
    let mut out = String::with_capacity(plain.len() + 16);
    for piece in pieces(&plain) {
        out.push_str(piece);
        if piece.chars().any(char::is_alphanumeric)
            && index.analyze(piece).iter().any(|term| terms.contains(term))
        {
            out.push(MARK);
        }
    }
    out
}
