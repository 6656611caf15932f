//! NF4 weights (Dettmers et al. 2023, "QLoRA", sections 3 and appendix E), packed as bitsandbytes packs them.

use std::sync::{Arc, LazyLock};

use candle_core::{CpuStorage, CustomOp1, D, DType, Device, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::bytes::Bytes;

/// The sixteen values: quantiles of the normal distribution, scaled to -1 to 1, with an exact zero (appendix E).
pub const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];
/// Values that share a scale.
pub(crate) const BLOCK: usize = 64;
/// Scales that share a scale of the second level.
pub(crate) const SECOND: usize = 256;
/// Rows that are dequantised at a time in a product.
const PANEL: usize = 256;

/// The signed 8-bit dynamic map (Dettmers 2015, "8-Bit Approximations for Parallelism in Deep Learning"): seven decades,
/// each divided twice as finely as the one below, both signs, zero and one; rising.
static DYNAMIC: LazyLock<[f32; 256]> = LazyLock::new(|| {
    let mut values = vec![0.0, 1.0];
    for decade in 0..7 {
        let parts = 1usize << decade;
        let step = (1.0f32 - 0.1) / parts as f32;
        // From both ends towards the middle, as torch.linspace does, to the last bit.
        let border = |i: usize| {
            if i < parts.div_ceil(2) {
                step.mul_add(i as f32, 0.1)
            } else {
                (-step).mul_add((parts - i) as f32, 1.0)
            }
        };
        for part in 0..parts {
            let mean = (border(part) + border(part + 1)) / 2.0;
            let value = mean * 10f64.powi(decade - 6) as f32;
            values.extend([value, -value]);
        }
    }
    values.sort_unstable_by(f32::total_cmp);
    let mut map = [0.0; 256];
    map.copy_from_slice(&values);
    map
});

/// A frozen layer whose weights take 4.5 bits each, or 4.13 with double quantisation.
#[derive(Clone, Debug)]
pub struct Nf4 {
    weight: Arc<Nf4Matrix>,
    bias: Option<Tensor>,
}

/// A matrix `[rows, columns]` in NF4.
#[derive(Clone, PartialEq)]
pub struct Nf4Matrix {
    rows: usize,
    columns: usize,
    /// Two values each, the first in the upper half; blocks run over the ends of rows.
    packed: Bytes,
    scales: Scales,
}

/// What blocks are multiplied by.
#[derive(Clone, PartialEq)]
pub(crate) enum Scales {
    Plain(Vec<f32>),
    Double { codes: Bytes, seconds: Vec<f32>, offset: f32 },
}

impl std::fmt::Debug for Nf4Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let double = matches!(self.scales, Scales::Double { .. });
        write!(f, "Nf4Matrix([{}, {}], double: {double})", self.rows, self.columns)
    }
}

impl Nf4Matrix {
    /// Quantises row-major values; with `double`, the scales too.
    ///
    /// # Errors
    /// When there are not `rows * columns` values, or one is not finite.
    pub fn quantise(values: &[f32], rows: usize, columns: usize, double: bool) -> Result<Self> {
        if rows.checked_mul(columns) != Some(values.len()) || values.is_empty() {
            candle_core::bail!("{} values are no matrix of {rows} by {columns}", values.len());
        }
        if values.iter().any(|value| !value.is_finite()) {
            candle_core::bail!("a weight that is not finite has no place in NF4");
        }
        let largest = |block: &[f32]| block.iter().fold(0f32, |most, value| most.max(value.abs()));
        let absmax: Vec<f32> = values.par_chunks(BLOCK).map(largest).collect();
        let whole = values.len() / BLOCK;
        let mut packed = vec![0; values.len().div_ceil(2)];
        packed.par_chunks_mut(BLOCK / 2).zip(values.par_chunks(BLOCK)).enumerate().for_each(
            |(block, (packed, values))| {
                // bitsandbytes multiplies by the reciprocal, and divides in a block that is not full.
                let most = absmax[block].max(1e-38);
                let scaled = |value: f32| if block < whole { value * (1.0 / most) } else { value / most };
                for (packed, two) in packed.iter_mut().zip(values.chunks(2)) {
                    let low = two.get(1).map_or(0.0, |value| scaled(*value));
                    *packed = nearest(&NF4, scaled(two[0])) << 4 | nearest(&NF4, low);
                }
            },
        );
        let scales = if double { Scales::doubled(&absmax) } else { Scales::Plain(absmax) };
        Ok(Self { rows, columns, packed: Bytes::Owned(packed), scales })
    }

