//! Tables: from ruled lines where there are such, else from columns that align over rows.

use super::columns::percentile;
use super::content::Rule;
use super::lines::{Row, Segment};

/// A stretch of a group of rows.
#[derive(Debug)]
pub(super) enum Part {
    Rows(Vec<Row>),
    Table(Vec<Vec<String>>),
}

/// Splits a group of rows into tables and what stands between them.
pub(super) fn parts(rows: Vec<Row>, rules: &[Rule]) -> Vec<Part> {
    let rows: Vec<Row> = rows.into_iter().map(prepared).collect();
    let mut parts: Vec<Part> = Vec::new();
    let mut plain: Vec<Row> = Vec::new();
    let mut at = 0;
    while at < rows.len() {
        let found = ruled(&rows[at..], rules).or_else(|| aligned(&rows[at..]));
        match found {
            Some((taken, table)) => {
                if !plain.is_empty() {
                    parts.push(Part::Rows(std::mem::take(&mut plain)));
                }
                parts.push(Part::Table(table));
                at += taken;
            }
            None => {
                plain.push(rows[at].clone());
                at += 1;
            }
        }
    }
    if !plain.is_empty() {
        parts.push(Part::Rows(plain));
    }
    parts
}

/// Joins what belongs together though gaps part it: currency signs, closing brackets, list marks.
fn prepared(mut row: Row) -> Row {
    let mut out: Vec<Segment> = Vec::with_capacity(row.segments.len());
    for mut segment in row.segments {
        if let Some((mark, amount)) = segment.text.split_once(' ')
            && is_currency(mark)
            && amount.starts_with(|c: char| c.is_ascii_digit() || c == '(')
            && !amount.contains(' ')
        {
            segment.text = format!("{mark}{amount}");
        }
        let Some(last) = out.last_mut() else {
            out.push(segment);
            continue;
        };
        let closing = matches!(segment.text.as_str(), ")" | "%" | ")%" | "%)" | "pts" | "bps");
        let amount = segment
            .text
            .starts_with(|c: char| c.is_ascii_digit() || matches!(c, '(' | '.' | '-' | '—' | '–'));
        if is_currency(&last.text) && amount || closing {
            last.text.push_str(&segment.text);
            last.x1 = segment.x1;
        } else {
            out.push(segment);
        }
    }
    if let [mark, text] = out.as_slice()
        && is_mark(&mark.text)
        && text.x0 - mark.x1 < 5.0 * row.size
        && text.text.chars().any(char::is_alphabetic)
        && text.chars() > 12
    {
        let joined = Segment {
            x0: mark.x0,
            x1: text.x1,
            size: text.size,
            bold: text.bold,
            text: format!("{} {}", mark.text, text.text),
        };
        out = vec![joined];
    }
    row.segments = out;
    row
}

/// A sign that stands before an amount, apart from it in some tables.
fn is_currency(text: &str) -> bool {
    matches!(text, "$" | "€" | "£" | "¥" | "￥" | "US$" | "($" | "(" | "$(")
}

/// `•`, `1.`, `(a)`, `2.3`, `iv)`.
pub(super) fn is_mark(text: &str) -> bool {
    let count = text.chars().count();
    if count == 1 {
        return text.chars().all(|c| "•▪●◦‣–—-·○■□*➢✓".contains(c));
    }
    let inner = text.trim_matches(|c| matches!(c, '(' | ')' | '.'));
    let bracketed = inner.len() < text.len();
    let short = !inner.is_empty() && inner.chars().count() <= 4 && inner.chars().all(char::is_alphanumeric);
    let numbered = inner.contains('.')
        && inner.split('.').all(|p| !p.is_empty() && p.len() <= 3 && p.chars().all(|c| c.is_ascii_digit()));
    count <= 10 && (bracketed && short || numbered)
}

