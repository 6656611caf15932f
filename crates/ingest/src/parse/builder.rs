//! Puts parsed blocks together: text, spans, headings and pages are always consistent.

use lore_core::{Block, BlockKind, Heading, Limits, Parsed, Span};

use super::ParseError;
use super::{clean, guard, language};

/// An item of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// 0 for the outermost list.
    pub depth: usize,
    /// `-`, `1.`, `(a)`.
    pub marker: String,
    /// Its text; further lines belong to it.
    pub text: String,
}

/// Collects blocks; the limits on text, pages and time are watched here.
#[derive(Debug)]
pub(crate) struct Builder {
    text: String,
    chars: usize,
    blocks: Vec<Block>,
    headings: Vec<Heading>,
    starts: Vec<usize>,
    /// Characters of cells that were copied on their way into tables.
    copied: usize,
    max_chars: usize,
    max_pages: usize,
    stopped: Option<ParseError>,
}

impl Builder {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            text: String::new(),
            chars: 0,
            blocks: Vec::new(),
            headings: Vec::new(),
            starts: Vec::new(),
            copied: 0,
            max_chars: limits.text_chars,
            max_pages: limits.document_pages as usize,
            stopped: None,
        }
    }

    /// Whether a limit was passed, so that more work is in vain; [`Builder::finish`] tells which.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// Whether there is no block yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Counts a table's cell before it is copied: what is repeated for spans can multiply long before the table is a block.
    ///
    /// Where the limit on text is passed, the work is stopped and the answer is no.
    pub(crate) fn may_copy(&mut self, cell: &str) -> bool {
        // The bar and the space that even an empty cell becomes.
        self.copied += cell.chars().count() + 2;
        if self.copied > self.max_chars {
            self.stop_for_length();
        }
        !self.stopped()
    }

    /// Whether a grid of so many cells fits; each becomes two characters at least.
    pub(crate) fn may_hold(&mut self, cells: usize) -> bool {
        if cells.saturating_mul(2) > self.max_chars.saturating_sub(self.chars) {
            self.stop_for_length();
        }
        !self.stopped()
    }

    fn stop_for_length(&mut self) {
        self.stop(ParseError::too_large(
            "the length of the text in characters",
            self.max_chars as u64,
            "split the file, or raise text_chars in the limits",
        ));
    }

    /// The last block's kind and text.
    pub(crate) fn last(&self) -> Option<(BlockKind, &str)> {
        let block = self.blocks.last()?;
        let start = self.text.char_indices().rev().nth(block.span.len().checked_sub(1)?)?.0;
        Some((block.kind, &self.text[start..]))
    }

    /// Starts the next page.
    pub(crate) fn page(&mut self) {
        if self.starts.len() >= self.max_pages {
            self.stop(ParseError::too_large(
                "the number of pages",
                self.max_pages as u64,
                "split the file, or raise document_pages in the limits",
            ));
            return;
        }
        self.starts.push(self.chars);
    }

    /// A block of `text` as it is, but for white space around it and at line ends; nothing where it is blank.
    pub(crate) fn block(&mut self, kind: BlockKind, text: &str) {
        let trimmed = trim_lines(text);
        if trimmed.is_empty() || self.stopped() {
            return;
        }
        let added = trimmed.chars().count();
        if self.chars + added + 2 > self.max_chars {
            self.stop_for_length();
            return;
        }
        if guard::overdue() {
            self.stop(ParseError::TimedOut { seconds: 0 });
            return;
        }
        if !self.text.is_empty() {
            self.separate("\n\n");
        }
        let start = self.chars;
        self.text.push_str(&trimmed);
        self.chars += added;
        self.blocks.push(Block { kind, span: Span::new(start, self.chars) });
    }

    /// Running text on one line.
    pub(crate) fn paragraph(&mut self, text: &str) {
        self.block(BlockKind::Paragraph, &clean::inline(text));
    }

    /// Continues the last block, as a wrapped line does; the page that was started since begins within it.
    pub(crate) fn continue_last(&mut self, text: &str) {
        let text = clean::inline(text);
        if text.is_empty() || self.blocks.is_empty() || self.stopped() {
            return;
        }
        let mut ends = self.text.chars().rev();
        let hyphen = ends.next() == Some('-') && ends.next().is_some_and(char::is_alphabetic);
        if hyphen && text.starts_with(|c: char| c.is_lowercase()) {
            // A word parted at the page's end; the page begins within it.
            let old = self.chars;
            self.text.pop();
            self.chars -= 1;
            self.starts.iter_mut().rev().take_while(|s| **s == old).for_each(|s| *s -= 1);
        } else {
            self.separate(clean::joint(self.text.chars().next_back(), text.chars().next()));
        }
        self.text.push_str(&text);
        self.chars += text.chars().count();
        if let Some(block) = self.blocks.last_mut() {
            block.span.end = self.chars;
        }
    }

    /// A heading, `level` from 1; `line` is its title as the text shows it, `title` its plain words.
    pub(crate) fn heading_with(&mut self, level: usize, line: &str, title: &str) {
        let level = level.clamp(1, 6);
        let line = clean::inline(line);
        if line.is_empty() {
            return;
        }
        let before = self.blocks.len();
        self.block(BlockKind::Heading, &format!("{} {line}", "#".repeat(level)));
        if self.blocks.len() > before {
            let at = self.blocks[before].span.start;
            self.headings.push(Heading { level: level as u8, title: clean::inline(title), at });
        }
    }

    /// A heading without markup in its title.
    pub(crate) fn heading(&mut self, level: usize, title: &str) {
        self.heading_with(level, title, title);
    }

    /// A list; nothing where all items are blank.
    pub(crate) fn list(&mut self, items: &[Item]) {
        self.block(BlockKind::List, &render_list(items));
    }

    /// A table whose first row is the header; rows are padded to the widest, blank rows dropped.
    pub(crate) fn table(&mut self, rows: &[Vec<String>]) {
        // Ragged rows are padded: a wide row among many makes a large table of a small file.
        let widest = rows.iter().map(Vec::len).max().unwrap_or(0);
        let filled = rows.iter().filter(|row| row.iter().any(|cell| !cell.is_empty())).count();
        if !self.may_hold(widest.saturating_mul(filled)) {
            return;
        }
        self.block(BlockKind::Table, &render_table(rows));
    }

    /// Preformatted text, fenced.
    pub(crate) fn code(&mut self, language: &str, text: &str) {
        self.block(BlockKind::Code, &render_code(language, text));
    }

    /// Appends what another parser made, its headings `deeper` levels down.
    pub(crate) fn append(&mut self, parsed: &Parsed, deeper: usize) {
        let index = parsed.char_index();
        let mut headings = parsed.headings.iter().peekable();
        for block in &parsed.blocks {
            let text = index.slice(&parsed.text, block.span);
            match headings.next_if(|h| h.at == block.span.start) {
                Some(heading) => {
                    let level = usize::from(heading.level) + deeper;
                    self.heading_with(level, text.trim_start_matches('#'), &heading.title);
                }
                None => self.block(block.kind, text),
            }
        }
    }

    /// The document.
    ///
    /// # Errors
    /// The limit that was passed, or [`ParseError::Empty`].
    pub(crate) fn finish(mut self, title: Option<String>) -> Result<Parsed, ParseError> {
        if let Some(error) = self.stopped.take() {
            return Err(error);
        }
        if self.blocks.is_empty() {
            return Err(ParseError::Empty);
        }
        let ends = self.starts.iter().skip(1).copied().chain([self.chars]);
        let mut pages: Vec<Span> = self.starts.iter().zip(ends).map(|(&a, b)| Span::new(a, b)).collect();
        if let Some(first) = pages.first_mut() {
            first.start = 0;
        }
        let language = language::detect(&self.text);
        let title = title.map(|t| clean::inline(&t)).filter(|t| !t.is_empty());
        Ok(Parsed { title, text: self.text, blocks: self.blocks, headings: self.headings, pages, language })
    }

    /// The title of the first heading of the highest level that starts the text.
    pub(crate) fn first_heading(&self) -> Option<String> {
        let first_top = self.headings.iter().find(|h| h.level == 1);
        first_top.or(self.headings.first()).map(|h| h.title.clone())
    }

    /// Ends the work with `error`; the first one stays.
    pub(crate) fn stop(&mut self, error: ParseError) {
        self.stopped.get_or_insert(error);
    }

    /// Appends white space that belongs to the page before.
    fn separate(&mut self, between: &str) {
        let old = self.chars;
        self.text.push_str(between);
        self.chars += between.chars().count();
        for start in self.starts.iter_mut().rev().take_while(|start| **start == old) {
            *start = self.chars;
        }
    }
}

