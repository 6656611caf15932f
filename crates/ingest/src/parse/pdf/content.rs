//! Runs the operators of a page that place text and draw lines (ISO 32000-1, chapters 8 and 9).

use std::rc::Rc;

use lopdf::{Dictionary, Document, Object, ObjectId};

use super::contents::Contents;
use super::fonts::{Font, Fonts, Text, dereference, number};
use super::lexer::{Lexer, Value};
use super::matrix::Matrix;
use super::{ParseError, guard};

/// Forms within forms.
const MOST_DEPTH: usize = 8;

/// Operators of one page, its forms included: forms that call forms can multiply.
const MOST_OPERATIONS: usize = 3_000_000;

/// Glyphs of one page.
const MOST_GLYPHS: usize = 400_000;

/// Ruled lines of one page; drawings have more than tables.
const MOST_RULES: usize = 6_000;

/// A character on a page, in a frame turned so that its line runs to the right and y grows upward.
#[derive(Clone, Debug)]
pub(super) struct Glyph {
    pub x0: f32,
    pub x1: f32,
    /// Baseline.
    pub y: f32,
    pub size: f32,
    pub bold: bool,
    /// Quarter turns of the text against the page, counterclockwise.
    pub turn: u8,
    pub text: Text,
}

/// A straight horizontal or vertical line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub x0: f32,
    pub y0: f32,
    pub x1: f32,
    pub y1: f32,
}

impl Rule {
    pub(super) fn horizontal(&self) -> bool {
        self.y1 - self.y0 < 2.0 && self.x1 - self.x0 > 4.0
    }

    pub(super) fn vertical(&self) -> bool {
        self.x1 - self.x0 < 2.0 && self.y1 - self.y0 > 4.0
    }
}

/// What a page shows.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub glyphs: Vec<Glyph>,
    pub rules: Vec<Rule>,
    pub height: f32,
}

/// Reads a page; `None` where it has no content that can be read.
///
/// # Errors
/// [`ParseError::ArchiveBomb`] where the budget for content is spent.
pub(super) fn read(
    document: &mut Document,
    id: ObjectId,
    fonts: &mut Fonts,
    contents: &mut Contents,
) -> Result<Option<Found>, ParseError> {
    let content = contents.page(document, id);
    let (resources, media) = {
        let Ok(page) = document.get_dictionary(id) else { return Ok(None) };
        let resources = inherited(document, page, b"Resources").and_then(|o| o.as_dict().ok()).cloned();
        let media = inherited(document, page, b"MediaBox").and_then(|o| rectangle(document, o));
        (resources.unwrap_or_default(), media.unwrap_or([0.0, 0.0, 612.0, 792.0]))
    };
    let mut reader = Reader { document, fonts, contents, found: Found::default(), media, operations: 0 };
    reader.run(&content, &resources, Matrix::IDENTITY, 0);
    let mut found = reader.found;
    if let Some(error) = contents.over() {
        return Err(error);
    }
    found.height = (media[3] - media[1]).abs() as f32;
    Ok(Some(found))
}

/// An attribute of a page or of the nodes above it.
fn inherited<'a>(document: &'a Document, page: &'a Dictionary, key: &[u8]) -> Option<&'a Object> {
    let mut node = page;
    for _ in 0..32 {
        if let Some(found) = node.get(key).ok().and_then(|o| dereference(document, o)) {
            return Some(found);
        }
        node = dereference(document, node.get(b"Parent").ok()?)?.as_dict().ok()?;
    }
    None
}

fn rectangle(document: &Document, object: &Object) -> Option<[f64; 4]> {
    let corners: Vec<f64> =
        object.as_array().ok()?.iter().filter_map(|o| dereference(document, o).and_then(number)).collect();
    let [a, b, c, d] = corners.try_into().ok()?;
    Some([f64::min(a, c), f64::min(b, d), f64::max(a, c), f64::max(b, d)])
}

/// The text state and the map to the page, as `q` saves them.
#[derive(Clone)]
struct State {
    ctm: Matrix,
    font: Option<Rc<Font>>,
    size: f64,
    char_spacing: f64,
    word_spacing: f64,
    scale: f64,
    leading: f64,
    rise: f64,
}

