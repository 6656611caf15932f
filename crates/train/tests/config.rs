//! Configurations: LLaMA-Factory's files load, and everything else says what is wrong and what to write.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use lore_models::training::{
    BottleneckActivation, BottleneckOptions, FreezeOptions, Layers, LoraOptions, Method, Precision,
    Quantization, Targets,
};
use lore_train::config::{self, DeviceKind, Loaded, ModelSettings, Stage};
use lore_train::data::{BatchSize, Format, Mix};
use lore_train::optim::{DecayForm, Schedule, Warmup};
use lore_train::run::Resume;
use proptest::prelude::*;

/// A folder with LLaMA-Factory's demonstration data sets, as far as a configuration sees them.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let info = r#"{
            "identity": {"file_name": "identity.json"},
            "alpaca_en_demo": {"file_name": "alpaca_en_demo.json"},
            "c4_demo": {"file_name": "c4_demo.jsonl", "columns": {"prompt": "text"}},
            "calls": {"file_name": "calls.json", "formatting": "sharegpt",
                      "columns": {"messages": "turns", "tools": "tools"}, "tags": {"role_tag": "who"}},
            "far": {"hf_hub_url": "somebody/far"},
            "pairs": {"file_name": "identity.json", "ranking": true}
        }"#;
        std::fs::write(folder.path().join("dataset_info.json"), info).unwrap();
        for file in ["identity.json", "alpaca_en_demo.json", "c4_demo.jsonl", "calls.json", "own.jsonl"] {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Loads `text` as `train.yaml`, with the folder as `dataset_dir`.
    fn load(&self, text: &str, overrides: &[&str]) -> Result<Loaded, String> {
        let mut all = vec![format!("dataset_dir={}", self.0.path().display())];
        all.extend(overrides.iter().map(|text| (*text).to_owned()));
        config::parse(text, Path::new("train.yaml"), &all).map_err(|error| error.to_string())
    }

    fn error(&self, text: &str, overrides: &[&str]) -> String {
        self.load(text, overrides).unwrap_err()
    }

    /// A file of the least keys with these added.
    fn with(&self, more: &str) -> Result<Loaded, String> {
        self.load(&format!("{LEAST}{more}"), &[])
    }
}

const LEAST: &str = "model_name_or_path: some/model\ndataset: identity\noutput_dir: out\n";

/// The keys and values of LLaMA-Factory's `examples/train_lora/qwen3_lora_sft.yaml`.
const LORA_SFT: &str = "
### model
model_name_or_path: Qwen/Qwen3-4B-Instruct-2507
trust_remote_code: true

### method
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: all

### dataset
dataset: identity,alpaca_en_demo
template: qwen3_nothink
cutoff_len: 2048
max_samples: 1000
preprocessing_num_workers: 16
dataloader_num_workers: 4

### output
output_dir: saves/qwen3-4b/lora/sft
logging_steps: 10
save_steps: 500
plot_loss: true
overwrite_output_dir: true
save_only_model: false
report_to: none  # choices: [none, wandb, tensorboard, swanlab, mlflow]

### train
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
ddp_timeout: 180000000
resume_from_checkpoint: null
";

