//! How the codes of a font read and how wide they are.
//!
//! `pdf-extract` knows encodings, glyph names, embedded Type 1 and CFF programs and ToUnicode maps. It is asked once per
//! font, with a page of its own that shows every code, on a cleaned copy of the font, so that a font which makes it panic
//! costs that font alone. Widths of the document are read here.

mod prepare;

use std::collections::HashMap;
use std::rc::Rc;

use encoding_rs::Encoding;
use lopdf::{Dictionary, Document, Object, ObjectId, Stream, dictionary};
use pdf_extract::{MediaBox, OutputDev, OutputError, Transform};

use self::prepare::{
    cid_widths, composite_copy, descendant, font_matrix_scale, heavy, is_bold, simple_copy, simple_widths,
};
use super::{clean, guard};

/// Fonts kept; a document with more reads some of them again.
const MOST_FONTS: usize = 400;

/// Fonts kept that are no objects of their own; they are compared one by one.
const MOST_DIRECT: usize = 32;

/// Codes of one font that may panic before it is given up.
const MOST_PANICS: usize = 12;

/// A glyph's text: one character mostly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Text {
    One(char),
    Many(Box<str>),
}

impl Text {
    fn new(text: &str) -> Option<Self> {
        let mut chars = text.chars();
        let first = chars.next()?;
        Some(match chars.next() {
            None => Text::One(first),
            Some(_) => Text::Many(text.into()),
        })
    }

    pub(super) fn push_to(&self, out: &mut String) {
        match self {
            Text::One(c) => out.push(*c),
            Text::Many(s) => out.push_str(s),
        }
    }

    pub(super) fn first(&self) -> Option<char> {
        match self {
            Text::One(c) => Some(*c),
            Text::Many(s) => s.chars().next(),
        }
    }
}

/// How bytes of a string become codes.
#[derive(Clone, Copy, Debug)]
enum Codes {
    One,
    Two,
    /// A predefined CMap: UCS-2 or UTF-16, or a national encoding.
    Known(&'static Encoding),
}

/// A font.
#[derive(Debug)]
pub(super) struct Font {
    pub bold: bool,
    codes: Codes,
    texts: HashMap<u32, Text>,
    /// In units of the font size.
    widths: HashMap<u32, f32>,
    default_width: Option<f32>,
}

/// One shown character.
pub(super) struct Shown {
    pub text: Option<Text>,
    pub width: f64,
    /// Whether word spacing applies.
    pub space: bool,
}

impl Font {
    /// Reads a string.
    pub(super) fn show(&self, bytes: &[u8], mut each: impl FnMut(Shown)) {
        match self.codes {
            Codes::One => {
                for byte in bytes {
                    let code = u32::from(*byte);
                    each(self.shown(code, *byte == 32));
                }
            }
            Codes::Two => {
                for pair in bytes.chunks(2) {
                    let code = pair.iter().fold(0u32, |code, b| code << 8 | u32::from(*b));
                    each(self.shown(code, false));
                }
            }
            Codes::Known(encoding) => {
                for c in encoding.decode_without_bom_handling(bytes).0.chars() {
                    let width =
                        if c.is_ascii() || ('\u{FF61}'..='\u{FF9F}').contains(&c) { 0.5 } else { 1.0 };
                    each(Shown { text: Some(Text::One(c)), width, space: false });
                }
            }
        }
    }

