//! The header of a GGUF file, read with a bound on everything that the file claims.

use std::collections::HashMap;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::{DEFAULT_ALIGNMENT, Value};

use crate::error::ModelsError;

/// Most bytes of a header; vocabularies of 256,000 tokens with their merges take about 20 MiB.
const MOST_BYTES: u64 = 256 << 20;
/// Most values in all arrays together; such a vocabulary has about 1.5 million.
const MOST_VALUES: u64 = 8 << 20;
/// Most tensors.
const MOST_TENSORS: u64 = 1 << 16;
/// Most arrays in each other.
const MOST_DEPTH: usize = 4;
/// Most dimensions of a tensor (`GGML_MAX_DIMS`).
const MOST_DIMENSIONS: u32 = 4;

/// What a header says.
pub(super) struct Header {
    pub metadata: HashMap<String, Value>,
    pub tensors: HashMap<String, TensorEntry>,
    /// Where the tensors' bytes start.
    pub data: u64,
}

/// A tensor's place.
pub(super) struct TensorEntry {
    /// Rows first.
    pub shape: Vec<usize>,
    /// Its type, or the number of one that is not known here.
    pub kind: Result<GgmlDType, u32>,
    /// From the start of the tensors' bytes.
    pub offset: u64,
}

impl TensorEntry {
    /// Its length in the file, where its type is known; `u64::MAX` where it does not fit a `u64`.
    pub fn bytes(&self) -> Option<u64> {
        let kind = self.kind.ok()?;
        let values = self.shape.iter().try_fold(1u64, |all, one| all.checked_mul(*one as u64));
        let blocks = values.map(|values| values.div_ceil(kind.block_size() as u64));
        Some(blocks.and_then(|blocks| blocks.checked_mul(kind.type_size() as u64)).unwrap_or(u64::MAX))
    }
}

/// Why a header could not be read.
pub(super) enum Fault {
    Io(std::io::Error),
    Invalid(String),
    Tensor(String, String),
}

impl Fault {
    /// With the file's name.
    pub fn at(self, path: &Path) -> ModelsError {
        match self {
            Self::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => cut_off(path),
            Self::Io(source) => ModelsError::Read { path: path.to_owned(), source },
            Self::Invalid(message) => ModelsError::invalid(path, message),
            Self::Tensor(name, message) => ModelsError::tensor(path, &name, message),
        }
    }
}

fn cut_off(path: &Path) -> ModelsError {
    ModelsError::invalid(path, "its header is cut off; fetch the file again")
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

fn invalid<T>(message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Invalid(message.into()))
}

/// Reads the header of a file of `length` bytes.
pub(super) fn read(file: &mut (impl Read + Seek), length: u64) -> Result<Header, Fault> {
    file.rewind()?;
    let most = length.min(MOST_BYTES);
    let mut reader =
        Reader { inner: BufReader::new(file), left: most, most, values: MOST_VALUES, narrow: false };
    if &reader.array::<4>()? != b"GGUF" {
        return invalid("it does not start with GGUF");
    }
    let version = reader.u32()?;
    if !(1..=3).contains(&version) {
        return invalid(format!("its GGUF version is {version} (known are 1 to 3, little-endian)"));
    }
    reader.narrow = version == 1;
    let (tensor_count, key_count) = (reader.count()?, reader.count()?);
    if tensor_count > MOST_TENSORS {
        return invalid(format!("it claims {tensor_count} tensors, more than {MOST_TENSORS}"));
    }
    let mut metadata = HashMap::new();
    for _ in 0..key_count {
        let key = reader.string()?;
        let kind = reader.u32()?;
        let value = reader.value(kind, 0)?;
        metadata.insert(key, value);
    }
    let mut tensors = HashMap::new();
    for _ in 0..tensor_count {
        let name = reader.string()?;
        let entry = reader.tensor(&name)?;
        if tensors.contains_key(&name) {
            return Err(Fault::Tensor(name, "it is listed twice".into()));
        }
        tensors.insert(name, entry);
    }
    let alignment = match metadata.get("general.alignment") {
        None => DEFAULT_ALIGNMENT,
        Some(Value::U32(alignment)) if alignment.is_power_of_two() && *alignment <= 1 << 20 => {
            u64::from(*alignment)
        }
        Some(value) => return invalid(format!("its general.alignment is {value:?}")),
    };
    let data = (most - reader.left).next_multiple_of(alignment);
    Ok(Header { metadata, tensors, data })
}

