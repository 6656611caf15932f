//! LLaMA-Factory's keys that nobody asks for: those without effect here, and those that are not supported.

use super::value::Value;

/// Keys that change nothing here, and why; a `*` at the end stands for any end.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("trust_remote_code", "no code of a model is ever run"),
    ("preprocessing_num_workers", "examples are read by all cores"),
    ("preprocessing_batch_size", "examples are read by all cores"),
    ("dataloader_*", "batches are made in this process"),
    ("data_shared_file_system", "batches are made in this process"),
    ("remove_unused_columns", "batches are made in this process"),
    ("overwrite_cache", "examples are read anew at each start"),
    ("ddp_*", "one process trains"),
    ("local_rank", "one process trains"),
    ("ray_run_name", "one process trains"),
    ("ray_storage_path", "one process trains"),
    ("placement_strategy", "one process trains"),
    ("resources_per_worker", "one process trains"),
    ("use_fast_tokenizer", "there is one tokenizer, and it is the fast one"),
    ("low_cpu_mem_usage", "weights are mapped from their files"),
    ("flash_attn", "attention never keeps its matrix of scores"),
    ("use_v1_kernels", "kernels are chosen by the machine"),
    ("enable_liger_kernel", "kernels are chosen by the machine"),
    ("use_unsloth", "kernels are chosen by the machine"),
    ("use_unsloth_gc", "gradient_checkpointing decides"),
    ("use_reentrant_gc", "gradient_checkpointing decides"),
    ("gradient_checkpointing_kwargs", "gradient_checkpointing decides"),
    ("upcast_layernorm", "norms are computed in 32 bits"),
    ("upcast_lmhead_output", "logits are computed in 32 bits"),
    ("quantization_device_map", "the base lies where it is trained"),
    ("tf32", "products are computed in the precision that is set"),
    ("fp16_opt_level", "products are computed in the precision that is set"),
    ("bf16_full_eval", "evaluation has the precision of the training"),
    ("fp16_full_eval", "evaluation has the precision of the training"),
    ("per_device_eval_batch_size", "evaluation has batches like those of the training"),
    ("eval_accumulation_steps", "evaluation has batches like those of the training"),
    ("prediction_loss_only", "evaluation computes the loss"),
    ("do_eval", "eval_strategy decides"),
    ("group_by_length", BY_LENGTH),
    ("length_column_name", BY_LENGTH),
    ("ignore_pad_token_for_loss", "there are no pad tokens"),
    ("save_only_model", "every checkpoint can be gone on from"),
    ("save_safetensors", "values are saved as safetensors"),
    ("save_on_each_node", "one process trains"),
    ("restore_callback_states_from_checkpoint", "a checkpoint holds all of the run's state"),
    ("ignore_data_skip", "a checkpoint holds all of the run's state"),
    ("logging_dir", "event files lie in output_dir"),
    ("logging_strategy", "logging_steps decides"),
    ("logging_first_step", "logging_steps decides"),
    ("logging_nan_inf_filter", "a loss that is no number ends the run"),
    ("log_level*", "--log decides"),
    ("disable_tqdm", "--quiet decides"),
    ("run_name", "a run is named by its output_dir"),
    ("include_num_input_tokens_seen", "metrics have the tokens in any case"),
    ("include_tokens_per_second", "metrics have the tokens in any case"),
    ("include_effective_tokens_per_second", "metrics have the tokens in any case"),
    ("print_param_status", "--dry-run tells what is trained"),
    ("loraplus_lr_embedding", "embeddings get no low-rank difference"),
    ("use_kv_cache", "it is a setting of serving"),
    ("infer_backend", "it is a setting of serving"),
    ("infer_dtype", "it is a setting of serving"),
    ("offload_folder", "it is a setting of serving"),
    ("full_determinism", "equal settings give equal values in any case"),
    ("push_to_hub", "nothing is sent anywhere"),
    ("image_*", "models here read text"),
    ("video_*", "models here read text"),
    ("audio_*", "models here read text"),
    ("crop_to_patches", "models here read text"),
    ("use_audio_in_video", "models here read text"),
    ("media_dir", "models here read text"),
    ("freeze_vision_tower", "models here read text"),
    ("freeze_multi_modal_projector", "models here read text"),
];

