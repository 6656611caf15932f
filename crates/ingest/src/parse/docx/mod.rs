//! Word documents: paragraphs, headings, lists, tables, text boxes, footnotes; the body is read piece by piece.

mod numbering;
mod paragraph;
mod styles;

use std::collections::HashMap;

use lore_core::{BlockKind, Format, Limits, Parsed};

use self::numbering::Numbering;
use self::paragraph::Paragraph;
use self::styles::Styles;
use super::ParseError;
use super::archive::Archive;
use super::builder::{Builder, Item};
use super::xml::{self, Element, Step, Stream};

/// Most columns that one cell may span.
const MOST_SPAN: usize = 100;

/// Most diagrams that are read.
const MOST_DIAGRAMS: usize = 200;

/// Parses a Word document.
pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Parsed, ParseError> {
    let mut archive = Archive::open(bytes, Format::Docx, limits)?;
    let main = xml::main_part(&mut archive, Format::Docx, "word/document.xml")?;
    let relations = xml::relationships(&mut archive, Format::Docx, &main)?;
    let mut related = |kind: &str| -> Result<Option<Element>, ParseError> {
        match relations.values().find(|(k, _)| k == kind) {
            Some((_, target)) => xml::tree(&mut archive, Format::Docx, target),
            None => Ok(None),
        }
    };
    let styles = Styles::new(related("styles")?.as_ref());
    let numbering = Numbering::new(related("numbering")?.as_ref());
    let footnotes = related("footnotes")?;
    let endnotes = related("endnotes")?;
    let diagrams = diagrams(&mut archive, &relations)?;
    let title = xml::core_title(&mut archive, Format::Docx);
    let part = archive
        .part(&main)?
        .ok_or_else(|| ParseError::corrupt(Format::Docx, format!("its part {main} is missing")))?;
    let mut writer = Writer {
        builder: Builder::new(limits),
        styles,
        numbering,
        diagrams,
        list: Vec::new(),
        code: Vec::new(),
        deeper: 0,
    };
    let mut stream = Stream::new(part, Format::Docx);
    let mut in_body = false;
    while let Some(step) = stream.next()? {
        let Step::Start(element) = step else { continue };
        if !in_body {
            in_body = element.name == "body";
            continue;
        }
        let element = stream.rest_of(element)?;
        writer.block(&element);
        if writer.builder.stopped() {
            break;
        }
    }
    writer.notes(footnotes.as_ref());
    writer.notes(endnotes.as_ref());
    writer.flush();
    // Those in cells of tables, whose place in the text is lost.
    let mut rest: Vec<(String, Vec<Item>)> = writer.diagrams.drain().collect();
    rest.sort_by(|a, b| a.0.cmp(&b.0));
    rest.iter().for_each(|(_, items)| writer.builder.list(items));
    let title = writer.builder.first_heading().or(title);
    writer.builder.finish(title)
}

/// The texts of the document's diagrams (SmartArt), by the identifiers of their relationships.
fn diagrams(
    archive: &mut Archive<'_>,
    relations: &HashMap<String, (String, String)>,
) -> Result<HashMap<String, Vec<Item>>, ParseError> {
    let data = relations.iter().filter(|(_, (kind, _))| kind == "diagramData").take(MOST_DIAGRAMS);
    let mut found = HashMap::new();
    for (id, (_, target)) in data {
        if let Some(root) = xml::tree(archive, Format::Docx, target)? {
            found.insert(id.clone(), xml::diagram(&root));
        }
    }
    Ok(found)
}

struct Writer {
    builder: Builder,
    styles: Styles,
    numbering: Numbering,
    /// Texts of diagrams by the identifier of their relationship.
    diagrams: HashMap<String, Vec<Item>>,
    list: Vec<Item>,
    code: Vec<String>,
    /// 1 below a paragraph in the style Title, whose sections go one level down.
    deeper: usize,
}

impl Writer {
    /// A child of the body.
    fn block(&mut self, element: &Element) {
        match element.name.as_str() {
            "p" => self.paragraph(element),
            "tbl" => self.table(element),
            // A table of contents repeats the headings.
            "sdt" | "sdtContent" | "customXml" | "ins" | "moveTo" | "smartTag" if !is_contents(element) => {
                element.children().for_each(|child| self.block(child));
            }
            "AlternateContent" => {
                if let Some(choice) = element.child("Choice").or(element.child("Fallback")) {
                    choice.children().for_each(|child| self.block(child));
                }
            }
            _ => {}
        }
    }

    fn paragraph(&mut self, element: &Element) {
        let paragraph = Paragraph::new(element);
        let style = self.styles.of(paragraph.style.as_deref());
        if !style.is_contents {
            self.place(&paragraph, &style);
        }
        for id in &paragraph.diagrams {
            let items = self.diagrams.remove(id).unwrap_or_default();
            self.flush();
            self.builder.list(&items);
        }
        for child in paragraph.boxes.iter().flat_map(|b| b.children()) {
            self.block(child);
        }
    }

