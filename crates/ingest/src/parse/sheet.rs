//! Workbooks: a sheet is a page with a heading; blocks of rows between blank rows are tables.

use std::collections::BTreeMap;
use std::io::Cursor;

use calamine::{CellErrorType, DataRef, ExcelDateTime, Reader, SheetType, SheetVisible, Xlsx, XlsxError};
use lore_core::{Format, Limits, Parsed};

use super::archive::Archive;
use super::builder::Builder;
use super::{ParseError, clean, guard, xml};

/// Most cells of a workbook that hold something.
const MOST_CELLS: usize = 4_000_000;

/// Parses a workbook.
pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Parsed, ParseError> {
    let mut archive = Archive::open(bytes, Format::Xlsx, limits)?;
    archive.check_expansion()?;
    let title = xml::core_title(&mut archive, Format::Xlsx);
    check_strings(&mut archive)?;
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(xlsx_error)?;
    let mut builder = Builder::new(limits);
    let mut cells_left = MOST_CELLS.min(limits.text_chars);
    let sheets = book.sheets_metadata().to_vec();
    for sheet in sheets {
        builder.page();
        if builder.stopped() || sheet.visible == SheetVisible::VeryHidden || sheet.typ != SheetType::WorkSheet
        {
            continue;
        }
        let rows = rows(&mut book, &sheet.name, &mut cells_left, &mut builder, limits)?;
        if rows.is_empty() || builder.stopped() {
            continue;
        }
        builder.heading(2, &sheet.name);
        tables(rows, &mut builder);
    }
    builder.finish(title)
}

/// Refuses a table of shared strings that claims more strings than its bytes can hold.
///
/// The reader makes room for as many as are claimed before it reads one; room that cannot be had ends the process.
fn check_strings(archive: &mut Archive<'_>) -> Result<(), ParseError> {
    /// `<si/>`.
    const SHORTEST: u64 = 5;
    for name in archive.names() {
        let plain = name.replace('\\', "/").to_ascii_lowercase();
        if !plain.ends_with("sharedstrings.xml") {
            continue;
        }
        let size = archive.expanded_size(&name)?;
        let Some(part) = archive.part(&name)? else { continue };
        let mut stream = xml::Stream::new(part, Format::Xlsx);
        while let Some(step) = stream.next()? {
            let xml::Step::Start(element) = step else { continue };
            if element.name != "sst" {
                continue;
            }
            let mut claims = element.attributes.iter().filter(|(name, _)| name == "uniqueCount");
            let claimed = |text: &str| text.trim().trim_start_matches('+').parse::<u64>().unwrap_or(0);
            if claims.any(|(_, value)| claimed(value).saturating_mul(SHORTEST) > size.max(1 << 20)) {
                return Err(ParseError::corrupt(
                    Format::Xlsx,
                    format!("{name} claims more strings than it can hold"),
                ));
            }
            break;
        }
    }
    Ok(())
}

type Rows = BTreeMap<u32, BTreeMap<u32, String>>;

/// The cells of a sheet that hold something; a merged cell's text is repeated in its whole range.
fn rows(
    book: &mut Xlsx<Cursor<&[u8]>>,
    name: &str,
    cells_left: &mut usize,
    builder: &mut Builder,
    limits: &Limits,
) -> Result<Rows, ParseError> {
    let merged = book.merge_cells_by_sheet_name(name).unwrap_or_default();
    let mut rows = Rows::new();
    // The reader goes cell by cell; a range object would hold the whole rectangle, however sparse.
    let mut reader = match book.worksheet_cells_reader(name) {
        Ok(reader) => reader,
        Err(XlsxError::NotAWorksheet(_)) => return Ok(rows),
        Err(error) => return Err(xlsx_error(error)),
    };
    let formats: Vec<Option<String>> = reader
        .styles()
        .iter()
        .map(|style| style.number_format.as_ref().map(|f| f.format_code.clone()))
        .collect();
    while let Some((cell, style)) = reader.next_cell_with_style_id().map_err(xlsx_error)? {
        let format = formats.get(style).and_then(Option::as_deref);
        let text = clean::inline(&shown(cell.get_value(), format));
        if text.is_empty() {
            continue;
        }
        *cells_left = cells_left.checked_sub(1).ok_or_else(|| too_many(limits))?;
        if cells_left.is_multiple_of(4096) && guard::overdue() {
            return Err(ParseError::TimedOut { seconds: 0 });
        }
        // A string is stored once, however many cells show it.
        if !builder.may_copy(&text) {
            return Ok(rows);
        }
        let (row, column) = cell.get_position();
        rows.entry(row).or_default().insert(column, text);
    }
    for range in merged.iter().filter(|r| r.len() > 1 && r.len() <= 4096) {
        let Some(text) = rows.get(&range.start.0).and_then(|r| r.get(&range.start.1)).cloned() else {
            continue;
        };
        // A title over the whole table is said once; a group's name is repeated beside each member.
        if range.start.0 == range.end.0
            && range.len() > 3
            && rows.get(&range.start.0).is_some_and(|r| r.len() == 1)
        {
            continue;
        }
        for row in range.start.0..=range.end.0 {
            for column in range.start.1..=range.end.1 {
                *cells_left = cells_left.checked_sub(1).ok_or_else(|| too_many(limits))?;
                if !builder.may_copy(&text) {
                    return Ok(rows);
                }
                rows.entry(row).or_default().entry(column).or_insert_with(|| text.clone());
            }
        }
    }
    Ok(rows)
}

