//! Documents, their versions and their parsed text.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{ContentHash, DocumentId};
use crate::span::{CharIndex, PageRange, Span};

/// A file format that Lore reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Markdown.
    Md,
    /// Plain text.
    Txt,
    /// HTML.
    Html,
    /// PDF with a text layer.
    Pdf,
    /// Word (OOXML).
    Docx,
    /// PowerPoint (OOXML).
    Pptx,
    /// Excel (OOXML).
    Xlsx,
    /// Delimiter-separated values.
    Csv,
    /// An e-mail (RFC 5322).
    Eml,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 9] = [
        Format::Md,
        Format::Txt,
        Format::Html,
        Format::Pdf,
        Format::Docx,
        Format::Pptx,
        Format::Xlsx,
        Format::Csv,
        Format::Eml,
    ];

    /// The format that a file extension (without the dot, any case) stands for.
    pub fn from_extension(extension: &str) -> Option<Self> {
        Some(match extension.to_ascii_lowercase().as_str() {
            "md" | "markdown" | "mdown" => Format::Md,
            "txt" | "text" | "log" | "rst" | "adoc" | "asciidoc" => Format::Txt,
            "html" | "htm" | "xhtml" => Format::Html,
            "pdf" => Format::Pdf,
            "docx" => Format::Docx,
            "pptx" => Format::Pptx,
            "xlsx" | "xlsm" => Format::Xlsx,
            "csv" | "tsv" => Format::Csv,
            "eml" => Format::Eml,
            _ => return None,
        })
    }

    /// The usual file extension.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Md => "md",
            Format::Txt => "txt",
            Format::Html => "html",
            Format::Pdf => "pdf",
            Format::Docx => "docx",
            Format::Pptx => "pptx",
            Format::Xlsx => "xlsx",
            Format::Csv => "csv",
            Format::Eml => "eml",
        }
    }
}

/// Who may read a document: everyone when empty, else the members of any of the groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Acl(pub BTreeSet<String>);

impl Acl {
    /// This list, cut to the groups of `other`; never wider than this list, which stays where the two share no group.
    #[must_use]
    pub fn narrowed(&self, other: &Self) -> Self {
        if self.0.is_empty() {
            return other.clone();
        }
        let shared: BTreeSet<String> = self.0.intersection(&other.0).cloned().collect();
        if shared.is_empty() { self.clone() } else { Self(shared) }
    }
}

/// What a caller may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everything: the owner of the data folder, or an administrator.
    All,
    /// Open documents, and those whose access list names one of the groups.
    Groups(BTreeSet<String>),
}

impl Access {
    /// Whether a document with `acl` may be read.
    pub fn allows(&self, acl: &Acl) -> bool {
        match self {
            Access::All => true,
            Access::Groups(groups) => acl.0.is_empty() || acl.0.iter().any(|g| groups.contains(g)),
        }
    }
}

/// What is known of a document beside its content; given by whoever ingests it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DocumentMeta {
    /// Free labels, such as `department: people`.
    pub tags: BTreeMap<String, String>,
    /// Groups that may read it; empty for everyone.
    pub acl: Acl,
    /// Date from which the document holds.
    #[schema(value_type = Option<String>, format = Date)]
    pub date: Option<Date>,
    /// Name of the document that replaces this one.
    pub superseded_by: Option<String>,
}

/// Where a document stands in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DocumentState {
    /// A version is live and answers questions.
    Live,
    /// Stored, waiting to be parsed.
    Pending,
    /// The newest content could not be read; an earlier version, if there is one, stays live.
    Failed {
        /// Why, in words for a person.
        reason: String,
    },
}

