//! A small tree of an XML element, built without recursion and within bounds; names are without their prefixes.

use std::collections::HashMap;
use std::io::BufRead;

use lore_core::Format;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::ParseError;
use super::archive::Archive;
use super::builder::Item;
use super::{clean, guard};

/// Elements nested deeper than this are damage or an attack.
const MOST_DEPTH: usize = 256;

/// Most nodes of one tree, attributes included.
const MOST_NODES: usize = 4_000_000;

/// Most attributes of one element.
const MOST_ATTRIBUTES: usize = 10_000;

/// An element with what is in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Element {
    /// Local name.
    pub name: String,
    /// Local names and values.
    pub attributes: Vec<(String, String)>,
    /// Elements and texts in order.
    pub nodes: Vec<Node>,
}

/// What an element holds.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// An element.
    Element(Element),
    /// Text, entities resolved.
    Text(String),
}

impl Element {
    /// The value of the attribute with this local name.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Child elements.
    pub(crate) fn children(&self) -> impl Iterator<Item = &Element> {
        self.nodes.iter().filter_map(|n| match n {
            Node::Element(e) => Some(e),
            Node::Text(_) => None,
        })
    }

    /// The first child of this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children().find(|e| e.name == name)
    }

    /// The element at a path of names below this one.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Element> {
        path.iter().try_fold(self, |element, name| element.child(name))
    }

    /// All elements of this name below this one, in document order.
    pub(crate) fn all<'a>(&'a self, name: &str) -> Vec<&'a Element> {
        let mut found = Vec::new();
        let mut open: Vec<&Element> = vec![self];
        while let Some(element) = open.pop() {
            if element.name == name {
                found.push(element);
            }
            let children: Vec<&Element> = element.children().collect();
            open.extend(children.into_iter().rev());
        }
        found
    }

    /// The text directly within.
    pub(crate) fn text(&self) -> String {
        self.nodes
            .iter()
            .filter_map(|n| match n {
                Node::Text(t) => Some(t.as_str()),
                Node::Element(_) => None,
            })
            .collect()
    }

    /// The `val` of the child of this name.
    pub(crate) fn value_of(&self, child: &str) -> Option<&str> {
        self.child(child)?.attribute("val")
    }

    /// Whether the switch `child` is there and not turned off.
    pub(crate) fn switch(&self, child: &str) -> bool {
        self.child(child).is_some_and(|e| !matches!(e.attribute("val"), Some("0" | "false" | "off" | "none")))
    }
}

/// Reads one XML part from start to end.
pub(crate) struct Stream<R: BufRead> {
    reader: Reader<R>,
    buffer: Vec<u8>,
    format: Format,
}

/// What [`Stream::next`] came to.
pub(crate) enum Step {
    /// A start tag; its content is still to come.
    Start(Element),
    /// An end tag.
    End,
}

impl<R: BufRead> Stream<R> {
    pub(crate) fn new(source: R, format: Format) -> Self {
        let mut reader = Reader::from_reader(source);
        reader.config_mut().expand_empty_elements = true;
        Self { reader, buffer: Vec::new(), format }
    }

    /// The next tag; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Step>, ParseError> {
        loop {
            self.buffer.clear();
            let event = self.reader.read_event_into(&mut self.buffer);
            match event.map_err(|e| xml_error(self.format, e))? {
                Event::Start(tag) => return Ok(Some(Step::Start(start(&tag, self.format)?))),
                Event::End(_) => return Ok(Some(Step::End)),
                Event::Eof => return Ok(None),
                _ => {}
            }
        }
    }

    /// The rest of the element whose start tag [`Stream::next`] gave.
    pub(crate) fn rest_of(&mut self, element: Element) -> Result<Element, ParseError> {
        let mut open = vec![element];
        let mut nodes = 0usize;
        let mut events = 0usize;
        loop {
            nodes += 1;
            if nodes > MOST_NODES || open.len() > MOST_DEPTH {
                return Err(too_large(self.format));
            }
            events += 1;
            if events.is_multiple_of(4096) && guard::overdue() {
                return Err(ParseError::TimedOut { seconds: 0 });
            }
            self.buffer.clear();
            let event = self.reader.read_event_into(&mut self.buffer);
            match event.map_err(|e| xml_error(self.format, e))? {
                Event::Start(tag) => {
                    let element = start(&tag, self.format)?;
                    nodes += element.attributes.len();
                    open.push(element);
                }
                Event::End(_) => {
                    let Some(done) = open.pop() else { return Ok(Element::default()) };
                    match open.last_mut() {
                        Some(parent) => parent.nodes.push(Node::Element(done)),
                        None => return Ok(done),
                    }
                }
                Event::Text(text) => add_text(&mut open, &text.into_inner()),
                Event::CData(text) => add_text(&mut open, &text.into_inner()),
                Event::GeneralRef(reference) => {
                    let text = match reference.resolve_char_ref() {
                        Ok(Some(c)) => c.to_string(),
                        _ => match &*reference.into_inner() {
                            "amp" => "&",
                            "lt" => "<",
                            "gt" => ">",
                            "quot" => "\"",
                            "apos" => "'",
                            _ => "",
                        }
                        .to_owned(),
                    };
                    add_text(&mut open, &text);
                }
                Event::Eof => return Err(ParseError::truncated(self.format, "its XML ends early")),
                _ => {}
            }
        }
    }
}

