//! Plain text: paragraphs by blank lines, underlined or ALL-CAPS headings, lists, AsciiDoc's titles.

use lore_core::{Limits, Parsed};

use super::ParseError;
use super::builder::Builder;
use super::{clean, encoding, guard, reflow};

/// Parses plain text called `name`.
pub(crate) fn parse(bytes: &[u8], name: &str, limits: &Limits) -> Result<Parsed, ParseError> {
    let text = clean::normalise(&encoding::decode(bytes, None));
    let lower = name.to_ascii_lowercase();
    let asciidoc = lower.ends_with(".adoc") || lower.ends_with(".asciidoc");
    let mut builder = Builder::new(limits);
    let width = reflow::wrap_width(&text);
    let mut pending: Vec<&str> = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    let blank = |i: usize| lines.get(i).is_none_or(|l| l.trim().is_empty());
    // The first line from here on that is not blank; it only moves forward.
    let mut filled = 0;
    let mut at = 0;
    while at < lines.len() && !builder.stopped() {
        if at.is_multiple_of(1024) && guard::overdue() {
            return Err(ParseError::TimedOut { seconds: 0 });
        }
        let line = lines[at];
        let alone = pending.is_empty() && blank(at + 1);
        let heading = if asciidoc {
            asciidoc_title(line).map(|(level, title)| (level, title, 1))
        } else if let Some(level) = pending.is_empty().then(|| underlined(line, lines.get(at + 1))).flatten()
        {
            Some((level, line.trim(), 2))
        } else if builder.is_empty() && pending.is_empty() && first_line(line, lines.get(at + 1)) {
            Some((1, line.trim(), 1))
        } else if alone && shouted(line) {
            Some((2, line.trim(), 1))
        } else if pending.is_empty() {
            filled = filled.max(at + 1);
            while filled < lines.len() && blank(filled) {
                filled += 1;
            }
            numbered(line, lines.get(filled), alone).map(|level| (level, line.trim(), 1))
        } else {
            None
        };
        if let Some((level, title, taken)) = heading {
            flush(&mut builder, &mut pending, width);
            builder.heading(level, title);
            at += taken;
            continue;
        }
        if line.trim().is_empty() || is_rule(line) {
            flush(&mut builder, &mut pending, width);
        } else {
            pending.push(line);
        }
        at += 1;
    }
    flush(&mut builder, &mut pending, width);
    let title = builder.first_heading();
    builder.finish(title)
}

fn flush(builder: &mut Builder, pending: &mut Vec<&str>, width: usize) {
    if !pending.is_empty() {
        reflow::paragraph(builder, &pending.join("\n"), width);
        pending.clear();
    }
}

/// `== Title` of AsciiDoc.
fn asciidoc_title(line: &str) -> Option<(usize, &str)> {
    let level = line.chars().take_while(|c| *c == '=').count();
    let title = line.get(level..)?.strip_prefix(' ')?.trim();
    ((1..=6).contains(&level) && !title.is_empty()).then_some((level, title))
}

/// A line of `=` or `-` about as long as the line above makes a heading of that.
fn underlined(line: &str, next: Option<&&str>) -> Option<usize> {
    let title = line.trim();
    let rule = next?.trim();
    let mark = rule.chars().next()?;
    if title.is_empty() || !matches!(mark, '=' | '-' | '~') || rule.chars().any(|c| c != mark) {
        return None;
    }
    let (a, b) = (reflow::columns(title), reflow::columns(rule));
    let fits = b >= 3 && a <= 100 && a.abs_diff(b) <= 3.max(a / 4);
    (fits && title.chars().any(char::is_alphanumeric)).then_some(if mark == '=' { 1 } else { 2 })
}

/// A short line in capitals that stands alone; a number may come first. Text without case never counts.
fn shouted(line: &str) -> bool {
    let title = line.trim();
    let letters = title.chars().filter(|c| c.is_alphabetic()).count();
    letters >= 4
        && reflow::columns(title) <= 70
        && title.chars().filter(|c| c.is_alphabetic()).all(char::is_uppercase)
        && !ends_sentence(title)
}

/// Whether the text's first line names it: short, no sentence, and set apart from what follows.
fn first_line(line: &str, next: Option<&&str>) -> bool {
    let title = line.trim();
    let apart = next.is_none_or(|l| l.trim().is_empty()) || shouted(title);
    apart
        && next.is_some()
        && reflow::columns(title) <= 80
        && title.chars().filter(|c| c.is_alphabetic()).count() >= 3
        && reflow::list_item(title).is_none()
        && !title.contains([':', '：', '|', '\t'])
        && !ends_sentence(title)
}

/// The level of a numbered title: `1. Title` above running text, `2.3 Title` or `一、总则` on a line of its own.
fn numbered(line: &str, next: Option<&&str>, alone: bool) -> Option<usize> {
    let title = line.trim();
    let next = next?.trim();
    if reflow::columns(title) > 60 || ends_sentence(title) || title.ends_with([':', '：']) {
        return None;
    }
    let digits = title.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = &title[..title.len() - digits.len()];
    if number.starts_with(|c: char| c.is_ascii_digit())
        && digits.starts_with([' ', '\t'])
        && number.len() <= 8
    {
        // Items of a list follow each other; a title is followed by longer text that is no item.
        let text = reflow::list_item(next).is_none() && reflow::columns(next) > reflow::columns(title);
        let parts = number.split('.').filter(|p| !p.is_empty()).count();
        return (text && (number.contains('.') || alone)).then_some(1 + parts.min(4));
    }
    let chinese = |c: char| "一二三四五六七八九十百".contains(c) || c.is_ascii_digit();
    let rest = title.trim_start_matches(chinese);
    let listed = rest.len() < title.len() && rest.starts_with('、');
    let inner = title.strip_prefix('第').map(|t| t.trim_start_matches(chinese));
    let chapter = inner.is_some_and(|t| t.starts_with(['章', '节', '编', '部']));
    (alone && (listed || chapter) && reflow::list_item(next).is_none_or(|_| listed)).then_some(2)
}

fn ends_sentence(title: &str) -> bool {
    title.ends_with(['.', ',', ';', '!', '?', '。', '，', '；', '！', '？'])
}

fn is_rule(line: &str) -> bool {
    let line = line.trim();
    line.chars().count() >= 3
        && line
            .chars()
            .next()
            .is_some_and(|first| "-=_*~#+".contains(first) && line.chars().all(|c| c == first))
}
