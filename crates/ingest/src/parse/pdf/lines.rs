//! From placed glyphs to rows: glyphs on one baseline, split into segments where the gaps are wide.

use unicode_normalization::UnicodeNormalization;

use super::clean;
use super::content::{Found, Glyph, Rule};

/// A gap of this many times the font size splits a row into segments.
const SEGMENT_GAP: f32 = 1.1;

/// The same where space characters stand in the gap: justified lines have wide ones.
const SPACED_SEGMENT_GAP: f32 = 1.7;

/// The same between two figures, which do not follow each other in running text.
const FIGURE_GAP: f32 = 0.38;

/// A gap of this many times the font size separates words.
const WORD_GAP: f32 = 0.16;

/// A stretch of text on one baseline without a wide gap.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Segment {
    pub x0: f32,
    pub x1: f32,
    pub size: f32,
    pub bold: bool,
    pub text: String,
}

impl Segment {
    /// Number of characters.
    pub(super) fn chars(&self) -> usize {
        self.text.chars().count()
    }
}

/// Segments on one baseline, left to right.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// Baseline, upward.
    pub y: f32,
    pub size: f32,
    pub segments: Vec<Segment>,
}

impl Row {
    /// Bytes of its text.
    pub(super) fn len(&self) -> usize {
        self.segments.iter().map(|s| s.text.len()).sum()
    }

    pub(super) fn x0(&self) -> f32 {
        self.segments.first().map_or(0.0, |s| s.x0)
    }

    pub(super) fn x1(&self) -> f32 {
        self.segments.iter().map(|s| s.x1).fold(f32::MIN, f32::max)
    }

    pub(super) fn bold(&self) -> bool {
        self.segments.iter().all(|s| s.bold)
    }

    /// All segments with one space between.
    pub(super) fn text(&self) -> String {
        self.segments.iter().map(|s| s.text.as_str()).collect::<Vec<_>>().join(" ")
    }
}

/// The rows of a page from top to bottom; text that runs another way than most comes after it.
pub(super) fn rows(found: Found) -> Vec<Row> {
    let mut turned: [Vec<Glyph>; 4] = Default::default();
    for glyph in found.glyphs {
        turned[usize::from(glyph.turn)].push(glyph);
    }
    let mut order: Vec<usize> = (0..4).collect();
    order.sort_by_key(|turn| std::cmp::Reverse(turned[*turn].len()));
    let mut all = Vec::new();
    let mut lowest = 0.0f32;
    for (nth, turn) in order.into_iter().enumerate() {
        let glyphs = std::mem::take(&mut turned[turn]);
        let walls: Vec<&Rule> =
            if turn == 0 { found.rules.iter().filter(|r| r.vertical()).collect() } else { Vec::new() };
        let mut rows = rows_of(glyphs, &walls);
        if nth > 0 {
            // A frame of its own; kept apart from the text above by its place below.
            let top = rows.first().map_or(0.0, |r| r.y);
            for row in &mut rows {
                row.y += lowest - 200.0 - top;
            }
        }
        lowest = rows.last().map_or(lowest, |r| r.y);
        all.extend(rows);
    }
    all
}

fn rows_of(mut glyphs: Vec<Glyph>, walls: &[&Rule]) -> Vec<Row> {
    glyphs.sort_by(|a, b| b.y.total_cmp(&a.y).then(a.x0.total_cmp(&b.x0)));
    // The largest glyph of a cluster sets its baseline.
    let mut clusters: Vec<Cluster> = Vec::new();
    for glyph in glyphs {
        let near = clusters
            .iter_mut()
            .rev()
            .take(4)
            .find(|(y, size, _)| (*y - glyph.y).abs() <= 0.3 * glyph.size.min(*size));
        match near {
            Some((y, size, members)) => {
                if glyph.size > *size * 1.05 {
                    (*y, *size) = (glyph.y, glyph.size);
                }
                members.push(glyph);
            }
            None => clusters.push((glyph.y, glyph.size, vec![glyph])),
        }
    }
    let clusters = with_raised(clusters.into_iter().flat_map(parted).collect());
    clusters.into_iter().filter_map(|(y, _, members)| row(y, members, walls)).collect()
}

/// A baseline, its largest font size, its glyphs.
type Cluster = (f32, f32, Vec<Glyph>);