/// Blank lines around and white space at line ends removed.
fn trim_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.trim_matches(|c: char| c.is_whitespace()).split('\n') {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(line.trim_end());
    }
    out
}

/// `- item` lines, nested ones indented by two spaces per level.
pub(crate) fn render_list(items: &[Item]) -> String {
    let mut out = String::new();
    for item in items.iter().filter(|item| !item.text.trim().is_empty()) {
        let indent = "  ".repeat(item.depth.min(16));
        for (i, line) in item.text.trim().split('\n').enumerate() {
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&indent);
            match i {
                0 => {
                    out.push_str(&item.marker);
                    out.push(' ');
                }
                _ if !line.is_empty() => out.push_str("  "),
                _ => {}
            }
            out.push_str(line);
        }
    }
    out
}

/// A Markdown table; empty where all cells are.
pub(crate) fn render_table(rows: &[Vec<String>]) -> String {
    let filled: Vec<&Vec<String>> =
        rows.iter().filter(|row| row.iter().any(|cell| !cell.trim().is_empty())).collect();
    let width = filled.iter().map(|row| row.len()).max().unwrap_or(0);
    let mut out = String::new();
    for (i, row) in filled.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        out.push('|');
        for column in 0..width {
            let text = row.get(column).map(|c| clean::cell(c)).unwrap_or_default();
            out.push(' ');
            out.push_str(&text);
            out.push_str(if text.is_empty() { "|" } else { " |" });
        }
        if i == 0 {
            out.push_str("\n|");
            out.push_str(&" --- |".repeat(width));
        }
    }
    out
}

