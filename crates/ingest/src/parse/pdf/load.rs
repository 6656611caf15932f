//! Opens a PDF: expansion checked first, pictures left out, the empty password tried.

use std::io::Read;

use flate2::read::ZlibDecoder;
use lopdf::{Document, LoadOptions, Object};
use lore_core::{Format, Limits};

use super::ParseError;

/// The document without its pictures.
pub(super) fn load(bytes: &[u8], limits: &Limits) -> Result<Document, ParseError> {
    check_expansion(bytes, limits.archive_bytes)?;
    let options = LoadOptions { filter: Some(keep), ..LoadOptions::default() };
    let mut document = Document::load_mem_with_options(bytes, options).map_err(|e| load_error(bytes, &e))?;
    if document.is_encrypted() && document.decrypt("").is_err() {
        return Err(ParseError::Encrypted { format: Format::Pdf });
    }
    Ok(document)
}

/// Pictures and fonts' other baggage are never read; without them a scan of 60 MB needs little memory.
fn keep(id: (u32, u16), object: &mut Object) -> Option<((u32, u16), Object)> {
    if let Object::Stream(stream) = object {
        let name = |key: &[u8]| stream.dict.get(key).and_then(Object::as_name).ok();
        let picture = name(b"Subtype") == Some(b"Image".as_slice());
        let embedded = name(b"Type").is_some_and(|t| matches!(t, b"EmbeddedFile" | b"Metadata"));
        // TrueType programs are not looked into.
        let truetype = stream.dict.has(b"Length1")
            && !stream.dict.has(b"Length2")
            && !stream.dict.has(b"Subtype")
            && stream.content.len() > 4096;
        if picture || embedded || truetype {
            stream.content = Vec::new();
        }
    }
    Some((id, object.clone()))
}

/// Expands each Flate stream that is not a picture into nothing, and counts; a doubly compressed one twice.
fn check_expansion(bytes: &[u8], limit: u64) -> Result<(), ParseError> {
    let mut left = limit;
    let mut at = 0;
    let mut buffer = vec![0u8; 64 << 10];
    while let Some(found) = find(&bytes[at..], b"stream") {
        let start = at + found + b"stream".len();
        at = start;
        if bytes[..start - 6].ends_with(b"end") {
            continue;
        }
        let rest = &bytes[start..];
        let skip = if rest.starts_with(b"\r\n") { 2 } else { 1 };
        let data = rest.get(skip..).unwrap_or_default();
        let head = &bytes[start.saturating_sub(600)..start];
        let head = head.windows(4).rposition(|w| w == b" obj").map_or(head, |i| &head[i..]);
        if find(head, b"/Image").is_some() || find(head, b"Flate").is_none() {
            continue;
        }
        let twice = head.windows(5).filter(|w| w == b"Flate").count() > 1;
        let plain: Box<dyn Read> = match twice {
            true => Box::new(ZlibDecoder::new(ZlibDecoder::new(data))),
            false => Box::new(ZlibDecoder::new(data)),
        };
        let mut plain = plain;
        while let Ok(read @ 1..) = plain.read(&mut buffer) {
            left = left.checked_sub(read as u64).ok_or(ParseError::ArchiveBomb { limit })?;
        }
        if let Some(end) = find(&bytes[at..], b"endstream") {
            at += end;
        }
    }
    Ok(())
}

fn find(bytes: &[u8], word: &[u8]) -> Option<usize> {
    let first = *word.first()?;
    let mut at = 0;
    while let Some(found) = bytes.get(at..)?.iter().position(|b| *b == first) {
        at += found;
        if bytes[at..].starts_with(word) {
            return Some(at);
        }
        at += 1;
    }
    None
}

fn load_error(bytes: &[u8], error: &lopdf::Error) -> ParseError {
    use lopdf::Error;
    if matches!(error, Error::InvalidPassword | Error::Decryption(_) | Error::UnsupportedSecurityHandler(_)) {
        return ParseError::Encrypted { format: Format::Pdf };
    }
    let tail = &bytes[bytes.len().saturating_sub(2048)..];
    if find(tail, b"%%EOF").is_none() && find(tail, b"startxref").is_none() {
        return ParseError::truncated(Format::Pdf, "its end is missing");
    }
    ParseError::corrupt(Format::Pdf, error)
}

/// The title in the document's properties, unless it is one that programs put there.
pub(super) fn title(document: &Document) -> Option<String> {
    let info = match document.trailer.get(b"Info").ok()? {
        Object::Reference(id) => document.get_dictionary(*id).ok()?,
        Object::Dictionary(dictionary) => dictionary,
        _ => return None,
    };
    let title = lopdf::decode_text_string(info.get_deref(b"Title", document).ok()?).ok()?;
    let title = super::clean::inline(&title);
    let plain = title.to_lowercase();
    let made_up = title.chars().filter(|c| c.is_alphabetic()).count() < 3
        || plain.starts_with("microsoft word")
        || plain.contains("untitled")
        || ["(anonymous)", "unspecified", "document", "powerpoint presentation"].contains(&plain.as_str())
        || [
            ".doc", ".docx", ".pdf", ".indd", ".tex", ".dvi", ".qxd", ".xls", ".xlsx", ".ppt", ".pptx",
            ".html", ".htm",
        ]
        .iter()
        .any(|e| plain.ends_with(e));
    (!made_up).then_some(title)
}
