//! Word's numbered and bulleted lists: counters, and the label that each paragraph shows.

use std::collections::HashMap;

use super::super::xml::Element;

/// Word knows nine levels.
const LEVELS: usize = 9;

/// A paragraph's label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    /// `-` for bullets, else as shown: `1.`, `2.3`, `(a)`.
    pub marker: String,
    pub bullet: bool,
    /// Level from 0.
    pub depth: usize,
}

#[derive(Clone, Debug)]
struct Level {
    format: String,
    start: u32,
    /// Such as `%1.%2`.
    text: String,
}

/// The lists of a document and where their counters stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbering {
    /// Levels of each abstract numbering.
    definitions: HashMap<String, Vec<Option<Level>>>,
    /// Abstract numbering of each instance, and the levels where it starts anew.
    instances: HashMap<String, (String, HashMap<usize, u32>)>,
    /// Per abstract numbering and level.
    counters: HashMap<String, [Option<u32>; LEVELS]>,
    /// Instances whose own starts have been applied.
    begun: Vec<(String, usize)>,
}

impl Numbering {
    pub(super) fn new(root: Option<&Element>) -> Self {
        let mut this = Self::default();
        for element in root.into_iter().flat_map(Element::children) {
            match element.name.as_str() {
                "abstractNum" => {
                    let Some(id) = element.attribute("abstractNumId") else { continue };
                    let mut levels: Vec<Option<Level>> = vec![None; LEVELS];
                    for level in element.children().filter(|e| e.name == "lvl") {
                        let Some(at) = level.attribute("ilvl").and_then(|v| v.parse::<usize>().ok()) else {
                            continue;
                        };
                        if let Some(slot) = levels.get_mut(at) {
                            *slot = Some(Level {
                                format: level.value_of("numFmt").unwrap_or("decimal").to_owned(),
                                start: level.value_of("start").and_then(|v| v.parse().ok()).unwrap_or(1),
                                text: level.value_of("lvlText").unwrap_or("").to_owned(),
                            });
                        }
                    }
                    this.definitions.insert(id.to_owned(), levels);
                }
                "num" => {
                    let (Some(id), Some(target)) =
                        (element.attribute("numId"), element.value_of("abstractNumId"))
                    else {
                        continue;
                    };
                    let starts = element
                        .children()
                        .filter(|e| e.name == "lvlOverride")
                        .filter_map(|e| {
                            let start = e.value_of("startOverride")?.parse().ok()?;
                            Some((e.attribute("ilvl")?.parse().ok()?, start))
                        })
                        .collect();
                    this.instances.insert(id.to_owned(), (target.to_owned(), starts));
                }
                _ => {}
            }
        }
        this
    }

    /// The label of the next paragraph of a numbering's level; `None` for a numbering that is off.
    pub(super) fn next(&mut self, (id, level): &(String, usize)) -> Option<Label> {
        if id == "0" {
            return None;
        }
        let level = (*level).min(LEVELS - 1);
        let bullet = Label { marker: "-".into(), bullet: true, depth: level };
        let Some((target, starts)) = self.instances.get(id) else { return Some(bullet) };
        let Some(levels) = self.definitions.get(target) else { return Some(bullet) };
        let Some(definition) = levels.get(level).and_then(Option::as_ref) else { return Some(bullet) };
        let counters = self.counters.entry(target.clone()).or_default();
        if let Some(start) = starts.get(&level)
            && !self.begun.contains(&(id.clone(), level))
        {
            self.begun.push((id.clone(), level));
            counters[level] = start.checked_sub(1);
            if *start == 0 {
                counters[level] = None;
            }
        }
        counters[level] = Some(counters[level].map_or(definition.start, |n| n.saturating_add(1)));
        counters[level + 1..].fill(None);
        if definition.format == "bullet" || definition.format == "none" || !definition.text.contains('%') {
            return Some(bullet);
        }
        let mut marker = definition.text.clone();
        for (at, shown) in levels.iter().enumerate().take(level + 1) {
            let Some(shown) = shown else { continue };
            let number = counters[at].unwrap_or(shown.start);
            marker = marker.replace(&format!("%{}", at + 1), &number_text(number, &shown.format));
        }
        Some(Label { marker: marker.trim().to_owned(), bullet: false, depth: level })
    }
}

fn number_text(number: u32, format: &str) -> String {
    match format {
        "lowerLetter" => letters(number, b'a'),
        "upperLetter" => letters(number, b'A'),
        "lowerRoman" => roman(number).to_lowercase(),
        "upperRoman" => roman(number),
        "decimalZero" => format!("{number:02}"),
        "chineseCounting"
        | "chineseCountingThousand"
        | "ideographDigital"
        | "japaneseCounting"
        | "taiwaneseCounting"
        | "chineseLegalSimplified"
            if number < 100 =>
        {
            chinese(number)
        }
        _ => number.to_string(),
    }
}

/// a to z, then aa, bb.
fn letters(number: u32, first: u8) -> String {
    let index = number.saturating_sub(1);
    let letter = char::from(first + (index % 26) as u8);
    letter.to_string().repeat((index / 26 + 1).min(8) as usize)
}

fn roman(number: u32) -> String {
    const PARTS: [(u32, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let mut left = number.min(3999);
    let mut out = String::new();
    for (value, digits) in PARTS {
        while left >= value {
            out.push_str(digits);
            left -= value;
        }
    }
    out
}

fn chinese(number: u32) -> String {
    const DIGITS: [&str; 10] = ["〇", "一", "二", "三", "四", "五", "六", "七", "八", "九"];
    let (tens, ones) = (number as usize / 10, number as usize % 10);
    let head = match tens {
        0 => String::new(),
        1 => "十".to_owned(),
        t => format!("{}十", DIGITS[t % 10]),
    };
    if ones > 0 || tens == 0 { format!("{head}{}", DIGITS[ones]) } else { head }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number_text(28, "lowerLetter"), "bb");
        assert_eq!(number_text(14, "lowerRoman"), "xiv");
        assert_eq!(number_text(21, "chineseCounting"), "二十一");
        assert_eq!(number_text(10, "chineseCounting"), "十");
        assert_eq!(number_text(7, "decimal"), "7");
    }
}
