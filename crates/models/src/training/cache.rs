//! A quantised base on disk, mapped at the next start.
//!
//! The file is a safetensors file named after the base's fingerprint and the type. It holds all linears of the layers, under
//! bitsandbytes' names as far as there are some: `….weight` (packed values or whole numbers), `….weight.absmax`,
//! `….weight.nested_absmax`. Its header names base and type, and a hash of its values, large files by samples.

use std::collections::HashMap;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::DType;
use memmap2::Mmap;
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

use super::Quantization;
use super::modules::FrozenMatrix;
use crate::decoder::{DecoderConfig, TensorSpec};
use crate::error::ModelsError;
use crate::export::{Entry, SafetensorsFile, float_bytes};
use crate::nn::bytes::Bytes;
use crate::nn::nf4::{BLOCK, SECOND, Scales};
use crate::nn::{Int8Matrix, Nf4Matrix};
use crate::weights::{DecoderWeights, hex, map, sample};

/// A mapped file with quantised linears.
#[derive(Debug)]
pub(super) struct QuantisedBase {
    path: PathBuf,
    quantization: Quantization,
    file: Arc<Mmap>,
    /// Where tensors begin and end in the file.
    places: HashMap<String, (usize, usize)>,
}

/// The version of the format.
const VERSION: &str = "1";
/// Stands in the header until the hash is known.
const NO_HASH: &str = "000000000000000000000000";

