//! Weights of a model folder: safetensors (mapped into memory, one file or an index of several) or PyTorch's pickle; and
//! of a GGUF file.

mod decoder;
mod fingerprint;
mod gguf;
mod gguf_header;
mod raw;

pub use decoder::DecoderWeights;
pub(crate) use decoder::gguf_name;
pub(crate) use fingerprint::sample;
pub use gguf::GgufFile;
pub use raw::RawMatrix;

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::pickle::PthTensors;
use candle_core::quantized::GgmlDType;
use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use crate::error::{ModelsError, read_json};

/// The named tensors of a model.
pub struct Weights {
    folder: PathBuf,
    files: Vec<(PathBuf, Arc<Mmap>)>,
    tensors: HashMap<String, Tensor>,
    pickle: Option<PthTensors>,
}

impl std::fmt::Debug for Weights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let files: Vec<_> = self.files.iter().map(|(path, _)| path).collect();
        f.debug_struct("Weights").field("folder", &self.folder).field("files", &files).finish_non_exhaustive()
    }
}

#[derive(serde::Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

impl Weights {
    /// Opens `model.safetensors`, `model.safetensors.index.json` or `pytorch_model.bin` of `folder`.
    ///
    /// # Errors
    /// When none is there, or one is damaged.
    pub fn open(folder: &Path) -> Result<Self, ModelsError> {
        let mut weights =
            Self { folder: folder.to_owned(), files: Vec::new(), tensors: HashMap::new(), pickle: None };
        let (single, index, pickle) = (
            folder.join("model.safetensors"),
            folder.join("model.safetensors.index.json"),
            folder.join("pytorch_model.bin"),
        );
        if single.is_file() {
            weights.add_safetensors(&single)?;
        } else if index.is_file() {
            let map: Index = read_json(&index)?;
            let mut names: Vec<String> = map.weight_map.into_values().collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                if Path::new(&name).components().count() != 1 {
                    return Err(ModelsError::invalid(&index, format!("{name} is not a file beside it")));
                }
                weights.add_safetensors(&folder.join(name))?;
            }
        } else if pickle.is_file() {
            weights.files.push((pickle.clone(), Arc::new(map(&pickle)?)));
            let read =
                PthTensors::new(&pickle, None).map_err(|error| ModelsError::invalid(&pickle, error))?;
            weights.pickle = Some(read);
        } else {
            let wanted = "model.safetensors, model.safetensors.index.json or pytorch_model.bin";
            return Err(ModelsError::Missing { folder: folder.to_owned(), wanted });
        }
        Ok(weights)
    }

    /// Opens one safetensors file.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub(crate) fn open_file(path: &Path) -> Result<Self, ModelsError> {
        let folder = path.to_owned();
        let mut weights = Self { folder, files: Vec::new(), tensors: HashMap::new(), pickle: None };
        weights.add_safetensors(path)?;
        Ok(weights)
    }

    /// The names of all tensors, in no order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    fn add_safetensors(&mut self, path: &Path) -> Result<(), ModelsError> {
        let bytes = Arc::new(map(path)?);
        let (header, metadata) =
            SafeTensors::read_metadata(&bytes).map_err(|error| ModelsError::invalid(path, error))?;
        let start = header + size_of::<u64>();
        for (name, info) in metadata.tensors() {
            let (from, to) = (start + info.data_offsets.0, start + info.data_offsets.1);
            if to > bytes.len() {
                return Err(ModelsError::tensor(path, &name, "its bytes are cut off; fetch the file again"));
            }
            let values = match info.dtype {
                Dtype::F32 => Values::F32,
                Dtype::F16 => Values::F16,
                Dtype::BF16 => Values::Bf16,
                _ => continue, // such as position ids, which are computed
            };
            let data = Data::Mapped { file: bytes.clone(), from, to, values };
            self.tensors.insert(name, Tensor { shape: info.shape.clone(), data });
        }
        self.files.push((path.to_owned(), bytes));
        Ok(())
    }

    /// The folder that these come from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether a tensor of this name is there.
    pub fn contains(&self, name: &str) -> bool {
        match &self.pickle {
            Some(pickle) => pickle.tensor_infos().contains_key(name),
            None => self.tensors.contains_key(name),
        }
    }

    /// A tensor, of whatever shape.
    ///
    /// # Errors
    /// When it is absent or not of a floating type.
    pub fn tensor(&self, name: &str) -> Result<Tensor, ModelsError> {
        let fail = |message: String| ModelsError::tensor(&self.folder, name, message);
        let Some(pickle) = &self.pickle else {
            return self
                .tensors
                .get(name)
                .cloned()
                .ok_or_else(|| fail("absent, or not of type f32, f16 or bf16".into()));
        };
        let read = || -> candle_core::Result<Option<Tensor>> {
            let Some(tensor) = pickle.get(name)? else { return Ok(None) };
            let shape = tensor.dims().to_vec();
            let values = tensor.to_dtype(candle_core::DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            Ok(Some(Tensor { shape, data: Data::Owned(values.into()) }))
        };
        read().map_err(|error| fail(error.to_string()))?.ok_or_else(|| fail("absent".into()))
    }

    /// A tensor of this shape, as f32.
    ///
    /// # Errors
    /// When it is absent, not of a floating type or of another shape.
    pub fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelsError> {
        let tensor = self.shaped(name, shape)?;
        let mut values = vec![0.0; shape.iter().product()];
        tensor.copy(0, &mut values);
        Ok(values)
    }

    /// A tensor of this shape, left where it is.
    ///
    /// # Errors
    /// As [`Weights::read`].
    pub fn shaped(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelsError> {
        let tensor = self.tensor(name)?;
        if tensor.shape != shape {
            let message = format!("its shape is {:?}, but config.json makes it {shape:?}", tensor.shape);
            return Err(ModelsError::tensor(&self.folder, name, message));
        }
        Ok(tensor)
    }

    /// The first twelve hexadecimal digits of the SHA-256 of the weight files, one after the other.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for (_, bytes) in &self.files {
            hash.update(bytes.as_ref());
        }
        hex(&hash.finalize(), 6)
    }

    /// Adds the weight files to `hash`, large ones by samples.
    fn hash_sampled(&self, hash: &mut Sha256) {
        for (_, bytes) in &self.files {
            let from = |tensor: &Tensor| match &tensor.data {
                Data::Mapped { file, from, .. } if Arc::ptr_eq(file, bytes) => Some(*from as u64),
                _ => None,
            };
            let starts: Vec<u64> = self.tensors.values().filter_map(from).collect();
            let header = starts.iter().copied().min().unwrap_or_default();
            let read = |offset: u64, out: &mut [u8]| {
                let offset = offset as usize;
                out.copy_from_slice(&bytes[offset..offset + out.len()]);
                Ok::<(), std::convert::Infallible>(())
            };
            let Ok(()) = fingerprint::sample(hash, bytes.len() as u64, header, starts, read);
        }
    }
}

