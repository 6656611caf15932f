//! Plain text without markup: which lines were wrapped, and which were meant.

use lore_core::BlockKind;

use super::builder::{Builder, Item};
use super::clean;

/// Width of `text` on a fixed-width screen: wide characters count twice.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(|c| if clean::is_cjk(c) { 2 } else { 1 }).sum()
}

/// The width at which most long lines of `text` end; lines are taken as wrapped only near it.
pub(crate) fn wrap_width(text: &str) -> usize {
    let mut widths: Vec<usize> = text.lines().map(|l| columns(l.trim_end())).filter(|w| *w >= 40).collect();
    widths.sort_unstable();
    widths.get(widths.len().saturating_sub(1) * 9 / 10).copied().unwrap_or(0)
}

/// Whether the break between `line` and `next` was made by a program or an editor's wrapping: the next word would not
/// have fitted.
fn wrapped(line: &str, next: &str, width: usize) -> bool {
    let line = line.trim_end();
    let next = next.trim_start();
    if line.is_empty() || next.is_empty() {
        return false;
    }
    let word = match next.chars().next() {
        Some(c) if clean::is_cjk(c) => 2,
        _ => 1 + next.split_whitespace().next().map_or(0, columns),
    };
    let full = width >= 40 && columns(line) + word >= width.saturating_sub(1);
    let ends = line.ends_with(['.', ':', '!', '?', '。', '：', '！', '？', ';', '；']);
    let goes_on = next.starts_with(|c: char| c.is_lowercase()) && !ends && columns(line) * 10 >= width * 6;
    full || goes_on
}

/// A line's list marker as written out here, and the rest of the line.
pub(crate) fn list_item(line: &str) -> Option<(String, &str)> {
    let line = line.trim_start();
    let mut chars = line.chars();
    let first = chars.next()?;
    if matches!(first, '-' | '*' | '+' | '•' | '▪' | '●' | '◦' | '‣' | '–' | '·' | '○' | '■' | '□')
    {
        let rest = chars.as_str();
        let spaced =
            rest.starts_with([' ', '\t', '\u{A0}']) || (!first.is_ascii() && first != '–' && first != '·');
        return (spaced && !rest.trim().is_empty()).then(|| ("-".to_owned(), rest.trim_start()));
    }
    let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if (1..=3).contains(&digits) {
        let rest = &line[digits..];
        let tail = rest.strip_prefix(". ").or(rest.strip_prefix(") "))?;
        return (!tail.trim().is_empty())
            .then(|| (format!("{}{}", &line[..digits], &rest[..1]), tail.trim_start()));
    }
    None
}

/// Splits `text` into paragraphs and lists, and puts them into `builder`.
pub(crate) fn paragraphs(builder: &mut Builder, text: &str) {
    let width = wrap_width(text);
    for part in text.split("\n\n") {
        for chunk in part.split("\n \n") {
            paragraph(builder, chunk.trim_matches('\n'), width);
        }
        if builder.stopped() {
            return;
        }
    }
}

/// One part between blank lines: a paragraph, a list, or a paragraph and the list it introduces.
pub(crate) fn paragraph(builder: &mut Builder, part: &str, width: usize) {
    let lines: Vec<&str> = part.lines().filter(|l| !l.trim().is_empty()).collect();
    let mut start = 0;
    while start < lines.len() {
        let items = lines[start..].iter().position(|l| list_item(l).is_some()).map(|i| start + i);
        let prose_end = items.unwrap_or(lines.len());
        if prose_end > start {
            let text = join_wrapped(&lines[start..prose_end], width);
            builder.block(BlockKind::Paragraph, &text);
        }
        let Some(first) = items else { return };
        start = list(builder, &lines, first, width);
    }
}

/// Reads the list that starts at line `first`; gives the line after it.
fn list(builder: &mut Builder, lines: &[&str], first: usize, width: usize) -> usize {
    let mut items: Vec<Item> = Vec::new();
    let mut indents: Vec<usize> = Vec::new();
    let mut at = first;
    while at < lines.len() {
        let line = lines[at];
        let indent = columns(line) - columns(line.trim_start());
        if let Some((marker, text)) = list_item(line) {
            while indents.last().is_some_and(|i| *i > indent && indents.len() > 1) {
                indents.pop();
            }
            if indents.last().is_none_or(|i| *i + 1 < indent) {
                indents.push(indent);
            }
            items.push(Item { depth: indents.len() - 1, marker, text: text.trim_end().to_owned() });
        } else if let Some(item) = items.last_mut()
            && (indent > indents.last().copied().unwrap_or(0) || wrapped(lines[at - 1], line, width))
        {
            clean::join(&mut item.text, line);
        } else {
            break;
        }
        at += 1;
    }
    builder.list(&items);
    at
}

/// Joins the lines that were wrapped; others stay lines.
pub(crate) fn join_wrapped(lines: &[&str], width: usize) -> String {
    let mut out = String::new();
    for (i, line) in lines.iter().enumerate() {
        let line = line.trim_end();
        if i == 0 {
            out.push_str(line.trim_start());
        } else if wrapped(lines[i - 1], line, width) {
            clean::join(&mut out, line);
        } else {
            out.push('\n');
            out.push_str(line.trim_start());
        }
    }
    out
}
