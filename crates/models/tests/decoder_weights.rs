//! Configurations and weights of decoders: what files say, and what is said of files that are wrong.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use lore_models::decoder::{DecoderConfig, Rope, RopeScaling};
use lore_models::weights::{DecoderWeights, RawMatrix};
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value as Json, json};

fn small() -> Json {
    json!({
        "model_type": "llama", "vocab_size": 32, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
    })
}

/// `small` with other keys; `null` takes a key away.
fn with(changes: Json) -> Json {
    let mut config = small();
    for (key, value) in changes.as_object().unwrap() {
        if value == "absent" {
            config.as_object_mut().unwrap().remove(key);
        } else {
            config[key] = value.clone();
        }
    }
    config
}

fn folder(config: &Json, tensors: &[(&str, Vec<usize>, Vec<f32>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(.., values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views: HashMap<_, _> = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), bytes)| (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()))
        .collect();
    safetensors::serialize_to_file(views, None, &folder.path().join("model.safetensors")).unwrap();
    folder
}

fn read(config: &Json) -> Result<DecoderConfig, String> {
    let folder = folder(config, &[("model.norm.weight", vec![1], vec![1.0])]);
    let weights = DecoderWeights::open(folder.path()).unwrap();
    weights.config().map_err(|error| error.to_string())
}

#[test]
fn each_family_has_its_options_and_defaults() {
    let llama = read(&small()).unwrap();
    let expected = DecoderConfig {
        architecture: "llama".into(),
        vocabulary: 32,
        hidden: 64,
        intermediate: 96,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        windows: vec![None; 3],
        norm_epsilon: 1e-6,
        rope: Rope { theta: 10_000.0, scaling: RopeScaling::Default },
        qkv_bias: false,
        output_bias: false,
        mlp_bias: false,
        qk_norm: false,
        tied: true, // nothing says otherwise, and there is no output layer
        context: 128,
    };
    assert_eq!(llama, expected);
    let biased =
        read(&with(json!({"attention_bias": true, "mlp_bias": true, "tie_word_embeddings": false}))).unwrap();
    assert!(biased.qkv_bias && biased.output_bias && biased.mlp_bias && !biased.tied);
    assert_eq!(
        read(&with(json!({"sliding_window": 8}))).unwrap().windows,
        [None; 3],
        "transformers' llama has none"
    );

    let mistral = with(json!({"model_type": "mistral", "head_dim": 32, "num_key_value_heads": "absent",
        "num_attention_heads": 16, "sliding_window": 7}));
    let mistral = read(&mistral).unwrap();
    assert_eq!((mistral.kv_heads, mistral.head_dim, mistral.windows), (8, 32, vec![Some(7); 3]));
    let none = read(&with(json!({"model_type": "mistral", "sliding_window": null}))).unwrap();
    assert_eq!(none.windows, [None; 3]);
    assert_eq!(read(&with(json!({"model_type": "mistral"}))).unwrap().windows, [Some(4096); 3]);

    let qwen2 =
        read(&with(json!({"model_type": "qwen2", "sliding_window": 9, "attention_bias": false}))).unwrap();
    assert!(qwen2.qkv_bias && !qwen2.output_bias && !qwen2.qk_norm);
    assert_eq!(qwen2.windows, [None; 3], "a window that is not switched on");
    let upper = json!({"model_type": "qwen2", "sliding_window": 9, "use_sliding_window": true, "max_window_layers": 2});
    assert_eq!(read(&with(upper)).unwrap().windows, [None, None, Some(9)]);
    let listed = json!({"model_type": "qwen3", "sliding_window": 9, "use_sliding_window": true,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]});
    let qwen3 = read(&with(listed)).unwrap();
    assert_eq!(qwen3.windows, [Some(9), None, Some(9)]);
    assert!(qwen3.qk_norm && !qwen3.qkv_bias);
    assert_eq!(qwen3.head_dim, 128, "qwen3's default");
}

