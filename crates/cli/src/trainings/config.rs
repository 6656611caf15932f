//! The configuration of a training that came over HTTP.

use std::path::Path;

use lore_server::trainings::ConfigProblem;
use lore_train::config::{self, Loaded, TrainConfig};
use lore_train::{TrainError, plan};
use serde_json::{Map, Value, json};

use super::{Roots, with_total};

/// What it is called in messages.
pub const FILE: &str = "training.yaml";

/// A configuration, or the first thing that is wrong with it.
pub type Outcome = Result<Loaded, ConfigProblem>;

/// Reads the configuration `text` of a training whose run lies in `folder`; paths stay within `roots`, and are seen from
/// the current folder.
///
/// # Errors
/// What is wrong, with its key and line where those are known.
pub fn read(text: &str, folder: &Path, roots: &Roots) -> Outcome {
    let keys = match serde_saphyr::from_str::<Value>(text) {
        Ok(Value::Object(keys)) => keys,
        Ok(Value::Null) => Map::new(),
        // What is no map of keys is told where it is read in full, before any path is looked at.
        Ok(_) | Err(_) => {
            let error = config::parse(text, Path::new(FILE), &[]).err();
            let said = error.map_or_else(
                || problem(text, None, "it is no YAML of keys and values".into()),
                |error| of_error(text, error),
            );
            return Err(said);
        }
    };
    roots.check_all(&keys).map_err(|(key, message)| problem(text, Some(key), message))?;
    let output = format!("output_dir={}", json!(folder.display().to_string()));
    let mut loaded =
        config::parse(text, Path::new(FILE), &[output]).map_err(|error| of_error(text, error))?;
    // An entry of dataset_info.json may name any file.
    for (key, sets) in [("dataset", &loaded.config.data.train), ("eval_dataset", &loaded.config.data.eval)] {
        for set in sets {
            roots.check(key, &set.path).map_err(|message| problem(text, Some(key), message))?;
        }
    }
    if keys.get("output_dir").is_some_and(|value| !value.is_null()) {
        loaded.notes.push("output_dir has no effect: the run lies in the data folder".into());
    }
    Ok(loaded)
}

/// What can be said before the examples are read; `None` where the base is not on this machine.
pub fn outline(config: &TrainConfig, free: Option<u64>) -> Option<Value> {
    let name = config.model.name();
    let path = match name {
        lore_nano::NAME => crate::open::nano().ok()?,
        name => Path::new(name).exists().then(|| name.into())?,
    };
    let shape = lore_train::model_shape(&path).ok()?;
    config.method.check_names(&shape).ok()?;
    let outline = plan::outline(config, &shape, free);
    let memory = with_total(serde_json::to_value(outline.memory).ok()?, outline.memory.total());
    let mut told = serde_json::to_value(&outline).ok()?;
    told["memory"] = memory;
    Some(told)
}

/// What is wrong, as the trainer's own crate tells it.
fn of_error(text: &str, error: TrainError) -> ConfigProblem {
    match error {
        TrainError::Key { key, line, message, .. } => ConfigProblem { key, line, message },
        TrainError::Settings { key, message } => problem(text, Some(key), format!("{key}: {message}")),
        other => problem(text, None, other.to_string()),
    }
}

/// A problem of the key `key`, with the line that it stands in.
pub fn problem(text: &str, key: Option<&str>, message: String) -> ConfigProblem {
    let is_it = |line: &str| {
        key.is_some_and(|key| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':')))
    };
    let line = text.lines().position(is_it).map(|line| line as u64 + 1);
    ConfigProblem { key: key.map(str::to_owned), line, message }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_wrong_names_its_key_and_line() {
        let place = tempfile::tempdir().unwrap();
        let roots = Roots::new(place.path(), &place.path().join("data"));
        let wrong = |text: &str| {
            let found = read(text, &place.path().join("run"), &roots).unwrap_err();
            (found.key, found.line, found.message)
        };
        let (key, line, message) = wrong("stage: sft\nlora_rank: many\ndataset: a.jsonl\n");
        assert_eq!((key.as_deref(), line), (Some("lora_rank"), Some(2)));
        assert!(message.starts_with("lora_rank is `many`"), "{message}");
        let (key, line, message) = wrong("stage: sft\n\ndataset: /etc/passwd\n");
        assert_eq!((key.as_deref(), line), (Some("dataset"), Some(3)), "{message}");
        let (_, line, message) = wrong("stage: [sft\n");
        assert!(line.is_some() && !message.is_empty(), "{message}");
        let (_, _, message) = wrong("- a\n- b\n");
        assert!(!message.is_empty());
        let (key, _, message) = wrong("model_name_or_path: lore-nano\nstage: sft\n");
        assert_eq!(key.as_deref(), Some("dataset"), "{message}");
        let (key, line, _) = wrong("lora_rnk: 3\ndataset: a.jsonl\n");
        assert_eq!((key.as_deref(), line), (Some("lora_rnk"), Some(1)));
    }
}
