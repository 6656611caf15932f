//! What differs between two texts: by sentences and lines, and within a changed one by words.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use similar::{Algorithm, ChangeTag, DiffOp, capture_diff_slices_deadline};
use utoipa::ToSchema;

/// Longest that is looked for the shortest description of the differences; then a longer one is taken.
const TIME: Duration = Duration::from_secs(2);
/// Pieces that did not change, shown on each side of a change.
const CONTEXT: usize = 2;
/// Most places of change in an answer.
const HUNKS: usize = 200;
/// Most bytes of text in an answer.
const BYTES: usize = 256 << 10;
/// Longest piece; a longer sentence is cut.
const PIECE: usize = 600;
/// Most words of two pieces that are compared word by word.
const WORDS: usize = 2_000;

/// What differs between two texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Comparison {
    /// Code points that were added.
    pub added: usize,
    /// Code points that were removed.
    pub removed: usize,
    /// The places of change, with what stands around them.
    pub hunks: Vec<Hunk>,
    /// Whether there are more changes than are listed.
    pub truncated: bool,
}

/// A place of change. Offsets are in Unicode code points.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hunk {
    /// Where it begins in the older text.
    pub from_start: usize,
    /// Where it begins in the newer text.
    pub to_start: usize,
    /// What stands there, in order.
    pub parts: Vec<Part>,
}

/// What became of a stretch of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// It stands in both.
    Same,
    /// Only the older text has it.
    Removed,
    /// Only the newer text has it.
    Added,
}

/// A stretch of text, as far as one thing became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Part {
    /// What became of it.
    pub kind: PartKind,
    /// Its text.
    pub text: String,
}

/// What differs between `old` and `new`.
pub fn compare(old: &str, new: &str) -> Comparison {
    let (old, new) = (pieces(old), pieces(new));
    let deadline = Some(Instant::now() + TIME);
    // The space behind a sentence is not a change of it.
    let (old_keys, new_keys) = (keys(&old), keys(&new));
    let ops = capture_diff_slices_deadline(Algorithm::Myers, &old_keys, &new_keys, deadline);
    let (old_at, new_at) = (starts(&old), starts(&new));
    let mut out = Comparison::default();
    let mut bytes = 0;
    for group in similar::group_diff_ops(ops, CONTEXT) {
        let Some(first) = group.first() else { continue };
        let mut hunk = Hunk {
            from_start: old_at[first.old_range().start],
            to_start: new_at[first.new_range().start],
            parts: Vec::new(),
        };
        for op in &group {
            out.removed +=
                if op.tag() == similar::DiffTag::Equal { 0 } else { length(&old_at, &op.old_range()) };
            out.added +=
                if op.tag() == similar::DiffTag::Equal { 0 } else { length(&new_at, &op.new_range()) };
            if out.truncated {
                continue;
            }
            describe(op, &old, &new, deadline, &mut hunk.parts);
        }
        bytes += hunk.parts.iter().map(|part| part.text.len()).sum::<usize>();
        if out.truncated {
            continue;
        }
        if out.hunks.len() == HUNKS || (bytes > BYTES && !out.hunks.is_empty()) {
            out.truncated = true;
            continue;
        }
        out.truncated = bytes > BYTES && cut(&mut hunk.parts);
        out.hunks.push(hunk);
    }
    out
}

/// What pieces are compared by.
fn keys<'a>(pieces: &[&'a str]) -> Vec<&'a str> {
    pieces.iter().map(|piece| piece.trim_end()).collect()
}

/// Cuts the parts of a single place of change to the room of an answer.
fn cut(parts: &mut Vec<Part>) -> bool {
    let mut room = BYTES;
    parts.retain_mut(|part| {
        let end = part.text.floor_char_boundary(room);
        part.text.truncate(end);
        room -= end;
        end > 0
    });
    true
}

/// Code points from the first to the last piece of a range.
fn length(starts: &[usize], range: &std::ops::Range<usize>) -> usize {
    starts[range.end] - starts[range.start]
}