#[test]
fn the_published_lora_example_loads_unchanged() {
    let folder = Folder::new();
    let Loaded { config, notes } = folder.load(LORA_SFT, &[]).unwrap();
    assert_eq!(config.stage, Stage::Sft);
    let name = "Qwen/Qwen3-4B-Instruct-2507".to_owned();
    assert_eq!(config.model, ModelSettings::Files { name, adapter: None });
    assert_eq!(config.method, Method::Lora(LoraOptions::default()));
    assert_eq!((config.precision, config.quantization), (Precision::Bf16, None));
    assert_eq!(config.device, DeviceKind::Cpu);
    assert!(!config.gradient_checkpointing);
    let data = &config.data;
    let paths: Vec<_> = data.train.iter().map(|set| set.path.clone()).collect();
    assert_eq!(paths, [folder.file("identity.json"), folder.file("alpaca_en_demo.json")]);
    assert_eq!((data.cutoff_len, data.max_samples, data.seed), (2048, Some(1000), 42));
    assert_eq!((data.batch, data.packing, &data.mix), (BatchSize::Sequences(1), false, &Mix::Concat));
    let optim = &config.optim;
    assert_eq!((optim.learning_rate, optim.epochs, optim.accumulation), (1e-4, 3.0, 8));
    assert_eq!((optim.schedule, optim.warmup), (Schedule::Cosine, Warmup::Ratio(0.1)));
    assert_eq!((optim.weight_decay, optim.beta1, optim.beta2), (0.0, 0.9, 0.999));
    assert_eq!((optim.epsilon, optim.max_grad_norm, optim.max_steps), (1e-8, 1.0, None));
    let run = &config.run;
    assert_eq!(run.output_dir, Path::new("saves/qwen3-4b/lora/sft"));
    assert_eq!((run.logging_steps, run.save_steps), (10, Some(500)));
    assert!(run.plot && run.overwrite && !run.tensorboard && run.resume == Resume::No);
    // What has no effect is said once, with the reason.
    for key in [
        "trust_remote_code",
        "template",
        "preprocessing_num_workers",
        "dataloader_num_workers",
        "ddp_timeout",
    ] {
        let telling = notes.iter().filter(|note| note.split(" no effect").next().unwrap().contains(key));
        assert_eq!(telling.count(), 1, "{key} in {notes:?}");
    }
}

#[test]
fn other_published_examples_load_too() {
    let folder = Folder::new();
    let with = |overrides: &[&str]| folder.load(LORA_SFT, overrides).unwrap().config;
    let qlora = with(&["quantization_bit=4", "quantization_method=bnb"]);
    assert_eq!(qlora.quantization, Some(Quantization::nf4(true)));
    let plain = with(&["quantization_bit=4", "double_quantization=false", "quantization_cache_dir=q"]);
    assert_eq!(plain.quantization, Some(Quantization::nf4(false)));
    let all = with(&["quantization_bit=4", "quantize_embedding=true"]);
    assert_eq!(all.quantization, Some(Quantization::Nf4 { double: true, embedding: true }));
    assert_eq!(plain.quantization_cache, Some("q".into()));
    let eight = with(&["quantization_bit=8", "quantization_method=bitsandbytes"]);
    assert_eq!(eight.quantization, Some(Quantization::Int8));
    assert_eq!(with(&["loraplus_lr_ratio=16.0"]).optim.loraplus_ratio, Some(16.0));
    assert_eq!(with(&["finetuning_type=full", "lora_rank=null", "lora_target="]).method, Method::Full);
    let text = with(&["stage=pt", "dataset=c4_demo"]);
    assert_eq!((text.stage, text.data.packing), (Stage::Pt, true));
    assert_eq!(with(&["pure_bf16=true", "bf16=null"]).precision, Precision::Bf16);
    assert_eq!(with(&["bf16=false"]).precision, Precision::Fp32);
    assert_eq!(with(&["bf16=false", "fp16=true"]).precision, Precision::Fp16);
    assert!(with(&["disable_gradient_checkpointing=false"]).gradient_checkpointing);
    assert!(with(&["gradient_checkpointing=true"]).gradient_checkpointing);
}

