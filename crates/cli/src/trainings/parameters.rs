//! The settings of a training that a form shows, with bounds that make sense; the configuration itself allows more.

use lore_server::trainings::ParameterChoice;
use serde_json::{Value, json};

/// All of them, in the order of the form.
pub fn parameters() -> Vec<ParameterChoice> {
    let lora = &["lora"][..];
    let freeze = &["freeze"][..];
    let adapter = &["adapter"][..];
    vec![
        choice("method", "stage", "sft", &["sft", "pt"], &[]),
        choice("method", "finetuning_type", "lora", &["lora", "full", "freeze", "adapter"], &[]),
        whole("method", "lora_rank", json!(8), 1, 256, lora),
        number("method", "lora_alpha", Value::Null, 1.0, 512.0, lora),
        number("method", "lora_dropout", json!(0.0), 0.0, 0.5, lora),
        list("method", "lora_target", json!("all"), lora),
        flag("method", "use_dora", false, lora),
        flag("method", "use_rslora", false, lora),
        number("method", "loraplus_lr_ratio", Value::Null, 1.0, 64.0, lora),
        choice("method", "quantization_bit", "none", &["none", "4", "8"], lora),
        whole("method", "freeze_trainable_layers", json!(2), -64, 64, freeze),
        list("method", "freeze_trainable_modules", json!("all"), freeze),
        whole("method", "adapter_size", json!(64), 1, 1024, adapter),
        choice("method", "adapter_activation", "silu", &["silu", "relu"], adapter),
        choice("data", "dataset_format", "", &["questions", "messages", "alpaca", "sharegpt", "text"], &[]),
        text("data", "rag_documents", Value::Null),
        choice("data", "rag_answer", "short_then_quote", &["short_then_quote", "quote", "short"], &[]),
        number("data", "rag_no_answer_share", json!(0.2), 0.0, 1.0, &[]),
        whole("data", "rag_passages", Value::Null, 1, 20, &[]),
        whole("data", "cutoff_len", json!(2048), 64, 32_768, &[]),
        number("data", "val_size", json!(0.0), 0.0, 10_000.0, &[]),
        whole("data", "max_samples", Value::Null, 1, 1_000_000, &[]),
        flag("data", "packing", false, &[]),
        flag("data", "skip_bad_lines", false, &[]),
        number("steps", "learning_rate", json!(5e-5), 1e-7, 0.1, &[]),
        choice(
            "steps",
            "lr_scheduler_type",
            "linear",
            &[
                "linear",
                "cosine",
                "constant",
                "constant_with_warmup",
                "cosine_with_min_lr",
                "warmup_stable_decay",
            ],
            &[],
        ),
        number("steps", "warmup_ratio", json!(0.0), 0.0, 0.5, &[]),
        number("steps", "num_train_epochs", json!(3), 0.1, 100.0, &[]),
        whole("steps", "max_steps", Value::Null, 1, 1_000_000, &[]),
        text("steps", "batch_tokens", Value::Null),
        whole("steps", "per_device_train_batch_size", json!(8), 1, 512, &[]),
        whole("steps", "gradient_accumulation_steps", json!(1), 1, 256, &[]),
        number("steps", "weight_decay", json!(0.0), 0.0, 1.0, &[]),
        number("steps", "max_grad_norm", json!(1.0), 0.0, 100.0, &[]),
        whole("steps", "seed", json!(42), 0, 4_294_967_295, &[]),
        flag("memory", "bf16", false, &[]),
        flag("memory", "gradient_checkpointing", false, &[]),
        text("memory", "memory_limit", Value::Null),
        text("memory", "device", json!("cpu")),
        choice("run", "eval_strategy", "no", &["no", "steps", "epoch"], &[]),
        whole("run", "eval_steps", Value::Null, 1, 1_000_000, &[]),
        flag("run", "load_best_model_at_end", false, &[]),
        whole("run", "early_stopping_steps", Value::Null, 1, 100, &[]),
        choice("run", "save_strategy", "steps", &["steps", "epoch", "no"], &[]),
        whole("run", "save_steps", json!(500), 1, 1_000_000, &[]),
        whole("run", "save_total_limit", Value::Null, 1, 100, &[]),
        whole("run", "logging_steps", json!(500), 1, 10_000, &[]),
    ]
}

