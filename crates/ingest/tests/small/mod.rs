//! Makers of small documents.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses some of them")]

use std::io::{Cursor, Write};

use lopdf::content::{Content, Operation};
use lopdf::{Dictionary, Document, Object, Stream, StringFormat, dictionary};
use zip::write::SimpleFileOptions;

/// Text as it stands in XML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

pub fn zipped(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

const STYLES: &str = r#"<w:styles xmlns:w="w"><w:style w:type="paragraph" w:styleId="U1"><w:name w:val="Überschrift eins"/>
<w:pPr><w:outlineLvl w:val="0"/></w:pPr></w:style><w:style w:type="paragraph" w:styleId="U2"><w:name w:val="x"/>
<w:basedOn w:val="U1"/><w:pPr><w:outlineLvl w:val="1"/></w:pPr></w:style></w:styles>"#;

const NUMBERING: &str = r#"<w:numbering xmlns:w="w"><w:abstractNum w:abstractNumId="0"><w:lvl w:ilvl="0"><w:start w:val="1"/>
<w:numFmt w:val="decimal"/><w:lvlText w:val="%1."/></w:lvl><w:lvl w:ilvl="1"><w:numFmt w:val="bullet"/>
<w:lvlText w:val="o"/></w:lvl></w:abstractNum><w:num w:numId="7"><w:abstractNumId w:val="0"/></w:num></w:numbering>"#;

pub fn docx(body: &str) -> Vec<u8> {
    docx_with(body, "", &[])
}

/// With further relationships and parts.
pub fn docx_with(body: &str, relationships: &str, parts: &[(&str, &str)]) -> Vec<u8> {
    let rel = |id: &str, kind: &str, target: &str| {
        format!(r#"<Relationship Id="{id}" Type="http://x/{kind}" Target="{target}"/>"#)
    };
    let relations = format!(
        "<Relationships>{}{}{}{relationships}</Relationships>",
        rel("a", "styles", "styles.xml"),
        rel("b", "numbering", "numbering.xml"),
        rel("c", "footnotes", "footnotes.xml")
    );
    let package =
        format!("<Relationships>{}</Relationships>", rel("a", "officeDocument", "word/document.xml"));
    let document = format!("<w:document xmlns:w=\"w\"><w:body>{body}</w:body></w:document>");
    let main = [
        ("_rels/.rels", package.as_str()),
        ("word/_rels/document.xml.rels", relations.as_str()),
        ("word/styles.xml", STYLES),
        ("word/numbering.xml", NUMBERING),
        (
            "word/footnotes.xml",
            r#"<w:footnotes><w:footnote w:type="separator"><w:p><w:r><w:t>sep</w:t></w:r></w:p></w:footnote>
            <w:footnote w:id="2"><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote></w:footnotes>"#,
        ),
        ("word/document.xml", document.as_str()),
    ];
    zipped(&[&main, parts].concat())
}

/// A presentation of one slide with these shapes; with further relationships of the slide and parts.
pub fn pptx_with(shapes: &str, relationships: &str, parts: &[(&str, &str)]) -> Vec<u8> {
    let slide = format!("<p:sld><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>");
    let relations = format!("<Relationships>{relationships}</Relationships>");
    let main = [
        (
            "_rels/.rels",
            r#"<Relationships><Relationship Id="a" Type="x/officeDocument" Target="/ppt/presentation.xml"/></Relationships>"#,
        ),
        (
            "ppt/presentation.xml",
            r#"<p:presentation><p:sldIdLst><p:sldId id="256" r:id="s"/></p:sldIdLst></p:presentation>"#,
        ),
        (
            "ppt/_rels/presentation.xml.rels",
            r#"<Relationships><Relationship Id="s" Type="x/slide" Target="slides/a.xml"/></Relationships>"#,
        ),
        ("ppt/slides/a.xml", slide.as_str()),
        ("ppt/slides/_rels/a.xml.rels", relations.as_str()),
    ];
    zipped(&[&main, parts].concat())
}

pub fn xlsx(sheet: &str) -> Vec<u8> {
    xlsx_with(sheet, &[])
}

/// With further parts.
pub fn xlsx_with(sheet: &str, parts: &[(&str, &str)]) -> Vec<u8> {
    let rels = r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/"#;
    let main = [
        ("[Content_Types].xml", "<Types/>".to_owned()),
        ("_rels/.rels", format!(r#"{rels}officeDocument" Target="xl/workbook.xml"/></Relationships>"#)),
        (
            "xl/workbook.xml",
            r#"<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="Prices" sheetId="1" r:id="rId1"/></sheets></workbook>"#.to_owned(),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            format!(
                r#"{rels}worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="rId2" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" Target="styles.xml"/></Relationships>"#
            ),
        ),
        (
            "xl/styles.xml",
            r#"<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><fonts><font/></fonts><fills><fill/></fills><borders><border/></borders><cellXfs><xf numFmtId="0"/><xf numFmtId="9"/><xf numFmtId="14"/><xf numFmtId="2"/></cellXfs></styleSheet>"#.to_owned(),
        ),
        (
            "xl/worksheets/sheet1.xml",
            format!(
                r#"<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{sheet}</worksheet>"#
            ),
        ),
    ];
    let main: Vec<(&str, &str)> = main.iter().map(|(name, part)| (*name, part.as_str())).collect();
    zipped(&[main.as_slice(), parts].concat())
}

/// x, y, size, bold, text.
pub type Placed<'a> = (f32, f32, f32, bool, &'a str);

/// A PDF whose pages show the given lines: x, y, size, bold, text.
pub fn pdf(pages: &[Vec<Placed>]) -> Vec<u8> {
    saved(&mut pdf_document(pages))
}

/// The bytes of `document`.
pub fn saved(document: &mut Document) -> Vec<u8> {
    let mut bytes = Vec::new();
    document.save_to(&mut bytes).unwrap();
    bytes
}

/// As [`pdf`], not yet written.
pub fn pdf_document(pages: &[Vec<Placed>]) -> Document {
    let mut document = Document::with_version("1.5");
    let root = document.new_object_id();
    let font = |document: &mut Document, base: &str| {
        document.add_object(dictionary! {
            "Type" => "Font", "Subtype" => "Type1", "BaseFont" => base, "Encoding" => "WinAnsiEncoding",
        })
    };
    let (plain, bold) = (font(&mut document, "Helvetica"), font(&mut document, "Helvetica-Bold"));
    let unicode = document.add_object(dictionary! {
        "Type" => "Font", "Subtype" => "Type0", "BaseFont" => "X", "Encoding" => "UniGB-UTF16-H",
        "DescendantFonts" => vec![
            dictionary! { "Type" => "Font", "Subtype" => "CIDFontType0", "BaseFont" => "X" }.into(),
        ],
    });
    let mut kids: Vec<Object> = Vec::new();
    for lines in pages {
        let mut operations = vec![Operation::new("BT", vec![])];
        for (x, y, size, is_bold, line) in lines {
            let name: Object = if *is_bold { "B".into() } else { "P".into() };
            operations.push(Operation::new("Tf", vec![name, (*size).into()]));
            let matrix = [1.0, 0.0, 0.0, 1.0, *x, *y].map(Object::Real);
            operations.push(Operation::new("Tm", matrix.to_vec()));
            // What Latin letters cannot say stands in a font whose codes are UTF-16.
            let string = if line.is_ascii() {
                Object::string_literal(*line)
            } else {
                operations.push(Operation::new("Tf", vec!["U".into(), (*size).into()]));
                let units = line.encode_utf16().flat_map(u16::to_be_bytes).collect();
                Object::String(units, StringFormat::Hexadecimal)
            };
            operations.push(Operation::new("Tj", vec![string]));
        }
        operations.push(Operation::new("ET", vec![]));
        let content = Content { operations }.encode().unwrap();
        let content = document.add_object(Stream::new(Dictionary::new(), content));
        let page = document.add_object(dictionary! {
            "Type" => "Page", "Parent" => root, "Contents" => content,
            "MediaBox" => vec![0.into(), 0.into(), 595.into(), 842.into()],
            "Resources" => dictionary! { "Font" => dictionary! { "P" => plain, "B" => bold, "U" => unicode } },
        });
        kids.push(page.into());
    }
    document
        .objects
        .insert(root, dictionary! { "Type" => "Pages", "Count" => kids.len() as i64, "Kids" => kids }.into());
    let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => root });
    document.trailer.set("Root", catalog);
    document
}
