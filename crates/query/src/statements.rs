//! The statements of an answer while it comes: its sentences, each with the markers that belong to it.
//!
//! A marker belongs to the sentence that it stands in or behind; one that begins a line belongs to what follows on that
//! line. Text behind a possible end of a sentence is held back until the next word tells whether it was one, so that a
//! statement is complete before anything after it goes out.

use lore_core::{Span, sentences};

use crate::cite::{Marker, Piece};
use crate::text::is_cjk;

/// Longest text in code points that is held back until it is decided.
const LONGEST: usize = 80;

/// A statement of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its span in the answer, in code points.
    pub span: Span,
    /// The slice at `span`.
    pub text: String,
    /// Numbers of the passages that it names, in order, each once.
    pub cited: Vec<u32>,
    /// Whether it is the header row of a table.
    pub header: bool,
}

/// What goes on with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next piece of its text.
    Text(String),
    /// A statement is complete; its text was given before.
    Statement(Statement),
}

/// Finds the statements of an answer.
#[derive(Clone, Debug, Default)]
pub struct Statements {
    /// The text since `base`; the rest is no longer needed.
    text: String,
    /// Code points before `text`.
    base: usize,
    /// Code points so far.
    chars: usize,
    /// Code points given out.
    given: usize,
    /// End of the last complete statement.
    complete: usize,
    /// Code points up to the last possible end, and whether a word came since.
    watched: Option<(usize, bool)>,
    markers: Vec<Marker>,
}

impl Statements {
    /// Reads a piece and appends to `out` what is certain.
    pub fn push(&mut self, piece: Piece, out: &mut Vec<Step>) {
        match piece {
            Piece::Text(text) => text.chars().for_each(|c| self.read(c, out)),
            Piece::Marker(marker) => self.markers.push(marker),
        }
    }

    /// Appends the rest.
    pub fn finish(&mut self, out: &mut Vec<Step>) {
        self.settle(true, out);
        self.give(self.chars, out);
    }

    fn read(&mut self, c: char, out: &mut Vec<Step>) {
        self.text.push(c);
        self.chars += 1;
        if let Some((from, word)) = self.watched {
            let word = word || c.is_alphanumeric();
            let decided =
                word && (c.is_whitespace() || is_cjk(c) || is_end(c)) || self.chars - from > LONGEST;
            self.watched = if decided { None } else { Some((from, word)) };
            if decided {
                self.settle(false, out);
            }
        }
        if is_end(c) {
            // Several ends in a row: the first waits, and all that follows with it.
            self.watched.get_or_insert((self.chars, false));
        }
        let certain = self.watched.map_or(self.chars, |(from, _)| from);
        self.give(certain, out);
    }

    /// Gives out the text up to code point `end`.
    fn give(&mut self, end: usize, out: &mut Vec<Step>) {
        if end <= self.given {
            return;
        }
        let span = Span::new(self.given - self.base, end - self.base);
        let text = span.slice(&self.text).unwrap_or_default();
        match out.last_mut() {
            Some(Step::Text(before)) => before.push_str(text),
            _ => out.push(Step::Text(text.to_owned())),
        }
        self.given = end;
    }

    /// Gives out the statements that are complete: all but the last, or all.
    fn settle(&mut self, ended: bool, out: &mut Vec<Step>) {
        let units: Vec<Span> = sentences(&self.text)
            .into_iter()
            .map(|unit| unit.shift(self.base))
            .filter(|unit| unit.end > self.complete)
            .map(|unit| Span::new(unit.start.max(self.complete), unit.end))
            .collect();
        let sure = if ended { units.len() } else { units.len().saturating_sub(1) };
        for (i, unit) in units.iter().take(sure).enumerate() {
            let next = units.get(i + 1).map(|next| next.start);
            let mut cited = Vec::new();
            self.markers.retain(|marker| {
                // Behind the sentence, or on a line that holds nothing else.
                let alone = |next| {
                    let between = Span::new(marker.at, next).shift_back(self.base);
                    between.slice(&self.text).is_some_and(|text| text.contains('\n'))
                };
                let belongs = marker.at <= unit.end || next.is_none_or(alone);
                if belongs {
                    cited.extend(&marker.numbers);
                }
                !belongs
            });
            let mut seen = Vec::new();
            cited.retain(|n| {
                !seen.contains(n) && {
                    seen.push(*n);
                    true
                }
            });
            let text = unit.shift_back(self.base).slice(&self.text).unwrap_or_default().to_owned();
            let between = next.map(|next| Span::new(unit.end, next).shift_back(self.base));
            let header = text.starts_with('|')
                && between.and_then(|b| b.slice(&self.text)).is_some_and(|gap| gap.contains("--"));
            self.give(unit.end.max(self.given), out);
            out.push(Step::Statement(Statement { span: *unit, text, cited, header }));
            self.complete = unit.end;
        }
        if sure > 0 {
            self.forget();
        }
    }

    /// Lets go of the text before the last blank line outside of code, where that is complete.
    fn forget(&mut self) {
        let done = self.complete - self.base;
        let Some(bytes) = lore_core::span::byte_of(&self.text, done) else { return };
        let before = &self.text[..bytes];
        let fences = before.lines().filter(|l| l.trim_start().starts_with(['`', '~'])).count();
        let Some(blank) = before.rfind("\n\n").filter(|_| fences == 0) else { return };
        let cut = blank + 2;
        let chars = self.text[..cut].chars().count();
        if self.base + chars <= self.given {
            self.text.drain(..cut);
            self.base += chars;
        }
    }
}

