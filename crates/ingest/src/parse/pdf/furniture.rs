//! Takes away what recurs at the top and the bottom of pages: running titles, page numbers.

use std::collections::HashMap;

use super::Page;
use super::lines::Segment;

/// Rows from each edge that are looked at.
const EDGE: usize = 4;

/// Of these, those that count wherever they stand.
const OUTERMOST: usize = 1;

/// Text recurs anywhere near the edges on at least so many pages; at exactly one height two are enough.
const FEWEST_PAGES: usize = 3;

/// Removes rows at the edges whose text, digits aside, recurs on enough pages.
pub(super) fn remove(pages: &mut [Page]) {
    let read = pages.iter().filter(|p| !p.rows.is_empty()).count();
    // Anywhere among the edge rows; and at exactly this height, for chapters' running titles.
    let mut by_text: HashMap<(bool, String), usize> = HashMap::new();
    let mut by_place: HashMap<(bool, String, i32), usize> = HashMap::new();
    for page in pages.iter() {
        let mut seen = Vec::new();
        for (index, top) in edges(page) {
            let key = key(&page.rows[index].text());
            let place = (top, key.clone(), place(page, index));
            if !seen.contains(&place) {
                *by_place.entry(place.clone()).or_default() += 1;
                seen.push(place);
            }
        }
        let mut texts: Vec<(bool, String)> = seen.into_iter().map(|(top, key, _)| (top, key)).collect();
        texts.sort();
        texts.dedup();
        for text in texts {
            *by_text.entry(text).or_default() += 1;
        }
    }
    let numbers = [true, false].map(|top| page_number_offset(pages, top));
    for (at, page) in pages.iter_mut().enumerate() {
        let numbered = |index: usize, top: bool| {
            let outermost = index == if top { 0 } else { page.rows.len() - 1 };
            let offset = numbers[usize::from(!top)];
            outermost && offset.is_some_and(|o| offsets(&page.rows[index].text(), at).contains(&o))
        };
        let recurs = |index: usize, top: bool| {
            let key = key(&page.rows[index].text());
            let place = (top, key.clone(), place(page, index));
            let everywhere =
                by_text.get(&(top, key.clone())).is_some_and(|n| *n >= FEWEST_PAGES && n * 10 >= read * 6);
            let here = by_place.get(&place).is_some_and(|n| *n >= 2 && n * 4 >= read);
            (everywhere || in_margin(page, index) && (here || counts_pages(&key)))
                && !heads_table(page, index)
        };
        // From the edge inward, as far as rows recur.
        let near = edges(page);
        let mut gone: Vec<usize> = Vec::new();
        for top in [true, false] {
            let mut side: Vec<usize> = near.iter().filter(|(_, t)| *t == top).map(|(i, _)| *i).collect();
            if !top {
                side.reverse();
            }
            gone.extend(side.into_iter().take_while(|index| numbered(*index, top) || recurs(*index, top)));
        }
        gone.sort_unstable();
        gone.dedup();
        for index in gone.into_iter().rev() {
            page.rows.remove(index);
        }
    }
}

/// By how much the number in the outermost row differs from the page's index, where it counts the pages.
fn page_number_offset(pages: &[Page], top: bool) -> Option<i64> {
    let mut counts: HashMap<i64, usize> = HashMap::new();
    let mut read = 0;
    for (at, page) in pages.iter().enumerate() {
        let Some(row) = (if top { page.rows.first() } else { page.rows.last() }) else { continue };
        read += 1;
        for offset in offsets(&row.text(), at) {
            *counts.entry(offset).or_default() += 1;
        }
    }
    let (offset, count) = counts.into_iter().max_by_key(|(_, n)| *n)?;
    (count >= FEWEST_PAGES && count * 10 >= read * 6).then_some(offset)
}

/// The first and the last word, where they are numbers, less the page's index.
fn offsets(text: &str, at: usize) -> Vec<i64> {
    let mut words = text.split_whitespace();
    let ends = [words.next(), words.next_back()];
    let number = |w: &str| w.parse::<i64>().ok().filter(|n| (0..100_000).contains(n));
    ends.into_iter().flatten().filter_map(number).map(|n| n - at as i64).collect()
}

/// Whether the segments of a row stand above those of the next one: a table's header, repeated on each page.
fn heads_table(page: &Page, index: usize) -> bool {
    let row = &page.rows[index];
    let Some(next) = page.rows.get(index + 1) else { return false };
    let aligned =
        |s: &&Segment| next.segments.iter().any(|o| (o.x0 - s.x0).abs() < 3.0 || (o.x1 - s.x1).abs() < 3.0);
    row.segments.len() > 1 && row.segments.iter().filter(aligned).count() * 2 > row.segments.len()
}

/// Indexes of the rows near the edges, and whether each is at the top.
fn edges(page: &Page) -> Vec<(usize, bool)> {
    let count = page.rows.len();
    let top = (0..count.min(EDGE)).map(|i| (i, true));
    let bottom = (count.saturating_sub(EDGE)..count).map(|i| (i, false));
    // The outermost rows count wherever a short page ends; the next ones only near the edge, for body lines recur too.
    top.chain(bottom)
        .filter(|(i, top)| {
            let rank = if *top { *i } else { count - 1 - *i };
            let share = page.rows[*i].y / page.height.max(1.0);
            rank < OUTERMOST || (*top && share > 0.8) || (!*top && share < 0.2)
        })
        .collect()
}

fn place(page: &Page, index: usize) -> i32 {
    (page.rows[index].y / 4.0).round() as i32
}

/// `Page 3 of 12` and its like, which even a single page has.
fn counts_pages(key: &str) -> bool {
    ["page#of#", "seite#von#", "page#sur#", "第#页共#页", "第#页/共#页", "第#頁共#頁"]
        .iter()
        .any(|p| key.contains(p))
}

fn in_margin(page: &Page, index: usize) -> bool {
    let share = page.rows[index].y / page.height.max(1.0);
    !(0.1..=0.9).contains(&share)
}

/// The text with digits (and small Roman numbers) alike, case and spaces aside.
fn key(text: &str) -> String {
    let lower = text.to_lowercase();
    if !lower.is_empty() && lower.chars().all(|c| "ivxl".contains(c)) {
        return "#".to_owned();
    }
    let mut out = String::new();
    for c in lower.chars().filter(|c| !c.is_whitespace()) {
        if c.is_numeric() {
            if !out.ends_with('#') {
                out.push('#');
            }
        } else {
            out.push(c);
        }
    }
    out
}
