//! What a font's dictionaries say: weight, widths, and the cleaned copy that `pdf-extract` is shown.

use std::collections::HashMap;

use lopdf::{Dictionary, Document, Object, dictionary};

use super::super::lexer::{Lexer, Value};
use super::{array, dereference, name, number};

pub(super) fn is_bold(base: &str) -> bool {
    let base = base.to_ascii_lowercase();
    let base = base.rsplit('+').next().unwrap_or(&base);
    ["bold", "black", "heavy", "demi", "simhei", "-bd", "cmbx"].iter().any(|word| base.contains(word))
}

/// A descriptor that says semibold or more, or forces bold (ISO 32000-1, table 123, bit 19).
pub(super) fn heavy(document: &Document, descriptor: &Dictionary) -> bool {
    let value = |key: &[u8]| descriptor.get(key).ok().and_then(|o| dereference(document, o)).and_then(number);
    value(b"FontWeight").is_some_and(|w| w >= 600.0)
        || value(b"Flags").is_some_and(|f| (f as i64) & (1 << 18) != 0)
        || name(document, descriptor, b"FontName").is_some_and(|n| is_bold(&n))
}

pub(super) fn descendant(document: &Document, font: &Dictionary) -> Option<Dictionary> {
    let first = array(document, font, b"DescendantFonts")?.first()?;
    dereference(document, first)?.as_dict().ok().cloned()
}

/// Whether the ranges of a ToUnicode map name no more codes than there are; its reader makes an entry for each.
fn is_bounded(document: &Document, map: &Object) -> bool {
    /// Codes have two bytes at most in what is read here.
    const MOST_CODES: u64 = 1 << 16;
    /// Of all ranges together, which may overlap.
    const MOST_ENTRIES: u64 = 1 << 20;
    let Some(Object::Stream(map)) = dereference(document, map) else { return true };
    let content = map.get_plain_content().unwrap_or_default();
    let mut lexer = Lexer::of_map(&content);
    let mut operands = Vec::new();
    let mut entries = 0;
    while let Some(operator) = lexer.operator(&mut operands) {
        if operator != b"endbfrange" {
            continue;
        }
        for range in operands.chunks(3) {
            let [Value::String(first), Value::String(last), _] = range else { return false };
            let code =
                |bytes: &[u8]| bytes.iter().fold(0u64, |code, b| code << 8 & 0xFFFF_FFFF | u64::from(*b));
            let codes = (code(last) + 1).saturating_sub(code(first));
            entries += codes;
            if codes > MOST_CODES || entries > MOST_ENTRIES {
                return false;
            }
        }
    }
    // A table that does not end, or is ended by another word, is none that can be judged.
    let begun = content.windows(12).filter(|w| w == b"beginbfrange").count();
    let ended = content.windows(10).filter(|w| w == b"endbfrange").count();
    begun <= ended
}

/// What decides how the codes of a composite font read, and nothing else.
pub(super) fn composite_copy(document: &Document, font: &Dictionary) -> Dictionary {
    let mut copy = dictionary! {
        "Type" => "Font",
        "Subtype" => "Type0",
        "BaseFont" => "X",
        "Encoding" => "Identity-H",
        "DescendantFonts" => vec![Object::Dictionary(dictionary! {
            "Type" => "Font", "Subtype" => "CIDFontType2", "BaseFont" => "X", "FontDescriptor" => Dictionary::new(),
        })],
    };
    if let Ok(map) = font.get(b"ToUnicode")
        && is_bounded(document, map)
    {
        copy.set("ToUnicode", map.clone());
    }
    copy
}

