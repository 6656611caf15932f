//! Files made to exhaust memory or time: each is refused, or read in no time.

#![allow(clippy::unwrap_used, reason = "tests")]

mod small;

use lopdf::{
    Dictionary, Document, EncryptionState, EncryptionVersion, Object, Permissions, Stream, dictionary,
};
use lore_core::{Format, Limits, Parsed};
use lore_ingest::parse::{ParseError, parse};

/// Limits that a bomb of a test passes soon.
fn tight() -> Limits {
    Limits { archive_bytes: 4 << 20, text_chars: 1_000_000, parse_seconds: 60, ..Limits::default() }
}

fn read(format: Format, bytes: &[u8]) -> Result<Parsed, ParseError> {
    parse(format, bytes, "hostile", &tight())
}

fn is_bomb(bytes: &[u8]) -> bool {
    let refused = read(Format::Pdf, bytes);
    assert!(matches!(refused, Err(ParseError::ArchiveBomb { .. })), "{} bytes: {refused:?}", bytes.len());
    true
}

fn is_too_large(format: Format, bytes: &[u8]) {
    let refused = read(format, bytes);
    assert!(matches!(refused, Err(ParseError::TooLarge { .. })), "{format:?}, {} bytes", bytes.len());
}

#[test]
fn a_workbook_may_not_claim_more_strings_than_it_holds() {
    let strings = |count: &str| {
        let sst = format!(
            r#"<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" count="9" uniqueCount="{count}"><si><t>word</t></si></sst>"#
        );
        small::xlsx_with(
            r#"<sheetData><row r="1"><c r="A1" t="s"><v>0</v></c></row></sheetData>"#,
            &[("xl/sharedStrings.xml", &sst)],
        )
    };
    assert_eq!(read(Format::Xlsx, &strings("1")).unwrap().text, "## Prices\n\nword");
    for count in ["1000000000000", "18446744073709551615", "+999999999999"] {
        assert!(matches!(read(Format::Xlsx, &strings(count)), Err(ParseError::Corrupt { .. })), "{count}");
    }
}

