//! Sentences of English, German and Chinese text with Markdown-like structure.
//!
//! The rules are those that matter for quoting: an abbreviation, a decimal, a version number or an initial does not end
//! a sentence; a heading line, a list item and a table row are units of their own.

use std::ops::Range;

use crate::span::Span;

/// Longest list item in code points that stays one unit; a longer one is split into its sentences.
const LONG_ITEM: usize = 300;

/// The sentences of `text`: trimmed, in order, not overlapping, spans in code points.
///
/// One unit each: a heading line (with its `#`), a list item (without its bullet, with its number), a table row, a line
/// of fenced code. Delimiter rows, thematic breaks and fences are left out. Chinese sentences end at `。！？；`.
pub fn sentences(text: &str) -> Vec<Span> {
    let mut out = Vec::new();
    let (mut byte, mut chars) = (0, 0);
    for range in ranges(text) {
        chars += text[byte..range.start].chars().count();
        let len = text[range.clone()].chars().count();
        out.push(Span::new(chars, chars + len));
        chars += len;
        byte = range.end;
    }
    out
}

/// What a line is, with the bytes of leading markup that its unit leaves out.
#[derive(Clone, Copy, PartialEq)]
enum Line {
    Blank,
    Markup,
    Fence,
    Heading,
    Row,
    Item { skip: usize },
    Text { skip: usize },
}

fn ranges(text: &str) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut open: Option<(Range<usize>, bool)> = None;
    let mut fenced = false;
    let mut start = 0;
    for full in text.split_inclusive('\n') {
        let line = start..start + full.len();
        start = line.end;
        let kind = kind_of(full);
        if fenced || matches!(kind, Line::Fence) {
            flush(text, &mut open, &mut out);
            if kind == Line::Fence {
                fenced = !fenced;
            } else {
                push(text, line, &mut out);
            }
            continue;
        }
        match kind {
            Line::Blank | Line::Markup | Line::Fence => flush(text, &mut open, &mut out),
            Line::Heading | Line::Row => {
                flush(text, &mut open, &mut out);
                push(text, line, &mut out);
            }
            Line::Item { skip } => {
                flush(text, &mut open, &mut out);
                open = Some((line.start + skip..line.end, true));
            }
            Line::Text { skip } => match &mut open {
                Some((range, _)) if !breaks_line(&text[range.clone()], full) => range.end = line.end,
                _ => {
                    flush(text, &mut open, &mut out);
                    open = Some((line.start + skip..line.end, false));
                }
            },
        }
    }
    flush(text, &mut open, &mut out);
    out
}

fn flush(text: &str, open: &mut Option<(Range<usize>, bool)>, out: &mut Vec<Range<usize>>) {
    let Some((range, item)) = open.take() else { return };
    if item && text[range.clone()].chars().nth(LONG_ITEM).is_none() {
        push(text, range, out);
    } else {
        split(text, range, out);
    }
}

fn push(text: &str, range: Range<usize>, out: &mut Vec<Range<usize>>) {
    let slice = &text[range.clone()];
    let start = range.start + slice.len() - slice.trim_start().len();
    let end = range.start + slice.trim_end().len();
    if start < end {
        out.push(start..end);
    }
}

fn kind_of(full: &str) -> Line {
    let line = full.trim();
    let indent = full.len() - full.trim_start().len();
    if line.is_empty() {
        return Line::Blank;
    }
    if line.starts_with("```") || line.starts_with("~~~") {
        return Line::Fence;
    }
    if is_rule(line) {
        return Line::Markup;
    }
    let hashes = line.bytes().take_while(|b| *b == b'#').count();
    if (1..=6).contains(&hashes) && line[hashes..].starts_with([' ', '\t']) {
        return Line::Heading;
    }
    if line.starts_with('|') && line[1..].contains('|') {
        return Line::Row;
    }
    if let Some(bullet) = line.strip_prefix(['-', '*', '+', '•', '▪', '◦', '·']) {
        let rest = bullet.trim_start();
        if rest.len() < bullet.len() && !rest.is_empty() {
            return Line::Item { skip: indent + line.len() - rest.len() };
        }
    }
    if is_numbered(line) {
        return Line::Item { skip: indent };
    }
    if let Some(quote) = line.strip_prefix('>')
        && !quote.trim().is_empty()
    {
        return Line::Text { skip: indent + 1 };
    }
    Line::Text { skip: indent }
}

