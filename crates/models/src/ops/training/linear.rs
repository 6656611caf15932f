//! Sums of matrix products over all threads, with what is added or rounded on the way out.

use std::sync::{Mutex, PoisonError};

use super::Shared;
use super::element::Element;
use super::kernel::{PANEL, Rows};
use super::matmul::View;
use crate::ops::packed::Line;
use crate::ops::team::{for_chunks, for_pieces};

/// `a` `[rows, inner]` times `b` `[inner, columns]`.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'a, E> {
    pub a: View<'a, E>,
    pub b: View<'a, E>,
}

/// Where a product goes.
pub(crate) enum Out<'a, E: Element> {
    /// Rounded; with a bias `[columns]` and a residual `[rows, columns]`.
    Rounded { out: &'a mut [E], bias: Option<&'a [E::Wide]>, residual: Option<&'a [E]> },
    /// As it is computed, over or onto what is there.
    Wide { out: &'a mut [E::Wide], accumulate: bool },
}

/// Bytes of packed panels at a time: a part of the last cache.
const PACKED: usize = 8 << 20;
/// Most rows of a piece of work; their values stay in a core's cache.
const ROWS: usize = 96;
/// Rows of a tile.
const TILE: usize = 12;

/// Packed panels of the last products; one piece of work at a time uses them.
static SCRATCH: Mutex<Vec<Vec<Line>>> = Mutex::new(Vec::new());

fn scratch(lines: usize) -> Vec<Line> {
    let mut kept = SCRATCH.lock().unwrap_or_else(PoisonError::into_inner);
    let mut own = kept.pop().unwrap_or_default();
    if own.len() < lines {
        own.resize(lines, Line([0; 64]));
    }
    own
}

fn give(scratch: Vec<Line>) {
    let mut kept = SCRATCH.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() < 4 {
        kept.push(scratch);
    }
}

/// The sum of the segments' products.
///
/// # Panics
/// When shapes do not fit.
pub(crate) fn linear<E: Element>(segments: &[Segment<'_, E>], out: Out<'_, E>) {
    let Some(first) = segments.first() else { return };
    let (rows, columns) = (first.a.rows(), first.b.columns());
    for segment in segments {
        assert_eq!(segment.a.columns(), segment.b.rows(), "the inner sides of a product differ");
        assert_eq!((segment.a.rows(), segment.b.columns()), (rows, columns), "products of different shapes");
    }
    if rows == 0 || columns == 0 {
        return;
    }
    let length = match &out {
        Out::Rounded { out, bias, residual } => {
            assert!(bias.is_none_or(|bias| bias.len() == columns), "a bias of another length");
            assert!(residual.is_none_or(|residual| residual.len() == rows * columns), "a residual");
            out.len()
        }
        Out::Wide { out, .. } => out.len(),
    };
    assert_eq!(length, rows * columns, "the output of a product");
    let kernel = E::kernel();
    let lines: Vec<usize> = segments.iter().map(|segment| (kernel.lines)(segment.a.columns())).collect();
    let panel_lines: usize = lines.iter().sum();
    let panels = columns.div_ceil(PANEL);
    let together = (PACKED / (panel_lines * 64).max(1)).clamp(1, panels);
    let block = rows.div_ceil(8).next_multiple_of(TILE).min(ROWS);
    // One of the two, and what is added on the way.
    let (mut wide, mut rounded) = (None, None);
    let (mut onto, mut bias, mut residual) = (false, None, None);
    match out {
        Out::Rounded { out, bias: b, residual: r } => {
            rounded = Some(Shared::of(out));
            (bias, residual) = (b, r);
        }
        Out::Wide { out, accumulate } => {
            wide = Some(Shared::of(out));
            onto = accumulate;
        }
    }
    let mut packed = scratch(together * panel_lines);
    for chunk in (0..panels).step_by(together) {
        let chunk_panels = together.min(panels - chunk);
        for_pieces(&mut packed[..chunk_panels * panel_lines], panel_lines, |at, mut out| {
            let column = (chunk + at / panel_lines) * PANEL;
            for (segment, lines) in segments.iter().zip(&lines) {
                let (own, rest) = out.split_at_mut(*lines);
                (kernel.pack)(&segment.b, column, own);
                out = rest;
            }
        });
        let packed = &packed[..chunk_panels * panel_lines];
        for_chunks(rows.div_ceil(block), |range| {
            let mut own_rows: Vec<Vec<Line>> = vec![Vec::new(); segments.len()];
            let mut sums = vec![[E::Wide::default(); PANEL]; block];
            for index in range {
                let start = index * block;
                let count = block.min(rows - start);
                for (segment, own) in segments.iter().zip(&mut own_rows) {
                    if !(kernel.direct)(&segment.a) {
                        (kernel.pack_rows)(&segment.a, start..start + count, own);
                    }
                }
                for panel in 0..chunk_panels {
                    let column = (chunk + panel) * PANEL;
                    let width = PANEL.min(columns - column);
                    let sums = &mut sums[..count];
                    sums.fill([E::Wide::default(); PANEL]);
                    let mut at = panel * panel_lines;
                    for ((segment, lines), own) in segments.iter().zip(&lines).zip(&own_rows) {
                        let a = &segment.a;
                        let of = if (kernel.direct)(a) {
                            Rows::Direct(&a.values()[start * a.row_stride()..], a.row_stride())
                        } else {
                            Rows::Packed(own)
                        };
                        (kernel.block)(of, a.columns(), &packed[at..at + lines], sums);
                        at += lines;
                    }
                    for (row, sums) in sums.iter().enumerate() {
                        let place = (start + row) * columns + column;
                        let sums = &sums[..width];
                        // These rows and this panel's columns are this piece's.
                        if let Some(wide) = &wide {
                            for (out, sum) in wide.part(place, width).iter_mut().zip(sums) {
                                *out = if onto { *out + *sum } else { *sum };
                            }
                        }
                        if let Some(rounded) = &rounded {
                            let bias = bias.map(|bias| &bias[column..column + width]);
                            let residual = residual.map(|residual| &residual[place..place + width]);
                            finish(sums, bias, residual, rounded.part(place, width));
                        }
                    }
                }
            }
        });
    }
    give(packed);
}

/// One row's panel: bias, residual, rounding.
#[inline(always)]
fn finish<E: Element>(sums: &[E::Wide], bias: Option<&[E::Wide]>, residual: Option<&[E]>, out: &mut [E]) {
    super::vectorised(
        #[inline(always)]
        || match (bias, residual) {
            (None, None) => {
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = E::narrow(*sum);
                }
            }
            (None, Some(residual)) => {
                for ((out, sum), residual) in out.iter_mut().zip(sums).zip(residual) {
                    *out = E::narrow(*sum + residual.widen());
                }
            }
            (Some(bias), None) => {
                for ((out, sum), bias) in out.iter_mut().zip(sums).zip(bias) {
                    *out = E::narrow(*sum + *bias);
                }
            }
            (Some(bias), Some(residual)) => {
                for (((out, sum), bias), residual) in out.iter_mut().zip(sums).zip(bias).zip(residual) {
                    *out = E::narrow(*sum + *bias + residual.widen());
                }
            }
        },
    );
}