#[test]
fn unsupported_keys_are_told_together_with_what_to_use() {
    let folder = Folder::new();
    let text =
        format!("{LORA_SFT}deepspeed: ds_z3_config.json\nfp8: true\nuse_galore: true\nuse_swanlab: false\n");
    let error = folder.error(&text, &[]);
    assert!(error.starts_with("train.yaml, line 40: deepspeed is not supported: one process"), "{error}");
    assert!(error.contains("; line 41: fp8 is not supported: use bf16: true"), "{error}");
    assert!(error.contains("; line 42: use_galore is not supported: the optimiser is AdamW"), "{error}");
    assert!(!error.contains("swanlab"), "{error}");
    let error = folder.error(LORA_SFT, &["report_to=wandb"]);
    assert!(
        error.starts_with("command line: report_to wandb is not supported; use none or tensorboard"),
        "{error}"
    );
    assert!(folder.load(LORA_SFT, &["report_to=[none]"]).is_ok());
    assert!(folder.load(LORA_SFT, &["report_to=tensorboard"]).unwrap().config.run.tensorboard);
    // Where nothing is said, both are written.
    let run = folder.load(LORA_SFT, &["report_to=null", "plot_loss=null"]).unwrap().config.run;
    assert!(run.tensorboard && run.plot);
    let off = folder.load(LORA_SFT, &["plot_loss=false"]).unwrap().config.run;
    assert!(!off.tensorboard && !off.plot);
    // What one process of Ray does is what is done here.
    let ray =
        ["ray_run_name=a", "ray_num_workers=1", "placement_strategy=PACK", "resources_per_worker={GPU: 1}"];
    assert!(folder.load(LORA_SFT, &ray).is_ok());
    let error = folder.error(LORA_SFT, &["ray_num_workers=4", "placement_strategy=PACK"]);
    assert!(
        error.starts_with("command line: ray_num_workers is not supported: one process trains"),
        "{error}"
    );
}

#[test]
fn unknown_keys_name_the_nearest() {
    let folder = Folder::new();
    for (written, near) in [
        ("learning_rat", "learning_rate"),
        ("lora_ranks", "lora_rank"),
        ("lora-rank", "lora_rank"),
        ("per_device_batch_size", "per_device_train_batch_size"),
        ("num_epochs", "num_train_epochs"),
        ("lr_scheduler", "lr_scheduler_type"),
        ("gradient_accumulation", "gradient_accumulation_steps"),
        ("quantisation_bit", "quantization_bit"),
    ] {
        let error = folder.with(&format!("\n{written}: 1\n")).unwrap_err();
        assert_eq!(error, format!("train.yaml, line 5: unknown key `{written}`; did you mean `{near}`?"));
    }
    let error = folder.load(LEAST, &["frobnicate=1"]).unwrap_err();
    assert!(error.starts_with("command line: unknown key `frobnicate`; "), "{error}");
    // A missing key does not hide the typing error behind it.
    let error = folder.error("model_name_or_pth: x\n", &[]);
    assert_eq!(
        error,
        "train.yaml, line 1: unknown key `model_name_or_pth`; did you mean `model_name_or_path`?"
    );
}

#[test]
fn wrong_values_name_the_key_the_value_and_what_is_allowed() {
    let folder = Folder::new();
    for (written, said) in [
        ("lora_rank: eight", "lora_rank is `eight`; set it to a whole number from 1 to 1000000000"),
        ("lora_rank: 0", "lora_rank is 0; set it to a whole number from 1 to 1000000000"),
        ("lora_rank: 2.5", "lora_rank is 2.5; set it to a whole number from 1 to 1000000000"),
        ("lora_dropout: 1", "lora_dropout is 1; set it to a number from 0 to below 1"),
        ("learning_rate: -1e-4", "learning_rate is -0.0001; set it to a number above 0"),
        ("learning_rate: nought", "learning_rate is `nought`; set it to a number above 0"),
        ("learning_rate: [1]", "learning_rate is a list of 1; set it to a number above 0"),
        ("bf16: maybe", "bf16 is `maybe`; set it to true or false"),
        ("warmup_ratio: 1.5", "warmup_ratio is 1.5; set it to a number from 0 to 1"),
        ("quantization_bit: 3", "quantization_bit is 3; set it to one of 4, 8, none"),
        (
            "finetuning_type: prefix",
            "finetuning_type is `prefix`; set it to one of lora, full, freeze, adapter, oft",
        ),
        ("device: tpu", "device is `tpu`; set it to cpu, cuda, or cuda:1 for the second"),
        ("batch_tokens: many", "batch_tokens is `many`; set it to a whole number from 1 on, or to auto"),
        ("val_size: 2.5", "val_size is 2.5; set it to a share below 1, or to a whole number of examples"),
        (
            "freeze_trainable_layers: x",
            "freeze_trainable_layers is `x`; set it to a whole number from -1000 to 1000",
        ),
        ("seed: -1", "seed is -1; set it to a whole number from 0 to 18446744073709551615"),
        ("lr_scheduler_kwargs: 3", "lr_scheduler_kwargs is 3; set it to a map, such as {min_lr_rate: 0.1}"),
    ] {
        let error = folder.with(&format!("{written}\n")).unwrap_err();
        assert_eq!(error, format!("train.yaml, line 4: {said}"));
    }
    let error = folder.error("a: b\n  c: d\n", &[]);
    assert!(error.starts_with("train.yaml, line "), "{error}");
    let error = folder.error("- a\n- b\n", &[]);
    assert!(error.starts_with("train.yaml"), "{error}");
    assert!(folder.error("# nothing\n", &[]).contains("model_name_or_path is missing"));
    let error = folder.error(&format!("{LEAST}output_dir: twice\n"), &[]);
    assert_eq!(error, "train.yaml, line 4: key `output_dir` is there twice; leave one out");
    // A number that is none is no rate, however it gets through.
    assert!(folder.with("learning_rate: .nan\n").is_err() && folder.with("learning_rate: nan\n").is_err());
    assert_eq!(
        folder.error(LEAST, &["bf16"]),
        "command line: `bf16` is no key=value, such as learning_rate=1e-4"
    );
}

