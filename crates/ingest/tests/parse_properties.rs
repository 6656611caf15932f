//! What holds for every input: no panic, spans that slice back, pages that partition the text.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::path::Path;

use lore_core::{BlockKind, Format, Limits, Parsed};
use lore_ingest::parse::{ParseError, parse};
use proptest::prelude::*;

mod small;

/// What holds for all parsed text.
fn check(parsed: &Parsed) {
    let index = parsed.char_index();
    let slices: Vec<&str> = parsed
        .blocks
        .iter()
        .map(|b| {
            let slice = b.span.slice(&parsed.text).unwrap();
            assert_eq!(slice, index.slice(&parsed.text, b.span));
            assert!(!slice.trim().is_empty());
            assert_eq!(slice, slice.trim());
            slice
        })
        .collect();
    assert!(parsed.blocks.windows(2).all(|w| w[0].span.end < w[1].span.start));
    // The blocks cover everything but the blank lines between them.
    assert_eq!(slices.join("\n\n"), parsed.text);
    assert!(parsed.text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t')), "control character");
    assert!(parsed.text.lines().all(|l| l == l.trim_end()), "white space at a line's end");
    let headings: Vec<usize> =
        parsed.blocks.iter().filter(|b| b.kind == BlockKind::Heading).map(|b| b.span.start).collect();
    assert_eq!(headings, parsed.headings.iter().map(|h| h.at).collect::<Vec<_>>());
    for (block, slice) in parsed.blocks.iter().zip(&slices) {
        if block.kind == BlockKind::Heading {
            assert!(slice.starts_with('#') && !slice.contains('\n'));
        }
    }
    if let (Some(first), Some(last)) = (parsed.pages.first(), parsed.pages.last()) {
        assert_eq!(first.start, 0);
        assert_eq!(last.end, parsed.text.chars().count());
        assert!(parsed.pages.windows(2).all(|w| w[0].end == w[1].start));
    }
}

fn read(format: Format, bytes: &[u8]) {
    match parse(format, bytes, "name.txt", &Limits::default()) {
        Ok(parsed) => check(&parsed),
        Err(ParseError::Panicked { detail, .. }) => panic!("{format:?}: {detail}"),
        Err(_) => {}
    }
}

/// Text with the characters that parsers look at, and any others.
fn marked_up() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "\\PC{0,12}",
        Just("\n".to_owned()),
        Just("\r\n\r\n".to_owned()),
        Just("| a | b |\n| --- | --- |\n".to_owned()),
        Just("- ".to_owned()),
        Just("  1. ".to_owned()),
        Just("> ".to_owned()),
        Just("# ".to_owned()),
        Just("```\n".to_owned()),
        Just("---\n".to_owned()),
        Just("<table><tr><td rowspan=3>".to_owned()),
        Just("<ul><li>".to_owned()),
        Just("</p><br><br>".to_owned()),
        Just("<h2>".to_owned()),
        Just("中文字符，".to_owned()),
        Just("\"a;b\",".to_owned()),
        Just("\u{0}\u{FEFF}\u{AD}\u{2028}".to_owned()),
        "[\\x00-\\x7f]{0,20}",
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn text_formats_take_anything(text in marked_up()) {
        for format in [Format::Md, Format::Txt, Format::Html, Format::Csv, Format::Eml] {
            read(format, text.as_bytes());
        }
    }

    #[test]
    fn all_formats_take_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for format in Format::ALL {
            read(format, &bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn office_files_take_any_text(texts in prop::collection::vec(marked_up(), 1..4)) {
        let text = |i: usize| small::escaped(&texts[i % texts.len()]);
        let run = |i: usize| format!("<w:p><w:r><w:t>{}</w:t></w:r></w:p>", text(i));
        let cell = |i: usize| format!("<w:tc><w:tcPr><w:gridSpan w:val=\"2\"/></w:tcPr>{}</w:tc>", run(i));
        let title = format!("<w:p><w:pPr><w:pStyle w:val=\"U1\"/></w:pPr><w:r><w:t>{}</w:t></w:r></w:p>", text(1));
        let row = format!("<w:tr>{}{}</w:tr>", cell(0), cell(1));
        read(Format::Docx, &small::docx(&format!("{}{title}{}<w:tbl>{row}{row}</w:tbl>", run(0), run(2))));
        let line = |i: usize| format!("<a:p><a:r><a:t>{}</a:t></a:r></a:p>", text(i));
        let shape = |kind: &str, i: usize| format!(
            "<p:sp><p:nvSpPr><p:nvPr><p:ph type=\"{kind}\"/></p:nvPr></p:nvSpPr><p:txBody>{}{}</p:txBody></p:sp>",
            line(i), line(i + 1),
        );
        read(Format::Pptx, &small::pptx_with(&(shape("title", 0) + &shape("body", 1)), "", &[]));
        let at = |name: &str, i: usize| format!("<c r=\"{name}\" t=\"inlineStr\"><is><t>{}</t></is></c>", text(i));
        let sheet = format!(
            "<sheetData><row r=\"1\">{}</row><row r=\"2\">{}{}</row><row r=\"3\">{}{}</row></sheetData>",
            at("A1", 0), at("A2", 1), at("C2", 2), at("A3", 2), at("B3", 0),
        );
        read(Format::Xlsx, &small::xlsx(&sheet));
    }

    #[test]
    fn pdfs_take_any_text(texts in prop::collection::vec(marked_up(), 1..6), bold in any::<bool>()) {
        let page = |skip: usize| -> Vec<small::Placed> {
            let lines = texts.iter().skip(skip).enumerate();
            lines.map(|(i, text)| (60.0 + 20.0 * (i % 3) as f32, 780.0 - 14.0 * i as f32, 11.0, bold && i == 0, text.as_str())).collect()
        };
        read(Format::Pdf, &small::pdf(&[page(0), page(1)]));
    }
}

/// A small generator, so that failures repeat.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

#[test]
fn damaged_real_files_never_panic() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/formats");
    if !folder.is_dir() {
        println!("skipped: {} is absent", folder.display());
        return;
    }
    let limits = Limits { parse_seconds: 20, ..Limits::default() };
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut tried = 0;
    for kind in ["csv", "docx", "email", "html", "md", "pdf", "pptx", "xlsx"] {
        for entry in std::fs::read_dir(folder.join(kind).join("sources")).unwrap().flatten() {
            let path = entry.path();
            let Some(format) = path.extension().and_then(|e| Format::from_extension(e.to_str()?)) else {
                continue;
            };
            let bytes = std::fs::read(&path).unwrap();
            if bytes.len() > 120_000 {
                continue;
            }
            for round in 0..6 {
                let mut damaged = bytes.clone();
                if round < 3 {
                    damaged.truncate(1 + random.below(bytes.len() - 1));
                } else {
                    for _ in 0..1 + random.below(24) {
                        let at = random.below(damaged.len());
                        damaged[at] ^= 1 << random.below(8);
                    }
                }
                match parse(format, &damaged, "damaged", &limits) {
                    Ok(parsed) => check(&parsed),
                    Err(ParseError::Panicked { detail, .. }) => {
                        panic!("{} in round {round}: {detail}", path.display())
                    }
                    Err(ParseError::TimedOut { .. }) => panic!("{} in round {round}: time", path.display()),
                    Err(_) => {}
                }
                tried += 1;
            }
        }
    }
    println!("{tried} damaged files");
}
