//! Markers such as `[1]` in text that comes in pieces: taken out of the text, with the place where they stood.
//!
//! A marker is one to three digits without a leading zero, or several with commas or a dash between them, in brackets:
//! `[1]`, `[1, 2]`, `[1-3]`, `[[1]]`, `【1】`. What is left alone: code, links (`[1](url)`), definitions (`[1]: url` at a
//! line's start), escaped brackets, and anything else in brackets. The parser looks at one character at a time, so that
//! the borders of the pieces change nothing; it holds back only what may become a marker, and spaces before it.

/// Longest text in code points that is held back as a possible marker.
const LONGEST: usize = 40;
/// Most numbers of one marker.
const MOST_NUMBERS: usize = 16;

/// A marker, taken out of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Numbers of passages that exist, each once.
    pub numbers: Vec<u32>,
    /// Where it stood, in code points of the text without markers.
    pub at: usize,
}

/// A piece of what the parser read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text without markers.
    Text(String),
    /// A marker between two pieces of text.
    Marker(Marker),
}

/// Reads text in pieces.
#[derive(Clone, Debug)]
pub struct CitationParser {
    last: u32,
    /// Spaces, then perhaps the beginning of a marker: not decided yet.
    held: String,
    /// Bytes of the spaces at the start of `held`.
    spaces: usize,
    /// Code points written.
    written: usize,
    line: Line,
    /// The last character read as text.
    before: Option<char>,
    /// Backticks that opened the code that the text is in; 0 outside.
    code: usize,
    /// Length of the run of backticks or tildes that is being read.
    run: usize,
    fenced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Nothing but spaces yet.
    Start,
    /// Nothing but markers and spaces yet.
    Marked,
    /// Backticks or tildes at its start.
    Fence,
    Text,
}

impl CitationParser {
    /// A parser of text that may cite passages 1 to `last`.
    pub fn new(last: u32) -> Self {
        Self {
            last,
            held: String::new(),
            spaces: 0,
            written: 0,
            line: Line::Start,
            before: None,
            code: 0,
            run: 0,
            fenced: false,
        }
    }

    /// Reads the next piece and appends to `out` what is certain.
    pub fn push(&mut self, text: &str, out: &mut Vec<Piece>) {
        for c in text.chars() {
            self.read(c, out);
        }
    }

    /// Appends the rest.
    pub fn finish(&mut self, out: &mut Vec<Piece>) {
        match shape(self.candidate()) {
            Shape::Whole(numbers) => self.mark(numbers, out),
            Shape::Part | Shape::Other => self.let_go(out),
        }
    }

    fn candidate(&self) -> &str {
        self.held.get(self.spaces..).unwrap_or_default()
    }

    fn read(&mut self, c: char, out: &mut Vec<Piece>) {
        if self.candidate().is_empty() {
            return self.read_plain(c, out);
        }
        let before = shape(self.candidate());
        self.held.push(c);
        if shape(self.candidate()) != Shape::Other && self.candidate().chars().count() <= LONGEST {
            return;
        }
        self.held.pop();
        if let Shape::Whole(numbers) = before {
            let link = c == '(' || (c == ':' && matches!(self.line, Line::Start));
            if link {
                self.let_go(out);
            } else {
                self.mark(numbers, out);
            }
            return self.read_plain(c, out);
        }
        // Not a marker from its first bracket on; one may begin at a later bracket.
        let held = std::mem::take(&mut self.held);
        let rest = self.spaces + held[self.spaces..].chars().next().map_or(0, char::len_utf8);
        self.spaces = 0;
        for text in held[..rest].chars() {
            self.text(text, out);
        }
        for again in held[rest..].chars().chain([c]) {
            self.read(again, out);
        }
    }

    fn read_plain(&mut self, c: char, out: &mut Vec<Piece>) {
        let code = self.fenced || self.in_code();
        match c {
            '[' | '【' | '［' if !code && self.before_is_open() => self.held.push(c),
            ' ' | '\t' if self.line == Line::Marked => {}
            ' ' | '\t' if !code && self.held.len() < LONGEST => {
                self.held.push(c);
                self.spaces = self.held.len();
            }
            _ => {
                self.let_go(out);
                self.text(c, out);
            }
        }
    }

    fn before_is_open(&self) -> bool {
        !self.held.is_empty() || self.before != Some('\\')
    }