#[test]
fn contradictions_are_errors() {
    let folder = Folder::new();
    for (written, said) in [
        ("bf16: true\nfp16: true", "bf16 and fp16 are both true"),
        ("pure_bf16: true\nfp16: true", "bf16 and fp16 are both true"),
        ("packing: true\nbatch_tokens: 4096", "packing and batch_tokens both join examples"),
        ("neat_packing: true\npacking: false", "neat_packing is true and packing is false"),
        (
            "batch_tokens: 9\nper_device_train_batch_size: 2",
            "batch_tokens and per_device_train_batch_size are both set",
        ),
        ("train_on_prompt: true\nmask_history: true", "train_on_prompt and mask_history are both true"),
        ("warmup_steps: 10\nwarmup_ratio: 0.1", "warmup_steps and warmup_ratio are both set"),
        ("val_size: 0.1\neval_dataset: identity", "val_size and eval_dataset are both set"),
        ("quantization_bit: 4\nfinetuning_type: full", "a quantised base cannot be trained itself"),
        (
            "quantization_bit: 4\nquantization_method: hqq",
            "quantization_method hqq is not supported; use bnb",
        ),
        ("quantization_bit: 4\nquantization_type: fp4", "quantization_type fp4 is not supported; use nf4"),
        ("use_dora: true\nfinetuning_type: full", "use_dora is for finetuning_type: lora"),
        ("finetuning_type: oft", "finetuning_type oft is not supported: use lora"),
        ("init: random\nfinetuning_type: lora", "random weights are trained whole"),
        ("lora_target: [all, q_proj]", "lora_target has `all` and other names"),
        (
            "load_best_model_at_end: true",
            "load_best_model_at_end is set, and there is nothing to evaluate on",
        ),
        ("early_stopping_steps: 3", "early_stopping_steps is set, and there is nothing to evaluate on"),
        ("eval_strategy: steps", "eval_strategy is set, and there is nothing to evaluate on"),
        ("interleave_probs: 0.5,0.5", "interleave_probs has 2 numbers for 1 data sets"),
        ("interleave_probs: [1.0]", "interleave_probs are for mix_strategy"),
        ("adapter_name_or_path: a,b", "adapter_name_or_path names several adapters"),
        ("adapter_name_or_path: a\nfinetuning_type: freeze", "finetuning_type trains none"),
        ("gradient_checkpointing: true\ndisable_gradient_checkpointing: true", "are both true"),
        ("lr_scheduler_type: cosine_with_min_lr", "cosine_with_min_lr wants lr_scheduler_kwargs"),
        ("lr_scheduler_type: warmup_stable_decay", "warmup_stable_decay wants lr_scheduler_kwargs"),
        ("lr_scheduler_type: cosine\nlr_scheduler_kwargs: {min_lr: 0}", "takes no lr_scheduler_kwargs"),
        ("do_train: false", "do_train is false"),
        ("device: cuda\nbatch_tokens: auto\nmemory_limit: 8GB", "memory_limit counts the process' memory"),
    ] {
        let error = folder.with(&format!("{written}\n")).err().unwrap_or_else(|| panic!("{written} loads"));
        assert!(error.contains(said), "{written}: {error}");
    }
    for stage in ["rm", "dpo", "ppo", "kto"] {
        let error = folder.with(&format!("stage: {stage}\n")).unwrap_err();
        let said = format!(
            "train.yaml, line 4: stage {stage} is not here yet; there are sft (instructions and answers) and pt (plain text)"
        );
        assert_eq!(error, said);
    }
}

