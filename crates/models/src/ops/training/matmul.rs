//! Views of matrices, and the product of two on one thread.

use std::cell::RefCell;

use super::element::Element;
use super::kernel::{PANEL, Rows};
use crate::ops::packed::Line;

/// A matrix that may lie transposed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a, E> {
    data: &'a [E],
    rows: usize,
    columns: usize,
    row: usize,
    column: usize,
}

impl<'a, E: Copy> View<'a, E> {
    /// Row-major values.
    ///
    /// # Panics
    /// When there are too few.
    pub fn new(data: &'a [E], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// Row-major values whose rows begin `stride` apart.
    ///
    /// # Panics
    /// When there are too few.
    pub fn strided(data: &'a [E], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(rows == 0 || data.len() >= (rows - 1) * stride + columns, "a view beyond its values");
        Self { data, rows, columns, row: stride, column: 1 }
    }

    /// The transposed matrix.
    pub fn t(self) -> Self {
        Self { rows: self.columns, columns: self.rows, row: self.column, column: self.row, ..self }
    }

    /// Rows `first..first + count`.
    pub fn part(self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.rows, "rows beyond a view");
        let data = if count == 0 { &[] } else { &self.data[first * self.row..] };
        Self { data, rows: count, ..self }
    }

    /// Columns `first..first + count`.
    pub fn columns_part(self, first: usize, count: usize) -> Self {
        self.t().part(first, count).t()
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    pub fn row_stride(&self) -> usize {
        self.row
    }

    pub fn column_stride(&self) -> usize {
        self.column
    }

    #[inline(always)]
    pub fn at(&self, row: usize, column: usize) -> E {
        self.data[row * self.row + column * self.column]
    }

    /// A row whose values lie side by side.
    #[inline(always)]
    pub fn row(&self, row: usize) -> &'a [E] {
        debug_assert_eq!(self.column, 1);
        &self.data[row * self.row..][..self.columns]
    }

    /// A column whose values lie side by side.
    #[inline(always)]
    pub fn column(&self, column: usize) -> &'a [E] {
        debug_assert_eq!(self.row, 1);
        &self.data[column * self.column..][..self.rows]
    }

    /// All values from the first on.
    pub fn values(&self) -> &'a [E] {
        self.data
    }
}

thread_local! {
    static SCRATCH: RefCell<[Vec<Line>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// Rows of `A` that share a pass over the panels.
pub(crate) const BLOCK: usize = 96;

/// `C += A B` on this thread, `C` with rows `stride` apart.
///
/// # Panics
/// When shapes do not fit.
pub(crate) fn matmul<E: Element>(a: View<'_, E>, b: View<'_, E>, out: &mut [E::Wide], stride: usize) {
    let (rows, inner, columns) = (a.rows(), a.columns(), b.columns());
    assert_eq!(inner, b.rows(), "the inner sides of a product differ");
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(out.len() >= (rows - 1) * stride + columns, "the output of a product");
    let kernel = E::kernel();
    SCRATCH.with_borrow_mut(|[panel, packed]| {
        let lines = (kernel.lines)(inner);
        if panel.len() < lines {
            panel.resize(lines, Line([0; 64]));
        }
        let direct = (kernel.direct)(&a);
        if !direct {
            (kernel.pack_rows)(&a, 0..rows, packed);
        }
        // A panel is 32 rows of the same length.
        let packed_stride = (kernel.lines)(inner) * 64 / PANEL;
        let mut sums = [[E::Wide::default(); PANEL]; BLOCK];
        for first in (0..columns).step_by(PANEL) {
            let count = PANEL.min(columns - first);
            (kernel.pack)(&b, first, &mut panel[..lines]);
            for start in (0..rows).step_by(BLOCK) {
                let block = BLOCK.min(rows - start);
                let sums = &mut sums[..block];
                for (index, sums) in sums.iter_mut().enumerate() {
                    sums[..count].copy_from_slice(&out[(start + index) * stride + first..][..count]);
                }
                let own = if direct {
                    Rows::Direct(&a.values()[start * a.row_stride()..], a.row_stride())
                } else {
                    Rows::Packed(&packed[start * packed_stride / 64..])
                };
                (kernel.block)(own, inner, &panel[..lines], sums);
                for (index, sums) in sums.iter().enumerate() {
                    out[(start + index) * stride + first..][..count].copy_from_slice(&sums[..count]);
                }
            }
        }
    });
}

/// All panels of a matrix that several products share.
#[derive(Default)]
pub(crate) struct Panels {
    lines: Vec<Line>,
    inner: usize,
    columns: usize,
}

impl Panels {
    /// Packs `b`, in the place of what was there.
    pub fn pack<E: Element>(&mut self, b: &View<'_, E>) {
        let kernel = E::kernel();
        (self.inner, self.columns) = (b.rows(), b.columns());
        let lines = (kernel.lines)(self.inner);
        let all = self.columns.div_ceil(PANEL) * lines;
        if self.lines.len() < all {
            self.lines.resize(all, Line([0; 64]));
        }
        for (index, panel) in self.lines[..all].chunks_exact_mut(lines.max(1)).enumerate() {
            (kernel.pack)(b, index * PANEL, panel);
        }
    }

    /// `out = a B` for the columns from `first` (a multiple of [`PANEL`]) to `end` and the inner values from `from` (even) on,
    /// of which `a` has as many columns as are wanted; at most 96 rows, `stride` apart.
    ///
    /// # Panics
    /// When shapes do not fit.
    pub fn multiply<E: Element>(
        &self,
        a: View<'_, E>,
        from: usize,
        (first, end): (usize, usize),
        out: &mut [E::Wide],
        stride: usize,
    ) {
        let kernel = E::kernel();
        let lines = (kernel.lines)(self.inner);
        let inner = a.columns();
        let steps = (kernel.lines)(from)..(kernel.lines)(from + inner);
        assert!(a.rows() <= BLOCK && first.is_multiple_of(PANEL), "a product of shared panels");
        assert!(
            from + inner <= self.inner.next_multiple_of(2) && end <= self.columns,
            "beyond shared panels"
        );
        let direct = (kernel.direct)(&a);
        SCRATCH.with_borrow_mut(|[_, packed]| {
            if !direct {
                (kernel.pack_rows)(&a, 0..a.rows(), packed);
            }
            let mut sums = [[E::Wide::default(); PANEL]; BLOCK];
            for column in (first..end).step_by(PANEL) {
                let sums = &mut sums[..a.rows()];
                sums.fill([E::Wide::default(); PANEL]);
                let rows =
                    if direct { Rows::Direct(a.values(), a.row_stride()) } else { Rows::Packed(packed) };
                let panel = &self.lines[column / PANEL * lines..][..lines];
                (kernel.block)(rows, inner, &panel[steps.clone()], sums);
                let count = PANEL.min(end - column);
                for (row, sums) in sums.iter().enumerate() {
                    out[row * stride + column - first..][..count].copy_from_slice(&sums[..count]);
                }
            }
        });
    }
}

/// The plain reference of [`matmul`].
#[cfg(test)]
pub(crate) fn reference<E: Element>(a: View<'_, E>, b: View<'_, E>) -> Vec<f64> {
    use super::element::Real;
    let mut out = vec![0.0; a.rows() * b.columns()];
    for row in 0..a.rows() {
        for column in 0..b.columns() {
            let products =
                (0..a.columns()).map(|k| a.at(row, k).widen().wide() * b.at(k, column).widen().wide());
            out[row * b.columns() + column] = products.sum();
        }
    }
    out
}
