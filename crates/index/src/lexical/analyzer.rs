//! From text to index terms: one analyzer for all languages, chosen by script run by run.
//!
//! - Words are normalised (NFKC, lower case, Latin diacritics and possessives off) and English-stemmed (Porter 2).
//! - Compounds such as `AX-200`, `max_tokens` and `acme.com` give their parts and the whole; letters and digits that
//!   touch (`AX200`) too, so that each way of writing finds the others.
//! - Numbers keep their decimals and lose their thousands separators: `1,250.50` is `1250.50`.
//! - Chinese gives jieba's words (search mode), single characters and character pairs; kana, Hangul and scripts without
//!   spaces give character pairs.
//!
//! All terms are indexed; a query loses its function words, unless nothing else is in it.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use rust_stemmers::{Algorithm, Stemmer};
use tantivy_jieba::jieba_rs::Jieba;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::{decompose_canonical, is_combining_mark};

/// Changes whenever the same text may give other terms; an index made by another version is rebuilt.
pub(crate) const VERSION: u32 = 1;

/// Longest term in bytes; longer runs (encoded data) are cut.
const MAX_TERM: usize = 64;

static JIEBA: LazyLock<Jieba> = LazyLock::new(Jieba::new);

/// Function words that say nothing of what a query is about.
const STOP_WORDS: &[&str] = &[
    "a", "about", "also", "am", "an", "and", "are", "as", "at", "be", "been", "being", "but", "by", "can",
    "could", "did", "do", "does", "for", "from", "had", "has", "have", "he", "her", "his", "how", "i", "if",
    "in", "into", "is", "it", "its", "may", "me", "might", "must", "my", "no", "not", "of", "on", "or",
    "our", "she", "should", "so", "such", "than", "that", "the", "their", "then", "there", "these", "they",
    "this", "to", "us", "was", "we", "were", "what", "when", "where", "which", "who", "whom", "whose", "why",
    "will", "with", "would", "you", "your",
];

/// The index terms of `text`, in order, repeated as often as they occur.
pub fn terms(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    analyse(text, &|_| true, &mut out);
    out
}

/// The terms that a query looks for: as [`terms`], without function words.
///
/// A function word in capitals in a query that is not all capitals (`IT`) is a name and stays.
pub fn query_terms(query: &str) -> Vec<String> {
    let shouted: BTreeSet<String> = if query.chars().any(char::is_lowercase) {
        query
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| word.len() > 1 && word.chars().all(char::is_uppercase))
            .map(str::to_lowercase)
            .collect()
    } else {
        BTreeSet::new()
    };
    let mut out = Vec::new();
    analyse(query, &|word| shouted.contains(word) || STOP_WORDS.binary_search(&word).is_err(), &mut out);
    if out.is_empty() { terms(query) } else { out }
}

/// What a Chinese word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordClass {
    /// The name of a place, a person, an organisation or a product.
    Name,
    /// Another noun, a verb, an adjective.
    Content,
    /// Anything else.
    Other,
}

/// A Chinese word with its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChineseWord {
    /// The word.
    pub text: String,
    /// Its class.
    pub class: WordClass,
}

/// The Chinese words of `text` of two characters or more, in order, as jieba cuts and tags them.
pub fn chinese_words(text: &str) -> Vec<ChineseWord> {
    let chinese =
        |word: &str| word.chars().nth(1).is_some() && word.chars().all(|c| script(c) == Script::Han);
    let class = |tag: &str| match tag {
        "ns" | "nr" | "nrt" | "nt" | "nz" => WordClass::Name,
        _ if tag.starts_with(['n', 'v', 'a', 'z', 's', 'j', 'b']) => WordClass::Content,
        _ => WordClass::Other,
    };
    let tagged = JIEBA.tag(text, true).into_iter().filter(|tag| chinese(tag.word));
    tagged.map(|tag| ChineseWord { text: tag.word.to_owned(), class: class(tag.tag) }).collect()
}

/// A text in pieces, in order and complete: words with spaces around them, Chinese words as jieba cuts them, and what stands
/// between.
pub fn pieces(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let plain: Vec<char> = chars.iter().map(|(_, char)| *char).collect();
    let end = |at: usize| chars.get(at).map_or(text.len(), |(byte, _)| *byte);
    let mut at = 0;
    while at < plain.len() {
        let start = at;
        let kind = script(plain[at]);
        while at < plain.len()
            && (script(plain[at]) == kind || kind == Script::Word && connects(&plain, start, at))
        {
            at += 1;
        }
        let run = &text[end(start)..end(at)];
        match kind {
            Script::Han => out.extend(JIEBA.cut(run, false).into_iter().map(|token| token.word)),
            _ => out.push(run),
        }
    }
    out
}

