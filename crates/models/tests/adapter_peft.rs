//! Adapters that PEFT made (`fixtures/peft/make.py`): served beside the weights, merged, loaded to train on, saved again.
#![allow(clippy::unwrap_used, reason = "tests")]

mod decoder_support;

use std::fs;
use std::path::{Path, PathBuf};

use decoder_support::{apart, fixtures, logits};
use lore_models::adapter::{
    self, Adapter, AdapterKind, BaseValues, MergeOptions, MergeReport, OutputFormat, merge,
};
use lore_models::decoder::{Decoder, DecoderOptions, KvType};
use lore_models::export::FloatType;
use lore_models::export::gguf::GgufType;
use lore_models::training::{LoraOptions, Method, Precision, Quantization, Targets, TrainNet, TrainOptions};
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Case {
    name: String,
    base: String,
    prompt: Vec<u32>,
    linear: String,
    std: f32,
}

fn peft() -> PathBuf {
    fixtures().parent().unwrap().join("peft")
}

fn cases() -> Vec<Case> {
    serde_json::from_slice(&fs::read(peft().join("cases.json")).unwrap()).unwrap()
}

impl Case {
    fn base(&self) -> PathBuf {
        fixtures().join(&self.base)
    }

    fn adapter(&self) -> PathBuf {
        peft().join(&self.name)
    }

    /// A tensor of what PEFT computed.
    fn expected(&self, name: &str) -> Vec<Vec<f32>> {
        table(&peft().join(format!("{}.safetensors", self.name)), name)
    }

    /// The gate for f32 logits.
    fn most(&self) -> f32 {
        2e-6 * (self.std / 0.16).max(1.0)
    }
}

fn table(file: &Path, name: &str) -> Vec<Vec<f32>> {
    let bytes = fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = tensors.tensor(name).unwrap();
    let values: Vec<f32> =
        tensor.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    values.chunks(*tensor.shape().last().unwrap()).map(<[f32]>::to_vec).collect()
}

fn open(path: &Path, adapter: Option<&Path>) -> Decoder {
    let adapter = adapter.map(Path::to_owned);
    Decoder::open(path, &DecoderOptions { kv: KvType::F32, adapter, ..DecoderOptions::default() }).unwrap()
}

fn options(adapter: &Path, base: &Path, out: &Path) -> MergeOptions {
    MergeOptions {
        adapter: adapter.to_owned(),
        base: base.to_owned(),
        out: out.to_owned(),
        format: OutputFormat::Safetensors(Some(FloatType::F32)),
        base_values: BaseValues::Trained,
        shard_bytes: 5_000_000_000,
        prompts: 3,
    }
}

fn merged(case: &Case, out: &Path) -> MergeReport {
    merge(&options(&case.adapter(), &case.base(), out)).unwrap()
}

fn lora_net(base: &Path, lora: LoraOptions) -> TrainNet {
    let options = TrainOptions { precision: Precision::Fp32, ..TrainOptions::new(Method::Lora(lora)) };
    TrainNet::open(base, options).unwrap()
}

/// The adapter's folder with another value in its configuration.
fn changed(case: &Case, key: &str, value: Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(case.adapter().join(adapter::VALUES_FILE), folder.path().join(adapter::VALUES_FILE)).unwrap();
    let mut config: Value =
        serde_json::from_slice(&fs::read(case.adapter().join(adapter::CONFIG_FILE)).unwrap()).unwrap();
    config[key] = value;
    fs::write(folder.path().join(adapter::CONFIG_FILE), config.to_string()).unwrap();
    folder
}

#[test]
fn logits_beside_the_weights_are_those_of_peft() {
    let cases = cases();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let decoder = open(&case.base(), Some(&case.adapter()));
        let off = apart(&logits(&decoder, &case.prompt, 7), &case.expected("logits"));
        eprintln!("{}: largest difference {off:.2e}", case.name);
        assert!(off <= case.most(), "{}: off by {off:.2e}, more than {:.2e}", case.name, case.most());
        let id = open(&case.base(), None).id().to_owned();
        assert!(decoder.id().starts_with(&format!("{id}+")), "{} {id}", decoder.id());
    }
}

