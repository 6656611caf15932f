//! Which format a file has: its name and its content must agree.

use std::io::Cursor;

use lore_core::Format;

use super::ParseError;
use super::encoding;

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Known(Format),
    Text,
    /// An Office file in an encrypted container.
    EncryptedOffice,
    /// A zip whose directory is missing: cut off, or no zip at all.
    BrokenZip,
    /// Something else, with its article.
    Other(&'static str),
}

/// The format of a file called `name` that starts (or consists) of `bytes`.
///
/// # Errors
/// [`ParseError::Unsupported`] for an unknown extension, [`ParseError::Empty`], [`ParseError::WrongFormat`] where the
/// content is something else, [`ParseError::Encrypted`] or [`ParseError::Truncated`] where that shows already.
pub fn detect(name: &str, bytes: &[u8]) -> Result<Format, ParseError> {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let extension = file.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase()).unwrap_or_default();
    let Some(named) = Format::from_extension(&extension) else {
        return Err(ParseError::Unsupported { extension });
    };
    if bytes.iter().all(|b| b.is_ascii_whitespace()) {
        return Err(ParseError::Empty);
    }
    let wrong = |found: &str| ParseError::WrongFormat { named: extension.clone(), found: found.to_owned() };
    let plain = matches!(named, Format::Md | Format::Txt | Format::Html | Format::Csv | Format::Eml);
    match content(bytes) {
        Content::Known(found) if found == named => Ok(named),
        Content::Known(found) => Err(wrong(with_article(found))),
        Content::Text if named == Format::Eml && !has_mail_headers(bytes) => {
            Err(wrong("plain text without mail headers"))
        }
        Content::Text if plain => Ok(named),
        Content::Text => Err(wrong("plain text")),
        Content::EncryptedOffice if matches!(named, Format::Docx | Format::Pptx | Format::Xlsx) => {
            Err(ParseError::Encrypted { format: named })
        }
        Content::EncryptedOffice => Err(wrong("an encrypted Office file")),
        Content::BrokenZip if matches!(named, Format::Docx | Format::Pptx | Format::Xlsx) => {
            Err(ParseError::truncated(named, "the archive's directory is missing"))
        }
        Content::BrokenZip => Err(wrong("a damaged zip archive")),
        Content::Other(found) => Err(wrong(found)),
    }
}

fn with_article(format: Format) -> &'static str {
    match format {
        Format::Md => "a Markdown text",
        Format::Txt => "plain text",
        Format::Html => "an html page",
        Format::Pdf => "a pdf",
        Format::Docx => "a docx",
        Format::Pptx => "a pptx",
        Format::Xlsx => "an xlsx",
        Format::Csv => "a csv",
        Format::Eml => "an e-mail",
    }
}

const SIGNATURES: [(&[u8], &str); 14] = [
    (b"\x89PNG\r\n", "a png picture"),
    (b"\xFF\xD8\xFF", "a jpeg picture"),
    (b"GIF8", "a gif picture"),
    (b"II*\0", "a tiff picture"),
    (b"MM\0*", "a tiff picture"),
    (b"\x1F\x8B", "a gzip archive"),
    (b"7z\xBC\xAF", "a 7z archive"),
    (b"Rar!", "a rar archive"),
    (b"\x7FELF", "a program"),
    (b"MZ\x90", "a program"),
    (b"{\\rtf", "an rtf document"),
    (b"%!PS", "a PostScript file"),
    (b"SQLite format 3", "a SQLite database"),
    (b"OggS", "a sound"),
];

fn content(bytes: &[u8]) -> Content {
    let head = &bytes[..bytes.len().min(1024)];
    if let Some(at) = head.windows(5).position(|w| w == b"%PDF-")
        && (at == 0
            || !encoding::looks_like_text(&bytes[..at])
            || head[..at].iter().all(|b| b.is_ascii_whitespace()))
    {
        return Content::Known(Format::Pdf);
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return zipped(bytes);
    }
    if head.starts_with(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1") {
        let wide: Vec<u8> = "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes).collect();
        return if bytes.windows(wide.len()).any(|w| w == wide) {
            Content::EncryptedOffice
        } else {
            Content::Other("an Office file of before 2007 (doc, xls, ppt) or an Outlook msg")
        };
    }
    for (signature, found) in SIGNATURES {
        if head.starts_with(signature) {
            return Content::Other(found);
        }
    }
    if encoding::looks_like_text(bytes) { Content::Text } else { Content::Other("binary") }
}

fn zipped(bytes: &[u8]) -> Content {
    let Ok(archive) = zip::ZipArchive::new(Cursor::new(bytes)) else {
        return Content::BrokenZip;
    };
    let mut found = Content::Other("a zip archive");
    for name in archive.file_names().flatten() {
        let known = match name.as_ref() {
            n if n.starts_with("word/") => Content::Known(Format::Docx),
            n if n.starts_with("ppt/") => Content::Known(Format::Pptx),
            n if n.starts_with("xl/") => Content::Known(Format::Xlsx),
            "META-INF/container.xml" => Content::Other("an epub book"),
            "content.xml" => Content::Other("an OpenDocument file"),
            _ => continue,
        };
        // A document may carry a workbook in its `embeddings`, never the reverse at top level.
        if !matches!(found, Content::Known(_)) {
            found = known;
        }
    }
    found
}

/// Whether one of the first lines is a header that mails have.
fn has_mail_headers(bytes: &[u8]) -> bool {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(16 << 10)]);
    const NAMES: [&str; 10] = [
        "from",
        "to",
        "subject",
        "date",
        "received",
        "return-path",
        "message-id",
        "mime-version",
        "content-type",
        "delivered-to",
    ];
    head.lines()
        .take_while(|line| !line.trim().is_empty())
        .filter_map(|line| line.split_once(':'))
        .any(|(name, _)| NAMES.contains(&name.trim().to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str, bytes: &[u8]) -> String {
        detect(name, bytes).map_or_else(|e| e.to_string(), |f| f.extension().to_owned())
    }

    #[test]
    fn names_and_contents() {
        assert_eq!(message("a/b.MD", b"# x"), "md");
        assert_eq!(
            message("b.docx", b"%PDF-1.7 ..."),
            "the name says docx but the content is a pdf; rename it"
        );
        assert_eq!(
            message("b.txt", b"\x89PNG\r\n\x1a\n"),
            "the name says txt but the content is a png picture; rename it"
        );
        assert_eq!(
            message("b.txt", &[0, 1, 2, 250, 0, 3]),
            "the name says txt but the content is binary; rename it"
        );
        assert_eq!(message("b.pdf", b"hello"), "the name says pdf but the content is plain text; rename it");
        assert_eq!(
            message("b.eml", b"hello there"),
            "the name says eml but the content is plain text without mail headers; rename it"
        );
        assert_eq!(
            message("b.xlsx", b"PK\x03\x04garbage"),
            "the xlsx is cut off (the archive's directory is missing); copy it again from where it came from"
        );
        assert_eq!(message("b.md", b" \n"), "the file holds no text; there is nothing to ingest");
        assert!(message("b.epub", b"PK").starts_with("files of type 'epub' are not supported"));
        assert!(message("README", b"x").starts_with("files of type '' are not supported"));
    }
}