fn too_many(limits: &Limits) -> ParseError {
    let limit = MOST_CELLS.min(limits.text_chars) as u64;
    ParseError::too_large("the number of cells", limit, "split the workbook")
}

/// Blocks of rows without a blank row between; each is a table, or several side by side.
fn tables(rows: Rows, builder: &mut Builder) {
    let mut block = Rows::new();
    for (at, row) in rows {
        if block.last_key_value().is_some_and(|(last, _)| last + 1 < at) {
            beside(std::mem::take(&mut block), builder);
        }
        block.insert(at, row);
    }
    beside(block, builder);
}

/// Tables side by side have an empty column between them and start or end in different rows.
fn beside(block: Rows, builder: &mut Builder) {
    if builder.stopped() {
        return;
    }
    let mut columns: Vec<u32> = block.values().flat_map(|row| row.keys().copied()).collect();
    columns.sort_unstable();
    columns.dedup();
    let gap = columns.windows(2).find(|w| w[0] + 1 < w[1]).map(|w| w[1]);
    if let Some(gap) = gap {
        let (mut left, mut right) = (Rows::new(), Rows::new());
        for (at, row) in &block {
            for (column, text) in row {
                let side = if *column < gap { &mut left } else { &mut right };
                side.entry(*at).or_default().insert(*column, text.clone());
            }
        }
        // A title above the left columns does not make them a table of their own.
        let body = block.iter().find(|(_, row)| row.len() > 1).map_or(0, |(at, _)| *at);
        let extent =
            |rows: &Rows| (rows.range(body..).next().map(|(at, _)| *at), rows.keys().next_back().copied());
        if extent(&left) != extent(&right) && left.len() > 1 && right.len() > 1 {
            // Not kept while the parts are taken apart further.
            drop(block);
            tables(left, builder);
            tables(right, builder);
            return;
        }
    }
    let rows: Vec<&BTreeMap<u32, String>> = block.values().collect();
    table(&rows, builder);
}

/// A table, or paragraphs where it is one cell wide.
fn table(block: &[&BTreeMap<u32, String>], builder: &mut Builder) {
    let mut block = block;
    // Lines of a single cell above a wider table are its title, not its header.
    while let [first, rest @ ..] = block
        && first.len() == 1
        && rest.iter().any(|row| row.len() > 1)
    {
        first.values().for_each(|text| builder.paragraph(text));
        block = rest;
    }
    let mut columns: Vec<u32> = block.iter().flat_map(|row| row.keys().copied()).collect();
    columns.sort_unstable();
    columns.dedup();
    if columns.len() <= 1 && block.len() <= 2 {
        block.iter().flat_map(|row| row.values()).for_each(|text| builder.paragraph(text));
        return;
    }
    if !builder.may_hold(columns.len().saturating_mul(block.len())) {
        return;
    }
    let grid: Vec<Vec<String>> = block
        .iter()
        .map(|row| columns.iter().map(|c| row.get(c).cloned().unwrap_or_default()).collect())
        .collect();
    builder.table(&grid);
}

