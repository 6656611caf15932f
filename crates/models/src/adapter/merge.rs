//! An adapter merged into its base, as a model of its own.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Adapted, Adapter, AdapterKind, Beside};
use crate::decoder::random::Numbers;
use crate::decoder::{Decoder, DecoderOptions, KvType, Net, TensorSpec};
use crate::error::ModelsError;
use crate::export::gguf::{self, GgufType};
use crate::export::{ConfigChanges, FloatType, NewFolder, copy_side_files, write_shards};
use crate::record;
use crate::training::Quantization;
use crate::weights::DecoderWeights;

/// What is merged into what.
#[derive(Clone, Debug)]
pub struct MergeOptions {
    /// The adapter's folder.
    pub adapter: PathBuf,
    /// The base: a folder, or a GGUF file.
    pub base: PathBuf,
    /// A new folder; for GGUF, a new file where its name ends in `.gguf`.
    pub out: PathBuf,
    /// What is written.
    pub format: OutputFormat,
    /// Which values of the base's linears the differences are added to.
    pub base_values: BaseValues,
    /// Most bytes of a safetensors file.
    pub shard_bytes: u64,
    /// Random prompts over which merged and unmerged logits are compared; 0 for none.
    pub prompts: usize,
}

/// Formats of a merged model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// Safetensors of this type; `None` for the base's own.
    Safetensors(Option<FloatType>),
    /// A GGUF file.
    Gguf(GgufType),
}

/// Which values of the base's linears differences are added to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BaseValues {
    /// Those over which the adapter was trained: what quantising left of them where the adapter says so
    /// (`lore_adapter.json`), else the base's own.
    #[default]
    Trained,
    /// The base's own.
    Original,
    /// What this type leaves of them.
    Through(Quantization),
}

/// What merging did.
#[derive(Clone, Debug, Serialize)]
pub struct MergeReport {
    /// What was written.
    pub out: PathBuf,
    /// Tensors in it.
    pub tensors: usize,
    /// Those that the adapter changed.
    pub changed: usize,
    /// Bytes of the weights.
    pub bytes: u64,
    /// Whether there are two matrices now where the base had one for embedding and output layer.
    pub untied: bool,
    /// The type that the base's linears went through first.
    pub quantization: Option<Quantization>,
    /// How far merged and unmerged logits are from each other.
    pub check: Option<Check>,
    /// The record of the run that made the adapter, where it has one.
    pub record: Option<PathBuf>,
    /// Whether a copy of it lies with what was written; never for a single file.
    pub record_copied: bool,
}

/// A comparison of logits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Check {
    /// Tokens of all prompts.
    pub tokens: usize,
    /// The largest difference.
    pub largest: f64,
    /// Length of the difference over the length of the unmerged logits.
    pub relative: f64,
    /// The standard deviation of the unmerged logits.
    pub deviation: f64,
    /// The most that `largest` may be, for f32; else the most that `relative` may be.
    pub tolerance: f64,
}

/// Merges an adapter of low-rank differences into its base. Tensors are read, changed and written one after the other;
/// the check then holds one net at a time in memory. Nothing is left at `out` unless all of it went well.
///
/// # Errors
/// When a file cannot be read or written, the adapter is not for this base or not of low-rank differences, or the logits
/// differ by more than the type's rounding explains.
pub fn merge(options: &MergeOptions) -> Result<MergeReport, ModelsError> {
    let adapter = Adapter::open(&options.adapter)?;
    if matches!(adapter.kind(), AdapterKind::Bottleneck(_)) {
        let message = "bottlenecks are no part of any matrix, so they cannot be merged; serve them beside the base with \
                       the key generator.adapter";
        return Err(ModelsError::Input { message: message.into() });
    }
    let weights = DecoderWeights::open(&options.base)?;
    let quantization = match options.base_values {
        BaseValues::Trained => adapter.record().quantization,
        BaseValues::Original => None,
        BaseValues::Through(quantization) => Some(quantization),
    };
    let adapted = Adapted::new(&weights, Some(&adapter), quantization)?;
    let specs = adapted.config().tensors();
    let changed = specs.iter().filter(|spec| adapted.changes(spec)).count();
    let mut values = |spec: &TensorSpec| adapted.merged(spec);
    let folder = NewFolder::create(&options.out)?;
    let (kind, bytes) = match options.format {
        OutputFormat::Safetensors(kind) => {
            let DecoderWeights::Folder(own) = &weights else {
                let what = "merging of a GGUF file into safetensors (choose GGUF, or name the folder that the file was \
                            made from as the base)";
                return Err(ModelsError::unsupported(&options.base, what));
            };
            let kind = match kind {
                Some(kind) => kind,
                None => FloatType::of(weights.embedding_kind(adapted.config())?),
            };
            let bytes = write_shards(&folder, &specs, kind, options.shard_bytes, &mut values)?;
            let changes = ConfigChanges { kind, tied: adapted.config().tied };
            copy_side_files(own.folder(), &folder, changes)?;
            (Rounding::Float(kind), bytes)
        }
        OutputFormat::Gguf(kind) => {
            let path = folder.path().join(GGUF_NAME);
            (Rounding::Gguf(kind), gguf::write(&path, &weights, adapted.config(), kind, &mut values)?)
        }
    };
    let file = matches!(options.format, OutputFormat::Gguf(_))
        && options.out.extension().is_some_and(|ending| ending == "gguf");
    // What the adapter learned from is what the merged model learned from.
    let record = record::of_adapter(&options.adapter);
    if let Some(from) = record.as_ref().filter(|_| !file) {
        let bytes = std::fs::read(from).map_err(ModelsError::read(from))?;
        let to = folder.path().join(record::RUN);
        std::fs::write(&to, bytes).map_err(ModelsError::write(&to))?;
    }
    let check = match options.prompts {
        0 => None,
        prompts => Some(compare(&adapted, folder.path(), prompts, kind, &options.out)?),
    };
    if file {
        folder.finish_as_file(GGUF_NAME)?
    } else {
        folder.finish()?
    }
    Ok(MergeReport {
        record_copied: record.is_some() && !file,
        record,
        out: options.out.clone(),
        tensors: specs.len(),
        changed,
        bytes,
        untied: adapted.untied(),
        quantization,
        check,
    })
}

