//! Presentations: a slide is a page; its title is a heading, its notes a paragraph.

use lore_core::{Format, Limits, Parsed};

use super::ParseError;
use super::archive::Archive;
use super::builder::{Builder, Item};
use super::clean;
use super::xml::{self, Element};

/// Most columns that one cell may span.
const MOST_SPAN: usize = 100;

/// Parses a presentation.
pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Parsed, ParseError> {
    let mut archive = Archive::open(bytes, Format::Pptx, limits)?;
    let main = xml::main_part(&mut archive, Format::Pptx, "ppt/presentation.xml")?;
    let relations = xml::relationships(&mut archive, Format::Pptx, &main)?;
    let root = xml::tree(&mut archive, Format::Pptx, &main)?
        .ok_or_else(|| ParseError::corrupt(Format::Pptx, format!("its part {main} is missing")))?;
    let mut builder = Builder::new(limits);
    let mut first_title = None;
    for slide in root.child("sldIdLst").into_iter().flat_map(Element::children) {
        // `r:id` and the slide's own `id` have the same local name; the relationship's is the known one.
        let ids = slide.attributes.iter().filter(|(name, _)| name == "id").map(|(_, id)| id);
        let Some((_, target)) = ids.filter_map(|id| relations.get(id)).next() else { continue };
        builder.page();
        if builder.stopped() {
            break;
        }
        let title = self::slide(&mut archive, target, &mut builder)?;
        first_title = first_title.or(title);
    }
    let title = xml::core_title(&mut archive, Format::Pptx).or(first_title);
    builder.finish(title)
}

/// Writes one slide; gives its title.
fn slide(
    archive: &mut Archive<'_>,
    target: &str,
    builder: &mut Builder,
) -> Result<Option<String>, ParseError> {
    let Some(root) = xml::tree(archive, Format::Pptx, target)? else { return Ok(None) };
    let relations = xml::relationships(archive, Format::Pptx, target)?;
    let mut shapes = Vec::new();
    if let Some(tree) = root.at(&["cSld", "spTree"]) {
        flatten(tree, &mut shapes);
    }
    let title = shapes.iter().find(|s| matches!(placeholder(s), Some("title" | "ctrTitle"))).copied();
    let title_text = title.map(|t| clean::inline(&shape_text(t))).filter(|t| !t.is_empty());
    if let Some(text) = &title_text {
        builder.heading(2, text);
    }
    for shape in shapes {
        if title.is_some_and(|t| std::ptr::eq(t, shape)) && title_text.is_some() {
            continue;
        }
        write_shape(archive, &relations, shape, builder)?;
    }
    if let Some((_, notes)) = relations.values().find(|(kind, _)| kind == "notesSlide")
        && let Some(root) = xml::tree(archive, Format::Pptx, notes)?
    {
        let mut shapes = Vec::new();
        if let Some(tree) = root.at(&["cSld", "spTree"]) {
            flatten(tree, &mut shapes);
        }
        let body = shapes.into_iter().filter(|s| placeholder(s) == Some("body"));
        let text = clean::inline(&body.map(shape_text).collect::<Vec<_>>().join(" "));
        if !text.is_empty() {
            builder.paragraph(&format!("Notes: {text}"));
        }
    }
    Ok(title_text)
}

/// Shapes in document order, those within groups too.
fn flatten<'a>(tree: &'a Element, shapes: &mut Vec<&'a Element>) {
    let mut open: Vec<&Element> = vec![tree];
    while let Some(element) = open.pop() {
        match element.name.as_str() {
            "sp" | "graphicFrame" | "cxnSp" => shapes.push(element),
            "spTree" | "grpSp" | "AlternateContent" | "Choice" => {
                let children: Vec<&Element> = element.children().collect();
                open.extend(children.into_iter().rev());
            }
            _ => {}
        }
    }
}

/// The kind of placeholder that a shape is: `title`, `body`, `ftr`; `obj` where it does not say.
fn placeholder(shape: &Element) -> Option<&str> {
    let mark = shape.at(&["nvSpPr", "nvPr"]).or(shape.at(&["nvGraphicFramePr", "nvPr"]))?.child("ph")?;
    Some(mark.attribute("type").unwrap_or("obj"))
}