struct Reader<'a> {
    document: &'a mut Document,
    fonts: &'a mut Fonts,
    contents: &'a mut Contents,
    found: Found,
    media: [f64; 4],
    operations: usize,
}

impl Reader<'_> {
    fn run(&mut self, content: &[u8], resources: &Dictionary, ctm: Matrix, depth: usize) {
        let mut state = State {
            ctm,
            font: None,
            size: 0.0,
            char_spacing: 0.0,
            word_spacing: 0.0,
            scale: 1.0,
            leading: 0.0,
            rise: 0.0,
        };
        let mut saved: Vec<State> = Vec::new();
        let (mut line, mut text) = (Matrix::IDENTITY, Matrix::IDENTITY);
        let mut path = Path::default();
        // Marked content: whether each open one is a page's furniture by its tag.
        let mut marked: Vec<bool> = Vec::new();
        let mut lexer = Lexer::new(content);
        let mut operands: Vec<Value> = Vec::new();
        while let Some(operator) = lexer.operator(&mut operands) {
            self.operations += 1;
            if self.operations > MOST_OPERATIONS
                || self.contents.is_over()
                || (self.operations.is_multiple_of(4096) && guard::overdue())
            {
                break;
            }
            let mut given = [0.0; 6];
            let numbers = numbers(&operands, &mut given);
            match (operator, numbers) {
                (b"q", _) if saved.len() < 512 => saved.push(state.clone()),
                (b"Q", _) => {
                    if let Some(before) = saved.pop() {
                        state = before;
                    }
                }
                (b"cm", &[a, b, c, d, e, f]) => state.ctm = Matrix([a, b, c, d, e, f]).then(&state.ctm),
                (b"BT" | b"ET", _) => (line, text) = (Matrix::IDENTITY, Matrix::IDENTITY),
                (b"Tc", &[n]) => state.char_spacing = n,
                (b"Tw", &[n]) => state.word_spacing = n,
                (b"Tz", &[n]) => state.scale = n / 100.0,
                (b"TL", &[n]) => state.leading = n,
                (b"Ts", &[n]) => state.rise = n,
                (b"Tf", _) => self.font(&operands, resources, &mut state),
                (b"Td", &[x, y]) => {
                    line = Matrix::translation(x, y).then(&line);
                    text = line;
                }
                (b"TD", &[x, y]) => {
                    state.leading = -y;
                    line = Matrix::translation(x, y).then(&line);
                    text = line;
                }
                (b"Tm", &[a, b, c, d, e, f]) => {
                    line = Matrix([a, b, c, d, e, f]);
                    text = line;
                }
                (b"T*", _) => {
                    line = Matrix::translation(0.0, -state.leading).then(&line);
                    text = line;
                }
                (b"Tj" | b"'" | b"\"" | b"TJ", _) => {
                    if operator == b"\""
                        && let &[word, char, ..] = numbers
                    {
                        (state.word_spacing, state.char_spacing) = (word, char);
                    }
                    if matches!(operator, b"'" | b"\"") {
                        line = Matrix::translation(0.0, -state.leading).then(&line);
                        text = line;
                    }
                    let hidden = marked.contains(&true);
                    let parts = match operands.last() {
                        Some(Value::Array(parts)) => parts.as_slice(),
                        Some(string) => std::slice::from_ref(string),
                        None => &[],
                    };
                    for part in parts {
                        match part {
                            Value::String(bytes) => self.show(bytes, &state, &mut text, hidden),
                            other => {
                                let back = other.number().unwrap_or(0.0) / 1000.0 * state.size * state.scale;
                                text = Matrix::translation(-back, 0.0).then(&text);
                            }
                        }
                    }
                }
                (b"Do", _) => self.form(&operands, resources, &state, depth),
                (b"BMC" | b"BDC", _) => marked.push(is_furniture(&operands)),
                (b"EMC", _) => {
                    marked.pop();
                }
                (b"m", &[x, y]) => path.move_to(state.ctm.apply(x, y)),
                (b"l", &[x, y]) => path.line_to(state.ctm.apply(x, y)),
                (b"re", &[x, y, w, h]) => path.rectangle(&state.ctm, x, y, w, h),
                (b"S" | b"s", _) => path.stroke(&mut self.found.rules),
                (b"f" | b"F" | b"f*", _) => path.fill(&mut self.found.rules),
                (b"B" | b"B*" | b"b" | b"b*", _) => path.stroke(&mut self.found.rules),
                (b"n", _) => path = Path::default(),
                _ => {}
            }
        }
    }

    fn font(&mut self, operands: &[Value], resources: &Dictionary, state: &mut State) {
        let [Value::Name(name), Value::Number(size)] = operands else { return };
        state.size = *size;
        let object = resources
            .get(b"Font")
            .ok()
            .and_then(|fonts| dereference(self.document, fonts)?.as_dict().ok()?.get(name).ok())
            .cloned();
        state.font = object.and_then(|object| self.fonts.get(self.document, &object));
    }

    fn show(&mut self, bytes: &[u8], state: &State, text: &mut Matrix, hidden: bool) {
        let Some(font) = &state.font else { return };
        let found = &mut self.found;
        let media = self.media;
        font.show(bytes, |shown| {
            let own = Matrix([state.size * state.scale, 0.0, 0.0, state.size, 0.0, state.rise]);
            let map = own.then(text).then(&state.ctm);
            let spacing = state.char_spacing + if shown.space { state.word_spacing } else { 0.0 };
            if let Some(characters) = shown.text
                && !hidden
                && found.glyphs.len() < MOST_GLYPHS
                && let Some(glyph) = place(&map, shown.width, characters, font.bold, media)
            {
                found.glyphs.push(glyph);
            }
            let advance = (shown.width * state.size + spacing) * state.scale;
            *text = Matrix::translation(advance, 0.0).then(text);
        });
    }

    fn form(&mut self, operands: &[Value], resources: &Dictionary, state: &State, depth: usize) {
        if depth >= MOST_DEPTH {
            return;
        }
        let Some(Value::Name(name)) = operands.first() else { return };
        let document = &*self.document;
        let object = resources
            .get(b"XObject")
            .ok()
            .and_then(|all| dereference(document, all)?.as_dict().ok()?.get(name).ok());
        let id = object.and_then(|object| object.as_reference().ok());
        let Some(Object::Stream(form)) = object.and_then(|object| dereference(document, object)) else {
            return;
        };
        if !form.dict.get(b"Subtype").is_ok_and(|s| s.as_name().is_ok_and(|n| n == b"Form")) {
            return;
        }
        let matrix =
            form.dict.get(b"Matrix").ok().and_then(|o| dereference(document, o)?.as_array().ok()).and_then(
                |m| {
                    let values: Vec<f64> =
                        m.iter().filter_map(|o| dereference(document, o).and_then(number)).collect();
                    values.try_into().ok().map(Matrix)
                },
            );
        let own =
            form.dict.get(b"Resources").ok().and_then(|o| dereference(document, o)?.as_dict().ok()).cloned();
        let content = self.contents.form(id, form);
        let ctm = matrix.unwrap_or(Matrix::IDENTITY).then(&state.ctm);
        self.run(&content, own.as_ref().unwrap_or(resources), ctm, depth + 1);
    }
}