fn is_end(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…' | '。' | '！' | '？' | '；' | '｡' | '\n')
}

trait ShiftBack {
    fn shift_back(&self, by: usize) -> Span;
}

impl ShiftBack for Span {
    fn shift_back(&self, by: usize) -> Span {
        Span::new(self.start.saturating_sub(by), self.end.saturating_sub(by))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cite::CitationParser;

    fn steps(pieces: &[&str]) -> Vec<Step> {
        let (mut parser, mut statements) = (CitationParser::new(9), Statements::default());
        let (mut read, mut out) = (Vec::new(), Vec::new());
        for piece in pieces {
            parser.push(piece, &mut read);
            read.drain(..).for_each(|piece| statements.push(piece, &mut out));
        }
        parser.finish(&mut read);
        read.drain(..).for_each(|piece| statements.push(piece, &mut out));
        statements.finish(&mut out);
        let mut joined: Vec<Step> = Vec::new();
        for step in out {
            match (joined.last_mut(), step) {
                (Some(Step::Text(before)), Step::Text(text)) => before.push_str(&text),
                (_, step) => joined.push(step),
            }
        }
        joined
    }

    fn told(text: &str) -> Vec<(String, Vec<u32>)> {
        let told = steps(&[text]).into_iter().filter_map(|step| match step {
            Step::Statement(statement) => Some((statement.text, statement.cited)),
            Step::Text(_) => None,
        });
        told.collect()
    }

    #[track_caller]
    fn tells(text: &str, expected: &[(&str, &[u32])]) {
        let expected: Vec<(String, Vec<u32>)> =
            expected.iter().map(|(text, cited)| ((*text).to_owned(), cited.to_vec())).collect();
        assert_eq!(told(text), expected);
    }

    #[test]
    fn markers_go_to_the_sentence_that_they_follow() {
        tells(
            "Thirty days [1]. Dr. Smith agrees. [2][3] Yes.",
            &[("Thirty days.", &[1]), ("Dr. Smith agrees.", &[2, 3]), ("Yes.", &[])],
        );
        tells("三十天。[1]五年后为三十二天[2]。", &[("三十天。", &[1]), ("五年后为三十二天。", &[2])]);
        tells("One.\n[1]\n\nTwo [2, 1]", &[("One.", &[1]), ("Two", &[2, 1])]);
    }

    #[test]
    fn a_marker_that_begins_a_line_belongs_to_it() {
        tells("[1] One.\n- [2] Two\n- Three [3]", &[("One.", &[1]), ("Two", &[2]), ("Three", &[3])]);
        tells("First line.\n\n[2] Second.", &[("First line.", &[]), ("Second.", &[2])]);
    }

    #[test]
    fn items_and_rows_are_statements() {
        tells(
            "Two ways:\n\n1. By post [1].\n2. By hand. Or not [2].\n\n| a | b |\n|---|---|\n| c | d [3] |\n",
            &[
                ("Two ways:", &[]),
                ("1. By post.", &[1]),
                ("2. By hand. Or not.", &[2]),
                ("| a | b |", &[]),
                ("| c | d |", &[3]),
            ],
        );
    }

    #[test]
    fn a_statement_is_complete_before_what_follows_it() {
        let text = "It is v1.2 e.g. now [1]. Next one is 3.5 [2].\n\nLast.";
        let steps = steps(&[text]);
        let shown: Vec<String> = steps
            .iter()
            .map(|step| match step {
                Step::Text(text) => text.clone(),
                Step::Statement(statement) => format!("<{:?}>", statement.cited),
            })
            .collect();
        assert_eq!(
            shown,
            ["It is v1.2 e.g. now.", "<[1]>", " Next one is 3.5.", "<[2]>", "\n\nLast.", "<[]>",]
        );
    }

    proptest! {
        #[test]
        fn pieces_give_the_same_statements_and_exact_spans(
            text in "([a-cA-C. \n漢。!-]|\\[[1-9]\\]|```\n|1\\. |\\| ?|[A-Z][a-z]{2,5}){0,60}",
            cuts in proptest::collection::vec(0usize..200, 0..12),
        ) {
            let chars: Vec<char> = text.chars().collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(chars.len())).collect();
            cuts.extend([0, chars.len()]);
            cuts.sort_unstable();
            let pieces: Vec<String> = cuts.windows(2).map(|p| chars[p[0]..p[1]].iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let whole = steps(&[&text]);
            prop_assert_eq!(steps(&pieces), whole.clone());

            let (clean, markers) = crate::cite::parse(&text, 9);
            let (mut given, mut last, mut cited) = (String::new(), 0, 0);
            for step in whole {
                match step {
                    Step::Text(text) => given.push_str(&text),
                    Step::Statement(statement) => {
                        prop_assert!(statement.span.start >= last && !statement.span.is_empty());
                        last = statement.span.end;
                        prop_assert_eq!(statement.span.slice(&given), Some(statement.text.as_str()));
                        cited += statement.cited.len();
                    }
                }
            }
            prop_assert_eq!(given, clean);
            prop_assert!(cited <= markers.len());
        }
    }
}
