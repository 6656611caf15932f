//! The tensors that a decoder's files hold, by Hugging Face's names.

use super::DecoderConfig;

/// A tensor's name and shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Such as `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// `[rows, columns]`, or the length of a vector.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    fn new(name: impl Into<String>, shape: &[usize]) -> Self {
        Self { name: name.into(), shape: shape.to_vec() }
    }

    /// Number of values.
    pub fn values(&self) -> usize {
        self.shape.iter().product()
    }

    /// Rows and columns; a vector is one row.
    pub fn sides(&self) -> (usize, usize) {
        match self.shape[..] {
            [rows, columns] => (rows, columns),
            _ => (1, self.values()),
        }
    }

    /// The module that a matrix or bias belongs to: its name without the last part.
    pub fn module(&self) -> &str {
        self.name.rsplit_once('.').map_or(self.name.as_str(), |(module, _)| module)
    }

    /// The layer that it belongs to, if any.
    pub fn layer(&self) -> Option<usize> {
        self.name.strip_prefix("model.layers.")?.split_once('.')?.0.parse().ok()
    }

    /// Whether it is the weight of a linear of a layer.
    pub fn is_layer_linear(&self) -> bool {
        self.shape.len() == 2 && self.name.starts_with("model.layers.")
    }
}

impl DecoderConfig {
    /// The linears of layer `layer`: name, outputs, inputs, and whether there is a bias.
    pub fn linears(&self, layer: usize) -> [(String, usize, usize, bool); 7] {
        let Self { hidden, intermediate, heads, kv_heads, head_dim, .. } = *self;
        let (queries, keys) = (heads * head_dim, kv_heads * head_dim);
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        [
            (name("self_attn.q_proj"), queries, hidden, self.qkv_bias),
            (name("self_attn.k_proj"), keys, hidden, self.qkv_bias),
            (name("self_attn.v_proj"), keys, hidden, self.qkv_bias),
            (name("self_attn.o_proj"), hidden, queries, self.output_bias),
            (name("mlp.gate_proj"), intermediate, hidden, self.mlp_bias),
            (name("mlp.up_proj"), intermediate, hidden, self.mlp_bias),
            (name("mlp.down_proj"), hidden, intermediate, self.mlp_bias),
        ]
    }

    /// Every tensor, from the embedding to the output layer.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let Self { vocabulary, hidden, head_dim, .. } = *self;
        let mut all = vec![TensorSpec::new("model.embed_tokens.weight", &[vocabulary, hidden])];
        for layer in 0..self.layers() {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            all.push(TensorSpec::new(name("input_layernorm.weight"), &[hidden]));
            for (index, (module, rows, columns, bias)) in self.linears(layer).into_iter().enumerate() {
                if index == 4 {
                    all.push(TensorSpec::new(name("post_attention_layernorm.weight"), &[hidden]));
                }
                all.push(TensorSpec::new(format!("{module}.weight"), &[rows, columns]));
                if bias {
                    all.push(TensorSpec::new(format!("{module}.bias"), &[rows]));
                }
                if index == 3 && self.qk_norm {
                    all.push(TensorSpec::new(name("self_attn.q_norm.weight"), &[head_dim]));
                    all.push(TensorSpec::new(name("self_attn.k_norm.weight"), &[head_dim]));
                }
            }
        }
        all.push(TensorSpec::new("model.norm.weight", &[hidden]));
        if !self.tied {
            all.push(TensorSpec::new("lm_head.weight", &[vocabulary, hidden]));
        }
        all
    }
}