#[test]
fn methods_schedules_and_batches() {
    let folder = Folder::new();
    let with = |more: &str| folder.with(more).unwrap().config;
    let lora = with(
        "lora_rank: 16\nlora_target: [q_proj, v_proj]\nuse_rslora: true\nuse_dora: yes\nadditional_target: embed_tokens, norm\n",
    );
    let expected = LoraOptions {
        rank: 16,
        alpha: 32.0,
        dropout: 0.0,
        targets: Targets::Named(vec!["q_proj".into(), "v_proj".into()]),
        rank_stabilised: true,
        dora: true,
        modules_to_save: vec!["embed_tokens".into(), "norm".into()],
    };
    assert_eq!(lora.method, Method::Lora(expected));
    let freeze = |layers, modules: &[&str]| {
        let modules = modules.iter().map(|name| (*name).to_owned()).collect();
        Method::Freeze(FreezeOptions { layers, modules, extra: Vec::new() })
    };
    assert_eq!(with("finetuning_type: freeze\n").method, freeze(Layers::Last(2), &[]));
    let first = with("finetuning_type: freeze\nfreeze_trainable_layers: -3\nfreeze_trainable_modules: mlp\n");
    assert_eq!(first.method, freeze(Layers::First(3), &["mlp"]));
    let adapter = with("finetuning_type: adapter\nadapter_size: 32\nadapter_activation: relu\n");
    let bottleneck = BottleneckOptions { size: 32, activation: BottleneckActivation::Relu };
    assert_eq!(adapter.method, Method::Bottleneck(bottleneck));
    let random = with("init: random\n");
    assert_eq!(random.method, Method::Full);
    assert_eq!(random.model, ModelSettings::Random { name: "some/model".into(), deviation: 0.02 });
    assert_eq!(with("train_from_scratch: true\nfinetuning_type: full\n").model, random.model);
    let on = with("adapter_name_or_path: before\nmodel_revision: abc\n").model;
    assert_eq!(on, ModelSettings::Files { name: "some/model@abc".into(), adapter: Some("before".into()) });
    assert_eq!(with("device: cuda:1\n").device, DeviceKind::Cuda(1));

    let optim = with(
        "lr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: {min_lr: 1e-5}\nlearning_rate: 1e-4\n",
    )
    .optim;
    let Schedule::CosineWithMinLr { min_lr_rate } = optim.schedule else { panic!("{optim:?}") };
    assert!((min_lr_rate - 0.1).abs() < 1e-12);
    let stages = "lr_scheduler_type: warmup_stable_decay\nlr_scheduler_kwargs: '{\"num_decay_steps\": 20, \"decay_type\": \"1-sqrt\"}'\n";
    let wanted =
        Schedule::WarmupStableDecay { decay_steps: 20, min_lr_rate: 0.0, decay: DecayForm::OneMinusSqrt };
    assert_eq!(with(stages).optim.schedule, wanted);
    // transformers' `constant` has no warm-up.
    let constant = folder.with("lr_scheduler_type: constant\nwarmup_steps: 5\n").unwrap();
    assert_eq!(constant.config.optim.warmup, Warmup::Steps(0));
    assert!(
        constant.notes.iter().any(|note| note.starts_with("warmup_steps has no effect")),
        "{:?}",
        constant.notes
    );
    let warm = with("lr_scheduler_type: constant_with_warmup\nwarmup_steps: 5\n").optim;
    assert_eq!((warm.schedule, warm.warmup), (Schedule::Constant, Warmup::Steps(5)));
    assert_eq!(with("warmup_steps: 0.25\n").optim.warmup, Warmup::Ratio(0.25));
    assert_eq!(with("max_steps: -1\n").optim.max_steps, None);
    assert_eq!(with("max_steps: 7\n").optim.max_steps, Some(7));

    assert_eq!(with("").data.batch, BatchSize::Sequences(8));
    assert_eq!(with("batch_tokens: 4096\n").data.batch, BatchSize::Tokens(4096));
    let auto = with("batch_tokens: auto\nmemory_limit: 1.5GiB\n").data.batch;
    assert_eq!(auto, BatchSize::Auto { memory_limit: Some(3 << 29) });
    assert_eq!(with("batch_tokens: auto\n").data.batch, BatchSize::Auto { memory_limit: None });
    let mixed = folder
        .load(
            LEAST,
            &["dataset=identity,calls", "mix_strategy=interleave_over", "interleave_probs=[0.25, 0.75]"],
        )
        .unwrap()
        .config;
    assert_eq!(mixed.data.mix, Mix::InterleaveOver(vec![0.25, 0.75]));
    let seeds = with("seed: 7\n");
    assert_eq!((seeds.seed, seeds.data.seed), (7, 7));
    assert_eq!(with("seed: 7\ndata_seed: 8\n").data.seed, 8);
    assert_eq!(with("seed: 7\ndata_seed: 18446744073709551615\n").data.seed, u64::MAX);

    let run =
        with("val_size: 0.1\neval_strategy: epoch\nload_best_model_at_end: true\nearly_stopping_steps: 2\n")
            .run;
    assert_eq!((run.eval_steps, run.load_best_at_end, run.early_stopping), (None, true, Some(2)));
    assert_eq!(with("val_size: 5\neval_strategy: steps\nlogging_steps: 3\n").run.eval_steps, Some(3));
    assert_eq!(with("val_size: 5\neval_strategy: no\n").run.eval_steps, Some(usize::MAX));
    assert_eq!(with("save_strategy: epoch\n").run.save_steps, None);
    assert_eq!(with("resume_from_checkpoint: true\n").run.resume, Resume::Last);
    assert_eq!(
        with("resume_from_checkpoint: out/checkpoint-3\n").run.resume,
        Resume::From("out/checkpoint-3".into())
    );
}

