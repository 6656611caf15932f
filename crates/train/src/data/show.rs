//! An example as a person reads it, in a terminal or elsewhere.

use std::fmt::Write as _;

use lore_models::text::GeneratorText;
use serde::Serialize;

use super::Example;

const DIM: &str = "\u{1b}[2m";
const PLAIN: &str = "\u{1b}[0m";

/// An example's text with what is not learned greyed, special tokens by name, then the ids; without `colour`, what is
/// learned stands between `⟦` and `⟧`, and its ids have a `*`.
///
/// Control characters are shown as pictures, so that data cannot steer the terminal.
pub fn show(example: &Example, text: &GeneratorText, colour: bool) -> String {
    let (tokens, labels) = (example.tokens.len(), example.labels());
    let share = if tokens == 0 { 0.0 } else { 100.0 * labels as f64 / tokens as f64 };
    let mut out = format!("{}: {tokens} tokens, {labels} learned ({share:.0} %)\n", visible(&example.id));
    if !example.documents.is_empty() {
        let _ = writeln!(out, "made from {}", visible(&example.documents.join(", ")));
    }
    out.push('\n');
    let runs = runs(example);
    for (start, end, learned) in &runs {
        let written = text.written(&example.tokens[*start..*end]);
        let written = visible(&String::from_utf8_lossy(&written));
        match (colour, learned) {
            (true, true) => out.push_str(&written),
            // Again on each line, since pagers forget.
            (true, false) => {
                let _ = write!(out, "{DIM}{}{PLAIN}", written.replace('\n', &format!("{PLAIN}\n{DIM}")));
            }
            (false, true) => {
                let _ = write!(out, "⟦{written}⟧");
            }
            (false, false) => out.push_str(&written),
        }
    }
    out.push_str("\n\n");
    for (start, end, learned) in &runs {
        let mark = if *learned && !colour { "*" } else { "" };
        let ids: Vec<String> = example.tokens[*start..*end].iter().map(|id| format!("{id}{mark}")).collect();
        let ids = ids.join(" ");
        let space = if *start > 0 { " " } else { "" };
        let _ = match colour && !learned {
            true => write!(out, "{space}{DIM}{ids}{PLAIN}"),
            false => write!(out, "{space}{ids}"),
        };
    }
    out.push('\n');
    out
}

/// A stretch of an example that is learned as a whole, or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Its text, special tokens by name; control characters as pictures.
    pub text: String,
    /// Whether it is learned.
    pub learned: bool,
    /// Its tokens.
    pub tokens: usize,
}

/// An example as stretches of text.
pub fn spans(example: &Example, text: &GeneratorText) -> Vec<Span> {
    let span = |(start, end, learned): (usize, usize, bool)| {
        let written = text.written(&example.tokens[start..end]);
        Span { text: visible(&String::from_utf8_lossy(&written)), learned, tokens: end - start }
    };
    runs(example).into_iter().map(span).collect()
}

/// Stretches of tokens that are learned or not. The first token follows nothing and is never learned.
fn runs(example: &Example) -> Vec<(usize, usize, bool)> {
    let mut runs: Vec<(usize, usize, bool)> = Vec::new();
    for at in 0..example.tokens.len() {
        let learned = at > 0 && example.labelled[at];
        match runs.last_mut() {
            Some((_, end, last)) if *last == learned => *end = at + 1,
            _ => runs.push((at, at + 1, learned)),
        }
    }
    runs
}

/// Control characters, line breaks and tabs excepted, as their pictures (Unicode block "Control Pictures").
fn visible(text: &str) -> String {
    let picture = |c: char| match c {
        '\n' | '\t' => c,
        '\u{7f}' => '\u{2421}',
        c if (c as u32) < 0x20 => char::from_u32(0x2400 + c as u32).unwrap_or(c),
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(picture).collect()
}
