//! Packs atoms into chunks: the cuts with the least total cost, by dynamic programming.

use std::ops::Range;

use super::atoms::{Atom, Border};

/// A chunk in bytes, with the header rows to repeat.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) bytes: Range<usize>,
    pub(super) context: Option<Range<usize>>,
}

impl Border {
    /// Cost of a cut here; a chunk that uses none of its budget costs 1.
    fn cost(self) -> f32 {
        match self {
            Border::Block => 0.0,
            Border::Line => 0.1,
            Border::Sentence => 0.25,
            Border::Announced => 0.4,
            Border::Clause => 0.8,
            Border::Word => 1.0,
            Border::Glued => 4.0,
        }
    }
}

/// Packs `atoms` into chunks of at most `budget` tokens, the context counted; an atom over it is a chunk of its own.
///
/// A chunk costs the square of the part of the budget that it leaves free, plus what its first cut tears apart. The
/// squares keep chunks even; the fixed target lets the cuts fall back into step behind an edit. Chunks begin with up to
/// `overlap` tokens of the one before.
pub(super) fn pack(atoms: &[Atom], budget: usize, overlap: usize) -> Vec<Piece> {
    let room = budget - overlap.min(budget / 2);
    // best[i]: least cost of packing the first i atoms, and where the last chunk starts.
    let mut best: Vec<(f32, usize)> = vec![(0.0, 0)];
    for end in 1..=atoms.len() {
        let mut choice = (f32::INFINITY, end - 1);
        let mut tokens = 0;
        for start in (0..end).rev() {
            tokens += atoms[start].tokens;
            let size = tokens + context_tokens(&atoms[start]);
            let alone = start + 1 == end;
            // Sizes only grow, but for the header that a table's own first row has in its text.
            if tokens > room && !alone {
                break;
            }
            if (size > room && !alone) || leaves_table(atoms, start, end) {
                continue;
            }
            let free = 1.0 - (size.min(room) as f32 / room as f32);
            let tear = if start == 0 { 0.0 } else { atoms[start].before.cost() };
            let cost = best[start].0 + free * free + tear;
            if cost < choice.0 {
                choice = (cost, start);
            }
        }
        best.push(choice);
    }
    let mut cuts = Vec::new();
    let mut end = atoms.len();
    while end > 0 {
        let start = best[end].1;
        cuts.push(start..end);
        end = start;
    }
    cuts.reverse();
    cuts.into_iter().map(|range| piece(atoms, range, budget, overlap)).collect()
}

/// Tokens of the header that a chunk starting with this atom repeats.
fn context_tokens(atom: &Atom) -> usize {
    let Some(table) = &atom.table else { return 0 };
    table.header.as_ref().filter(|_| table.body).map_or(0, |h| h.1)
}

/// Whether a chunk would begin within a split table and go on behind it: its context would be wrong for the rest.
fn leaves_table(atoms: &[Atom], start: usize, end: usize) -> bool {
    let number = |atom: &Atom| atom.table.as_ref().map(|t| t.number);
    let within = atoms[start].table.as_ref().is_some_and(|t| t.body);
    within && number(&atoms[end - 1]) != number(&atoms[start])
}

fn piece(atoms: &[Atom], range: Range<usize>, budget: usize, overlap: usize) -> Piece {
    let first = &atoms[range.start];
    let own: usize = atoms[range.clone()].iter().map(|a| a.tokens).sum();
    let overlap = overlap.min(budget.saturating_sub(own));
    let mut start = range.start;
    let mut repeated = 0;
    while start > 0 && first.table.is_none() && first.before != Border::Glued {
        let atom = &atoms[start - 1];
        repeated += atom.tokens;
        if repeated > overlap || atom.table.is_some() {
            break;
        }
        start -= 1;
    }
    let context = first.table.as_ref().filter(|t| t.body).and_then(|t| t.header.clone());
    Piece { bytes: atoms[start].bytes.start..atoms[range.end - 1].bytes.end, context: context.map(|c| c.0) }
}