/// Fenced code; the fence is longer than any in `text`.
pub(crate) fn render_code(language: &str, text: &str) -> String {
    let body = text.trim_end().trim_start_matches('\n');
    if body.trim().is_empty() {
        return String::new();
    }
    let longest =
        body.lines().map(|l| l.trim_start().chars().take_while(|c| *c == '`').count()).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{body}\n{fence}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn pages_partition_the_text() {
        let mut b = Builder::new(&Limits::default());
        b.page();
        b.paragraph("one");
        b.page();
        b.page();
        b.paragraph("two und");
        b.page();
        b.continue_last("drei");
        b.page();
        let parsed = b.finish(None).unwrap();
        assert_eq!(parsed.text, "one\n\ntwo und drei");
        let pages: Vec<&str> = parsed.pages.iter().map(|p| p.slice(&parsed.text).unwrap()).collect();
        assert_eq!(pages, ["one\n\n", "", "two und ", "drei", ""]);
    }

    #[test]
    fn limits_are_errors() {
        let limits = Limits { text_chars: 10, ..Limits::default() };
        let mut b = Builder::new(&limits);
        b.paragraph("a text that is too long");
        assert!(matches!(b.finish(None), Err(ParseError::TooLarge { .. })));
        assert_eq!(Builder::new(&limits).finish(None), Err(ParseError::Empty));
    }

    #[test]
    fn tables_are_padded() {
        let rows = vec![vec!["a".into(), "b|c".into()], vec![], vec!["d\ne".into()]];
        assert_eq!(render_table(&rows), "| a | b\\|c |\n| --- | --- |\n| d e | |");
    }
}