/// A table's delimiter row, a thematic break or a setext underline.
fn is_rule(line: &str) -> bool {
    let marks = line.chars().filter(|c| !c.is_whitespace()).collect::<Vec<_>>();
    if marks.contains(&'|') {
        return marks.contains(&'-') && marks.iter().all(|c| matches!(c, '|' | '-' | ':'));
    }
    marks.len() >= 3 && matches!(marks[0], '-' | '*' | '_' | '=') && marks.iter().all(|c| *c == marks[0])
}

/// `1. x`, `12) x`, `(a) x`, `（二）x`, `三、x`, `3、x`.
fn is_numbered(line: &str) -> bool {
    let chinese = |c: char| "一二三四五六七八九十百〇零".contains(c);
    let (open, rest) = match line.strip_prefix(['(', '（']) {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let label: String =
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || chinese(*c)).take(4).collect();
    let digits = label.chars().all(|c| c.is_ascii_digit()) && label.len() <= 3;
    let han = label.chars().all(chinese);
    let letter = open && label.len() == 1;
    if label.is_empty() || !(digits || han || letter) {
        return false;
    }
    let mut after = rest[label.len()..].chars();
    match (after.next(), after.next()) {
        (Some('）'), Some(_)) => open,
        (Some(')'), Some(next)) => next.is_whitespace() || (open && is_han(next)),
        (Some('.'), Some(next)) => !open && digits && next.is_whitespace(),
        (Some('、' | '．'), Some(_)) => !open,
        _ => false,
    }
}

/// Whether `next` does not continue the paragraph `before`: a hard line break, or lines of the form `Key: value`.
fn breaks_line(before: &str, next: &str) -> bool {
    let line = before.trim_end_matches(['\n', '\r']);
    if line.ends_with("  ") || line.ends_with('\\') {
        return true;
    }
    let last = line.rsplit('\n').next().unwrap_or(line);
    is_labelled(last) && is_labelled(next)
}

fn is_labelled(line: &str) -> bool {
    let line = line.trim();
    let Some(at) = line.find([':', '：']) else { return false };
    let (label, value) = line.split_at(at);
    label.chars().next().is_some_and(char::is_alphabetic)
        && label.chars().count() <= 30
        && label.chars().all(|c| c.is_alphanumeric() || " /&()-_*".contains(c))
        && value.chars().count() > 1
        && !value.starts_with("://")
}

/// Splits running text into sentences.
fn split(text: &str, range: Range<usize>, out: &mut Vec<Range<usize>>) {
    let chars: Vec<(usize, char)> =
        text[range.clone()].char_indices().map(|(i, c)| (range.start + i, c)).collect();
    let byte = |i: usize| chars.get(i).map_or(range.end, |c| c.0);
    let (mut start, mut i) = (0, 0);
    while i < chars.len() {
        if !is_end(chars[i].1) {
            i += 1;
            continue;
        }
        let first = i;
        while i < chars.len() && is_end(chars[i].1) {
            i += 1;
        }
        let marks = first..i;
        i = skip_closers(&chars, i);
        if ends_sentence(&chars, start, marks, i) {
            push(text, byte(start)..byte(i), out);
            start = i;
        }
    }
    push(text, byte(start)..range.end, out);
}

fn is_end(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…') || is_wide_end(c)
}

fn is_wide_end(c: char) -> bool {
    matches!(c, '。' | '！' | '？' | '；' | '｡')
}

fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{9fff}' | '\u{3040}'..='\u{30ff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Quotes, brackets, emphasis and footnote marks that belong to the sentence before.
fn skip_closers(chars: &[(usize, char)], mut i: usize) -> usize {
    let at = |i: usize| chars.get(i).map(|c| c.1);
    loop {
        match at(i) {
            Some(
                '"' | '\'' | ')' | ']' | '}' | '”' | '’' | '»' | '」' | '』' | '）' | '】' | '》' | '〉'
                | '*' | '_' | '`',
            ) => {
                i += 1;
            }
            Some('[') => {
                let digits = (i + 1..).take_while(|j| at(*j).is_some_and(|c| c.is_ascii_digit())).count();
                if digits == 0 || at(i + 1 + digits) != Some(']') {
                    return i;
                }
                i += digits + 2;
            }
            _ => return i,
        }
    }
}

/// Whether the marks end the sentence that started at `start`; `after` is the first character behind marks and closers.
fn ends_sentence(chars: &[(usize, char)], start: usize, marks: Range<usize>, after: usize) -> bool {
    let wide = chars[marks.clone()].iter().any(|c| is_wide_end(c.1));
    let Some(&(_, next)) = chars.get(after) else { return true };
    if wide {
        return true;
    }
    let before = marks.start.checked_sub(1).map(|i| chars[i].1);
    if !next.is_whitespace() {
        let loud = chars[marks.clone()].iter().any(|c| matches!(c.1, '!' | '?'));
        return is_han(next) && (loud || before.is_some_and(is_han));
    }
    let Some(at) = (after..chars.len()).find(|i| !chars[*i].1.is_whitespace()) else { return true };
    if chars[at].1.is_lowercase() {
        return false;
    }
    marks.len() > 1 || chars[marks.start].1 != '.' || !is_abbreviated(chars, start, marks.start, at)
}

/// Whether the full stop at `dot` belongs to the word before it; `next` is where the following word starts.
fn is_abbreviated(chars: &[(usize, char)], start: usize, dot: usize, next: usize) -> bool {
    let word_start = (start..dot)
        .rev()
        .find(|i| chars[*i].1.is_whitespace() || "([{\"'“‘/*_".contains(chars[*i].1))
        .map_or(start, |i| i + 1);
    let word: String = chars[word_start..dot].iter().map(|c| c.1).collect();
    let following: String =
        chars[next..].iter().map(|c| c.1).take_while(|c| c.is_alphabetic()).take(16).collect();
    let number_follows = chars[next].1.is_ascii_digit();
    let sentence_follows = STARTERS.contains(&following.to_lowercase().as_str());
    let lower = word.to_lowercase();
    if word.is_empty() {
        return false;
    }
    if NEVER_LAST.contains(&lower.as_str()) {
        return true;
    }
    if BEFORE_NUMBER.contains(&lower.as_str()) {
        return number_follows;
    }
    if word.chars().all(|c| c.is_ascii_digit()) {
        return word.len() <= 2
            && (word_start == start || MONTHS.contains(&following.to_lowercase().as_str()));
    }
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    let dotted = word.contains('.')
        && word
            .split('.')
            .all(|p| (1..=2).contains(&p.chars().count()) && p.chars().all(char::is_alphabetic));
    (initial || dotted || OFTEN_LAST.contains(&lower.as_str())) && !sentence_follows
}

/// Abbreviations that a name, a number or an example follows.
const NEVER_LAST: &[&str] = &[
    "mr", "mrs", "ms", "dr", "prof", "hon", "rev", "gen", "sen", "rep", "st", "mt", "messrs", "hr", "fr",
    "dipl", "ing", "e.g", "i.e", "cf", "vs", "viz", "approx", "ca", "incl", "excl", "resp", "esp", "attn",
    "dept", "z.b", "d.h", "u.a", "bzw", "ggf", "inkl", "exkl", "evtl", "vgl", "bspw", "tel", "ext",
];

/// Abbreviations when a number follows, words otherwise.
const BEFORE_NUMBER: &[&str] = &[
    "no", "nos", "nr", "art", "abs", "sec", "sect", "fig", "figs", "eq", "eqs", "ch", "chap", "vol", "pp",
    "p", "pt", "app", "ref", "ver", "v", "rev", "max", "min", "jan", "feb", "mar", "apr", "jun", "jul",
    "aug", "sep", "sept", "oct", "nov", "dec", "tab", "ziff", "kap", "para", "par", "cl", "item", "bldg",
    "rm",
];

/// Abbreviations that may end a sentence too.
const OFTEN_LAST: &[&str] =
    &["inc", "ltd", "co", "corp", "llc", "plc", "bros", "jr", "sr", "ph.d", "al", "usw", "est"];

/// Words that seldom follow an abbreviation within a sentence.
const STARTERS: &[&str] = &[
    "the", "a", "an", "this", "that", "these", "those", "it", "its", "in", "on", "at", "for", "from", "if",
    "when", "while", "after", "before", "we", "you", "they", "he", "she", "i", "our", "your", "their",
    "each", "all", "every", "no", "not", "there", "here", "to", "as", "by", "with", "since", "until", "only",
    "any", "both", "however", "but", "and", "or", "so", "then", "please", "see", "what", "who", "how", "why",
    "where", "which", "der", "die", "das", "ein", "eine", "wir", "sie", "er", "es", "im", "am", "bei", "für",
    "wenn", "nach", "seit", "bitte",
];

const MONTHS: &[&str] = &[
    "januar",
    "februar",
    "märz",
    "april",
    "mai",
    "juni",
    "juli",
    "august",
    "september",
    "oktober",
    "november",
    "dezember",
    "quartal",
    "halbjahr",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &str) -> Vec<&str> {
        sentences(text).iter().map(|s| s.slice(text).unwrap_or("?")).collect()
    }

    #[test]
    fn english_keeps_abbreviations_decimals_and_versions() {
        assert_eq!(
            split(
                "Dr. Smith uses v1.2. It costs 3.50 EUR, e.g. in Munich. See Fig. 3 and No. 7. Really? Yes!"
            ),
            [
                "Dr. Smith uses v1.2.",
                "It costs 3.50 EUR, e.g. in Munich.",
                "See Fig. 3 and No. 7.",
                "Really?",
                "Yes!"
            ]
        );
        assert_eq!(
            split(
                "The U.S. Office opens at 9 a.m. The lab of J. Keller (Acme Inc. Boston) doesn't. \"Go!\" he said."
            ),
            [
                "The U.S. Office opens at 9 a.m.",
                "The lab of J. Keller (Acme Inc. Boston) doesn't.",
                "\"Go!\" he said."
            ]
        );
        assert_eq!(split("Answer: no. Done.[12] Next."), ["Answer: no.", "Done.[12]", "Next."]);
        assert_eq!(split("Ab dem 1. Januar gilt das. Es gilt."), ["Ab dem 1. Januar gilt das.", "Es gilt."]);
        assert_eq!(split("A line that\nwraps here. And\nhere."), ["A line that\nwraps here.", "And\nhere."]);
    }

    #[test]
    fn chinese_ends() {
        assert_eq!(
            split("年假为 12.5 天。满3年后为15天；满8年后为18天！“可以吗？”可以。好!下一句"),
            [
                "年假为 12.5 天。",
                "满3年后为15天；",
                "满8年后为18天！",
                "“可以吗？”",
                "可以。",
                "好!",
                "下一句"
            ]
        );
        assert_eq!(split("一、准备\n二、导入证书"), ["一、准备", "二、导入证书"]);
    }

    #[test]
    fn markdown_lines_are_units() {
        let text = "# Leave. All of it\n\nIntro. More:\n\n- Munich: 30 days. Full time.\n- Austin: 20 days\n  a year\n1. First. Then\n\n\
                    | Site | Days |\n| --- | ---: |\n| Munich | 30. Yes. |\n\n```\na = 1. B\n```\n> Quoted. Twice.\n";
        assert_eq!(
            split(text),
            [
                "# Leave. All of it",
                "Intro.",
                "More:",
                "Munich: 30 days. Full time.",
                "Austin: 20 days\n  a year",
                "1. First. Then",
                "| Site | Days |",
                "| Munich | 30. Yes. |",
                "a = 1. B",
                "Quoted.",
                "Twice."
            ]
        );
        assert_eq!(split("From: A. Meier\nTo: B\nSubject: x"), ["From: A. Meier", "To: B", "Subject: x"]);
    }

    #[test]
    fn a_long_item_is_split() {
        let item = format!("- {}", "This is a sentence of an item. ".repeat(12));
        assert_eq!(split(&item).len(), 12);
    }

    proptest! {
        #[test]
        fn spans_are_exact_ordered_and_trimmed(text in "(\\PC|[\n。.!?； |#-]){0,200}") {
            let mut last = 0;
            let total = text.chars().count();
            for span in sentences(&text) {
                prop_assert!(span.start >= last && span.end <= total && !span.is_empty());
                last = span.end;
                let slice = span.slice(&text).unwrap_or_default();
                prop_assert_eq!(slice, slice.trim());
                prop_assert!(!slice.is_empty());
            }
        }

        #[test]
        fn every_word_is_in_a_sentence(text in "([a-zé漢字]{1,6}[ .。！?；\n]{1,2}){0,60}") {
            let index = crate::span::CharIndex::new(&text);
            let kept: String = sentences(&text).iter().map(|s| index.slice(&text, *s)).collect();
            let words = |s: &str| s.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            prop_assert_eq!(words(&kept), words(&text));
        }
    }
}
