//! From lines to headings, lists and paragraphs; hyphens at line ends mended; pages kept.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use lore_core::BlockKind;

use super::super::builder::Item;
use super::columns::{self, percentile};
use super::grid::{self, Part};
use super::lines::Row;
use super::{Builder, Page, clean, reflow};

/// A heading's text is no longer than this.
const LONGEST_HEADING: usize = 160;

/// What is usual in a document: its body's font size, its headings' sizes, its words.
#[derive(Debug)]
pub(super) struct Style {
    body: f32,
    /// Whether bold lines stand out.
    bold_stands_out: bool,
    /// Whether bold lines in capitals stand above other bold lines.
    capitals: bool,
    /// Sizes of headings, largest first, in half points.
    sizes: Vec<i32>,
    /// Hashes of the document's words in lower case.
    words: HashSet<u64>,
    hasher: RandomState,
}

impl Style {
    pub(super) fn of(pages: &[Page]) -> Self {
        let mut by_size: HashMap<i32, usize> = HashMap::new();
        let (mut bold, mut all) = (0usize, 0usize);
        let hasher = RandomState::new();
        let mut words = HashSet::new();
        let rows = || pages.iter().flat_map(|p| &p.rows);
        for segment in rows().flat_map(|r| &r.segments) {
            let chars = segment.text.len();
            *by_size.entry(half_points(segment.size)).or_default() += chars;
            all += chars;
            bold += if segment.bold { chars } else { 0 };
            for word in segment.text.split_whitespace() {
                words.insert(hasher.hash_one(bare(word)));
            }
        }
        let body = by_size.iter().max_by_key(|(_, n)| **n).map_or(20, |(s, _)| *s) as f32 / 2.0;
        // Sizes of headings with the pages that they are on; sizes half a point apart are one.
        let mut found: Vec<(i32, usize)> = Vec::new();
        for (number, page) in pages.iter().enumerate() {
            for row in &page.rows {
                if row.size >= 1.12 * body && row.len() <= LONGEST_HEADING && looks_like_title(&row.text()) {
                    found.push((half_points(row.size), number));
                }
            }
        }
        found.sort_unstable();
        let mut sizes: Vec<i32> = Vec::new();
        for group in found.chunk_by(|a, b| b.0 - a.0 <= 1) {
            // A size of the title page alone is no level of its own.
            let several = group.iter().any(|(_, page)| *page != group[0].1);
            if several || pages.len() <= 3 {
                sizes.extend(group.first().map(|(size, _)| *size));
            }
        }
        sizes.reverse();
        sizes.truncate(4);
        let plain_bold =
            |r: &&Row| r.bold() && r.len() <= LONGEST_HEADING && half_points(r.size) <= (2.24 * body) as i32;
        let (loud, quiet): (Vec<&Row>, Vec<&Row>) =
            rows().filter(plain_bold).partition(|r| in_capitals(&r.text()));
        let capitals = loud.len() >= 3 && quiet.len() >= 3;
        Self { body, bold_stands_out: bold * 3 < all, capitals, sizes, words, hasher }
    }

    /// The level of a heading set in `size`; bold lines of the body's size come below all larger ones.
    fn level(&self, size: f32, text: &str) -> usize {
        let half = half_points(size);
        match self.sizes.iter().position(|s| half >= *s) {
            Some(nth) => nth + 1,
            // A title page's sizes are above all.
            None if size >= 1.12 * self.body => 1,
            None => self.sizes.len() + 1 + usize::from(self.capitals && !in_capitals(text)),
        }
    }

    fn knows(&self, word: &str) -> bool {
        self.words.contains(&self.hasher.hash_one(bare(word)))
    }
}

fn half_points(size: f32) -> i32 {
    (size * 2.0).round() as i32
}

fn bare(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
}

/// Words, and not a remark in brackets.
fn looks_like_title(text: &str) -> bool {
    let bracketed = text.starts_with(['(', '（', '[']) && text.ends_with([')', '）', ']']);
    !bracketed && text.chars().filter(|c| c.is_alphabetic()).count() >= 2
}

fn in_capitals(text: &str) -> bool {
    let mut letters = text.chars().filter(|c| c.is_alphabetic()).peekable();
    letters.peek().is_some() && letters.all(char::is_uppercase)
}

/// Writes pages into a builder.
pub(super) struct Writer<'a> {
    builder: &'a mut Builder,
    style: &'a Style,
    /// Whether the block to come may go on with the page before's last one.
    page_began: bool,
}

