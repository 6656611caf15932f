//! A tiny language model with random weights: it writes nonsense, and everything around it is real.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

const HIDDEN: usize = 64;
const INNER: usize = 128;
const LAYERS: usize = 2;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD: usize = HIDDEN / HEADS;
/// 256 bytes and two special tokens, filled up.
const VOCABULARY: usize = 264;

/// Writes the model's folder into `place`: Llama's shape, a token for each byte, ChatML.
pub fn llama(place: &Path) -> PathBuf {
    named(place, "tiny-llama", 7)
}

/// The same under another name, with weights that begin with `seed`.
pub fn named(place: &Path, name: &str, seed: u32) -> PathBuf {
    let folder = place.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, value: &Value| std::fs::write(folder.join(name), value.to_string()).unwrap();
    write(
        "config.json",
        &json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
            "hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": HEAD,
            "vocab_size": VOCABULARY, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0, "tie_word_embeddings": true, "torch_dtype": "float32", "eos_token_id": 257,
        }),
    );
    write("generation_config.json", &json!({"eos_token_id": 257}));
    write(
        "tokenizer_config.json",
        &json!({
            "eos_token": "<|im_end|>",
            "chat_template": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        }),
    );
    write("tokenizer.json", &tokenizer());
    std::fs::write(folder.join("model.safetensors"), weights(seed)).unwrap();
    folder
}

/// A byte-level tokenizer without merges.
fn tokenizer() -> Value {
    let mut vocabulary = Map::new();
    let mut beyond = 0;
    for byte in 0..=255_u32 {
        // The characters that GPT-2's byte-level tokenizer writes bytes as: printable ones stand for themselves.
        let own = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let code = if own { byte } else { 0x100 + beyond };
        beyond += u32::from(!own);
        vocabulary.insert(char::from_u32(code).unwrap().to_string(), byte.into());
    }
    let special = |id: u32, content: &str| {
        json!({"id": id, "content": content, "special": true, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false})
    };
    let level =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "added_tokens": [special(256, "<|im_start|>"), special(257, "<|im_end|>")],
        "pre_tokenizer": level, "decoder": level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary, "merges": []},
    })
}

/// All tensors as one safetensors file: the length of a JSON header, the header, 32-bit floats.
fn weights(seed: u32) -> Vec<u8> {
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCABULARY, HIDDEN]),
        ("model.norm.weight".to_owned(), vec![HIDDEN]),
    ];
    for layer in 0..LAYERS {
        for (name, shape) in [
            ("input_layernorm", vec![HIDDEN]),
            ("post_attention_layernorm", vec![HIDDEN]),
            ("self_attn.q_proj", vec![HIDDEN, HIDDEN]),
            ("self_attn.k_proj", vec![KV_HEADS * HEAD, HIDDEN]),
            ("self_attn.v_proj", vec![KV_HEADS * HEAD, HIDDEN]),
            ("self_attn.o_proj", vec![HIDDEN, HIDDEN]),
            ("mlp.gate_proj", vec![INNER, HIDDEN]),
            ("mlp.up_proj", vec![INNER, HIDDEN]),
            ("mlp.down_proj", vec![HIDDEN, INNER]),
        ] {
            shapes.push((format!("model.layers.{layer}.{name}.weight"), shape));
        }
    }
    let (mut header, mut data) = (Map::new(), Vec::new());
    let mut state = seed;
    for (name, shape) in shapes {
        let start = data.len();
        for _ in 0..shape.iter().product() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = if shape.len() == 1 { 1.0 } else { (state >> 8) as f32 / (1 << 23) as f32 - 1.0 };
            data.extend_from_slice(&(value * if shape.len() == 1 { 1.0 } else { 0.2 }).to_le_bytes());
        }
        header.insert(name, json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]}));
    }
    let mut header = Value::Object(header).to_string();
    header.extend(std::iter::repeat_n(' ', (8 - header.len() % 8) % 8));
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(&data);
    out
}