/// A table whose rows are parted by horizontal lines and whose cells stand between vertical ones.
fn ruled(rows: &[Row], rules: &[Rule]) -> Option<(usize, Vec<Vec<String>>)> {
    let first = rows.first()?;
    let (y, x) = (first.y + 0.3 * first.size, (first.x0() + first.segments.first()?.x1) / 2.0);
    // Walls left and right of the first segment, through its line.
    let walls: Vec<&Rule> = rules.iter().filter(|r| r.vertical() && r.y0 < y && r.y1 > y).collect();
    let inside = walls.iter().any(|w| w.x0 < x) && walls.iter().any(|w| w.x0 > x);
    if !inside {
        return None;
    }
    // The connected walls: down from the first row, as far as walls reach.
    let top = walls.iter().map(|w| w.y1).fold(f32::MIN, f32::max);
    let mut bottom = walls.iter().map(|w| w.y0).fold(f32::MAX, f32::min);
    loop {
        let reach = rules.iter().filter(|r| r.vertical() && r.y1 >= bottom - 2.0 && r.y1 <= top + 2.0);
        let lower = reach.map(|r| r.y0).fold(bottom, f32::min);
        if lower >= bottom - 0.5 {
            break;
        }
        bottom = lower;
    }
    let within: Vec<&Rule> = rules.iter().filter(|r| r.y0 >= bottom - 3.0 && r.y1 <= top + 3.0).collect();
    let columns = edges(within.iter().filter(|r| r.vertical()).map(|r| r.x0).collect(), 2.5);
    let (left, right) = (*columns.first()?, *columns.last()?);
    let covered = |y: f32| -> f32 {
        let lines = within.iter().filter(|r| r.horizontal() && (r.y0 - y).abs() < 2.0);
        lines.map(|r| r.x1.min(right) - r.x0.max(left)).filter(|w| *w > 0.0).sum()
    };
    let mut lines = edges(within.iter().filter(|r| r.horizontal()).map(|r| r.y0).collect(), 2.5);
    lines.retain(|y| covered(*y) > 0.55 * (right - left));
    let taken = rows.iter().take_while(|r| r.y + 0.3 * r.size > bottom).count();
    let body = &rows[..taken];
    if columns.len() < 3 || lines.len() < 2 || taken < 2 {
        return None;
    }
    let outside = body.iter().flat_map(|r| &r.segments).filter(|s| s.x1 < left || s.x0 > right).count();
    if outside * 5 > body.len() {
        return None;
    }
    lines.sort_by(|a, b| b.total_cmp(a));
    // Rows of text between two lines are one row of the table; without inner lines each is its own.
    let inner = lines.iter().filter(|y| **y < top - 4.0 && **y > bottom + 4.0).count();
    let mut table: Vec<Vec<String>> = Vec::new();
    let mut band_before = None;
    for (index, row) in body.iter().enumerate() {
        let band = lines.iter().filter(|y| **y > row.y + 0.3 * row.size).count();
        let key = if inner == 0 { index } else { band };
        if band_before != Some(key) {
            table.push(vec![String::new(); columns.len() - 1]);
            band_before = Some(key);
        }
        let Some(cells) = table.last_mut() else { continue };
        for segment in &row.segments {
            let middle = segment.x0.max(left) + 0.3 * row.size;
            let column = columns.windows(2).position(|w| w[0] - 1.0 <= middle && middle < w[1]).unwrap_or(0);
            add(&mut cells[column], &segment.text);
        }
    }
    let filled: usize = (0..columns.len() - 1).filter(|c| table.iter().any(|r| !r[*c].is_empty())).count();
    (table.len() >= 2 && filled >= 2).then(|| {
        let used: Vec<usize> =
            (0..columns.len() - 1).filter(|c| table.iter().any(|r| !r[*c].is_empty())).collect();
        let table = table.iter().map(|r| used.iter().map(|c| r[*c].clone()).collect()).collect();
        (taken, table)
    })
}

