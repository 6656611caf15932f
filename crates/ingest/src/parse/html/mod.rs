//! HTML: the main content as blocks; navigation, scripts, forms and what is hidden are left out.

mod list;
mod table;

use std::collections::HashSet;

use lore_core::{Limits, Parsed};
use scraper::{ElementRef, Html, Node};

use super::ParseError;
use super::builder::Builder;
use super::{clean, encoding};

/// Elements nested deeper than this are read as plain text.
const MOST_DEPTH: usize = 400;

/// Stands for a `br` in running text; a control character, which no text keeps.
const BREAK: char = '\u{1E}';

/// Parses an HTML page.
pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Parsed, ParseError> {
    let text = encoding::decode(bytes, declared_charset(bytes).as_deref());
    let mut builder = Builder::new(limits);
    let title = page(&mut builder, &text);
    let title = title.or_else(|| builder.first_heading());
    builder.finish(title)
}

/// Puts the blocks of a page into `builder`; gives the title in its head.
pub(crate) fn page(builder: &mut Builder, text: &str) -> Option<String> {
    let html = Html::parse_document(text);
    let root = html.root_element();
    let title = named(root, "title").map(|t| t.text().collect::<String>());
    let body = named(root, "body").unwrap_or(root);
    let content = main_content(body);
    let mut walker = Walker {
        builder,
        inline: String::new(),
        forms: forms_hold_content(content),
        side: side_matter(content),
    };
    walker.children(content, 0);
    walker.flush();
    title.map(|t| clean::inline(&t)).filter(|t| !t.is_empty())
}

/// The paragraphs of HTML within Markdown.
pub(crate) fn fragment_lines(raw: &str, limits: &Limits) -> Vec<String> {
    let mut builder = Builder::new(limits);
    page(&mut builder, raw);
    let Ok(parsed) = builder.finish(None) else { return Vec::new() };
    let index = parsed.char_index();
    parsed.blocks.iter().map(|b| index.slice(&parsed.text, b.span).to_owned()).collect()
}

/// The charset that a `meta` element near the start names.
fn declared_charset(bytes: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).to_ascii_lowercase();
    let rest = &head[head.find("charset")? + "charset".len()..];
    let value = rest.trim_start().strip_prefix('=')?.trim_start().trim_start_matches(['"', '\'']);
    Some(value.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_:".contains(*c)).collect())
}

fn named<'a>(root: ElementRef<'a>, name: &str) -> Option<ElementRef<'a>> {
    root.descendent_elements().find(|e| e.value().name() == name)
}

