//! Paragraph styles: which are headings, titles, lists, code; whatever language their names are in.

use std::collections::HashMap;

use super::super::xml::Element;
use super::paragraph::{numbering, outline_level};

/// What a paragraph style says, its ancestors included.
#[derive(Clone, Debug, Default)]
pub(super) struct Style {
    /// Heading level from 1.
    pub level: Option<usize>,
    /// Numbering identifier and level.
    pub numbering: Option<(String, usize)>,
    pub is_title: bool,
    /// An entry of a table of contents.
    pub is_contents: bool,
    pub is_code: bool,
}

/// All paragraph styles, by identifier.
#[derive(Clone, Debug, Default)]
pub(super) struct Styles {
    raw: HashMap<String, Raw>,
}

#[derive(Clone, Debug, Default)]
struct Raw {
    name: String,
    parent: Option<String>,
    level: Option<usize>,
    numbering: Option<(String, usize)>,
}

impl Styles {
    pub(super) fn new(root: Option<&Element>) -> Self {
        let mut raw = HashMap::new();
        for style in root.into_iter().flat_map(Element::children).filter(|e| e.name == "style") {
            let Some(id) = style.attribute("styleId") else { continue };
            let properties = style.child("pPr");
            raw.insert(
                id.to_owned(),
                Raw {
                    name: style.value_of("name").unwrap_or(id).to_lowercase(),
                    parent: style.value_of("basedOn").map(str::to_owned),
                    level: properties.and_then(outline_level),
                    numbering: properties.and_then(|p| {
                        // A style's `numPr` may give the level alone.
                        numbering(p).filter(|(id, _)| id != "0")
                    }),
                },
            );
        }
        Self { raw }
    }

    /// The style called `id`, what it inherits included.
    pub(super) fn of(&self, id: Option<&str>) -> Style {
        let mut style = Style::default();
        let mut next = id.map(str::to_owned);
        // Names are looked at even where the style is not defined: templates often leave the definition out.
        for _ in 0..12 {
            let Some(id) = next.take() else { break };
            let undefined = Raw { name: id.to_lowercase(), ..Raw::default() };
            let raw = self.raw.get(&id).unwrap_or(&undefined);
            let name = raw.name.as_str();
            style.level = style.level.or(raw.level).or_else(|| heading_name(name));
            style.numbering = style.numbering.or(raw.numbering.clone());
            style.is_title |= matches!(name, "title" | "titel" | "titre" | "título" | "标题文档");
            style.is_contents |= name.starts_with("toc ") && name[4..].parse::<u8>().is_ok();
            style.is_code |= name.contains("code") && !name.contains("barcode")
                || name.contains("html preformatted")
                || name.contains("source text")
                || name == "preformatted text"
                || name == "plain text";
            next.clone_from(&raw.parent);
        }
        style
    }
}

/// `heading 2`, and what a missing definition leaves of it: `heading2`.
fn heading_name(name: &str) -> Option<usize> {
    let rest =
        name.strip_prefix("heading").or(name.strip_prefix("überschrift")).or(name.strip_prefix("标题"))?;
    let level: usize = rest.trim().parse().ok()?;
    (1..=9).contains(&level).then_some(level)
}