#[test]
fn a_string_of_many_cells_counts_in_each() {
    let sst = format!("<sst><si><t>{}</t></si></sst>", "word ".repeat(2_000));
    let cells: String =
        (1..20_000).map(|row| format!(r#"<row r="{row}"><c r="A{row}" t="s"><v>0</v></c></row>"#)).collect();
    let book =
        small::xlsx_with(&format!("<sheetData>{cells}</sheetData>"), &[("xl/sharedStrings.xml", &sst)]);
    is_too_large(Format::Xlsx, &book);
}

#[test]
fn sparse_rows_are_not_padded_beyond_the_limit() {
    let column = |mut n: usize| {
        let mut name = Vec::new();
        while n > 0 {
            n -= 1;
            name.insert(0, b'A' + (n % 26) as u8);
            n /= 26;
        }
        String::from_utf8(name).unwrap()
    };
    let cells: String = (1..4_000)
        .map(|row| {
            let at = column(row);
            format!(r#"<row r="{row}"><c r="{at}{row}" t="inlineStr"><is><t>x</t></is></c></row>"#)
        })
        .collect();
    is_too_large(Format::Xlsx, &small::xlsx(&format!("<sheetData>{cells}</sheetData>")));
    let ragged = format!("{}\n{}", ",".repeat(10_000) + "x", "a\n".repeat(10_000));
    is_too_large(Format::Csv, ragged.as_bytes());
}

#[test]
fn spans_do_not_multiply_text() {
    let word = "word ".repeat(2_000);
    let rows = "<tr><td>x</td></tr>".repeat(200);
    let page = format!("<table><tr><td colspan=99 rowspan=99>{word}</td><td>a</td></tr>{rows}</table>");
    is_too_large(Format::Html, page.as_bytes());
    let run = |text: &str| format!("<w:p><w:r><w:t>{text}</w:t></w:r></w:p>");
    let cell = |properties: &str, text: &str| {
        format!("<w:tc><w:tcPr><w:gridSpan w:val=\"99\"/>{properties}</w:tcPr>{}</w:tc>", run(text))
    };
    let first = format!("<w:tr>{}</w:tr>", cell("<w:vMerge w:val=\"restart\"/>", &word));
    let next = format!("<w:tr>{}</w:tr>", cell("<w:vMerge/>", ""));
    is_too_large(Format::Docx, &small::docx(&format!("<w:tbl>{first}{}</w:tbl>", next.repeat(99))));
    let line = |text: &str| format!("<a:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></a:txBody>");
    let merged = "<a:tc hMerge=\"1\"/>".repeat(900);
    let frame = format!(
        "<p:graphicFrame><a:graphic><a:graphicData><a:tbl><a:tr><a:tc>{}</a:tc>{merged}</a:tr></a:tbl></a:graphicData>\
         </a:graphic></p:graphicFrame>",
        line(&word)
    );
    is_too_large(Format::Pptx, &small::pptx_with(&frame, "", &[]));
}

#[test]
fn a_start_tag_may_not_hold_endless_attributes() {
    let body = format!("<w:p {}/>", "a=\"\" ".repeat(100_000));
    assert!(matches!(read(Format::Docx, &small::docx(&body)), Err(ParseError::Corrupt { .. })));
}

#[test]
fn blank_lines_cost_no_more_than_once() {
    let text = format!("Title\n{}end of it.\n", "\n".repeat(2 << 20));
    assert_eq!(read(Format::Txt, text.as_bytes()).unwrap().text, "# Title\n\nend of it.");
}

/// A PDF of one page whose content is `stream`, named `times` times.
fn page_of(stream: Stream, times: usize) -> Document {
    let mut document = small::pdf_document(&[vec![(60.0, 700.0, 10.0, false, "Hello there")]]);
    let content = document.add_object(stream);
    let page = document.get_pages()[&1];
    let named: Vec<Object> = vec![content.into(); times];
    document.get_dictionary_mut(page).unwrap().set("Contents", named);
    document
}

fn flate(dictionary: Dictionary, bytes: usize) -> Stream {
    let mut stream = Stream::new(dictionary, vec![b' '; bytes]);
    stream.compress().unwrap();
    stream
}

#[test]
fn no_entry_of_a_dictionary_hides_a_bomb() {
    let size = 8 << 20;
    let set = vec!["PDF".into(), "ImageB".into()];
    let resources = dictionary! { "ProcSet" => set };
    assert!(is_bomb(&small::saved(&mut page_of(flate(dictionary! { "Resources" => resources }, size), 1))));
    let long = dictionary! { "Note" => Object::string_literal("x".repeat(5_000)) };
    assert!(is_bomb(&small::saved(&mut page_of(flate(long, size), 1))));
    // The filter's name in other letters, the file as long as before.
    let bytes = small::saved(&mut page_of(flate(dictionary! { "Paddd" => 1 }, size), 1));
    let replaced = replace(&replace(&bytes, b"/Paddd", b"/Pad"), b"/FlateDecode", b"/Fl#61teDecode");
    assert_eq!(replaced.len(), bytes.len());
    assert!(is_bomb(&replaced));
}

fn replace(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = bytes.windows(old.len()).position(|w| w == old).unwrap();
    [&bytes[..at], new, &bytes[at + old.len()..]].concat()
}

#[test]
fn a_content_stream_counts_each_time_it_is_named() {
    let filler = flate(Dictionary::new(), 64 << 10);
    assert!(
        read(Format::Pdf, &small::saved(&mut page_of(filler.clone(), 3)))
            .is_err_and(|e| e == ParseError::NoText { pages: 1 })
    );
    assert!(is_bomb(&small::saved(&mut page_of(filler, 1_000))));
}

#[test]
fn encrypted_bombs_are_bombs() {
    let encrypted = |bytes: usize| {
        let text = b"BT /P 12 Tf 60 700 Td (Behind no password) Tj ET".to_vec();
        let mut stream = Stream::new(Dictionary::new(), [text, vec![b' '; bytes]].concat());
        stream.compress().unwrap();
        let mut document = page_of(stream, 1);
        let id = Object::string_literal("0123456789abcdef");
        document.trailer.set("ID", vec![id.clone(), id]);
        let version = EncryptionVersion::V2 {
            document: &document,
            owner_password: "owner",
            user_password: "",
            key_length: 128,
            permissions: Permissions::all(),
        };
        let state = EncryptionState::try_from(version).unwrap();
        document.encrypt(&state).unwrap();
        small::saved(&mut document)
    };
    assert_eq!(read(Format::Pdf, &encrypted(100)).unwrap().text, "Behind no password");
    assert!(is_bomb(&encrypted(8 << 20)));
}

#[test]
fn object_streams_are_read_within_the_budget() {
    let file = |mut document: Document| {
        let mut bytes = Vec::new();
        document.save_modern(&mut bytes).unwrap();
        bytes
    };
    let plain = || small::pdf_document(&[vec![(60.0, 700.0, 10.0, false, "Hello there")]]);
    let bytes = file(plain());
    assert!(bytes.windows(6).any(|w| w == b"ObjStm"));
    assert_eq!(read(Format::Pdf, &bytes).unwrap().text, "Hello there");
    let mut document = plain();
    document.add_object(Object::string_literal(vec![b'x'; 8 << 20]));
    assert!(is_bomb(&file(document)));
}

#[test]
fn rows_of_a_predictor_are_bounded() {
    let parameters = dictionary! { "Predictor" => 12, "Columns" => 1_i64 << 40 };
    let mut document = page_of(flate(dictionary! { "DecodeParms" => parameters }, 1_000), 1);
    assert!(matches!(read(Format::Pdf, &small::saved(&mut document)), Err(ParseError::NoText { .. })));
}

#[test]
fn cross_reference_streams_are_bounded() {
    let file = |entries: &str| {
        format!(
            "%PDF-1.5\n1 0 obj\n<</Type/XRef/Size 1{entries}/Length 4>>\nstream\nabcd\nendstream\nendobj\nstartxref\n9\n%%EOF\n"
        )
    };
    for entries in
        ["/W[1 1000000000000 1]", "/W [0 0 0]/Index[0 4000000000]", "/#57[0 0 0]/Index[0 4000000000]"]
    {
        let refused = read(Format::Pdf, file(entries).as_bytes());
        assert!(matches!(refused, Err(ParseError::Corrupt { .. })), "{entries}: {refused:?}");
    }
}

#[test]
fn a_map_of_four_billion_codes_is_left_out() {
    let mut document = small::pdf_document(&[vec![(60.0, 700.0, 10.0, false, "Hello there")]]);
    let map = b"/CIDInit /ProcSet findresource begin begincmap 1 beginbfrange <00000000> <FFFFFFFF> <0000> endbfrange endcmap";
    let map = document.add_object(Stream::new(Dictionary::new(), map.to_vec()));
    let font = |object: &&mut Object| object.as_dict().is_ok_and(|d| d.has(b"BaseFont"));
    let fonts = document.objects.values_mut().filter(font);
    fonts.for_each(|font| font.as_dict_mut().unwrap().set("ToUnicode", map));
    assert_eq!(read(Format::Pdf, &small::saved(&mut document)).unwrap().text, "Hello there");
}