/// `main` where it holds most of the text; an `article` where it is the only one, or holds nearly all; else the body.
fn main_content(body: ElementRef<'_>) -> ElementRef<'_> {
    let (mut mains, mut articles) = (Vec::new(), Vec::new());
    // Outermost ones: comments are articles within an article.
    let mut open: Vec<(ElementRef<'_>, bool, bool)> =
        body.child_elements().map(|element| (element, false, false)).collect();
    while let Some((element, in_main, in_article)) = open.pop() {
        let (main, article) = (is_main(element), element.value().name() == "article");
        if main && !in_main {
            mains.push(element);
        }
        if article && !in_article {
            articles.push(element);
        }
        open.extend(element.child_elements().map(|e| (e, in_main || main, in_article || article)));
    }
    let all = text_length(body);
    let only = articles.len() == 1;
    if let Some((length, main)) = longest(mains)
        && length * 2 >= all
    {
        return main;
    }
    match longest(articles) {
        Some((length, article)) if length * 10 >= all * if only { 5 } else { 9 } => article,
        _ => body,
    }
}

/// The longest of `found`, and its length.
fn longest(found: Vec<ElementRef<'_>>) -> Option<(usize, ElementRef<'_>)> {
    found.into_iter().map(|element| (text_length(element), element)).max_by_key(|(length, _)| *length)
}

fn is_main(element: ElementRef<'_>) -> bool {
    element.value().name() == "main" || element.value().attr("role") == Some("main")
}

/// The asides that stand beside the content rather than in it, or that do nothing but link elsewhere.
fn side_matter(content: ElementRef<'_>) -> HashSet<usize> {
    let mut found = HashSet::new();
    let holds = |e: ElementRef<'_>| is_main(e) || e.value().name() == "article";
    let mut open: Vec<(ElementRef<'_>, bool)> = vec![(content, false)];
    while let Some((element, within)) = open.pop() {
        if element.value().name() == "aside" {
            let kept = within && !is_link_list(element);
            if !kept {
                found.insert(identity(element));
            }
            // What stands in it goes or stays with it.
            continue;
        }
        let within = within || holds(element);
        open.extend(element.child_elements().map(|e| (e, within)));
    }
    found
}

/// Where the element is kept, which tells it from all others of its page.
fn identity(element: ElementRef<'_>) -> usize {
    std::ptr::from_ref(element.value()).addr()
}

fn is_link_list(element: ElementRef<'_>) -> bool {
    let links: usize =
        element.descendent_elements().filter(|e| e.value().name() == "a").map(text_length).sum();
    links * 10 > text_length(element) * 6
}

/// Letters of an element that are shown; scripts and navigation do not count.
fn text_length(element: ElementRef<'_>) -> usize {
    let mut count = 0;
    let mut open = vec![*element];
    while let Some(node) = open.pop() {
        match node.value() {
            Node::Text(text) => count += text.chars().filter(|c| c.is_alphanumeric()).count(),
            Node::Element(e)
                if matches!(e.name(), "script" | "style" | "noscript" | "template" | "nav" | "svg") => {}
            _ => open.extend(node.children()),
        }
    }
    count
}

/// Whether the page's text stands within a form, as some frameworks have it.
fn forms_hold_content(content: ElementRef<'_>) -> bool {
    let forms: usize =
        content.descendent_elements().filter(|e| e.value().name() == "form").map(text_length).sum();
    forms * 2 > text_length(content)
}

struct Walker<'b> {
    builder: &'b mut Builder,
    inline: String,
    forms: bool,
    /// Asides that are left out.
    side: HashSet<usize>,
}

impl Walker<'_> {
    fn children(&mut self, parent: ElementRef<'_>, depth: usize) {
        for child in parent.children() {
            if self.builder.stopped() {
                return;
            }
            match child.value() {
                Node::Text(text) => self.inline.push_str(text),
                Node::Element(_) => {
                    if let Some(element) = ElementRef::wrap(child) {
                        self.element(element, depth);
                    }
                }
                _ => {}
            }
        }
    }

    fn element(&mut self, element: ElementRef<'_>, depth: usize) {
        if self.skipped(element) {
            return;
        }
        if depth > MOST_DEPTH {
            self.inline.push_str(&flat_text(element));
            return;
        }
        let name = element.value().name();
        match name {
            "br" => self.line_break(),
            "hr" => self.flush(),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.flush();
                let level = usize::from(name.as_bytes()[1] - b'0');
                self.builder.heading(level, &flat_text(element));
            }
            "ul" | "ol" | "menu" => {
                self.flush();
                let mut items = Vec::new();
                let rest = self.list(element, 0, &mut items);
                self.builder.list(&items);
                for table in rest {
                    self.table(table, depth + 1);
                }
            }
            "dl" => {
                self.flush();
                self.definitions(element);
            }
            "pre" | "listing" | "xmp" => {
                self.flush();
                self.builder.code(code_language(element), &clean::normalise(&raw_text(element)));
            }
            "table" => {
                self.flush();
                self.table(element, depth);
            }
            _ if is_block(name) => {
                self.flush();
                self.children(element, depth + 1);
                self.flush();
            }
            _ => self.children(element, depth + 1),
        }
    }

    /// A `br` is a space; two in a row end the paragraph.
    fn line_break(&mut self) {
        let bare = self.inline.trim_end();
        if bare.ends_with(BREAK) {
            self.flush();
        } else if !bare.is_empty() {
            self.inline.push(BREAK);
        }
    }

    /// Ends the running text.
    fn flush(&mut self) {
        let text = std::mem::take(&mut self.inline);
        self.builder.paragraph(&text.replace(BREAK, " "));
    }

    fn skipped(&self, element: ElementRef<'_>) -> bool {
        let value = element.value();
        let name = value.name();
        if matches!(
            name,
            "script"
                | "style"
                | "noscript"
                | "template"
                | "nav"
                | "footer"
                | "head"
                | "svg"
                | "canvas"
                | "iframe"
                | "object"
                | "audio"
                | "video"
                | "button"
                | "input"
                | "select"
                | "textarea"
                | "datalist"
                | "dialog"
                | "img"
                | "picture"
        ) {
            return true;
        }
        if name == "aside" && self.side.contains(&identity(element)) {
            return true;
        }
        if name == "form" && !self.forms {
            return true;
        }
        // A page's banner goes; the head of an article with its title stays.
        if name == "header" && !element.descendent_elements().any(|e| is_heading(e.value().name())) {
            return true;
        }
        if matches!(
            value.attr("role"),
            Some("navigation" | "banner" | "contentinfo" | "complementary" | "search" | "menu")
        ) {
            return true;
        }
        let hidden_style = value.attr("style").is_some_and(|style| {
            let style: String = style.to_ascii_lowercase().split_whitespace().collect();
            style.contains("display:none") || style.contains("visibility:hidden")
        });
        hidden_style || value.attr("hidden").is_some() || value.attr("aria-hidden") == Some("true")
    }
}