    fn place(&mut self, paragraph: &Paragraph, style: &styles::Style) {
        let text = paragraph.text.as_str();
        let level = paragraph.outline.or(style.level);
        let number = paragraph.numbering.clone().or(style.numbering.clone());
        if text.trim().is_empty() {
            return;
        }
        if style.is_title {
            self.flush();
            self.builder.heading(1, text);
            self.deeper = 1;
        } else if let Some(level) = level {
            self.flush();
            let label = number.and_then(|n| self.numbering.next(&n)).filter(|l| !l.bullet).map(|l| l.marker);
            let line = label.map_or(text.to_owned(), |l| format!("{l} {text}"));
            self.builder.heading(level + self.deeper, &line);
        } else if let Some(label) = number.and_then(|n| self.numbering.next(&n)) {
            self.flush_code();
            let text = super::clean::inline(text);
            self.list.push(Item { depth: label.depth, marker: label.marker, text });
        } else if style.is_code {
            self.flush_list();
            self.code.push(paragraph.text.trim_end().to_owned());
        } else {
            self.flush();
            self.builder.paragraph(text);
        }
    }

    fn table(&mut self, element: &Element) {
        self.flush();
        // A table of one cell is a box around text.
        let rows = live_rows(element);
        if let [row] = rows.as_slice()
            && let [cell] = unwrapped(row, "tc").as_slice()
        {
            cell.children().for_each(|child| self.block(child));
            self.flush();
            return;
        }
        let rows = self.rows(&rows);
        self.builder.table(&rows);
    }

    /// The cells of a table; what spans columns or rows is repeated.
    fn rows(&mut self, table: &[&Element]) -> Vec<Vec<String>> {
        let mut rows: Vec<Vec<String>> = Vec::new();
        for row in table {
            let mut cells: Vec<String> = Vec::new();
            let before =
                row.child("trPr").and_then(|p| p.value_of("gridBefore")).and_then(|v| v.parse().ok());
            cells.resize(before.unwrap_or(0usize).min(MOST_SPAN), String::new());
            for cell in unwrapped(row, "tc") {
                let properties = cell.child("tcPr");
                let span =
                    properties.and_then(|p| p.value_of("gridSpan")).and_then(|v| v.parse().ok()).unwrap_or(1);
                let continued = properties
                    .and_then(|p| p.child("vMerge"))
                    .is_some_and(|merge| merge.attribute("val").is_none_or(|v| v == "continue"));
                let own = cell_text(cell);
                for _ in 0..usize::clamp(span, 1, MOST_SPAN) {
                    let above = rows.last().and_then(|r| r.get(cells.len()));
                    let text = above.filter(|_| continued).unwrap_or(&own);
                    if !self.builder.may_copy(text) {
                        return rows;
                    }
                    cells.push(text.clone());
                }
            }
            rows.push(cells);
        }
        rows
    }

    fn notes(&mut self, notes: Option<&Element>) {
        let Some(notes) = notes else { return };
        self.flush();
        for note in notes.children().filter(|n| n.attribute("type").is_none_or(|t| t == "normal")) {
            note.children().for_each(|child| self.block(child));
        }
        self.flush();
    }

    fn flush(&mut self) {
        self.flush_list();
        self.flush_code();
    }

    fn flush_list(&mut self) {
        if !self.list.is_empty() {
            let items = std::mem::take(&mut self.list);
            self.builder.list(&items);
        }
    }

    fn flush_code(&mut self) {
        if !self.code.is_empty() {
            let lines = std::mem::take(&mut self.code).join("\n");
            self.builder
                .block(BlockKind::Code, &super::builder::render_code("", &super::clean::normalise(&lines)));
        }
    }
}

/// The rows of a table but those whose deletion is tracked.
fn live_rows(table: &Element) -> Vec<&Element> {
    let deleted = |row: &Element| row.child("trPr").is_some_and(|p| p.child("del").is_some());
    unwrapped(table, "tr").into_iter().filter(|row| !deleted(row)).collect()
}

/// Children called `name`, also those within content controls and tracked insertions.
fn unwrapped<'a>(parent: &'a Element, name: &str) -> Vec<&'a Element> {
    let mut found = Vec::new();
    let mut open: Vec<&Element> = parent.children().collect();
    open.reverse();
    while let Some(element) = open.pop() {
        if element.name == name {
            found.push(element);
        } else if matches!(element.name.as_str(), "sdt" | "sdtContent" | "customXml" | "ins") {
            let children: Vec<&Element> = element.children().collect();
            open.extend(children.into_iter().rev());
        }
    }
    found
}

/// The text of all paragraphs of a cell, nested tables too.
fn cell_text(cell: &Element) -> String {
    let mut text = String::new();
    let mut open: Vec<&Element> = cell.children().collect();
    open.reverse();
    while let Some(element) = open.pop() {
        if element.name == "p" {
            let paragraph = Paragraph::new(element);
            let boxes = paragraph.boxes.iter().map(cell_text);
            for part in [paragraph.text].into_iter().chain(boxes).filter(|t| !t.trim().is_empty()) {
                if !text.is_empty() {
                    text.push(' ');
                }
                text.push_str(part.trim());
            }
        } else if !matches!(element.name.as_str(), "del" | "moveFrom" | "tcPr" | "tblPr" | "sdtPr") {
            let children: Vec<&Element> = element.children().collect();
            open.extend(children.into_iter().rev());
        }
    }
    super::clean::inline(&text)
}

/// Whether a content control holds a table of contents.
fn is_contents(element: &Element) -> bool {
    let gallery = element.at(&["sdtPr", "docPartObj"]).and_then(|o| o.value_of("docPartGallery"));
    gallery.is_some_and(|g| g.eq_ignore_ascii_case("table of contents"))
}
