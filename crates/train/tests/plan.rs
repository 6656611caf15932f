//! A plan counts what a net has.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use lore_models::decoder::{DecoderConfig, Rope, RopeScaling};
use lore_models::training::TrainNet;
use lore_train::config;
use lore_train::data::{Example, LoadReport, Loaded, Totals};
use lore_train::plan::{Plan, plan};

fn shape(tied: bool, biases: bool) -> DecoderConfig {
    DecoderConfig {
        architecture: "llama".into(),
        vocabulary: 300,
        hidden: 32,
        intermediate: 72,
        heads: 4,
        kv_heads: 2,
        head_dim: 8,
        windows: vec![None; 3],
        norm_epsilon: 1e-5,
        rope: Rope { theta: 10_000.0, scaling: RopeScaling::Default },
        qkv_bias: biases,
        output_bias: biases,
        mlp_bias: biases,
        qk_norm: biases,
        tied,
        context: 512,
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("data.jsonl"), "").unwrap();
        Self(folder)
    }

    fn output(&self) -> PathBuf {
        self.0.path().join("run")
    }

    fn config(&self, more: &[&str]) -> config::TrainConfig {
        let (data, output) = (self.0.path().join("data.jsonl"), self.output());
        let text = format!(
            "model_name_or_path: m\ndataset: {}\noutput_dir: {}\nper_device_train_batch_size: 2\n",
            data.display(),
            output.display()
        );
        let more: Vec<String> = more.iter().map(|text| (*text).to_owned()).collect();
        config::parse(&text, Path::new("train.yaml"), &more).unwrap().config
    }

    fn plan(&self, more: &[&str]) -> Plan {
        plan(&self.config(more), &shape(true, false), &examples(&[10, 20, 30, 40, 50]), Some(1 << 30))
    }
}

fn examples(lengths: &[usize]) -> Loaded {
    let example = |length: &usize| Example {
        id: length.to_string(),
        tokens: vec![1; *length],
        labelled: vec![true; *length],
        documents: Vec::new(),
    };
    let train: Vec<Example> = lengths.iter().map(example).collect();
    let totals = Totals {
        examples: train.len(),
        tokens: lengths.iter().sum(),
        labels: lengths.iter().sum::<usize>() - lengths.len(),
        longest: lengths.iter().copied().max().unwrap_or(0),
    };
    Loaded { train, eval: Vec::new(), report: LoadReport { train: totals, ..LoadReport::default() } }
}

#[test]
fn values_and_bytes_are_those_of_the_net() {
    let folder = Folder::new();
    for more in [
        &["finetuning_type=full"][..],
        &["finetuning_type=lora", "lora_rank=3"],
        &["lora_target=q_proj,mlp.down_proj", "use_dora=true", "additional_target=embed_tokens,norm"],
        &["lora_rank=4", "quantization_bit=4"],
        &["lora_rank=4", "quantization_bit=4", "double_quantization=false", "bf16=true"],
        &["lora_rank=4", "quantization_bit=8", "fp16=true"],
        &["finetuning_type=freeze", "freeze_trainable_layers=1", "bf16=true"],
        &[
            "finetuning_type=freeze",
            "freeze_trainable_layers=-2",
            "freeze_trainable_modules=mlp,input_layernorm",
            "freeze_extra_modules=norm",
        ],
        &["finetuning_type=adapter", "adapter_size=5", "bf16=true"],
    ] {
        for shape in [shape(true, false), shape(false, true)] {
            let config = folder.config(more);
            let plan = plan(&config, &shape, &examples(&[8]), None);
            let net = TrainNet::random(shape, 0.02, config.options().unwrap()).unwrap();
            assert_eq!(plan.trained, net.trained_values(), "{more:?}");
            assert_eq!(plan.values, net.values(), "{more:?}");
            // The net's own figure leaves vectors out, which are few.
            let (told, bytes) = (plan.memory.weights, net.modules().frozen_bytes() as u64);
            assert!((bytes..bytes + 8000).contains(&told), "{more:?}: {told} and {bytes}");
        }
    }
}

#[test]
fn steps_and_batches() {
    let folder = Folder::new();
    let two = folder.plan(&["num_train_epochs=2", "warmup_ratio=0.2"]);
    assert_eq!((two.batches.per_epoch, two.steps, two.warmup_steps), (3, 6, 2));
    let joined = folder.plan(&["gradient_accumulation_steps=2", "num_train_epochs=2", "warmup_steps=3"]);
    assert_eq!((joined.batches.per_step, joined.steps, joined.warmup_steps), (2, 4, 3));
    assert_eq!(folder.plan(&["max_steps=7"]).steps, 7);
    let tokens = folder.plan(&["per_device_train_batch_size=null", "batch_tokens=60"]);
    assert!(tokens.batches.largest <= 60 && tokens.batches.per_epoch >= 3, "{tokens:?}");
    // However little memory there is, the longest example has to fit.
    let auto = ["per_device_train_batch_size=null", "batch_tokens=auto", "memory_limit=1"];
    assert_eq!(folder.plan(&auto).batches.largest, 50);
    let roomy = folder.plan(&["per_device_train_batch_size=null", "batch_tokens=auto"]);
    assert_eq!((roomy.batches.largest, roomy.batches.per_epoch), (150, 1));
    assert!(roomy.batches.found_at_start);
}

#[test]
fn checkpointing_and_frozen_layers_keep_less() {
    let folder = Folder::new();
    let kept = folder.plan(&[]).memory;
    let lean = folder.plan(&["gradient_checkpointing=true"]).memory;
    assert_eq!(kept.activations, kept.activations_kept);
    assert_eq!(lean.activations, kept.activations_checkpointed);
    assert!(lean.activations < kept.activations);
    assert_eq!(kept.total() - lean.total(), kept.activations - lean.activations);
    let last = folder.plan(&["finetuning_type=freeze", "freeze_trainable_layers=1"]).memory;
    assert!(last.activations < kept.activations);
    assert!(folder.plan(&["bf16=true"]).memory.weights < kept.weights);
}

#[test]
fn the_output_folder_and_where_it_goes_on() {
    let folder = Folder::new();
    assert!(!folder.plan(&[]).in_the_way);
    for step in [9, 10] {
        std::fs::create_dir_all(folder.output().join(format!("checkpoint-{step}"))).unwrap();
    }
    let blocked = folder.plan(&[]);
    assert!(blocked.in_the_way && blocked.resumes_from.is_none());
    assert!(blocked.to_string().contains("--resume"), "{blocked}");
    let on = folder.plan(&["resume_from_checkpoint=true"]);
    assert_eq!(on.resumes_from, Some(folder.output().join("checkpoint-10")));
    assert!(!on.in_the_way && on.to_string().ends_with("checkpoint-10"));
    assert!(!folder.plan(&["overwrite_output_dir=true"]).in_the_way);
    // A checkpoint of another folder: nothing in this one is gone on with.
    let elsewhere = Folder::new();
    let other = elsewhere.output().join("checkpoint-3");
    std::fs::create_dir_all(&other).unwrap();
    let from = format!("resume_from_checkpoint={}", other.display());
    assert!(folder.plan(&[&from]).in_the_way && !elsewhere.plan(&[&from]).in_the_way);
}

#[test]
fn a_plan_reads_well() {
    let folder = Folder::new();
    let shown = folder.plan(&["bf16=true", "lora_dropout=0.1"]).to_string();
    let shown = shown.replace(&folder.output().display().to_string(), "OUT");
    insta::assert_snapshot!(shown);
}
