//! A data set's files become records.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::formats::{Names, detect};
use super::lines::{Element, Elements};
use super::record::{Body, Record};
use super::{DatasetSpec, Format};
use crate::config::Stage;
use crate::error::TrainError;

/// Longest document of a plain text file, in bytes; what comes after is another.
const LONGEST: usize = 16 << 20;
/// A line that parts the documents of a plain text file.
const PARTING: &str = "<|endoftext|>";
/// Files that are documents.
const DOCUMENTS: [&str; 4] = ["txt", "text", "md", "markdown"];
/// Files of elements.
const ELEMENTS: [&str; 3] = ["jsonl", "json", "ndjson"];
/// Files that are not read.
const OTHERS: [&str; 10] = ["csv", "tsv", "parquet", "arrow", "gz", "zst", "zip", "xlsx", "pdf", "docx"];

/// A line of a data set.
pub(super) struct Line {
    /// Its file.
    pub path: PathBuf,
    /// Its number, from 1.
    pub line: usize,
    /// Data set and line.
    pub id: String,
    /// What it says, or what is wrong with it.
    pub record: Result<Record, String>,
}

/// Gives `take` every line of a data set until it breaks; returns the format.
///
/// # Errors
/// When a file cannot be read or is of no known format.
pub(super) fn read(
    spec: &DatasetSpec,
    stage: Stage,
    take: &mut dyn FnMut(Line) -> Result<ControlFlow<()>, TrainError>,
) -> Result<Option<Format>, TrainError> {
    let mut names: Option<(Format, Names)> = None;
    let folder = spec.path.is_dir();
    let files = if folder { inside(&spec.path)? } else { vec![spec.path.clone()] };
    if folder && files.is_empty() {
        let known = [ELEMENTS.as_slice(), DOCUMENTS.as_slice()].concat().join(", .");
        return Err(failed(&spec.path, None, format!("the folder has no file that ends in .{known}")));
    }
    for path in files {
        let prefix = match path.strip_prefix(&spec.path) {
            Ok(inner) if folder => format!("{}/{}", spec.name, inner.display()),
            _ => spec.name.clone(),
        };
        let mut give = |line: usize, record| {
            take(Line { path: path.clone(), line, id: format!("{prefix}:{line}"), record })
        };
        let ending = ending(&path);
        let flow = if OTHERS.contains(&ending.as_str()) {
            let message =
                format!(".{ending} files are not read; write its examples as .jsonl, one object a line");
            return Err(failed(&path, None, message));
        } else if DOCUMENTS.contains(&ending.as_str()) {
            if stage != Stage::Pt {
                let message =
                    "is plain text, which stage: pt learns; stage: sft needs questions with answers";
                return Err(failed(&path, None, message.to_owned()));
            }
            names.get_or_insert_with(|| (Format::Text, Names::new(Format::Text, spec, &Map::new())));
            documents(&path, &mut give)?
        } else {
            elements(&path, spec, stage, &mut names, &mut give)?
        };
        if flow.is_break() {
            break;
        }
    }
    Ok(names.map(|(format, _)| format))
}

fn failed(path: &Path, line: Option<usize>, message: String) -> TrainError {
    TrainError::Data { path: path.to_owned(), line, message }
}

