//! Safetensors files, written tensor by tensor.
//!
//! Format: <https://github.com/huggingface/safetensors#format>: the header's length in eight bytes, the header (JSON, padded
//! with spaces), the tensors' bytes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use candle_core::DType;
use serde_json::{Map, Value, json};

use super::{FloatType, NewFolder, encode};
use crate::decoder::TensorSpec;
use crate::error::ModelsError;
use crate::weights::RawMatrix;

/// A tensor to come.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    name: String,
    kind: DType,
    shape: Vec<usize>,
}

impl Entry {
    /// Of this type (f32, f16, bf16 or u8).
    pub fn new(name: &str, kind: DType, shape: &[usize]) -> Self {
        Self { name: name.to_owned(), kind, shape: shape.to_vec() }
    }

    fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.kind.size_in_bytes()
    }

    fn type_name(&self) -> &'static str {
        match self.kind {
            DType::F16 => "F16",
            DType::BF16 => "BF16",
            DType::U8 => "U8",
            _ => "F32",
        }
    }
}

/// A file whose header is written, and whose tensors follow in order.
pub(crate) struct SafetensorsFile {
    path: PathBuf,
    out: BufWriter<File>,
    /// Bytes of each tensor still to come, the last first.
    expected: Vec<(String, usize)>,
}

impl SafetensorsFile {
    /// Writes the header of a new file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path, entries: &[Entry], metadata: &[(&str, &str)]) -> Result<Self, ModelsError> {
        let mut header = Map::new();
        let metadata: Map<String, Value> =
            metadata.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        header.insert("__metadata__".into(), Value::Object(metadata));
        let mut at = 0;
        for entry in entries {
            let offsets = [at, at + entry.bytes()];
            let value = json!({"dtype": entry.type_name(), "shape": entry.shape, "data_offsets": offsets});
            header.insert(entry.name.clone(), value);
            at = offsets[1];
        }
        let mut header = Value::Object(header).to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        let file = File::create(path).map_err(ModelsError::write(path))?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        out.write_all(&(header.len() as u64).to_le_bytes())
            .and_then(|()| out.write_all(&header))
            .map_err(ModelsError::write(path))?;
        let mut expected: Vec<_> = entries.iter().map(|entry| (entry.name.clone(), entry.bytes())).collect();
        expected.reverse();
        Ok(Self { path: path.to_owned(), out, expected })
    }

    /// Writes the bytes of the next tensor.
    ///
    /// # Errors
    /// When they are not as many as its shape says, or cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ModelsError> {
        let (name, expected) = self.expected.pop().unwrap_or_default();
        if bytes.len() != expected {
            let message = format!("{} bytes were to be written instead of {expected}", bytes.len());
            return Err(ModelsError::tensor(&self.path, &name, message));
        }
        self.out.write_all(bytes).map_err(ModelsError::write(&self.path))
    }

    /// Ends the file and syncs it.
    ///
    /// # Errors
    /// When tensors are missing, or it cannot be written.
    pub fn finish(mut self) -> Result<(), ModelsError> {
        if let Some((name, _)) = self.expected.pop() {
            return Err(ModelsError::tensor(&self.path, &name, "it was not written"));
        }
        self.out.flush().and_then(|()| self.out.get_ref().sync_all()).map_err(ModelsError::write(&self.path))
    }
}

/// Writes a model's tensors as `model.safetensors`, or in files of at most `most` bytes (a tensor each at least) with
/// their index.
pub(crate) fn write_shards(
    folder: &NewFolder,
    specs: &[TensorSpec],
    kind: FloatType,
    most: u64,
    values: &mut dyn FnMut(&TensorSpec) -> Result<RawMatrix, ModelsError>,
) -> Result<u64, ModelsError> {
    let bytes = |spec: &TensorSpec| (spec.values() * kind.dtype().size_in_bytes()) as u64;
    let mut shards: Vec<Vec<&TensorSpec>> = Vec::new();
    let (mut held, mut total) = (0, 0);
    for spec in specs {
        total += bytes(spec);
        match shards.last_mut() {
            Some(shard) if held + bytes(spec) <= most => shard.push(spec),
            _ => {
                shards.push(vec![spec]);
                held = 0;
            }
        }
        held += bytes(spec);
    }
    let mut map = Map::new();
    for (index, shard) in shards.iter().enumerate() {
        let name = match shards.len() {
            1 => "model.safetensors".to_owned(),
            count => format!("model-{:05}-of-{count:05}.safetensors", index + 1),
        };
        let entries: Vec<_> =
            shard.iter().map(|spec| Entry::new(&spec.name, kind.dtype(), &spec.shape)).collect();
        let mut file = SafetensorsFile::create(&folder.path().join(&name), &entries, &[("format", "pt")])?;
        for spec in shard {
            let (rows, columns) = spec.sides();
            file.write(&encode(values(spec)?, rows, columns, kind.ggml())?)?;
            map.insert(spec.name.clone(), json!(name));
        }
        file.finish()?;
    }
    if shards.len() > 1 {
        let index = json!({"metadata": {"total_size": total}, "weight_map": map});
        folder.write_json("model.safetensors.index.json", &index)?;
    }
    Ok(total)
}
