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
    let text = without_bars(summary);
    for (end, citation) in places {
        let end = byte_of(&text, end).unwrap_or(text.len());
        out.push_str(text.get(written..end).unwrap_or_default());
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
    out.push_str(text.get(written..).unwrap_or_default());
    out
}

/// The answer with dots between the cells of rows of tables that are quoted alone, which are no tables; every character
/// keeps its place.
fn without_bars(summary: &AnswerSummary) -> String {
    let mut chars: Vec<char> = summary.answer.chars().collect();
    let is_rule = |line: &str| {
        let line = line.trim_start().trim_start_matches('|').trim_start();
        line.trim_start_matches(':').starts_with("---")
    };
    if summary.answer.lines().any(is_rule) {
        return summary.answer.clone();
    }
    for span in summary.citations.iter().map(|citation| citation.answer_span) {
        let Some(row) = chars.get_mut(span.start..span.end) else { continue };
        let bars: Vec<usize> = (0..row.len()).filter(|at| row[*at] == '|').collect();
        let (Some(first), Some(last)) = (bars.first(), bars.last()) else { continue };
        let blank = |part: &[char]| part.iter().all(|c| c.is_whitespace());
        if bars.len() < 2 || row.contains(&'\n') || !blank(&row[..*first]) || !blank(&row[last + 1..]) {
            continue;
        }
        for at in &bars {
            row[*at] = if at == first || at == last { ' ' } else { '·' };
        }
    }
    chars.into_iter().collect()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;

    /// An answer of statements with `between` between them, each of which is its own source.
    fn summary(parts: &[&str], between: &str) -> AnswerSummary {
        let mut start = 0;
        let citation = |part: &&str| {
            let end = start + part.chars().count();
            let span = json!({"start": start, "end": end});
            start = end + between.chars().count();
            json!({"answer_span": span, "document": uuid(), "version": 1, "source_span": span, "quote": part, "name": "a.md",
                "title": "A", "headings": [], "page": null, "verdict": "supported", "marker": 1, "score": 0.5})
        };
        let citations: Vec<Value> = parts.iter().map(citation).collect();
        serde_json::from_value(
            json!({"answer": parts.join(between), "citations": citations, "answered": true,
            "confidence": 0.9, "unsupported": [], "nearest": [], "model": "m", "finish": "stop",
            "timings": {"total_ms": 1, "retrieve_ms": 1, "answer_ms": 1}}),
        )
        .unwrap()
    }

    fn uuid() -> Value {
        json!("01a2176e-097a-768d-bd53-a36f92233acb")
    }

    #[test]
    fn rows_without_their_table_have_dots() {
        let rows = summary(&["| Würfel | 36 months |", "| b | c | d |"], " ");
        assert_eq!(without_bars(&rows), "  Würfel · 36 months     b · c · d  ");
        let table = summary(&["| a | b |", "|---|---|", "| 1 | 2 |"], "\n");
        assert_eq!(without_bars(&table), table.answer);
        let words = summary(&["a | b", "| x", "|", ""], " ");
        assert_eq!(without_bars(&words), words.answer);
    }
}