/// Where each piece begins, in code points, and where the last one ends.
fn starts(pieces: &[&str]) -> Vec<usize> {
    let mut at = 0;
    let mut out = vec![0];
    for piece in pieces {
        at += piece.chars().count();
        out.push(at);
    }
    out
}

fn describe(op: &DiffOp, old: &[&str], new: &[&str], deadline: Option<Instant>, parts: &mut Vec<Part>) {
    let before = old[op.old_range()].concat();
    let after = new[op.new_range()].concat();
    match op.tag() {
        similar::DiffTag::Equal => push(parts, PartKind::Same, &after),
        similar::DiffTag::Delete => push(parts, PartKind::Removed, &before),
        similar::DiffTag::Insert => push(parts, PartKind::Added, &after),
        similar::DiffTag::Replace => by_words(&before, &after, deadline, parts),
    }
}

/// Describes a change of a stretch by its words, where enough of them stayed for that to be readable.
fn by_words(before: &str, after: &str, deadline: Option<Instant>, parts: &mut Vec<Part>) {
    let (old, new) = (words(before), words(after));
    let whole = |parts: &mut Vec<Part>| {
        push(parts, PartKind::Removed, before);
        push(parts, PartKind::Added, after);
    };
    if old.len() + new.len() > WORDS {
        return whole(parts);
    }
    let ops = capture_diff_slices_deadline(Algorithm::Myers, &old, &new, deadline);
    let kept: usize = ops
        .iter()
        .filter(|op| op.tag() == similar::DiffTag::Equal)
        .map(|op| old[op.old_range()].concat().trim().chars().count())
        .sum();
    let longer = before.trim().chars().count().max(after.trim().chars().count());
    if kept * 5 < longer * 2 {
        return whole(parts);
    }
    for op in &ops {
        for change in op.iter_changes(&old, &new) {
            let kind = match change.tag() {
                ChangeTag::Equal => PartKind::Same,
                ChangeTag::Delete => PartKind::Removed,
                ChangeTag::Insert => PartKind::Added,
            };
            push(parts, kind, change.value());
        }
    }
}

fn push(parts: &mut Vec<Part>, kind: PartKind, text: &str) {
    if text.is_empty() {
        return;
    }
    match parts.last_mut() {
        Some(last) if last.kind == kind => last.text.push_str(text),
        _ => parts.push(Part { kind, text: text.to_owned() }),
    }
}

/// The text in pieces that are compared as a whole: sentences, each with the space behind it, none longer than a line.
fn pieces(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    for line in text.split_inclusive('\n') {
        let mut start = 0;
        let mut chars = line.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let end = at + c.len_utf8();
            let next = chars.peek().map(|(_, next)| *next);
            let full = matches!(c, '。' | '！' | '？' | '；')
                || (matches!(c, '.' | '!' | '?') && next.is_some_and(char::is_whitespace));
            if !full && end - start < PIECE {
                continue;
            }
            let mut end = end;
            while let Some((at, space)) = chars.next_if(|(_, next)| full && next.is_whitespace()) {
                end = at + space.len_utf8();
            }
            out.push(&line[start..end]);
            start = end;
        }
        if start < line.len() {
            out.push(&line[start..]);
        }
    }
    out
}

