//! Sections: a heading and the blocks under it, up to the next heading.

use std::ops::Range;

use lore_core::span::CharIndex;
use lore_core::{BlockKind, Parsed};

use super::atoms::{Atom, Border};
use super::tokens::Tokens;

/// A section, or several that were joined.
#[derive(Debug)]
pub(super) struct Section {
    /// Level of its heading, 0 for what stands before the first.
    level: u8,
    /// Headings above and including its own.
    pub(super) headings: Vec<String>,
    /// Its blocks, the heading line first.
    pub(super) atoms: Vec<Atom>,
    tokens: usize,
    /// Whether there is more than headings.
    body: bool,
}

/// The sections of a text, in order; text outside of all blocks counts as paragraphs.
pub(super) fn sections(parsed: &Parsed, index: &CharIndex, tokens: &Tokens<'_>) -> Vec<Section> {
    let text = parsed.text.as_str();
    let mut out: Vec<Section> = Vec::new();
    let mut path: Vec<(u8, String)> = Vec::new();
    let mut headings = parsed.headings.iter().peekable();
    for (kind, bytes) in blocks(parsed, index) {
        let mut block = Atom::block(text, bytes, kind, tokens);
        if kind == BlockKind::Heading {
            let end = index.char_of(text, block.bytes.end);
            let mut level = 6;
            while let Some(heading) = headings.next_if(|h| h.at < end) {
                while path.last().is_some_and(|(l, _)| *l >= heading.level) {
                    path.pop();
                }
                level = heading.level;
                path.push((heading.level, heading.title.clone()));
            }
            let titles = path.iter().map(|(_, title)| title.clone()).collect();
            let count = block.tokens;
            out.push(Section { level, headings: titles, atoms: vec![block], tokens: count, body: false });
            continue;
        }
        if out.is_empty() {
            out.push(Section { level: 0, headings: Vec::new(), atoms: Vec::new(), tokens: 0, body: true });
        }
        if let Some(section) = out.last_mut() {
            section.body = true;
            section.tokens += block.tokens;
            if section.atoms.last().is_some_and(|a| a.kind == BlockKind::Heading) {
                block.before = Border::Glued;
            }
            section.atoms.push(block);
        }
    }
    out
}

/// The blocks in bytes and what stands between them, blanks left out.
fn blocks(parsed: &Parsed, index: &CharIndex) -> Vec<(BlockKind, Range<usize>)> {
    let text = parsed.text.as_str();
    let mut out = Vec::with_capacity(parsed.blocks.len());
    let mut push = |kind, range: Range<usize>| {
        let slice = &text[range.clone()];
        let start = range.start + slice.len() - slice.trim_start().len();
        let end = range.start + slice.trim_end().len();
        if start < end {
            out.push((kind, start..end));
        }
    };
    let mut at = 0;
    for block in &parsed.blocks {
        let start = index.byte_of(text, block.span.start).max(at);
        let end = index.byte_of(text, block.span.end).max(start);
        push(BlockKind::Paragraph, at..start);
        push(block.kind, start..end);
        at = end;
    }
    push(BlockKind::Paragraph, at..text.len());
    out
}

/// Joins each section of fewer than `min` tokens with the sibling or child that follows, where both fit the budget.
///
/// A heading with nothing under it always goes to the child that follows. What could not join forwards joins the
/// sibling or parent before it. Sections under different top headings stay apart: joined, they would have no heading.
pub(super) fn merge_tiny(
    sections: Vec<Section>,
    min: usize,
    budget: &impl Fn(&[String]) -> usize,
) -> Vec<Section> {
    let mut out: Vec<Section> = Vec::with_capacity(sections.len());
    let mut sections = sections.into_iter().peekable();
    while let Some(mut group) = sections.next() {
        while group.tokens < min || !group.body {
            let room = budget(&group.headings);
            let joins = |next: &Section| {
                let title_alone = !group.body && next.level > group.level;
                let related = group.headings.first() == next.headings.first();
                title_alone || (related && next.level >= group.level && group.tokens + next.tokens <= room)
            };
            match sections.next_if(joins) {
                Some(next) => group.join(next),
                None => break,
            }
        }
        let last = out.last_mut().filter(|last| {
            let near =
                last.level <= group.level && last.body && last.headings.first() == group.headings.first();
            let tiny = group.tokens < min || !group.body;
            near && tiny && last.tokens + group.tokens <= budget(&last.headings)
        });
        match last {
            Some(last) => last.join(group),
            None => out.push(group),
        }
    }
    out
}

impl Section {
    fn join(&mut self, next: Section) {
        if self.body && next.body {
            let common = self.headings.iter().zip(&next.headings).take_while(|(a, b)| a == b).count();
            self.headings.truncate(common);
        } else if next.body {
            self.headings = next.headings;
        }
        let bare = !self.body;
        self.body |= next.body;
        self.tokens += next.tokens;
        let first = self.atoms.len();
        self.atoms.extend(next.atoms);
        if bare && let Some(atom) = self.atoms.get_mut(first) {
            atom.before = Border::Glued;
        }
    }
}