fn is_heading(name: &str) -> bool {
    matches!(name, "h1" | "h2" | "h3" | "h4" | "h5" | "h6")
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "p" | "div"
            | "section"
            | "article"
            | "aside"
            | "main"
            | "header"
            | "blockquote"
            | "figure"
            | "figcaption"
            | "address"
            | "fieldset"
            | "legend"
            | "details"
            | "summary"
            | "center"
            | "tbody"
            | "thead"
            | "tfoot"
            | "tr"
            | "td"
            | "th"
            | "caption"
            | "li"
            | "dd"
            | "dt"
            | "dl"
            | "ul"
            | "ol"
            | "body"
            | "html"
            | "form"
            | "pre"
            | "hgroup"
            | "table"
    )
}

/// All text below `element`; block elements and line breaks are spaces, scripts are left out.
fn flat_text(element: ElementRef<'_>) -> String {
    let mut text = String::new();
    let mut open: Vec<_> = element.children().rev().collect();
    while let Some(node) = open.pop() {
        match node.value() {
            Node::Text(t) => text.push_str(t),
            Node::Element(e) if matches!(e.name(), "script" | "style" | "template" | "svg" | "noscript") => {}
            Node::Element(e) => {
                if is_block(e.name()) || e.name() == "br" {
                    text.push(' ');
                }
                open.extend(node.children().rev());
            }
            _ => {}
        }
    }
    text
}

/// Text as it is; `br` is a line end.
fn raw_text(element: ElementRef<'_>) -> String {
    let mut text = String::new();
    for node in element.descendants() {
        match node.value() {
            Node::Text(t) => text.push_str(t),
            Node::Element(e) if e.name() == "br" => text.push('\n'),
            _ => {}
        }
    }
    text
}

/// `language-x` of a class on the `pre` or its `code`.
fn code_language<'a>(pre: ElementRef<'a>) -> &'a str {
    pre.descendent_elements()
        .chain([pre])
        .filter_map(|e| e.value().attr("class"))
        .flat_map(str::split_whitespace)
        .find_map(|class| class.strip_prefix("language-"))
        .unwrap_or("")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn text(html: &str) -> String {
        parse(html.as_bytes(), &Limits::default()).unwrap().text
    }

    #[test]
    fn boilerplate_goes() {
        let page = "<title>T</title><nav>menu</nav><header>logo</header><main><h1>A <b>b</b></h1><p>one\n two<br>three\
                    <br><br>four</p><script>x()</script><p hidden>no</p></main><footer>(c)</footer>";
        assert_eq!(text(page), "# A b\n\none two three\n\nfour");
    }

    #[test]
    fn sibling_articles_and_notes_within_the_content_stay() {
        let news = "<body><div>Welcome</div><article><h2>A</h2><p>a long first story of the day</p></article>\
                    <article><h2>B</h2><p>short one</p></article><aside>Weather</aside></body>";
        assert_eq!(text(news), "Welcome\n\n## A\n\na long first story of the day\n\n## B\n\nshort one");
        let guide = "<body><div>menu</div><article><p>Open the valve slowly, then wait.</p>\
                     <aside>Note: wear gloves.</aside><aside><a href=x>Related pages</a></aside></article></body>";
        assert_eq!(text(guide), "Open the valve slowly, then wait.\n\nNote: wear gloves.");
    }

    #[test]
    fn lists_and_tables() {
        let page = "<ul><li>a<ol start=3><li>b</li></ol></li><li><p>c</p></li></ul>\
                    <dl><dt>K</dt><dd>V</dd></dl>\
                    <table><tr><th colspan=2>H</th><th>I|J</th></tr><tr><td rowspan=2>x</td><td>1</td><td>2</td></tr>\
                    <tr><td>3</td><td>4</td></tr></table><pre><code class=language-sh>a\n  b</code></pre>";
        assert_eq!(
            text(page),
            "- a\n  3. b\n- c\n\n- K: V\n\n| H | H | I\\|J |\n| --- | --- | --- |\n| x | 1 | 2 |\n| x | 3 | 4 |\n\n\
             ```sh\na\n  b\n```"
        );
    }

    #[test]
    fn deep_nesting_is_flat() {
        let page = format!("{}deep{}", "<div>".repeat(20_000), "</div>".repeat(20_000));
        assert_eq!(parse(page.as_bytes(), &Limits::default()).map(|p| p.text), Ok("deep".into()));
    }
}
