//! Where citations and marked statements stand in a Markdown text, in bytes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A citation whose number is to be shown at its end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CitationMark {
    /// First code point of the statement.
    pub start: usize,
    /// The code point after its last.
    pub end: usize,
    /// What the mark says.
    pub number: u32,
}

/// What is said of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpanKind {
    /// No passage supports it.
    Unsupported,
    /// It is what was looked for, or what is pointed at.
    Highlight,
}

impl SpanKind {
    /// The class of its elements.
    pub fn class(self) -> &'static str {
        match self {
            Self::Unsupported => "unsupported",
            Self::Highlight => "highlight",
        }
    }
}

/// A statement that is to look different.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SpanMark {
    /// First code point.
    pub start: usize,
    /// The code point after the last.
    pub end: usize,
    /// Why.
    pub kind: SpanKind,
}

/// All marks of a text, in bytes and in order.
#[derive(Debug)]
pub struct Marks {
    /// Ends and numbers of citations; the next one to be shown is at `shown`.
    citations: Vec<(usize, u32)>,
    shown: usize,
    /// Start, end, number in the request, kind; they do not overlap.
    spans: Vec<(usize, usize, usize, SpanKind)>,
}

impl Marks {
    /// Marks with their places in `text`; what lies beyond its end is at its end.
    pub fn new(text: &str, citations: &[CitationMark], spans: &[SpanMark]) -> Self {
        let bytes = Bytes::of(text);
        let mut ends: Vec<(usize, u32)> =
            citations.iter().map(|mark| (bytes.at(mark.end.max(mark.start)), mark.number)).collect();
        ends.sort_by_key(|(end, _)| *end);
        ends.dedup();
        let mut places: Vec<_> = spans
            .iter()
            .enumerate()
            .map(|(n, span)| (bytes.at(span.start), bytes.at(span.end), n, span.kind))
            .filter(|(start, end, ..)| start < end)
            .collect();
        places.sort_by_key(|(start, ..)| *start);
        let mut last = 0;
        places.retain(|(start, end, ..)| {
            let free = *start >= last;
            if free {
                last = *end;
            }
            free
        });
        Self { citations: ends, shown: 0, spans: places }
    }

    /// The number of the next citation that ends at `offset` or before it; each is given once.
    pub fn next_until(&mut self, offset: usize) -> Option<u32> {
        let (_, number) = self.citations.get(self.shown).filter(|(end, _)| *end <= offset)?;
        self.shown += 1;
        Some(*number)
    }

    /// The first place after `from`, up to `to`, where something begins or ends.
    pub fn cut(&self, from: usize, to: usize) -> usize {
        let next = self.citations.partition_point(|(end, _)| *end <= from).max(self.shown);
        let citation = self.citations.get(next).map(|(end, _)| *end);
        let at = self.spans.partition_point(|(_, end, ..)| *end <= from);
        let span = self.spans.get(at).map(|(start, end, ..)| if *start > from { *start } else { *end });
        [citation, span].into_iter().flatten().fold(to, usize::min)
    }

    /// The span that `offset` lies in: its number in the request and its kind.
    pub fn span(&self, offset: usize) -> Option<(usize, SpanKind)> {
        let at = self.spans.partition_point(|(_, end, ..)| *end <= offset);
        self.spans.get(at).filter(|(start, ..)| *start <= offset).map(|(_, _, number, kind)| (*number, *kind))
    }
}

/// From code points to bytes.
struct Bytes(Vec<u32>, usize);

impl Bytes {
    fn of(text: &str) -> Self {
        // Texts are far shorter than four gigabytes: the route refuses longer ones.
        Self(text.char_indices().map(|(at, _)| at as u32).collect(), text.len())
    }

    fn at(&self, point: usize) -> usize {
        self.0.get(point).map_or(self.1, |at| *at as usize)
    }
}