/// The first `count` bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8], count: usize) -> String {
    bytes.iter().take(count).map(|byte| format!("{byte:02x}")).collect()
}

#[allow(unsafe_code, reason = "a mapping is only sound while nobody changes the file")]
pub(crate) fn map(path: &Path) -> Result<Mmap, ModelsError> {
    let fail = |source| ModelsError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(fail)?;
    // SAFETY: model files are written under a temporary name, renamed once whole and never changed after.
    unsafe { Mmap::map(&file) }.map_err(fail)
}

#[derive(Clone, Copy, Debug)]
enum Values {
    F32,
    F16,
    Bf16,
}

#[derive(Clone)]
enum Data {
    Mapped { file: Arc<Mmap>, from: usize, to: usize, values: Values },
    Owned(Arc<[f32]>),
}

/// A tensor in a mapped file (or in memory), read as f32.
#[derive(Clone)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tensor").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl Tensor {
    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// GGML's name for the type of the file.
    pub(crate) fn kind(&self) -> GgmlDType {
        match &self.data {
            Data::Owned(_) | Data::Mapped { values: Values::F32, .. } => GgmlDType::F32,
            Data::Mapped { values: Values::F16, .. } => GgmlDType::F16,
            Data::Mapped { values: Values::Bf16, .. } => GgmlDType::BF16,
        }
    }

    /// All values in the type of the file. The file's pages that were read leave the process's memory again, so that a
    /// model that is copied tensor by tensor is never there twice.
    pub fn raw(&self) -> RawMatrix {
        match &self.data {
            Data::Owned(values) => RawMatrix::F32(values.to_vec()),
            Data::Mapped { file, from, to, values } => match values {
                Values::F32 => RawMatrix::F32(taken(file, *from..*to, f32::from_le_bytes)),
                Values::F16 => RawMatrix::F16(taken(file, *from..*to, f16::from_le_bytes)),
                Values::Bf16 => RawMatrix::Bf16(taken(file, *from..*to, bf16::from_le_bytes)),
            },
        }
    }

    /// Copies the values from `start` on (counted in values, row-major) into `out`.
    ///
    /// # Panics
    /// When there are fewer values than `out` holds.
    pub fn copy(&self, start: usize, out: &mut [f32]) {
        match &self.data {
            Data::Owned(values) => out.copy_from_slice(&values[start..start + out.len()]),
            Data::Mapped { file, from, to, values } => {
                let bytes = &file[*from..*to];
                let size = if matches!(values, Values::F32) { 4 } else { 2 };
                let bytes = &bytes[start * size..(start + out.len()) * size];
                match values {
                    Values::F32 => {
                        for (out, b) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                            *out = f32::from_le_bytes(*b);
                        }
                    }
                    Values::F16 => {
                        for (out, b) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                            *out = f16::from_le_bytes(*b).to_f32();
                        }
                    }
                    Values::Bf16 => {
                        for (out, b) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                            *out = bf16::from_le_bytes(*b).to_f32();
                        }
                    }
                }
            }
        }
    }
}

/// As [`typed`] of a part of `file`, whose pages are given back on the way.
fn taken<const N: usize, T>(file: &Mmap, range: Range<usize>, of: impl Fn([u8; N]) -> T) -> Vec<T> {
    /// Bytes between two times; a multiple of every value's size.
    const PART: usize = 8 << 20;
    let mut values = Vec::with_capacity(range.len() / N);
    for from in range.clone().step_by(PART) {
        let to = range.end.min(from + PART);
        values.extend(file[from..to].as_chunks::<N>().0.iter().map(|chunk| of(*chunk)));
        #[cfg(unix)]
        #[allow(unsafe_code, reason = "pages of a mapping are given back")]
        // SAFETY: nobody can write through a read-only mapping of a file, so the pages are read from it again where
        // they are looked at once more.
        let given_back =
            unsafe { file.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, from, to - from) };
        #[cfg(unix)]
        if let Err(error) = given_back {
            tracing::debug!(%error, "cannot give pages of a model's file back");
        }
    }
    values
}

/// Little-endian values of `N` bytes.
fn typed<const N: usize, T>(bytes: &[u8], of: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| of(*chunk)).collect()
}