#[test]
fn a_merged_model_is_that_of_peft() {
    for case in cases() {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("merged");
        let report = merged(&case, &out);
        assert_eq!(report.untied, case.name == "untied", "{}", case.name);
        let check = report.check.unwrap();
        assert!(check.largest <= check.tolerance && check.tolerance < 4e-6, "{}: {check:?}", case.name);
        let off = apart(&logits(&open(&out, None), &case.prompt, 20), &case.expected("logits"));
        eprintln!("{}: largest difference {off:.2e}", case.name);
        assert!(off <= case.most(), "{}: off by {off:.2e}, more than {:.2e}", case.name, case.most());
        let weight = table(&out.join("model.safetensors"), &format!("{}.weight", case.linear));
        let off = apart(&weight, &case.expected("merged"));
        assert!(off <= 1e-7, "{}: {} is off by {off:.2e}", case.name, case.linear);
        let config: Value = serde_json::from_slice(&fs::read(out.join("config.json")).unwrap()).unwrap();
        assert_eq!(config["dtype"], "float32");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "something temporary was left");
    }
}

#[test]
fn the_record_of_the_adapters_run_goes_with_the_merged_model() {
    let case = cases().into_iter().next().unwrap();
    let place = tempfile::tempdir().unwrap();
    let (run, out) = (place.path().join("run"), place.path().join("merged"));
    fs::create_dir_all(run.join("adapter")).unwrap();
    for name in [adapter::VALUES_FILE, adapter::CONFIG_FILE] {
        fs::copy(case.adapter().join(name), run.join("adapter").join(name)).unwrap();
    }
    fs::write(run.join("run.yaml"), "seed: 7\n").unwrap();
    let report = merge(&options(&run.join("adapter"), &case.base(), &out)).unwrap();
    assert!(report.record.is_some() && report.record_copied);
    assert_eq!(fs::read_to_string(out.join("run.yaml")).unwrap(), "seed: 7\n");
    // A file goes without.
    let file = place.path().join("merged.gguf");
    let mut options = options(&run.join("adapter"), &case.base(), &file);
    options.format = OutputFormat::Gguf(GgufType::F16);
    let report = merge(&options).unwrap();
    assert!(report.record.is_some() && !report.record_copied && file.is_file());
}

#[test]
fn an_adapter_goes_into_a_net_and_out_again() {
    for case in cases().into_iter().filter(|case| case.name != "untied") {
        let own = Adapter::open(&case.adapter()).unwrap();
        let mut net = lora_net(&case.base(), own.lora_options().unwrap());
        net.load_adapter(&case.adapter()).unwrap();
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("again");
        adapter::save(&net, "some/base", &out).unwrap();
        let again = Adapter::open(&out).unwrap();
        assert_eq!(again.base(), Some("some/base"));
        let names: Vec<&str> = again.names().collect();
        assert_eq!(names, own.names().collect::<Vec<_>>(), "{}", case.name);
        for layer in 0..net.config().layers() {
            for (linear, rows, columns, _) in net.config().linears(layer) {
                let (own, again) =
                    (own.low_rank(&linear, rows, columns), again.low_rank(&linear, rows, columns));
                let (own, again) = (own.unwrap(), again.unwrap());
                if let (Some(own), Some(again)) = (&own, &again) {
                    assert!((own.scale / again.scale - 1.0).abs() < 1e-12, "{linear}");
                }
                let bare =
                    |low: Option<lore_models::adapter::LowRank>| low.map(|low| (low.a, low.b, low.magnitude));
                assert_eq!(bare(again), bare(own), "{} {linear}", case.name);
            }
        }
        let off = apart(&logits(&open(&case.base(), Some(&out)), &case.prompt, 20), &case.expected("logits"));
        assert!(off <= case.most(), "{}: off by {off:.2e}", case.name);
    }
}

#[test]
fn an_embedding_apart_from_the_output_layer_is_no_start_for_one_that_is_both() {
    let case = cases().into_iter().find(|case| case.name == "untied").unwrap();
    let own = Adapter::open(&case.adapter()).unwrap();
    let mut net = lora_net(&case.base(), own.lora_options().unwrap());
    let error = net.load_adapter(&case.adapter()).unwrap_err().to_string();
    assert!(error.contains("merge the adapter"), "{error}");
}

