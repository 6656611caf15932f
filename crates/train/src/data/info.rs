//! LLaMA-Factory's `dataset_info.json`: names of data sets become files with formats.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::formats::{COLUMNS, TAGS};
use super::{DatasetSpec, Format};
use crate::error::TrainError;

/// The file's name.
const FILE: &str = "dataset_info.json";

/// Columns of data that other stages learn from, with those stages.
const OTHER_STAGES: [(&str, &str); 6] = [
    ("chosen", "rm or dpo"),
    ("rejected", "rm or dpo"),
    ("kto_tag", "kto"),
    ("images", "a model with images"),
    ("videos", "a model with videos"),
    ("audios", "a model with sound"),
];

/// The data sets of these names: entries of `dataset_info.json` in `folder`, or else files, there or from here.
///
/// # Errors
/// When a name is neither, an entry is for another stage or comes from a hub, or a key of it is not known; the message
/// says what to do.
pub fn resolve(folder: &Path, names: &[String]) -> Result<Vec<DatasetSpec>, TrainError> {
    let path = folder.join(FILE);
    let info = if path.is_file() { Some(read(&path)?) } else { None };
    let entry = |name: &String| {
        if let Some(entry) = info.as_ref().and_then(|info| info.get(name)) {
            return spec(folder, name, entry).map_err(|what| TrainError::Data {
                path: path.clone(),
                line: None,
                message: format!("{name:?} {what}"),
            });
        }
        let file = [folder.join(name), PathBuf::from(name)].into_iter().find(|file| file.exists());
        file.map(|path| DatasetSpec::file(name.clone(), path))
            .ok_or_else(|| unknown(folder, info.as_ref(), name))
    };
    names.iter().map(entry).collect()
}

fn read(path: &Path) -> Result<Map<String, Value>, TrainError> {
    let bytes = std::fs::read(path).map_err(|source| TrainError::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes).map_err(|error| TrainError::Data {
        path: path.to_owned(),
        line: Some(error.line()),
        message: format!("it must be an object with an entry for each data set: {error}"),
    })
}

fn unknown(folder: &Path, info: Option<&Map<String, Value>>, name: &str) -> TrainError {
    let known = info.into_iter().flat_map(|info| info.keys());
    let near = known
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .min()
        .filter(|(distance, _)| *distance <= 2 + name.len() / 4);
    let hint = match (near, info) {
        (Some((_, near)), _) => format!("did you mean {near:?}?"),
        (None, Some(_)) => format!("add it to {FILE}, or name a file"),
        (None, None) => format!("the folder has no {FILE}; name a file"),
    };
    let message = format!("there is no data set and no file called {name:?}; {hint}");
    TrainError::Data { path: folder.to_owned(), line: None, message }
}

fn text<'a>(entry: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, String> {
    match entry.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("has a {key} that is no text")),
    }
}

/// Pairs of a map such as `columns`.
fn pairs(entry: &Map<String, Value>, key: &str, known: &[&str]) -> Result<Vec<(String, String)>, String> {
    let map = match entry.get(key) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(map)) => map,
        Some(_) => return Err(format!("has {key} that are no object")),
    };
    let mut pairs = Vec::with_capacity(map.len());
    for (role, name) in map {
        if let Some((_, stage)) = OTHER_STAGES.iter().find(|(other, _)| other == role) {
            return Err(format!(
                "has the column {role}, which is for {stage}, not for the stages pt and sft; choose another data set"
            ));
        }
        if !known.contains(&role.as_str()) {
            return Err(format!("has {key}.{role}; known are {}", known.join(", ")));
        }
        match name {
            Value::String(name) => pairs.push((role.clone(), name.clone())),
            Value::Null => {}
            _ => return Err(format!("has {key}.{role} that is no text")),
        }
    }
    Ok(pairs)
}

fn spec(folder: &Path, name: &str, entry: &Value) -> Result<DatasetSpec, String> {
    let Some(entry) = entry.as_object() else { return Err("is no object; give it a file_name".to_owned()) };
    for hub in ["hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name"] {
        if entry.contains_key(hub) && !entry.contains_key("file_name") {
            return Err(format!(
                "comes from elsewhere ({hub}); nothing is downloaded here: fetch its file and name that as file_name"
            ));
        }
    }
    if entry.get("ranking").and_then(Value::as_bool) == Some(true) {
        return Err("holds answers that are ranked (ranking: true), which the stages rm and dpo learn from; stage: sft \
                    needs one answer to a question"
            .to_owned());
    }
    let known = [
        "file_name",
        "formatting",
        "ranking",
        "columns",
        "tags",
        "num_samples",
        "hf_hub_url",
        "ms_hub_url",
        "om_hub_url",
        "script_url",
        "cloud_file_name",
        "subset",
        "split",
        "folder",
    ];
    if let Some(key) = entry.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("has the key {key}, which is not known; known are {}", known[..6].join(", ")));
    }
    let Some(file) = text(entry, "file_name")? else { return Err("has no file_name".to_owned()) };
    let mut columns = pairs(entry, "columns", &COLUMNS)?;
    columns.extend(pairs(entry, "tags", &TAGS)?);
    let samples = match entry.get("num_samples") {
        None | Some(Value::Null) => None,
        Some(number) => {
            let number = number.as_u64().and_then(|number| usize::try_from(number).ok()).filter(|n| *n > 0);
            Some(number.ok_or("has a num_samples that is no number above 0")?)
        }
    };
    let tagged = |tag: &str, wanted: &str| columns.iter().any(|(known, name)| known == tag && name == wanted);
    let format = match text(entry, "formatting")? {
        Some("alpaca") => Some(Format::Alpaca),
        // The way that OpenAI's messages are declared with tags.
        Some("sharegpt") if tagged("role_tag", "role") && tagged("content_tag", "content") => {
            Some(Format::Messages)
        }
        Some("sharegpt") => Some(Format::Sharegpt),
        Some("openai" | "messages") => Some(Format::Messages),
        Some("text") => Some(Format::Text),
        Some(other) => {
            return Err(format!("has the formatting {other:?}; known are alpaca, sharegpt, openai and text"));
        }
        // LLaMA-Factory takes alpaca; what the first line looks like covers that and plain text.
        None => None,
    };
    let path = folder.join(file);
    if !path.exists() {
        return Err(format!("names the file {}, which is not there", path.display()));
    }
    Ok(DatasetSpec { name: name.to_owned(), path, format, columns, samples })
}