#[test]
fn rope_is_read_from_the_keys_of_transformers_4_and_5() {
    let rope = |changes| read(&with(changes)).unwrap().rope;
    assert_eq!(rope(json!({"rope_theta": 5e5})), Rope { theta: 5e5, scaling: RopeScaling::Default });
    let five = rope(json!({"rope_parameters": {"rope_theta": 1_000_000, "rope_type": "default"}}));
    assert_eq!(five, Rope { theta: 1e6, scaling: RopeScaling::Default });
    let linear = rope(json!({"rope_theta": 1e4, "rope_scaling": {"type": "linear", "factor": 4}}));
    assert_eq!(linear.scaling, RopeScaling::Linear { factor: 4.0 });
    let llama3 = rope(json!({"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", "factor": 8.0,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}}));
    let expected = RopeScaling::Llama3 {
        factor: 8.0,
        low_frequency_factor: 1.0,
        high_frequency_factor: 4.0,
        original_context: 8192,
    };
    assert_eq!(llama3, Rope { theta: 5e5, scaling: expected });
    let yarn = rope(json!({"rope_parameters": {"rope_theta": 1e6, "rope_type": "yarn", "factor": 4.0,
        "original_max_position_embeddings": 32, "truncate": false}}));
    let expected = RopeScaling::Yarn {
        factor: 4.0,
        beta_fast: 32.0,
        beta_slow: 1.0,
        original_context: 32,
        attention_factor: 0.1 * 4.0f64.ln() + 1.0,
        truncate: false,
    };
    assert_eq!(yarn.scaling, expected);
    let scaled = rope(json!({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "attention_factor": 1.5}}));
    let RopeScaling::Yarn { attention_factor, original_context, .. } = scaled.scaling else { panic!() };
    assert_eq!((attention_factor, original_context), (1.5, 128));
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let refused = [
        (
            json!({"model_type": "gpt_neox"}),
            "model_type \"gpt_neox\" (known are llama, mistral, qwen2, qwen3, ",
        ),
        (json!({"hidden_act": "gelu"}), "hidden_act \"gelu\" (known is silu)"),
        (
            json!({"rope_scaling": {"rope_type": "longrope"}}),
            "rope scaling \"longrope\" (known are default, linear",
        ),
        (json!({"rope_scaling": {"rope_type": "llama3", "factor": 8}}), "no low_freq_factor"),
        (json!({"rope_scaling": {"rope_type": "linear", "factor": 0}}), "factor 0"),
        (json!({"rope_scaling": 7}), "rope_scaling is not an object"),
        (json!({"partial_rotary_factor": 0.5}), "partial_rotary_factor"),
        (json!({"quantization_config": {"quant_method": "gptq"}}), "weights quantised by gptq"),
        (json!({"vocab_size": "absent"}), "no vocab_size"),
        (json!({"vocab_size": 0}), "vocabulary is 0"),
        (json!({"hidden_size": "wide"}), "hidden_size is not a whole number"),
        (json!({"hidden_size": -4}), "hidden_size is not a whole number"),
        (json!({"num_attention_heads": 0}), "0 attention heads"),
        (json!({"num_attention_heads": 3}), "3 attention heads do not divide hidden_size 64"),
        (json!({"num_key_value_heads": 3}), "3 key-value heads do not divide 4"),
        (json!({"num_hidden_layers": 1e12}), "num_hidden_layers is 1000000000000"),
        (json!({"head_dim": 15}), "head length 15 is odd"),
        (json!({"model_type": "mistral", "sliding_window": 0}), "window is 0"),
        (json!({"rms_norm_eps": -1}), "epsilon is -1"),
        (json!({"rope_theta": 0}), "theta is 0"),
        (json!({"layer_types": ["full_attention"]}), "layer_types does not list 3 layers"),
    ];
    for (changes, expected) in refused {
        let error = read(&with(changes.clone())).unwrap_err();
        assert!(error.contains(expected), "{changes}: {error}");
        assert!(error.contains("config.json"), "{changes}: {error}");
    }
}

