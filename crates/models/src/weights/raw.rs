//! Weights as files hold them, before a kernel's own layout.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Result, Tensor};

/// A matrix `[rows, columns]`, row-major, in the type of its file.
#[derive(Clone, PartialEq)]
pub enum RawMatrix {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// IEEE half precision.
    F16(Vec<half::f16>),
    /// bfloat16.
    Bf16(Vec<half::bf16>),
    /// Blocks of a GGML type along each row.
    Quantized {
        /// The type.
        kind: GgmlDType,
        /// `rows * columns / kind.block_size() * kind.type_size()` bytes.
        bytes: Vec<u8>,
    },
}

impl std::fmt::Debug for RawMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, length) = match self {
            Self::F32(values) => ("f32".to_owned(), values.len()),
            Self::F16(values) => ("f16".to_owned(), values.len()),
            Self::Bf16(values) => ("bf16".to_owned(), values.len()),
            Self::Quantized { kind, bytes } => (format!("{kind:?}"), bytes.len()),
        };
        write!(f, "RawMatrix({kind}, {length})")
    }
}

impl RawMatrix {
    /// The values of a matrix `[rows, columns]`, row-major.
    ///
    /// # Errors
    /// When there are not as many.
    pub fn into_f32(self, rows: usize, columns: usize) -> Result<Vec<f32>> {
        let values: Vec<f32> = match self {
            Self::F32(values) => values,
            Self::F16(values) => values.into_iter().map(half::f16::to_f32).collect(),
            Self::Bf16(values) => values.into_iter().map(half::bf16::to_f32).collect(),
            Self::Quantized { kind, bytes } => {
                let blocks = crate::nn::linear::blocks(kind, bytes, rows, columns)?;
                blocks.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1()?
            }
        };
        if rows.checked_mul(columns) != Some(values.len()) {
            candle_core::bail!("{} values are no matrix of {rows} by {columns}", values.len());
        }
        Ok(values)
    }

    /// GGML's name for the type.
    pub fn kind(&self) -> GgmlDType {
        match self {
            Self::F32(_) => GgmlDType::F32,
            Self::F16(_) => GgmlDType::F16,
            Self::Bf16(_) => GgmlDType::BF16,
            Self::Quantized { kind, .. } => *kind,
        }
    }

    /// Floating-point weights `[rows, columns]` as Q8_0; others, and rows that are no whole number of blocks, as they are.
    ///
    /// # Errors
    /// When the values are not of that shape.
    pub fn into_q8_0(self, rows: usize, columns: usize) -> Result<Self> {
        let kind = GgmlDType::Q8_0;
        if !columns.is_multiple_of(kind.block_size()) {
            return Ok(self);
        }
        if matches!(self, Self::Quantized { .. }) {
            return Ok(self);
        }
        let tensor = Tensor::from_vec(self.into_f32(rows, columns)?, (rows, columns), &Device::Cpu)?;
        let bytes = QTensor::quantize(&tensor, kind)?.data()?.into_owned();
        Ok(Self::Quantized { kind, bytes })
    }
}
