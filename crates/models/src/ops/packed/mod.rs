//! Matrix products of row-major activations with frozen weights packed into panels of 32 rows.
//!
//! A decoder reads many tokens at once (prefill) or a few (decode). Both use the same tile: 32 outputs by up to six
//! tokens, the outputs side by side in vector registers, the tokens' values broadcast. So a product with one token
//! streams the weights once, in order, and one with many keeps a panel in the L2 cache while all tokens pass.
//!
//! - f32, f16 and bf16 weights lie as `[panel][input][32 outputs]` and are widened as they are read.
//! - Q8_0 weights (blocks of 32 inputs with one f16 scale) lie as `[panel][half][block][8 steps][16 outputs][4 inputs]`
//!   bytes, offset by 128, with scales `[panel][block][32]`. Activations are quantised the same way per token, and
//!   sums of a block are exact integers: `vpdpbusd` where the machine has it.
//! - Q4_K and Q6_K become Q8_0 when they are packed. candle's kernels for them keep a second, wider copy beside the file's
//!   blocks (together 10.5 and 16.6 bits a weight; Q8_0 has 8.5), and take another kernel for one token than for many, so
//!   that a text would depend on what is read beside it.

mod dense;
mod q8;
mod quantised;
mod rows;

use candle_core::quantized::GgmlDType;
use half::{bf16, f16};

use super::Isa;
use super::team::for_chunks_of;
use crate::weights::RawMatrix;
pub(crate) use dense::{Float, widen_half};
pub(crate) use quantised::Quantised;

/// Outputs of a panel.
pub(crate) const PANEL: usize = 32;
/// Most tokens of a tile.
pub(crate) const TOKENS: usize = 6;
/// Inputs of a Q8_0 block.
pub(crate) const Q8_BLOCK: usize = 32;

/// A cache line of packed weights.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub(crate) struct Line(pub [u8; 64]);

/// Packed weights `[rows, columns]` of a linear layer, frozen.
pub struct PackedMatrix {
    rows: usize,
    columns: usize,
    data: Data,
}

enum Data {
    F32(Vec<Line>),
    F16(Vec<Line>),
    Bf16(Vec<Line>),
    Q8 { quants: Vec<Line>, scales: Vec<Line> },
}

impl std::fmt::Debug for PackedMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedMatrix({}, [{}, {}])", self.kind(), self.rows, self.columns)
    }
}

impl PackedMatrix {
    /// Packs a matrix of `rows` by `columns`; `Err` gives back one of a type that has no packed form.
    ///
    /// # Errors
    /// The matrix itself: another GGML type, or a row that is no whole number of blocks.
    ///
    /// # Panics
    /// When the matrix's length is not `rows * columns`; readers of files check it.
    pub fn pack(matrix: RawMatrix, rows: usize, columns: usize) -> Result<Self, RawMatrix> {
        let data = match matrix {
            RawMatrix::F32(values) => Data::F32(dense::pack(&values, rows, columns)),
            RawMatrix::F16(values) => Data::F16(dense::pack(&values, rows, columns)),
            RawMatrix::Bf16(values) => Data::Bf16(dense::pack(&values, rows, columns)),
            RawMatrix::Quantized { kind: GgmlDType::Q8_0, bytes } if columns.is_multiple_of(Q8_BLOCK) => {
                let (quants, scales) = q8::pack(&bytes, rows, columns);
                Data::Q8 { quants, scales }
            }
            RawMatrix::Quantized { kind: kind @ (GgmlDType::Q4K | GgmlDType::Q6K), bytes } => {
                match q8::requantise(kind, &bytes, rows, columns) {
                    Some(blocks) => {
                        drop(bytes);
                        let (quants, scales) = q8::pack(&blocks, rows, columns);
                        Data::Q8 { quants, scales }
                    }
                    None => return Err(RawMatrix::Quantized { kind, bytes }),
                }
            }
            other => return Err(other),
        };
        Ok(Self { rows, columns, data })
    }

    /// Number of outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of inputs.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Type of the weights.
    pub fn kind(&self) -> &'static str {
        match self.data {
            Data::F32(_) => "f32",
            Data::F16(_) => "f16",
            Data::Bf16(_) => "bf16",
            Data::Q8 { .. } => "q8_0",
        }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        size_of::<Line>()
            * match &self.data {
                Data::F32(lines) | Data::F16(lines) | Data::Bf16(lines) => lines.len(),
                Data::Q8 { quants, scales } => quants.len() + scales.len(),
            }
    }

    /// Whether activations have to be [`Quantised`].
    pub(crate) fn wants_quantised(&self) -> bool {
        matches!(self.data, Data::Q8 { .. })
    }

    /// Copies a row, widened to f32.
    ///
    /// # Panics
    /// When `row` is not below [`PackedMatrix::rows`] or `out` is not as long as a row; callers check ids.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows && out.len() == self.columns, "row {row} of {} rows", self.rows);
        match &self.data {
            Data::F32(lines) => rows::dense::<f32>(lines, row, out),
            Data::F16(lines) => rows::dense::<f16>(lines, row, out),
            Data::Bf16(lines) => rows::dense::<bf16>(lines, row, out),
            Data::Q8 { quants, scales } => rows::q8(quants, scales, row, out),
        }
    }

    fn panels(&self) -> usize {
        self.rows.div_ceil(PANEL)
    }
}

