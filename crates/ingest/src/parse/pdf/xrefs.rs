//! Looks at the cross-reference sections before `lopdf` reads them, which it does without limits.

use std::collections::HashSet;

use lopdf::{Dictionary, Object, Stream};
use lore_core::Format;

use super::lexer::{Lexer, Value};
use super::streams::{Budget, has_absurd_rows};
use super::{ParseError, guard};

/// Sections of a file that was changed again and again.
const MOST_SECTIONS: usize = 4096;

/// Bytes at the end in which the first section's place is named.
const TAIL: usize = 1024;

/// Follows the sections from the file's end, and expands the streams among them within `budget`.
///
/// # Errors
/// [`ParseError::ArchiveBomb`]; [`ParseError::Corrupt`] where a section claims more than it holds, or names the
/// encryption in a way that [`super::load`] does not see.
pub(super) fn check(bytes: &[u8], budget: &mut Budget) -> Result<(), ParseError> {
    let start = bytes.windows(5).position(|w| w == b"%PDF-").unwrap_or(0);
    let bytes = &bytes[start..];
    let tail = &bytes[bytes.len().saturating_sub(TAIL)..];
    let word = b"startxref";
    let mut open: Vec<usize> = tail
        .windows(word.len())
        .enumerate()
        .filter(|(_, w)| w == word)
        .filter_map(|(at, _)| {
            let mut operands = Vec::new();
            Lexer::new(&tail[at + word.len()..]).operator(&mut operands);
            operands.first().and_then(offset)
        })
        .collect();
    let mut seen = HashSet::new();
    while let Some(at) = open.pop() {
        if at >= bytes.len() || !seen.insert(at) {
            continue;
        }
        if seen.len() > MOST_SECTIONS {
            return Err(corrupt("it has too many cross-reference sections"));
        }
        if guard::overdue() {
            return Err(ParseError::TimedOut { seconds: 0 });
        }
        let section = section(&bytes[at..]);
        for key in [b"Prev".as_slice(), b"XRefStm"] {
            open.extend(values(&section.entries, key).filter_map(offset));
        }
        if values(&section.entries, b"Encrypt").next().is_some() {
            return Err(corrupt("its encryption is declared in an unusual way"));
        }
        if let Some(data) = section.data {
            check_stream(&section.entries, data, budget)?;
        }
    }
    Ok(())
}

fn corrupt(detail: &str) -> ParseError {
    ParseError::corrupt(Format::Pdf, detail)
}

fn offset(value: &Value) -> Option<usize> {
    value.number().filter(|n| *n >= 0.0 && *n < 1e15).map(|n| n as usize)
}

struct Section<'a> {
    /// Keys and values in turn, references in pieces.
    entries: Vec<Value>,
    /// From the stream's first byte on.
    data: Option<&'a [u8]>,
}

/// The table's trailer, or the stream's dictionary.
fn section(bytes: &[u8]) -> Section<'_> {
    let mut lexer = Lexer::new(bytes);
    let mut operands = Vec::new();
    let mut section = Section { entries: Vec::new(), data: None };
    let mut in_table = false;
    let mut steps = 0usize;
    while let Some(operator) = lexer.operator(&mut operands) {
        steps += 1;
        match operator {
            b"xref" => in_table = true,
            // Entries of a table; a file has no more of them than bytes.
            b"n" | b"f" if in_table => {}
            b"obj" | b"trailer" => {}
            _ => {
                if let Some(Value::Dictionary(entries)) = operands.pop() {
                    section.entries = entries;
                }
                if operator == b"stream" {
                    let rest = lexer.rest();
                    let blank = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
                    let rest = &rest[blank..];
                    let rest = rest.strip_prefix(b"\r").unwrap_or(rest);
                    section.data = Some(rest.strip_prefix(b"\n").unwrap_or(rest));
                }
                break;
            }
        }
        if steps.is_multiple_of(65_536) && guard::overdue() {
            break;
        }
    }
    section
}

fn values<'a>(entries: &'a [Value], key: &'a [u8]) -> impl Iterator<Item = &'a Value> {
    entries.windows(2).filter(move |w| matches!(&w[0], Value::Name(name) if name == key)).map(|w| &w[1])
}

fn check_stream(entries: &[Value], data: &[u8], budget: &mut Budget) -> Result<(), ParseError> {
    let mut dictionary = Dictionary::new();
    for key in [b"Filter".as_slice(), b"DecodeParms"] {
        if let Some(value) = values(entries, key).last() {
            dictionary.set(key.to_vec(), object(value));
        }
    }
    let length = values(entries, b"Length").filter_map(offset).max().unwrap_or(0).min(data.len());
    let stream = Stream::new(dictionary, data[..length].to_vec());
    budget.measure(&stream)?;
    // The reader makes room for a field of any width, and goes on for ever where entries have none.
    for widths in values(entries, b"W") {
        let Value::Array(widths) = widths else { continue };
        let widths: Vec<f64> = widths.iter().filter_map(Value::number).collect();
        let fields = &widths[..widths.len().min(3)];
        if fields.iter().any(|w| *w > 16.0) || fields.iter().sum::<f64>() < 1.0 {
            return Err(corrupt("its cross-reference stream has fields of an impossible width"));
        }
    }
    if has_absurd_rows(&stream) {
        return Err(corrupt("its cross-reference stream has rows of an impossible length"));
    }
    Ok(())
}

fn object(value: &Value) -> Object {
    match value {
        Value::Number(n) => Object::Integer(*n as i64),
        Value::Name(name) => Object::Name(name.clone()),
        Value::Array(values) => Object::Array(values.iter().map(object).collect()),
        Value::Dictionary(entries) => {
            let mut dictionary = Dictionary::new();
            for pair in entries.windows(2) {
                if let Value::Name(key) = &pair[0] {
                    dictionary.set(key.clone(), object(&pair[1]));
                }
            }
            Object::Dictionary(dictionary)
        }
        Value::String(_) | Value::Other => Object::Null,
    }
}
