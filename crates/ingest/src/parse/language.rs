//! The main language of a text.

use super::clean::is_han;

/// Letters that are looked at; more do not change the answer.
const SAMPLE: usize = 12_000;

/// Fewer letters than this say too little.
const FEWEST_LETTERS: usize = 24;

/// ISO 639-1 code of the main language of `text`; `None` where it is too short or not sure.
///
/// Chinese and Japanese go by their characters' share: technical Chinese is full of Latin names that would mislead a
/// trigram model.
pub(crate) fn detect(text: &str) -> Option<String> {
    let sample = sample(text);
    let (mut han, mut kana, mut hangul, mut other) = (0usize, 0usize, 0usize, 0usize);
    for c in sample.chars().filter(|c| c.is_alphabetic()) {
        match c {
            '\u{3041}'..='\u{30FF}' => kana += 1,
            '\u{AC00}'..='\u{D7AF}' => hangul += 1,
            c if is_han(c) => han += 1,
            _ => other += 1,
        }
    }
    // A Han character says about as much as three Latin letters.
    let cjk = 3 * (han + kana) + 2 * hangul;
    if cjk + other < FEWEST_LETTERS {
        return None;
    }
    if cjk >= other {
        let code = if 2 * hangul > 3 * (han + kana) {
            "ko"
        } else if kana * 8 > han + kana {
            "ja"
        } else {
            "zh"
        };
        return Some(code.to_owned());
    }
    let info = whatlang::detect(&sample)?;
    let prose =
        text.lines().filter(is_prose).map(|l| l.chars().filter(|c| c.is_alphabetic()).count()).sum::<usize>();
    // Tables of names read like any language; there more is asked.
    let sure = if prose > 80 {
        info.is_reliable() || (info.confidence() > 0.5 && other > 400)
    } else {
        info.is_reliable() && function_words(&sample, info.lang()) >= 3
    };
    if sure { two_letters(info.lang()).map(str::to_owned) } else { None }
}

/// Words of prose lines first: tables and code are poor in function words.
fn sample(text: &str) -> String {
    let mut out = String::new();
    let take = |out: &mut String, line: &str| {
        out.push_str(line.trim_matches(|c: char| "#-*> ".contains(c)));
        out.push('\n');
        out.len() < SAMPLE
    };
    for line in text.lines().filter(is_prose) {
        if !take(&mut out, line) {
            return out;
        }
    }
    for line in text.lines().filter(|l| !is_prose(l)) {
        if !take(&mut out, line) {
            break;
        }
    }
    out
}

/// A line that can hold a sentence.
fn is_prose(line: &&str) -> bool {
    let line = line.trim_start();
    !line.is_empty() && !line.starts_with(['|', '`', '#']) && line.chars().count() > 30
}

/// How many different function words of a language that companies often write come in `text`; 3 for other languages.
fn function_words(text: &str, lang: whatlang::Lang) -> usize {
    use whatlang::Lang;
    let words: &[&str] = match lang {
        Lang::Eng => &["the", "of", "and", "for", "per", "in", "with", "to", "from", "on", "by"],
        Lang::Deu => &["der", "die", "das", "und", "für", "von", "mit", "im", "zu", "auf", "pro"],
        Lang::Fra => &["le", "la", "les", "des", "et", "pour", "du", "avec", "dans", "sur", "une"],
        Lang::Spa => &["el", "la", "los", "de", "y", "para", "con", "por", "del", "en", "una"],
        Lang::Ita => &["il", "la", "di", "e", "per", "con", "del", "della", "in", "una", "gli"],
        _ => return 3,
    };
    let lower = text.to_lowercase();
    let mut found: Vec<&str> =
        lower.split(|c: char| !c.is_alphabetic()).filter(|w| words.contains(w)).collect();
    found.sort_unstable();
    found.dedup();
    found.len()
}

/// ISO 639-1 of the languages that whatlang tells apart.
fn two_letters(lang: whatlang::Lang) -> Option<&'static str> {
    use whatlang::Lang;
    Some(match lang {
        Lang::Eng => "en",
        Lang::Rus => "ru",
        Lang::Cmn => "zh",
        Lang::Spa => "es",
        Lang::Por => "pt",
        Lang::Ita => "it",
        Lang::Ben => "bn",
        Lang::Fra => "fr",
        Lang::Deu => "de",
        Lang::Ukr => "uk",
        Lang::Kat => "ka",
        Lang::Ara => "ar",
        Lang::Hin => "hi",
        Lang::Jpn => "ja",
        Lang::Heb => "he",
        Lang::Yid => "yi",
        Lang::Pol => "pl",
        Lang::Amh => "am",
        Lang::Jav => "jv",
        Lang::Kor => "ko",
        Lang::Nob => "nb",
        Lang::Dan => "da",
        Lang::Swe => "sv",
        Lang::Fin => "fi",
        Lang::Tur => "tr",
        Lang::Nld => "nl",
        Lang::Hun => "hu",
        Lang::Ces => "cs",
        Lang::Ell => "el",
        Lang::Bul => "bg",
        Lang::Bel => "be",
        Lang::Mar => "mr",
        Lang::Kan => "kn",
        Lang::Ron => "ro",
        Lang::Slv => "sl",
        Lang::Hrv => "hr",
        Lang::Srp => "sr",
        Lang::Mkd => "mk",
        Lang::Lit => "lt",
        Lang::Lav => "lv",
        Lang::Est => "et",
        Lang::Tam => "ta",
        Lang::Vie => "vi",
        Lang::Urd => "ur",
        Lang::Tha => "th",
        Lang::Guj => "gu",
        Lang::Uzb => "uz",
        Lang::Pan => "pa",
        Lang::Aze => "az",
        Lang::Ind => "id",
        Lang::Tel => "te",
        Lang::Pes => "fa",
        Lang::Mal => "ml",
        Lang::Ori => "or",
        Lang::Mya => "my",
        Lang::Nep => "ne",
        Lang::Sin => "si",
        Lang::Khm => "km",
        Lang::Tuk => "tk",
        Lang::Aka => "ak",
        Lang::Zul => "zu",
        Lang::Sna => "sn",
        Lang::Afr => "af",
        Lang::Lat => "la",
        Lang::Slk => "sk",
        Lang::Cat => "ca",
        Lang::Tgl => "tl",
        Lang::Hye => "hy",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::detect;

    #[test]
    fn languages() {
        let code = |t: &str| detect(t);
        assert_eq!(
            code("The employees of the company receive thirty days of leave in each year.").as_deref(),
            Some("en")
        );
        assert_eq!(code("员工每年享有三十天带薪年假，请提前在系统中申请。").as_deref(), Some("zh"));
        assert_eq!(
            code("请使用 GlobalProtect VPN 客户端连接 vpn.example.com 并输入密码").as_deref(),
            Some("zh")
        );
        assert_eq!(code("社員は毎年三十日の有給休暇を取得できます。").as_deref(), Some("ja"));
        assert_eq!(code("42"), None);
    }
}
