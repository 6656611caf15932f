//! The keys of a configuration with the lines they stand in: taken one by one, each with what it may be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_saphyr::Spanned;

use super::other;
use super::value::Value;
use crate::error::TrainError;

/// What a number may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Allowed {
    /// Any but those below the first.
    From(f64),
    /// Any above the first.
    Above(f64),
    /// From the first to the second.
    Within(f64, f64),
    /// From the first to below the second.
    Below(f64, f64),
}

impl Allowed {
    fn holds(self, number: f64) -> bool {
        number.is_finite()
            && match self {
                Self::From(least) => number >= least,
                Self::Above(bound) => number > bound,
                Self::Within(least, most) => (least..=most).contains(&number),
                Self::Below(least, bound) => (least..bound).contains(&number),
            }
    }
}

impl std::fmt::Display for Allowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::From(least) => write!(f, "a number from {least} on"),
            Self::Above(bound) => write!(f, "a number above {bound}"),
            Self::Within(least, most) => write!(f, "a number from {least} to {most}"),
            Self::Below(least, bound) => write!(f, "a number from {least} to below {bound}"),
        }
    }
}

/// Where a key stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    Line(u64),
    CommandLine,
}

/// All keys that were set.
#[derive(Debug)]
pub(super) struct Keys {
    path: PathBuf,
    entries: BTreeMap<String, (Value, Place)>,
    /// Every key that was asked for, which is every key that is known.
    known: Vec<&'static str>,
    /// What a person should be told of the keys.
    pub(super) notes: Vec<String>,
}

impl Keys {
    /// Reads the text of file `path`, and lays `overrides` (`key=value`) over it.
    pub(super) fn parse(text: &str, path: &Path, overrides: &[String]) -> Result<Self, TrainError> {
        let mut keys =
            Self { path: path.to_owned(), entries: BTreeMap::new(), known: Vec::new(), notes: Vec::new() };
        let has_content = text.lines().any(|line| !matches!(line.trim().chars().next(), None | Some('#')));
        if has_content {
            let read: BTreeMap<String, Spanned<Value>> =
                serde_saphyr::from_str(text).map_err(|error| unreadable(path, &error))?;
            for (key, value) in read {
                let place = Place::Line(value.referenced.line());
                keys.entries.insert(key, (value.value, place));
            }
        }
        for written in overrides {
            let Some((key, value)) = written.split_once('=') else {
                let message = format!("`{written}` is no key=value, such as learning_rate=1e-4");
                return Err(TrainError::Key { place: COMMAND_LINE.into(), key: None, line: None, message });
            };
            let key = key.trim().trim_start_matches("--").to_owned();
            // A value that YAML cannot read is taken as it is written.
            let value = match value.trim() {
                "" => Value::Null,
                value => serde_saphyr::from_str(value).unwrap_or_else(|_| Value::Text(value.to_owned())),
            };
            keys.entries.insert(key, (value, Place::CommandLine));
        }
        Ok(keys)
    }

    /// An error of `key`, with the place where it stands.
    pub(super) fn error(&self, key: &str, message: impl Into<String>) -> TrainError {
        let line = match self.entries.get(key) {
            Some((_, Place::Line(line))) => Some(*line),
            _ => None,
        };
        let place = match self.entries.get(key) {
            Some((_, Place::CommandLine)) => COMMAND_LINE.to_owned(),
            _ => in_file(&self.path, line),
        };
        TrainError::Key { place, key: Some(key.to_owned()), line, message: message.into() }
    }

    /// The error of a key whose value is not what it may be.
    fn wrong(&self, key: &str, value: &Value, wanted: &str) -> TrainError {
        self.error(key, format!("{key} is {value}; set it to {wanted}"))
    }