/// A simple font without what makes `pdf-extract` panic or does not matter to it.
pub(super) fn simple_copy(document: &Document, font: &Dictionary, base: &str, subtype: &str) -> Dictionary {
    let subtype = if subtype == "TrueType" { "TrueType" } else { "Type1" };
    let mut copy = dictionary! {
        "Type" => "Font",
        "Subtype" => subtype,
        "BaseFont" => Object::Name(if base.is_empty() { b"X".to_vec() } else { base.as_bytes().to_vec() }),
    };
    if let Ok(map) = font.get(b"ToUnicode")
        && matches!(dereference(document, map), Some(Object::Stream(_)))
        && is_bounded(document, map)
    {
        copy.set("ToUnicode", map.clone());
    }
    let encoding = font.get(b"Encoding").ok().and_then(|e| dereference(document, e));
    let known = |name: &[u8]| matches!(name, b"MacRomanEncoding" | b"MacExpertEncoding" | b"WinAnsiEncoding");
    match encoding {
        Some(Object::Name(name)) if known(name) => copy.set("Encoding", Object::Name(name.clone())),
        Some(Object::Name(name)) if name == b"StandardEncoding" => copy.set("Encoding", standard_encoding()),
        Some(Object::Dictionary(encoding)) => {
            let mut encoding = encoding.clone();
            if encoding.get(b"BaseEncoding").is_ok_and(|b| !b.as_name().is_ok_and(known)) {
                encoding.remove(b"BaseEncoding");
            }
            copy.set("Encoding", encoding);
        }
        _ => {}
    }
    // A TrueType program tells `pdf-extract` nothing; a Type 1 or CFF program its built-in encoding.
    let has_program = subtype == "Type1" && !(copy.has(b"ToUnicode") && copy.has(b"Encoding"));
    if has_program && let Ok(descriptor) = font.get(b"FontDescriptor") {
        copy.set("FontDescriptor", descriptor.clone());
    }
    copy
}

/// Where Adobe's standard encoding differs from WinAnsi in characters that are used (ISO 32000-1, annex D.2).
fn standard_encoding() -> Dictionary {
    const NAMES: [(i64, &str); 24] = [
        (39, "quoteright"),
        (96, "quoteleft"),
        (169, "quotesingle"),
        (170, "quotedblleft"),
        (174, "fi"),
        (175, "fl"),
        (177, "endash"),
        (178, "dagger"),
        (179, "daggerdbl"),
        (180, "periodcentered"),
        (183, "bullet"),
        (184, "quotesinglbase"),
        (185, "quotedblbase"),
        (186, "quotedblright"),
        (188, "ellipsis"),
        (189, "perthousand"),
        (208, "emdash"),
        (225, "AE"),
        (233, "Oslash"),
        (234, "OE"),
        (241, "ae"),
        (249, "oslash"),
        (250, "oe"),
        (251, "germandbls"),
    ];
    let differences: Vec<Object> = NAMES
        .iter()
        .flat_map(|(code, name)| [Object::Integer(*code), Object::Name(name.as_bytes().to_vec())])
        .collect();
    dictionary! { "Type" => "Encoding", "BaseEncoding" => "WinAnsiEncoding", "Differences" => differences }
}

pub(super) fn font_matrix_scale(document: &Document, font: &Dictionary) -> Option<f64> {
    let matrix = array(document, font, b"FontMatrix")?;
    number(matrix.first()?).map(f64::abs).filter(|s| *s > 0.0)
}

pub(super) fn simple_widths(document: &Document, font: &Dictionary, scale: f64) -> HashMap<u32, f32> {
    let first =
        font.get(b"FirstChar").ok().and_then(|o| dereference(document, o)).and_then(number).unwrap_or(0.0);
    let first = first.clamp(0.0, 255.0) as u32;
    let widths = array(document, font, b"Widths").map(Vec::as_slice).unwrap_or_default();
    let one = |(i, o): (usize, &Object)| {
        let width = dereference(document, o).and_then(number)?;
        Some((first + i as u32, (width * scale) as f32))
    };
    widths.iter().take(256).enumerate().filter_map(one).collect()
}

/// `W` and `DW` of a CID font (ISO 32000-1, 9.7.4.3).
pub(super) fn cid_widths(document: &Document, font: &Dictionary) -> (HashMap<u32, f32>, Option<f32>) {
    let value = |o: &Object| dereference(document, o).and_then(number);
    let default = font.get(b"DW").ok().and_then(value).map(|w| (w / 1000.0) as f32);
    let mut widths = HashMap::new();
    let list = array(document, font, b"W").map(Vec::as_slice).unwrap_or_default();
    let mut at = 0;
    while at + 1 < list.len() {
        let Some(first) = value(&list[at]).map(|n| n.clamp(0.0, 65535.0) as u32) else { break };
        match dereference(document, &list[at + 1]) {
            Some(Object::Array(each)) => {
                for (i, width) in each.iter().enumerate().take(65536) {
                    if let Some(width) = value(width) {
                        widths.insert(first + i as u32, (width / 1000.0) as f32);
                    }
                }
                at += 2;
            }
            Some(last) => {
                let (Some(last), Some(width)) = (number(last), list.get(at + 2).and_then(value)) else {
                    break;
                };
                for code in first..=(last.clamp(0.0, 65535.0) as u32) {
                    widths.insert(code, (width / 1000.0) as f32);
                }
                at += 3;
            }
            None => break,
        }
    }
    (widths, default)
}