#[test]
fn only_an_adapter_of_the_same_modules_is_trained_on() {
    let cases = cases();
    let case = &cases[0];
    let named = |names: &[&str]| LoraOptions {
        targets: Targets::Named(names.iter().map(|name| (*name).to_owned()).collect()),
        ..LoraOptions::default()
    };
    for (names, wanted) in [
        (&["q_proj", "v_proj"][..], "not to be trained"),
        (&["q_proj", "v_proj", "down_proj", "up_proj"], "up_proj.lora_A.weight"),
    ] {
        let error =
            lora_net(&case.base(), named(names)).load_adapter(&case.adapter()).unwrap_err().to_string();
        assert!(error.contains(wanted) && error.contains("the adapter's own targets"), "{error}");
    }
    let dora = LoraOptions { dora: true, ..named(&["q_proj", "v_proj", "down_proj"]) };
    let error = lora_net(&case.base(), dora).load_adapter(&case.adapter()).unwrap_err().to_string();
    assert!(error.contains("use_dora"), "{error}");
    let full = TrainOptions::new(Method::Full);
    let error = TrainNet::open(&case.base(), full).unwrap().load_adapter(&case.adapter()).unwrap_err();
    assert!(error.to_string().contains("it is a LoRA"), "{error}");
}

#[test]
fn what_is_not_implemented_is_named() {
    let cases = cases();
    let case = &cases[0];
    for (key, value, wanted) in [
        ("peft_type", json!("IA3"), "IA3"),
        ("bias", json!("lora_only"), "bias: lora_only"),
        ("init_lora_weights", json!("pissa"), "pissa"),
        ("task_type", json!("SEQ_CLS"), "SEQ_CLS"),
        ("lora_bias", json!(true), "lora_bias"),
        ("trainable_token_indices", json!([1, 2]), "trainable_token_indices"),
        ("layer_replication", json!([[0, 1]]), "layer_replication"),
        ("r", json!(0), "r is not a whole number"),
        ("lora_alpha", json!("eight"), "lora_alpha is not a number"),
        ("rank_pattern", json!({"(": 4}), "rank_pattern"),
        ("use_dora", json!("yes"), "use_dora"),
    ] {
        let folder = changed(case, key, value);
        let error = Adapter::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{key}: {error}");
    }
    // Settings that do not fit the tensors.
    for (key, value, wanted) in [
        ("r", json!(5), "make it [5, 48]"),
        ("use_dora", json!(true), "lora_magnitude_vector"),
        ("target_modules", json!(["q_proj", "v_proj", "down_proj", "k_proj"]), "k_proj.lora_A.weight"),
    ] {
        let folder = changed(case, key, value);
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("merged");
        let error = merge(&options(folder.path(), &case.base(), &out)).unwrap_err().to_string();
        assert!(error.contains(wanted), "{key}: {error}");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "something was left");
    }
    // Another base.
    let place = tempfile::tempdir().unwrap();
    let other = options(&cases[1].adapter(), &case.base(), &place.path().join("merged"));
    let error = merge(&other).unwrap_err().to_string();
    assert!(error.contains("another base"), "{error}");
}

#[test]
fn a_damaged_adapter_is_named() {
    let case = &cases()[0];
    let folder = changed(case, "r", json!(4));
    let file = folder.path().join(adapter::VALUES_FILE);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 9]).unwrap();
    assert!(Adapter::open(folder.path()).unwrap_err().to_string().contains("adapter_model.safetensors"));
    let mut nan = bytes.clone();
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&file, nan).unwrap();
    let place = tempfile::tempdir().unwrap();
    let error = merge(&options(folder.path(), &case.base(), &place.path().join("merged"))).unwrap_err();
    assert!(error.to_string().contains("not finite"), "{error}");
    fs::remove_file(file).unwrap();
    assert!(Adapter::open(folder.path()).unwrap_err().to_string().contains("adapter_model.safetensors"));
}

