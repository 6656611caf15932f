//! Models as GGUF files and as folders: what is written computes what it was made from, within its type's rounding.
#![allow(clippy::unwrap_used, reason = "tests")]

mod decoder_support;
mod training_support;

use std::fs;
use std::path::Path;

use candle_core::Tensor;
use candle_core::quantized::gguf_file::Value;
use decoder_support::{fixtures, logits, open, relative};
use lore_models::adapter::{self, BaseValues, MergeOptions, OutputFormat};
use lore_models::decoder::{DecoderConfig, Rope, RopeScaling};
use lore_models::export::gguf::{GgufType, export_gguf};
use lore_models::export::{FloatType, save_model, save_model_as};
use lore_models::training::{FreezeOptions, Layers, Method, Precision, TrainNet, TrainOptions};
use lore_models::weights::{DecoderWeights, GgufFile, RawMatrix};
use training_support::{scattered, tiny};

const TOKENS: [u32; 16] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 58, 97, 93, 23, 84, 62];

fn full(method: Method) -> TrainOptions {
    TrainOptions { precision: Precision::Fp32, ..TrainOptions::new(method) }
}

#[test]
fn a_gguf_file_computes_what_it_was_made_from() {
    for family in ["llama", "mistral", "qwen3", "smollm", "llama-bias"] {
        let base = fixtures().join(family);
        let expected = logits(&open(&base), &TOKENS, 16);
        for (kind, most) in [
            (GgufType::F32, 1e-5),
            (GgufType::F16, 2e-3),
            (GgufType::Bf16, 2e-2),
            (GgufType::Q8_0, 5e-2),
            (GgufType::Q4K, 1e-1),
        ] {
            let place = tempfile::tempdir().unwrap();
            let file = place.path().join("model.gguf");
            export_gguf(&base, &file, kind).unwrap();
            let off = relative(&logits(&open(&file), &TOKENS, 16), &expected);
            eprintln!("{family} {kind:?}: {off:.1e}");
            assert!(off <= most, "{family} {kind:?}: off by {off:.1e}");
            assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
            // And as a base of another GGUF file.
            let again = place.path().join("again.gguf");
            export_gguf(&file, &again, kind).unwrap();
            let twice = logits(&open(&again), &TOKENS, 16);
            assert!(relative(&twice, &logits(&open(&file), &TOKENS, 16)) <= 1e-6, "{family} {kind:?}");
        }
    }
}

#[test]
fn what_gguf_has_no_place_for_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("model.gguf");
    let error = export_gguf(&fixtures().join("qwen2"), &out, GgufType::F16).unwrap_err().to_string();
    assert!(error.contains("different windows"), "{error}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn rotations_of_long_contexts_survive() {
    let base = fixtures().join("llama");
    for config in ["config_linear.json", "config_llama3.json", "config_yarn.json"] {
        let place = tempfile::tempdir().unwrap();
        fs::copy(base.join("model.safetensors"), place.path().join("model.safetensors")).unwrap();
        fs::copy(base.join(config), place.path().join("config.json")).unwrap();
        let out = tempfile::tempdir().unwrap();
        let file = out.path().join("model.gguf");
        export_gguf(place.path(), &file, GgufType::F32).unwrap();
        let tokens: Vec<u32> = (0..100).map(|i| i * 37 % 160).collect();
        let off = relative(&logits(&open(&file), &tokens, 100), &logits(&open(place.path()), &tokens, 100));
        assert!(off < 1e-5, "{config}: {off:.1e}");
    }
}

/// A config whose rows are whole blocks of 256.
fn wide() -> DecoderConfig {
    DecoderConfig {
        architecture: "qwen3".into(),
        vocabulary: 96,
        hidden: 256,
        intermediate: 512,
        head_dim: 64,
        windows: vec![None; 8],
        norm_epsilon: 1e-6,
        rope: Rope { theta: 10_000.0, scaling: RopeScaling::Default },
        qkv_bias: false,
        output_bias: false,
        mlp_bias: false,
        tied: true,
        context: 128,
        ..tiny()
    }
}

/// The `config.json` of [`wide`].
fn write_config(folder: &Path) {
    let json = serde_json::json!({
        "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "vocab_size": 96, "hidden_size": 256,
        "intermediate_size": 512, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
        "num_hidden_layers": 8, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": true,
        "max_position_embeddings": 128, "hidden_act": "silu", "dtype": "bfloat16",
    });
    fs::write(folder.join("config.json"), json.to_string()).unwrap();
}