/// Keys that are not supported, and what to use instead; a `*` at the end stands for any end.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("deepspeed*", ONE_DEVICE),
    ("fsdp*", ONE_DEVICE),
    ("accelerator_config", ONE_DEVICE),
    ("parallelism_config", ONE_DEVICE),
    ("ray_*", ONE_DEVICE),
    ("use_ray", ONE_DEVICE),
    ("master_addr", ONE_DEVICE),
    ("master_port", ONE_DEVICE),
    ("use_mca", ONE_DEVICE),
    ("use_megatron_bridge", ONE_DEVICE),
    ("use_hyper_parallel", ONE_DEVICE),
    ("hyper_parallel_*", ONE_DEVICE),
    ("tensor_model_parallel_size", ONE_DEVICE),
    ("pipeline_model_parallel_size", ONE_DEVICE),
    ("expert_model_parallel_size", ONE_DEVICE),
    ("context_parallel_size", ONE_DEVICE),
    ("use_kt", ONE_DEVICE),
    ("kt_*", ONE_DEVICE),
    ("fp8*", "use bf16: true, or quantization_bit: 8 with finetuning_type: lora"),
    ("use_galore", OPTIMISER),
    ("galore_*", OPTIMISER),
    ("use_apollo", OPTIMISER),
    ("apollo_*", OPTIMISER),
    ("use_badam", OPTIMISER),
    ("badam_*", OPTIMISER),
    ("use_adam_mini", OPTIMISER),
    ("use_muon", OPTIMISER),
    ("optim_*", OPTIMISER),
    (
        "pissa_*",
        "leave it out: A begins at random and B at zero, as usual; use_dora or use_rslora change how it learns",
    ),
    ("oft_*", "use finetuning_type: lora with lora_rank and lora_target"),
    ("module_dropout", "use finetuning_type: lora with lora_dropout"),
    ("use_llama_pro", "use finetuning_type: freeze with freeze_trainable_layers"),
    ("mixture_of_depths", "leave it out: every layer reads every token"),
    (
        "shift_attn",
        "leave it out: attention is whole; gradient_checkpointing: true makes room for long examples",
    ),
    ("rope_scaling", "set it in the model's config.json"),
    ("moe_*", "leave it out: mixtures of experts are not among the families that can be trained"),
    ("use_swanlab", REPORT),
    ("swanlab_*", REPORT),
    ("project", REPORT),
    ("trackio_*", REPORT),
    ("hub_*", "nothing is sent anywhere; the files in output_dir load in transformers and PEFT"),
    ("hf_hub_token", "set HF_TOKEN in the environment"),
    ("ms_hub_token", "put a mirror of the hub into generator.sources of lore.yaml"),
    ("om_hub_token", "put a mirror of the hub into generator.sources of lore.yaml"),
    ("cache_dir", "set LORE_CACHE_DIR in the environment"),
    ("export_*", "use `lore merge --adapter DIR --out DIR`"),
    ("vllm_*", "use `lore serve`, with the keys of `generator` in lore.yaml"),
    ("sglang_*", "use `lore serve`, with the keys of `generator` in lore.yaml"),
    ("streaming", "leave it out: examples are read at the start; max_samples bounds them"),
    ("buffer_size", "leave it out: examples are read at the start; max_samples bounds them"),
    ("tokenized_path", "leave it out: examples are read anew at each start, which takes seconds"),
    ("tool_format", "write calls of tools into the messages as the model's chat template wants them"),
    ("default_system", "put a system message into the examples"),
    ("resize_vocab", VOCABULARY),
    ("add_tokens", VOCABULARY),
    ("add_special_tokens", VOCABULARY),
    ("new_special_tokens_config", VOCABULARY),
    ("init_special_tokens", VOCABULARY),
    ("split_special_tokens", "leave it out: special tokens in examples are read as plain text in any case"),
    ("adapter_folder", "put the folder into adapter_name_or_path"),
    ("create_new_adapter", "merge the adapter first (`lore merge`), and train a new one over the outcome"),
    ("eval_on_each_dataset", "leave it out: one loss over all of eval_dataset is computed"),
    ("eval_num_beams", GENERATES),
    ("predict_with_generate", GENERATES),
    ("do_predict", GENERATES),
    ("generation_*", GENERATES),
    ("compute_accuracy", GENERATES),
    ("use_dft_loss", LOSS),
    ("use_asft_loss", LOSS),
    ("asft_*", LOSS),
    ("use_eaft_loss", LOSS),
    ("eaft_*", LOSS),
    ("label_smoothing_factor", LOSS),
    ("neftune_noise_alpha", "use lora_dropout or weight_decay against overfitting"),
    ("auto_find_batch_size", "use batch_tokens: auto"),
    ("freeze_language_model", "leave it out: the language model is what is trained"),
    ("evaluation_strategy", "use eval_strategy"),
    ("per_gpu_train_batch_size", "use per_device_train_batch_size"),
    ("no_cuda", "use device: cpu"),
    ("use_cpu", "use device: cpu"),
    ("enable_torch_profiler", "use `lore bench train`"),
    ("profile*", "use `lore bench train`"),
    ("torch_compile*", "leave it out: kernels are compiled already"),
    ("eval_delay", "leave it out, or set eval_steps higher"),
    ("half_precision_backend", "use bf16: true or fp16: true"),
    ("pref_*", PREFERENCES),
    ("dpo_*", PREFERENCES),
    ("kto_*", PREFERENCES),
    ("simpo_*", PREFERENCES),
    ("ppo_*", PREFERENCES),
    ("ref_model*", PREFERENCES),
    ("reward_model*", PREFERENCES),
    ("ld_alpha", PREFERENCES),
];