#[test]
fn a_large_model_is_written_in_parts() {
    let case = &cases()[0];
    let place = tempfile::tempdir().unwrap();
    let (whole, parts) = (place.path().join("whole"), place.path().join("parts"));
    merged(case, &whole);
    let options = MergeOptions { shard_bytes: 60_000, ..options(&case.adapter(), &case.base(), &parts) };
    merge(&options).unwrap();
    assert!(parts.join("model-00002-of-00004.safetensors").is_file());
    assert!(!parts.join("model.safetensors").exists());
    let tokens = &case.prompt;
    assert_eq!(logits(&open(&whole, None), tokens, 20), logits(&open(&parts, None), tokens, 20));
    // What is there stays as it is.
    let error = merge(&options).unwrap_err().to_string();
    assert!(error.contains("exists already"), "{error}");
    assert_eq!(logits(&open(&parts, None), tokens, 20), logits(&open(&whole, None), tokens, 20));
}

#[test]
fn narrower_types_are_checked_by_what_they_lose() {
    let case = &cases()[1];
    for (kind, name, most) in [(FloatType::F16, "float16", 2e-3), (FloatType::Bf16, "bfloat16", 2e-2)] {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("merged");
        let format = OutputFormat::Safetensors(Some(kind));
        let report = merge(&MergeOptions { format, ..options(&case.adapter(), &case.base(), &out) }).unwrap();
        let check = report.check.unwrap();
        eprintln!("{name}: {check:?}");
        assert!(check.relative < most && check.relative > most / 100.0, "{name}: {check:?}");
        let config: Value = serde_json::from_slice(&fs::read(out.join("config.json")).unwrap()).unwrap();
        assert_eq!(config["dtype"], name);
    }
}

#[test]
fn an_adapter_of_a_quantised_base_is_merged_into_what_it_was_trained_on() {
    let case = &cases()[0];
    let own = Adapter::open(&case.adapter()).unwrap();
    let lora = own.lora_options().unwrap();
    let quantization = Some(Quantization::nf4(true));
    let options_of =
        TrainOptions { precision: Precision::Fp32, quantization, ..TrainOptions::new(Method::Lora(lora)) };
    let mut net = TrainNet::open(&case.base(), options_of).unwrap();
    net.load_adapter(&case.adapter()).unwrap();
    let place = tempfile::tempdir().unwrap();
    let saved = place.path().join("adapter");
    adapter::save(&net, "base", &saved).unwrap();
    assert_eq!(Adapter::open(&saved).unwrap().record().quantization, quantization);
    let merge_as = |name: &str, adapter: &Path, base_values| {
        let out = place.path().join(name);
        let report = merge(&MergeOptions { base_values, ..options(adapter, &case.base(), &out) }).unwrap();
        (report, logits(&open(&out, None), &case.prompt, 20))
    };
    let (trained, dequantised) = merge_as("trained", &saved, BaseValues::Trained);
    assert_eq!(trained.quantization, quantization);
    // Every linear of the layers is another than the base's.
    assert_eq!(trained.changed, 14);
    let beside = logits(&open(&case.base(), Some(&saved)), &case.prompt, 20);
    assert!(apart(&dequantised, &beside) <= 2.0 * case.most());
    let through = BaseValues::Through(Quantization::nf4(true));
    assert_eq!(merge_as("through", &case.adapter(), through).1, dequantised);
    let (report, original) = merge_as("original", &saved, BaseValues::Original);
    assert_eq!(report.quantization, None);
    assert!(apart(&original, &case.expected("logits")) <= case.most());
    assert!(apart(&original, &dequantised) > 1e-3);
}

#[test]
fn kinds_are_told_apart() {
    let case = &cases()[1];
    match Adapter::open(&case.adapter()).unwrap().kind() {
        AdapterKind::Lora(lora) => {
            assert!(lora.dora && lora.rank_stabilised);
            assert!((lora.scale_of("model.layers.0.mlp.up_proj") - 4.0 / 3f64.sqrt()).abs() < 1e-12);
        }
        AdapterKind::Bottleneck(_) => panic!("a LoRA"),
    }
}