    /// Whether the next character, if it is no backtick, stands in code.
    fn in_code(&self) -> bool {
        match (self.run, self.line) {
            (0, _) => self.code > 0,
            (run, Line::Fence) if run >= 3 => true,
            (run, _) if self.code == 0 => run > 0 && self.before == Some('`'),
            (run, _) => run != self.code,
        }
    }

    /// What was held is text.
    fn let_go(&mut self, out: &mut Vec<Piece>) {
        self.spaces = 0;
        for c in std::mem::take(&mut self.held).chars() {
            self.text(c, out);
        }
    }

    /// What was held is a marker; the spaces before it go with it.
    fn mark(&mut self, mut numbers: Vec<u32>, out: &mut Vec<Piece>) {
        self.held.clear();
        self.spaces = 0;
        if self.line == Line::Start {
            self.line = Line::Marked;
        }
        numbers.retain(|number| *number <= self.last);
        if !numbers.is_empty() {
            out.push(Piece::Marker(Marker { numbers, at: self.written }));
        }
    }

    fn text(&mut self, c: char, out: &mut Vec<Piece>) {
        self.track_code(c);
        self.before = Some(c);
        self.written += 1;
        match out.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => out.push(Piece::Text(c.to_string())),
        }
    }

    fn track_code(&mut self, c: char) {
        if matches!(c, '`' | '~') {
            self.run = if self.before == Some(c) { self.run + 1 } else { 1 };
            if matches!(self.line, Line::Start | Line::Marked) {
                self.line = Line::Fence;
            }
            return;
        }
        let run = std::mem::take(&mut self.run);
        if run >= 3 && self.line == Line::Fence {
            self.fenced = !self.fenced;
        } else if run > 0 && !self.fenced && self.before == Some('`') {
            self.code = match self.code {
                0 => run,
                open if open == run => 0,
                open => open,
            };
        }
        self.line = match (c, self.line) {
            ('\n', _) => {
                self.code = 0;
                Line::Start
            }
            (' ' | '\t', Line::Start) => Line::Start,
            _ => Line::Text,
        };
    }
}

/// The whole text at once: without its markers, and the markers.
pub fn parse(text: &str, last: u32) -> (String, Vec<Marker>) {
    let mut parser = CitationParser::new(last);
    let mut pieces = Vec::new();
    parser.push(text, &mut pieces);
    parser.finish(&mut pieces);
    let (mut clean, mut markers) = (String::new(), Vec::new());
    for piece in pieces {
        match piece {
            Piece::Text(text) => clean.push_str(&text),
            Piece::Marker(marker) => markers.push(marker),
        }
    }
    (clean, markers)
}

/// What a text that begins with a bracket is.
#[derive(Debug, PartialEq, Eq)]
enum Shape {
    /// The beginning of a marker.
    Part,
    /// A marker.
    Whole(Vec<u32>),
    /// Something else.
    Other,
}

fn shape(text: &str) -> Shape {
    let mut chars = text.chars().peekable();
    let mut opens = usize::from(chars.next_if(|c| matches!(c, '【' | '［')).is_some());
    while opens < 2 && chars.next_if_eq(&'[').is_some() {
        opens += 1;
    }
    if opens == 0 {
        return Shape::Other;
    }
    let (mut numbers, mut number, mut from) = (Vec::new(), 0u32, None);
    let (mut closed, mut ended) = (0, false);
    for c in chars {
        match c {
            ']' | '】' | '］' if closed < opens && (number > 0 || closed > 0) => {
                if closed == 0 {
                    add(&mut numbers, from.take(), number);
                }
                closed += 1;
            }
            _ if closed > 0 => return Shape::Other,
            '0'..='9' if !ended => {
                number = number * 10 + c.to_digit(10).unwrap_or(0);
                if number == 0 || number > 999 {
                    return Shape::Other;
                }
            }
            ' ' => ended = number > 0,
            ',' | '，' | '、' | ';' | '；' | '-' | '–' if number > 0 => {
                let first = std::mem::take(&mut number);
                add(&mut numbers, from.take(), first);
                from = matches!(c, '-' | '–').then_some(first);
                ended = false;
            }
            _ => return Shape::Other,
        }
    }
    if closed == opens { Shape::Whole(numbers) } else { Shape::Part }
}

/// Adds `number`, and what lies between it and `from`.
fn add(numbers: &mut Vec<u32>, from: Option<u32>, number: u32) {
    for n in from.unwrap_or(number).min(number)..=number {
        if numbers.len() < MOST_NUMBERS && !numbers.contains(&n) {
            numbers.push(n);
        }
    }
}

#[cfg(test)]
#[path = "cite_tests.rs"]
mod tests;
