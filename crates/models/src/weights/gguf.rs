//! GGUF files: header and metadata in memory, tensors read from the file when they are asked for.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. The header is read here and not by candle, whose
//! reader divides by an alignment of 0 and gives up on a whole file for one tensor of a type that it does not know.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use half::{bf16, f16};

use super::gguf_header::{self, TensorEntry};
use super::{RawMatrix, typed};
use crate::error::ModelsError;

/// An open GGUF file.
pub struct GgufFile {
    path: PathBuf,
    file: Mutex<File>,
    length: u64,
    /// Where the tensors' bytes start.
    data: u64,
    metadata: HashMap<String, Value>,
    tensors: HashMap<String, TensorEntry>,
}

impl std::fmt::Debug for GgufFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GgufFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl GgufFile {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// When it cannot be read, is no GGUF file of version 1 to 3, is damaged, cut off, or one of several parts.
    pub fn open(path: &Path) -> Result<Self, ModelsError> {
        let fail = |source| ModelsError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        let header = gguf_header::read(&mut file, length).map_err(|error| error.at(path))?;
        for (name, tensor) in &header.tensors {
            let end = tensor
                .bytes()
                .map(|size| header.data.checked_add(tensor.offset).and_then(|start| start.checked_add(size)));
            if end.is_some_and(|end| end.is_none_or(|end| end > length)) {
                return Err(ModelsError::tensor(path, name, "its bytes are cut off; fetch the file again"));
            }
        }
        if let Some(Value::U16(count)) = header.metadata.get("split.count")
            && *count > 1
        {
            let what = format!("a model split over {count} files (join them with llama-gguf-split --merge)");
            return Err(ModelsError::unsupported(path, what));
        }
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(file),
            length,
            data: header.data,
            metadata: header.metadata,
            tensors: header.tensors,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The keys and values of its header.
    pub fn metadata(&self) -> &HashMap<String, Value> {
        &self.metadata
    }

    /// Whether a tensor of this name is there.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A tensor's shape, rows first.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn shape(&self, name: &str) -> Result<&[usize], ModelsError> {
        Ok(&self.entry(name)?.shape)
    }

    /// A matrix `[rows, columns]`; with `interleaved`, its rows are put from the order of interleaved RoPE over heads of
    /// that length into the order of the two halves.
    ///
    /// # Errors
    /// When it is absent, of another shape or of a type that is not implemented, or cannot be read.
    pub fn matrix(
        &self,
        name: &str,
        rows: usize,
        columns: usize,
        interleaved: Option<usize>,
    ) -> Result<RawMatrix, ModelsError> {
        let (kind, bytes) = self.bytes(name, &[rows, columns], interleaved)?;
        Ok(match kind {
            GgmlDType::F32 => RawMatrix::F32(typed(&bytes, f32::from_le_bytes)),
            GgmlDType::F16 => RawMatrix::F16(typed(&bytes, f16::from_le_bytes)),
            GgmlDType::BF16 => RawMatrix::Bf16(typed(&bytes, bf16::from_le_bytes)),
            kind => RawMatrix::Quantized { kind, bytes },
        })
    }

    /// A vector, as f32.
    ///
    /// # Errors
    /// As [`GgufFile::matrix`]; also when it is quantised.
    pub fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, ModelsError> {
        let (kind, bytes) = self.bytes(name, &[length], None)?;
        match kind {
            GgmlDType::F32 => Ok(typed(&bytes, f32::from_le_bytes)),
            GgmlDType::F16 => Ok(typed(&bytes, |b| f16::from_le_bytes(b).to_f32())),
            GgmlDType::BF16 => Ok(typed(&bytes, |b| bf16::from_le_bytes(b).to_f32())),
            kind => Err(self.fail(name, format!("a vector of type {kind:?} (known are F32, F16, BF16)"))),
        }
    }

    fn entry(&self, name: &str) -> Result<&TensorEntry, ModelsError> {
        self.tensors.get(name).ok_or_else(|| self.fail(name, "absent".into()))
    }

    fn fail(&self, name: &str, message: String) -> ModelsError {
        ModelsError::tensor(&self.path, name, message)
    }

    fn bytes(
        &self,
        name: &str,
        shape: &[usize],
        interleaved: Option<usize>,
    ) -> Result<(GgmlDType, Vec<u8>), ModelsError> {
        let entry = self.entry(name)?;
        if entry.shape != shape {
            let message = format!("its shape is {:?}, but the configuration makes it {shape:?}", entry.shape);
            return Err(self.fail(name, message));
        }
        let kind = entry.kind.map_err(|number| {
            let known = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K";
            self.fail(name, format!("of GGML type {number}, which is not supported (known are {known})"))
        })?;
        let columns = shape.last().copied().unwrap_or_default();
        if !columns.is_multiple_of(kind.block_size()) {
            return Err(self.fail(name, format!("rows of {columns} values are not whole blocks of {kind:?}")));
        }
        // `open` compared the end of every tensor of a known type with the file's length.
        let size = entry.bytes().and_then(|size| usize::try_from(size).ok()).unwrap_or_default();
        let mut bytes = vec![0; size];
        self.read_at(self.data + entry.offset, &mut bytes)?;
        let stride = columns / kind.block_size() * kind.type_size();
        match interleaved {
            Some(length) if stride > 0 => Ok((kind, halves(&bytes, stride, length))),
            _ => Ok((kind, bytes)),
        }
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), ModelsError> {
        // Nothing is left half done by a panic between the two calls.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.read_exact(bytes))
            .map_err(|source| ModelsError::Read { path: self.path.clone(), source })
    }

    /// Adds to `hash` what tells this file from another.
    pub(super) fn hash(&self, hash: &mut sha2::Sha256) -> Result<(), ModelsError> {
        let starts: Vec<u64> =
            self.tensors.values().map(|tensor| self.data.saturating_add(tensor.offset)).collect();
        super::fingerprint::sample(hash, self.length, self.data, starts, |offset, out| {
            self.read_at(offset, out)
        })
    }
}

/// Row `2 i + p` of each head goes to row `p length / 2 + i`: undoes what the converter of llama.cpp does to q and k.
pub(super) fn halves(bytes: &[u8], stride: usize, length: usize) -> Vec<u8> {
    let mut out = vec![0; bytes.len()];
    let head = stride * length;
    for (from, to) in bytes.chunks_exact(head).zip(out.chunks_exact_mut(head)) {
        for (row, to) in to.chunks_exact_mut(stride).enumerate() {
            let (half, pair) = (row / (length / 2), row % (length / 2));
            let start = (2 * pair + half) * stride;
            to.copy_from_slice(&from[start..start + stride]);
        }
    }
    out
}
