//! Delimiter-separated values: one table.

use lore_core::{Limits, Parsed};

use super::ParseError;
use super::builder::Builder;
use super::{clean, encoding};

/// Parses csv, tsv and their kin.
pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Parsed, ParseError> {
    let text = encoding::decode(bytes, None).replace(['\0', '\u{FEFF}'], "");
    let (delimiter, body) = match text.lines().next().and_then(|l| l.trim().strip_prefix("sep=")) {
        Some(mark) if mark.len() == 1 => {
            (mark.as_bytes()[0], text.split_once('\n').map_or("", |(_, rest)| rest))
        }
        _ => (sniff(&text), text.as_str()),
    };
    let mut builder = Builder::new(limits);
    let rows = rows(body, delimiter, limits)?;
    builder.table(&rows);
    builder.finish(None)
}

fn rows(body: &str, delimiter: u8, limits: &Limits) -> Result<Vec<Vec<String>>, ParseError> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(body.as_bytes());
    let mut rows: Vec<Vec<String>> = Vec::new();
    let (mut widest, mut chars) = (0, 0usize);
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| ParseError::corrupt(lore_core::Format::Csv, e))? {
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        let row: Vec<String> = record.iter().map(clean::inline).collect();
        widest = widest.max(row.len());
        chars += row.iter().map(String::len).sum::<usize>();
        rows.push(row);
        // Padding alone can make a ragged table large: each cell becomes two characters at least.
        if (chars / 4).max(rows.len().saturating_mul(widest).saturating_mul(2)) > limits.text_chars {
            return Err(ParseError::too_large(
                "the number of cells",
                limits.text_chars as u64,
                "split the file, or raise text_chars in the limits",
            ));
        }
    }
    Ok(rows)
}

/// The delimiter that splits the first lines most evenly, quotes respected.
fn sniff(text: &str) -> u8 {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).take(50).collect();
    let score = |delimiter: char| -> (usize, usize) {
        let counts: Vec<usize> = lines.iter().map(|line| count(line, delimiter)).collect();
        let header = counts.first().copied().unwrap_or(0);
        let same = counts.iter().filter(|c| **c == header && header > 0).count();
        (same, header)
    };
    [',', ';', '\t', '|']
        .into_iter()
        .rev()
        .max_by_key(|d| score(*d))
        .filter(|d| score(*d).1 > 0)
        .map_or(b',', |d| d as u8)
}

fn count(line: &str, delimiter: char) -> usize {
    let mut quoted = false;
    line.chars()
        .filter(|c| {
            quoted ^= *c == '"';
            *c == delimiter && !quoted
        })
        .count()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn delimiters_and_ragged_rows() {
        let text = |bytes: &[u8]| parse(bytes, &Limits::default()).unwrap().text;
        assert_eq!(text(b"a,b\n1,\"x, y\"\n\n2\n"), "| a | b |\n| --- | --- |\n| 1 | x, y |\n| 2 | |");
        assert_eq!(text(b"a;b\n1,5;2,5\n"), "| a | b |\n| --- | --- |\n| 1,5 | 2,5 |");
        assert_eq!(text(b"a\tb\n1\t2\n"), "| a | b |\n| --- | --- |\n| 1 | 2 |");
        assert_eq!(text(b"sep=|\na|b\n"), "| a | b |\n| --- | --- |");
        assert_eq!(
            text("\u{FEFF}名称,价格\n阀门,12\n".as_bytes()),
            "| 名称 | 价格 |\n| --- | --- |\n| 阀门 | 12 |"
        );
    }
}