/// Lines of one paragraph.
#[derive(Debug, Default)]
struct Draft {
    text: String,
    size: f32,
    bold: bool,
    lines: usize,
    /// Left edges of the first line and the second.
    x0: f32,
    hang: f32,
    last: Option<(f32, f32, f32)>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(builder: &'a mut Builder, style: &'a Style) -> Self {
        Self { builder, style, page_began: false }
    }

    pub(super) fn stopped(&self) -> bool {
        self.builder.stopped()
    }

    pub(super) fn page(&mut self, page: Page) {
        self.builder.page();
        self.page_began = true;
        if let Some(text) = &page.plain {
            super::write_plain(text, self.builder);
            self.builder.list(&page.fields);
            return;
        }
        for group in columns::in_reading_order(page.rows) {
            let right = percentile(group.iter().map(Row::x1).collect(), 92);
            for part in grid::parts(group, &page.rules) {
                match part {
                    Part::Rows(rows) => self.rows(&rows, right),
                    Part::Table(table) => {
                        self.builder.table(&table);
                        self.page_began = false;
                    }
                }
            }
            // The next column goes on like the next page.
            self.page_began = true;
        }
        if !page.fields.is_empty() {
            self.builder.list(&page.fields);
            self.page_began = false;
        }
    }

    /// Running text of a column whose lines end at `right`.
    fn rows(&mut self, rows: &[Row], right: f32) {
        let pitch = usual_pitch(rows);
        let mut draft = Draft::default();
        let mut list: Vec<Item> = Vec::new();
        let mut indents: Vec<f32> = Vec::new();
        for row in rows {
            let text = row.text();
            if draft.lines > 0 && !self.goes_on(&draft, row, &text, right, pitch) {
                self.finish(std::mem::take(&mut draft), &mut list, &mut indents);
            }
            if draft.lines == 0 {
                draft = Draft {
                    size: row.size,
                    bold: row.bold(),
                    x0: row.x0(),
                    hang: row.x0(),
                    ..Draft::default()
                };
            } else if draft.lines == 1 {
                draft.hang = row.x0();
            }
            self.append(&mut draft.text, &text);
            draft.lines += 1;
            draft.bold &= row.bold();
            draft.last = Some((row.x0(), row.x1(), row.y));
        }
        self.finish(draft, &mut list, &mut indents);
        self.builder.list(&list);
    }

    /// Whether `row` is a further line of `draft`.
    fn goes_on(&self, draft: &Draft, row: &Row, text: &str, right: f32, pitch: f32) -> bool {
        let Some((x0, x1, y)) = draft.last else { return true };
        let size = draft.size.max(row.size);
        let gap = y - row.y;
        if (draft.size - row.size).abs() > 0.09 * size || gap < 0.2 * size {
            return false;
        }
        let heading = self.is_heading(draft);
        let usual = if heading { 1.75 * size } else { (1.35 * pitch).clamp(1.25 * size, 3.0 * size) };
        if gap > usual || reflow::list_item(text).is_some() || starts_with_mark(text) {
            return false;
        }
        if draft.bold && !row.bold() && draft.lines == 1 {
            // A bold line above running text is a heading; a bold start of a paragraph fills its line.
            let filled = x1 > right - 4.0 * size;
            if !filled {
                return false;
            }
        }
        if !draft.bold && row.bold() && self.style.bold_stands_out {
            return false;
        }
        if heading {
            return true;
        }
        let ends = draft.text.ends_with(['.', '!', '?', ':', ';', '。', '！', '？', '：', '；', '”', ')']);
        // The next word would have fitted into the line above, so the break was meant.
        let word = text.split_whitespace().next().unwrap_or("");
        let word_width = match word.chars().next() {
            Some(c) if clean::is_cjk(c) => size,
            _ => word.chars().count() as f32 * 0.5 * size,
        };
        let fitted = x1 + word_width + 1.2 * size < right - if ends { 0.0 } else { 1.5 * size };
        let lower = text.starts_with(|c: char| c.is_lowercase());
        if fitted && (ends || !lower) {
            return false;
        }
        let left = if draft.lines > 1 { draft.hang } else { x0 };
        let indent = row.x0() - left;
        if draft.lines > 1 && indent.abs() > 0.9 * size && ends && !lower {
            return false;
        }
        if draft.lines == 1 && indent > 0.9 * size && ends && !is_item(&draft.text) && !lower {
            return false;
        }
        true
    }