const ONE_DEVICE: &str = "one process trains on one device; use gradient_accumulation_steps for larger batches, and \
                          quantization_bit: 4 or gradient_checkpointing: true where memory is short";
const BY_LENGTH: &str = "there is no padding, and batch_tokens puts examples of like length together";
const OPTIMISER: &str =
    "the optimiser is AdamW; use finetuning_type: lora where its moments take too much memory";
const REPORT: &str = "use report_to: tensorboard; the run's folder has metrics.jsonl and curves too";
const VOCABULARY: &str = "the vocabulary stays as it is; add tokens to the model with other tools before";
const GENERATES: &str = "evaluation computes the loss; `lore eval answers` measures what a model writes";
const LOSS: &str = "the loss is the cross-entropy of the answer's tokens";
const PREFERENCES: &str = "it belongs to a stage that is not here yet; there are stage: sft and stage: pt";

fn find(table: &[(&str, &'static str)], key: &str) -> Option<&'static str> {
    let matches = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => key.starts_with(start),
        None => key == pattern,
    };
    table.iter().find(|(pattern, _)| matches(pattern)).map(|(_, text)| *text)
}

/// Why `key` changes nothing, if it is one of LLaMA-Factory's that change nothing here.
pub(super) fn without_effect(key: &str) -> Option<&'static str> {
    find(WITHOUT_EFFECT, key)
}

/// What to use in the place of `key`, if it is one of LLaMA-Factory's that are not supported.
pub(super) fn unsupported(key: &str) -> Option<&'static str> {
    find(UNSUPPORTED, key)
}

/// Whether `value` asks for what is done anyway.
pub(super) fn is_default(key: &str, value: &Value) -> bool {
    let ones = ["tensor_model_parallel_size", "pipeline_model_parallel_size", "expert_model_parallel_size"];
    match value {
        Value::Whole(1) => ones.contains(&key) || key == "context_parallel_size" || key == "ray_num_workers",
        Value::Text(text) => key == "init_special_tokens" && text == "noise_init",
        _ => false,
    }
}