/// What a character belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Script {
    /// Letters and digits of scripts with spaces.
    Word,
    /// Chinese characters.
    Han,
    /// Kana, Hangul, and South-East Asian scripts that are written without spaces.
    Unspaced,
    /// Everything else separates.
    Other,
}

fn script(c: char) -> Script {
    match u32::from(c) {
        0..=0x7f if c.is_ascii_alphanumeric() => Script::Word,
        0..=0x7f => Script::Other,
        0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x3_134f | 0x3005 | 0x3007 => {
            Script::Han
        }
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1100..=0x11ff | 0x1780..=0x17ff => Script::Unspaced,
        0x3041..=0x30fa | 0x30fc..=0x30ff | 0x31f0..=0x31ff | 0xac00..=0xd7af => Script::Unspaced,
        _ if c.is_alphanumeric() || is_combining_mark(c) => Script::Word,
        _ => Script::Other,
    }
}

/// NFKC, lower case, Latin diacritics removed, hyphens and apostrophes made one kind.
fn normalise(text: &str) -> Vec<char> {
    let mut out = Vec::with_capacity(text.len());
    for c in text.nfkc() {
        if c.is_ascii() {
            out.push(c.to_ascii_lowercase());
            continue;
        }
        match c {
            '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' => {}
            '\u{2010}' | '\u{2011}' => out.push('-'),
            '\u{2018}' | '\u{2019}' | '\u{2bc}' => out.push('\''),
            'ß' | 'ẞ' => out.extend(['s', 's']),
            'æ' | 'Æ' => out.extend(['a', 'e']),
            'œ' | 'Œ' => out.extend(['o', 'e']),
            'ø' | 'Ø' => out.push('o'),
            'đ' | 'Đ' | 'ð' | 'Ð' => out.push('d'),
            'ł' | 'Ł' => out.push('l'),
            'ı' => out.push('i'),
            _ if script(c) == Script::Word => decompose_canonical(c, |part| {
                if !('\u{300}'..='\u{36f}').contains(&part) {
                    out.extend(part.to_lowercase());
                }
            }),
            _ => out.push(c),
        }
    }
    out
}

fn analyse(text: &str, keep: &dyn Fn(&str) -> bool, out: &mut Vec<String>) {
    let chars = normalise(text);
    let mut words = Words { keep, stemmer: Stemmer::create(Algorithm::English), out };
    let mut at = 0;
    while at < chars.len() {
        let start = at;
        let kind = script(chars[at]);
        match kind {
            Script::Other => at += 1,
            Script::Han | Script::Unspaced => {
                while at < chars.len() && script(chars[at]) == kind {
                    at += 1;
                }
                unspaced(&chars[start..at], kind, words.out);
            }
            Script::Word => {
                while at < chars.len() && (script(chars[at]) == Script::Word || connects(&chars, start, at)) {
                    at += 1;
                }
                words.compound(&chars[start..at]);
            }
        }
    }
}

/// Whether the character at `at` holds a word together that starts at `start`: `-`, `_`, `.`, an apostrophe, or the comma
/// of a number's thousands, with a letter or digit on both sides.
fn connects(chars: &[char], start: usize, at: usize) -> bool {
    let Some(&next) = chars.get(at + 1) else { return false };
    if at == start || script(next) != Script::Word || script(chars[at - 1]) != Script::Word {
        return false;
    }
    let before = chars[at - 1];
    match chars[at] {
        '-' | '_' | '.' => true,
        '\'' => !before.is_numeric() && !next.is_numeric(),
        ',' => {
            before.is_ascii_digit()
                && chars[at + 1..].iter().take(4).take_while(|c| c.is_ascii_digit()).count() == 3
        }
        _ => false,
    }
}

/// Terms of a run without spaces.
fn unspaced(run: &[char], kind: Script, out: &mut Vec<String>) {
    if run.len() == 1 {
        out.push(run[0].to_string());
        return;
    }
    if kind == Script::Han {
        let text: String = run.iter().collect();
        out.extend(JIEBA.cut_for_search(&text, false).into_iter().map(|token| token.word.to_owned()));
        out.extend(run.iter().map(ToString::to_string));
    }
    out.extend(run.windows(2).map(|pair| pair.iter().collect::<String>()));
}

/// Makes terms of words with spaces around them.
struct Words<'a> {
    keep: &'a dyn Fn(&str) -> bool,
    stemmer: Stemmer,
    out: &'a mut Vec<String>,
}

