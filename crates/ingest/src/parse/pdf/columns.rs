//! Reading order: finds columns of running text, and reads each down before the next.

use super::lines::Row;

/// Columns within columns.
const MOST_DEPTH: usize = 3;

/// Lines that a column has at least.
const FEWEST_LINES: usize = 5;

/// Groups of rows in reading order; within a group rows run over its whole width.
pub(super) fn in_reading_order(rows: Vec<Row>) -> Vec<Vec<Row>> {
    let mut groups = Vec::new();
    split(rows, 0, &mut groups);
    groups
}

fn split(rows: Vec<Row>, depth: usize, groups: &mut Vec<Vec<Row>>) {
    let gutter = if depth < MOST_DEPTH { gutter(&rows) } else { None };
    let Some(gutter) = gutter else {
        if !rows.is_empty() {
            groups.push(rows);
        }
        return;
    };
    let mut band: Vec<Row> = Vec::new();
    let mut wide: Vec<Row> = Vec::new();
    for row in rows {
        let crosses = row.segments.iter().any(|s| s.x0 < gutter - 1.0 && s.x1 > gutter + 1.0);
        if crosses {
            split_band(std::mem::take(&mut band), gutter, depth, groups);
            wide.push(row);
        } else {
            if !wide.is_empty() {
                groups.push(std::mem::take(&mut wide));
            }
            band.push(row);
        }
    }
    if !wide.is_empty() {
        groups.push(wide);
    }
    split_band(band, gutter, depth, groups);
}

fn split_band(band: Vec<Row>, gutter: f32, depth: usize, groups: &mut Vec<Vec<Row>>) {
    let mut sides: [Vec<Row>; 2] = Default::default();
    for row in band {
        let (left, right): (Vec<_>, Vec<_>) =
            row.segments.into_iter().partition(|s| (s.x0 + s.x1) / 2.0 < gutter);
        for (side, segments) in sides.iter_mut().zip([left, right]) {
            if let Some(size) = segments.iter().max_by_key(|s| s.text.len()).map(|s| s.size) {
                side.push(Row { y: row.y, size, segments });
            }
        }
    }
    for side in sides {
        split(side, depth + 1, groups);
    }
}

/// Where the space between two columns of prose runs, if there are such.
fn gutter(rows: &[Row]) -> Option<f32> {
    let segments: Vec<_> = rows.iter().flat_map(|r| &r.segments).collect();
    if segments.len() < 2 * FEWEST_LINES {
        return None;
    }
    let mut sizes: Vec<f32> = segments.iter().map(|s| s.size).collect();
    sizes.sort_by(f32::total_cmp);
    let size = sizes[sizes.len() / 2];
    let left = percentile(segments.iter().map(|s| s.x0).collect(), 3);
    let right = percentile(segments.iter().map(|s| s.x1).collect(), 97);
    let width = right - left;
    if width < 20.0 * size {
        return None;
    }
    let steps = ((width * 0.7) / (size * 0.4)).ceil() as usize;
    let mut best: Option<(usize, f32, f32)> = None;
    for step in 0..=steps.min(400) {
        let x = left + width * 0.15 + step as f32 * size * 0.4;
        let crossing = segments.iter().filter(|s| s.x0 < x && s.x1 > x).count();
        match &mut best {
            Some((fewest, _, to)) if crossing == *fewest && x - *to < size * 0.5 => *to = x,
            Some((fewest, _, _)) if crossing >= *fewest => {}
            _ => best = Some((crossing, x, x)),
        }
    }
    let (crossing, from, to) = best?;
    let x = (from + to) / 2.0;
    if crossing * 3 > rows.len() {
        return None;
    }
    let sides = [
        rows.iter().filter_map(|r| side(r, |s| s.1 <= x)).collect::<Vec<_>>(),
        rows.iter().filter_map(|r| side(r, |s| s.0 >= x)).collect::<Vec<_>>(),
    ];
    sides.iter().all(|lines| is_prose(lines, size)).then_some(x)
}

/// The part of a row on one side: its ends, characters and letters, number of segments.
type Line = (f32, f32, usize, usize, usize);

fn side(row: &Row, within: impl Fn((f32, f32)) -> bool) -> Option<Line> {
    let own: Vec<_> = row.segments.iter().filter(|s| within((s.x0, s.x1))).collect();
    let (first, last) = (own.first()?, own.last()?);
    let chars = own.iter().map(|s| s.chars()).sum();
    let letters = own.iter().flat_map(|s| s.text.chars()).filter(|c| c.is_alphabetic()).count();
    Some((first.x0, last.x1, chars, letters, own.len()))
}

/// Lines that fill their column, of words rather than figures, unbroken by gaps.
fn is_prose(lines: &[Line], size: f32) -> bool {
    if lines.len() < FEWEST_LINES {
        return false;
    }
    let x0 = percentile(lines.iter().map(|l| l.0).collect(), 10);
    let x1 = percentile(lines.iter().map(|l| l.1).collect(), 90);
    let fill = percentile(lines.iter().map(|l| (l.1 - x0) / (x1 - x0).max(1.0)).collect(), 40);
    let chars: usize = lines.iter().map(|l| l.2).sum();
    let letters: usize = lines.iter().map(|l| l.3).sum();
    let parts: usize = lines.iter().map(|l| l.4).sum();
    x1 - x0 > 9.0 * size && fill > 0.72 && letters * 100 > chars * 62 && parts * 10 < lines.len() * 14
}

pub(super) fn percentile(mut values: Vec<f32>, percent: usize) -> f32 {
    values.sort_by(f32::total_cmp);
    values.get(values.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0.0)
}
