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

/// Chinese words and phrases that carry the form of a question rather than its matter, the longest first.
const CHINESE_FORM: [&str; 76] = [
    "什么时候",
    "请问",
    "多少",
    "什么",
    "怎么",
    "如何",
    "哪个",
    "哪些",
    "哪家",
    "哪里",
    "哪种",
    "哪位",
    "哪天",
    "我们",
    "可以",
    "需要",
    "多久",
    "多长",
    "多大",
    "多高",
    "为什么",
    "何时",
    "最多",
    "最少",
    "一个",
    "应该",
    "公司",
    "几",
    "吗",
    "呢",
    "了",
    "的",
    "是",
    "在",
    "和",
    "我",
    "有",
    "要",
    "能",
    "会",
    "吧",
    "这",
    "那",
    "个",
    "谁",
    "哪",
    "被",
    "把",
    "给",
    "得",
    "还",
    "就",
    "也",
    "都",
    "及",
    "与",
    "或",
    "应",
    "里",
    "上",
    "中",
    "对",
    "从",
    "到",
    "由",
    "用",
    "向",
    "让",
    "请",
    "您",
    "你",
    "它",
    "他",
    "她",
    "为",
    "各",
];

/// English words that carry the form of a question rather than its matter, as the index stems them.
const ENGLISH_FORM: [&str; 67] = [
    "a", "an", "and", "are", "as", "at", "be", "by", "can", "could", "did", "do", "doe", "does", "for",
    "from", "get", "had", "has", "have", "how", "i", "if", "in", "is", "it", "its", "long", "mani", "many",
    "may", "me", "much", "must", "my", "of", "on", "one", "or", "our", "shall", "should", "so", "that",
    "the", "their", "there", "they", "this", "to", "us", "was", "we", "were", "what", "when", "where",
    "which", "who", "whom", "whose", "whi", "will", "with", "would", "you", "your",
];

/// Whether a word (lower case; English ones stemmed or not) carries the form of a question rather than its matter.
pub fn is_function_word(word: &str) -> bool {
    ENGLISH_FORM.contains(&word) || CHINESE_FORM.contains(&word)
}

/// `question` with its Chinese function words replaced by spaces, so that no term spans them.
pub fn matter(question: &str) -> String {
    if !question.chars().any(is_cjk) {
        return question.to_owned();
    }
    // Places that are written with a function character lose nothing: "上海" is not "上" and "海".
    let mut out = question.to_owned();
    for kept in KEPT {
        if out.contains(kept.0) {
            out = out.replace(kept.0, kept.1);
        }
    }
    for form in CHINESE_FORM {
        if out.contains(form) {
            out = out.replace(form, " ");
        }
    }
    for kept in KEPT {
        out = out.replace(kept.1, kept.0);
    }
    out
}

/// Words with a function character in them that stay whole, and private-use characters that stand for them meanwhile.
const KEPT: [(&str, &str); 16] = [
    ("上海", "\u{e000}"),
    ("上报", "\u{e001}"),
    ("中国", "\u{e002}"),
    ("用户", "\u{e003}"),
    ("费用", "\u{e004}"),
    ("使用", "\u{e005}"),
    ("应用", "\u{e006}"),
    ("备用", "\u{e007}"),
    ("个人", "\u{e008}"),
    ("会议", "\u{e009}"),
    ("对象", "\u{e00a}"),
    ("上限", "\u{e00b}"),
    ("有效", "\u{e00c}"),
    ("目的", "\u{e00d}"),
    ("响应", "\u{e00e}"),
    ("供应", "\u{e00f}"),
];

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
    fn matter_leaves_out_the_form_of_a_question() {
        assert_eq!(
            matter("上海员工有多少天年假？").split_whitespace().collect::<String>(),
            "上海员工天年假？"
        );
        assert_eq!(matter("How many days?"), "How many days?");
        assert!(is_function_word("many") && is_function_word("多少") && !is_function_word("vacat"));
    }

    #[test]
    fn languages() {
        assert_eq!(language("上海员工有多少天年假？"), "zh");
        assert_eq!(language("AX-200 的保修期是多久"), "zh");
        assert_eq!(language("How many days?"), "en");
    }
}