    /// Appends a line to a paragraph; a word that was parted by a hyphen becomes whole.
    fn append(&self, text: &mut String, line: &str) {
        let parted = text.ends_with('-') && text.chars().rev().nth(1).is_some_and(char::is_alphabetic);
        if parted && line.starts_with(|c: char| c.is_lowercase()) {
            let head = text.rsplit(char::is_whitespace).next().unwrap_or("");
            let tail = line.split_whitespace().next().unwrap_or("");
            let whole = format!("{}{tail}", head.trim_end_matches('-'));
            let compound = format!("{head}{tail}");
            // "long-" + "term" stays "long-term" where the document writes it so.
            let prefix = matches!(
                bare(head).as_str(),
                "self" | "well" | "non" | "cross" | "long" | "short" | "high" | "low"
            );
            if !self.style.knows(&whole) && (prefix || self.style.knows(&compound)) {
                text.push_str(line);
            } else {
                text.pop();
                text.push_str(line);
            }
            return;
        }
        if parted && line.starts_with(|c: char| c.is_alphabetic()) {
            text.push_str(line);
            return;
        }
        clean::join(text, line);
    }

    fn is_heading(&self, draft: &Draft) -> bool {
        let text = draft.text.as_str();
        if text.chars().count() > LONGEST_HEADING
            || !looks_like_title(text)
            || text.ends_with(['.', ',', ';', '。', '，', '；'])
        {
            return numbered_title(text) && draft.size >= 1.12 * self.style.body;
        }
        let large = draft.size >= 1.12 * self.style.body;
        let bold = draft.bold
            && self.style.bold_stands_out
            && draft.lines <= 2
            && draft.size >= 0.9 * self.style.body;
        (large || (bold && text.chars().count() <= 60 * draft.lines.max(2))) && !is_bullet(text)
    }

    fn finish(&mut self, draft: Draft, list: &mut Vec<Item>, indents: &mut Vec<f32>) {
        let text = draft.text.trim();
        if text.is_empty() {
            return;
        }
        let item = reflow::list_item(text).filter(|_| !self.is_heading(&draft));
        if let Some((marker, rest)) = item {
            while indents.len() > 1 && indents.last().is_some_and(|x| draft.x0 < *x - 3.0) {
                indents.pop();
            }
            if indents.last().is_none_or(|x| draft.x0 > *x + 3.0) {
                indents.push(draft.x0);
            }
            list.push(Item { depth: indents.len() - 1, marker, text: rest.to_owned() });
            self.page_began = false;
            return;
        }
        if !list.is_empty() {
            self.builder.list(&std::mem::take(list));
            indents.clear();
        }
        if self.is_heading(&draft) {
            let level = self.style.level(draft.size, text);
            self.builder.heading(level, text);
        } else if self.page_began && self.continues(text) {
            self.builder.continue_last(text);
        } else {
            self.builder.paragraph(text);
        }
        self.page_began = false;
    }

    /// Whether `text` goes on with the paragraph that ended the page or column before.
    fn continues(&self, text: &str) -> bool {
        let Some((BlockKind::Paragraph, before)) = self.builder.last() else { return false };
        let open = !before.ends_with(['.', '!', '?', ':', ';', '。', '！', '？', '：', '；', '”', '"', ')']);
        let lower = text.starts_with(|c: char| c.is_lowercase());
        let cjk = before.chars().count() > 20
            && before.ends_with(clean::is_han)
            && text.starts_with(clean::is_han)
            && text.chars().count() > 12;
        open && (lower || cjk) && before.chars().count() > 30
    }
}

/// The usual distance of two lines of one paragraph.
fn usual_pitch(rows: &[Row]) -> f32 {
    let gaps: Vec<f32> = rows
        .windows(2)
        .filter(|w| (w[0].size - w[1].size).abs() < 0.5)
        .map(|w| w[0].y - w[1].y)
        .filter(|gap| *gap > 0.0)
        .collect();
    percentile(gaps, 35)
}

fn is_bullet(text: &str) -> bool {
    text.starts_with(['•', '▪', '●', '◦', '‣', '○', '■', '□'])
}

fn is_item(text: &str) -> bool {
    reflow::list_item(text).is_some() || starts_with_mark(text)
}

/// A line that starts with `(a)` or the like.
fn starts_with_mark(text: &str) -> bool {
    text.split_once(' ').is_some_and(|(mark, rest)| {
        mark.starts_with('(')
            && mark.ends_with(')')
            && grid::is_mark(mark)
            && rest.starts_with(|c: char| c.is_alphabetic())
    })
}

/// `1.2 Title.`: a numbered title may end with a stop.
fn numbered_title(text: &str) -> bool {
    text.chars().count() <= 100 && text.split_once(' ').is_some_and(|(number, _)| grid::is_mark(number))
}