/// The root element of a part, whole; `None` where there is no such part.
pub(crate) fn tree(
    archive: &mut Archive<'_>,
    format: Format,
    name: &str,
) -> Result<Option<Element>, ParseError> {
    let Some(part) = archive.part(name)? else { return Ok(None) };
    let mut stream = Stream::new(part, format);
    match stream.next()? {
        Some(Step::Start(root)) => stream.rest_of(root).map(Some),
        _ => Ok(None),
    }
}

/// The relationships of the part called `name`: identifier to (type's last word, target's path).
pub(crate) fn relationships(
    archive: &mut Archive<'_>,
    format: Format,
    name: &str,
) -> Result<HashMap<String, (String, String)>, ParseError> {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    let part =
        if folder.is_empty() { format!("_rels/{file}.rels") } else { format!("{folder}/_rels/{file}.rels") };
    let mut found = HashMap::new();
    let Some(root) = tree(archive, format, &part)? else { return Ok(found) };
    for relation in root.children().filter(|e| e.attribute("TargetMode") != Some("External")) {
        let (Some(id), Some(target)) = (relation.attribute("Id"), relation.attribute("Target")) else {
            continue;
        };
        let kind = relation.attribute("Type").and_then(|t| t.rsplit('/').next()).unwrap_or_default();
        found.insert(id.to_owned(), (kind.to_owned(), resolve(folder, target)));
    }
    Ok(found)
}

/// The main part of the package.
pub(crate) fn main_part(
    archive: &mut Archive<'_>,
    format: Format,
    usual: &str,
) -> Result<String, ParseError> {
    let relations = relationships(archive, format, "")?;
    let main = relations.into_values().find(|(kind, _)| kind == "officeDocument").map(|(_, target)| target);
    Ok(main.unwrap_or_else(|| usual.to_owned()))
}

/// The title in the document's properties, unless it is one that programs put there.
pub(crate) fn core_title(archive: &mut Archive<'_>, format: Format) -> Option<String> {
    let root = tree(archive, format, "docProps/core.xml").ok()??;
    let title = root.child("title")?.text();
    let plain = title.trim().to_lowercase();
    let made_up = plain.is_empty()
        || plain.starts_with("microsoft word - ")
        || [
            "untitled",
            "powerpoint presentation",
            "powerpoint-präsentation",
            "presentation",
            "document",
            "word document",
        ]
        .contains(&plain.as_str())
        || [".doc", ".docx", ".ppt", ".pptx", ".dotx"].iter().any(|e| plain.ends_with(e));
    (!made_up).then(|| title.trim().to_owned())
}

/// The texts of a diagram's (SmartArt's) data, as a list.
pub(crate) fn diagram(root: &Element) -> Vec<Item> {
    let points = root.child("ptLst").into_iter().flat_map(Element::children).filter(|e| e.name == "pt");
    // Others are how the diagram is laid out.
    let shown = points.filter(|p| p.attribute("type").is_none_or(|t| matches!(t, "node" | "asst")));
    let text = |point: &Element| {
        let paragraphs = point.child("t").map(|t| t.all("p")).unwrap_or_default();
        let line = |p: &&Element| p.all("t").into_iter().map(Element::text).collect::<String>();
        clean::inline(&paragraphs.iter().map(line).collect::<Vec<_>>().join(" "))
    };
    let item = |text: String| Item { depth: 0, marker: "-".to_owned(), text };
    shown.map(text).filter(|t| !t.is_empty()).map(item).collect()
}

fn resolve(folder: &str, target: &str) -> String {
    if let Some(absolute) = target.strip_prefix('/') {
        return absolute.to_owned();
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|p| !p.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts.join("/")
}

fn too_large(format: Format) -> ParseError {
    ParseError::corrupt(format, "its XML is too large or too deep")
}

fn start(tag: &BytesStart<'_>, format: Format) -> Result<Element, ParseError> {
    let attributes: Vec<(String, String)> = tag
        .attributes()
        .with_checks(false)
        .flatten()
        .take(MOST_ATTRIBUTES + 1)
        .map(|a| {
            let name = a.key.local_name().as_ref().to_owned();
            let value = quick_xml::escape::unescape(&a.value)
                .map_or_else(|_| a.value.to_string(), |v| v.into_owned());
            (name, value)
        })
        .collect();
    // A start tag alone can hold millions, each of which takes many times its bytes.
    if attributes.len() > MOST_ATTRIBUTES {
        return Err(too_large(format));
    }
    Ok(Element { name: tag.local_name().as_ref().to_owned(), attributes, nodes: Vec::new() })
}

fn add_text(open: &mut [Element], text: &str) {
    let Some(element) = open.last_mut() else { return };
    match element.nodes.last_mut() {
        Some(Node::Text(before)) => before.push_str(text),
        _ if text.is_empty() => {}
        _ => element.nodes.push(Node::Text(text.to_owned())),
    }
}

fn xml_error(format: Format, error: quick_xml::Error) -> ParseError {
    match error {
        quick_xml::Error::Io(e) if e.to_string().contains("beyond the limit") => {
            ParseError::ArchiveBomb { limit: 0 }
        }
        quick_xml::Error::Io(e) => ParseError::corrupt(format, format!("an entry cannot be read: {e}")),
        other => ParseError::corrupt(format, other),
    }
}
