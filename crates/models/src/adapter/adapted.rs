//! A base with an adapter: its tensors merged, or as a net that computes the adapter beside them.

use super::config::AdapterKind;
use super::lowrank::LowRank;
use super::{Adapter, bottleneck};
use crate::decoder::{DecoderConfig, Quantize, Source, TensorSpec};
use crate::error::ModelsError;
use crate::nn::Bottleneck;
use crate::training::{FrozenMatrix, Quantization};
use crate::weights::{DecoderWeights, RawMatrix};

/// A base's weights with what an adapter makes of them.
#[derive(Debug)]
pub struct Adapted<'a> {
    weights: &'a DecoderWeights,
    config: DecoderConfig,
    adapter: Option<&'a Adapter>,
    /// The type through which the layers' linears go first.
    quantization: Option<Quantization>,
    /// Whether the base's embedding is its output layer too.
    base_tied: bool,
}

const EMBEDDING: &str = "model.embed_tokens.weight";
const OUTPUT: &str = "lm_head.weight";

impl<'a> Adapted<'a> {
    /// Over `weights`; with `quantization`, over what quantising leaves of the matrices that it covers.
    ///
    /// # Errors
    /// When the adapter is not for this base.
    pub fn new(
        weights: &'a DecoderWeights,
        adapter: Option<&'a Adapter>,
        quantization: Option<Quantization>,
    ) -> Result<Self, ModelsError> {
        let mut config = weights.config()?;
        let base_tied = config.tied;
        if let Some(adapter) = adapter {
            adapter.check(&config)?;
            config.tied = base_tied && !Self::unties(adapter, &config)?;
        }
        Ok(Self { weights, config, adapter, quantization, base_tied })
    }

    /// Whether the adapter makes two matrices of the one that is embedding and output layer.
    fn unties(adapter: &Adapter, config: &DecoderConfig) -> Result<bool, ModelsError> {
        let shape = [config.vocabulary, config.hidden];
        match (adapter.replaced(EMBEDDING, &shape)?, adapter.replaced(OUTPUT, &shape)?) {
            (None, None) => Ok(false),
            (Some(embedding), Some(output)) => Ok(embedding != output),
            (Some(_), None) => Ok(!matches!(adapter.kind(), AdapterKind::Lora(lora) if lora.ensure_tied)),
            (None, Some(_)) => Ok(true),
        }
    }

    /// Shape and options, which are the base's but for `tied`.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Whether the base had one matrix for both ends, and now there are two.
    pub fn untied(&self) -> bool {
        self.base_tied && !self.config.tied
    }

    /// A tensor with the adapter merged into it.
    ///
    /// # Errors
    /// When it cannot be read or does not fit.
    pub fn merged(&self, spec: &TensorSpec) -> Result<RawMatrix, ModelsError> {
        let raw = self.base(spec)?;
        let (rows, columns) = spec.sides();
        let difference = match self.adapter {
            Some(adapter) if spec.is_layer_linear() => adapter.low_rank(spec.module(), rows, columns)?,
            _ => None,
        };
        let Some(difference) = difference else { return Ok(raw) };
        let mut values = raw.into_f32(rows, columns)?;
        difference.merge_into(&mut values);
        Ok(RawMatrix::F32(values))
    }

    /// Whether a tensor is another than the base's.
    pub fn changes(&self, spec: &TensorSpec) -> bool {
        let replaced = self.adapter.is_some_and(|adapter| {
            adapter.replaces(&spec.name) || spec.is_layer_linear() && adapter.has_low_rank(spec.module())
        });
        replaced || self.quantization.is_some_and(|own| covers(own, spec))
    }

    /// A tensor without low-rank differences.
    fn base(&self, spec: &TensorSpec) -> Result<RawMatrix, ModelsError> {
        if let Some(adapter) = self.adapter
            && let Some(values) = adapter.replaced(&spec.name, &spec.shape)?
        {
            return Ok(RawMatrix::F32(values));
        }
        if spec.shape.len() == 1 {
            return Ok(RawMatrix::F32(self.weights.vector(&spec.name, spec.values())?));
        }
        let name = if spec.name == OUTPUT && self.base_tied { EMBEDDING } else { spec.name.as_str() };
        let (rows, columns) = spec.sides();
        let raw = self.weights.matrix(name, rows, columns)?;
        match self.quantization.filter(|own| covers(*own, spec)) {
            Some(quantization) => Ok(RawMatrix::F32(through(quantization, raw, rows, columns)?)),
            None => Ok(raw),
        }
    }
}

/// Whether a matrix was kept in a quantised type.
fn covers(quantization: Quantization, spec: &TensorSpec) -> bool {
    spec.shape.len() == 2 && quantization.covers(spec.is_layer_linear())
}

/// What is left of a matrix that went through a quantised type.
fn through(
    quantization: Quantization,
    raw: RawMatrix,
    rows: usize,
    columns: usize,
) -> Result<Vec<f32>, ModelsError> {
    let mut values = raw.into_f32(rows, columns)?;
    FrozenMatrix::quantised(&values, rows, columns, quantization)?.copy(0, &mut values);
    Ok(values)
}

/// An adapted base on its way into a net that computes the adapter beside its weights.
#[derive(Debug)]
pub(crate) struct Beside<'a, 'b> {
    pub adapted: &'b Adapted<'a>,
    pub quantize: Option<Quantize>,
}

impl Source for Beside<'_, '_> {
    type Error = ModelsError;

    fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Result<RawMatrix, ModelsError> {
        let raw = self.adapted.base(&TensorSpec { name: name.to_owned(), shape: vec![rows, columns] })?;
        match self.quantize {
            Some(Quantize::Q8_0) => Ok(raw.into_q8_0(rows, columns)?),
            None => Ok(raw),
        }
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<Vec<f32>, ModelsError> {
        let raw = self.adapted.base(&TensorSpec { name: name.to_owned(), shape: vec![length] })?;
        Ok(raw.into_f32(1, length)?)
    }

    fn difference(
        &mut self,
        module: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Option<LowRank>, ModelsError> {
        match self.adapted.adapter {
            Some(adapter) => adapter.low_rank(module, rows, columns),
            None => Ok(None),
        }
    }

    fn bottleneck(&mut self, name: &str, hidden: usize) -> Result<Option<Bottleneck>, ModelsError> {
        match self.adapted.adapter {
            Some(adapter) => bottleneck::read(adapter, name, hidden),
            None => Ok(None),
        }
    }
}
