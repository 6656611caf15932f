//! Statements about the source of a question: some that it supports, some that it does not.

use serde::Serialize;

use crate::claim::{Definite, denies};
use crate::eval::dataset::EvalQuestion;
use crate::text::is_cjk;

/// How a statement was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Supported: the source's own words.
    Quote,
    /// Supported: the question's words with the right answer.
    Answer,
    /// Not: the source of another question.
    OtherQuote,
    /// Not: the question's words with the answer of another question.
    OtherAnswer,
    /// Not: the source with another number.
    Number,
    /// Not: the source with another name or code.
    Name,
    /// Not: the source denied, or no more denied.
    Negation,
}

impl Kind {
    /// Whether the source supports it.
    pub fn is_supported(self) -> bool {
        matches!(self, Self::Quote | Self::Answer)
    }

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quote => "quote",
            Self::Answer => "answer",
            Self::OtherQuote => "other_quote",
            Self::OtherAnswer => "other_answer",
            Self::Number => "number",
            Self::Name => "name",
            Self::Negation => "negation",
        }
    }
}

/// The statements of question `number`, whose source is `quote`; `asked` is the question made whole, and `passages` what
/// was found for it.
pub fn pairs(
    questions: &[EvalQuestion],
    number: usize,
    quote: &str,
    asked: &str,
    passages: &str,
) -> Vec<(Kind, String)> {
    let Some(question) = questions.get(number) else { return Vec::new() };
    let own = question.answers.first().map(|parts| parts.join(", ")).unwrap_or_default();
    // The next questions of the same language are about something else, the sooner the nearer.
    let others: Vec<&EvalQuestion> = questions
        .iter()
        .cycle()
        .skip(number + 1)
        .take(questions.len().saturating_sub(1))
        .filter(|other| other.lang == question.lang && other.answerable)
        .collect();
    let statement = |answer: &str| format!("{}: {answer}", asked.trim().trim_end_matches(['?', '？']));
    let new = |text: &str| !passages.contains(text.trim());
    let other_quote = others.iter().flat_map(|other| &other.sources).map(|source| source.quote.as_str());
    let other_quote = other_quote.filter(|text| !text.is_empty() && new(text));
    let other_answer = others.iter().flat_map(|other| other.answers.first()).map(|parts| parts.join(", "));
    let other_answer =
        other_answer.filter(|text| !text.is_empty() && !is_told(quote, text)).map(|a| statement(&a));
    let name =
        others.iter().flat_map(|o| &o.sources).find_map(|other| with_another_name(quote, &other.quote));
    [
        (Kind::Quote, Some(quote.to_owned())),
        (Kind::Answer, Some(own).filter(|own| is_told(quote, own)).map(|own| statement(&own))),
        (Kind::OtherQuote, other_quote.map(str::to_owned).next()),
        (Kind::OtherAnswer, { other_answer }.next()),
        (Kind::Number, with_another_number(quote)),
        (Kind::Name, name),
        (Kind::Negation, denied(quote)),
    ]
    .into_iter()
    .filter_map(|(kind, text)| text.map(|text| (kind, text)))
    .filter(|(kind, text)| kind.is_supported() || new(text))
    .collect()
}

fn is_told(quote: &str, answer: &str) -> bool {
    !answer.is_empty() && crate::eval::metrics::contains(quote, answer)
}

/// `quote` with its last number made another one.
fn with_another_number(quote: &str) -> Option<String> {
    let end = quote.rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = quote[..end]
        .rfind(|c: char| !c.is_ascii_digit())
        .map_or(0, |at| at + quote[at..].chars().next().map_or(1, char::len_utf8));
    // What a letter or a hyphen stands before is a code, not a number.
    if quote[..start].ends_with(|c: char| (c.is_alphabetic() && !is_cjk(c)) || matches!(c, '-' | '_')) {
        return None;
    }
    let number: u64 = quote[start..end].parse().ok()?;
    Some(format!("{}{}{}", &quote[..start], number * 2 + 1, &quote[end..]))
}

/// `quote` with one of its names or codes in the place of which stands one of `other`'s.
fn with_another_name(quote: &str, other: &str) -> Option<String> {
    let (here, there) = (Definite::of(quote, ""), Definite::of(other, ""));
    let as_written = |text: &str, lower: &str| {
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '-');
        let found = words.filter(|word| !word.is_empty()).find(|word| word.to_lowercase() == lower);
        found.map(str::to_owned).or_else(|| text.contains(lower).then(|| lower.to_owned()))
    };
    let mut swaps = here
        .codes
        .iter()
        .flat_map(|a| there.codes.iter().map(move |b| (a, b)))
        .chain(here.names.iter().flat_map(|a| there.names.iter().map(move |b| (a, b))));
    swaps.find_map(|(a, b)| {
        let known =
            here.codes.contains(b) || here.names.contains(b) || quote.to_lowercase().contains(b.as_str());
        let (from, to) = (as_written(quote, a)?, as_written(other, b)?);
        (!known).then(|| quote.replace(&from, &to))
    })
}

/// `quote` denied, or without its denial; `None` where no word for it is known.
fn denied(quote: &str) -> Option<String> {
    const ADDED: [(&str, &str); 16] = [
        (" may ", " may not "),
        (" must ", " need not "),
        (" can ", " cannot "),
        (" will ", " will not "),
        (" is ", " is not "),
        (" are ", " are not "),
        (" has ", " does not have "),
        (" have ", " do not have "),
        ("必须", "无须"),
        ("可以", "不得"),
        ("须", "无须"),
        ("应", "不应"),
        ("可", "不可"),
        ("为", "不是"),
        ("是", "不是"),
        ("有", "没有"),
    ];
    const REMOVED: [(&str, &str); 12] = [
        (" may not ", " may "),
        (" must not ", " may "),
        (" cannot ", " can "),
        (" is not ", " is "),
        (" are not ", " are "),
        (" do not ", " "),
        (" does not ", " "),
        (" never ", " always "),
        ("不得", "可以"),
        ("没有", "有"),
        ("不", ""),
        ("未", "已"),
    ];
    if quote.starts_with('|') {
        return None;
    }
    let list = if denies(quote) { &REMOVED[..] } else { &ADDED[..] };
    let (from, to) = list.iter().find(|(from, _)| quote.contains(from))?;
    Some(quote.replacen(from, to, 1)).filter(|text| denies(text) != denies(quote))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn numbers_names_and_denials_are_changed_and_nothing_else() {
        let quote = "A new employee in Munich may take 30 days with the K120.";
        assert_eq!(
            with_another_number("Up to EUR 1,250 for 3 nights.").unwrap(),
            "Up to EUR 1,250 for 7 nights."
        );
        assert_eq!(with_another_number(quote), None, "a code is no number");
        assert_eq!(
            with_another_name(quote, "The K210 costs more.").unwrap(),
            "A new employee in Munich may take 30 days with the K210."
        );
        assert_eq!(
            with_another_name(quote, "They live in Leeds.").unwrap(),
            "A new employee in Leeds may take 30 days with the K120."
        );
        assert_eq!(with_another_name(quote, "Nothing here."), None);
        assert_eq!(denied(quote).unwrap(), quote.replace("may take", "may not take"));
        assert_eq!(denied("年假不得结转。").unwrap(), "年假可以结转。");
        assert_eq!(denied("| K120 | 30 |"), None);
    }
}