/// The words of a text with what stands between them; of Chinese and Japanese, the characters.
fn words(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut open = false;
    for (at, c) in text.char_indices() {
        let joins = c.is_alphanumeric() && !('\u{2e80}'..='\u{9fff}').contains(&c);
        if !(joins && open) && at > start {
            out.push(&text[start..at]);
            start = at;
        }
        open = joins;
    }
    if start < text.len() {
        out.push(&text[start..]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(comparison: &Comparison) -> Vec<String> {
        let mark = |part: &Part| match part.kind {
            PartKind::Same => part.text.clone(),
            PartKind::Removed => format!("[-{}-]", part.text),
            PartKind::Added => format!("{{+{}+}}", part.text),
        };
        comparison.hunks.iter().map(|hunk| hunk.parts.iter().map(mark).collect()).collect()
    }

    #[test]
    fn words_of_a_sentence_are_told_apart() {
        let old = "Trips are approved early. You have 28 days of leave. The rest stays.";
        let new = "Trips are approved early. You have 30 days of leave. The rest stays. More.";
        let found = compare(old, new);
        assert_eq!(
            shown(&found),
            ["Trips are approved early. You have [-28-]{+30+} days of leave. The rest stays. {+More.+}"]
        );
        assert_eq!((found.hunks[0].from_start, found.hunks[0].to_start), (0, 0));
    }

    #[test]
    fn a_line_that_is_no_longer_the_last_one_stays() {
        let found = compare("| Norway | 25 |", "| Norway | 25 |\n\nNew.");
        assert_eq!(shown(&found), ["| Norway | 25 |\n{+\nNew.+}"]);
        assert!(compare("One. Two.", "One.  Two.\n").hunks.is_empty());
    }

    #[test]
    fn chinese_is_compared_by_characters() {
        let found = compare("员工每年有28天假期。请提前申请。", "员工每年有30天假期。请提前申请。");
        assert_eq!(shown(&found), ["员工每年有[-28-]{+30+}天假期。请提前申请。"]);
    }

    #[test]
    fn what_is_far_from_a_change_is_left_out() {
        let lines: Vec<String> = (0..100).map(|n| format!("Line {n} says something.\n")).collect();
        let old = lines.concat();
        let new = old.replace("Line 50 says", "Line fifty said");
        let found = compare(&old, &new);
        assert_eq!(found.hunks.len(), 1);
        let before: usize = lines[..48].iter().map(|line| line.chars().count()).sum();
        assert_eq!((found.hunks[0].from_start, found.hunks[0].to_start), (before, before));
        assert!(compare(&old, &old).hunks.is_empty());
        let gone = compare(&old, "");
        assert_eq!((gone.added, gone.removed), (0, old.chars().count()));
    }

    #[test]
    fn an_answer_is_bounded() {
        let old: String = (0..20_000).map(|n| format!("Row {n} of the old table.\n")).collect();
        let new: String = (0..20_000).map(|n| format!("Row {n} of another table, and longer.\n")).collect();
        let found = compare(&old, &new);
        let bytes: usize = found.hunks.iter().flat_map(|hunk| &hunk.parts).map(|part| part.text.len()).sum();
        assert!(found.truncated && bytes <= BYTES && !found.hunks.is_empty());
        let long = "x".repeat(3 << 20);
        assert!(compare(&long, &"y".repeat(3 << 20)).truncated);
    }

    #[test]
    fn no_two_texts_take_long() {
        let lines = |seed: u32, count: u32, kinds: u32| -> String {
            let mut at = seed;
            let mut next = || {
                at = at.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (at >> 16) % kinds
            };
            (0..count).map(|_| format!("{}.\n", next())).collect()
        };
        let words = |seed: u32| lines(seed, 200_000, 50_000).replace(".\n", " ");
        for (old, new) in [
            (lines(1, 300_000, 2), lines(2, 300_000, 2)),
            (lines(1, 300_000, 1_000), lines(2, 300_000, 1_000)),
            (lines(1, 300_000, u32::MAX), lines(2, 300_000, u32::MAX)),
            ("\n".repeat(1_000_000), "\n".repeat(999_000)),
            (words(1), words(2)),
            ("a.\n\n".repeat(200_000), "\nb.\na.\n".repeat(200_000)),
        ] {
            let began = Instant::now();
            compare(&old, &new);
            let took = began.elapsed();
            assert!(took < 5 * TIME, "{took:?} for {:?} and {:?}", &old[..20], &new[..20]);
        }
    }

    #[test]
    fn pieces_and_words_make_the_text_again() {
        let text = "One. Two!  Three?\n\n# Head\n| a | b |\n手册。说明！ end v1.2.3 no";
        assert_eq!(pieces(text).concat(), text);
        assert_eq!(words(text).concat(), text);
        assert_eq!(words("ab 手册c"), ["ab", " ", "手", "册", "c"]);
    }
}
