//! Markdown as HTML with the marks of citations.
//!
//! Everything that comes from the text is escaped, HTML in it is shown as text, images are their descriptions, links lead
//! to the web or to mail. Nesting, tables and the whole are bounded, so that no text can break a page's layout.

use std::fmt::Write as _;
use std::ops::Range;

use pulldown_cmark::{Alignment, Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd};

use super::marks::Marks;

/// Deepest nesting of lists, quotes and emphasis; what is deeper is shown there.
const DEPTH: usize = 24;
/// Most columns and rows of a table.
const COLUMNS: usize = 40;
const ROWS: usize = 400;
/// Longest stretch of text without a tag, in bytes: the sanitiser looks at all that is left of one for each `&` in it.
const STRETCH: usize = 1 << 10;
/// Longest target of a link, in bytes.
const LINK_BYTES: usize = 2 << 10;
/// Most HTML, in bytes.
const HTML_BYTES: usize = 4 << 20;

/// What is said where a part is left out.
#[derive(Clone, Debug)]
pub struct Notes {
    /// Below a table that goes on.
    pub table: String,
    /// Below a text that goes on.
    pub text: String,
}

/// Writes a text as HTML; offsets of `marks` are in it.
pub fn write(text: &str, marks: Marks, notes: &Notes) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut writer =
        Writer { source: text, marks, out: String::with_capacity(text.len() * 3 / 2), ..Writer::empty() };
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        if writer.out.len() > HTML_BYTES {
            writer.cut(notes);
            return writer.out;
        }
        writer.event(event, range, notes);
    }
    writer.loose_citations(usize::MAX);
    writer.out
}

struct Writer<'a> {
    source: &'a str,
    marks: Marks,
    out: String,
    /// What closes each open element; `None` where the element is not written.
    open: Vec<Option<&'static str>>,
    /// Open elements that can be nested at will.
    depth: usize,
    in_link: bool,
    in_code: bool,
    table: Table,
    /// Where a stretch of text was ended last.
    divided: usize,
}

#[derive(Default)]
struct Table {
    open: bool,
    head: bool,
    alignments: Vec<Alignment>,
    rows: usize,
    column: usize,
    cut: bool,
}

impl Table {
    /// Whether the present cell is left out.
    fn beyond(&self) -> bool {
        self.open && (self.rows > ROWS || self.column > COLUMNS)
    }
}