#[test]
fn a_net_that_began_with_random_weights_is_saved_with_its_configuration() {
    let net = TrainNet::random(wide(), 0.05, full(Method::Full)).unwrap();
    let (base, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_config(base.path());
    fs::write(base.path().join("generation_config.json"), "{}").unwrap();
    let out = place.path().join("model");
    save_model(&net, base.path(), &out).unwrap();
    assert!(out.join("generation_config.json").is_file());
    let weights = DecoderWeights::open(&out).unwrap();
    assert_eq!(weights.config().unwrap(), wide());
    // In the type that the configuration names.
    assert!(matches!(weights.matrix("model.embed_tokens.weight", 96, 256).unwrap(), RawMatrix::Bf16(_)));
    let whole = place.path().join("whole");
    save_model_as(&net, base.path(), &whole, FloatType::F32).unwrap();
    let again = TrainNet::open(&whole, full(Method::Full)).unwrap();
    for (own, again) in net.parameters().iter().zip(again.parameters()) {
        assert_eq!(own.name, again.name);
        let bits = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(bits(own.value.as_tensor()), bits(again.value.as_tensor()), "{}", own.name);
    }
}

#[test]
fn blocks_of_256_are_chosen_as_llama_cpp_chooses_them() {
    let net = TrainNet::random(wide(), 0.05, full(Method::Full)).unwrap();
    let (base, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_config(base.path());
    let whole = place.path().join("whole");
    save_model_as(&net, base.path(), &whole, FloatType::F32).unwrap();
    let file = place.path().join("model.gguf");
    let bytes = export_gguf(&whole, &file, GgufType::Q4K).unwrap();
    assert_eq!(bytes, fs::metadata(&file).unwrap().len());
    let gguf = GgufFile::open(&file).unwrap();
    let kind = |name: &str, rows, columns| match gguf.matrix(name, rows, columns, None).unwrap() {
        RawMatrix::Quantized { kind, .. } => format!("{kind:?}"),
        other => format!("{other:?}"),
    };
    assert_eq!(kind("token_embd.weight", 96, 256), "Q6K", "it is the output layer, too");
    assert_eq!(kind("blk.0.attn_q.weight", 256, 256), "Q4K");
    // Of eight layers the first, the last, and every third of those between have finer values.
    let finer = [true, false, false, true, false, false, true, true];
    for (layer, finer) in finer.into_iter().enumerate() {
        let wanted = if finer { "Q6K" } else { "Q4K" };
        assert_eq!(kind(&format!("blk.{layer}.attn_v.weight"), 128, 256), wanted, "layer {layer}");
        assert_eq!(kind(&format!("blk.{layer}.ffn_down.weight"), 256, 512), wanted, "layer {layer}");
    }
    assert!(matches!(gguf.metadata()["general.file_type"], Value::U32(15)));
    let tokens = &TOKENS[..10];
    let off = relative(&logits(&open(&file), tokens, 10), &logits(&open(&whole), tokens, 10));
    assert!(off < 0.3, "{off:.2e}");
}

#[test]
fn layers_that_were_frozen_stay_as_they_are_in_the_file() {
    let base = fixtures().join("smollm");
    let freeze = FreezeOptions { layers: Layers::Last(1), modules: vec!["mlp".into()], extra: Vec::new() };
    let net = TrainNet::open(&base, full(Method::Freeze(freeze))).unwrap();
    scattered(&net);
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("model");
    save_model(&net, &base, &out).unwrap();
    let (own, saved) = (DecoderWeights::open(&base).unwrap(), DecoderWeights::open(&out).unwrap());
    let mut changed = 0;
    for spec in own.config().unwrap().tensors() {
        let [rows, columns] = spec.shape[..] else { continue };
        let (before, after) = (
            own.matrix(&spec.name, rows, columns).unwrap(),
            saved.matrix(&spec.name, rows, columns).unwrap(),
        );
        assert!(matches!(after, RawMatrix::Bf16(_)), "the base's own type");
        let trained = net.parameters().iter().any(|parameter| parameter.name == spec.name);
        assert_eq!(before != after, trained, "{}", spec.name);
        changed += usize::from(trained);
    }
    assert_eq!(changed, 3);
    let error = save_model(&net, &base, &out).unwrap_err().to_string();
    assert!(error.contains("exists already"), "{error}");
}

#[test]
fn an_adapter_is_merged_into_a_gguf_file_and_from_one() {
    let (base, place) = (fixtures().join("llama"), tempfile::tempdir().unwrap());
    let adapter = fixtures().parent().unwrap().join("peft/lora");
    let options = |base: &Path, out: &str, format| MergeOptions {
        adapter: adapter.clone(),
        base: base.to_owned(),
        out: place.path().join(out),
        format,
        base_values: BaseValues::Trained,
        shard_bytes: adapter::SHARD_BYTES,
        prompts: 2,
    };
    let folder = options(&base, "folder", OutputFormat::Safetensors(None));
    adapter::merge(&folder).unwrap();
    let expected = logits(&open(&folder.out), &TOKENS, 16);
    for (kind, most) in [(GgufType::F32, 1e-5), (GgufType::Q8_0, 3e-2)] {
        let direct = options(&base, &format!("{kind:?}.gguf"), OutputFormat::Gguf(kind));
        let report = adapter::merge(&direct).unwrap();
        assert_eq!(report.bytes, fs::metadata(&direct.out).unwrap().len());
        assert!(relative(&logits(&open(&direct.out), &TOKENS, 16), &expected) < most, "{kind:?}");
    }
    let plain = place.path().join("base.gguf");
    export_gguf(&base, &plain, GgufType::F16).unwrap();
    let below = options(&plain, "merged", OutputFormat::Gguf(GgufType::F16));
    adapter::merge(&below).unwrap();
    assert!(below.out.join("model.gguf").is_file());
    assert!(relative(&logits(&open(&below.out), &TOKENS, 16), &expected) < 2e-3);
    let error = adapter::merge(&options(&plain, "none", OutputFormat::Safetensors(None))).unwrap_err();
    assert!(error.to_string().contains("choose GGUF"), "{error}");
}
