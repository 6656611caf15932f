//! Opens a PDF: expansion checked first, pictures left out, the empty password tried.

use std::borrow::Cow;

use lopdf::xref::XrefEntry;
use lopdf::{Dictionary, Document, EncryptionState, LoadOptions, Object, ObjectId, ObjectStream, Stream};
use lore_core::{Format, Limits};

use super::streams::{Budget, has_absurd_rows};
use super::{ParseError, guard, xrefs};

/// What object streams are called while `lopdf` must not expand them.
const HELD_BACK: &str = "HeldBackObjectStream";

/// The name under which `lopdf` does not see that a document is encrypted; as long as the real one.
const HIDDEN: &[u8] = b"/Encrypu";

/// Objects of one object stream that may stand at the same place; none do, but for writers' mistakes.
const MOST_SHARED: usize = 64;

/// The document without its pictures, decrypted, every stream in it known to expand within the limits.
///
/// `lopdf` expands object streams without limits while it reads, in an encrypted document too; they are held back from
/// it, and expanded here.
pub(super) fn load(bytes: &[u8], limits: &Limits) -> Result<Document, ParseError> {
    let mut budget = Budget::new(limits.archive_bytes);
    let bytes = hide_encryption(bytes);
    xrefs::check(&bytes, &mut budget)?;
    let options = LoadOptions { filter: Some(keep), ..LoadOptions::default() };
    let mut document =
        Document::load_mem_with_options(&bytes, options).map_err(|e| load_error(&bytes, &e))?;
    decrypt(&mut document)?;
    expand_object_streams(&mut document, &mut budget)?;
    for object in document.objects.values_mut() {
        let Object::Stream(stream) = object else { continue };
        // Also those whose length is an object of its own: their content came only after the others.
        if is_baggage(stream) || (!budget.measure(stream)? && has_absurd_rows(stream)) {
            stream.content = Vec::new();
        }
        if guard::overdue() {
            return Err(ParseError::TimedOut { seconds: 0 });
        }
    }
    Ok(document)
}

/// `bytes` with the entry of the trailer that declares an encryption under another name.
fn hide_encryption(bytes: &[u8]) -> Cow<'_, [u8]> {
    const ENTRY: &[u8] = b"/Encrypt";
    let mut out = Cow::Borrowed(bytes);
    let mut at = 0;
    while let Some(found) = find(&bytes[at..], ENTRY) {
        at += found + ENTRY.len();
        // Not `/EncryptMetadata`.
        if !bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'#') {
            out.to_mut()[at - ENTRY.len()..at].copy_from_slice(HIDDEN);
        }
    }
    out
}

/// Decrypts with the empty password.
fn decrypt(document: &mut Document) -> Result<(), ParseError> {
    let encrypted = ParseError::Encrypted { format: Format::Pdf };
    let hidden = match document.trailer.remove(&HIDDEN[1..]) {
        Some(hidden) => hidden,
        None if document.is_encrypted() => return Err(encrypted),
        None => return Ok(()),
    };
    let id = match hidden {
        Object::Reference(id) => id,
        direct => document.add_object(direct),
    };
    document.trailer.set("Encrypt", Object::Reference(id));
    if document.authenticate_password("").is_err() {
        return Err(encrypted);
    }
    let state = EncryptionState::decode(document, "").map_err(|_| encrypted)?;
    for (own, object) in document.objects.iter_mut().filter(|(own, _)| **own != id) {
        // What cannot be decrypted stays unreadable, as in other readers.
        let _ = lopdf::encryption::decrypt_object(&state, *own, object);
    }
    document.objects.remove(&id);
    document.trailer.remove(b"Encrypt");
    Ok(())
}

/// Puts the objects of the streams that were held back into the document.
fn expand_object_streams(document: &mut Document, budget: &mut Budget) -> Result<(), ParseError> {
    let held = |object: &Object| object.as_stream().is_ok_and(|s| s.dict.has_type(HELD_BACK.as_bytes()));
    let ids: Vec<ObjectId> = document.objects.iter().filter(|(_, o)| held(o)).map(|(id, _)| *id).collect();
    for id in ids {
        let Some(Object::Stream(stream)) = document.objects.remove(&id) else { continue };
        let Some(content) = budget.decode(&stream)? else { continue };
        check_index(&stream.dict, &content)?;
        let mut dict = stream.dict;
        dict.remove(b"Filter");
        dict.remove(b"DecodeParms");
        let Ok(expanded) = ObjectStream::new(&mut Stream::new(dict, content)) else { continue };
        for (own, object) in expanded.objects {
            // A copy that a later change made stale is not the one that the cross-references name.
            let container = match document.reference_table.entries.get(&own.0) {
                Some(XrefEntry::Compressed { container, .. }) => *container,
                _ => id.0,
            };
            if container == id.0 {
                document.objects.entry(own).or_insert(object);
            }
        }
    }
    Ok(())
}

/// Refuses an object stream in which many objects share one place: each would be a copy.
fn check_index(dict: &Dictionary, content: &[u8]) -> Result<(), ParseError> {
    let first = dict.get(b"First").and_then(Object::as_i64).ok().and_then(|n| usize::try_from(n).ok());
    let index = content.get(..first.unwrap_or(0)).unwrap_or_default();
    let index = String::from_utf8_lossy(index);
    let mut places: Vec<&str> = index.split_whitespace().skip(1).step_by(2).collect();
    let all = places.len();
    places.sort_unstable();
    places.dedup();
    if all - places.len() > MOST_SHARED {
        return Err(ParseError::corrupt(Format::Pdf, "the objects of an object stream share one place"));
    }
    Ok(())
}

/// Leaves out what is never read; without it a scan of 60 MB needs little memory.
fn keep(id: ObjectId, object: &mut Object) -> Option<(ObjectId, Object)> {
    // A stream is changed in place; the copy that is asked for matters to what stands within object streams alone, where
    // no stream can be.
    let Object::Stream(stream) = object else { return Some((id, object.clone())) };
    if stream.dict.has_type(b"ObjStm") {
        stream.dict.set("Type", HELD_BACK);
    } else if is_baggage(stream) {
        stream.content = Vec::new();
    }
    Some((id, Object::Null))
}

/// Pictures, attached files, and fonts' programs that are not looked into.
fn is_baggage(stream: &Stream) -> bool {
    let name = |key: &[u8]| stream.dict.get(key).and_then(Object::as_name).ok();
    let picture = name(b"Subtype") == Some(b"Image".as_slice());
    let embedded = name(b"Type").is_some_and(|t| matches!(t, b"EmbeddedFile" | b"Metadata"));
    let truetype = stream.dict.has(b"Length1")
        && !stream.dict.has(b"Length2")
        && !stream.dict.has(b"Subtype")
        && stream.content.len() > 4096;
    picture || embedded || truetype
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