    /// From what [`Nf4Matrix::stored`] gave.
    ///
    /// # Errors
    /// When the lengths do not fit each other.
    pub(crate) fn from_stored(rows: usize, columns: usize, packed: Bytes, scales: Scales) -> Result<Self> {
        let values = rows.saturating_mul(columns);
        let blocks = values.div_ceil(BLOCK);
        let fits = match &scales {
            Scales::Plain(scales) => scales.len() == blocks,
            Scales::Double { codes, seconds, .. } => {
                codes.len() == blocks && seconds.len() == blocks.div_ceil(SECOND)
            }
        };
        if values == 0 || packed.len() != values.div_ceil(2) || !fits {
            candle_core::bail!("the parts of an NF4 matrix do not make one of {rows} by {columns}");
        }
        Ok(Self { rows, columns, packed, scales })
    }

    /// The packed values and the scales, as a file keeps them.
    pub(crate) fn stored(&self) -> (&[u8], &Scales) {
        (&self.packed, &self.scales)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The packed values, two a byte, the first in the upper half.
    pub fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// What each block of 64 values is multiplied by.
    pub(crate) fn block_scales(&self) -> Vec<f32> {
        (0..self.packed.len().div_ceil(BLOCK / 2)).map(|block| self.scales.at(block)).collect()
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        let scales = match &self.scales {
            Scales::Plain(scales) => scales.len() * 4,
            Scales::Double { codes, seconds, .. } => codes.len() + seconds.len() * 4 + 4,
        };
        self.packed.len() + scales
    }

    /// Writes the values from `start` on (row-major) into `out`.
    ///
    /// # Panics
    /// When there are fewer values than `out` holds.
    pub fn dequantise(&self, start: usize, out: &mut [f32]) {
        for (index, out) in out.iter_mut().enumerate() {
            let place = start + index;
            let byte = self.packed[place / 2];
            let code = if place.is_multiple_of(2) { byte >> 4 } else { byte & 15 };
            *out = NF4[usize::from(code)];
        }
        let mut done = 0;
        while done < out.len() {
            let block = (start + done) / BLOCK;
            let end = ((block + 1) * BLOCK - start).min(out.len());
            let scale = self.scales.at(block);
            out[done..end].iter_mut().for_each(|value| *value *= scale);
            done = end;
        }
    }

    /// `count` rows from `first` on, `[count, columns]`.
    fn panel(&self, first: usize, count: usize) -> Result<Tensor> {
        let mut values = vec![0f32; count * self.columns];
        values
            .par_chunks_mut(self.columns)
            .enumerate()
            .for_each(|(row, out)| self.dequantise((first + row) * self.columns, out));
        Tensor::from_vec(values, (count, self.columns), &Device::Cpu)
    }

    /// Panels of rows: first row and count.
    fn panels(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let rows = self.rows;
        (0..rows).step_by(PANEL).map(move |first| (first, PANEL.min(rows - first)))
    }
}

impl Scales {
    /// The scales' distances from their mean as codes of the dynamic map, by blocks of 256.
    fn doubled(absmax: &[f32]) -> Self {
        let offset = (absmax.iter().map(|scale| f64::from(*scale)).sum::<f64>() / absmax.len() as f64) as f32;
        let (mut codes, mut seconds) = (Vec::with_capacity(absmax.len()), Vec::new());
        for block in absmax.chunks(SECOND) {
            let most = block.iter().fold(0f32, |most, scale| most.max((scale - offset).abs()));
            codes.extend(block.iter().map(|scale| {
                let scaled = if most > 0.0 { (scale - offset) / most } else { 0.0 };
                nearest(&*DYNAMIC, scaled)
            }));
            seconds.push(most);
        }
        Self::Double { codes: Bytes::Owned(codes), seconds, offset }
    }

