//! Attention of packed sequences, per head and pair of token blocks.

use std::cell::RefCell;

use super::gemm::{Tile, run};
use super::panels::{View, ViewMut};
use super::{Isa, LANES, Lanes, elementwise, for_each};

/// Keys of a tile of scores, and features of a tile of outputs.
const ROWS: usize = 8;

thread_local! {
    /// Scores of one head and two blocks of queries; grows to the longest sequence seen.
    static SCORES: RefCell<Vec<Lanes>> = const { RefCell::new(Vec::new()) };
}

/// Bidirectional attention within each sequence.
///
/// `qkv` is `[tokens, 3 * hidden]`: queries, keys and values side by side, the queries already multiplied with
/// `log2(e) / sqrt(head)`, so that the softmax is one to base 2. `spans[token]` is the range of tokens of its
/// sequence. `out` is `[tokens, hidden]`.
pub(crate) fn attention(
    isa: Isa,
    parallel: bool,
    head: usize,
    qkv: View,
    spans: &[(u32, u32)],
    out: ViewMut,
) {
    let heads = out.features / head;
    let pairs = out.blocks.div_ceil(2);
    // One head's keys and values pass through the cache for all its queries before the next head's.
    for_each(parallel, heads * pairs, |task| {
        let place = Place { head: task / pairs, width: head, block: task % pairs * 2 };
        SCORES.with_borrow_mut(|scores| pair(isa, place, qkv, spans, out, scores));
    });
}

/// A head, its number of features, and the first of two blocks of queries.
#[derive(Clone, Copy)]
struct Place {
    head: usize,
    width: usize,
    block: usize,
}

fn pair(isa: Isa, place: Place, qkv: View, spans: &[(u32, u32)], out: ViewMut, scores: &mut Vec<Lanes>) {
    let blocks = (out.blocks - place.block).min(2);
    let feature = place.head * place.width;
    // Lanes after the last token look where it looks; nobody reads what they compute.
    let last = spans[spans.len() - 1];
    let mut from = [last.0; 2 * LANES];
    let mut to = [last.1; 2 * LANES];
    let first = place.block * LANES;
    for (lane, span) in spans[first..].iter().take(blocks * LANES).enumerate() {
        (from[lane], to[lane]) = *span;
    }
    let lanes = blocks * LANES;
    let low = from[..lanes].iter().min().map_or(0, |v| *v as usize);
    let high = to[..lanes].iter().max().map_or(0, |v| *v as usize);
    // Tiles of keys start at whole multiples, so that none crosses a block.
    let start = low - low % ROWS;
    let keys = (high - start).next_multiple_of(ROWS);
    if scores.len() < 2 * keys {
        scores.resize(2 * keys, Lanes::default());
    }
    let second = place.block + blocks - 1;
    let base = scores.as_mut_ptr().cast::<f32>();
    let rows = [base, base.wrapping_add(keys * LANES)];

    for key in (start..high).step_by(ROWS) {
        let tile = Tile {
            depth: place.width,
            a: qkv.at(key / LANES, out.features + feature).wrapping_add(key % LANES),
            b: [qkv.at(place.block, feature), qkv.at(second, feature)],
            c: rows.map(|r| r.wrapping_add((key - start) * LANES)),
            bias: std::ptr::null(),
            accumulate: false,
            rows: ROWS,
        };
        #[allow(unsafe_code, reason = "the tile's pointers are within the views and the scores")]
        // SAFETY: eight keys of one block, `width` features of each block, eight rows of scores.
        unsafe {
            if blocks == 2 {
                run::<ROWS, 2, LANES, 1>(isa, &tile);
            } else {
                run::<ROWS, 1, LANES, 1>(isa, &tile);
            }
        }
    }

    let mut inverse = [Lanes::default(); 2];
    for (v, inverse) in inverse.iter_mut().enumerate().take(blocks) {
        let seen = &mut scores[v * keys + low - start..v * keys + high - start];
        let mine = v * LANES..(v + 1) * LANES;
        let shift = |ends: &[u32]| std::array::from_fn::<u32, LANES, _>(|l| ends[l] - low as u32);
        *inverse = elementwise::softmax(isa, seen, &shift(&from[mine.clone()]), &shift(&to[mine]));
    }

    for row in (0..place.width).step_by(ROWS) {
        let c = [out.at(place.block, feature + row), out.at(second, feature + row)];
        let count = ROWS.min(place.width - row);
        let mut key = low;
        while key < high {
            let end = (key - key % LANES + LANES).min(high);
            let tile = Tile {
                depth: end - key,
                a: qkv.at(key / LANES, 2 * out.features + feature + row).wrapping_add(key % LANES),
                b: rows.map(|r| r.cast_const().wrapping_add((key - start) * LANES)),
                c,
                bias: std::ptr::null(),
                accumulate: key > low,
                rows: count,
            };
            #[allow(unsafe_code, reason = "the tile's pointers are within the views and the scores")]
            // SAFETY: `end - key` keys of one block and eight features (past the last head: the panels' slack), as
            // many rows of probabilities, `count` features of the output, which are this task's alone.
            unsafe {
                if blocks == 2 {
                    run::<ROWS, 2, 1, LANES>(isa, &tile);
                } else {
                    run::<ROWS, 1, 1, LANES>(isa, &tile);
                }
            }
            key = end;
        }
    }
    for (v, inverse) in inverse.iter().enumerate().take(blocks) {
        #[allow(unsafe_code, reason = "a slice of this task's outputs")]
        // SAFETY: this head's features of this block are this task's alone; panels are aligned to `Lanes`.
        let values = unsafe {
            std::slice::from_raw_parts_mut(out.at(place.block + v, feature).cast::<Lanes>(), place.width)
        };
        elementwise::scale(isa, values, inverse);
    }
}