/// A cluster, or the two that it is where lines are set so close that their glyphs overlap.
fn parted(mut cluster: Cluster) -> Vec<Cluster> {
    let (_, size, glyphs) = &mut cluster;
    glyphs.sort_by(|a, b| a.x0.total_cmp(&b.x0));
    let apart = |a: &Glyph, b: &Glyph| (a.y - b.y).abs() > 0.06 * a.size;
    let overlapping = |w: &[Glyph]| {
        let [a, b] = w else { return false };
        apart(a, b) && !is_blank(a) && !is_blank(b) && a.x1 - b.x0 > 0.35 * (a.x1 - a.x0).min(b.x1 - b.x0)
    };
    if glyphs.windows(2).filter(|w| overlapping(w)).count() < 3 {
        return vec![cluster];
    }
    let mut heights: Vec<f32> = glyphs.iter().map(|g| g.y).collect();
    heights.sort_by(f32::total_cmp);
    let gap = |w: &[f32]| w.get(1).zip(w.first()).map_or(0.0, |(b, a)| b - a);
    let Some(widest) = heights.windows(2).max_by(|a, b| gap(a).total_cmp(&gap(b))) else {
        return vec![cluster];
    };
    let middle = widest.iter().sum::<f32>() / 2.0;
    let size = *size;
    let (above, below): (Vec<Glyph>, Vec<Glyph>) = cluster.2.into_iter().partition(|g| g.y > middle);
    let part = |glyphs: Vec<Glyph>| (glyphs.first().map_or(0.0, |g| g.y), size, glyphs);
    [part(above), part(below)].into_iter().filter(|c| !c.2.is_empty()).collect()
}

/// Clusters from top to bottom; one of small raised or lowered glyphs joins the line that it belongs to.
fn with_raised(mut clusters: Vec<Cluster>) -> Vec<Cluster> {
    clusters.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut out: Vec<Cluster> = Vec::with_capacity(clusters.len());
    let mut raised: Option<Cluster> = None;
    for mut cluster in clusters {
        if let Some(above) = raised.take() {
            if belongs(&above, &cluster, 0.75) {
                cluster.2.extend(above.2);
            } else {
                out.push(above);
            }
        }
        match out.last_mut() {
            Some(line) if belongs(&cluster, line, 0.45) => line.2.extend(cluster.2),
            // It may belong to the line below, which comes next.
            _ => raised = Some(cluster),
        }
    }
    out.extend(raised);
    out
}

/// Whether all of `small` is marks on `line`: footnote numbers, trade marks, exponents.
fn belongs(small: &Cluster, line: &Cluster, reach: f32) -> bool {
    let size = line.1;
    small.1 < 0.82 * size
        && (small.0 - line.0).abs() < reach * size
        && small.2.len() <= line.2.len().max(3)
        && small.2.iter().filter(|g| !is_blank(g)).any(|g| touches(&line.2, g, 0.6 * size))
}

fn is_blank(glyph: &Glyph) -> bool {
    glyph.text.first().is_none_or(char::is_whitespace)
}

fn touches(members: &[Glyph], glyph: &Glyph, size: f32) -> bool {
    members.iter().any(|m| glyph.x0 - m.x1 < 0.6 * size && m.x0 - glyph.x1 < 0.6 * size)
}

/// Splits one baseline into segments; `None` where it is blank.
fn row(y: f32, mut glyphs: Vec<Glyph>, walls: &[&Rule]) -> Option<Row> {
    glyphs.sort_by(|a, b| a.x0.total_cmp(&b.x0));
    let mut segments: Vec<Segment> = Vec::new();
    let mut current: Vec<Glyph> = Vec::new();
    let mut spaced = false;
    let mut gaps: Vec<bool> = Vec::new();
    for glyph in glyphs {
        if is_blank(&glyph) {
            spaced = true;
            continue;
        }
        let Some(last) = current.last() else {
            (current, gaps, spaced) = (vec![glyph], Vec::new(), false);
            continue;
        };
        // Overprinted to look bold, or a shadow.
        if last.text == glyph.text && (glyph.x0 - last.x0).abs() < 0.12 * glyph.size {
            if let Some(last) = current.last_mut() {
                last.bold = true;
            }
            continue;
        }
        let size = last.size.max(glyph.size);
        let gap = glyph.x0 - last.x1;
        let wide = if spaced { SPACED_SEGMENT_GAP } else { SEGMENT_GAP };
        let middle = (glyph.x0 + last.x1) / 2.0;
        let walled = gap > -0.2 * size
            && walls.iter().any(|w| {
                w.x0 > last.x0 + 0.2 * size
                    && w.x0 < glyph.x0 + 0.1 * size
                    && (w.x0 - middle).abs() < gap.abs() + 0.4 * size
                    && w.y0 < y + 0.3 * size
                    && w.y1 > y + 0.1 * size
            });
        let figures = gap > FIGURE_GAP * size && ends_figure(last) && starts_figure(&glyph);
        if gap > wide * size || walled || figures {
            segments.extend(segment(&std::mem::take(&mut current), &gaps));
            gaps.clear();
        } else {
            let cjk = |g: &Glyph| g.text.first().is_some_and(clean::is_cjk);
            let word_gap = if cjk(last) && cjk(&glyph) { 0.6 } else { WORD_GAP };
            // A space character between two Han characters may be the justification's.
            gaps.push(
                gap > word_gap * size
                    || (spaced && gap > if cjk(last) && cjk(&glyph) { 0.2 } else { -0.5 } * size),
            );
        }
        current.push(glyph);
        spaced = false;
    }
    segments.extend(segment(&current, &gaps));
    let size = segments.iter().max_by_key(|s| s.text.len()).map(|s| s.size)?;
    let rtl = segments.iter().map(|s| rtl_share(&s.text)).sum::<f32>() > 0.5 * segments.len() as f32;
    if rtl {
        segments.reverse();
    }
    Some(Row { y, size, segments })
}