/// A GGUF file of random numbers for a net of two layers, 32 wide, with 4 heads of 8 and 2 for keys and values.
fn write_gguf(path: &Path, architecture: &str, kind: GgmlDType, extra: &[(&str, Value)]) {
    let (hidden, inner, vocabulary, layers) = (32, 64, 40, 2);
    let key = |name: &str| format!("{architecture}.{name}");
    let mut metadata = vec![
        ("general.architecture".to_owned(), Value::String(architecture.into())),
        (key("context_length"), Value::U32(64)),
        (key("embedding_length"), Value::U32(hidden)),
        (key("block_count"), Value::U32(layers)),
        (key("feed_forward_length"), Value::U32(inner)),
        (key("attention.head_count"), Value::U32(4)),
        (key("attention.head_count_kv"), Value::U32(2)),
        (key("attention.layer_norm_rms_epsilon"), Value::F32(1e-5)),
        (
            "tokenizer.ggml.tokens".to_owned(),
            Value::Array(vec![Value::String("a".into()), Value::String("b".into())]),
        ),
    ];
    for (name, value) in extra {
        metadata.retain(|(key, _)| key != name);
        metadata.push(((*name).to_owned(), value.clone()));
    }
    let (hidden, inner) = (hidden as usize, inner as usize);
    let mut tensors = vec![("token_embd.weight".to_owned(), vec![vocabulary, hidden])];
    tensors.push(("output_norm.weight".to_owned(), vec![hidden]));
    for layer in 0..layers {
        for (name, rows, columns) in [
            ("attn_q", hidden, hidden),
            ("attn_k", hidden / 2, hidden),
            ("attn_v", hidden / 2, hidden),
            ("attn_output", hidden, hidden),
            ("ffn_gate", inner, hidden),
            ("ffn_up", inner, hidden),
            ("ffn_down", hidden, inner),
        ] {
            tensors.push((format!("blk.{layer}.{name}.weight"), vec![rows, columns]));
        }
        tensors.push((format!("blk.{layer}.attn_norm.weight"), vec![hidden]));
        tensors.push((format!("blk.{layer}.ffn_norm.weight"), vec![hidden]));
    }
    let quantised: Vec<_> = tensors
        .iter()
        .map(|(name, shape)| {
            let count: usize = shape.iter().product();
            // Each row begins with its number, so that a test sees where it went.
            let columns = shape[shape.len() - 1];
            let values: Vec<f32> = (0..count)
                .map(|i| if i % columns == 0 { (i / columns) as f32 } else { (i % 13) as f32 * 0.25 })
                .collect();
            let tensor = Tensor::from_vec(values, shape.clone(), &Device::Cpu).unwrap();
            let kind = if shape.len() == 1 { GgmlDType::F32 } else { kind };
            (name.as_str(), QTensor::quantize(&tensor, kind).unwrap())
        })
        .collect();
    let tensors: Vec<_> = quantised.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    gguf_file::write(&mut File::create(path).unwrap(), &metadata, &tensors).unwrap();
}

fn gguf(architecture: &str, kind: GgmlDType, extra: &[(&str, Value)]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    write_gguf(&path, architecture, kind, extra);
    (folder, path)
}

#[test]
fn a_gguf_file_says_what_the_net_is() {
    let (folder, path) = gguf("llama", GgmlDType::F32, &[]);
    let weights = DecoderWeights::open(&path).unwrap();
    let config = weights.config().unwrap();
    assert_eq!((config.vocabulary, config.hidden, config.intermediate), (40, 32, 64));
    assert_eq!((config.heads, config.kv_heads, config.head_dim, config.layers()), (4, 2, 8, 2));
    assert_eq!(config.rope, Rope { theta: 10_000.0, scaling: RopeScaling::Default });
    assert!(config.tied && !config.qkv_bias && !config.qk_norm);
    assert_eq!(weights.metadata().unwrap()["tokenizer.ggml.tokens"].to_vec().unwrap().len(), 2);
    assert!(weights.contains("model.layers.1.mlp.down_proj.weight"));
    assert!(!weights.contains("lm_head.weight") && !weights.contains("model.layers.2.mlp.down_proj.weight"));
    let by_folder = DecoderWeights::open(folder.path()).unwrap();
    assert_eq!(by_folder.config().unwrap(), config);
    assert_eq!(by_folder.fingerprint().unwrap(), weights.fingerprint().unwrap());

    let extra = [
        ("qwen3.attention.key_length", Value::U32(8)),
        ("qwen3.attention.head_count_kv", Value::Array(vec![Value::I32(2), Value::I32(2)])),
        ("qwen3.rope.freq_base", Value::F32(1e6)),
        ("qwen3.rope.scaling.type", Value::String("yarn".into())),
        ("qwen3.rope.scaling.factor", Value::F32(4.0)),
        ("qwen3.rope.scaling.original_context_length", Value::U32(32)),
    ];
    let (_folder, path) = gguf("qwen3", GgmlDType::F32, &extra);
    let config = DecoderWeights::open(&path).unwrap().config().unwrap();
    let RopeScaling::Yarn { factor, original_context, attention_factor, truncate, .. } = config.rope.scaling
    else {
        panic!()
    };
    assert_eq!((config.rope.theta, factor, original_context, truncate), (1e6, 4.0, 32, true));
    assert!((attention_factor - (0.1 * 4.0f64.ln() + 1.0)).abs() < 1e-12);
}