struct Reader<R> {
    inner: BufReader<R>,
    /// Bytes that the header may still take.
    left: u64,
    most: u64,
    /// Array values that it may still hold.
    values: u64,
    /// Whether lengths are 32 bits wide (version 1).
    narrow: bool,
}

impl<R: Read> Reader<R> {
    fn take(&mut self, bytes: u64) -> Result<(), Fault> {
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None if self.most == MOST_BYTES => {
                return invalid(format!("its header is longer than {} MiB", MOST_BYTES >> 20));
            }
            None => return Err(Fault::Io(std::io::ErrorKind::UnexpectedEof.into())),
        }
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.take(N as u64)?;
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn count(&mut self) -> Result<u64, Fault> {
        if self.narrow { Ok(self.u32()?.into()) } else { self.u64() }
    }

    fn string(&mut self) -> Result<String, Fault> {
        let length = self.count()?;
        self.take(length)?;
        // No longer than the file, since `take` allowed it.
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        self.inner.read_exact(&mut bytes)?;
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn value(&mut self, kind: u32, depth: usize) -> Result<Value, Fault> {
        Ok(match kind {
            0 => Value::U8(u8::from_le_bytes(self.array()?)),
            1 => Value::I8(i8::from_le_bytes(self.array()?)),
            2 => Value::U16(u16::from_le_bytes(self.array()?)),
            3 => Value::I16(i16::from_le_bytes(self.array()?)),
            4 => Value::U32(self.u32()?),
            5 => Value::I32(i32::from_le_bytes(self.array()?)),
            6 => Value::F32(f32::from_le_bytes(self.array()?)),
            7 => Value::Bool(self.array::<1>()? != [0]),
            8 => Value::String(self.string()?),
            9 => {
                if depth == MOST_DEPTH {
                    return invalid(format!("its metadata has arrays more than {MOST_DEPTH} deep"));
                }
                let kind = self.u32()?;
                let count = self.count()?;
                match self.values.checked_sub(count) {
                    Some(values) => self.values = values,
                    None => {
                        return invalid(format!("its metadata has more than {MOST_VALUES} values in arrays"));
                    }
                }
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(self.value(kind, depth + 1)?);
                }
                Value::Array(values)
            }
            10 => Value::U64(self.u64()?),
            11 => Value::I64(i64::from_le_bytes(self.array()?)),
            12 => Value::F64(f64::from_le_bytes(self.array()?)),
            _ => {
                return invalid(format!("its metadata has a value of type {kind}, which GGUF does not know"));
            }
        })
    }

    fn tensor(&mut self, name: &str) -> Result<TensorEntry, Fault> {
        let dimensions = self.u32()?;
        if dimensions > MOST_DIMENSIONS {
            let message = format!("it claims {dimensions} dimensions, more than {MOST_DIMENSIONS}");
            return Err(Fault::Tensor(name.to_owned(), message));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let size = self.count()?;
            let fits = usize::try_from(size).ok().filter(|size| *size > 0 && *size < 1 << 40);
            shape.push(
                fits.ok_or_else(|| Fault::Tensor(name.to_owned(), format!("it claims a side of {size}")))?,
            );
        }
        shape.reverse();
        let number = self.u32()?;
        Ok(TensorEntry { shape, kind: kind(number).ok_or(number), offset: self.u64()? })
    }
}

/// `enum ggml_type` of ggml.h, as far as candle multiplies with it.
fn kind(number: u32) -> Option<GgmlDType> {
    Some(match number {
        0 => GgmlDType::F32,
        1 => GgmlDType::F16,
        2 => GgmlDType::Q4_0,
        3 => GgmlDType::Q4_1,
        6 => GgmlDType::Q5_0,
        7 => GgmlDType::Q5_1,
        8 => GgmlDType::Q8_0,
        10 => GgmlDType::Q2K,
        11 => GgmlDType::Q3K,
        12 => GgmlDType::Q4K,
        13 => GgmlDType::Q5K,
        14 => GgmlDType::Q6K,
        30 => GgmlDType::BF16,
        _ => return None,
    })
}