/// A value as a person reads it in the sheet, as near as its number format is understood.
fn shown(value: &DataRef<'_>, format: Option<&str>) -> String {
    match value {
        DataRef::Int(n) => number(*n as f64, format),
        DataRef::Float(n) => number(*n, format),
        DataRef::String(text) => text.clone(),
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::Bool(value) => if *value { "TRUE" } else { "FALSE" }.to_owned(),
        DataRef::DateTime(time) => date(*time),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => {
            text.trim_end_matches("T00:00:00").to_owned()
        }
        DataRef::Error(CellErrorType::NA) => "#N/A".to_owned(),
        DataRef::Error(_) | DataRef::Empty => String::new(),
    }
}

/// A number, plain: 42 and not 42.0; percentages as such, fixed decimals where the format has them.
fn number(value: f64, format: Option<&str>) -> String {
    let section = format.and_then(|f| f.split(';').next()).unwrap_or("");
    let bare: String = unquoted(section);
    let decimals = bare
        .split_once('.')
        .map(|(_, after)| after.chars().take_while(|c| matches!(c, '0' | '#')).filter(|c| *c == '0').count());
    if bare.contains('%') {
        let percent = value * 100.0;
        let digits = decimals.unwrap_or(0);
        let exact = plain(percent);
        let fixed = format!("{percent:.digits$}");
        // What the format would hide is kept.
        let text = if plain(fixed.parse().unwrap_or(percent)) == exact { fixed } else { exact };
        return format!("{text}%");
    }
    match decimals {
        Some(digits @ 1..=6) if bare.contains('0') && !bare.contains(['E', '/']) => {
            let fixed = format!("{value:.digits$}");
            if plain(fixed.parse().unwrap_or(value)) == plain(value) { fixed } else { plain(value) }
        }
        _ => plain(value),
    }
}

/// A format code without quoted text, escapes and conditions in brackets.
fn unquoted(section: &str) -> String {
    let mut out = String::new();
    let (mut quoted, mut bracketed) = (false, false);
    let mut chars = section.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '[' => bracketed = true,
            ']' => bracketed = false,
            _ if bracketed => {}
            '\\' | '_' | '*' => {
                chars.next();
            }
            c => out.push(c),
        }
    }
    out
}

/// 15 significant digits, as Excel keeps them, without trailing zeros.
fn plain(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value.is_finite() { "0".to_owned() } else { String::new() };
    }
    let magnitude = value.abs().log10().floor() as i32;
    if !(-9..=17).contains(&magnitude) {
        return format!("{value:e}");
    }
    let decimals = (14 - magnitude).clamp(0, 20) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// ISO 8601: a date, a date with its time, a time of day, or a duration in hours.
fn date(time: ExcelDateTime) -> String {
    let value = time.as_f64();
    let seconds = (value * 86_400.0).round();
    if time.is_duration() {
        let total = seconds as i64;
        return format!("{}:{:02}:{:02}", total / 3600, (total / 60).rem_euclid(60), total.rem_euclid(60));
    }
    let (year, month, day, hour, minute, second, _) = time.to_ymd_hms_milli();
    let clock = if second > 0 {
        format!("{hour:02}:{minute:02}:{second:02}")
    } else {
        format!("{hour:02}:{minute:02}")
    };
    if (0.0..1.0).contains(&value) {
        return clock;
    }
    let day = format!("{year:04}-{month:02}-{day:02}");
    if value.fract().abs() < 1e-9 { day } else { format!("{day} {clock}") }
}

fn xlsx_error(error: XlsxError) -> ParseError {
    match error {
        XlsxError::Password => ParseError::Encrypted { format: Format::Xlsx },
        XlsxError::XmlEof(what) => ParseError::truncated(Format::Xlsx, format!("its XML ends within {what}")),
        other => ParseError::corrupt(Format::Xlsx, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_shown() {
        assert_eq!(number(42.0, None), "42");
        assert_eq!(number(0.1 + 0.2, None), "0.3");
        assert_eq!(number(0.07, Some("0%")), "7%");
        assert_eq!(number(0.075, Some("0%")), "7.5%");
        assert_eq!(number(12.5, Some("#,##0.00 \"EUR\"")), "12.50");
        assert_eq!(number(12.345, Some("0.00")), "12.345");
        assert_eq!(number(-1234567.0, Some("#,##0")), "-1234567");
        assert_eq!(number(1e21, None), "1e21");
    }
}