impl Writer<'_> {
    fn empty() -> Self {
        Self {
            source: "",
            marks: Marks::new("", &[], &[]),
            out: String::new(),
            open: Vec::new(),
            depth: 0,
            in_link: false,
            in_code: false,
            table: Table::default(),
            divided: 0,
        }
    }

    fn event(&mut self, event: Event<'_>, range: Range<usize>, notes: &Notes) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(end) => self.end(end, range.end, notes),
            _ if self.table.beyond() => self.table.cut = true,
            Event::Text(text) => self.text(&text, range),
            Event::InlineHtml(html) if is_break(&html) => self.out.push_str("<br>"),
            Event::Html(text) | Event::InlineHtml(text) => self.text(&text, range),
            Event::Code(code) => {
                self.out.push_str("<code>");
                self.text_in_span(&code, range.start);
                self.out.push_str("</code>");
                self.citations(range.end);
            }
            Event::SoftBreak => {
                self.citations(range.end);
                self.out.push('\n');
            }
            Event::HardBreak => {
                self.citations(range.end);
                self.out.push_str("<br>\n");
            }
            Event::Rule => self.out.push_str("<hr>\n"),
            Event::TaskListMarker(done) => self.out.push_str(if done { "☑ " } else { "☐ " }),
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                self.text(&text, range);
            }
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        let close = match tag {
            Tag::Paragraph | Tag::HtmlBlock => self.element("<p>", "</p>\n"),
            Tag::Heading { level, .. } => self.heading(level),
            Tag::BlockQuote(_) => self.nested("<blockquote>\n", "</blockquote>\n"),
            Tag::CodeBlock(_) => {
                self.in_code = true;
                self.element("<pre tabindex=\"0\"><code>", "</code></pre>\n")
            }
            Tag::List(None) => self.nested("<ul>\n", "</ul>\n"),
            Tag::List(Some(1)) => self.nested("<ol>\n", "</ol>\n"),
            Tag::List(Some(first)) => self.nested(&format!("<ol start=\"{first}\">\n"), "</ol>\n"),
            // An item of a list that is not written is none either.
            Tag::Item if matches!(self.open.last(), Some(None)) => None,
            Tag::Item => self.element("<li>", "</li>\n"),
            Tag::Table(alignments) => {
                self.table = Table { open: true, alignments, ..Table::default() };
                self.element("<div class=\"table-box\" tabindex=\"0\"><table>\n", "</table></div>\n")
            }
            Tag::TableHead => {
                self.table.head = true;
                self.table.column = 0;
                self.element("<thead><tr>", "</tr></thead>\n<tbody>\n")
            }
            Tag::TableRow => {
                self.table.rows += 1;
                self.table.column = 0;
                let shown = !self.table.beyond();
                self.table.cut |= !shown;
                shown.then(|| self.element("<tr>", "</tr>\n")).flatten()
            }
            Tag::TableCell => self.cell(),
            Tag::Emphasis => self.nested("<em>", "</em>"),
            Tag::Strong => self.nested("<strong>", "</strong>"),
            Tag::Strikethrough => self.nested("<del>", "</del>"),
            Tag::Link { link_type, dest_url, .. } => self.link(link_type, &dest_url),
            // An image is its description; nothing else is made of what is not asked for.
            _ => None,
        };
        self.open.push(close);
    }

    fn end(&mut self, end: TagEnd, offset: usize, notes: &Notes) {
        let block = !matches!(
            end,
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough | TagEnd::Link | TagEnd::Image
        );
        let holds_words = matches!(
            end,
            TagEnd::Paragraph | TagEnd::HtmlBlock | TagEnd::Heading(_) | TagEnd::Item | TagEnd::TableCell
        );
        if holds_words && !self.table.beyond() {
            self.citations(offset);
        }
        let close = self.open.pop().flatten();
        if let Some(close) = close {
            self.out.push_str(close);
            if matches!(close, "</blockquote>\n" | "</ul>\n" | "</ol>\n" | "</em>" | "</strong>" | "</del>") {
                self.depth = self.depth.saturating_sub(1);
            }
        } else if block {
            // Words of two blocks stay two.
            self.out.push(' ');
        }
        match end {
            TagEnd::Link => self.in_link = false,
            TagEnd::CodeBlock => {
                self.in_code = false;
                self.loose_citations(offset);
            }
            TagEnd::TableHead => self.table.head = false,
            TagEnd::Table => {
                let cut = std::mem::take(&mut self.table).cut;
                if cut {
                    self.note(&notes.table);
                }
                self.loose_citations(offset);
            }
            _ => {}
        }
        if !block {
            self.citations(offset);
        }
    }

    fn element(&mut self, open: &str, close: &'static str) -> Option<&'static str> {
        self.out.push_str(open);
        Some(close)
    }

    fn nested(&mut self, open: &str, close: &'static str) -> Option<&'static str> {
        if self.depth >= DEPTH || self.table.beyond() {
            return None;
        }
        self.depth += 1;
        self.element(open, close)
    }

    /// Headings of a text stand below those of the page.
    fn heading(&mut self, level: HeadingLevel) -> Option<&'static str> {
        match level {
            HeadingLevel::H1 => self.element("<h3>", "</h3>\n"),
            HeadingLevel::H2 => self.element("<h4>", "</h4>\n"),
            HeadingLevel::H3 => self.element("<h5>", "</h5>\n"),
            _ => self.element("<h6>", "</h6>\n"),
        }
    }

    fn cell(&mut self) -> Option<&'static str> {
        let alignment = self.table.alignments.get(self.table.column).copied();
        self.table.column += 1;
        if self.table.beyond() {
            self.table.cut = true;
            return None;
        }
        let class = match alignment {
            Some(Alignment::Right) => " class=\"right\"",
            Some(Alignment::Center) => " class=\"center\"",
            _ => "",
        };
        let name = if self.table.head { "th" } else { "td" };
        let _ = write!(self.out, "<{name}{class}>");
        Some(if self.table.head { "</th>" } else { "</td>" })
    }

    fn link(&mut self, kind: LinkType, target: &str) -> Option<&'static str> {
        let mail = if kind == LinkType::Email { "mailto:" } else { "" };
        let target = format!("{mail}{target}");
        let scheme = target.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        let safe = scheme.is_some_and(|scheme| matches!(scheme.as_str(), "http" | "https" | "mailto"));
        if !safe || target.len() > LINK_BYTES || self.table.beyond() {
            return None;
        }
        self.in_link = true;
        self.out.push_str("<a href=\"");
        target.chars().for_each(|c| escape(&mut self.out, c));
        self.out.push_str("\">");
        Some("</a>")
    }

    /// A text that stands in the source at `range`, with the marks in it.
    fn text(&mut self, text: &str, range: Range<usize>) {
        if self.in_code || self.source.get(range.clone()) != Some(text) {
            self.text_in_span(text, range.start);
            self.citations(range.end);
            return;
        }
        let mut at = range.start;
        while at < range.end {
            let next = self.marks.cut(at, range.end);
            self.text_in_span(&self.source[at..next], at);
            self.citations(next);
            at = next;
        }
    }

    /// A text without marks in it, dressed as the span that it lies in.
    fn text_in_span(&mut self, text: &str, offset: usize) {
        match self.marks.span(offset).filter(|_| !self.in_code) {
            Some((number, kind)) => {
                let _ = write!(self.out, "<span class=\"{}\" data-span=\"{number}\">", kind.class());
                self.words(text);
                self.out.push_str("</span>");
            }
            None => self.words(text),
        }
    }

    /// A text, in stretches that an element without anything in it divides.
    fn words(&mut self, text: &str) {
        for c in text.chars() {
            escape(&mut self.out, c);
            if self.out.len() - self.divided > STRETCH {
                self.out.push_str("<span></span>");
                self.divided = self.out.len();
            }
        }
    }

    /// The marks of citations that end at `offset` or before it, where a button may stand.
    fn citations(&mut self, offset: usize) {
        if self.in_link || self.in_code || self.table.beyond() {
            return;
        }
        while let Some(number) = self.marks.next_until(offset) {
            let _ = write!(
                self.out,
                "<button type=\"button\" class=\"cite\" data-citation=\"{number}\">{number}</button>"
            );
        }
    }

    /// The same between blocks, as a paragraph.
    fn loose_citations(&mut self, offset: usize) {
        let before = self.out.len();
        self.out.push_str("<p>");
        let opened = self.out.len();
        self.citations(offset);
        if self.out.len() == opened {
            self.out.truncate(before);
        } else {
            self.out.push_str("</p>\n");
        }
    }

    fn note(&mut self, words: &str) {
        self.out.push_str("<p class=\"cut\">");
        words.chars().for_each(|c| escape(&mut self.out, c));
        self.out.push_str("</p>\n");
    }

    /// Closes what is open and says that there was more.
    fn cut(&mut self, notes: &Notes) {
        while let Some(close) = self.open.pop() {
            self.out.push_str(close.unwrap_or_default());
        }
        self.note(&notes.text);
    }
}

fn is_break(html: &str) -> bool {
    let name = html.trim_start_matches('<').trim_end_matches('>').trim_end_matches('/').trim();
    name.eq_ignore_ascii_case("br")
}

fn escape(out: &mut String, c: char) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        // Control characters have no place in HTML.
        c if c.is_control() && !matches!(c, '\n' | '\t') => {}
        c => out.push(c),
    }
}
