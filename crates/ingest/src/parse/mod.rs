//! From a file's bytes to [`Parsed`] text with its structure.
//!
//! [`detect`] tells the format, [`parse`] reads it. A parser runs on a thread of its own, so that a panic, a deep
//! nesting or an endless loop in it becomes a [`ParseError`]; the limits bound its memory.
//!
//! What all formats have in common: blocks are separated by one blank line; a heading is a line `# Title`; running text
//! stands on one line; list items are `- item` or `1. item`, nested by two spaces; tables are Markdown; code is fenced.

mod archive;
mod builder;
mod clean;
mod docx;
mod email;
mod encoding;
mod error;
mod guard;
mod html;
mod language;
mod markdown;
mod pdf;
mod pptx;
mod reflow;
mod sheet;
mod sniff;
mod table;
mod text;
mod xml;

use lore_core::{Format, Limits, Parsed};

pub use error::ParseError;
pub(crate) use guard::{overdue, run as guarded};
pub use sniff::detect;

/// Reads `bytes`, a file of `format` called `name`.
///
/// # Errors
/// Why it could not be read; see [`ParseError`]. Never panics.
pub fn parse(format: Format, bytes: &[u8], name: &str, limits: &Limits) -> Result<Parsed, ParseError> {
    if bytes.iter().all(|b| b.is_ascii_whitespace()) {
        return Err(ParseError::Empty);
    }
    if bytes.len() as u64 > limits.document_bytes {
        return Err(ParseError::too_large(
            "the size of the file in bytes",
            limits.document_bytes,
            "split the file, or raise document_bytes in the limits",
        ));
    }
    let (bytes, name, limits) = (bytes.to_vec(), name.to_owned(), limits.clone());
    guard::run(format, limits.parse_seconds, move || read(format, &bytes, &name, &limits))
}

/// The parser of `format`, on the calling thread.
fn read(format: Format, bytes: &[u8], name: &str, limits: &Limits) -> Result<Parsed, ParseError> {
    match format {
        Format::Md => markdown::parse(bytes, limits),
        Format::Txt => text::parse(bytes, name, limits),
        Format::Html => html::parse(bytes, limits),
        Format::Pdf => pdf::parse(bytes, limits),
        Format::Docx => docx::parse(bytes, limits),
        Format::Pptx => pptx::parse(bytes, limits),
        Format::Xlsx => sheet::parse(bytes, limits),
        Format::Csv => table::parse(bytes, limits),
        Format::Eml => email::parse(bytes, limits),
    }
}