/// One product of a call: `y (+)= W x + bias`.
pub(crate) struct Product<'a> {
    pub weights: &'a PackedMatrix,
    /// `[weights.rows]`.
    pub bias: Option<&'a [f32]>,
    /// `[tokens, weights.rows]`.
    pub out: &'a mut [f32],
    /// Whether what `out` holds is added.
    pub accumulate: bool,
}

/// Activations of a call, `[tokens, columns]`.
pub(crate) struct Activations<'a> {
    pub tokens: usize,
    pub values: &'a [f32],
    /// Needed where a matrix [`PackedMatrix::wants_quantised`].
    pub quantised: Option<&'a Quantised>,
}

/// Several products of the same activations, shared among the threads as one piece of work.
///
/// # Panics
/// When lengths do not fit each other; callers check shapes.
pub(crate) fn products(isa: Isa, x: &Activations<'_>, products: &mut [Product<'_>]) {
    if x.tokens == 0 {
        return; // a tile has one token at least
    }
    let mut ends = Vec::with_capacity(products.len());
    let mut targets = Vec::with_capacity(products.len());
    let mut panels = 0;
    for product in products.iter_mut() {
        let weights = product.weights;
        assert_eq!(product.out.len(), x.tokens * weights.rows, "the output of a product does not fit");
        assert_eq!(x.values.len(), x.tokens * weights.columns, "the input of a product does not fit");
        assert!(product.bias.is_none_or(|bias| bias.len() == weights.rows), "a bias does not fit");
        if weights.wants_quantised() {
            let fits = x.quantised.is_some_and(|q| q.fits(x.tokens, weights.columns));
            assert!(fits, "the quantised input of a product does not fit");
        }
        panels += weights.panels();
        ends.push(panels);
        targets.push(Target(product.out.as_mut_ptr()));
    }
    let (products, targets) = (&*products, &targets);
    let work = products.iter().map(|product| product.weights.rows).sum::<usize>() * x.values.len();
    for_chunks_of(work, panels, |range| {
        for panel in range {
            let which = ends.partition_point(|end| *end <= panel);
            let product = &products[which];
            let panel = panel - (ends[which] - product.weights.panels());
            one_panel(isa, x, product, targets[which].get(), panel);
        }
    });
}

/// An output that several threads write, each its own columns.
struct Target(*mut f32);

#[allow(unsafe_code, reason = "threads write disjoint columns")]
// SAFETY: a panel's columns are written by the one task that has the panel.
unsafe impl Sync for Target {}

impl Target {
    fn get(&self) -> *mut f32 {
        self.0
    }
}

/// A tile: up to [`TOKENS`] tokens by the outputs of one panel.
pub(crate) struct Tile {
    /// First output, `[token][stride]`.
    pub out: *mut f32,
    pub stride: usize,
    /// Outputs that exist, at most [`PANEL`].
    pub rows: usize,
    /// `rows` values, or null.
    pub bias: *const f32,
    pub accumulate: bool,
}

fn one_panel(isa: Isa, x: &Activations<'_>, product: &Product<'_>, out: *mut f32, panel: usize) {
    let weights = product.weights;
    let first = panel * PANEL;
    let bias = product.bias.map_or(std::ptr::null(), |bias| bias[first..].as_ptr());
    let few = weights.wants_quantised() && x.tokens <= q8::MOST_TOKENS;
    let tiles = if few { 1 } else { x.tokens.div_ceil(TOKENS) };
    for tile in 0..tiles {
        // Tiles of nearly the same size: two of four rather than one of six and one of two.
        let tokens = tile * x.tokens / tiles..(tile + 1) * x.tokens / tiles;
        let at = Tile {
            out: out.wrapping_add(tokens.start * weights.rows + first),
            stride: weights.rows,
            rows: PANEL.min(weights.rows - first),
            bias,
            accumulate: product.accumulate,
        };
        match &weights.data {
            Data::F32(lines) => dense::tile::<f32>(isa, lines, weights.columns, panel, x, tokens, &at),
            Data::F16(lines) => dense::tile::<f16>(isa, lines, weights.columns, panel, x, tokens, &at),
            Data::Bf16(lines) => dense::tile::<bf16>(isa, lines, weights.columns, panel, x, tokens, &at),
            Data::Q8 { quants, scales } => {
                if let Some(x) = x.quantised {
                    q8::tile(isa, quants, scales, panel, x, tokens, &at);
                }
            }
        }
    }
}

impl Tile {
    /// Adds bias and what is there, and stores the sums of one token.
    ///
    /// # Safety
    /// `out` is writable at `token` for `rows` values, `bias` null or readable for as many.
    #[allow(unsafe_code, reason = "a kernel over raw pointers")]
    #[inline(always)]
    pub(crate) unsafe fn store(&self, token: usize, sums: &[f32; PANEL]) {
        for row in 0..self.rows {
            // SAFETY: the caller's promise.
            unsafe {
                let at = self.out.add(token * self.stride + row);
                let mut sum = sums[row];
                if !self.bias.is_null() {
                    sum += *self.bias.add(row);
                }
                if self.accumulate {
                    sum += *at;
                }
                *at = sum;
            }
        }
    }
}

#[cfg(test)]
mod tests;