    fn at(&self, block: usize) -> f32 {
        match self {
            Self::Plain(scales) => scales[block],
            Self::Double { codes, seconds, offset } => {
                DYNAMIC[usize::from(codes[block])] * seconds[block / SECOND] + offset
            }
        }
    }
}

/// The place of the nearest of at most 256 rising values; the lower of two that are equally near.
fn nearest(values: &[f32], value: f32) -> u8 {
    let below = |pair: &[f32]| (pair[0] + pair[1]) / 2.0 < value;
    let (mut from, mut to) = (0, values.len() - 1);
    while from < to {
        let middle = from.midpoint(to);
        if below(&values[middle..middle + 2]) { from = middle + 1 } else { to = middle }
    }
    from as u8
}

impl Nf4 {
    /// A layer of quantised weights.
    pub fn new(weight: Nf4Matrix, bias: Option<Tensor>) -> Self {
        Self { weight: Arc::new(weight), bias }
    }

    /// `W x + b` for `[.., inputs]`; gradients flow to `x` only.
    ///
    /// # Errors
    /// When shapes do not fit, or `x` is not in the CPU's memory.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let kind = x.dtype();
        let y = x.to_dtype(DType::F32)?.contiguous()?.apply_op1(Product(self.weight.clone()))?;
        let y = match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        };
        y.to_dtype(kind)
    }

    /// The weights.
    pub fn weight(&self) -> &Nf4Matrix {
        &self.weight
    }

    /// The bias, `[outputs]`.
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }
}

/// `x Wᵀ`, panel by panel, so that the f32 weights are never whole in memory.
struct Product(Arc<Nf4Matrix>);

impl CustomOp1 for Product {
    fn name(&self) -> &'static str {
        "nf4-linear"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (CpuStorage::F32(values), Some((from, to))) = (storage, layout.contiguous_offsets()) else {
            candle_core::bail!("an NF4 layer wants contiguous f32 values in memory");
        };
        let (rows, columns) = (self.0.rows, self.0.columns);
        let mut shape = layout.dims().to_vec();
        if shape.last() != Some(&columns) {
            candle_core::bail!("an NF4 layer over {columns} inputs got {shape:?}");
        }
        let tokens = (to - from) / columns;
        let mut out = vec![0f32; tokens * rows];
        if tokens > 0 {
            let x = Tensor::from_slice(&values[from..to], (tokens, columns), &Device::Cpu)?;
            for (first, count) in self.0.panels() {
                let part = x.matmul(&self.0.panel(first, count)?.t()?)?.flatten_all()?.to_vec1::<f32>()?;
                for (out, part) in out.chunks_exact_mut(rows).zip(part.chunks_exact(count)) {
                    out[first..first + count].copy_from_slice(part);
                }
            }
        }
        if let Some(last) = shape.last_mut() {
            *last = rows;
        }
        Ok((CpuStorage::F32(out), shape.into()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let mut shape = grad.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = self.0.columns;
        }
        let grad = grad.detach().reshape(((), self.0.rows))?;
        let mut total: Option<Tensor> = None;
        for (first, count) in self.0.panels() {
            let part =
                grad.narrow(D::Minus1, first, count)?.contiguous()?.matmul(&self.0.panel(first, count)?)?;
            total = Some(match total {
                Some(total) => (total + part)?,
                None => part,
            });
        }
        total.map(|total| total.reshape(shape)).transpose()
    }
}
