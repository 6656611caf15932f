//! Words of sentences: what a search would match, and what may be the answer to a question.

use std::ops::Range;

/// Words that carry no matter.
const FUNCTION: &str = " a an the of to in on at by for from with without and or but nor so as if than then that this these those \
    it its is are was were be been being am do does did has have had will would shall should can could may might must not no \
    only also very more most less least such each every any all both either neither some one other others same own into over \
    under between before after during until since while when where which who whom whose what why how there here they them \
    their we our you your he his she her i my me us up down out off about per via within upon against among through because \
    ";

/// Chinese characters that join others rather than tell something.
const JOINING: &str = "的了在是和与或为对从到被由将把等及并其这那有不也就都而于以可能会应须需要请各每该之个们吗呢吧何哪怎么什么多少几";

/// A word, number or Chinese run of a text, by its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub at: Range<usize>,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Letters in lower case.
    Plain,
    /// Begins with a capital.
    Capital,
    /// Has a digit.
    Number,
    /// Chinese characters without joining ones.
    Chinese,
}

pub(super) fn is_chinese(char: char) -> bool {
    matches!(char, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}')
}

/// Whether a text is more Chinese than not.
pub(super) fn mostly_chinese(text: &str) -> bool {
    let (mut chinese, mut letters) = (0, 0);
    for char in text.chars() {
        chinese += usize::from(is_chinese(char));
        letters += usize::from(char.is_alphabetic() && !is_chinese(char));
    }
    chinese * 3 > letters
}

/// The words of a text in order.
pub(super) fn words(text: &str) -> Vec<Word> {
    let mut out: Vec<Word> = Vec::new();
    let part = |char: char| (char.is_alphanumeric() && !is_chinese(char)) || matches!(char, '_' | '%');
    let mut chars = text.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        if is_chinese(char) {
            if JOINING.contains(char) {
                continue;
            }
            let mut end = at + char.len_utf8();
            let mut count = 1;
            while let Some(&(next, char)) = chars.peek() {
                if !is_chinese(char) || JOINING.contains(char) || count >= 4 {
                    break;
                }
                (end, count) = (next + char.len_utf8(), count + 1);
                chars.next();
            }
            out.push(Word { at: at..end, kind: Kind::Chinese });
        } else if part(char) {
            let mut end = at + char.len_utf8();
            while let Some(&(next, char)) = chars.peek() {
                let inner = matches!(char, '.' | ',' | '-' | '\'' | ':' | '/')
                    && text[next + 1..].chars().next().is_some_and(part);
                if !part(char) && !inner {
                    break;
                }
                end = next + char.len_utf8();
                chars.next();
            }
            let word = &text[at..end];
            let kind = if word.chars().any(|char| char.is_ascii_digit()) {
                Kind::Number
            } else if char.is_uppercase() {
                Kind::Capital
            } else {
                Kind::Plain
            };
            out.push(Word { at: at..end, kind });
        }
    }
    out
}

/// Whether a word carries no matter.
pub(super) fn is_function(word: &str) -> bool {
    word.len() < 2 && !word.chars().any(|char| char.is_ascii_digit())
        || FUNCTION.contains(&format!(" {} ", word.to_lowercase()))
}

/// What a search would match: words without endings, and pairs of Chinese characters.
pub(super) fn terms(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for word in words(text) {
        let word_text = &text[word.at.clone()];
        if word.kind == Kind::Chinese {
            let chars: Vec<char> = word_text.chars().collect();
            if chars.len() == 1 {
                continue;
            }
            out.extend(chars.windows(2).map(|pair| pair.iter().collect::<String>()));
        } else if !is_function(word_text) {
            out.push(stem(&word_text.to_lowercase()));
        }
    }
    out.sort_unstable();
    out.dedup();
    out
}

/// A word without the ending of a plural, of a past, or of what goes on.
pub(super) fn stem(word: &str) -> String {
    for ending in ["ing", "ies", "ed", "es", "s", "ly"] {
        if let Some(stem) = word.strip_suffix(ending).filter(|stem| stem.len() > 3 && word.is_ascii()) {
            return if ending == "ies" { format!("{stem}y") } else { stem.trim_end_matches('e').to_owned() };
        }
    }
    word.trim_end_matches('e').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_both_scripts() {
        let text = "The FJ-200 costs EUR 1,250.50, 保修期为24个月。";
        let found: Vec<(&str, Kind)> =
            words(text).iter().map(|word| (&text[word.at.clone()], word.kind)).collect();
        assert_eq!(
            found,
            [
                ("The", Kind::Capital),
                ("FJ-200", Kind::Number),
                ("costs", Kind::Plain),
                ("EUR", Kind::Capital),
                ("1,250.50", Kind::Number),
                ("保修期", Kind::Chinese),
                ("24", Kind::Number),
                ("月", Kind::Chinese),
            ]
        );
        let found = terms("They measured the tables, 测量温度");
        assert_eq!(found, ["measur", "tabl", "测量", "温度", "量温"]);
        assert!(is_function("The") && !is_function("FJ-200"));
        assert!(mostly_chinese("保修期为24个月") && !mostly_chinese("24 months"));
    }
}
