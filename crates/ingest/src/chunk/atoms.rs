//! The smallest pieces that are not cut where it can be helped: sentences, list items, table rows, lines of code.

use std::ops::Range;

use lore_core::span::CharIndex;
use lore_core::{BlockKind, sentences};
use text_splitter::{ChunkConfig, TextSplitter};

use super::tokens::Tokens;
use crate::parse::overdue;

/// Pieces of an endless word that are measured in one go, in characters per token of budget.
const WINDOW: usize = 16;

/// What would be torn apart by a cut before an atom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Border {
    /// Nothing: a block starts here.
    Block,
    /// A line that ends in a colon and what it announces.
    Announced,
    /// Items of a list, rows of a table, lines of code.
    Line,
    /// Sentences of a paragraph.
    Sentence,
    /// Clauses of a sentence.
    Clause,
    /// Words of a clause.
    Word,
    /// A heading and its first words, a table's header and its first row.
    Glued,
}

/// A piece of text, in bytes, without the white space around it.
#[derive(Clone, Debug)]
pub(super) struct Atom {
    pub(super) bytes: Range<usize>,
    pub(super) tokens: usize,
    pub(super) before: Border,
    pub(super) kind: BlockKind,
    /// The table that this row belongs to, where the table had to be split.
    pub(super) table: Option<Table>,
}

/// A table that does not fit into one chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Which table of the section.
    pub(super) number: usize,
    /// Header and delimiter row and their tokens, to be repeated; `None` where they would fill half the budget.
    pub(super) header: Option<(Range<usize>, usize)>,
    /// Whether this row may start a part of its own, with the header as its context.
    pub(super) body: bool,
}

impl Atom {
    /// A whole block as one atom.
    pub(super) fn block(text: &str, bytes: Range<usize>, kind: BlockKind, tokens: &Tokens<'_>) -> Self {
        let count = tokens.count(&text[bytes.clone()]);
        Self { bytes, tokens: count, before: Border::Block, kind, table: None }
    }

    fn part(&self, text: &str, bytes: Range<usize>, before: Border, tokens: &Tokens<'_>) -> Self {
        let count = tokens.count(&text[bytes.clone()]);
        Self { bytes, tokens: count, before, kind: self.kind, table: self.table.clone() }
    }
}

/// Splits the blocks of a section so far that they can be packed into chunks of `budget` tokens.
pub(super) fn refine(text: &str, blocks: Vec<Atom>, budget: usize, tokens: &Tokens<'_>) -> Vec<Atom> {
    let whole: usize = blocks.iter().map(|b| b.tokens).sum();
    if whole <= budget {
        return blocks;
    }
    let mut out: Vec<Atom> = Vec::with_capacity(blocks.len() * 4);
    for (number, block) in blocks.into_iter().enumerate() {
        let first = out.len();
        match block.kind {
            BlockKind::Heading => split_long(text, block, budget, tokens, &mut out),
            BlockKind::Table if block.tokens <= budget => out.push(block),
            BlockKind::Table => split_table(text, &block, number, budget, tokens, &mut out),
            BlockKind::Code | BlockKind::Paragraph | BlockKind::List => {
                let (starts, border) = match block.kind {
                    BlockKind::Code => (line_starts(text, &block), Border::Line),
                    BlockKind::List => (sentence_starts(text, &block), Border::Line),
                    _ => (sentence_starts(text, &block), Border::Sentence),
                };
                for part in split_at(text, &block, starts, border, tokens) {
                    split_long(text, part, budget, tokens, &mut out);
                }
            }
        }
        mark_border(text, &mut out, first);
    }
    out
}

/// Says what a cut before the block that starts at atom `first` would tear apart.
fn mark_border(text: &str, out: &mut [Atom], first: usize) {
    let Some(last) = first.checked_sub(1).and_then(|i| out.get(i)) else { return };
    let announces = text[last.bytes.clone()].trim_end_matches(['*', '_']).ends_with([':', '：']);
    let before = match last.kind {
        BlockKind::Heading => Border::Glued,
        _ if announces => Border::Announced,
        _ => Border::Block,
    };
    if let Some(atom) = out.get_mut(first) {
        atom.before = before;
    }
}

/// Cuts `block` at the byte offsets `starts`; the first part keeps the block's border.
fn split_at(text: &str, block: &Atom, starts: Vec<usize>, border: Border, tokens: &Tokens<'_>) -> Vec<Atom> {
    let mut out = Vec::with_capacity(starts.len() + 1);
    let mut from = block.bytes.start;
    for to in starts.into_iter().chain([block.bytes.end]) {
        if out.len().is_multiple_of(1024) && overdue() {
            break;
        }
        if let Some(bytes) = trimmed(text, from..to) {
            let before = if out.is_empty() { block.before } else { border };
            out.push(block.part(text, bytes, before, tokens));
        }
        from = to;
    }
    out
}

fn trimmed(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let slice = text.get(range.clone())?;
    let start = range.start + slice.len() - slice.trim_start().len();
    let end = range.start + slice.trim_end().len();
    (start < end).then_some(start..end)
}

/// Where lines start, but the first.
fn line_starts(text: &str, block: &Atom) -> Vec<usize> {
    let slice = &text[block.bytes.clone()];
    slice.match_indices('\n').map(|(i, _)| block.bytes.start + i + 1).collect()
}

