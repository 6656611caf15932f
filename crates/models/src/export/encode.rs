//! Values in the types of files.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use serde::{Deserialize, Serialize};

use crate::error::ModelsError;
use crate::weights::RawMatrix;

/// Types of floats in safetensors files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FloatType {
    /// 32-bit floats.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
}

impl FloatType {
    /// candle's name.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }

    /// GGML's name.
    pub(crate) fn ggml(self) -> GgmlDType {
        match self {
            Self::F32 => GgmlDType::F32,
            Self::F16 => GgmlDType::F16,
            Self::Bf16 => GgmlDType::BF16,
        }
    }

    /// PyTorch's name, as `config.json` has it.
    pub(crate) fn torch(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    /// That of a file's matrix.
    pub(crate) fn of(kind: GgmlDType) -> Self {
        match kind {
            GgmlDType::F16 => Self::F16,
            GgmlDType::BF16 => Self::Bf16,
            _ => Self::F32,
        }
    }
}

/// Little-endian bytes of f32 values.
pub(crate) fn float_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A matrix's bytes as `kind`; blocks of the same kind stay as they are.
///
/// # Errors
/// When rows are no whole number of blocks.
pub(crate) fn encode(
    raw: RawMatrix,
    rows: usize,
    columns: usize,
    kind: GgmlDType,
) -> Result<Vec<u8>, ModelsError> {
    let bytes = match (raw, kind) {
        (RawMatrix::Quantized { kind: own, bytes }, kind) if own == kind => bytes,
        (RawMatrix::F16(values), GgmlDType::F16) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        (RawMatrix::Bf16(values), GgmlDType::BF16) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        (raw, GgmlDType::F32) => float_bytes(&raw.into_f32(rows, columns)?),
        (raw, GgmlDType::F16) => {
            let values = raw.into_f32(rows, columns)?;
            if let Some(value) = values.iter().find(|value| !f16::from_f32(**value).is_finite()) {
                let message = format!("the value {value} does not fit f16 (choose bf16 or f32)");
                return Err(candle_core::Error::Msg(message).into());
            }
            values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect()
        }
        (raw, GgmlDType::BF16) => {
            raw.into_f32(rows, columns)?.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect()
        }
        (raw, kind) => {
            let tensor = Tensor::from_vec(raw.into_f32(rows, columns)?, (rows, columns), &Device::Cpu)?;
            QTensor::quantize(&tensor, kind)?.data()?.into_owned()
        }
    };
    Ok(bytes)
}

/// Bytes of `values` values along rows of `columns`.
pub(crate) fn encoded_bytes(values: usize, kind: GgmlDType) -> usize {
    values / kind.block_size() * kind.type_size()
}
