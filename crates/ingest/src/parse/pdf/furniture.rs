//! Takes away what recurs at the top and the bottom of pages: running titles, page numbers.

use std::collections::HashMap;

use super::Page;
use super::lines::{Row, Segment};

/// Rows from each edge that are looked at.
const EDGE: usize = 4;

/// Of these, those that count wherever they stand.
const OUTERMOST: usize = 1;

/// Text recurs anywhere near the edges on at least so many pages; at exactly one height so many in a row are enough, or
/// two of a short document.
const FEWEST_PAGES: usize = 3;

/// Pages before and after that tell whether a number counts; with two-sided printing every other one is like it.
const WINDOW: usize = 4;

/// A row near an edge.
struct Edge {
    index: usize,
    top: bool,
    /// Its text with numbers alike, case and spaces aside.
    template: String,
    numbers: Vec<i64>,
    /// What has to recur: the template where a number counts the pages, else the text.
    key: String,
}

/// Removes rows at the edges whose text recurs on enough pages; a number in it may count them.
pub(super) fn remove(pages: &mut [Page]) {
    let read = pages.iter().filter(|p| !p.rows.is_empty()).count();
    let all = keyed_edges(pages);
    // Anywhere among the edge rows; and at exactly this height, for chapters' running titles.
    let mut by_text: HashMap<(bool, &str), usize> = HashMap::new();
    let mut by_place: HashMap<(bool, &str, i32), Vec<usize>> = HashMap::new();
    for (at, (page, edges)) in pages.iter().zip(&all).enumerate() {
        let mut seen = Vec::new();
        for edge in edges {
            let place = (edge.top, edge.key.as_str(), place(page, edge.index));
            if !seen.contains(&place) {
                by_place.entry(place).or_default().push(at);
                seen.push(place);
            }
        }
        let mut texts: Vec<(bool, &str)> = seen.into_iter().map(|(top, key, _)| (top, key)).collect();
        texts.sort_unstable();
        texts.dedup();
        for text in texts {
            *by_text.entry(text).or_default() += 1;
        }
    }
    let numbers = [true, false].map(|top| page_number_offset(pages, top));
    let count = pages.len();
    for (at, page) in pages.iter_mut().enumerate() {
        let numbered = |index: usize, top: bool| {
            let outermost = index == if top { 0 } else { page.rows.len() - 1 };
            let offset = numbers[usize::from(!top)];
            outermost && offset.is_some_and(|o| offsets(&page.rows[index], at, count).contains(&o))
        };
        let recurs = |edge: &Edge| {
            let place = (edge.top, edge.key.as_str(), place(page, edge.index));
            let everywhere = by_text
                .get(&(edge.top, edge.key.as_str()))
                .is_some_and(|n| *n >= FEWEST_PAGES && n * 10 >= read * 6);
            let here = by_place
                .get(&place)
                .is_some_and(|found| (found.len() >= 2 && found.len() * 4 >= read) || runs_on(found, at));
            (everywhere || in_margin(page, edge.index) && (here || counts_pages(&edge.template)))
                && !heads_table(page, edge.index)
        };
        // From the edge inward, as far as rows recur.
        let mut gone: Vec<usize> = Vec::new();
        for top in [true, false] {
            let mut side: Vec<&Edge> = all[at].iter().filter(|e| e.top == top).collect();
            if !top {
                side.reverse();
            }
            let recurring = side.into_iter().take_while(|e| numbered(e.index, top) || recurs(e));
            gone.extend(recurring.map(|e| e.index));
        }
        gone.sort_unstable();
        gone.dedup();
        for index in gone.into_iter().rev() {
            page.rows.remove(index);
        }
    }
}

/// Whether `at` is one of several pages of a chapter: every page, or the left or the right ones alone.
fn runs_on(found: &[usize], at: usize) -> bool {
    let runs = found.chunk_by(|a, b| b - a <= 2);
    runs.filter(|run| run.contains(&at)).any(|run| run.len() >= FEWEST_PAGES)
}

/// The edge rows of all pages. Numbers are alike only in a row where one moves in step with the pages: "Article 3" on one
/// page and "Article 7" on a later one are not the same text.
fn keyed_edges(pages: &[Page]) -> Vec<Vec<Edge>> {
    let edge = |page: &Page, (index, top): (usize, bool)| {
        let (template, numbers, key) = folded(&page.rows[index].text());
        Edge { index, top, template, numbers, key }
    };
    let mut all: Vec<Vec<Edge>> =
        pages.iter().map(|page| edges(page).into_iter().map(|e| edge(page, e)).collect()).collect();
    let counts = |at: usize, own: &Edge| {
        let near = at.saturating_sub(WINDOW)..(at + WINDOW + 1).min(all.len());
        let in_step = |other: usize| {
            let step = other as i64 - at as i64;
            let same = |e: &&Edge| e.top == own.top && e.template == own.template;
            all[other].iter().filter(same).any(|e| {
                let mut pairs = own.numbers.iter().zip(&e.numbers);
                pairs.any(|(a, b)| {
                    b.wrapping_sub(*a) == step && could_count(&pages[at].rows[own.index], *a, pages.len())
                })
            })
        };
        // Two of them, for articles come one after the other too; a letter of two pages has but one other.
        let steps = near.filter(|other| *other != at && in_step(*other)).take(2).count();
        steps == 2 || (steps == 1 && pages.len() == 2 && own.numbers.contains(&(at as i64 + 1)))
    };
    let counting: Vec<Vec<bool>> = all
        .iter()
        .enumerate()
        .map(|(at, edges)| edges.iter().map(|e| !e.numbers.is_empty() && counts(at, e)).collect())
        .collect();
    for (edge, counts) in all.iter_mut().flatten().zip(counting.into_iter().flatten()) {
        if counts {
            edge.key.clone_from(&edge.template);
        }
    }
    all
}

