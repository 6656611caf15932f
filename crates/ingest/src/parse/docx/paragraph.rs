//! The text of a Word paragraph: insertions stay, deletions go, fields show their results.

use super::super::xml::Element;

/// A paragraph's words and what decides its role.
#[derive(Clone, Debug, Default)]
pub(super) struct Paragraph {
    pub text: String,
    /// Style identifier.
    pub style: Option<String>,
    /// Heading level from 1 that the paragraph itself sets.
    pub outline: Option<usize>,
    /// Numbering identifier and level.
    pub numbering: Option<(String, usize)>,
    /// Contents of text boxes that are anchored here.
    pub boxes: Vec<Element>,
    /// Relationships of diagrams that are anchored here.
    pub diagrams: Vec<String>,
}

impl Paragraph {
    pub(super) fn new(element: &Element) -> Self {
        let mut paragraph = Paragraph::default();
        if let Some(properties) = element.child("pPr") {
            paragraph.style = properties.value_of("pStyle").map(str::to_owned);
            paragraph.outline = outline_level(properties);
            paragraph.numbering = numbering(properties);
        }
        paragraph.runs(element);
        paragraph
    }

    /// Collects the text below `element`.
    fn runs(&mut self, element: &Element) {
        for child in element.children() {
            match child.name.as_str() {
                "t" => self.text.push_str(&child.text()),
                "tab" | "br" | "cr" | "ptab" => self.text.push(' '),
                "noBreakHyphen" => self.text.push('-'),
                "sym" => self.text.extend(symbol(child)),
                "r" => {
                    if !child.child("rPr").is_some_and(|p| p.switch("vanish")) {
                        self.runs(child);
                    }
                }
                "oMath" | "oMathPara" => {
                    let math: String = child.all("t").iter().map(|t| t.text()).collect();
                    self.text.push_str(&math);
                }
                // What was deleted, moved away, or is not text.
                "del" | "moveFrom" | "pPr" | "rPr" | "instrText" | "delText" | "fldChar" | "sdtPr" => {}
                "ruby" => {
                    if let Some(base) = child.child("rubyBase") {
                        self.runs(base);
                    }
                }
                "AlternateContent" => {
                    if let Some(choice) = child.child("Choice").or(child.child("Fallback")) {
                        self.runs(choice);
                    }
                }
                "relIds" => self.diagrams.extend(child.attribute("dm").map(str::to_owned)),
                "txbxContent" => self.boxes.push(child.clone()),
                _ => self.runs(child),
            }
        }
    }
}

/// Heading level from 1 of `outlineLvl`; 9 stands for body text.
pub(super) fn outline_level(properties: &Element) -> Option<usize> {
    let level: usize = properties.value_of("outlineLvl")?.parse().ok()?;
    (level < 9).then_some(level + 1)
}

/// `numPr`: the numbering's identifier and the level in it.
pub(super) fn numbering(properties: &Element) -> Option<(String, usize)> {
    let number = properties.child("numPr")?;
    let id = number.value_of("numId")?.to_owned();
    let level = number.value_of("ilvl").and_then(|v| v.parse().ok()).unwrap_or(0);
    Some((id, level))
}

/// A symbol outside of the fonts' private codes.
fn symbol(element: &Element) -> Option<char> {
    let code = u32::from_str_radix(element.attribute("char")?, 16).ok()?;
    char::from_u32(code).filter(|c| !('\u{E000}'..='\u{F8FF}').contains(c) && !c.is_control())
}