/// The operands that are numbers, six at most.
fn numbers<'a>(operands: &[Value], given: &'a mut [f64; 6]) -> &'a [f64] {
    let mut count = 0;
    for (slot, value) in given.iter_mut().zip(operands.iter().filter_map(Value::number)) {
        *slot = value;
        count += 1;
    }
    &given[..count]
}

/// Marked as a page's header, footer or watermark (ISO 32000-1, 14.8.2.2).
fn is_furniture(operands: &[Value]) -> bool {
    let [Value::Name(tag), Value::Dictionary(properties)] = operands else { return false };
    let named = |key: &[u8], names: &[&[u8]]| {
        properties.chunks(2).any(|pair| match pair {
            [Value::Name(k), Value::Name(value)] => k == key && names.contains(&value.as_slice()),
            _ => false,
        })
    };
    tag == b"Artifact"
        && named(b"Type", &[b"Pagination"])
        && named(b"Subtype", &[b"Header", b"Footer", b"Watermark"])
}

/// Places a glyph; slanted text (watermarks) and text off the page have no place.
fn place(map: &Matrix, width: f64, text: Text, bold: bool, media: [f64; 4]) -> Option<Glyph> {
    let [a, b, c, d, e, f] = map.0;
    if !map.0.iter().all(|n| n.is_finite()) || e.abs() > 1e6 || f.abs() > 1e6 {
        return None;
    }
    const MARGIN: f64 = 40.0;
    if e < media[0] - MARGIN || e > media[2] + MARGIN || f < media[1] - MARGIN || f > media[3] + MARGIN {
        return None;
    }
    let size = c.hypot(d);
    let along = a.hypot(b);
    if !(0.5..=2000.0).contains(&size) {
        return None;
    }
    let degrees = b.atan2(a).to_degrees().rem_euclid(360.0);
    let turn = (degrees / 90.0).round();
    if (degrees - turn * 90.0).abs() > 12.0 {
        return None;
    }
    let turn = turn as u8 % 4;
    let (x, y) = match turn {
        0 => (e, f),
        1 => (f, -e),
        2 => (-e, -f),
        _ => (-f, e),
    };
    let (x0, x1) = (x as f32, (x + width.max(0.0) * along) as f32);
    Some(Glyph { x0, x1, y: y as f32, size: size as f32, bold, turn, text })
}

