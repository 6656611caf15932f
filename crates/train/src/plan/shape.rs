//! What a training has of values and bytes, from the model's shape alone.

use lore_models::decoder::{DecoderConfig, TensorSpec};
use lore_models::training::{Method, Precision, Quantization};

use crate::config::TrainConfig;

/// Values of a block of NF4 that share a scale.
const NF4_BLOCK: usize = 64;
/// Scales that share a second scale, where those are quantised too.
const NF4_SCALES: usize = 256;

/// The one tensor outside the layers that lies below all of them.
const EMBEDDING: &str = "model.embed_tokens.weight";

/// Numbers of values, and bytes of the frozen ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Values of the base.
    pub base: usize,
    /// Values that an adapter adds.
    pub added: usize,
    /// Values that are trained.
    pub trained: usize,
    /// Bytes of the values that are not.
    pub frozen_bytes: u64,
    /// The lowest layer with something that is trained; the number of layers where there is none.
    pub lowest: usize,
}

impl Counts {
    /// As `config` trains a model of this shape.
    pub(super) fn of(config: &TrainConfig, shape: &DecoderConfig) -> Self {
        let layers = shape.layers();
        let mut counts = Self { lowest: layers, ..Self::default() };
        for spec in shape.tensors() {
            let (values, layer) = (spec.values(), spec.layer());
            counts.base += values;
            if config.method.trains(&spec.name, layer, layers) {
                counts.trained += values;
                // What is trained outside the layers: the embedding lies below all of them, the rest above.
                let at = layer.or((spec.name == EMBEDDING).then_some(0));
                counts.lowest = counts.lowest.min(at.unwrap_or(layers));
            } else {
                counts.frozen_bytes += bytes(&spec, config.precision, config.quantization);
            }
            let added = added(&config.method, &spec);
            counts.added += added;
            if let (Some(layer), true) = (layer, added > 0) {
                counts.lowest = counts.lowest.min(layer);
            }
        }
        if let Method::Bottleneck(bottleneck) = &config.method {
            // Two in each layer, each of two linears with biases.
            let one = 2 * bottleneck.size * shape.hidden + bottleneck.size + shape.hidden;
            counts.added += 2 * layers * one;
            counts.lowest = 0;
        }
        counts.trained += counts.added;
        counts
    }
}

/// Values that a low-rank difference adds to a tensor.
fn added(method: &Method, spec: &TensorSpec) -> usize {
    match method {
        Method::Lora(lora) if spec.is_layer_linear() && lora.targets.contain(spec.module()) => {
            let (rows, columns) = spec.sides();
            lora.rank * (rows + columns) + if lora.dora { rows } else { 0 }
        }
        _ => 0,
    }
}

/// Bytes of a tensor that is not trained.
fn bytes(spec: &TensorSpec, precision: Precision, quantization: Option<Quantization>) -> u64 {
    let values = spec.values();
    let quantization = quantization.filter(|own| own.covers(spec.layer().is_some()));
    let bytes = match (&spec.shape[..], quantization) {
        ([_, _], Some(Quantization::Nf4 { double, .. })) => {
            let scales = values.div_ceil(NF4_BLOCK);
            let scales = if double { scales + 4 * scales.div_ceil(NF4_SCALES) + 4 } else { 4 * scales };
            values.div_ceil(2) + scales
        }
        ([rows, _], Some(Quantization::Int8)) => values + 4 * rows,
        ([_, _], None) => precision.dtype().size_in_bytes() * values,
        // Norms and biases are kept in 32 bits.
        _ => 4 * values,
    };
    bytes as u64
}