#[test]
fn data_sets_are_names_or_files() {
    let folder = Folder::new();
    let own = folder.file("own.jsonl");
    let path = format!("dataset=[calls, own.jsonl, {}]", own.display());
    let config = folder.load(LEAST, &[&path]).unwrap().config;
    let found: Vec<_> = config.data.train.iter().map(|set| (set.path.clone(), set.format)).collect();
    assert_eq!(
        found,
        [(folder.file("calls.json"), Some(Format::Sharegpt)), (own.clone(), None), (own, None)]
    );
    // Questions are what has no format of its own.
    let mixed =
        folder.load(LEAST, &["dataset=[calls, own.jsonl]", "dataset_format=questions"]).unwrap().config;
    assert_eq!(mixed.rag.unwrap().train, [1]);
    assert_eq!(mixed.data.train[0].format, Some(Format::Sharegpt));
    let error = folder.error(LEAST, &["dataset=identiti"]);
    assert!(error.contains("identiti") && error.contains("file"), "{error}");
    let error = folder.error(LEAST, &[&path, "dataset_format=text"]);
    assert!(error.contains("dataset_format text has no answers"), "{error}");
    for (name, said) in [("far", "hf_hub_url"), ("pairs", "rank")] {
        let error = folder.error(LEAST, &[&format!("dataset={name}")]);
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn what_belongs_to_another_method_is_told() {
    let folder = Folder::new();
    let loaded = folder.load(LORA_SFT, &["finetuning_type=full"]).unwrap();
    let told = loaded.notes.join("\n");
    assert!(told.contains("lora_rank, lora_target have no effect"), "{told}");
    assert!(folder.with("adapter_size: 3\n").unwrap().notes[0].starts_with("adapter_size has no effect"));
}

/// The configurations that are shipped, seen from the repository's folder.
#[test]
fn shipped_configurations_load() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let overrides = |documents: bool| {
        let mut overrides = vec![format!("dataset_dir={}", root.display())];
        if documents {
            overrides.push(format!("rag_documents={}", root.join("docs-corpus").display()));
        }
        overrides
    };
    let mut names: Vec<String> = std::fs::read_dir(root.join("configs/train"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let all = [
        "adapter-sft",
        "freeze-sft",
        "full-sft",
        "lora-nano",
        "lora-sft",
        "pretrain-nano-text",
        "pretrain-nano",
        "pretrain",
        "qlora-sft",
    ];
    assert_eq!(names, all.map(|name| format!("{name}.yaml")));
    for name in all {
        let path = root.join(format!("configs/train/{name}.yaml"));
        let text = matches!(name, "pretrain" | "pretrain-nano-text");
        let mut overrides = overrides(!text);
        if name == "pretrain-nano" {
            overrides.push(format!("invent_from={}", root.join("models/nano-corpus/documents").display()));
        }
        let Loaded { config, notes } = config::load(&path, &overrides).unwrap();
        // A file that is shipped says nothing in vain.
        assert_eq!(notes, [""; 0], "{name}");
        let output = name.replace("pretrain-nano", "lore-nano");
        assert_eq!(config.run.output_dir, Path::new("saves").join(output));
        assert_eq!(config.precision, Precision::Bf16);
        let kind = match &config.method {
            Method::Full => "full",
            Method::Freeze(_) => "freeze",
            Method::Lora(_) => "lora",
            Method::Bottleneck(_) => "adapter",
        };
        if text {
            assert_eq!((config.stage, kind, config.rag), (Stage::Pt, "full", None));
            assert!(matches!(config.model, ModelSettings::Random { .. }));
            continue;
        }
        if name.ends_with("-nano") {
            let made = matches!(config.model, ModelSettings::Random { .. });
            assert_eq!((made, config.invent.is_some()), (name == "pretrain-nano", name == "pretrain-nano"));
            assert_eq!(kind, if made { "full" } else { "lora" });
            // Exercises first, short ones before long ones.
            assert_eq!(config.data.ordered, made);
            continue;
        }
        assert_eq!(name.trim_start_matches('q'), format!("{kind}-sft"));
        assert_eq!(config.quantization.is_some(), name == "qlora-sft");
        let rag = config.rag.unwrap();
        assert_eq!((rag.train, rag.documents.is_some()), (vec![0], true));
        assert_eq!(config.data.train[0].path, root.join("docs-corpus/questions/train.jsonl"));
    }
}

proptest! {
    /// Whatever a file holds, it is a configuration or an error, and an error says where.
    #[test]
    fn no_text_panics(text in "[ -~\n]{0,200}", key in "[a-z_]{1,20}", value in "[ -~]{0,20}") {
        let read = |text: &str| config::parse(text, Path::new("train.yaml"), &[]);
        if let Err(error) = read(&text) {
            prop_assert!(error.to_string().contains("train.yaml"));
        }
        let _ = read(&format!("{LEAST}{key}: {value}\n"));
        let _ = config::parse(LEAST, Path::new("train.yaml"), &[format!("{key}={value}")]);
    }

    /// A number means the same however it is written.
    #[test]
    fn numbers_read_alike(rate in 1e-9f64..1.0) {
        let folder = Folder::new();
        let read = |written: String| folder.load(LEAST, &[&format!("learning_rate={written}")]).unwrap().config.optim.learning_rate;
        prop_assert_eq!(read(format!("{rate:e}")), rate);
        prop_assert_eq!(read(format!("{rate}")), rate);
        prop_assert_eq!(read(format!("'{rate:e}'")), rate);
    }
}