/// A document as the catalog knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Document {
    /// Identifier, derived from `source`.
    pub id: DocumentId,
    /// URI of where it comes from: `file:///...` or `upload:NAME`.
    pub source: String,
    /// Path relative to the folder that was ingested, or the upload's file name.
    pub name: String,
    /// Title from the content, else the name.
    pub title: String,
    /// Format.
    pub format: Format,
    /// ISO 639-1 code of the main language, where it could be told.
    pub language: Option<String>,
    /// Tags, access list, date, successor.
    #[serde(flatten)]
    pub meta: DocumentMeta,
    /// The live version, counted from 1; 0 where none is live yet.
    pub version: u32,
    /// SHA-256 of the live version's original.
    pub content_hash: Option<ContentHash>,
    /// Size of the live version's original in bytes.
    pub size: u64,
    /// Pages, where the format has them.
    pub pages: Option<u32>,
    /// Chunks of the live version.
    pub chunks: u32,
    /// Live, pending or failed.
    #[serde(flatten)]
    pub state: DocumentState,
    /// When it was first stored.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// What a stretch of parsed text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    /// A heading line.
    Heading,
    /// Running text.
    Paragraph,
    /// A list, all its items.
    List,
    /// A Markdown table: header row, delimiter row, rows.
    Table,
    /// Preformatted text.
    Code,
}

/// A block of parsed text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// What it is.
    pub kind: BlockKind,
    /// Where it stands, without the blank lines around it.
    pub span: Span,
}

/// A heading of parsed text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heading {
    /// 1 for the highest level.
    pub level: u8,
    /// Its words, without markup.
    pub title: String,
    /// Code point at which its line starts.
    pub at: usize,
}

/// A document's content after parsing: Markdown-like text with its structure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parsed {
    /// Title, where the content has one.
    pub title: Option<String>,
    /// The text that spans refer to.
    pub text: String,
    /// Blocks in order; they do not overlap.
    pub blocks: Vec<Block>,
    /// Headings in order.
    pub headings: Vec<Heading>,
    /// Span of each page, first to last; empty where the format has no pages.
    pub pages: Vec<Span>,
    /// ISO 639-1 code of the main language.
    pub language: Option<String>,
}

impl Parsed {
    /// The pages that `span` touches, where the format has pages.
    pub fn pages_of(&self, span: Span) -> Option<PageRange> {
        let touches = |page: &Span| {
            page.overlaps(&span) || (span.is_empty() && page.start <= span.start && span.start <= page.end)
        };
        let first = self.pages.iter().position(touches)?;
        let last = self.pages.iter().rposition(touches)?;
        Some(PageRange { first: first as u32 + 1, last: last as u32 + 1 })
    }

    /// The headings above code point `at`, outermost first.
    pub fn heading_path(&self, at: usize) -> Vec<String> {
        let mut path: Vec<&Heading> = Vec::new();
        for heading in self.headings.iter().take_while(|h| h.at <= at) {
            while path.last().is_some_and(|h| h.level >= heading.level) {
                path.pop();
            }
            path.push(heading);
        }
        path.into_iter().map(|h| h.title.clone()).collect()
    }

    /// An index for fast span look-ups in [`Parsed::text`].
    pub fn char_index(&self) -> CharIndex {
        CharIndex::new(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heading_path_pops_siblings() {
        let heading = |level, title: &str, at| Heading { level, title: title.into(), at };
        let parsed = Parsed {
            headings: vec![heading(1, "A", 0), heading(2, "B", 10), heading(2, "C", 20), heading(1, "D", 30)],
            ..Parsed::default()
        };
        assert_eq!(parsed.heading_path(25), ["A", "C"]);
        assert_eq!(parsed.heading_path(35), ["D"]);
    }

    #[test]
    fn access_lists() {
        let acl = Acl(["board".to_owned()].into());
        assert!(Access::All.allows(&acl));
        assert!(!Access::Groups(BTreeSet::new()).allows(&acl));
        assert!(Access::Groups(["board".to_owned()].into()).allows(&acl));
        assert!(Access::Groups(BTreeSet::new()).allows(&Acl::default()));
    }

    #[test]
    fn a_narrowed_list_is_never_wider() {
        let acl = |names: &[&str]| Acl(names.iter().map(|name| (*name).to_owned()).collect());
        let (open, staff, board, both) =
            (acl(&[]), acl(&["staff"]), acl(&["board"]), acl(&["board", "staff"]));
        for (list, by, narrowed) in [
            (&open, &staff, &staff),
            (&staff, &open, &staff),
            (&both, &board, &board),
            (&board, &both, &board),
            (&staff, &board, &staff),
            (&open, &open, &open),
        ] {
            assert_eq!(list.narrowed(by), *narrowed);
        }
    }
}
