//! How the codes of a font read and how wide they are.
//!
//! `pdf-extract` knows encodings, glyph names, embedded Type 1 and CFF programs and ToUnicode maps. It is asked once per
//! font, with a page of its own that shows every code, on a cleaned copy of the font, so that a font which makes it panic
//! costs that font alone. Widths of the document are read here.

use std::collections::HashMap;
use std::rc::Rc;

use encoding_rs::Encoding;
use lopdf::{Dictionary, Document, Object, ObjectId, Stream, dictionary};
use pdf_extract::{MediaBox, OutputDev, OutputError, Transform};

use super::guard;

/// Fonts kept; a document with more reads some of them again.
const MOST_FONTS: usize = 400;

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
        Some(c) if super::clean::is_cjk(c) => 1.0,
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
        Self { known: HashMap::new(), root, page_content, font }
    }

    /// The font that `object` (a reference mostly) stands for.
    pub(super) fn get(&mut self, document: &mut Document, object: &Object) -> Option<Rc<Font>> {
        let id = object.as_reference().ok();
        if let Some(font) = id.and_then(|id| self.known.get(&id)) {
            return Some(font.clone());
        }
        let dictionary = dereference(document, object)?.as_dict().ok()?.clone();
        let font = Rc::new(self.read(document, &dictionary));
        if let Some(id) = id {
            if self.known.len() >= MOST_FONTS {
                self.known.clear();
            }
            self.known.insert(id, font.clone());
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
                    .ask(document, composite_copy(font), codes)
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

fn is_bold(base: &str) -> bool {
    let base = base.to_ascii_lowercase();
    let base = base.rsplit('+').next().unwrap_or(&base);
    ["bold", "black", "heavy", "demi", "simhei", "-bd", "cmbx"].iter().any(|word| base.contains(word))
}

/// A descriptor that says semibold or more, or forces bold (ISO 32000-1, table 123, bit 19).
fn heavy(document: &Document, descriptor: &Dictionary) -> bool {
    let value = |key: &[u8]| descriptor.get(key).ok().and_then(|o| dereference(document, o)).and_then(number);
    value(b"FontWeight").is_some_and(|w| w >= 600.0)
        || value(b"Flags").is_some_and(|f| (f as i64) & (1 << 18) != 0)
        || name(document, descriptor, b"FontName").is_some_and(|n| is_bold(&n))
}

fn descendant(document: &Document, font: &Dictionary) -> Option<Dictionary> {
    let first = array(document, font, b"DescendantFonts")?.first()?;
    dereference(document, first)?.as_dict().ok().cloned()
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

/// What decides how the codes of a composite font read, and nothing else.
fn composite_copy(font: &Dictionary) -> Dictionary {
    let mut copy = dictionary! {
        "Type" => "Font",
        "Subtype" => "Type0",
        "BaseFont" => "X",
        "Encoding" => "Identity-H",
        "DescendantFonts" => vec![Object::Dictionary(dictionary! {
            "Type" => "Font", "Subtype" => "CIDFontType2", "BaseFont" => "X", "FontDescriptor" => Dictionary::new(),
        })],
    };
    if let Ok(map) = font.get(b"ToUnicode") {
        copy.set("ToUnicode", map.clone());
    }
    copy
}

/// A simple font without what makes `pdf-extract` panic or does not matter to it.
fn simple_copy(document: &Document, font: &Dictionary, base: &str, subtype: &str) -> Dictionary {
    let subtype = if subtype == "TrueType" { "TrueType" } else { "Type1" };
    let mut copy = dictionary! {
        "Type" => "Font",
        "Subtype" => subtype,
        "BaseFont" => Object::Name(if base.is_empty() { b"X".to_vec() } else { base.as_bytes().to_vec() }),
    };
    if let Ok(map) = font.get(b"ToUnicode")
        && matches!(dereference(document, map), Some(Object::Stream(_)))
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

fn font_matrix_scale(document: &Document, font: &Dictionary) -> Option<f64> {
    let matrix = array(document, font, b"FontMatrix")?;
    number(matrix.first()?).map(f64::abs).filter(|s| *s > 0.0)
}

fn simple_widths(document: &Document, font: &Dictionary, scale: f64) -> HashMap<u32, f32> {
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
fn cid_widths(document: &Document, font: &Dictionary) -> (HashMap<u32, f32>, Option<f32>) {
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