fn write_shape(
    archive: &mut Archive<'_>,
    relations: &std::collections::HashMap<String, (String, String)>,
    shape: &Element,
    builder: &mut Builder,
) -> Result<(), ParseError> {
    let kind = placeholder(shape);
    if matches!(kind, Some("dt" | "ftr" | "sldNum" | "hdr" | "sldImg")) {
        return Ok(());
    }
    if let Some(data) = shape.at(&["graphic", "graphicData"]) {
        if let Some(table) = data.child("tbl") {
            let rows = table_rows(table, builder);
            builder.table(&rows);
        }
        if let Some(id) = data.child("chart").and_then(|c| c.attribute("id"))
            && let Some((_, target)) = relations.get(id)
            && let Some(chart) = xml::tree(archive, Format::Pptx, target)?
        {
            write_chart(&chart, builder);
        }
        if let Some(id) = data.child("relIds").and_then(|d| d.attribute("dm"))
            && let Some((_, target)) = relations.get(id)
            && let Some(diagram) = xml::tree(archive, Format::Pptx, target)?
        {
            builder.list(&xml::diagram(&diagram));
        }
        return Ok(());
    }
    let Some(body) = shape.child("txBody") else { return Ok(()) };
    let paragraphs: Vec<(&Element, String)> = body
        .children()
        .filter(|e| e.name == "p")
        .map(|p| (p, clean::inline(&paragraph_text(p))))
        .filter(|(_, text)| !text.is_empty())
        .collect();
    // The body of a slide is a list by its master; text boxes say so themselves.
    let bulleted_by_master = matches!(kind, Some("body" | "obj")) && paragraphs.len() > 1;
    let mut items: Vec<Item> = Vec::new();
    let mut counters: Vec<usize> = Vec::new();
    for (paragraph, text) in paragraphs {
        let properties = paragraph.child("pPr");
        let depth =
            properties.and_then(|p| p.attribute("lvl")).and_then(|v| v.parse().ok()).unwrap_or(0usize).min(8);
        let has = |name: &str| properties.is_some_and(|p| p.child(name).is_some());
        let numbered = has("buAutoNum");
        let bulleted = has("buChar") || has("buBlip") || (bulleted_by_master && !has("buNone")) || depth > 0;
        if !(numbered || bulleted) {
            builder.list(&std::mem::take(&mut items));
            counters.clear();
            builder.paragraph(&text);
            continue;
        }
        counters.resize(depth + 1, 0);
        let marker = if numbered {
            counters[depth] += 1;
            format!("{}.", counters[depth])
        } else {
            "-".to_owned()
        };
        items.push(Item { depth, marker, text });
    }
    builder.list(&items);
    Ok(())
}

fn shape_text(shape: &Element) -> String {
    let paragraphs = shape.child("txBody").into_iter().flat_map(Element::children).filter(|e| e.name == "p");
    paragraphs.map(paragraph_text).collect::<Vec<_>>().join(" ")
}

fn paragraph_text(paragraph: &Element) -> String {
    let mut text = String::new();
    for child in paragraph.children() {
        match child.name.as_str() {
            "r" | "fld" => text.extend(child.child("t").map(Element::text)),
            "br" | "tab" => text.push(' '),
            "AlternateContent" | "m" => {
                let math: String = child.all("t").iter().map(|t| t.text()).collect();
                text.push_str(&math);
            }
            _ => {}
        }
    }
    text
}

/// Cells of a table; merged ones are repeated.
fn table_rows(table: &Element, builder: &mut Builder) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for row in table.children().filter(|e| e.name == "tr") {
        let mut cells: Vec<String> = Vec::new();
        for cell in row.children().filter(|e| e.name == "tc").take(10 * MOST_SPAN) {
            let merged = |name: &str| matches!(cell.attribute(name), Some("1" | "true"));
            let text = if merged("hMerge") {
                cells.last().cloned().unwrap_or_default()
            } else if merged("vMerge") {
                rows.last().and_then(|r| r.get(cells.len())).cloned().unwrap_or_default()
            } else {
                shape_text(cell)
            };
            if !builder.may_copy(&text) {
                return rows;
            }
            cells.push(text);
        }
        rows.push(cells);
    }
    rows
}

/// A chart's cached values as a table: categories down, series across.
fn write_chart(chart: &Element, builder: &mut Builder) {
    let title: String = chart
        .at(&["chart", "title"])
        .map(|t| t.all("t"))
        .unwrap_or_default()
        .iter()
        .map(|t| t.text())
        .collect();
    builder.paragraph(&title);
    let points = |element: Option<&Element>| -> Vec<(usize, String)> {
        let Some(element) = element else { return Vec::new() };
        let point = |p: &&Element| {
            let at = p.attribute("idx").and_then(|v| v.parse::<usize>().ok())?;
            (at < 10_000).then(|| p.child("v").map(|v| (at, v.text())))?
        };
        element.all("pt").iter().filter_map(point).collect()
    };
    let series = chart.all("ser");
    let mut header = vec![String::new()];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (column, one) in series.iter().enumerate().take(MOST_SPAN) {
        let name: Vec<String> = points(one.child("tx")).into_iter().map(|(_, v)| v).collect();
        header.push(name.join(" "));
        let categories = points(one.child("cat").or(one.child("xVal")));
        let values = points(one.child("val").or(one.child("yVal")));
        for (is_value, (at, text)) in
            categories.into_iter().map(|c| (false, c)).chain(values.into_iter().map(|v| (true, v)))
        {
            if rows.len() <= at {
                rows.resize(at + 1, Vec::new());
            }
            let cell = if is_value { column + 1 } else { 0 };
            if rows[at].len() <= cell {
                rows[at].resize(cell + 1, String::new());
            }
            rows[at][cell] = text;
        }
    }
    if !rows.is_empty() {
        rows.insert(0, header);
        builder.table(&rows);
    }
}
