//! What a sentence of an answer claims: whether it claims anything, whether it says that nothing was found, and the
//! numbers, codes and names that its source must hold.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use lore_index::lexical::analyzer::{WordClass, chinese_words};
use regex::Regex;

use crate::text;

#[allow(clippy::expect_used, reason = "the patterns are constants, and tests use them all")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern of this file")
}

/// Sentences that say that the documents hold no answer.
static NOTHING_FOUND: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?i)\b(?:i|we)\s+(?:could not|couldn['’]t|cannot|can['’]t|can not|did not|didn['’]t|was unable to|am unable to|am not able to)\s+(?:find|answer|determine|locate)\b",
        r"|\bi\s+(?:do not|don['’]t)\s+(?:know|have (?:enough |any |that |this )?information)\b",
        r"|\b(?:documents?|passages?|sources?|provided (?:text|context|information)|context)\b[^.]*\b(?:do(?:es)? not|don['’]t|doesn['’]t|did not)\s+(?:\w+\s+)?(?:contain|mention|provide|specify|say|state|include|answer|hold|give|address|cover)",
        r"|\b(?:is|are|was|were) not\s+(?:\w+\s+)?(?:mentioned|specified|stated|given|provided|contained|found|available|included|covered|addressed)\b[^.]*\b(?:documents?|passages?|sources?|context)\b",
        r"|\bthere is no (?:\w+ )?information\b|\bno (?:relevant )?information (?:is|was|about|on)\b",
        r"|(?:文档|段落|资料|文件|上下文|文中|提供的)[^。！？]*(?:没有|未|不曾|并未|并没有)(?:\p{Han}{0,2})?(?:找到|提到|提及|包含|说明|涉及|给出|提供|信息|答案|规定)",
        r"|(?:没有|未能?)找到|找不到|无法(?:回答|确定|找到|得知)|不知道",
    ))
});

/// Number or letter of a list item, and Markdown's marks of a quote, a heading or a bullet.
static LABEL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^\s*(?:[>#*+-]+\s+)?(?:\d{1,3}[.)]\s+|\d{1,3}、|[(（][a-z0-9一二三四五六七八九十]{1,3}[)）]\s*|[一二三四五六七八九十]{1,3}、)?",
    )
});

/// Words of sentences that lead in or out and claim nothing; English ones as the index stems them.
const EMPTY: [&str; 62] = [
    "here", "find", "found", "document", "passag", "inform", "follow", "below", "abov", "answer", "question",
    "summar", "summari", "base", "accord", "provid", "given", "sure", "certain", "help", "know", "hope",
    "let", "pleas", "detail", "ask", "more", "further", "hello", "hi", "thank", "cours", "yes", "no", "ok",
    "overview", "result", "compani", "own", "free", "feel", "ani", "anyth", "els", "need", "根据", "文档",
    "段落", "以下", "如下", "信息", "答案", "回答", "问题", "您好", "你好", "好的", "当然", "希望", "帮助",
    "总结", "内容",
];

/// What a sentence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It claims something that a document must support.
    Claim,
    /// It leads in or out, asks, greets, or is a heading.
    Empty,
    /// It says that nothing was found.
    NothingFound,
}

/// What `sentence` is, whose terms are `terms`; `figure` tells whether it has a figure that the question has not, which
/// makes a claim of what else would only lead in, or say that nothing was found.
pub fn kind(sentence: &str, terms: &BTreeSet<String>, figure: bool) -> Kind {
    let bare = sentence.trim().trim_matches(['*', '_', ' ']);
    if figure {
        return Kind::Claim;
    }
    if NOTHING_FOUND.is_match(bare) {
        return Kind::NothingFound;
    }
    let leads = bare.ends_with([':', '：', '?', '？']) || sentence.trim_start().starts_with('#');
    let empty = |term: &String| {
        text::is_function_word(term)
            || EMPTY.contains(&term.as_str())
            || (term.chars().count() == 1 && term.chars().all(text::is_cjk))
    };
    let digits = without_label(bare).chars().any(|c| c.is_ascii_digit());
    if leads || (!digits && terms.iter().all(empty)) { Kind::Empty } else { Kind::Claim }
}

/// `sentence` without the label of a list item.
pub fn without_label(sentence: &str) -> &str {
    let end = LABEL.find(sentence).map_or(0, |m| m.end());
    sentence.get(end..).filter(|rest| !rest.is_empty()).unwrap_or(sentence)
}

/// The numbers, codes and names of a sentence, in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definite {
    /// Numbers, as [`numbers`] has them.
    pub numbers: BTreeSet<String>,
    /// Words of letters and digits, without spaces and hyphens.
    pub codes: BTreeSet<String>,
    /// Names.
    pub names: BTreeSet<String>,
}

