//! `dataset_info.json`: the data sets of a folder by their names, as LLaMA-Factory describes them.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::Stage;
use crate::data::{DatasetSpec, Format};
use crate::error::TrainError;

/// The descriptions of a folder.
#[derive(Debug)]
pub(super) struct Described {
    folder: PathBuf,
    path: PathBuf,
    entries: Map<String, Value>,
}

impl Described {
    /// Reads those of `folder`; none where there is no such file.
    pub(super) fn read(folder: &Path) -> Result<Self, TrainError> {
        let path = folder.join("dataset_info.json");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "{}".into(),
            Err(source) => return Err(TrainError::Read { path, source }),
        };
        match serde_json::from_str(&text) {
            Ok(Value::Object(entries)) => Ok(Self { folder: folder.to_owned(), path, entries }),
            Ok(_) => Err(TrainError::Config { path, message: "is no object of data sets".into() }),
            Err(error) => Err(TrainError::Config { path, message: format!("no valid JSON: {error}") }),
        }
    }

    /// Where relative files lie.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The data set of this name.
    pub(super) fn find(
        &self,
        name: &str,
        stage: Stage,
        notes: &mut Vec<String>,
    ) -> Result<Option<DatasetSpec>, TrainError> {
        let Some(entry) = self.entries.get(name) else { return Ok(None) };
        let fail = |message: String| {
            Err(TrainError::Config {
                path: self.path.clone(),
                message: format!("data set `{name}` {message}"),
            })
        };
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        for elsewhere in ["hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name"] {
            if let Some(url) = text(elsewhere) {
                return fail(format!(
                    "lies elsewhere (`{url}`); download it, and put its file into file_name in the place of {elsewhere}"
                ));
            }
        }
        let Some(file) = text("file_name") else { return fail("names no file; add file_name".into()) };
        if entry.get("ranking").and_then(Value::as_bool) == Some(true) {
            return fail("holds preferences (ranking), which stage sft does not read; choose another".into());
        }
        if entry.get("num_samples").is_some_and(|count| !count.is_null()) {
            notes.push(format!("num_samples of data set `{name}` has no effect: use max_samples"));
        }
        let mut columns = Vec::new();
        for group in ["columns", "tags"] {
            let named = match entry.get(group) {
                None | Some(Value::Null) => continue,
                Some(Value::Object(named)) => named,
                Some(_) => return fail(format!("has {group} that are no object")),
            };
            for (role, column) in named {
                if ["images", "videos", "audios"].contains(&role.as_str()) {
                    return fail(format!("has {role}; only text is read"));
                }
                let Some(column) = column.as_str() else { return fail(format!("has no text in {role}")) };
                columns.push((role.clone(), column.to_owned()));
            }
        }
        let format = match (stage, text("formatting").unwrap_or("alpaca")) {
            // Text is in the column of prompts.
            (Stage::Pt, "alpaca") => {
                let column =
                    columns.iter().find(|(role, _)| role == "prompt").map(|(_, column)| column.clone());
                columns = column.map(|column| ("text".to_owned(), column)).into_iter().collect();
                Format::Text
            }
            (Stage::Pt, _) => return fail("holds conversations; stage pt reads plain text".into()),
            (Stage::Sft, "alpaca") => Format::Alpaca,
            (Stage::Sft, "sharegpt") => Format::Sharegpt,
            (Stage::Sft, "openai") => Format::Messages,
            (Stage::Sft, other) => {
                return fail(format!("has formatting `{other}`; known are alpaca, sharegpt, openai"));
            }
        };
        let path = self.folder.join(file);
        if !path.exists() {
            return fail(format!("is to be in {}, and there is no such file", path.display()));
        }
        Ok(Some(DatasetSpec { name: name.to_owned(), path, format: Some(format), columns }))
    }
}