/// Sorted values, those nearer than `tolerance` as one.
fn edges(mut values: Vec<f32>, tolerance: f32) -> Vec<f32> {
    values.sort_by(f32::total_cmp);
    values.dedup_by(|b, a| *b - *a < tolerance);
    values
}

fn add(cell: &mut String, text: &str) {
    if cell.ends_with('-') && text.starts_with(|c: char| c.is_lowercase()) && !cell.ends_with(" -") {
        cell.pop();
        cell.push_str(text);
        return;
    }
    super::clean::join(cell, text);
}

/// A table by alignment that starts with the first row.
fn aligned(rows: &[Row]) -> Option<(usize, Vec<Vec<String>>)> {
    let first = rows.first()?;
    if first.segments.len() < 2 {
        // A heading over the value columns may stand alone on the first line.
        let left = rows.iter().take(8).map(Row::x0).fold(f32::MAX, f32::min);
        let near =
            rows.get(1).is_some_and(|next| next.segments.len() > 1 && first.y - next.y < 2.0 * first.size);
        if !near || first.x0() < left + 10.0 * first.size {
            return None;
        }
    }
    let taken = extent(rows);
    let body = &rows[..taken];
    let several: Vec<&Row> = body.iter().filter(|r| r.segments.len() > 1).collect();
    if several.len() < 2 {
        return None;
    }
    let columns = spans(&several);
    if columns.len() < 2 || !columns_align(&several, &columns) {
        return None;
    }
    // Running text in columns is no table.
    let long = several.iter().flat_map(|r| &r.segments).filter(|s| s.chars() > 70).count();
    if long * 3 > several.len() {
        return None;
    }
    Some((taken, cells(body, &columns)))
}

/// How many rows belong together: rows of several segments, with a few lines of one between them.
fn extent(rows: &[Row]) -> usize {
    let pitch = percentile(rows.windows(2).take(40).map(|w| w[0].y - w[1].y).collect(), 50).clamp(4.0, 60.0);
    let (mut left, mut right) = (rows[0].x0(), rows[0].x1());
    let mut end = 1;
    let mut singles = 0;
    for at in 1..rows.len() {
        let row = &rows[at];
        let gap = rows[at - 1].y - row.y;
        let size = row.size.max(rows[at - 1].size);
        if gap > (2.6 * pitch).max(3.2 * size) || gap < 0.0 {
            break;
        }
        if row.segments.len() > 1 {
            (singles, end) = (0, at + 1);
            (left, right) = (left.min(row.x0()), right.max(row.x1()));
            continue;
        }
        singles += 1;
        let long = row.x1() - row.x0() > 0.75 * (right - left) && row.len() > 60;
        // A long line is a label only where a row of several follows at once; else running text has begun.
        let label = row.x0() < left + 4.0 * size
            && gap < 1.6 * pitch
            && rows.get(at + 1).is_some_and(|next| next.segments.len() > 1 && row.y - next.y < 1.6 * pitch);
        if singles > 3 || (long && !label) {
            break;
        }
    }
    end
}

