//! Bottlenecks in files, and adapters of trained nets served beside the weights.
#![allow(clippy::unwrap_used, reason = "tests")]

mod decoder_support;
mod training_support;

use std::path::Path;

use decoder_support::{fixtures, logits};
use lore_models::adapter::{self, Adapter, AdapterKind, BaseValues, MergeOptions, OutputFormat};
use lore_models::decoder::{Decoder, DecoderOptions, KvType, Quantize};
use lore_models::training::{
    Batch, BottleneckActivation, BottleneckOptions, LoraOptions, Method, Precision, Quantization, TrainNet,
    TrainOptions,
};
use training_support::{relative, scattered, values};

const TOKENS: [u32; 12] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 58, 97];

fn net(base: &Path, method: Method, quantization: Option<Quantization>) -> TrainNet {
    let options = TrainOptions { precision: Precision::Fp32, quantization, ..TrainOptions::new(method) };
    TrainNet::open(base, options).unwrap()
}

fn bottleneck(activation: BottleneckActivation) -> BottleneckOptions {
    BottleneckOptions { size: 6, activation }
}

fn trained_logits(net: &TrainNet) -> Vec<f64> {
    let mut batch = Batch::default();
    batch.push(&TOKENS, &[true; TOKENS.len()]);
    values(&net.logits(&batch).unwrap())
}

fn served_logits(base: &Path, adapter: Option<&Path>) -> Vec<f64> {
    let options =
        DecoderOptions { kv: KvType::F32, adapter: adapter.map(Path::to_owned), ..DecoderOptions::default() };
    let decoder = Decoder::open(base, &options).unwrap();
    // In pieces, as an engine reads a prompt.
    logits(&decoder, &TOKENS, 5).into_iter().flatten().map(f64::from).collect()
}

#[test]
fn served_logits_are_those_of_training() {
    let lora = |dora| LoraOptions { rank: 3, dora, ..LoraOptions::default() };
    let saved = LoraOptions { modules_to_save: vec!["norm".into(), "embed_tokens".into()], ..lora(false) };
    let nf4 = Some(Quantization::nf4(true));
    for (name, method, quantization) in [
        ("llama", Method::Bottleneck(bottleneck(BottleneckActivation::Silu)), None),
        ("qwen3", Method::Bottleneck(bottleneck(BottleneckActivation::Relu)), None),
        ("qwen3", Method::Bottleneck(bottleneck(BottleneckActivation::Silu)), nf4),
        ("llama", Method::Lora(lora(false)), None),
        ("qwen2", Method::Lora(lora(true)), None),
        ("qwen3", Method::Lora(saved), Some(Quantization::Int8)),
    ] {
        let base = fixtures().join(name);
        let net = net(&base, method.clone(), quantization);
        scattered(&net);
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("adapter");
        adapter::save(&net, name, &out).unwrap();
        let (trained, served) = (trained_logits(&net), served_logits(&base, Some(&out)));
        let off = relative(&served, &trained);
        eprintln!("{name} {method:?}: {off:.1e}");
        assert!(off < 2e-5, "{name} {method:?}: off by {off:.1e}");
        assert!(relative(&served_logits(&base, None), &trained) > 1e-2, "{name}: the adapter does nothing");
        // And into a fresh net.
        let mut fresh = self::net(&base, method.clone(), quantization);
        assert!(relative(&trained_logits(&fresh), &trained) > 1e-2);
        fresh.load_adapter(&out).unwrap();
        assert_eq!(trained_logits(&fresh), trained, "{name} {method:?}");
    }
}

#[test]
fn a_bottleneck_is_of_one_size_and_is_not_merged() {
    let base = fixtures().join("llama");
    let method = Method::Bottleneck(bottleneck(BottleneckActivation::Silu));
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("adapter");
    adapter::save(&net(&base, method, None), "llama", &out).unwrap();
    let own = Adapter::open(&out).unwrap();
    assert!(matches!(own.kind(), AdapterKind::Bottleneck(options) if options.size == 6));
    assert_eq!(own.base(), Some("llama"));
    let other = BottleneckOptions { size: 5, activation: BottleneckActivation::Silu };
    let error = net(&base, Method::Bottleneck(other), None).load_adapter(&out).unwrap_err().to_string();
    assert!(error.contains("size: 6"), "{error}");
    let error = adapter::merge(&MergeOptions {
        adapter: out.clone(),
        base: base.clone(),
        out: place.path().join("merged"),
        format: OutputFormat::Safetensors(None),
        base_values: BaseValues::Trained,
        shard_bytes: adapter::SHARD_BYTES,
        prompts: 0,
    })
    .unwrap_err();
    assert!(error.to_string().contains("generator.adapter"), "{error}");
    // Beside weights of 8 bits, too.
    let options = DecoderOptions {
        quantize: Some(Quantize::Q8_0),
        adapter: Some(out.clone()),
        ..DecoderOptions::default()
    };
    let decoder = Decoder::open(&base, &options).unwrap();
    let off = relative(
        &logits(&decoder, &TOKENS, 12).into_iter().flatten().map(f64::from).collect::<Vec<_>>(),
        &served_logits(&base, Some(&out)),
    );
    assert!(off < 0.1, "{off}");
    let plain = Decoder::open(&base, &DecoderOptions::default()).unwrap();
    assert!(decoder.id() != plain.id());
    // Another base has no place for it.
    let options = DecoderOptions { adapter: Some(out), ..DecoderOptions::default() };
    let error = Decoder::open(&fixtures().join("smollm"), &options).unwrap_err().to_string();
    assert!(error.contains("another base"), "{error}");
}

#[test]
fn a_net_without_an_adapter_has_none_to_save() {
    let base = fixtures().join("llama");
    let place = tempfile::tempdir().unwrap();
    let error = adapter::save(&net(&base, Method::Full, None), "llama", &place.path().join("a")).unwrap_err();
    assert!(error.to_string().contains("saved whole"), "{error}");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}
