//! Small documents made here, one point each.

#![allow(clippy::unwrap_used, reason = "tests")]

mod small;

use lopdf::{Dictionary, Document, Object, Stream, dictionary};
use lore_core::{BlockKind, Format, Limits, Parsed};
use lore_ingest::parse::{ParseError, detect, parse};

use small::{docx, pdf, xlsx, zipped};

fn read(format: Format, bytes: &[u8]) -> Result<Parsed, ParseError> {
    parse(format, bytes, &format!("small.{}", format.extension()), &Limits::default())
}

fn text(format: Format, source: &str) -> String {
    read(format, source.as_bytes()).unwrap().text
}

#[test]
fn markdown_keeps_its_source() {
    let source = "---\ntitle: \"Leave\"\n---\nSetext\n======\n\nA *wrapped*\nline with a [link](x.md).\n\n中文\n换行。\n\n\
                  1) one\n   more\n2) two\n   * deep\n\n     second paragraph\n\n> quoted\n> text\n\n\
                  |a|b\\|c|\n|-|:-:|\n| 1 |  2|\n\n```sh\nls\n\nrm\n```\n\nhard  \nbreak\n\n***\n<!-- gone -->\n[^1]: note\n\nsee[^1]\n";
    let parsed = read(Format::Md, source.as_bytes()).unwrap();
    insta::assert_snapshot!(parsed.text, @r"
    # Setext

    A *wrapped* line with a [link](x.md).

    中文换行。

    1. one more
    2. two
      - deep
        second paragraph

    > quoted text

    | a | b\|c |
    | --- | --- |
    | 1 | 2 |

    ```sh
    ls

    rm
    ```

    hard
    break

    [^1]: note

    see[^1]
    ");
    assert_eq!(parsed.title.as_deref(), Some("Leave"));
    assert_eq!(parsed.headings[0].title, "Setext");
    let kinds: Vec<BlockKind> = parsed.blocks.iter().map(|b| b.kind).collect();
    assert_eq!(kinds[3..7], [BlockKind::List, BlockKind::Paragraph, BlockKind::Table, BlockKind::Code]);
}

#[test]
fn plain_text_is_reflowed_where_it_was_wrapped() {
    let source = "GENERAL TERMS\n\nThis paragraph was wrapped by an editor at about seventy columns, so\n\
                  that its lines belong together; they are joined with one space each.\n\n\
                  Phone: 1234\nRoom: 5\n\n- first\n- second\n\nSummary\n-------\nEnd.\n";
    insta::assert_snapshot!(text(Format::Txt, source), @r"
    # GENERAL TERMS

    This paragraph was wrapped by an editor at about seventy columns, so that its lines belong together; they are joined with one space each.

    Phone: 1234
    Room: 5

    - first
    - second

    ## Summary

    End.
    ");
}

#[test]
fn word_documents() {
    let p = |properties: &str, runs: &str| format!("<w:p><w:pPr>{properties}</w:pPr>{runs}</w:p>");
    let r = |t: &str| format!("<w:r><w:t xml:space=\"preserve\">{t}</w:t></w:r>");
    let cell =
        |properties: &str, t: &str| format!("<w:tc><w:tcPr>{properties}</w:tcPr>{}</w:tc>", p("", &r(t)));
    let item = |level: u8, t: &str| {
        p(&format!(r#"<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="7"/></w:numPr>"#), &r(t))
    };
    let body = [
        p(r#"<w:pStyle w:val="Title"/>"#, &r("Policy")),
        p(r#"<w:pStyle w:val="U1"/>"#, &r("Scope")),
        p(r#"<w:pStyle w:val="U2"/>"#, &r("Details")),
        p(
            "",
            &format!(
                "{}<w:ins>{}</w:ins><w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:hyperlink>{}</w:hyperlink>\
                 <w:r><w:br/><w:t>line</w:t><w:tab/><w:t>tab &amp; more</w:t></w:r>\
                 <w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r>",
                r("Text "),
                r("added "),
                r("link")
            ),
        ),
        item(0, "one"),
        item(1, "deep"),
        item(0, "two"),
        format!(
            "<w:tbl><w:tr>{}{}</w:tr><w:tr>{}{}{}</w:tr><w:tr>{}{}{}</w:tr></w:tbl>",
            cell(r#"<w:gridSpan w:val="2"/>"#, "Head"),
            cell("", "C|D"),
            cell(r#"<w:vMerge w:val="restart"/>"#, "tall"),
            cell("", "1"),
            cell("", "2"),
            cell("<w:vMerge/>", ""),
            cell("", "3"),
            cell("", "4"),
        ),
        format!(
            "<w:p><w:r><mc:AlternateContent><mc:Choice><w:drawing><w:txbxContent>{box}</w:txbxContent></w:drawing></mc:Choice>\
             <mc:Fallback><w:pict><w:txbxContent>{box}</w:txbxContent></w:pict></mc:Fallback></mc:AlternateContent></w:r>{}</w:p>",
            r("Anchor"),
            box = p("", &r("In a box")),
        ),
    ]
    .concat();
    let parsed = read(Format::Docx, &docx(&body)).unwrap();
    insta::assert_snapshot!(parsed.text, @r"
    # Policy

    ## Scope

    ### Details

    Text added link line tab & more

    1. one
      - deep
    2. two

    | Head | Head | C\|D |
    | --- | --- | --- |
    | tall | 1 | 2 |
    | tall | 3 | 4 |

    Anchor

    In a box

    A note.
    ");
    assert_eq!(parsed.title.as_deref(), Some("Policy"));
}

#[test]
fn presentations() {
    let rel = |id: &str, kind: &str, target: &str| {
        format!(
            r#"<Relationships><Relationship Id="{id}" Type="http://x/{kind}" Target="{target}"/></Relationships>"#
        )
    };
    let shape = |kind: &str, paragraphs: &str| {
        format!(
            r#"<p:sp><p:nvSpPr><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr><p:txBody>{paragraphs}</p:txBody></p:sp>"#
        )
    };
    let line = |level: u8, t: &str| format!(r#"<a:p><a:pPr lvl="{level}"/><a:r><a:t>{t}</a:t></a:r></a:p>"#);
    let slide = |shapes: &str| format!("<p:sld><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>");
    let bytes = zipped(&[
        ("_rels/.rels", &rel("a", "officeDocument", "/ppt/presentation.xml")),
        (
            "ppt/presentation.xml",
            r#"<p:presentation><p:sldIdLst><p:sldId id="256" r:id="s2"/><p:sldId id="257" r:id="s1"/></p:sldIdLst></p:presentation>"#,
        ),
        (
            "ppt/_rels/presentation.xml.rels",
            r#"<Relationships><Relationship Id="s1" Type="x/slide" Target="slides/b.xml"/>
            <Relationship Id="s2" Type="x/slide" Target="slides/a.xml"/></Relationships>"#,
        ),
        (
            "ppt/slides/a.xml",
            &slide(&format!(
                "{}{}",
                shape("body", &(line(0, "x") + &line(1, "y"))),
                shape("title", &line(0, "First"))
            )),
        ),
        ("ppt/slides/_rels/a.xml.rels", &rel("n", "notesSlide", "../notes/a.xml")),
        (
            "ppt/notes/a.xml",
            &slide(&(shape("body", &line(0, "Say hello.")) + &shape("sldNum", &line(0, "1")))),
        ),
        (
            "ppt/slides/b.xml",
            &slide(&(shape("title", &line(0, "Second")) + &shape("ftr", &line(0, "footer")))),
        ),
    ]);
    let parsed = read(Format::Pptx, &bytes).unwrap();
    assert_eq!(parsed.text, "## First\n\n- x\n  - y\n\nNotes: Say hello.\n\n## Second");
    assert_eq!(parsed.pages[1].slice(&parsed.text), Some("## Second"));
    assert_eq!(detect("a.pptx", &bytes), Ok(Format::Pptx));
    assert_eq!(
        detect("a.docx", &bytes).unwrap_err().to_string(),
        "the name says docx but the content is a pptx; rename it"
    );
}

#[test]
fn workbooks() {
    let s = |at: &str, t: &str| format!(r#"<c r="{at}" t="inlineStr"><is><t>{t}</t></is></c>"#);
    let n = |at: &str, style: u8, v: &str| format!(r#"<c r="{at}" s="{style}"><v>{v}</v></c>"#);
    let sheet = format!(
        "<sheetData><row r=\"2\">{}</row><row r=\"3\">{}{}{}</row><row r=\"4\">{}{}{}</row><row r=\"5\">{}{}{}</row>\
         <row r=\"9\">{}{}</row><row r=\"10\">{}{}</row><row r=\"1048576\">{}</row></sheetData>",
        s("B2", "Price list"),
        s("B3", "Part"),
        s("C3", "EUR"),
        s("XFD3", "Tax"),
        s("B4", "Pump"),
        n("C4", 0, "42.0"),
        n("XFD4", 1, "0.19"),
        s("B5", "Valve"),
        n("C5", 3, "1234.5"),
        n("XFD5", 1, "7.0000000000000007E-2"),
        s("B9", "From"),
        s("C9", "Until"),
        n("B10", 2, "46023"),
        n("C10", 2, "46387"),
        s("A1048576", "far away"),
    );
    assert_eq!(
        read(Format::Xlsx, &xlsx(&sheet)).unwrap().text,
        "## Prices\n\nPrice list\n\n| Part | EUR | Tax |\n| --- | --- | --- |\n| Pump | 42 | 19% |\n| Valve | 1234.50 | 7% |\n\n\
         | From | Until |\n| --- | --- |\n| 2026-01-01 | 2026-12-31 |\n\nfar away"
    );
}

const PROSE: [&str; 4] = [
    "The provider answers each report within two working days, and the con-",
    "tract runs for three years from the date of the signature of both of the",
    "parties unless it is ended in writing by one of them three months before",
    "its end.",
];

#[test]
fn pdf_lines_become_paragraphs_and_furniture_goes() {
    let page = |number: &'static str, offset: usize| {
        let mut lines =
            vec![(60.0, 800.0, 9.0, false, "Service agreement"), (280.0, 30.0, 9.0, false, number)];
        lines.push((60.0, 760.0, 16.0, true, ["Terms", "Fees", "End"][offset]));
        lines.extend(PROSE.iter().enumerate().map(|(i, l)| (60.0, 730.0 - 14.0 * i as f32, 11.0, false, *l)));
        lines
    };
    let parsed =
        read(Format::Pdf, &pdf(&[page("Page 1 of 3", 0), page("Page 2 of 3", 1), page("Page 3 of 3", 2)]))
            .unwrap();
    let prose = "The provider answers each report within two working days, and the contract runs for three years from \
                 the date of the signature of both of the parties unless it is ended in writing by one of them three \
                 months before its end.";
    assert_eq!(parsed.text, format!("# Terms\n\n{prose}\n\n# Fees\n\n{prose}\n\n# End\n\n{prose}"));
    assert_eq!(parsed.pages.len(), 3);
    assert!(parsed.pages[1].slice(&parsed.text).unwrap().starts_with("# Fees"));
    assert_eq!(parsed.language.as_deref(), Some("en"));
}

#[test]
fn pdf_columns_are_read_one_after_the_other() {
    let left = [
        "Alpha begins the first column of",
        "this page and goes on for quite",
        "some lines until the column has",
        "been filled with words, which is",
        "what a column of a paper does.",
    ];
    let right = [
        "Omega stands in the column at the",
        "right and must not be mixed with",
        "the lines of the first one, even",
        "though their baselines are equal",
        "on each line of the whole page.",
    ];
    let mut lines = Vec::new();
    for i in 0..5 {
        let y = 700.0 - 13.0 * i as f32;
        lines.push((50.0, y, 10.0, false, left[i]));
        lines.push((320.0, y, 10.0, false, right[i]));
    }
    let text = read(Format::Pdf, &pdf(&[lines])).unwrap().text;
    assert_eq!(text, format!("{}\n\n{}", left.join(" "), right.join(" ")));
}

#[test]
fn pdf_tables_have_rows() {
    let mut lines = vec![
        (60.0, 700.0, 10.0, true, "Item"),
        (300.0, 700.0, 10.0, true, "2025"),
        (400.0, 700.0, 10.0, true, "2026"),
    ];
    for (i, (a, b, c)) in [("Sales", "1,200", "1,300"), ("Costs", "(900)", "(950)"), ("Profit", "300", "350")]
        .iter()
        .enumerate()
    {
        let y = 684.0 - 16.0 * i as f32;
        lines.extend([
            (60.0, y, 10.0, false, *a),
            (290.0, y, 10.0, false, "$"),
            (300.0, y, 10.0, false, *b),
            (400.0, y, 10.0, false, *c),
        ]);
    }
    assert_eq!(
        read(Format::Pdf, &pdf(&[lines])).unwrap().text,
        "| Item | 2025 | 2026 |\n| --- | --- | --- |\n| Sales | $1,200 | 1,300 |\n| Costs | $(900) | (950) |\n| Profit | $300 | 350 |"
    );
}

#[test]
fn pdfs_without_text_say_so() {
    assert_eq!(
        read(Format::Pdf, &pdf(&[vec![], vec![]])).unwrap_err().to_string(),
        "no text layer, 2 pages; run OCR first"
    );
    let whole = pdf(&[vec![(60.0, 700.0, 10.0, false, "Hello there")]]);
    assert!(matches!(
        read(Format::Pdf, &whole[..whole.len() / 3]),
        Err(ParseError::Truncated { .. } | ParseError::Corrupt { .. })
    ));
}

#[test]
fn limits_hold() {
    let small = Limits { document_bytes: 10, ..Limits::default() };
    assert!(matches!(
        parse(Format::Txt, b"more than ten bytes", "a.txt", &small),
        Err(ParseError::TooLarge { .. })
    ));
    let few = Limits { document_pages: 2, ..Limits::default() };
    let three = pdf(&[vec![], vec![], vec![]]);
    assert!(matches!(parse(Format::Pdf, &three, "a.pdf", &few), Err(ParseError::TooLarge { .. })));
    assert_eq!(read(Format::Txt, b" \n\t"), Err(ParseError::Empty));
    assert_eq!(read(Format::Html, b"<script>x</script>"), Err(ParseError::Empty));
}

#[test]
fn archive_bombs_are_not_read() {
    let body = format!("<w:p><w:r><w:t>{}</w:t></w:r></w:p>", " ".repeat(80 << 20));
    let bytes = docx(&body);
    assert!(bytes.len() < 1 << 20);
    assert!(matches!(read(Format::Docx, &bytes), Err(ParseError::ArchiveBomb { .. })));
    let bomb = xlsx(&format!("<sheetData/><!--{}-->", " ".repeat(80 << 20)));
    let refused = read(Format::Xlsx, &bomb);
    assert!(matches!(refused, Err(ParseError::ArchiveBomb { .. })), "{} {refused:?}", bomb.len());
    let mut document = Document::with_version("1.5");
    let mut stream = Stream::new(Dictionary::new(), vec![b' '; 40 << 20]);
    stream.compress().unwrap();
    document.add_object(stream);
    let mut bytes = Vec::new();
    document.save_to(&mut bytes).unwrap();
    let limits = Limits { archive_bytes: 16 << 20, ..Limits::default() };
    assert!(matches!(parse(Format::Pdf, &bytes, "a.pdf", &limits), Err(ParseError::ArchiveBomb { .. })));
}

/// A diagram's data with two points that are shown, and one that is not.
const DIAGRAM: &str = r#"<dgm:dataModel><dgm:ptLst><dgm:pt type="doc"><dgm:t><a:p/></dgm:t></dgm:pt>
    <dgm:pt><dgm:t><a:p><a:r><a:t>Ask your </a:t></a:r><a:r><a:t>manager</a:t></a:r></a:p></dgm:t></dgm:pt>
    <dgm:pt type="pres"><dgm:t><a:p><a:r><a:t>layout</a:t></a:r></a:p></dgm:t></dgm:pt>
    <dgm:pt type="node"><dgm:t><a:p><a:r><a:t>Book the trip</a:t></a:r></a:p></dgm:t></dgm:pt></dgm:ptLst></dgm:dataModel>"#;

#[test]
fn diagrams_are_lists() {
    let graphic = r#"<a:graphic><a:graphicData><dgm:relIds r:dm="d9"/></a:graphicData></a:graphic>"#;
    let relation = r#"<Relationship Id="d9" Type="http://x/diagramData" Target="../diagrams/data1.xml"/>"#;
    let slide = small::pptx_with(
        &format!("<p:graphicFrame>{graphic}</p:graphicFrame>"),
        relation,
        &[("ppt/diagrams/data1.xml", DIAGRAM)],
    );
    let list = "- Ask your manager\n- Book the trip";
    assert_eq!(read(Format::Pptx, &slide).unwrap().text, list);
    let body = format!("<w:p><w:r><w:t>Steps</w:t></w:r><w:r><w:drawing>{graphic}</w:drawing></w:r></w:p>");
    let report =
        small::docx_with(&body, &relation.replace("../", ""), &[("word/diagrams/data1.xml", DIAGRAM)]);
    assert_eq!(read(Format::Docx, &report).unwrap().text, format!("Steps\n\n{list}\n\nA note."));
}

#[test]
fn text_boxes_within_cells_stay() {
    let p = |inner: &str| format!("<w:p><w:r>{inner}</w:r></w:p>");
    let boxed = format!(
        "<w:t>Pump</w:t><w:pict><w:txbxContent>{}</w:txbxContent></w:pict>",
        p("<w:t>out of stock</w:t>")
    );
    let cell = |inner: &str| format!("<w:tc>{}</w:tc>", p(inner));
    let row = format!("<w:tr>{}{}</w:tr>", cell(&boxed), cell("<w:t>42</w:t>"));
    let bytes = docx(&format!("<w:tbl>{}{row}</w:tbl>", row.replace("Pump", "Valve")));
    assert!(read(Format::Docx, &bytes).unwrap().text.contains("| Pump out of stock | 42 |"));
}

#[test]
fn what_was_filled_into_a_form_is_read() {
    let mut document = small::pdf_document(&[vec![(60.0, 700.0, 10.0, false, "Travel request")]]);
    let field = document.add_object(dictionary! {
        "FT" => "Tx", "T" => Object::string_literal("dest"), "TU" => Object::string_literal("Destination:"),
        "V" => Object::string_literal("Munich"),
    });
    let widgets: Vec<Object> = vec![
        dictionary! { "Subtype" => "Widget", "Parent" => field }.into(),
        dictionary! { "Subtype" => "Widget", "FT" => "Tx", "T" => Object::string_literal("note") }.into(),
        dictionary! { "Subtype" => "Widget", "FT" => "Btn", "T" => Object::string_literal("By train"), "V" => "Yes", "AS" => "Yes" }.into(),
        dictionary! { "Subtype" => "Widget", "FT" => "Btn", "T" => Object::string_literal("By car"), "V" => "Off", "AS" => "Off" }.into(),
    ];
    let page = document.get_pages()[&1];
    document.get_dictionary_mut(page).unwrap().set("Annots", widgets);
    let parsed = read(Format::Pdf, &small::saved(&mut document)).unwrap();
    assert_eq!(parsed.text, "Travel request\n\n- Destination: Munich\n- By train: Yes");
}