#[test]
fn a_gguf_file_that_asks_for_more_is_refused_by_name() {
    let cases = [
        (
            "general.architecture",
            Value::String("gemma3".into()),
            "architecture \"gemma3\" (known are llama, qwen2",
        ),
        ("llama.expert_count", Value::U32(8), "experts"),
        ("llama.rope.scaling.type", Value::String("longrope".into()), "rope scaling \"longrope\""),
        ("llama.rope.dimension_count", Value::U32(4), "rope.dimension_count"),
        ("llama.attention.value_length", Value::U32(4), "values of another length"),
        ("llama.attention.head_count", Value::U32(0), "0 attention heads"),
        (
            "llama.attention.head_count",
            Value::String("4".into()),
            "llama.attention.head_count is not a whole",
        ),
        (
            "llama.attention.head_count_kv",
            Value::Array(vec![Value::U32(2), Value::U32(1)]),
            "layers that differ",
        ),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(f32::NAN), "epsilon is NaN"),
        ("llama.block_count", Value::U32(u32::MAX), "block_count is 4294967295"),
        ("llama.context_length", Value::U32(0), "context length is 0"),
    ];
    for (key, value, expected) in cases {
        let (_folder, path) = gguf("llama", GgmlDType::F32, &[(key, value)]);
        let error = DecoderWeights::open(&path).unwrap().config().unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("tiny.gguf"), "{key}: {error}");
    }
    for (key, value, expected) in [
        ("general.alignment", Value::U32(0), "general.alignment is U32(0)"),
        ("split.count", Value::U16(3), "split over 3 files"),
    ] {
        let (_folder, path) = gguf("llama", GgmlDType::F32, &[(key, value)]);
        let error = DecoderWeights::open(&path).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("tiny.gguf"), "{key}: {error}");
    }
}

/// The first value of each row, for the types of which a row's first value is plain to see.
fn first_column(matrix: &RawMatrix, rows: usize, columns: usize) -> Vec<f32> {
    let at = |row: usize| match matrix {
        RawMatrix::F32(values) => values[row * columns],
        RawMatrix::F16(values) => values[row * columns].to_f32(),
        RawMatrix::Bf16(values) => values[row * columns].to_f32(),
        RawMatrix::Quantized { kind, bytes } => {
            let stride = columns / kind.block_size() * kind.type_size();
            assert_eq!(bytes.len(), rows * stride);
            let row = &bytes[row * stride..(row + 1) * stride];
            let storage = kind.from_data(std::borrow::Cow::Borrowed(row));
            let values = storage.dequantize(columns).unwrap();
            values.as_slice::<f32>().unwrap()[0]
        }
    };
    (0..rows).map(at).collect()
}

#[test]
fn the_rows_of_q_and_k_of_the_llama_architecture_are_put_back_in_two_halves() {
    let two_halves = [0, 2, 4, 6, 1, 3, 5, 7].map(|row| row as f32);
    for kind in [GgmlDType::F32, GgmlDType::F16, GgmlDType::BF16, GgmlDType::Q8_0, GgmlDType::Q4_0] {
        let (_folder, path) = gguf("llama", kind, &[]);
        let weights = DecoderWeights::open(&path).unwrap();
        let column = |name: &str, rows| {
            let name = format!("model.layers.1.self_attn.{name}.weight");
            let column = first_column(&weights.matrix(&name, rows, 32).unwrap(), rows, 32);
            column.into_iter().map(f32::round).collect::<Vec<_>>()
        };
        let (q, k, v) = (column("q_proj", 32), column("k_proj", 16), column("v_proj", 16));
        for (row, value) in q.iter().chain(&k).enumerate() {
            let row = if row < 32 { row } else { row - 32 };
            let expected = two_halves[row % 8] + (row / 8 * 8) as f32;
            assert!(
                (value - expected).abs() < if kind == GgmlDType::Q4_0 { 2.0 } else { 0.5 },
                "{kind:?} row {row}: {value}"
            );
        }
        assert!((v[9] - 9.0).abs() < 1.0);
        let (_folder, path) = gguf("qwen2", kind, &[]);
        let weights = DecoderWeights::open(&path).unwrap();
        let q = weights.matrix("model.layers.1.self_attn.q_proj.weight", 32, 32).unwrap();
        assert!((first_column(&q, 32, 32)[9] - 9.0).abs() < 1.0, "qwen2 is not interleaved");
    }
}

