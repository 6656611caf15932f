//! safetensors files of f32, written a tensor at a time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use crate::error::TrainError;

/// A tensor to write.
pub(super) struct Entry<'a> {
    pub name: String,
    pub shape: Vec<usize>,
    /// Its values, asked for when it is its turn.
    pub values: Box<dyn Fn() -> candle_core::Result<Cow<'a, [f32]>> + 'a>,
}

/// Bytes of `values` f32.
pub(super) fn bytes_of(values: usize) -> u64 {
    4 * values as u64
}

/// Writes a whole file: the length of a header, the header (JSON, padded to eight bytes), the values.
pub(super) fn write(out: &mut dyn Write, entries: &[Entry<'_>]) -> io::Result<()> {
    let mut header = serde_json::Map::new();
    let mut at = 0u64;
    for entry in entries {
        let end = at + bytes_of(entry.shape.iter().product());
        let place = json!({ "dtype": "F32", "shape": entry.shape, "data_offsets": [at, end] });
        header.insert(entry.name.clone(), place);
        at = end;
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    let mut bytes = Vec::new();
    for entry in entries {
        let values = (entry.values)().map_err(io::Error::other)?;
        if values.len() != entry.shape.iter().product::<usize>() {
            return Err(io::Error::other(format!("{} has {} values", entry.name, values.len())));
        }
        for piece in values.chunks(1 << 14) {
            bytes.clear();
            piece.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
            out.write_all(&bytes)?;
        }
    }
    Ok(())
}

/// Tensors of a file, by their names.
pub(super) struct File<'a> {
    path: &'a Path,
    tensors: BTreeMap<String, (Vec<usize>, &'a [u8])>,
}

impl<'a> File<'a> {
    /// The file of which `bytes` are the content.
    pub fn new(path: &'a Path, bytes: &'a [u8]) -> Result<Self, TrainError> {
        let invalid = |message: String| TrainError::Checkpoint { path: path.into(), message };
        let file = SafeTensors::deserialize(bytes).map_err(|error| invalid(error.to_string()))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            if view.dtype() != Dtype::F32 {
                return Err(invalid(format!("{name} is not f32")));
            }
            tensors.insert(name, (view.shape().to_vec(), view.data()));
        }
        Ok(Self { path, tensors })
    }

    /// Takes the values of a tensor of this shape.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, TrainError> {
        let invalid = |message| TrainError::Checkpoint { path: self.path.into(), message };
        let Some((is, bytes)) = self.tensors.remove(name) else {
            return Err(invalid(format!("it has no {name}; it was made by another training")));
        };
        if is != shape {
            return Err(invalid(format!("{name} is {is:?}, not {shape:?}; it was made by another training")));
        }
        Ok(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    /// A tensor that was not taken.
    pub fn rest(&self) -> Option<&str> {
        self.tensors.keys().next().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let entry = |name: &str, shape: &[usize]| {
            let count = shape.iter().product::<usize>();
            let values =
                move || Ok((0..count).map(|value| value as f32 * 0.1 - 3.0).collect::<Vec<_>>().into());
            Entry { name: name.into(), shape: shape.to_vec(), values: Box::new(values) }
        };
        let mut bytes = Vec::new();
        write(&mut bytes, &[entry("b", &[2, 3]), entry("a", &[40_000])]).unwrap();
        assert!((bytes.len() as u64) > bytes_of(40_006));
        let path = Path::new("x.safetensors");
        let mut file = File::new(path, &bytes).unwrap();
        assert_eq!(file.take("b", &[2, 3]).unwrap()[..2], [-3.0, -2.9]);
        assert_eq!(file.rest(), Some("a"));
        assert!(file.take("b", &[2, 3]).unwrap_err().to_string().contains("has no b"));
        assert!(file.take("a", &[3]).unwrap_err().to_string().contains("[40000], not [3]"));
        assert!(File::new(path, &bytes[..bytes.len() - 1]).is_err());
    }
}
