//! The language of a page, and its words: the same files that the browser loads.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use axum::http::{HeaderMap, header};

use super::assets::ASSETS;
use super::headers::cookie;

/// Cookie that keeps a person's choice.
const COOKIE: &str = "lore_lang";

/// A language that the pages speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// English.
    En,
    /// Simplified Chinese.
    Zh,
}

impl Language {
    /// The language that a person chose, else the one that the browser asks for, else English.
    pub fn of(headers: &HeaderMap) -> Self {
        let chosen = cookie(headers, COOKIE).and_then(Self::named);
        chosen.unwrap_or_else(|| Self::asked_for(headers).unwrap_or(Self::En))
    }

    /// Its name in cookies and paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            "en" => Some(Self::En),
            "zh" => Some(Self::Zh),
            _ => None,
        }
    }

    fn asked_for(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
        let mut best: Option<(f32, Self)> = None;
        for range in value.split(',') {
            let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
            let primary = tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase();
            let weight = parameters.trim().strip_prefix("q=").and_then(|q| q.parse().ok()).unwrap_or(1.0);
            // The first of equals is what the person put first.
            if let Some(language) = Self::named(&primary)
                && weight > best.map_or(0.0, |(weight, _)| weight)
            {
                best = Some((weight, language));
            }
        }
        best.map(|(_, language)| language)
    }

    /// The words of a key, `{name}` filled in; a key without words is shown as it is.
    pub fn words<'a>(self, key: &'a str, vars: &[(String, String)]) -> std::borrow::Cow<'a, str> {
        let Some(words) = WORDS.get(&self).and_then(|words| words.get(key)) else { return key.into() };
        let mut words = words.as_str().to_owned();
        for (name, value) in vars {
            words = words.replace(&format!("{{{name}}}"), value);
        }
        words.into()
    }
}

static WORDS: LazyLock<HashMap<Language, BTreeMap<String, String>>> = LazyLock::new(|| {
    let mut all: HashMap<Language, BTreeMap<String, String>> = HashMap::new();
    for asset in ASSETS {
        let Some((language, _)) = asset.path.strip_prefix("i18n/").and_then(|path| path.split_once('/'))
        else {
            continue;
        };
        let Some(language) = Language::named(language) else { continue };
        match table(asset.plain) {
            Ok(words) => all.entry(language).or_default().extend(words),
            Err(error) => tracing::error!(%error, path = asset.path, "the words are not strict JSON"),
        }
    }
    all
});

/// The table of a file of words: what stands between `export default` and the semicolon is JSON.
fn table(file: &[u8]) -> Result<BTreeMap<String, String>, serde_json::Error> {
    let start = file.iter().position(|byte| *byte == b'{').unwrap_or(0);
    let end = file.iter().rposition(|byte| *byte == b'}').map_or(file.len(), |at| at + 1);
    serde_json::from_slice(file.get(start..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn with(cookie: &str, accept: &str) -> Language {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, cookie.parse().unwrap());
        headers.insert(header::ACCEPT_LANGUAGE, accept.parse().unwrap());
        Language::of(&headers)
    }

    #[test]
    fn a_choice_counts_more_than_the_browser() {
        assert_eq!(with("", "zh-CN,zh;q=0.9,en;q=0.8"), Language::Zh);
        assert_eq!(with("lore_lang=en", "zh-CN,zh;q=0.9"), Language::En);
        assert_eq!(with("lore_lang=xx", "zh"), Language::Zh);
        assert_eq!(with("", "de, en;q=0.3, zh-TW;q=0.5"), Language::Zh);
        assert_eq!(with("", "en-GB,zh"), Language::En);
        assert_eq!(with("", "zh;q=0"), Language::En);
        assert_eq!(with("", "fr"), Language::En);
    }

    #[test]
    fn both_languages_have_the_same_words_in_every_file() {
        let files = |language: &str| {
            let prefix = format!("i18n/{language}/");
            let of = ASSETS.iter().filter_map(|asset| Some((asset.path.strip_prefix(&prefix)?, asset.plain)));
            of.collect::<BTreeMap<_, _>>()
        };
        let (english, chinese) = (files("en"), files("zh"));
        assert_eq!(english.keys().collect::<Vec<_>>(), chinese.keys().collect::<Vec<_>>());
        let places = |words: &str| {
            let mut places: Vec<String> = words
                .split('{')
                .skip(1)
                .filter_map(|rest| Some(rest.split_once('}')?.0.to_owned()))
                .collect();
            places.sort();
            places.dedup();
            places
        };
        let mut seen = BTreeMap::new();
        for (file, english) in english {
            let english = table(english).unwrap_or_else(|error| panic!("en/{file}: {error}"));
            let chinese = table(chinese[file]).unwrap_or_else(|error| panic!("zh/{file}: {error}"));
            for (key, words) in &english {
                assert_eq!(seen.insert(key.clone(), file), None, "{key} stands in two files");
                // Chinese has one form for all numbers.
                if key.ends_with(".one") {
                    continue;
                }
                let other = chinese.get(key).unwrap_or_else(|| panic!("zh/{file} has no {key}"));
                assert_eq!(places(words), places(other), "{key}");
            }
            for key in chinese.keys() {
                assert!(english.contains_key(key), "en/{file} has no {key}");
            }
        }
    }

    #[test]
    fn missing_words_show_as_their_key() {
        assert_eq!(Language::En.words("no.such", &[]), "no.such");
        let theme = Language::Zh.words("core.theme", &[("name".into(), "浅色".into())]);
        assert_eq!(theme, "主题：浅色");
    }
}