    fn shown(&self, code: u32, space: bool) -> Shown {
        let text = self.texts.get(&code).cloned();
        let width = self.widths.get(&code).copied().or(self.default_width);
        let width = width.filter(|w| *w != 0.0).unwrap_or_else(|| usual_width(text.as_ref()));
        Shown { text, width: f64::from(width), space }
    }
}

/// A guess where a font gives no width.
fn usual_width(text: Option<&Text>) -> f32 {
    match text.and_then(Text::first) {
        None => 0.0,
        Some(c) if clean::is_cjk(c) => 1.0,
        Some('i' | 'j' | 'l' | '.' | ',' | ';' | ':' | '\'' | '|' | '!' | ' ' | 't' | 'f' | 'I') => 0.28,
        Some('m' | 'w' | 'M' | 'W' | '@' | '%') => 0.85,
        Some(c) if c.is_uppercase() => 0.68,
        Some(_) => 0.55,
    }
}

/// The fonts of a document, and the objects that the questions about them need.
#[derive(Debug)]
pub(super) struct Fonts {
    known: HashMap<ObjectId, Rc<Font>>,
    /// Fonts that resources hold themselves.
    direct: Vec<(Dictionary, Rc<Font>)>,
    root: ObjectId,
    page_content: ObjectId,
    font: ObjectId,
}

impl Fonts {
    /// Adds a catalog with one page to `document`; its own catalog stays the trailer's.
    pub(super) fn new(document: &mut Document) -> Self {
        let font = document.add_object(Object::Null);
        let page_content = document.add_object(Object::Null);
        let pages = document.new_object_id();
        let page = document.add_object(dictionary! {
            "Type" => "Page",
            "Parent" => pages,
            "MediaBox" => vec![0.into(), 0.into(), 100.into(), 100.into()],
            "Contents" => page_content,
            "Resources" => dictionary! { "Font" => dictionary! { "F" => font } },
        });
        document.objects.insert(
            pages,
            dictionary! { "Type" => "Pages", "Count" => 1, "Kids" => vec![page.into()] }.into(),
        );
        let root = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => pages });
        Self { known: HashMap::new(), direct: Vec::new(), root, page_content, font }
    }

    /// The font that `object` (a reference mostly) stands for.
    pub(super) fn get(&mut self, document: &mut Document, object: &Object) -> Option<Rc<Font>> {
        let id = object.as_reference().ok();
        if let Some(font) = id.and_then(|id| self.known.get(&id)) {
            return Some(font.clone());
        }
        let dictionary = dereference(document, object)?.as_dict().ok()?.clone();
        if id.is_none()
            && let Some((_, font)) = self.direct.iter().rev().find(|(known, _)| *known == dictionary)
        {
            return Some(font.clone());
        }
        let font = Rc::new(self.read(document, &dictionary));
        if let Some(id) = id {
            if self.known.len() >= MOST_FONTS {
                self.known.clear();
            }
            self.known.insert(id, font.clone());
        } else {
            if self.direct.len() >= MOST_DIRECT {
                self.direct.clear();
            }
            self.direct.push((dictionary, font.clone()));
        }
        Some(font)
    }

    fn read(&self, document: &mut Document, font: &Dictionary) -> Font {
        let subtype = name(document, font, b"Subtype").unwrap_or_default();
        let base = name(document, font, b"BaseFont").unwrap_or_default();
        let composite = subtype == "Type0";
        let descendant = composite.then(|| descendant(document, font)).flatten();
        let holder = descendant.as_ref().unwrap_or(font);
        let descriptor =
            holder.get(b"FontDescriptor").ok().and_then(|d| dereference(document, d)?.as_dict().ok());
        let bold = is_bold(&base) || descriptor.is_some_and(|d| heavy(document, d));
        if composite {
            let codes = composite_codes(document, font);
            let (widths, default) = descendant.as_ref().map(|d| cid_widths(document, d)).unwrap_or_default();
            let texts = match codes {
                Codes::Known(_) => HashMap::new(),
                _ => self
                    .ask(document, composite_copy(document, font), codes)
                    .into_iter()
                    .map(|(c, t, _)| (c, t))
                    .collect(),
            };
            return Font { bold, codes, texts, widths, default_width: Some(default.unwrap_or(1.0)) };
        }
        let scale = match subtype.as_str() {
            "Type3" => font_matrix_scale(document, font).unwrap_or(0.001),
            _ => 0.001,
        };
        let mut widths = simple_widths(document, font, scale);
        let copy = simple_copy(document, font, &base, &subtype);
        let mut asked = self.ask(document, copy, Codes::One);
        if asked.is_empty() {
            let plain = dictionary! {
                "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica", "Encoding" => "WinAnsiEncoding",
            };
            asked = self.ask(document, plain, Codes::One);
        }
        let own_widths = !widths.is_empty();
        let mut texts = HashMap::new();
        for (code, text, width) in asked {
            if !own_widths && width > 0.0 {
                widths.insert(code, width);
            }
            texts.insert(code, text);
        }
        Font { bold, codes: Codes::One, texts, widths, default_width: None }
    }

    /// Shows every code of `font` and notes how each reads, and its width in units of the font size.
    fn ask(&self, document: &mut Document, font: Dictionary, codes: Codes) -> Vec<(u32, Text, f32)> {
        document.objects.insert(self.font, font.into());
        let own_root = document.trailer.get(b"Root").cloned();
        document.trailer.set("Root", self.root);
        let last = if matches!(codes, Codes::One) { 0xFF } else { 0xFFFF };
        let mut notes = Notes { next: 0, found: Vec::new() };
        for _ in 0..MOST_PANICS {
            let mut content = String::from("BT /F 1 Tf <");
            for code in notes.next..=last {
                use std::fmt::Write;
                // Writing to a string cannot fail.
                let _ =
                    if last == 0xFF { write!(content, "{code:02x}") } else { write!(content, "{code:04x}") };
            }
            content.push_str("> Tj ET");
            document
                .objects
                .insert(self.page_content, Stream::new(Dictionary::new(), content.into_bytes()).into());
            let started_at = notes.next;
            let shown = guard::caught(|| pdf_extract::output_doc_page(document, &mut notes, 1));
            if shown.is_ok() || notes.next > last {
                break;
            }
            if notes.next == started_at && started_at == 0 && notes.found.is_empty() {
                // Nothing came at all: the font itself is the trouble, unless its first code is.
                notes.next = 1;
                continue;
            }
            notes.next += 1;
        }
        document.objects.insert(self.page_content, Object::Null);
        document.objects.insert(self.font, Object::Null);
        if let Ok(root) = own_root {
            document.trailer.set("Root", root);
        }
        notes.found
    }
}

