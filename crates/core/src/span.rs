//! Positions in text, in Unicode scalar values.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A half-open range `[start, end)` of a text, counted in Unicode scalar values (code points).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
pub struct Span {
    /// First code point.
    pub start: usize,
    /// One past the last code point.
    pub end: usize,
}

impl Span {
    /// The range from `start` to `end`; an `end` before `start` gives an empty range at `start`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end: end.max(start) }
    }

    /// Length in code points.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether the range holds nothing.
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// Whether `other` lies within this range.
    pub fn contains(&self, other: &Span) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether the two ranges share a code point.
    pub fn overlaps(&self, other: &Span) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The part of `text` in this range, or `None` where the range leaves the text.
    pub fn slice<'a>(&self, text: &'a str) -> Option<&'a str> {
        if self.end < self.start {
            return None;
        }
        let start = byte_of(text, self.start)?;
        let rest = &text[start..];
        let len = byte_of(rest, self.end - self.start)?;
        Some(&rest[..len])
    }

    /// The range of code points that the byte range `[start, end)` of `text` covers.
    ///
    /// Both ends must lie on character borders and within the text; `None` otherwise.
    pub fn from_bytes(text: &str, start: usize, end: usize) -> Option<Self> {
        let before = text.get(..start)?.chars().count();
        let inside = text.get(start..end)?.chars().count();
        Some(Self { start: before, end: before + inside })
    }

    /// This range moved `by` code points to the right.
    pub fn shift(&self, by: usize) -> Self {
        Self { start: self.start + by, end: self.end + by }
    }
}

/// The byte offset of code point number `at` in `text`; its length for the end of the text.
pub fn byte_of(text: &str, at: usize) -> Option<usize> {
    if at == 0 {
        return Some(0);
    }
    let mut count = 0;
    for (byte, _) in text.char_indices() {
        if count == at {
            return Some(byte);
        }
        count += 1;
    }
    (count == at).then_some(text.len())
}

/// Maps byte offsets of one text to code points, and back, without rescanning it each time.
///
/// Holds one offset per 64 code points, so that a look-up reads at most 64 characters.
#[derive(Clone, Debug)]
pub struct CharIndex {
    every_64: Vec<usize>,
    chars: usize,
    bytes: usize,
}

impl CharIndex {
    /// Indexes `text`.
    pub fn new(text: &str) -> Self {
        let mut every_64 = Vec::with_capacity(text.len() / 64 + 1);
        let mut chars = 0;
        for (byte, _) in text.char_indices() {
            if chars % 64 == 0 {
                every_64.push(byte);
            }
            chars += 1;
        }
        Self { every_64, chars, bytes: text.len() }
    }

    /// Number of code points of the text.
    pub fn chars(&self) -> usize {
        self.chars
    }

    /// The code point that starts at byte `at` of `text` (which must be the text indexed).
    pub fn char_of(&self, text: &str, at: usize) -> usize {
        if at >= self.bytes {
            return self.chars;
        }
        let block = self.every_64.partition_point(|&byte| byte <= at).saturating_sub(1);
        let from = self.every_64.get(block).copied().unwrap_or(0);
        block * 64 + text.get(from..at).map_or(0, |s| s.chars().count())
    }

    /// The byte at which code point `at` of `text` starts.
    pub fn byte_of(&self, text: &str, at: usize) -> usize {
        if at >= self.chars {
            return self.bytes;
        }
        let from = self.every_64.get(at / 64).copied().unwrap_or(0);
        from + text.get(from..).and_then(|rest| byte_of(rest, at % 64)).unwrap_or(0)
    }

    /// The part of `text` (the text indexed) in `span`, cut at the text's end.
    pub fn slice<'a>(&self, text: &'a str, span: Span) -> &'a str {
        let start = self.byte_of(text, span.start);
        let end = self.byte_of(text, span.end).max(start);
        &text[start..end]
    }

    /// The span of the byte range `[start, end)` of `text` (the text indexed).
    pub fn span(&self, text: &str, start: usize, end: usize) -> Span {
        Span::new(self.char_of(text, start), self.char_of(text, end))
    }
}

/// Pages, counted from 1, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct PageRange {
    /// First page.
    pub first: u32,
    /// Last page.
    pub last: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn out_of_range_is_none() {
        assert_eq!(Span::new(0, 4).slice("añ漢"), None);
        assert_eq!(Span::new(1, 3).slice("añ漢"), Some("ñ漢"));
        assert_eq!(Span::from_bytes("ñ", 0, 1), None);
    }

    proptest! {
        #[test]
        fn bytes_and_code_points_agree(text in "\\PC{0,200}", a in 0usize..200, b in 0usize..200) {
            let count = text.chars().count();
            let (a, b) = (a.min(count).min(b), a.max(b).min(count));
            let (a, b) = (a.min(b), b);
            let expected: String = text.chars().skip(a).take(b - a).collect();
            let span = Span::new(a, b);
            prop_assert_eq!(span.slice(&text), Some(expected.as_str()));
            let index = CharIndex::new(&text);
            prop_assert_eq!(index.slice(&text, span), expected.as_str());
            let (from, to) = (index.byte_of(&text, a), index.byte_of(&text, b));
            prop_assert_eq!(Span::from_bytes(&text, from, to), Some(span));
            prop_assert_eq!(index.span(&text, from, to), span);
        }
    }
}