    /// Whether `key` is set to something.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|(value, _)| *value != Value::Null)
    }

    fn get(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.entries.get(key).map(|(value, _)| value.clone()).filter(|value| *value != Value::Null)
    }

    fn read<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, TrainError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match read(&value) {
            Some(read) => Ok(Some(read)),
            None => Err(self.wrong(key, &value, wanted)),
        }
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Result<Option<bool>, TrainError> {
        self.read(key, "true or false", Value::flag)
    }

    pub(super) fn whole(
        &mut self,
        key: &'static str,
        least: i128,
        most: i128,
    ) -> Result<Option<i128>, TrainError> {
        let wanted = format!("a whole number from {least} to {most}");
        self.read(key, &wanted, |value| value.whole().filter(|number| (least..=most).contains(number)))
    }

    /// A number of things, at least `least`.
    pub(super) fn count(&mut self, key: &'static str, least: u32) -> Result<Option<usize>, TrainError> {
        let read = self.whole(key, least.into(), i128::from(MOST))?;
        Ok(read.and_then(|number| usize::try_from(number).ok()))
    }

    pub(super) fn number(&mut self, key: &'static str, allowed: Allowed) -> Result<Option<f64>, TrainError> {
        self.read(key, &allowed.to_string(), |value| value.number().filter(|number| allowed.holds(*number)))
    }

    /// One of some words; what is in none of them is told all.
    pub(super) fn choice<T: Clone>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, TrainError> {
        let wanted = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        self.read(key, &format!("one of {wanted}"), |value| {
            let given = value.word()?.to_ascii_lowercase();
            words.iter().find(|(word, _)| *word == given).map(|(_, meaning)| meaning.clone())
        })
    }

    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<String>, TrainError> {
        self.read(key, "a text", |value| value.word().filter(|text| !text.is_empty()))
    }

    pub(super) fn words(&mut self, key: &'static str) -> Result<Option<Vec<String>>, TrainError> {
        self.read(key, "a list, or a text with commas", Value::words)
    }

    /// A map, or a text with one.
    pub(super) fn map(&mut self, key: &'static str) -> Result<Vec<(String, Value)>, TrainError> {
        let read = self.read(key, "a map, such as {min_lr_rate: 0.1}", |value| match value {
            Value::Map(entries) => Some(entries.clone()),
            Value::Text(text) => match serde_saphyr::from_str(text) {
                Ok(Value::Map(entries)) => Some(entries),
                _ => None,
            },
            _ => None,
        })?;
        Ok(read.unwrap_or_default())
    }

    /// The value itself.
    pub(super) fn any(&mut self, key: &'static str) -> Option<Value> {
        self.get(key)
    }

    /// Notes that a key changes nothing, if it is set.
    pub(super) fn without_effect(&mut self, keys: &[&str], why: &str) {
        let set: Vec<&str> = keys.iter().copied().filter(|key| self.has(key)).collect();
        if !set.is_empty() {
            let verb = if set.len() == 1 { "has" } else { "have" };
            self.notes.push(format!("{} {verb} no effect: {why}", set.join(", ")));
        }
    }

    /// Looks at the keys that nobody asked for: some have no effect here, and the others are errors.
    pub(super) fn finish(&mut self) -> Result<(), TrainError> {
        let mut wrong: Vec<(u64, &str, String)> = Vec::new();
        let mut notes: Vec<(&'static str, Vec<&str>)> = Vec::new();
        for (key, (value, place)) in &self.entries {
            if self.known.contains(&key.as_str()) {
                continue;
            }
            let line = match place {
                Place::Line(line) => *line,
                Place::CommandLine => u64::MAX,
            };
            if let Some(why) = other::without_effect(key) {
                if value.asks_for_nothing() {
                    continue;
                }
                match notes.iter_mut().find(|(known, _)| *known == why) {
                    Some((_, keys)) => keys.push(key),
                    None => notes.push((why, vec![key])),
                }
            } else if let Some(instead) = other::unsupported(key) {
                if !value.asks_for_nothing() && !other::is_default(key, value) {
                    wrong.push((line, key, format!("{key} is not supported: {instead}")));
                }
            } else {
                let message = match nearest(key, &self.known) {
                    Some(near) => format!("unknown key `{key}`; did you mean `{near}`?"),
                    None => format!("unknown key `{key}`; the files in configs/train tell the keys"),
                };
                wrong.push((line, key, message));
            }
        }
        for (why, keys) in notes {
            let verb = if keys.len() == 1 { "has" } else { "have" };
            self.notes.push(format!("{} {verb} no effect: {why}", keys.join(", ")));
        }
        // All of them at once, so that a file from elsewhere is not mended one key a try.
        wrong.sort();
        let Some((_, first, _)) = wrong.first() else { return Ok(()) };
        let more = wrong.iter().skip(1).map(|(line, _, message)| match line {
            &u64::MAX => format!("; {message}"),
            line => format!("; line {line}: {message}"),
        });
        let message = wrong[0].2.clone() + &more.collect::<String>();
        Err(self.error(first, message))
    }
}

/// Where overrides stand.
const COMMAND_LINE: &str = "command line";
/// Most of anything that is counted.
const MOST: u32 = 1_000_000_000;

/// The known key that is most like `given`, if any is much like it.
fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let given = given.to_ascii_lowercase().replace('-', "_");
    let likeness = |key: &str| {
        strsim::normalized_damerau_levenshtein(&given, key).max(strsim::jaro_winkler(&given, key) - 0.05)
    };
    known
        .iter()
        .map(|key| (likeness(key), *key))
        .filter(|(likeness, _)| *likeness >= 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, key)| key)
}

fn unreadable(path: &Path, error: &serde_saphyr::Error) -> TrainError {
    let error = error.without_snippet();
    let line = error.location().map(|at| at.line());
    let place = in_file(path, line);
    if let serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } = error {
        let message = format!("key `{key}` is there twice; leave one out");
        return TrainError::Key { place, key: Some(key.to_owned()), line, message };
    }
    let whole = error.to_string();
    let said = whole.lines().next().unwrap_or("not valid YAML");
    // The place is told already.
    let message = said.split_once(" at line ").map_or(said, |(said, _)| said).to_owned();
    TrainError::Key { place, key: None, line, message }
}

/// A line of the file at `path`, for people.
fn in_file(path: &Path, line: Option<u64>) -> String {
    let path = path.display();
    line.map_or_else(|| path.to_string(), |line| format!("{path}, line {line}"))
}
