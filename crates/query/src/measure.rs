//! Numbers with their units: "3 days" is not "3 months".

use std::collections::{BTreeMap, BTreeSet};

use crate::claim::{numbers, word_number};
use crate::text::is_cjk;

/// What is measured, and the words for it; English ones without a plural's s.
const UNITS: [(&str, &[&str]); 12] = [
    ("day", &["day", "天", "日", "tag"]),
    ("week", &["week", "周", "星期", "woche"]),
    ("month", &["month", "月", "monat"]),
    ("year", &["year", "年", "jahr"]),
    ("hour", &["hour", "h", "小时", "stunde"]),
    ("minute", &["minute", "min", "分钟"]),
    ("second", &["second", "秒", "sekunde"]),
    ("percent", &["percent", "%", "％"]),
    ("metre", &["metre", "meter", "m", "米"]),
    ("millimetre", &["millimetre", "millimeter", "mm", "毫米"]),
    ("gram", &["gram", "g", "克"]),
    ("kilogram", &["kilogram", "kg", "公斤", "千克"]),
];

/// Words between a number and its unit.
const BETWEEN: [&str; 7] = ["working", "business", "calendar", "full", "consecutive", "more", "further"];

/// The numbers of `text`, each with the units that it has there; the empty unit where it has none that is known.
pub fn measures(text: &str) -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut out: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    for number in numbers(text) {
        out.entry(number).or_default();
    }
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        let start = at;
        while chars.get(at).is_some_and(|c| c.is_ascii_digit() || matches!(c, '.' | ',')) {
            at += 1;
        }
        if at == start {
            at += 1;
            continue;
        }
        let digits: String = chars[start..at].iter().collect();
        let rest: String = chars[at..].iter().take(40).collect();
        let unit = unit(&rest).unwrap_or("");
        for number in numbers(&digits) {
            out.entry(number).or_default().insert(unit);
        }
    }
    let mut rest = text;
    while let Some(start) = rest.find(char::is_alphabetic) {
        rest = &rest[start..];
        let end = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if let Some(number) = word_number(word) {
            out.entry(number).or_default().insert(unit(after).unwrap_or(""));
        }
        rest = after;
    }
    out
}

/// The unit at the head of `rest`.
fn unit(rest: &str) -> Option<&'static str> {
    let mut rest = rest.trim_start_matches([' ', '-', '\u{a0}']);
    for word in BETWEEN {
        rest = rest.strip_prefix(word).map_or(rest, str::trim_start);
    }
    let rest = rest.trim_start_matches('个').trim_start_matches("工作");
    let word: String = match rest.chars().next()? {
        c if is_cjk(c) || matches!(c, '%' | '％') => {
            let known = |name: &&&str| rest.starts_with(**name);
            let names = UNITS.iter().flat_map(|(_, names)| names.iter());
            (*names.filter(known).max_by_key(|name| name.len())?).to_owned()
        }
        _ => rest
            .chars()
            .take_while(|c| c.is_alphabetic() && !is_cjk(*c))
            .flat_map(char::to_lowercase)
            .collect(),
    };
    let single = word.strip_suffix('s').unwrap_or(&word);
    UNITS
        .iter()
        .find(|(_, names)| names.contains(&word.as_str()) || names.contains(&single))
        .map(|(unit, _)| *unit)
}

/// Whether `number` with these units tells an amount: what has a unit, and what is neither small, as in "three steps", nor a
/// year.
pub fn is_figure(number: &str, units: Option<&BTreeSet<&'static str>>) -> bool {
    let measured = units.is_some_and(|units| units.iter().any(|unit| !unit.is_empty()));
    let value: f64 = number.parse().unwrap_or(0.0);
    measured || number.contains('.') || (value >= 10.0 && !(1990.0..2100.0).contains(&value))
}

/// Whether a source whose measures are `source` has `number`, in one of `units` where both have known ones.
pub fn has(
    source: &BTreeMap<String, BTreeSet<&'static str>>,
    number: &str,
    units: Option<&BTreeSet<&'static str>>,
) -> bool {
    let Some(found) = source.get(number) else { return false };
    let unknown = |units: &BTreeSet<&str>| units.is_empty() || units.contains("");
    units.is_none_or(|units| unknown(units) || unknown(found) || !units.is_disjoint(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agree(statement: &str, source: &str) -> bool {
        let (said, found) = (measures(statement), measures(source));
        said.iter().all(|(number, units)| has(&found, number, Some(units)))
    }

    #[test]
    fn a_number_of_days_is_no_number_of_months() {
        assert!(agree("30 days of vacation", "a 30-day vacation"));
        assert!(agree("试用期为 3 个月", "试用期3个月"));
        assert!(agree("10 working days", "10 days, 3 months"));
        assert!(agree("30 days", "thirty days") && agree("30", "30 days") && agree("30 days", "| 30 |"));
        assert!(!agree("30 days", "30 months") && !agree("3 天", "3 个月") && !agree("5 %", "5 years"));
        assert!(!agree("40 days", "30 days") && !agree("seven weeks", "seven days"));
    }
}