impl Words<'_> {
    fn compound(&mut self, run: &[char]) {
        let mut parts = 0;
        let mut whole = String::new();
        for part in run.split(|c| matches!(c, '-' | '_')).filter(|part| !part.is_empty()) {
            let mut atom: String = part.iter().filter(|c| **c != ',').collect();
            if let Some(owner) = atom.strip_suffix("'s") {
                atom.truncate(owner.len());
            }
            atom.retain(|c| c != '\'');
            whole.push_str(&atom);
            parts += 1;
            self.atom(&atom);
        }
        if parts > 1 {
            self.word(&whole);
        }
    }

    fn atom(&mut self, atom: &str) {
        if atom.contains('.') {
            if atom.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
                self.exact(atom);
            } else if atom.split('.').all(|part| part.chars().count() == 1) {
                self.word(&atom.replace('.', ""));
            } else {
                for part in atom.split('.') {
                    self.word(part);
                }
                self.exact(atom);
            }
            return;
        }
        let digits = atom.bytes().filter(u8::is_ascii_digit).count();
        if digits > 0 && digits < atom.len() {
            for run in atom.as_bytes().chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()) {
                if let Ok(run) = std::str::from_utf8(run) {
                    self.exact(run);
                }
            }
        }
        self.word(atom);
    }

    /// A word of one piece: dropped when the query need not look for it, stemmed when it is plain English letters.
    fn word(&mut self, word: &str) {
        if !(self.keep)(word) {
            return;
        }
        if word.bytes().all(|b| b.is_ascii_lowercase()) && word.len() <= MAX_TERM {
            let stem = self.stemmer.stem(word);
            self.exact(&stem);
        } else {
            self.exact(word);
        }
    }

    fn exact(&mut self, term: &str) {
        let end = term.floor_char_boundary(MAX_TERM);
        if end > 0 {
            self.out.push(term[..end].to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn has(text: &str, wanted: &[&str]) {
        let found = terms(text);
        for term in wanted {
            assert!(found.iter().any(|t| t == term), "{term} in {found:?}");
        }
    }

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted());
    }

    #[test]
    fn words_are_folded_and_stemmed() {
        assert_eq!(terms("The Employee's Größe, naïve CAFÉS"), ["the", "employe", "gross", "naiv", "cafe"]);
        assert_eq!(terms("ﬁles don’t e.g. U.S."), ["file", "dont", "eg", "us"]);
    }

    #[test]
    fn codes_match_whole_and_in_parts() {
        has("AX-200", &["ax", "200", "ax200"]);
        has("ax200", &["ax", "200", "ax200"]);
        has("max_tokens", &["max", "token", "maxtoken"]);
        has("mail.acme.com", &["mail", "acm", "com", "mail.acme.com"]);
    }

    #[test]
    fn pieces_are_the_words_and_all_of_the_text() {
        assert_eq!(
            pieces("The pump's AX-200 1,250.50: 保修期为24个月。"),
            [
                "The",
                " ",
                "pump's",
                " ",
                "AX-200",
                " ",
                "1,250.50",
                ": ",
                "保修期",
                "为",
                "24",
                "个",
                "月",
                "。"
            ]
        );
    }

    #[test]
    fn numbers_are_kept() {
        assert_eq!(terms("EUR 1,250.50 and 3.2.1"), ["eur", "1250.50", "and", "3.2.1"]);
        assert_eq!(terms("1,2,3"), ["1", "2", "3"]);
        has("2024-05-01", &["2024", "05", "01", "20240501"]);
    }

    #[test]
    fn chinese_is_cut() {
        has("南京市长江大桥AX-200型号", &["南京市", "长江大桥", "大桥", "江大", "桥", "ax200", "型号"]);
        has("カタカナ", &["カタ", "タカ", "カナ"]);
    }

    #[test]
    fn chinese_words_have_their_class() {
        let words = chinese_words("北京办公室的核心工作时间是什么？");
        assert!(words.contains(&ChineseWord { text: "北京".into(), class: WordClass::Name }), "{words:?}");
        assert!(
            words.contains(&ChineseWord { text: "办公室".into(), class: WordClass::Content }),
            "{words:?}"
        );
        assert!(chinese_words("How many days?").is_empty());
    }

    #[test]
    fn queries_lose_function_words() {
        assert_eq!(query_terms("What is the notice period?"), ["notic", "period"]);
        assert_eq!(query_terms("Who leads IT?"), ["lead", "it"]);
        assert_eq!(query_terms("to be or not to be"), ["to", "be", "or", "not", "to", "be"]);
        assert_eq!(query_terms("WHAT IS IT"), ["what", "is", "it"]);
    }

    proptest! {
        #[test]
        fn any_text_gives_short_terms(text in "\\PC{0,200}") {
            for term in terms(&text) {
                prop_assert!(!term.is_empty() && term.len() <= MAX_TERM);
            }
        }
    }
}