/// The x-intervals of the columns, from the rows that have most of them; few rows may cross the space between.
fn spans(rows: &[&Row]) -> Vec<(f32, f32)> {
    let most = rows.iter().map(|r| r.segments.len()).max().unwrap_or(0);
    let full: Vec<&&Row> = rows.iter().filter(|r| r.segments.len() * 10 >= most * 7).collect();
    let mut ends: Vec<(f32, i32)> =
        full.iter().flat_map(|r| &r.segments).flat_map(|s| [(s.x0, 1), (s.x1.max(s.x0 + 0.1), -1)]).collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let few = full.len() as i32 / 10;
    let mut covering = 0;
    let mut columns: Vec<(f32, f32)> = Vec::new();
    for (x, step) in ends {
        let before = covering;
        covering += step;
        if before <= few && covering > few {
            match columns.last_mut() {
                Some(last) if x < last.1 + 1.5 => last.1 = x,
                _ => columns.push((x, x)),
            }
        } else if before > few
            && covering <= few
            && let Some(last) = columns.last_mut()
        {
            last.1 = x;
        }
    }
    // What the fullest rows leave out but others fill.
    for segment in rows.iter().flat_map(|r| &r.segments) {
        if columns.iter().all(|c| segment.x1 < c.0 - 2.0 || segment.x0 > c.1 + 2.0) {
            columns.push((segment.x0, segment.x1));
            columns.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
    }
    columns
}

/// Whether most columns share a left edge, a right edge or a middle over the rows.
fn columns_align(rows: &[&Row], columns: &[(f32, f32)]) -> bool {
    let mut good = 0;
    let mut counted = 0;
    for (nth, column) in columns.iter().enumerate() {
        let own: Vec<&Segment> = rows
            .iter()
            .flat_map(|r| &r.segments)
            .filter(|s| s.x0 >= column.0 - 1.0 && s.x1 <= column.1 + 1.0)
            .collect();
        if own.len() < 2 {
            continue;
        }
        counted += 1;
        let tolerance = 0.9 * own[0].size;
        let most = |edge: fn(&Segment) -> f32| {
            let middle = percentile(own.iter().map(|s| edge(s)).collect(), 50);
            own.iter().filter(|s| (edge(s) - middle).abs() <= tolerance).count()
        };
        let best = most(|s| s.x0).max(most(|s| s.x1)).max(most(|s| (s.x0 + s.x1) / 2.0));
        // Labels may be indented by level.
        if best * 10 >= own.len() * 6 || nth == 0 {
            good += 1;
        }
    }
    counted >= 2 && good * 10 >= counted * 6
}

/// Fills the cells; header lines are joined, and so are labels that were wrapped.
fn cells(rows: &[Row], columns: &[(f32, f32)]) -> Vec<Vec<String>> {
    let mut table: Vec<Vec<String>> = Vec::new();
    let mut labelled = false;
    for row in rows {
        let mut cells = vec![String::new(); columns.len()];
        let first_column = |s: &Segment| s.x0 < columns.get(1).map_or(f32::MAX, |c| c.0 - 1.0);
        let label = row.segments.first().filter(|s| first_column(s));
        let heads = !labelled && label.is_none_or(|s| is_remark(&s.text));
        labelled |= !heads;
        for (nth, segment) in row.segments.iter().enumerate() {
            let own = row.segments.iter().filter(|s| !first_column(s)).count();
            if heads && !first_column(segment) && own + 1 < columns.len() && !segment.text.ends_with(':') {
                headed(row, nth, columns).into_iter().for_each(|c| add(&mut cells[c], &segment.text));
                continue;
            }
            let column = if row.segments.len() == 1 { alone(segment, columns) } else { None };
            let column = column.unwrap_or_else(|| nearest(segment, columns));
            add(&mut cells[column], &segment.text);
        }
        table.push(cells);
    }
    joined_header(joined_labels(table))
}

/// The column that shares most with `segment`, else the nearest.
fn nearest(segment: &Segment, columns: &[(f32, f32)]) -> usize {
    let distance = |c: &(f32, f32)| {
        let shared = segment.x1.min(c.1) - segment.x0.max(c.0);
        // Shared width counts against distance.
        if shared > 0.0 { -shared } else { (segment.x0 - c.1).max(c.0 - segment.x1) }
    };
    let by_distance = |a: &usize, b: &usize| distance(&columns[*a]).total_cmp(&distance(&columns[*b]));
    (0..columns.len()).min_by(by_distance).unwrap_or(0)
}

/// Where a line of its own goes: the column whose edge it shares, as a wrapped cell does; else the label column.
fn alone(segment: &Segment, columns: &[(f32, f32)]) -> Option<usize> {
    let near = |a: f32, b: f32| (a - b).abs() < 0.6 * segment.size;
    let within = |c: &(f32, f32)| segment.x0 > c.0 - segment.size && segment.x1 < c.1 + segment.size;
    let shared =
        columns.iter().skip(1).position(|c| (near(segment.x0, c.0) || near(segment.x1, c.1)) && within(c));
    Some(shared.map_or(0, |c| c + 1))
}

/// The columns below segment `nth` of a header line that has fewer segments than there are columns.
fn headed(row: &Row, nth: usize, columns: &[(f32, f32)]) -> Vec<usize> {
    let middle = |c: usize| (columns[c].0 + columns[c].1) / 2.0;
    let pitch = percentile((2..columns.len()).map(|c| middle(c) - middle(c - 1)).collect(), 50);
    let away = |s: &Segment, x: f32| (s.x0 - x).max(x - s.x1).max(0.0);
    let label = |s: &&Segment| s.x0 < columns.get(1).map_or(f32::MAX, |c| c.0 - 1.0);
    let own = (1..columns.len())
        .filter(|c| {
            let x = middle(*c);
            let here = away(&row.segments[nth], x);
            let best = row.segments.iter().filter(|s| !label(s)).map(|s| away(s, x)).fold(f32::MAX, f32::min);
            here <= best && here < 0.75 * pitch.max(row.size)
        })
        .collect::<Vec<_>>();
    if own.is_empty() { vec![nearest(&row.segments[nth], columns)] } else { own }
}

/// A label that goes on in the next row, in lower case, is one label.
fn joined_labels(table: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let mut out: Vec<Vec<String>> = Vec::with_capacity(table.len());
    for row in table {
        let open = |r: &Vec<String>| r[0].matches('(').count() > r[0].matches(')').count();
        let goes_on = row[0].starts_with(|c: char| c.is_lowercase())
            || !row[0].is_empty() && out.last().is_some_and(open);
        let label_only = |r: &Vec<String>| !r[0].is_empty() && r[1..].iter().all(String::is_empty);
        match out.last_mut() {
            Some(last)
                if goes_on && (label_only(last) && !last[0].ends_with([':', '.']) || label_only(&row)) =>
            {
                add(&mut last[0], &row[0]);
                for (cell, text) in last.iter_mut().zip(&row).skip(1) {
                    add(cell, text);
                }
            }
            _ => out.push(row),
        }
    }
    out
}

/// Leading rows without a label are the header's lines.
fn joined_header(mut table: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let unlabelled = table.iter().take_while(|r| r[0].is_empty() || is_remark(&r[0])).count();
    if unlabelled == 0 || unlabelled >= table.len() || unlabelled > 5 {
        return table;
    }
    let figures =
        |r: &Vec<String>| r[1..].iter().any(|c| c.chars().any(|c| c.is_ascii_digit()) && !is_header_like(c));
    // The header's last line may carry the label column's own title.
    let titled = table
        .get(unlabelled)
        .is_some_and(|r| r[1..].iter().all(|c| !c.is_empty()) && !figures(r) && table.len() > unlabelled + 1);
    let count = unlabelled + usize::from(titled);
    let rest = table.split_off(count);
    let mut header = vec![String::new(); table[0].len()];
    for row in table {
        for (cell, text) in header.iter_mut().zip(&row) {
            add(cell, text);
        }
    }
    [vec![header], rest].concat()
}

/// `(In millions)`: belongs to the header though it stands where labels do.
fn is_remark(label: &str) -> bool {
    label.starts_with('(') && label.ends_with(')')
}

/// A year, or words: not a figure of the body.
fn is_header_like(cell: &str) -> bool {
    let digits = cell.chars().filter(|c| c.is_ascii_digit()).count();
    let letters = cell.chars().filter(|c| c.is_alphabetic()).count();
    letters >= 2 || (digits == 4 && cell.len() == 4 && (cell.starts_with("19") || cell.starts_with("20")))
}
