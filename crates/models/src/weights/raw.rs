//! Weights as files hold them, before a kernel's own layout.

use candle_core::quantized::GgmlDType;

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