/// Where sentences and list items start, but the first; an item starts with its bullet.
fn sentence_starts(text: &str, block: &Atom) -> Vec<usize> {
    let slice = &text[block.bytes.clone()];
    let index = CharIndex::new(slice);
    let mut out = Vec::new();
    // The start of the line, whether only marks stand in it so far, and how far was looked.
    let (mut line, mut bullet, mut looked) = (0, true, 0);
    for span in sentences(slice).into_iter().skip(1) {
        let start = index.byte_of(slice, span.start);
        let mut new = &slice[looked..start];
        if let Some(end) = new.rfind('\n') {
            (line, bullet) = (looked + end + 1, true);
            new = &slice[line..start];
        }
        bullet = bullet && new.chars().all(|c| !c.is_alphanumeric());
        looked = start;
        out.push(block.bytes.start + if bullet { line } else { start });
    }
    out
}

/// Rows of a table that does not fit, the header glued to the first of them.
fn split_table(
    text: &str,
    block: &Atom,
    number: usize,
    budget: usize,
    tokens: &Tokens<'_>,
    out: &mut Vec<Atom>,
) {
    let starts = line_starts(text, block);
    let line_end = |n: usize| starts.get(n).copied().unwrap_or(block.bytes.end);
    let is_delimiter = |range: Range<usize>| {
        let line = text[range].trim();
        line.contains('-') && line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' '))
    };
    // The delimiter row is the second line; a table without one has no header to repeat.
    let header_end = starts.first().filter(|start| is_delimiter(**start..line_end(1))).map(|_| line_end(1));
    let header = header_end.and_then(|end| trimmed(text, block.bytes.start..end)).and_then(|bytes| {
        let count = tokens.count(&text[bytes.clone()]);
        (count <= budget / 2).then_some((bytes, count))
    });
    let room = budget - header.as_ref().map_or(0, |h| h.1);
    let mut rows = 0;
    let mut from = block.bytes.start;
    let starts = starts.iter().copied().filter(|s| header_end.is_none_or(|end| *s >= end));
    for to in starts.chain([block.bytes.end]) {
        let Some(bytes) = trimmed(text, from..to) else { continue };
        from = to;
        let body = header_end.is_none_or(|end| bytes.start >= end);
        let mut row = block.part(
            text,
            bytes,
            if rows == 1 && header_end.is_some() { Border::Glued } else { Border::Line },
            tokens,
        );
        row.table = Some(Table { number, header: header.clone(), body });
        if rows == 0 {
            row.before = block.before;
        }
        rows += 1;
        split_long(text, row, room, tokens, out);
    }
}

/// Cuts an atom of more than `budget` tokens into clauses, and those that are still too long between words.
fn split_long(text: &str, atom: Atom, budget: usize, tokens: &Tokens<'_>, out: &mut Vec<Atom>) {
    if atom.tokens <= budget {
        out.push(atom);
        return;
    }
    let slice = &text[atom.bytes.clone()];
    let after = |c: char| matches!(c, '；' | '，' | '、' | '：' | '|');
    let mut starts = Vec::new();
    let mut last = ' ';
    for (i, c) in slice.char_indices() {
        if after(last) || (c.is_whitespace() && matches!(last, ',' | ';' | ':')) {
            starts.push(atom.bytes.start + i);
        }
        last = c;
    }
    for part in split_at(text, &atom, starts, Border::Clause, tokens) {
        split_words(text, part, budget, tokens, out);
    }
}

fn split_words(text: &str, atom: Atom, budget: usize, tokens: &Tokens<'_>, out: &mut Vec<Atom>) {
    if atom.tokens <= budget {
        out.push(atom);
        return;
    }
    // Even parts rather than full ones and a rest.
    let parts = atom.tokens.div_ceil(budget);
    let even = atom.tokens.div_ceil(parts).clamp(1, budget);
    let capacity = text_splitter::ChunkCapacity::new(even).with_max(budget).unwrap_or(even.into());
    let splitter = TextSplitter::new(ChunkConfig::new(capacity).with_sizer(tokens));
    let mut before = atom.before;
    for window in windows(text, atom.bytes.clone(), budget * WINDOW) {
        let mut from = window.start;
        let starts: Vec<usize> =
            splitter.chunk_indices(&text[window.clone()]).skip(1).map(|(i, _)| window.start + i).collect();
        for to in starts.into_iter().chain([window.end]) {
            if let Some(bytes) = trimmed(text, from..to) {
                out.push(atom.part(text, bytes, before, tokens));
                before = Border::Word;
            }
            from = to;
        }
    }
}

/// Consecutive ranges of at most `chars` characters, cut at white space where there is some.
fn windows(text: &str, range: Range<usize>, chars: usize) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut start = range.start;
    while start < range.end {
        let slice = &text[start..range.end];
        let Some((limit, _)) = slice.char_indices().nth(chars) else {
            out.push(start..range.end);
            break;
        };
        let cut = slice[..limit].rfind(char::is_whitespace).filter(|i| *i > limit / 2).unwrap_or(limit);
        out.push(start..start + cut);
        start += cut;
    }
    out
}
