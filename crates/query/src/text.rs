//! Small questions about text: what language it is in, what it names, which words it has.

use std::collections::BTreeSet;

/// Whether `c` is a Chinese, Japanese or Korean character.
pub fn is_cjk(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{3040}'..='\u{30ff}' | '\u{ac00}'..='\u{d7af}' | '\u{20000}'..='\u{3134f}')
}

/// ISO 639-1 code of a short text: `zh` where a fifth of its letters are Chinese characters, else what whatlang says
/// when it is sure, else `en`.
pub fn language(text: &str) -> &'static str {
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let cjk = text.chars().filter(|&c| is_cjk(c)).count();
    if cjk > 0 && cjk * 5 >= letters {
        return "zh";
    }
    match whatlang::detect(text) {
        Some(info) if info.is_reliable() && text.len() > 60 => match info.lang() {
            whatlang::Lang::Deu => "de",
            whatlang::Lang::Fra => "fr",
            whatlang::Lang::Spa => "es",
            whatlang::Lang::Ita => "it",
            _ => "en",
        },
        _ => "en",
    }
}

/// The numbers of a text, thousands separators removed: `1,250.50` is `1250.50`.
pub fn numbers(text: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut current = String::new();
    let chars: Vec<char> = text.chars().collect();
    for (i, &c) in chars.iter().enumerate() {
        let digit_next = chars.get(i + 1).is_some_and(char::is_ascii_digit);
        if c.is_ascii_digit() || (c == '.' && !current.is_empty() && digit_next) {
            current.push(c);
        } else if c == ',' && !current.is_empty() && digit_next {
            // A thousands separator: dropped.
        } else if !current.is_empty() {
            out.insert(std::mem::take(&mut current));
        }
    }
    if !current.is_empty() {
        out.insert(current);
    }
    out
}

/// Words in lower case, and single CJK characters, as a set; for comparing texts, not for searching.
pub fn word_set(text: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut current = String::new();
    for c in text.chars() {
        if is_cjk(c) {
            if !current.is_empty() {
                out.insert(std::mem::take(&mut current));
            }
            out.insert(c.to_string());
        } else if c.is_alphanumeric() {
            current.extend(c.to_lowercase());
        } else if !current.is_empty() {
            out.insert(std::mem::take(&mut current));
        }
    }
    if !current.is_empty() {
        out.insert(current);
    }
    out
}

/// Share of common elements: `|a ∩ b| / |a ∪ b|`; 1 for two empty sets.
pub fn jaccard(a: &BTreeSet<String>, b: &BTreeSet<String>) -> f32 {
    let common = a.intersection(b).count();
    let all = a.len() + b.len() - common;
    if all == 0 { 1.0 } else { common as f32 / all as f32 }
}

/// Words that name something definite: with a digit, or capitalised inside the sentence, or in capitals.
///
/// In lower case, as they would be found in a text folded to lower case.
pub fn specific_terms(question: &str) -> Vec<String> {
    let mut out = Vec::new();
    for (i, raw) in question.split(|c: char| c.is_whitespace() || is_cjk(c)).enumerate() {
        let word = raw.trim_matches(|c: char| !c.is_alphanumeric());
        let word = word.strip_suffix("'s").or_else(|| word.strip_suffix("’s")).unwrap_or(word);
        if word.is_empty() {
            continue;
        }
        let digit = word.chars().any(|c| c.is_ascii_digit());
        let upper = word.chars().filter(|c| c.is_uppercase()).count();
        let capital = word.chars().next().is_some_and(char::is_uppercase);
        let long = word.chars().count() > 1;
        if digit || (long && (upper >= 2 || (capital && i > 0))) {
            out.push(word.to_lowercase());
        }
    }
    out
}

/// Years (1990 to 2099) that a text names.
pub fn years(text: &str) -> BTreeSet<i16> {
    numbers(text).iter().filter_map(|n| n.parse::<i16>().ok()).filter(|y| (1990..2100).contains(y)).collect()
}

/// Whether a question asks for what used to hold.
pub fn asks_for_the_past(question: &str) -> bool {
    const WORDS: [&str; 9] =
        ["old", "previous", "previously", "former", "formerly", "superseded", "outdated", "used", "earlier"];
    const CHINESE: [&str; 8] = ["旧版", "以前", "原来", "之前", "原先", "过去", "老版", "旧的"];
    let words = word_set(question);
    WORDS.iter().any(|w| words.contains(*w)) || CHINESE.iter().any(|w| question.contains(w))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_without_separators() {
        let expected: BTreeSet<String> = ["1250.50", "3"].map(String::from).into();
        assert_eq!(numbers("EUR 1,250.50, for 3."), expected);
    }

    #[test]
    fn specific_terms_skip_the_first_word() {
        assert_eq!(specific_terms("How long is the AX-200's warranty in Munich?"), ["ax-200", "munich"]);
    }

    #[test]
    fn languages() {
        assert_eq!(language("上海员工有多少天年假？"), "zh");
        assert_eq!(language("AX-200 的保修期是多久"), "zh");
        assert_eq!(language("How many days?"), "en");
    }
}
