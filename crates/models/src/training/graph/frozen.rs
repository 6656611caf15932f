//! Matrices that are held constant: on the device, in as few bits as they came in, and multiplied by without a gradient of
//! their own.

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, DType, Device, Layout, Result, Shape, Storage, Tensor, bail,
};

use crate::nn::nf4::{BLOCK, NF4};
use crate::nn::{Int8Matrix, Nf4Matrix};
use crate::training::FrozenMatrix;
use crate::weights::RawMatrix;

/// A constant matrix `[rows, columns]` on a device.
#[derive(Clone, Debug)]
pub(super) struct Frozen {
    values: Values,
    rows: usize,
    columns: usize,
    kind: DType,
}

#[derive(Clone, Debug)]
enum Values {
    /// In the type that is computed with.
    Dense(Tensor),
    /// Two values a byte, whole blocks of them; the two values of every byte, `[256, 2]`; a scale for each block,
    /// `[blocks, 1]`.
    Nf4 { bytes: Tensor, pairs: Tensor, scales: Tensor },
    /// Whole numbers moved up by 128; a scale for each row, `[rows, 1]`.
    Int8 { codes: Tensor, scales: Tensor },
}

impl Frozen {
    /// Takes a matrix to the device; its values will be of type `kind`.
    pub fn new(matrix: &FrozenMatrix, kind: DType, device: &Device) -> Result<Self> {
        let (rows, columns) = (matrix.rows(), matrix.columns());
        let values = match matrix {
            FrozenMatrix::Dense { values, .. } => {
                let values = match values {
                    RawMatrix::F32(values) => Tensor::from_slice(values, (rows, columns), device)?,
                    RawMatrix::F16(values) => Tensor::from_slice(values, (rows, columns), device)?,
                    RawMatrix::Bf16(values) => Tensor::from_slice(values, (rows, columns), device)?,
                    RawMatrix::Quantized { kind, .. } => bail!("a frozen matrix of {kind:?} has no floats"),
                };
                Values::Dense(values.to_dtype(kind)?)
            }
            FrozenMatrix::Nf4(matrix) => Values::nf4(matrix, device)?,
            FrozenMatrix::Int8(matrix) => Values::int8(matrix, device)?,
        };
        Ok(Self { values, rows, columns, kind })
    }

    /// All values, `[rows, columns]`: made anew unless they are kept as floats.
    pub fn values(&self) -> Result<Tensor> {
        let shape = (self.rows, self.columns);
        let values = match &self.values {
            Values::Dense(values) => return Ok(values.clone()),
            Values::Nf4 { bytes, pairs, scales } => {
                // Whole numbers of 32 bits, since the largest number of a type stands for "none" in candle's selection.
                let values = pairs.index_select(&bytes.to_dtype(DType::U32)?, 0)?;
                let values = values.reshape((scales.dim(0)?, BLOCK))?.broadcast_mul(scales)?;
                values.flatten_all()?.narrow(0, 0, self.rows * self.columns)?.reshape(shape)?
            }
            Values::Int8 { codes, scales } => {
                (codes.to_dtype(DType::F32)? - 128.0)?.reshape(shape)?.broadcast_mul(scales)?
            }
        };
        values.to_dtype(self.kind)
    }

    /// `x Wᵀ` for `[tokens, columns]`; the backward pass gives the gradient of `x` only.
    pub fn multiply(&self, x: &Tensor) -> Result<Tensor> {
        x.contiguous()?.apply_op1(Product(self.clone()))
    }
}

impl Values {
    fn nf4(matrix: &Nf4Matrix, device: &Device) -> Result<Self> {
        let scales = matrix.block_scales();
        let mut bytes = matrix.packed().to_vec();
        bytes.resize(scales.len() * BLOCK / 2, 0);
        let pairs: Vec<f32> = (0..=255).flat_map(|byte: usize| [NF4[byte >> 4], NF4[byte & 15]]).collect();
        let (count, blocks) = (bytes.len(), scales.len());
        Ok(Self::Nf4 {
            bytes: Tensor::from_vec(bytes, count, device)?,
            pairs: Tensor::from_vec(pairs, (256, 2), device)?,
            scales: Tensor::from_vec(scales, (blocks, 1), device)?,
        })
    }

    fn int8(matrix: &Int8Matrix, device: &Device) -> Result<Self> {
        let (codes, scales) = matrix.parts();
        let codes: Vec<u8> = codes.iter().map(|code| code.cast_unsigned() ^ 128).collect();
        let count = codes.len();
        Ok(Self::Int8 {
            codes: Tensor::from_vec(codes, count, device)?,
            scales: Tensor::from_slice(scales, (scales.len(), 1), device)?,
        })
    }
}

/// A candle matmul would compute the weight's gradient too, and keep it.
struct Product(Frozen);

impl CustomOp1 for Product {
    fn name(&self) -> &'static str {
        "frozen-product"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let weight = self.0.values()?;
        let (weight, at) = weight.storage_and_layout();
        match &*weight {
            Storage::Cpu(weight) => product(storage, layout, weight, at),
            _ => bail!("a frozen matrix is not in the memory of its input"),
        }
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let weight = self.0.values()?;
        let (weight, at) = weight.storage_and_layout();
        match &*weight {
            Storage::Cuda(weight) => product(storage, layout, weight, at),
            _ => bail!("a frozen matrix is not on the device of its input"),
        }
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        gradient.contiguous()?.matmul(&self.0.values()?).map(Some)
    }
}

fn product<S: BackendStorage>(x: &S, layout: &Layout, weight: &S, at: &Layout) -> Result<(S, Shape)> {
    let (tokens, inputs) = layout.shape().dims2()?;
    let (outputs, columns) = at.shape().dims2()?;
    if inputs != columns {
        bail!("a layer over {columns} inputs got {:?}", layout.shape());
    }
    let y = x.matmul(weight, (1, tokens, outputs, inputs), layout, &at.transpose(0, 1)?)?;
    Ok((y, (tokens, outputs).into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_matrix_to_the_last_bit() {
        // Rows that end within a block, a last block that is not full, and blocks whose every value is the largest, so that
        // bytes of all ones are among them.
        let (rows, columns) = (9, 41);
        let values: Vec<f32> = (0..rows * columns)
            .map(|i| if i < 128 { 2.0 } else { ((i * 37 % 61) as f32 - 30.0) / (1 + i / 50) as f32 })
            .collect();
        let dense = FrozenMatrix::Dense { columns, values: RawMatrix::F32(values.clone()) };
        let mut matrices =
            vec![dense, FrozenMatrix::Int8(Int8Matrix::quantise(&values, rows, columns).unwrap())];
        for double in [false, true] {
            let matrix = Nf4Matrix::quantise(&values, rows, columns, double).unwrap();
            assert_eq!(matrix.packed()[0], 255);
            matrices.push(FrozenMatrix::Nf4(matrix));
        }
        for matrix in matrices {
            let mut expected = vec![0.0; rows * columns];
            matrix.copy(0, &mut expected);
            let frozen = Frozen::new(&matrix, DType::F32, &Device::Cpu).unwrap();
            let own = frozen.values().unwrap();
            assert_eq!(own.dims(), [rows, columns]);
            assert_eq!(own.flatten_all().unwrap().to_vec1::<f32>().unwrap(), expected, "{matrix:?}");
        }
    }
}
