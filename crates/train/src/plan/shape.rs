//! What a training has of values and bytes, from the model's shape alone.

use lore_models::decoder::DecoderConfig;
use lore_models::training::{Method, Precision, Quantization};

use crate::config::TrainConfig;

/// Values of a block of NF4 that share a scale.
const NF4_BLOCK: usize = 64;
/// Scales that share a second scale, where those are quantised too.
const NF4_SCALES: usize = 256;

/// A tensor of the base.
struct Part {
    name: String,
    rows: usize,
    /// `None` for a vector.
    columns: Option<usize>,
    layer: Option<usize>,
}

impl Part {
    fn values(&self) -> usize {
        self.rows * self.columns.unwrap_or(1)
    }
}

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
        for part in parts(shape) {
            counts.base += part.values();
            let trained = config.method.trains(&part.name, part.layer, layers);
            if trained {
                counts.trained += part.values();
                // What is trained outside the layers: the embedding lies below all of them, the rest above.
                let at = part.layer.or((part.name == EMBEDDING).then_some(0));
                counts.lowest = counts.lowest.min(at.unwrap_or(layers));
            } else {
                counts.frozen_bytes += bytes(&part, config.precision, config.quantization);
            }
            let added = added(&config.method, &part);
            counts.added += added;
            if let (Some(layer), true) = (part.layer, added > 0) {
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

const EMBEDDING: &str = "model.embed_tokens.weight";

/// All tensors of a decoder of this shape.
fn parts(shape: &DecoderConfig) -> Vec<Part> {
    let DecoderConfig { vocabulary, hidden, intermediate, heads, kv_heads, head_dim, .. } = *shape;
    let (queries, keys) = (heads * head_dim, kv_heads * head_dim);
    let mut parts = Vec::new();
    let mut add = |name: String, rows, columns, layer| parts.push(Part { name, rows, columns, layer });
    add(EMBEDDING.into(), vocabulary, Some(hidden), None);
    add("model.norm.weight".into(), hidden, None, None);
    if !shape.tied {
        add("lm_head.weight".into(), vocabulary, Some(hidden), None);
    }
    for layer in 0..shape.layers() {
        let at = Some(layer);
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            add(name(&format!("{norm}.weight")), hidden, None, at);
        }
        if shape.qk_norm {
            for norm in ["self_attn.q_norm", "self_attn.k_norm"] {
                add(name(&format!("{norm}.weight")), head_dim, None, at);
            }
        }
        for (linear, rows, columns, bias) in [
            ("self_attn.q_proj", queries, hidden, shape.qkv_bias),
            ("self_attn.k_proj", keys, hidden, shape.qkv_bias),
            ("self_attn.v_proj", keys, hidden, shape.qkv_bias),
            ("self_attn.o_proj", hidden, queries, shape.output_bias),
            ("mlp.gate_proj", intermediate, hidden, shape.mlp_bias),
            ("mlp.up_proj", intermediate, hidden, shape.mlp_bias),
            ("mlp.down_proj", hidden, intermediate, shape.mlp_bias),
        ] {
            add(name(&format!("{linear}.weight")), rows, Some(columns), at);
            if bias {
                add(name(&format!("{linear}.bias")), rows, None, at);
            }
        }
    }
    parts
}

/// Values that a low-rank difference adds to a tensor.
fn added(method: &Method, part: &Part) -> usize {
    let (Method::Lora(lora), Some(columns), Some(_)) = (method, part.columns, part.layer) else { return 0 };
    let linear = part.name.trim_end_matches(".weight");
    if !lora.targets.contain(linear) {
        return 0;
    }
    lora.rank * (part.rows + columns) + if lora.dora { part.rows } else { 0 }
}

/// Bytes of a tensor that is not trained.
fn bytes(part: &Part, precision: Precision, quantization: Option<Quantization>) -> u64 {
    let values = part.values();
    let quantization = quantization.filter(|own| own.covers(part.layer.is_some()));
    let bytes = match (part.columns, quantization) {
        // Norms and biases are kept in 32 bits.
        (None, _) => 4 * values,
        (Some(_), Some(Quantization::Nf4 { double, .. })) => {
            let scales = values.div_ceil(NF4_BLOCK);
            let scales = if double { scales + 4 * scales.div_ceil(NF4_SCALES) + 4 } else { 4 * scales };
            values.div_ceil(2) + scales
        }
        (Some(_), Some(Quantization::Int8)) => values + 4 * part.rows,
        (Some(_), None) => precision.dtype().size_in_bytes() * values,
    };
    bytes as u64
}