#[test]
fn a_missing_or_misshapen_tensor_is_an_error_that_names_it() {
    let (_folder, path) = gguf("llama", GgmlDType::Q8_0, &[]);
    let tensors = [("model.embed_tokens.weight", vec![2, 3], vec![0.0; 6])];
    let hf = folder(&small(), &tensors);
    for weights in [DecoderWeights::open(&path).unwrap(), DecoderWeights::open(hf.path()).unwrap()] {
        let shown = weights.path().display().to_string();
        let errors = [
            (weights.matrix("model.embed_tokens.weight", 7, 32).unwrap_err(), "[7, 32]"),
            (weights.matrix("lm_head.weight", 7, 32).unwrap_err(), "absent"),
            (weights.vector("model.layers.9.self_attn.q_proj.bias", 7).unwrap_err(), "absent"),
            (weights.vector("model.embed_tokens.weight", 7).unwrap_err(), "[7]"),
        ];
        for (error, expected) in errors {
            let error = error.to_string();
            assert!(error.contains(expected) && error.contains(&shown), "{error}");
        }
    }
    let weights = DecoderWeights::open(hf.path()).unwrap();
    assert_eq!(weights.matrix("model.embed_tokens.weight", 2, 3).unwrap(), RawMatrix::F32(vec![0.0; 6]));
}

/// Everything that a loader would ask of a file; errors are welcome, panics are not.
fn load(path: &Path) {
    let Ok(weights) = DecoderWeights::open(path) else { return };
    let _ = weights.fingerprint();
    let Ok(config) = weights.config() else { return };
    let _ = weights.matrix("model.embed_tokens.weight", config.vocabulary, config.hidden);
    let _ = weights.vector("model.norm.weight", config.hidden);
    for layer in 0..config.layers() {
        let (q, kv) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        let _ = weights.matrix(&name("self_attn.q_proj"), q, config.hidden);
        let _ = weights.matrix(&name("self_attn.k_proj"), kv, config.hidden);
        let _ = weights.matrix(&name("mlp.down_proj"), config.hidden, config.intermediate);
    }
}

#[test]
fn a_gguf_file_that_is_cut_off_anywhere_is_an_error() {
    let (folder, path) = gguf("llama", GgmlDType::Q8_0, &[]);
    let bytes = std::fs::read(&path).unwrap();
    let cut = folder.path().join("cut.gguf");
    let end = bytes.len() - 64; // the last tensor's padding may go
    for length in (0..4096.min(end)).step_by(7).chain((4096..end).step_by(211)) {
        std::fs::write(&cut, &bytes[..length]).unwrap();
        let error = DecoderWeights::open(&cut).unwrap_err().to_string();
        assert!(error.contains("cut.gguf"), "{error}");
    }
}

fn tiny() -> &'static [u8] {
    static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    BYTES.get_or_init(|| {
        let (_folder, path) = gguf("llama", GgmlDType::Q8_0, &[]);
        std::fs::read(path).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_gguf_file_never_panics(
        edits in prop::collection::vec((0usize..2600, prop_oneof![any::<u8>(), Just(0), Just(255)]), 1..6),
        wide in prop::option::of((0usize..2600, prop_oneof![Just(u64::MAX), Just(1 << 62), Just(1 << 40), any::<u64>()])),
    ) {
        let mut bytes = tiny().to_vec();
        for (place, value) in edits {
            bytes[place] = value;
        }
        if let Some((place, value)) = wide {
            bytes[place..place + 8].copy_from_slice(&value.to_le_bytes());
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damaged.gguf");
        std::fs::write(&path, bytes).unwrap();
        load(&path);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_tensor_that_was_copied_leaves_no_pages_of_its_file_in_memory() {
    let (rows, columns) = (4096, 1024);
    let values: Vec<f32> = (0..rows * columns).map(|i| (i % 1000) as f32).collect();
    let folder = folder(&small(), &[("lm_head.weight", vec![rows, columns], values.clone())]);
    let weights = DecoderWeights::open(folder.path()).unwrap();
    assert_eq!(weights.matrix("lm_head.weight", rows, columns).unwrap(), RawMatrix::F32(values));
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let file = folder.path().join("model.safetensors");
    let of_file = maps.split_once(file.to_str().unwrap()).unwrap().1;
    let line = of_file.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
    let kib: usize = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    assert!(kib < 1024, "{kib} KiB of 16 MiB are still there");
}
