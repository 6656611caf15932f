//! Markdown: the source text stays as written, its wrapped lines joined; structure from pulldown-cmark's offsets.

use std::ops::Range;

use lore_core::{BlockKind, Limits, Parsed};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::ParseError;
use super::builder::{Builder, Item, render_code, render_list, render_table};
use super::{clean, encoding, html};

/// Nesting beyond this is read as plain lines.
const MOST_DEPTH: usize = 24;

/// Parses Markdown.
pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Parsed, ParseError> {
    let text = clean::normalise(&encoding::decode(bytes, None));
    let (matter, body) = front_matter(&text);
    let mut builder = Builder::new(limits);
    blocks(&mut builder, body, limits);
    let title = matter.and_then(matter_title).or_else(|| builder.first_heading());
    builder.finish(title)
}

/// The YAML between `---` lines at the start, and the rest.
fn front_matter(text: &str) -> (Option<&str>, &str) {
    let Some(rest) = text.trim_start_matches('\n').strip_prefix("---\n") else {
        return (None, text);
    };
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        let bare = line.trim_end();
        if bare == "---" || bare == "..." {
            let matter = &rest[..at];
            return if at > 0 { (Some(matter), &rest[at + line.len()..]) } else { (None, text) };
        }
        // A rule followed by prose is no front matter.
        let yaml = bare.is_empty() || bare.contains(':') || bare.starts_with([' ', '-', '#', '\t']);
        if !yaml {
            return (None, text);
        }
        at += line.len();
    }
    (None, text)
}

fn matter_title(matter: &str) -> Option<String> {
    let value = matter.lines().find_map(|l| l.strip_prefix("title:"))?.trim();
    let bare = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q)).unwrap_or(value);
    (!bare.is_empty()).then(|| bare.to_owned())
}

/// Puts the blocks of `source` into `builder`.
pub(crate) fn blocks(builder: &mut Builder, source: &str, limits: &Limits) {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS;
    let events: Vec<(Event<'_>, Range<usize>)> =
        Parser::new_ext(source, options).into_offset_iter().collect();
    let mut reader = Reader { source, events: &events, at: 0, limits };
    while reader.at < events.len() && !builder.stopped() {
        for node in reader.node(0) {
            match node {
                Node::Heading { level, line, title } => builder.heading_with(level, &line, &title),
                Node::Paragraph(text) => builder.block(BlockKind::Paragraph, &text),
                Node::List(items) => builder.list(&items),
                Node::Table(text) => builder.block(BlockKind::Table, &text),
                Node::Code(text) => builder.block(BlockKind::Code, &text),
            }
        }
    }
}

/// A block, rendered as the text shows it.
enum Node {
    Heading { level: usize, line: String, title: String },
    Paragraph(String),
    List(Vec<Item>),
    Table(String),
    Code(String),
}

impl Node {
    /// Its lines, where it stands within a list item or a quote.
    fn lines(self) -> String {
        match self {
            Node::Heading { line, .. } => line,
            Node::Paragraph(text) | Node::Table(text) | Node::Code(text) => text,
            Node::List(items) => render_list(&items),
        }
    }
}

struct Reader<'a> {
    source: &'a str,
    events: &'a [(Event<'a>, Range<usize>)],
    at: usize,
    limits: &'a Limits,
}