fn parameter(group: &str, key: &str, kind: &str, default: Value, methods: &[&str]) -> ParameterChoice {
    ParameterChoice {
        key: key.to_owned(),
        group: group.to_owned(),
        kind: kind.to_owned(),
        default: Some(default).filter(|default| !default.is_null()),
        words: Vec::new(),
        bounds: None,
        methods: methods.iter().map(|method| (*method).to_owned()).collect(),
    }
}

fn choice(group: &str, key: &str, default: &str, words: &[&str], methods: &[&str]) -> ParameterChoice {
    let default = if default.is_empty() { Value::Null } else { json!(default) };
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    ParameterChoice { words, ..parameter(group, key, "choice", default, methods) }
}

fn whole(group: &str, key: &str, default: Value, least: i64, most: i64, methods: &[&str]) -> ParameterChoice {
    ParameterChoice {
        bounds: Some((least as f64, most as f64)),
        ..parameter(group, key, "whole", default, methods)
    }
}

fn number(
    group: &str,
    key: &str,
    default: Value,
    least: f64,
    most: f64,
    methods: &[&str],
) -> ParameterChoice {
    ParameterChoice { bounds: Some((least, most)), ..parameter(group, key, "number", default, methods) }
}

fn flag(group: &str, key: &str, default: bool, methods: &[&str]) -> ParameterChoice {
    parameter(group, key, "flag", json!(default), methods)
}

fn text(group: &str, key: &str, default: Value) -> ParameterChoice {
    parameter(group, key, "text", default, &[])
}

fn list(group: &str, key: &str, default: Value, methods: &[&str]) -> ParameterChoice {
    parameter(group, key, "list", default, methods)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use super::*;

    /// A configuration with one key set to `value`; what else it needs is there.
    fn parsed(key: &str, value: &Value) -> Result<(), String> {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("a.jsonl"), "{}").unwrap();
        let mut keys = json!({
            "model_name_or_path": "lore-nano", "dataset": place.path().join("a.jsonl"), "output_dir": "run",
            "eval_dataset": place.path().join("a.jsonl"),
        });
        let needs = match key {
            "lr_scheduler_type" if value == "cosine_with_min_lr" => {
                json!({"lr_scheduler_kwargs": {"min_lr_rate": 0.1}})
            }
            "lr_scheduler_type" if value == "warmup_stable_decay" => {
                json!({"lr_scheduler_kwargs": {"num_decay_steps": 1}})
            }
            "val_size" => json!({"eval_dataset": null}),
            "dataset_format" if value == "text" => json!({"stage": "pt"}),
            "memory_limit" => json!({"batch_tokens": "auto"}),
            _ => json!({}),
        };
        for (name, own) in needs.as_object().unwrap() {
            keys[name] = own.clone();
        }
        keys[key] = value.clone();
        let found = lore_train::config::parse(&keys.to_string(), Path::new("x.yaml"), &[]);
        found.map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_the_form_offers_can_be_configured() {
        for parameter in parameters() {
            let key = parameter.key.as_str();
            let mut values: Vec<Value> = parameter.words.iter().map(|word| json!(word)).collect();
            values.extend(parameter.default.clone());
            if let Some((least, most)) = parameter.bounds {
                let value = |number: f64| match parameter.kind.as_str() {
                    "whole" => json!(number as i64),
                    _ => json!(number),
                };
                values.extend([value(least), value(most)]);
            }
            match key {
                "rag_documents" => values.push(json!(".")),
                "batch_tokens" => values.extend([json!("auto"), json!(4096)]),
                "memory_limit" => values.push(json!("8GB")),
                _ => {}
            }
            for value in values {
                assert_eq!(parsed(key, &value), Ok(()), "{key}: {value}");
            }
        }
    }
}