/// The name of a GGUF file in a folder of its own.
const GGUF_NAME: &str = "model.gguf";
/// Tokens of a prompt of the check.
const PROMPT_TOKENS: usize = 24;

/// What rounds the merged values.
#[derive(Clone, Copy, Debug)]
enum Rounding {
    Float(FloatType),
    Gguf(GgufType),
}

impl Rounding {
    /// The most that the relative length of the logits' difference may be; `None` for f32, whose largest difference counts.
    ///
    /// A few times what the types' own rounding makes of logits in our measurements; a wrong merge is off by the length of
    /// the logits themselves.
    fn tolerance(self) -> Option<f64> {
        match self {
            Self::Float(FloatType::F32) | Self::Gguf(GgufType::F32) => None,
            Self::Float(FloatType::F16) | Self::Gguf(GgufType::F16) => Some(5e-3),
            Self::Float(FloatType::Bf16) | Self::Gguf(GgufType::Bf16) => Some(4e-2),
            Self::Gguf(GgufType::Q8_0) => Some(1e-1),
            Self::Gguf(GgufType::Q4K) => Some(5e-1),
        }
    }
}

/// The largest difference of f32 logits whose standard deviation is [`DEVIATION`], after [`LAYERS`] layers: for larger ones
/// as much more, for more layers as much as rounding adds up by chance.
const LARGEST: f64 = 2e-6;
const DEVIATION: f64 = 0.16;
const LAYERS: f64 = 2.0;

/// Compares the logits of base and adapter side by side with those of the merged model at `merged`.
fn compare(
    adapted: &Adapted<'_>,
    merged: &Path,
    prompts: usize,
    rounding: Rounding,
    out: &Path,
) -> Result<Check, ModelsError> {
    let config = adapted.config();
    let length = PROMPT_TOKENS.min(config.context);
    let mut numbers = Numbers::new(7);
    let tokens: Vec<u32> =
        (0..prompts * length).map(|_| (numbers.uniform() * config.vocabulary as f64) as u32).collect();
    let lengths = vec![length; prompts];
    let failed = |error: crate::decoder::StepError| candle_core::Error::Msg(error.to_string());
    let unmerged: Vec<f32> = {
        let net = Net::read(config, &mut Beside { adapted, quantize: None })?;
        net.whole(&tokens, &lengths).map_err(failed)?.flatten_all()?.to_vec1()?
    };
    let merged: Vec<f32> = {
        let options = DecoderOptions { kv: KvType::F32, ..DecoderOptions::default() };
        let decoder = Decoder::open(merged, &options)?;
        decoder.whole(&tokens, &lengths).map_err(failed)?.flatten_all()?.to_vec1()?
    };
    let depth = (config.layers() as f64 / LAYERS).sqrt().max(1.0);
    let check = check(&unmerged, &merged, tokens.len(), rounding.tolerance(), depth);
    let (off, what) = match rounding.tolerance() {
        None => (check.largest, "largest difference"),
        Some(_) => (check.relative, "relative difference"),
    };
    if !(unmerged.len() == merged.len() && off <= check.tolerance) {
        let message = format!(
            "merged and unmerged logits disagree: the {what} is {off:.2e}, and {:.2e} is allowed; nothing was written",
            check.tolerance
        );
        return Err(ModelsError::invalid(out, message));
    }
    Ok(check)
}

fn check(unmerged: &[f32], merged: &[f32], tokens: usize, tolerance: Option<f64>, depth: f64) -> Check {
    let count = unmerged.len().max(1) as f64;
    let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<f64>>();
    let (unmerged, merged) = (wide(unmerged), wide(merged));
    let mean = unmerged.iter().sum::<f64>() / count;
    let deviation = (unmerged.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    let off = || unmerged.iter().zip(&merged).map(|(a, b)| (a - b).abs());
    // A comparison with what is not a number is a difference without bound.
    let largest = off().fold(0.0, |most: f64, off| if off.is_nan() { f64::INFINITY } else { most.max(off) });
    let length = unmerged.iter().map(|value| value * value).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    let relative = off().map(|off| off * off).sum::<f64>().sqrt() / length;
    let tolerance = tolerance.unwrap_or_else(|| LARGEST * depth * (deviation / DEVIATION).max(1.0));
    Check { tokens, largest, relative, deviation, tolerance }
}