fn ends_figure(glyph: &Glyph) -> bool {
    glyph.text.first().is_some_and(|c| c.is_ascii_digit() || matches!(c, ')' | '%' | '—' | '–'))
}

fn starts_figure(glyph: &Glyph) -> bool {
    glyph
        .text
        .first()
        .is_some_and(|c| c.is_ascii_digit() || matches!(c, '(' | '$' | '€' | '£' | '¥' | '—' | '–'))
}

/// Glyphs and, after each but the last, whether a space follows.
fn segment(glyphs: &[Glyph], gaps: &[bool]) -> Option<Segment> {
    let (first, last) = (glyphs.first()?, glyphs.last()?);
    let mut pieces: Vec<String> = Vec::with_capacity(glyphs.len());
    for (i, glyph) in glyphs.iter().enumerate() {
        let mut piece = String::new();
        glyph.text.push_to(&mut piece);
        pieces.push(piece);
        if gaps.get(i) == Some(&true) {
            pieces.push(" ".to_owned());
        }
    }
    let text: String = pieces.concat();
    let text = if rtl_share(&text) > 0.4 { logical_order(&pieces) } else { text };
    let text = clean::inline(&readable(&text));
    let bold = glyphs.iter().filter(|g| g.bold).count() * 10 >= glyphs.len() * 7;
    // The size of most glyphs; a raised mark or a large initial does not count.
    let mut sizes: Vec<f32> = glyphs.iter().map(|g| g.size).collect();
    sizes.sort_by(f32::total_cmp);
    let size = sizes[sizes.len() / 2];
    let x1 = glyphs.iter().map(|g| g.x1).fold(last.x1, f32::max);
    (!text.is_empty()).then_some(Segment { x0: first.x0, x1, size, bold, text })
}

/// Ligatures and Arabic presentation forms as the letters they stand for; codes without a character go.
fn readable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{FB00}'..='\u{FB4F}'
            | '\u{FB50}'..='\u{FDFF}'
            | '\u{FE70}'..='\u{FEFC}'
            | '\u{2F00}'..='\u{2FDF}' => {
                out.extend(c.nfkc());
            }
            '\u{E000}'..='\u{F8FF}' => {
                out.push(if matches!(c, '\u{F0B7}' | '\u{F0A7}' | '\u{F076}' | '\u{F0D8}') {
                    '•'
                } else {
                    ' '
                })
            }
            // Soft hyphens at line ends are mended later.
            '\u{AD}' => out.push('-'),
            char::REPLACEMENT_CHARACTER => {}
            c => out.push(c),
        }
    }
    out
}

fn is_rtl(c: char) -> bool {
    matches!(c, '\u{0590}'..='\u{08FF}' | '\u{FB1D}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFC}')
}

/// Share of letters that are written right to left.
fn rtl_share(text: &str) -> f32 {
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let rtl = text.chars().filter(|c| is_rtl(*c)).count();
    if letters == 0 { 0.0 } else { rtl as f32 / letters as f32 }
}

/// Visual to logical order for a line that runs right to left: all reversed but runs of Latin letters and digits.
fn logical_order(pieces: &[String]) -> String {
    let mut out = String::new();
    let mut run: Vec<&str> = Vec::new();
    let ltr = |p: &str| p.chars().any(|c| c.is_alphanumeric() && !is_rtl(c));
    for (i, piece) in pieces.iter().enumerate().rev() {
        let within = matches!(piece.as_str(), " " | "." | "," | "-" | "/" | ":" | "%")
            && !run.is_empty()
            && i > 0
            && ltr(&pieces[i - 1]);
        if ltr(piece) || within {
            run.push(piece);
        } else {
            out.extend(run.drain(..).rev());
            out.push_str(piece);
        }
    }
    out.extend(run.drain(..).rev());
    out
}
