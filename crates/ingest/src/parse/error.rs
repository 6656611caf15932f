//! Why a file could not be parsed, in words for the person who owns the file.

use lore_core::Format;

/// Why a file could not be parsed; each message says what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The content is encrypted, and the empty password does not open it.
    #[error("the {0} is encrypted; save a copy without a password and ingest that", format.extension())]
    Encrypted {
        /// Format of the file.
        format: Format,
    },
    /// The file ends before its content does.
    #[error("the {0} is cut off ({detail}); copy it again from where it came from", format.extension())]
    Truncated {
        /// Format of the file.
        format: Format,
        /// What is missing.
        detail: String,
    },
    /// The file breaks the rules of its format.
    #[error("the {0} is damaged ({detail}); open it in its program and save it again", format.extension())]
    Corrupt {
        /// Format of the file.
        format: Format,
        /// What is wrong.
        detail: String,
    },
    /// There is no text in it.
    #[error("the file holds no text; there is nothing to ingest")]
    Empty,
    /// The name promises another format than the content has.
    #[error("the name says {named} but the content is {found}; rename it")]
    WrongFormat {
        /// Extension in the name.
        named: String,
        /// What the content is, with its article, such as `a pdf`.
        found: String,
    },
    /// A limit was passed.
    #[error("{what} is more than the limit of {limit}; {next_step}")]
    TooLarge {
        /// What was measured.
        what: String,
        /// The limit.
        limit: u64,
        /// What to do about it.
        next_step: String,
    },
    /// An archive expands far beyond what its format needs.
    #[error(
        "the archive expands to more than {limit} bytes; this looks like an archive bomb, so it was not read"
    )]
    ArchiveBomb {
        /// Most bytes that were allowed.
        limit: u64,
    },
    /// A PDF whose pages are pictures.
    #[error("no text layer, {pages} pages; run OCR first")]
    NoText {
        /// Number of pages.
        pages: u32,
    },
    /// The parser failed on this file by a fault of its own.
    #[error("the {0} parser failed on this file ({detail}); save it again in another program, or as another format", format.extension())]
    Panicked {
        /// Format of the file.
        format: Format,
        /// The panic's message.
        detail: String,
    },
    /// The parser took too long.
    #[error("parsing took longer than {seconds} s; split the file, or raise parse_seconds in the limits")]
    TimedOut {
        /// The time allowed.
        seconds: u64,
    },
    /// Too many parsers that ran out of time are still busy.
    #[error("{abandoned} parsers that ran out of time are still busy; try this file again later")]
    Busy {
        /// How many.
        abandoned: usize,
    },
    /// No parser for this kind of file.
    #[error("files of type '{extension}' are not supported; save it as {0}", supported())]
    Unsupported {
        /// Extension in the name; empty where it has none.
        extension: String,
    },
}

fn supported() -> String {
    let names: Vec<&str> = Format::ALL.iter().map(|f| f.extension()).collect();
    let (last, rest) = names.split_last().unwrap_or((&"txt", &[]));
    format!("{} or {last}", rest.join(", "))
}

impl ParseError {
    /// [`ParseError::Corrupt`] with `detail`.
    pub(crate) fn corrupt(format: Format, detail: impl ToString) -> Self {
        ParseError::Corrupt { format, detail: detail.to_string() }
    }

    /// [`ParseError::Truncated`] with `detail`.
    pub(crate) fn truncated(format: Format, detail: impl ToString) -> Self {
        ParseError::Truncated { format, detail: detail.to_string() }
    }

    /// [`ParseError::TooLarge`].
    pub(crate) fn too_large(what: impl ToString, limit: u64, next_step: &str) -> Self {
        ParseError::TooLarge { what: what.to_string(), limit, next_step: next_step.to_owned() }
    }
}