impl<'a> Reader<'a> {
    /// The block at the current event; the events of it are taken.
    fn node(&mut self, depth: usize) -> Vec<Node> {
        let Some((event, range)) = self.events.get(self.at) else { return Vec::new() };
        if depth > MOST_DEPTH {
            return self.flat();
        }
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                let (span, title) = self.inline_until(|e| matches!(e, TagEnd::Heading(_)));
                let line = self.joined(&span);
                vec![Node::Heading { level: *level as usize, line, title }]
            }
            Event::Start(Tag::Paragraph) => {
                let (span, _) = self.inline_until(|e| matches!(e, TagEnd::Paragraph));
                vec![Node::Paragraph(self.joined(&span))]
            }
            Event::Start(Tag::CodeBlock(kind)) => {
                let language = match kind {
                    CodeBlockKind::Fenced(info) => info.split_whitespace().next().unwrap_or("").to_owned(),
                    CodeBlockKind::Indented => String::new(),
                };
                vec![Node::Code(render_code(&language, &self.text_until(|e| matches!(e, TagEnd::CodeBlock))))]
            }
            Event::Start(Tag::HtmlBlock) => {
                let raw = self.text_until(|e| matches!(e, TagEnd::HtmlBlock));
                html::fragment_lines(&raw, self.limits).into_iter().map(Node::Paragraph).collect()
            }
            Event::Start(Tag::Table(_)) => vec![Node::Table(self.table())],
            Event::Start(Tag::List(first)) => vec![Node::List(self.list(*first, depth))],
            Event::Start(Tag::BlockQuote(_)) => {
                let inner = self.children(depth, |e| matches!(e, TagEnd::BlockQuote(_)));
                inner.into_iter().map(|n| Node::Paragraph(prefixed(&n.lines(), "> "))).collect()
            }
            Event::Start(Tag::FootnoteDefinition(label)) => {
                let inner = self.children(depth, |e| matches!(e, TagEnd::FootnoteDefinition));
                let text: Vec<String> = inner.into_iter().map(Node::lines).collect();
                vec![Node::Paragraph(format!("[^{label}]: {}", text.join(" ")))]
            }
            Event::Start(_) => self.flat(),
            Event::Rule | Event::End(_) => {
                self.at += 1;
                Vec::new()
            }
            // Inline content without a paragraph around it: the text of a tight list item.
            _ => {
                let start = range.start;
                let mut end = range.end;
                while let Some((event, range)) = self.events.get(self.at) {
                    match event {
                        Event::Start(tag) if !is_inline(tag) => break,
                        Event::End(tag) if !is_inline_end(tag) => break,
                        Event::Rule => break,
                        _ => end = end.max(range.end),
                    }
                    self.at += 1;
                }
                vec![Node::Paragraph(self.joined(&(start..end)))]
            }
        }
    }

    /// The blocks up to an end tag, which is taken too.
    fn children(&mut self, depth: usize, ends: impl Fn(&TagEnd) -> bool) -> Vec<Node> {
        self.at += 1;
        let mut nodes = Vec::new();
        while let Some((event, _)) = self.events.get(self.at) {
            if let Event::End(tag) = event
                && ends(tag)
            {
                self.at += 1;
                break;
            }
            nodes.extend(self.node(depth + 1));
        }
        nodes
    }

    fn list(&mut self, first: Option<u64>, depth: usize) -> Vec<Item> {
        self.at += 1;
        let mut items = Vec::new();
        let mut number = first;
        while let Some((event, _)) = self.events.get(self.at) {
            match event {
                Event::End(TagEnd::List(_)) => {
                    self.at += 1;
                    break;
                }
                Event::Start(Tag::Item) => {
                    let marker = match &mut number {
                        Some(n) => {
                            *n = n.saturating_add(1);
                            format!("{}.", *n - 1)
                        }
                        None => "-".to_owned(),
                    };
                    let mut nested = Vec::new();
                    let mut text: Vec<String> = Vec::new();
                    for node in self.children(depth, |e| matches!(e, TagEnd::Item)) {
                        match node {
                            Node::List(inner) => {
                                nested.extend(inner.into_iter().map(|i| Item { depth: i.depth + 1, ..i }));
                            }
                            other => text.push(other.lines()),
                        }
                    }
                    items.push(Item { depth: 0, marker, text: text.join("\n") });
                    items.extend(nested);
                }
                _ => self.at += 1,
            }
        }
        items
    }

    fn table(&mut self) -> String {
        self.at += 1;
        let mut rows: Vec<Vec<String>> = Vec::new();
        while let Some((event, _)) = self.events.get(self.at) {
            match event {
                Event::End(TagEnd::Table) => {
                    self.at += 1;
                    break;
                }
                Event::Start(Tag::TableHead | Tag::TableRow) => {
                    rows.push(Vec::new());
                    self.at += 1;
                }
                Event::Start(Tag::TableCell) => {
                    let (span, _) = self.inline_until(|e| matches!(e, TagEnd::TableCell));
                    let cell = self.joined(&span);
                    match rows.last_mut() {
                        Some(row) => row.push(cell),
                        None => rows.push(vec![cell]),
                    }
                }
                _ => self.at += 1,
            }
        }
        render_table(&rows)
    }

    /// The source range and the plain words of inline content up to an end tag.
    fn inline_until(&mut self, ends: impl Fn(&TagEnd) -> bool) -> (Range<usize>, String) {
        self.at += 1;
        let mut span: Option<Range<usize>> = None;
        let mut plain = String::new();
        while let Some((event, range)) = self.events.get(self.at) {
            self.at += 1;
            match event {
                Event::End(tag) if ends(tag) => break,
                Event::Text(text) | Event::Code(text) => plain.push_str(text),
                Event::SoftBreak | Event::HardBreak => plain.push(' '),
                _ => {}
            }
            let known = span.get_or_insert(range.clone());
            known.start = known.start.min(range.start);
            known.end = known.end.max(range.end);
        }
        let mut span = span.unwrap_or(0..0);
        // An escaped character's text starts after its backslash.
        if span.start > 0 && self.source.as_bytes().get(span.start - 1) == Some(&b'\\') {
            span.start -= 1;
        }
        (span, plain)
    }

    /// The literal text up to an end tag.
    fn text_until(&mut self, ends: impl Fn(&TagEnd) -> bool) -> String {
        self.at += 1;
        let mut out = String::new();
        while let Some((event, _)) = self.events.get(self.at) {
            self.at += 1;
            match event {
                Event::End(tag) if ends(tag) => break,
                Event::Text(text) | Event::Html(text) => out.push_str(text),
                _ => {}
            }
        }
        out
    }

    /// The whole element at the current event as plain source lines.
    fn flat(&mut self) -> Vec<Node> {
        let Some((_, range)) = self.events.get(self.at) else { return Vec::new() };
        let range = range.clone();
        let mut open = 0usize;
        while let Some((event, _)) = self.events.get(self.at) {
            self.at += 1;
            match event {
                Event::Start(_) => open += 1,
                Event::End(_) => open = open.saturating_sub(1),
                _ => {}
            }
            if open == 0 {
                break;
            }
        }
        vec![Node::Paragraph(self.joined(&range))]
    }

    /// The source in `span` on one line; hard breaks stay. The marks of quotes and lists at line starts go.
    fn joined(&self, span: &Range<usize>) -> String {
        let mut out = String::new();
        let mut hard = false;
        for (i, line) in self.source.get(span.clone()).unwrap_or_default().split('\n').enumerate() {
            let bare = if i == 0 { line.trim() } else { line.trim().trim_start_matches("> ").trim() };
            let bare = if i > 0 && bare == ">" { "" } else { bare };
            let text = bare.strip_suffix('\\').filter(|b| !b.ends_with('\\')).map(str::trim_end);
            if hard && !out.is_empty() {
                out.push('\n');
                out.push_str(text.unwrap_or(bare));
            } else {
                clean::join(&mut out, text.unwrap_or(bare));
            }
            hard = line.ends_with("  ") || text.is_some();
        }
        out
    }
}

fn prefixed(text: &str, prefix: &str) -> String {
    let lines: Vec<String> = text.lines().map(|l| format!("{prefix}{l}")).collect();
    lines.join("\n")
}

fn is_inline(tag: &Tag<'_>) -> bool {
    matches!(tag, Tag::Emphasis | Tag::Strong | Tag::Strikethrough | Tag::Link { .. } | Tag::Image { .. })
}

fn is_inline_end(tag: &TagEnd) -> bool {
    matches!(tag, TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough | TagEnd::Link | TagEnd::Image)
}