impl Definite {
    /// What `sentence` names; numbers of `question` are left out, since an answer may repeat them.
    pub fn of(sentence: &str, question: &str) -> Self {
        let sentence = without_label(sentence);
        let known = numbers(question);
        let mut out = Self::default();
        for (word, lower) in specific(sentence) {
            let letter_first = word.chars().next().is_some_and(char::is_alphabetic);
            if CURRENCIES.contains(&lower.as_str()) {
                continue;
            }
            match lower.chars().any(|c| c.is_ascii_digit()) {
                // "30-day" and "10th" are numbers.
                true if letter_first || word.chars().any(char::is_uppercase) => {
                    out.codes.insert(squeeze(&lower));
                }
                true => {}
                false => {
                    out.names.insert(lower);
                }
            }
        }
        for word in chinese_words(sentence) {
            if word.class == WordClass::Name {
                out.names.insert(word.text);
            }
        }
        let mut rest = sentence.to_owned();
        for (word, lower) in specific(sentence) {
            if out.codes.contains(&squeeze(&lower)) {
                rest = rest.replacen(&word, " ", 1);
            }
        }
        // "One" and "一" are articles as often as numbers.
        let mut said = numbers(&rest);
        if !text::numbers(&rest).iter().flat_map(|n| plain(n)).any(|n| n == "1") {
            said.remove("1");
        }
        out.numbers = said.into_iter().filter(|n| !known.contains(n)).collect();
        out
    }

    /// Whether it names anything.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty() && self.codes.is_empty() && self.names.is_empty()
    }
}

/// What a document may write as a sign.
const CURRENCIES: [&str; 6] = ["eur", "usd", "gbp", "cny", "rmb", "chf"];

/// Words that name something definite, as written and in lower case.
fn specific(sentence: &str) -> Vec<(String, String)> {
    // The first word counts where its letters or digits, not its place, make it definite.
    let first = sentence.split(|c: char| c.is_whitespace() || text::is_cjk(c)).next().unwrap_or_default();
    let first_counts = first.chars().any(|c| c.is_ascii_digit());
    let found = text::specific_terms(sentence);
    let words = sentence.split(|c: char| c.is_whitespace() || text::is_cjk(c)).enumerate();
    words
        .map(|(i, raw)| (i, raw.trim_matches(|c: char| !c.is_alphanumeric())))
        .map(|(i, word)| (i, word.strip_suffix("'s").or_else(|| word.strip_suffix("’s")).unwrap_or(word)))
        .filter(|(i, word)| (*i > 0 || first_counts) && found.contains(&word.to_lowercase()))
        .map(|(_, word)| (word.to_owned(), word.to_lowercase()))
        .collect()
}

/// Names and codes of a sentence, for telling whether it speaks of the same thing as another.
pub fn entities(sentence: &str) -> BTreeSet<String> {
    let definite = Definite::of(sentence, "");
    definite.codes.into_iter().chain(definite.names).collect()
}

/// Without spaces and hyphens: `FJ-200` and `FJ 200` are one code.
pub fn squeeze(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '‑' | '–')).collect()
}

/// Whether `haystack` (lower case) names `code` (squeezed): spaces and hyphens in between do not matter, but `fj20` is not in
/// `fj-200`.
pub fn has_code(haystack: &str, code: &str) -> bool {
    let plain = |c: &char| c.is_ascii_alphanumeric();
    let skipped = |c: char| c.is_whitespace() || matches!(c, '-' | '‑' | '–');
    let mut before: Option<char> = None;
    for (at, first) in haystack.char_indices() {
        let whole = !before.as_ref().is_some_and(plain) || !plain(&first);
        before = Some(first);
        if !whole || skipped(first) {
            continue;
        }
        let mut rest = haystack[at..].chars();
        let there = code.chars().all(|wanted| rest.by_ref().find(|c| !skipped(*c)) == Some(wanted));
        // A plural's s, as in "two K110s", ends a code too.
        let rest = rest.as_str().strip_prefix('s').unwrap_or(rest.as_str());
        if there && !rest.chars().next().as_ref().is_some_and(plain) {
            return true;
        }
    }
    false
}

/// The numbers of a text, as digits, without leading zeros and trailing zeros of decimals; written words too.
pub fn numbers(text: &str) -> BTreeSet<String> {
    let mut out: BTreeSet<String> = text::numbers(text).iter().flat_map(|n| plain(n)).collect();
    out.extend(text.split(|c: char| !c.is_alphabetic()).filter_map(word_number));
    let mut run = String::new();
    for c in text.chars().chain([' ']) {
        if "零〇一二两三四五六七八九十百千".contains(c) {
            run.push(c);
        } else if let Some(number) = chinese_number(&std::mem::take(&mut run)) {
            out.insert(number.to_string());
        }
    }
    out
}

const WORDS: [&str; 19] = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// The number that an English word names, as digits.
pub fn word_number(word: &str) -> Option<String> {
    let lower = word.to_lowercase();
    let small = WORDS.iter().position(|w| *w == lower).map(|at| at + 1);
    let tens = || TENS.iter().position(|w| *w == lower).map(|at| (at + 2) * 10);
    small.or_else(tens).map(|number| number.to_string())
}