/// The path under construction, as far as straight lines along the axes go.
#[derive(Default)]
struct Path {
    start: Option<(f64, f64)>,
    at: Option<(f64, f64)>,
    lines: Vec<Rule>,
    boxes: Vec<Rule>,
}

impl Path {
    fn move_to(&mut self, to: (f64, f64)) {
        (self.start, self.at) = (Some(to), Some(to));
    }

    fn line_to(&mut self, to: (f64, f64)) {
        if let Some(from) = self.at
            && self.lines.len() < MOST_RULES
        {
            self.lines.push(between(from, to));
        }
        self.at = Some(to);
    }

    fn rectangle(&mut self, ctm: &Matrix, x: f64, y: f64, w: f64, h: f64) {
        if self.boxes.len() < MOST_RULES {
            self.boxes.push(between(ctm.apply(x, y), ctm.apply(x + w, y + h)));
        }
    }

    /// Strokes: each line, and the four sides of each box.
    fn stroke(&mut self, rules: &mut Vec<Rule>) {
        let sides = self.boxes.iter().flat_map(|b| {
            [
                Rule { y1: b.y0, ..*b },
                Rule { y0: b.y1, ..*b },
                Rule { x1: b.x0, ..*b },
                Rule { x0: b.x1, ..*b },
            ]
        });
        let all: Vec<Rule> = self.lines.iter().copied().chain(sides).collect();
        add(rules, all);
        *self = Path::default();
    }

    /// Fills: thin boxes are lines; others are shading.
    fn fill(&mut self, rules: &mut Vec<Rule>) {
        let mut all = std::mem::take(&mut self.boxes);
        // A thin box may be drawn by its corners.
        if self.lines.len() >= 3 {
            let x0 = self.lines.iter().map(|l| l.x0).fold(f32::MAX, f32::min);
            let y0 = self.lines.iter().map(|l| l.y0).fold(f32::MAX, f32::min);
            let x1 = self.lines.iter().map(|l| l.x1).fold(f32::MIN, f32::max);
            let y1 = self.lines.iter().map(|l| l.y1).fold(f32::MIN, f32::max);
            all.push(Rule { x0, y0, x1, y1 });
        }
        add(rules, all);
        *self = Path::default();
    }
}

fn add(rules: &mut Vec<Rule>, all: Vec<Rule>) {
    let room = MOST_RULES.saturating_sub(rules.len());
    rules.extend(all.into_iter().filter(|r| r.horizontal() || r.vertical()).take(room));
}

fn between(a: (f64, f64), b: (f64, f64)) -> Rule {
    Rule {
        x0: a.0.min(b.0) as f32,
        y0: a.1.min(b.1) as f32,
        x1: a.0.max(b.0) as f32,
        y1: a.1.max(b.1) as f32,
    }
}