impl QuantisedBase {
    /// The quantised linears of `weights`, from the file in `folder` or made anew. Where they cannot be written, a warning
    /// says so and there are none.
    ///
    /// # Errors
    /// When a linear of the base cannot be read or quantised.
    pub fn open_or_make(
        folder: &Path,
        weights: &DecoderWeights,
        config: &DecoderConfig,
        quantization: Quantization,
    ) -> Result<Option<Self>, ModelsError> {
        let base = weights.fingerprint()?;
        let path = folder.join(format!("{base}-{}.safetensors", name(quantization)));
        if path.exists() {
            match Self::open(&path, &base, config, quantization) {
                Ok(cache) => return Ok(Some(cache)),
                Err(error) => {
                    tracing::warn!(%error, path = %path.display(), "the quantised base on disk is no good; it is made anew");
                }
            }
        }
        match make(&path, &base, weights, config, quantization) {
            Ok(()) => {}
            Err(error @ ModelsError::Write { .. }) => {
                tracing::warn!(%error, "the quantised base is not kept on disk");
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        Self::open(&path, &base, config, quantization).map(Some)
    }

    fn open(
        path: &Path,
        base: &str,
        config: &DecoderConfig,
        quantization: Quantization,
    ) -> Result<Self, ModelsError> {
        let file = Arc::new(map(path)?);
        let invalid = |message: &str| ModelsError::invalid(path, message);
        let (header, metadata) =
            SafeTensors::read_metadata(&file).map_err(|error| ModelsError::invalid(path, error))?;
        let start = header + size_of::<u64>();
        let own = metadata.metadata().clone().unwrap_or_default();
        let says = |key: &str, wanted: &str| own.get(key).is_some_and(|value| value == wanted);
        if !(says("version", VERSION) && says("base", base) && says("quantization", name(quantization))) {
            return Err(invalid("it belongs to another base or type"));
        }
        let mut places = HashMap::new();
        for (name, info) in metadata.tensors() {
            places.insert(name, (start + info.data_offsets.0, start + info.data_offsets.1));
        }
        let end = places.values().map(|(_, to)| *to).max().unwrap_or(start);
        if end != file.len() {
            return Err(invalid("it is cut off"));
        }
        if !says("hash", &hash(&file, start, &places)) {
            return Err(invalid("its values are damaged"));
        }
        let cache = Self { path: path.to_owned(), quantization, file, places };
        for spec in config.tensors().into_iter().filter(TensorSpec::is_layer_linear) {
            let (rows, columns) = spec.sides();
            cache.matrix(&spec.name, rows, columns)?;
        }
        Ok(cache)
    }

    /// The matrix of a tensor's name.
    ///
    /// # Errors
    /// When it is absent or of another shape.
    pub fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<FrozenMatrix, ModelsError> {
        let failed = |error: candle_core::Error| ModelsError::tensor(&self.path, name, error.to_string());
        let values = self.bytes(name)?;
        Ok(match self.quantization {
            Quantization::Nf4 { double: false, .. } => {
                let scales = Scales::Plain(self.floats(&format!("{name}.absmax"))?);
                FrozenMatrix::Nf4(Nf4Matrix::from_stored(rows, columns, values, scales).map_err(failed)?)
            }
            Quantization::Nf4 { double: true, .. } => {
                let seconds = self.floats(&format!("{name}.nested_absmax"))?;
                let offset =
                    self.floats(&format!("{name}.nested_offset"))?.first().copied().unwrap_or_default();
                let codes = self.bytes(&format!("{name}.absmax"))?;
                let scales = Scales::Double { codes, seconds, offset };
                FrozenMatrix::Nf4(Nf4Matrix::from_stored(rows, columns, values, scales).map_err(failed)?)
            }
            Quantization::Int8 => {
                let scales = self.floats(&format!("{name}.scale"))?;
                FrozenMatrix::Int8(Int8Matrix::from_stored(rows, columns, values, scales).map_err(failed)?)
            }
        })
    }

    fn bytes(&self, name: &str) -> Result<Bytes, ModelsError> {
        let place = self.places.get(name).ok_or_else(|| ModelsError::tensor(&self.path, name, "absent"))?;
        Ok(Bytes::Mapped { file: self.file.clone(), from: place.0, to: place.1 })
    }

    fn floats(&self, name: &str) -> Result<Vec<f32>, ModelsError> {
        Ok(self.bytes(name)?.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}

/// The type in a file's name.
fn name(quantization: Quantization) -> &'static str {
    match quantization {
        Quantization::Nf4 { double: false, .. } => "nf4",
        Quantization::Nf4 { double: true, .. } => "nf4-double",
        Quantization::Int8 => "int8",
    }
}

/// Quantises the linears one after the other into a file of a temporary name, which is renamed once it is whole.
fn make(
    path: &Path,
    base: &str,
    weights: &DecoderWeights,
    config: &DecoderConfig,
    quantization: Quantization,
) -> Result<(), ModelsError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(ModelsError::write(folder))?;
    let temporary = path.with_extension(format!("{}.part", std::process::id()));
    let written = write(&temporary, base, weights, config, quantization)
        .and_then(|()| fs::rename(&temporary, path).map_err(ModelsError::write(path)));
    if written.is_err() {
        // It may not have come into being.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write(
    path: &Path,
    base: &str,
    weights: &DecoderWeights,
    config: &DecoderConfig,
    quantization: Quantization,
) -> Result<(), ModelsError> {
    let specs: Vec<TensorSpec> = config.tensors().into_iter().filter(TensorSpec::is_layer_linear).collect();
    let entries: Vec<Entry> = specs.iter().flat_map(|spec| entries(spec, quantization)).collect();
    let metadata =
        [("version", VERSION), ("base", base), ("quantization", name(quantization)), ("hash", NO_HASH)];
    let mut out = SafetensorsFile::create(path, &entries, &metadata)?;
    for spec in &specs {
        let (rows, columns) = spec.sides();
        let values = weights.matrix(&spec.name, rows, columns)?.into_f32(rows, columns)?;
        match quantization {
            Quantization::Nf4 { double, .. } => {
                let matrix = Nf4Matrix::quantise(&values, rows, columns, double)?;
                let (packed, scales) = matrix.stored();
                out.write(packed)?;
                match scales {
                    Scales::Plain(scales) => out.write(&float_bytes(scales))?,
                    Scales::Double { codes, seconds, offset } => {
                        out.write(codes)?;
                        out.write(&float_bytes(seconds))?;
                        out.write(&float_bytes(&[*offset]))?;
                    }
                }
            }
            Quantization::Int8 => {
                let matrix = Int8Matrix::quantise(&values, rows, columns)?;
                out.write(matrix.stored())?;
                out.write(&float_bytes(matrix.parts().1))?;
            }
        }
    }
    out.finish()?;
    sign(path)
}

/// The tensors that a matrix becomes.
fn entries(spec: &TensorSpec, quantization: Quantization) -> Vec<Entry> {
    let name = &spec.name;
    let blocks = spec.values().div_ceil(BLOCK);
    let packed = Entry::new(name, DType::U8, &[spec.values().div_ceil(2), 1]);
    let absmax = format!("{name}.absmax");
    match quantization {
        Quantization::Nf4 { double: false, .. } => vec![packed, Entry::new(&absmax, DType::F32, &[blocks])],
        Quantization::Nf4 { double: true, .. } => vec![
            packed,
            Entry::new(&absmax, DType::U8, &[blocks]),
            Entry::new(&format!("{name}.nested_absmax"), DType::F32, &[blocks.div_ceil(SECOND)]),
            Entry::new(&format!("{name}.nested_offset"), DType::F32, &[1]),
        ],
        Quantization::Int8 => vec![
            Entry::new(name, DType::U8, &spec.shape),
            Entry::new(&format!("{name}.scale"), DType::F32, &[spec.shape[0]]),
        ],
    }
}

/// Puts the hash of a file's values into its header.
fn sign(path: &Path) -> Result<(), ModelsError> {
    let file = map(path)?;
    let (header, metadata) =
        SafeTensors::read_metadata(&file).map_err(|error| ModelsError::invalid(path, error))?;
    let start = header + size_of::<u64>();
    let places = metadata.tensors().into_iter();
    let places =
        places.map(|(name, info)| (name, (start + info.data_offsets.0, start + info.data_offsets.1)));
    let hash = hash(&file, start, &places.collect());
    let place = file[..start].windows(NO_HASH.len()).position(|window| window == NO_HASH.as_bytes());
    let place = place.ok_or_else(|| ModelsError::invalid(path, "it has no place for its hash"))?;
    drop(file);
    let mut file = fs::OpenOptions::new().write(true).open(path).map_err(ModelsError::write(path))?;
    file.seek(SeekFrom::Start(place as u64))
        .and_then(|_| file.write_all(hash.as_bytes()))
        .and_then(|()| file.sync_all())
        .map_err(ModelsError::write(path))
}

/// Twenty-four hexadecimal digits over the values of a file, whose tensors begin at `start`.
fn hash(file: &Mmap, start: usize, places: &HashMap<String, (usize, usize)>) -> String {
    let values = &file[start..];
    let starts = places.values().map(|(from, _)| (from - start) as u64).collect();
    let mut hash = Sha256::new();
    let Ok(()) = sample(&mut hash, values.len() as u64, 0, starts, |offset, out: &mut [u8]| {
        let offset = offset as usize;
        out.copy_from_slice(&values[offset..offset + out.len()]);
        Ok::<(), std::convert::Infallible>(())
    });
    hex(&hash.finalize(), NO_HASH.len() / 2)
}
