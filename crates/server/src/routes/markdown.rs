//! A conversation as Markdown, its citations as footnotes.

use std::fmt::Write as _;

use lore_core::span::byte_of;
use lore_core::{AnswerSummary, Citation, Conversation, ConversationTurn, Span, Verdict};

/// Said in place of an answer that is withdrawn.
const WITHDRAWN: &str = "*This answer is withdrawn: a document that it rests on is not there any more.*";

/// The whole conversation; footnotes are numbered through.
pub fn of(conversation: &Conversation, turns: &[ConversationTurn]) -> String {
    let mut out = format!("# {}\n", flat(&conversation.title));
    let mut notes = String::new();
    let mut number = 0;
    for turn in turns {
        let _ = write!(out, "\n## {}\n\n", flat(&turn.question));
        if turn.withdrawn {
            out.push_str(WITHDRAWN);
        } else {
            out.push_str(&answer(&turn.summary, &mut number, &mut notes));
        }
        out.push('\n');
    }
    if !notes.is_empty() {
        out.push('\n');
        out.push_str(&notes);
    }
    out
}

/// An answer with a footnote's mark after each statement that has a source, and a word after each that has none.
fn answer(summary: &AnswerSummary, number: &mut usize, notes: &mut String) -> String {
    let bare = |span: &&Span| summary.citations.iter().all(|citation| citation.answer_span != **span);
    let mut places: Vec<(usize, Option<&Citation>)> =
        summary.citations.iter().map(|citation| (citation.answer_span.end, Some(citation))).collect();
    places.extend(summary.unsupported.iter().filter(bare).map(|span| (span.end, None)));
    places.sort_by_key(|(end, _)| *end);
    let mut out = String::new();
    let mut written = 0;
    for (end, citation) in places {
        let end = byte_of(&summary.answer, end).unwrap_or(summary.answer.len());
        out.push_str(summary.answer.get(written..end).unwrap_or_default());
        written = end.max(written);
        let Some(citation) = citation else {
            out.push_str(" *(no source)*");
            continue;
        };
        *number += 1;
        let _ = write!(out, "[^{number}]");
        let doubt =
            if citation.verdict == Verdict::Supported { "" } else { "Does not support this; the nearest: " };
        let _ = writeln!(notes, "[^{number}]: {doubt}{}", note(citation));
    }
    out.push_str(summary.answer.get(written..).unwrap_or_default());
    out
}

/// Where a quote stands, and the quote.
fn note(citation: &Citation) -> String {
    let mut out = flat(&citation.name);
    if let Some(page) = citation.page {
        let _ = write!(out, ", page {page}");
    }
    if !citation.headings.is_empty() {
        let _ = write!(out, ", {}", flat(&citation.headings.join(" > ")));
    }
    if !citation.quote.trim().is_empty() {
        let _ = write!(out, ": \u{201c}{}\u{201d}", flat(&citation.quote));
    }
    out
}

/// On one line.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
