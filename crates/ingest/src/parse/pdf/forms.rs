//! What was filled into a form: it stands beside a page's content (ISO 32000-1, 12.7).

use lopdf::{Dictionary, Document, Object, ObjectId};

use super::super::builder::Item;
use super::clean;
use super::fonts::dereference;

/// Most fields of one page.
const MOST_FIELDS: usize = 2_000;

/// Fields within fields.
const MOST_DEPTH: usize = 8;

/// The filled fields of a page as a list of `name: value`, of little more than `room` characters.
pub(super) fn fields(document: &Document, page: ObjectId, room: usize) -> Vec<Item> {
    let mut found: Vec<Item> = Vec::new();
    let annotations = document
        .get_dictionary(page)
        .ok()
        .and_then(|page| dereference(document, page.get(b"Annots").ok()?)?.as_array().ok());
    let mut chars = 0;
    for annotation in annotations.into_iter().flatten().take(MOST_FIELDS) {
        let Some(widget) = dereference(document, annotation).and_then(|o| o.as_dict().ok()) else { continue };
        if !widget.get(b"Subtype").is_ok_and(|s| s.as_name().is_ok_and(|n| n == b"Widget")) {
            continue;
        }
        let Some(text) = filled(document, widget) else { continue };
        // A field may be shown at several places.
        if found.iter().any(|item| item.text == text) {
            continue;
        }
        chars += text.len();
        found.push(Item { depth: 0, marker: "-".to_owned(), text });
        if chars > room {
            break;
        }
    }
    found
}

fn filled(document: &Document, widget: &Dictionary) -> Option<String> {
    let kind = inherited(document, widget, b"FT")?.as_name().ok()?;
    let value = inherited(document, widget, b"V")?;
    let value = match (kind, value) {
        (b"Tx" | b"Ch", Object::Array(chosen)) => {
            let texts = chosen.iter().filter_map(|o| string(dereference(document, o)?));
            texts.collect::<Vec<_>>().join(", ")
        }
        (b"Tx" | b"Ch", value) => string(value)?,
        // Of a group of buttons only the one that is on.
        (b"Btn", Object::Name(state)) if state != b"Off" => {
            let own = widget.get(b"AS").and_then(Object::as_name);
            own.is_ok_and(|own| own == state).then(|| String::from_utf8_lossy(state).into_owned())?
        }
        _ => return None,
    };
    let value = clean::inline(&value);
    if value.is_empty() {
        return None;
    }
    let name = inherited(document, widget, b"TU").or_else(|| inherited(document, widget, b"T"));
    let name = name.and_then(string).map(|n| clean::inline(&n)).filter(|n| !n.is_empty());
    Some(name.map_or(value.clone(), |name| format!("{}: {value}", name.trim_end_matches([':', ' ']))))
}

fn string(object: &Object) -> Option<String> {
    lopdf::decode_text_string(object).ok()
}

/// An attribute of a field or of the fields above it.
fn inherited<'a>(document: &'a Document, field: &'a Dictionary, key: &[u8]) -> Option<&'a Object> {
    let mut field = field;
    for _ in 0..MOST_DEPTH {
        if let Some(found) = field.get(key).ok().and_then(|o| dereference(document, o)) {
            return Some(found);
        }
        field = dereference(document, field.get(b"Parent").ok()?)?.as_dict().ok()?;
    }
    None
}