/// Listens to `pdf-extract`.
struct Notes {
    /// The code that is shown next.
    next: u32,
    found: Vec<(u32, Text, f32)>,
}

impl OutputDev for Notes {
    fn begin_page(
        &mut self,
        _: u32,
        _: &MediaBox,
        _: Option<(f64, f64, f64, f64)>,
    ) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_page(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn output_character(
        &mut self,
        _: &Transform,
        width: f64,
        _: f64,
        _: f64,
        text: &str,
    ) -> Result<(), OutputError> {
        if text != "\0"
            && let Some(text) = Text::new(text)
        {
            self.found.push((self.next, text, width as f32));
        }
        self.next += 1;
        Ok(())
    }

    fn begin_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
}

/// Follows references, a few deep.
pub(super) fn dereference<'a>(document: &'a Document, object: &'a Object) -> Option<&'a Object> {
    document.dereference(object).ok().map(|(_, object)| object)
}

pub(super) fn number(object: &Object) -> Option<f64> {
    match object {
        Object::Integer(n) => Some(*n as f64),
        Object::Real(n) => Some(f64::from(*n)).filter(|n| n.is_finite()),
        _ => None,
    }
}

fn name(document: &Document, dictionary: &Dictionary, key: &[u8]) -> Option<String> {
    let object = dereference(document, dictionary.get(key).ok()?)?;
    Some(String::from_utf8_lossy(object.as_name().ok()?).into_owned())
}

fn array<'a>(document: &'a Document, dictionary: &'a Dictionary, key: &[u8]) -> Option<&'a Vec<Object>> {
    dereference(document, dictionary.get(key).ok()?)?.as_array().ok()
}

/// Predefined CMaps (ISO 32000-1, table 118) by the encoding that they read; Identity and embedded ones by code width.
fn composite_codes(document: &Document, font: &Dictionary) -> Codes {
    let encoding = font.get(b"Encoding").ok().and_then(|e| dereference(document, e));
    match encoding {
        Some(Object::Name(name)) => {
            let name = String::from_utf8_lossy(name);
            let prefixes: [(&str, &'static Encoding); 18] = [
                ("UniGB", encoding_rs::UTF_16BE),
                ("UniCNS", encoding_rs::UTF_16BE),
                ("UniJIS", encoding_rs::UTF_16BE),
                ("UniKS", encoding_rs::UTF_16BE),
                ("GBK", encoding_rs::GB18030),
                ("GBpc", encoding_rs::GB18030),
                ("GB-EUC", encoding_rs::GB18030),
                ("B5", encoding_rs::BIG5),
                ("HKscs", encoding_rs::BIG5),
                ("ETen", encoding_rs::BIG5),
                ("ETenms", encoding_rs::BIG5),
                ("83pv-RKSJ", encoding_rs::SHIFT_JIS),
                ("90", encoding_rs::SHIFT_JIS),
                ("Add-RKSJ", encoding_rs::SHIFT_JIS),
                ("Ext-RKSJ", encoding_rs::SHIFT_JIS),
                ("EUC-", encoding_rs::EUC_JP),
                ("KSCms", encoding_rs::EUC_KR),
                ("KSC", encoding_rs::EUC_KR),
            ];
            let known = prefixes.iter().find(|(prefix, _)| name.starts_with(prefix));
            known.map_or(Codes::Two, |(_, encoding)| Codes::Known(encoding))
        }
        Some(Object::Stream(stream)) => {
            let content = stream.decompressed_content().unwrap_or_default();
            let text = String::from_utf8_lossy(&content);
            let ranges = text
                .split("begincodespacerange")
                .nth(1)
                .and_then(|rest| rest.split("endcodespacerange").next());
            let digits = ranges.and_then(|r| r.split('<').nth(1)).map(|code| code.find('>').unwrap_or(4));
            if digits == Some(2) { Codes::One } else { Codes::Two }
        }
        _ => Codes::Two,
    }
}