/// Whether `number` in `row` may be a page's: not the one of an invoice, which may count up page by page too.
fn could_count(row: &Row, number: i64, pages: usize) -> bool {
    let alone = row.text().chars().all(|c| !c.is_alphabetic());
    alone || row.segments.len() > 1 || number <= 3 * pages as i64 + 50
}

/// By how much the number in the outermost row differs from the page's index, where it counts the pages.
fn page_number_offset(pages: &[Page], top: bool) -> Option<i64> {
    let mut counts: HashMap<i64, usize> = HashMap::new();
    let mut read = 0;
    for (at, page) in pages.iter().enumerate() {
        let Some(row) = (if top { page.rows.first() } else { page.rows.last() }) else { continue };
        read += 1;
        for offset in offsets(row, at, pages.len()) {
            *counts.entry(offset).or_default() += 1;
        }
    }
    let (offset, count) = counts.into_iter().max_by_key(|(_, n)| *n)?;
    (count >= FEWEST_PAGES && count * 10 >= read * 6).then_some(offset)
}

/// The first and the last word, where they are numbers that may count pages, less the page's index.
fn offsets(row: &Row, at: usize, pages: usize) -> Vec<i64> {
    let text = row.text();
    let mut words = text.split_whitespace();
    let ends = [words.next(), words.next_back()];
    let number = |w: &str| w.parse::<i64>().ok().filter(|n| (0..100_000).contains(n));
    let numbers = ends.into_iter().flatten().filter_map(number);
    numbers.filter(|n| could_count(row, *n, pages)).map(|n| n - at as i64).collect()
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

/// The text with numbers alike (small Roman ones too), the numbers, and the text itself; case and spaces aside.
fn folded(text: &str) -> (String, Vec<i64>, String) {
    let lower: String = text.to_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    if let Some(number) = roman(&lower) {
        return ("#".to_owned(), vec![number], lower);
    }
    let mut template = String::new();
    let mut numbers: Vec<i64> = Vec::new();
    let mut digits = String::new();
    for c in lower.chars().chain([' ']) {
        if c.is_numeric() {
            digits.push(c);
            continue;
        }
        if !digits.is_empty() {
            template.push('#');
            numbers.push(digits.parse().unwrap_or(i64::MIN / 2));
            digits.clear();
        }
        if c != ' ' {
            template.push(c);
        }
    }
    (template, numbers, lower)
}

/// The value of a number in small Roman digits up to 89.
fn roman(text: &str) -> Option<i64> {
    let value = |c: char| match c {
        'i' => Some(1),
        'v' => Some(5),
        'x' => Some(10),
        'l' => Some(50),
        _ => None,
    };
    let digits: Vec<i64> = text.chars().map(value).collect::<Option<_>>()?;
    let last = *digits.last()?;
    let before = digits.windows(2).map(|w| if w[0] < w[1] { -w[0] } else { w[0] });
    Some(before.sum::<i64>() + last)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page with a row at the top, some in the middle, and one at the bottom.
    fn page(top: &str, bottom: &str) -> Page {
        let row = |y: f32, text: &str| {
            let segment = Segment { x0: 60.0, x1: 200.0, size: 10.0, bold: false, text: text.to_owned() };
            Row { y, size: 10.0, segments: vec![segment] }
        };
        let body = (0..6).map(|i| row(600.0 - 14.0 * i as f32, "body"));
        let rows = [row(800.0, top)].into_iter().chain(body).chain([row(30.0, bottom)]).collect();
        Page { rows, height: 842.0, ..Page::default() }
    }

    fn left(mut pages: Vec<Page>) -> Vec<String> {
        remove(&mut pages);
        let rows = pages.iter().flat_map(|p| &p.rows).map(Row::text);
        rows.filter(|text| text != "body").collect()
    }

    #[test]
    fn numbered_titles_are_not_furniture() {
        let pages = ["Article 3", "Article 5", "Article 9", "Article 11"].map(|t| page(t, "Contract"));
        assert_eq!(left(pages.into()), ["Article 3", "Article 5", "Article 9", "Article 11"]);
        // Two in step by chance.
        let pages = ["第3条", "第8条", "第9条 ", "第20条"].map(|t| page(t, "合同"));
        assert_eq!(left(pages.into()).len(), 4);
        let pages = ["Invoice No. 1234", "Invoice No. 1235", "Invoice No. 1236"].map(|t| page(t, "ACME Ltd"));
        assert_eq!(left(pages.into()), ["Invoice No. 1234", "Invoice No. 1235", "Invoice No. 1236"]);
    }

    #[test]
    fn running_titles_of_short_chapters_are() {
        let chapters = (0..40).map(|at| page(&format!("Item {}", at / 4), "Annual report"));
        assert!(left(chapters.collect()).is_empty());
    }

    #[test]
    fn page_numbers_are() {
        let pages = ["i", "ii", "iii", "iv"].map(|n| page("Report 2026", n));
        assert!(left(pages.into()).is_empty());
        let pages = [3, 4, 5, 6].map(|n| page("Report 2026", &format!("Page {n} of 9")));
        assert!(left(pages.into()).is_empty());
        let pages = [1, 2, 3, 4].map(|n| page("Manual", &format!("2-{n}")));
        assert!(left(pages.into()).is_empty());
    }
}
