//! PDF: glyphs with their places become lines, lines become columns, tables, headings and paragraphs.
//!
//! The rooms, in the order of the work: [`load`] opens the file within limits, which [`xrefs`] and [`streams`] keep; [`fonts`] asks `pdf-extract` once per font
//! how its codes read; [`lexer`] and [`content`] run a page's operators and give placed glyphs and ruled lines; [`lines`] makes rows of
//! them; [`furniture`] takes away what recurs on the pages' edges; [`columns`] finds the reading order; [`grid`] finds
//! tables; [`forms`] reads what was filled in; [`flow`] writes headings, lists and paragraphs.

mod columns;
mod content;
mod contents;
mod flow;
mod fonts;
mod forms;
mod furniture;
mod grid;
mod lexer;
mod lines;
mod load;
mod matrix;
mod streams;
mod xrefs;

use lopdf::Document;
use lore_core::{Format, Limits, Parsed};

use super::builder::{Builder, Item};
use super::{ParseError, clean, guard, reflow};

/// A page's rows, until the whole document is known.
#[derive(Debug, Default)]
struct Page {
    rows: Vec<lines::Row>,
    rules: Vec<content::Rule>,
    height: f32,
    /// Text of a page that could only be read without places.
    plain: Option<String>,
    /// What was filled into the form on it.
    fields: Vec<Item>,
}

/// Parses a PDF.
pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Parsed, ParseError> {
    let mut document = load::load(bytes, limits)?;
    let ids: Vec<lopdf::ObjectId> = document.get_pages().into_values().collect();
    if ids.is_empty() {
        return Err(ParseError::corrupt(Format::Pdf, "it has no pages"));
    }
    if ids.len() > limits.document_pages as usize {
        return Err(ParseError::too_large(
            "the number of pages",
            u64::from(limits.document_pages),
            "split the file, or raise document_pages in the limits",
        ));
    }
    let title = load::title(&document);
    let mut fonts = fonts::Fonts::new(&mut document);
    let mut contents = contents::Contents::new(limits.archive_bytes);
    let mut pages: Vec<Page> = Vec::with_capacity(ids.len());
    let mut chars = 0usize;
    for (number, id) in ids.iter().enumerate() {
        if guard::overdue() {
            return Err(ParseError::TimedOut { seconds: 0 });
        }
        let mut page = read_page(&mut document, *id, number as u32 + 1, &mut fonts, &mut contents)?;
        page.fields = forms::fields(&document, *id, limits.text_chars - chars);
        chars += page.fields.iter().map(|f| f.text.len()).sum::<usize>();
        chars += page.rows.iter().map(lines::Row::len).sum::<usize>();
        chars += page.plain.as_ref().map_or(0, String::len);
        if chars > limits.text_chars {
            return Err(ParseError::too_large(
                "the length of the text in characters",
                limits.text_chars as u64,
                "split the file, or raise text_chars in the limits",
            ));
        }
        pages.push(page);
    }
    drop(document);
    let letters = |page: &Page| {
        let rows = page.rows.iter().flat_map(|r| &r.segments).flat_map(|s| s.text.chars());
        let rest = page.plain.iter().chain(page.fields.iter().map(|f| &f.text));
        rows.chain(rest.flat_map(|text| text.chars())).filter(|c| c.is_alphanumeric()).take(4).count()
    };
    if pages.iter().all(|page| letters(page) < 4) {
        return Err(ParseError::NoText { pages: pages.len() as u32 });
    }
    furniture::remove(&mut pages);
    let style = flow::Style::of(&pages);
    let mut builder = Builder::new(limits);
    let mut writer = flow::Writer::new(&mut builder, &style);
    for page in pages {
        writer.page(page);
        if writer.stopped() {
            break;
        }
    }
    let title = title.or_else(|| builder.first_heading());
    builder.finish(title)
}

/// One page; where its operators cannot be followed, its text without places.
fn read_page(
    document: &mut Document,
    id: lopdf::ObjectId,
    number: u32,
    fonts: &mut fonts::Fonts,
    contents: &mut contents::Contents,
) -> Result<Page, ParseError> {
    let placed = guard::caught(|| content::read(document, id, fonts, contents));
    // A panic leads to the other way; a spent budget ends the work.
    let placed = placed.ok().transpose()?.flatten();
    if let Some(found) = placed {
        let height = found.height;
        let rules = found.rules.clone();
        return Ok(Page { rows: lines::rows(found), rules, height, ..Page::default() });
    }
    let text = guard::caught(|| {
        let mut text = String::new();
        let done = {
            let mut output = pdf_extract::PlainTextOutput::new(&mut text);
            pdf_extract::output_doc_page(document, &mut output, number).is_ok()
        };
        done.then_some(text)
    });
    let text = text
        .ok()
        .flatten()
        .or_else(|| guard::caught(|| document.extract_text(&[number]).ok()).ok().flatten());
    Ok(Page { plain: text.map(|t| clean::normalise(&t)), ..Page::default() })
}

/// Puts text without places into `builder`.
fn write_plain(text: &str, builder: &mut Builder) {
    reflow::paragraphs(builder, text);
}