/// The value of a Chinese number below ten thousand.
fn chinese_number(text: &str) -> Option<u32> {
    let (mut total, mut digit) = (0, None);
    for c in text.chars() {
        let unit = match c {
            '十' => 10,
            '百' => 100,
            '千' => 1000,
            '两' => {
                digit = Some(2);
                continue;
            }
            '零' | '〇' => continue,
            other => {
                digit = "一二三四五六七八九".chars().position(|d| d == other).map(|at| at as u32 + 1);
                continue;
            }
        };
        total += digit.take().unwrap_or(1) * unit;
    }
    let value = total + digit.unwrap_or(0);
    (value > 0).then_some(value)
}

/// A number without padding; a date with dots is its parts.
fn plain(number: &str) -> Vec<String> {
    if number.matches('.').count() > 1 {
        return number.split('.').filter(|p| !p.is_empty()).flat_map(plain).collect();
    }
    let short = match number.split_once('.') {
        Some((whole, part)) => match part.trim_end_matches('0') {
            "" => whole.to_owned(),
            part => format!("{whole}.{part}"),
        },
        None => number.to_owned(),
    };
    let bare = short.trim_start_matches('0');
    vec![if bare.is_empty() || bare.starts_with('.') { format!("0{bare}") } else { bare.to_owned() }]
}

static ENGLISH_NO: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b(?:not|never|cannot|neither|nor|no longer|without)\b|n['’]t\b"));
static CHINESE_NO: LazyLock<Regex> = LazyLock::new(|| pattern(r"不|没有|未|无需|无须|禁止|严禁|勿"));
static NO_NEGATION: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)not (?:only|more than|less than|later than)|不(?:超过|少于|低于|高于|多于|大于|小于|足|同|仅|断|得超过|得少于)|未来",
    )
});

/// Whether a sentence denies something.
pub fn denies(sentence: &str) -> bool {
    let rest = NO_NEGATION.replace_all(sentence, " ");
    ENGLISH_NO.is_match(&rest) || CHINESE_NO.is_match(&rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> BTreeSet<String> {
        lore_index::lexical::analyzer::terms(text).into_iter().collect()
    }

    #[track_caller]
    fn is(expected: Kind, sentences: &[&str]) {
        for sentence in sentences {
            assert_eq!(kind(sentence, &terms(sentence), false), expected, "{sentence}");
        }
    }

    #[test]
    fn lead_sentences_claim_nothing() {
        is(
            Kind::Empty,
            &[
                "Here is what I found:",
                "Here is the information from the documents.",
                "Sure!",
                "**Vacation:**",
                "# Vacation",
                "Let me know if you need anything else.",
                "Yes.",
                "好的。",
                "根据文档，回答如下：",
                "Which site do you mean?",
            ],
        );
        is(
            Kind::Claim,
            &[
                "Employees get thirty days.",
                "30.",
                "1. Bring your badge.",
                "年假为十五天。",
                "The contract does not contain a non-compete clause.",
            ],
        );
    }

    #[test]
    fn refusals_are_told() {
        is(
            Kind::NothingFound,
            &[
                "I could not find this in the documents.",
                "I couldn’t find an answer to that.",
                "The provided passages do not contain information about parking.",
                "The capital of Mongolia is not mentioned in the documents.",
                "I don't know.",
                "我在文档中没有找到答案。",
                "文档中并未提及停车费。",
                "根据提供的段落，无法确定具体日期。",
            ],
        );
    }

    #[test]
    fn numbers_codes_and_names_are_taken_apart() {
        let set = |items: &[&str]| items.iter().map(|i| (*i).to_owned()).collect::<BTreeSet<String>>();
        let found = Definite::of(
            "2. After 3 years the FJ-200 in Munich needs a 30-day, EUR 1,250.50 check.",
            "3 years?",
        );
        assert_eq!(found.numbers, set(&["30", "1250.5"]));
        assert_eq!(found.codes, set(&["fj200"]));
        assert_eq!(found.names, set(&["munich"]));
        assert_eq!(
            numbers("Thirty days, 二十五天, 07:30, 31.12.2024"),
            set(&["30", "25", "7", "31", "12", "2024"])
        );
        assert_eq!(chinese_number("一百零五"), Some(105));
        assert_eq!(chinese_number("十五"), Some(15));
    }

    #[test]
    fn a_code_is_there_as_a_whole_or_not() {
        for there in
            ["the fj-200 measures", "fj 200", "fj200s", "型号fj-200的", "| fj-200 | 80 |", "fj-200-b"]
        {
            assert!(has_code(there, "fj200"), "{there}");
        }
        for other in ["the fj-2000", "afj-200", "fj-200a", "fj-20 x", "2fj200", ""] {
            assert!(!has_code(other, "fj200"), "{other}");
        }
    }

    #[test]
    fn a_denial_is_no_limit() {
        assert!(
            denies("Days may not be carried over.") && denies("年假不能结转。") && denies("It isn't free.")
        );
        assert!(!denies("At most, not more than ten days.") && !denies("最多不超过十天。"));
    }
}
