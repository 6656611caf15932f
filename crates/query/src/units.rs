//! The sentences of a passage, each with what it says and what stands around it.

use std::collections::BTreeSet;

use lore_core::{BlockKind, Parsed, Span, sentence::sentences};
use lore_index::Index;

use crate::passages::FoundPassage;

/// A sentence, a list item or a table row of a passage.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    /// Its span in the parsed text.
    pub span: Span,
    /// The slice at `span`.
    pub text: String,
    /// What is read as the sentence: a table row with its column names, else the text.
    pub read: String,
    /// Whether it is a table row.
    pub row: bool,
    /// Its terms.
    pub own: BTreeSet<String>,
    /// Terms of its headings, its document's title and its table's header.
    pub context: BTreeSet<String>,
    /// Headings above it, outermost first.
    pub headings: Vec<String>,
    /// Text, title, name, headings and header, in lower case.
    pub haystack: String,
    /// What is embedded: heading and sentence.
    pub embed_text: String,
}

impl Unit {
    /// The share of a term that is there: all of it in the sentence, `context` of it around.
    pub fn holds(&self, term: &str, context: f32) -> f32 {
        match (self.own.contains(term), self.context.contains(term)) {
            (true, _) => 1.0,
            (false, true) => context,
            (false, false) => 0.0,
        }
    }
}

/// A sentence of a document, as a model is shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readable {
    /// Its span in the parsed text.
    pub span: Span,
    /// The nearest heading above it.
    pub heading: Option<String>,
    /// A table row with its column names, else the text.
    pub text: String,
}

/// The sentences of a document that can answer a question, in order.
pub fn readable(parsed: &Parsed) -> Vec<Readable> {
    let sentence = |span: Span| {
        let text = span.slice(&parsed.text)?;
        let heading = parsed.heading_path(span.start).into_iter().next_back();
        let text = match kind_of(parsed, span, text)? {
            UnitKind::Row { header } => row_text(&header, text),
            UnitKind::Prose => text.to_owned(),
        };
        Some(Readable { span, heading, text })
    };
    sentences(&parsed.text).into_iter().filter_map(sentence).collect()
}

/// The units of a passage that can answer or support, in order.
pub(crate) fn units(index: &Index, found: &FoundPassage) -> Vec<Unit> {
    let (passage, parsed) = (&found.passage, &found.parsed);
    let title_terms = term_set(index, &passage.title);
    let mut out = Vec::new();
    for local in sentences(&passage.text) {
        let Some(text) = local.slice(&passage.text) else { continue };
        let span = local.shift(passage.span.start);
        let Some(kind) = kind_of(parsed, span, text) else { continue };
        let headings = parsed.heading_path(span.start);
        let mut context = title_terms.clone();
        let mut haystack = format!("{text} {} {}", passage.title, passage.name);
        for heading in &headings {
            context.extend(term_set(index, heading));
            haystack.push(' ');
            haystack.push_str(heading);
        }
        let read = match &kind {
            UnitKind::Row { header } => {
                context.extend(term_set(index, header));
                haystack.push(' ');
                haystack.push_str(header);
                row_text(header, text)
            }
            UnitKind::Prose => text.to_owned(),
        };
        let embed_text = match headings.last() {
            Some(heading) => format!("{heading}: {read}"),
            None => read.clone(),
        };
        out.push(Unit {
            span,
            text: text.to_owned(),
            read,
            row: matches!(kind, UnitKind::Row { .. }),
            own: term_set(index, text),
            context,
            headings,
            haystack: haystack.to_lowercase(),
            embed_text,
        });
    }
    out
}

enum UnitKind {
    Prose,
    Row { header: String },
}

/// What a unit of text is, or `None` for what cannot answer: a heading, a table's header, a unit without letters.
fn kind_of(parsed: &Parsed, span: Span, text: &str) -> Option<UnitKind> {
    if !text.chars().any(char::is_alphanumeric) {
        return None;
    }
    let at = parsed.blocks.partition_point(|b| b.span.end <= span.start);
    let block = parsed.blocks.get(at)?;
    match block.kind {
        BlockKind::Heading => None,
        BlockKind::Table => {
            let header = block.span.slice(&parsed.text)?.lines().next()?.to_owned();
            (span.start > block.span.start).then_some(UnitKind::Row { header })
        }
        _ => Some(UnitKind::Prose),
    }
}

/// A table row with its column names: `name: value; name: value`.
fn row_text(header: &str, row: &str) -> String {
    let cells = |line: &str| -> Vec<String> {
        line.trim().trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect()
    };
    let names = cells(header);
    let mut out = String::new();
    for (i, value) in cells(row).into_iter().enumerate().filter(|(_, v)| !v.is_empty()) {
        if !out.is_empty() {
            out.push_str("; ");
        }
        if let Some(name) = names.get(i).filter(|n| !n.is_empty()) {
            out.push_str(name);
            out.push_str(": ");
        }
        out.push_str(&value);
    }
    out
}

/// The terms of `text`, as the index has them.
pub(crate) fn term_set(index: &Index, text: &str) -> BTreeSet<String> {
    index.analyze(text).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_carry_their_column_names() {
        assert_eq!(row_text("| Model | Range |", "| FJ-200 | 80 m |"), "Model: FJ-200; Range: 80 m");
    }
}