fn ending(path: &Path) -> String {
    path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// The files of a folder and of those in it, in the order of their names.
fn inside(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let wrong = |source| TrainError::Read { path: folder.to_owned(), source };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        entries.push((entry.path(), entry.file_type().map_err(wrong)?));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    let mut files = Vec::new();
    for (path, kind) in entries {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let ending = ending(&path);
        let known = ELEMENTS.contains(&ending.as_str()) || DOCUMENTS.contains(&ending.as_str());
        let described = path.file_name().is_some_and(|name| name == "dataset_info.json");
        if kind.is_dir() && !hidden {
            files.extend(inside(&path)?);
        } else if !kind.is_dir() && known && !described {
            files.push(path);
        }
    }
    Ok(files)
}

type Give<'a> = &'a mut dyn FnMut(usize, Result<Record, String>) -> Result<ControlFlow<()>, TrainError>;

/// The objects of a file of JSON.
fn elements(
    path: &Path,
    spec: &DatasetSpec,
    stage: Stage,
    names: &mut Option<(Format, Names)>,
    give: Give<'_>,
) -> Result<ControlFlow<()>, TrainError> {
    let wrong = |source| TrainError::Read { path: path.to_owned(), source };
    let mut elements = Elements::new(BufReader::with_capacity(1 << 16, File::open(path).map_err(wrong)?));
    let mut first = true;
    while let Some(Element { line, json }) = elements.next().map_err(wrong)? {
        let value = json.and_then(|json| {
            serde_json::from_slice::<Value>(&json).map_err(|error| {
                if first && error.is_eof() && elements.is_lines() {
                    "the object does not end on its line; write one object a line, or an array of objects"
                        .to_owned()
                } else {
                    format!("is no JSON: {}", told(&error))
                }
            })
        });
        let record = match value {
            Ok(Value::Object(object)) => {
                if names.is_none() {
                    let format = spec.format.map_or_else(|| detect(&object, spec), Ok);
                    let format = format.map_err(|what| failed(path, Some(line), what))?;
                    *names = Some((format, Names::new(format, spec, &object)));
                }
                names.as_ref().map_or_else(|| Err(String::new()), |(_, names)| names.record(&object, stage))
            }
            Ok(_) => Err("is no object".to_owned()),
            Err(what) => Err(what),
        };
        first = false;
        if give(line, record)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// serde_json's message, with the column only: the line is that of the element.
fn told(error: &serde_json::Error) -> String {
    let full = error.to_string();
    let message = full.split(" at line ").next().unwrap_or(&full);
    format!("{message} at column {}", error.column())
}

/// The documents of a file of plain text.
fn documents(path: &Path, give: Give<'_>) -> Result<ControlFlow<()>, TrainError> {
    let wrong = |source| TrainError::Read { path: path.to_owned(), source };
    let mut reader = BufReader::new(File::open(path).map_err(wrong)?);
    let (mut bytes, mut begin, mut line) = (Vec::new(), 1, 0);
    let (mut parted, mut whole_line) = (false, true);
    loop {
        let before = bytes.len();
        let room = (LONGEST - before) as u64;
        let read = (&mut reader).take(room).read_until(b'\n', &mut bytes).map_err(wrong)?;
        let begun = whole_line;
        whole_line = bytes.last() == Some(&b'\n');
        line += usize::from(whole_line);
        let parting = begun && std::str::from_utf8(&bytes[before..]).is_ok_and(|text| text.trim() == PARTING);
        if parting {
            bytes.truncate(before);
            parted = true;
        }
        if read > 0 && !parting && bytes.len() < LONGEST {
            continue;
        }
        // A line that is cut is cut between characters.
        let rest = match std::str::from_utf8(&bytes) {
            Err(error) if read > 0 && !whole_line && error.error_len().is_none() => {
                bytes.split_off(error.valid_up_to())
            }
            _ => Vec::new(),
        };
        let whole = std::mem::replace(&mut bytes, rest);
        let record = match String::from_utf8(whole) {
            Ok(text) if text.trim().is_empty() && (parted || read == 0) => None,
            Ok(text) => {
                let text = text.trim_start_matches('\u{feff}').to_owned();
                Some(Ok(Record { id: None, documents: Vec::new(), body: Body::Text(text) }))
            }
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let lines = error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count();
                begin += lines;
                Some(Err("is not UTF-8; save the file as UTF-8".to_owned()))
            }
        };
        if let Some(record) = record
            && give(begin, record)?.is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
        if read == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        begin = line + 1;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_enormous_line_is_cut_between_characters() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        // Three bytes each, which the limit is no multiple of.
        let long = "字".repeat(LONGEST / 3 + 10);
        std::fs::write(&path, format!("{long}\nLast.\n")).unwrap();
        let mut found = Vec::new();
        let flow = documents(&path, &mut |line, record| {
            let Body::Text(text) = record.unwrap().body else { panic!() };
            found.push((line, text));
            Ok(ControlFlow::Continue(()))
        });
        assert!(flow.unwrap().is_continue());
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 1]);
        assert!(found.iter().all(|(_, text)| text.len() <= LONGEST));
        assert!(
            found.iter().map(|(_, text)| text.as_str()).collect::<String>() == format!("{long}\nLast.\n")
        );
    }
}
