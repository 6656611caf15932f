//! Exercises that are made of documents before a training reads its data (`invent_from`).

use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use lore_core::{Limits, Message, Quotes, Role};
use lore_ingest::parse;
use lore_ingest::source::files::walk;
use lore_query::quote::highlight::MARK;
use lore_query::quote::prompt::{Line, quotes_chat};
use lore_query::readable;
use lore_train::config::InventSettings;
use lore_train::invent::{Exercise, Inventor, Source, highlighted};
use serde_json::json;

use crate::progress::{self, Progress, Unit};

/// Most bytes of text that exercises are made of.
const MOST_TEXT: usize = 64 << 20;

/// Writes the exercises of `settings` to `path`, as lines of messages.
///
/// # Errors
/// Fails where a folder cannot be read or holds no sentence, and where the file cannot be written.
pub fn write(settings: &InventSettings, limits: &Limits, path: &Path) -> anyhow::Result<()> {
    let sources = sources(settings, limits)?;
    if sources.is_empty() {
        bail!("invent_from names documents without a sentence; name folders with text");
    }
    progress::say(&format!("{} sentences to make exercises of", sources.len()));
    let inventor = Inventor::new(sources, settings.config);
    let shown = Progress::new("making exercises", Unit::Count("exercises"));
    let total = settings.config.count as u64;
    let writing = || {
        let mut file = BufWriter::new(std::fs::File::create(path)?);
        for (done, exercise) in (1..).zip(inventor.exercises()) {
            serde_json::to_writer(&mut file, &line(done, &exercise, settings.words))?;
            file.write_all(b"\n")?;
            shown.set(done as u64, total);
        }
        file.flush()?;
        anyhow::Ok(())
    };
    writing().with_context(|| format!("cannot write {}", path.display()))?;
    shown.finish("");
    Ok(())
}

/// The sentences of all documents, those that only some people may read left out.
fn sources(settings: &InventSettings, limits: &Limits) -> anyhow::Result<Vec<Source>> {
    let (mut out, mut bytes, mut document) = (Vec::new(), 0usize, 0);
    let mut failed = Vec::new();
    for path in &settings.from {
        let found = walk(path, &[]).with_context(|| format!("cannot read {}", path.display()))?;
        failed.extend(found.errors);
        for file in found.files.iter().filter(|file| file.meta.acl.0.is_empty()) {
            let read = || {
                let bytes = std::fs::read(&file.path)?;
                let format = parse::detect(&file.name, &bytes)?;
                anyhow::Ok(parse::parse(format, &bytes, &file.name, limits)?)
            };
            let parsed = match read() {
                Ok(parsed) => parsed,
                Err(error) => {
                    failed.push(format!("{}: {error:#}", file.name));
                    continue;
                }
            };
            bytes += parsed.text.len();
            if bytes > MOST_TEXT {
                progress::say(&format!("only the first {} MB of text are used", MOST_TEXT >> 20));
                return Ok(out);
            }
            let title = parsed.title.clone().unwrap_or_default();
            document += 1;
            out.extend(readable(&parsed).into_iter().map(|sentence| Source {
                document,
                title: title.clone(),
                heading: sentence.heading.unwrap_or_default(),
                text: sentence.text,
            }));
        }
    }
    for failed in failed.iter().take(5) {
        progress::say(&format!("left out {failed}"));
    }
    Ok(out)
}

/// An exercise as serving would show and read it.
fn line(number: usize, exercise: &Exercise, words: bool) -> serde_json::Value {
    let shared = exercise.shared();
    let of_sentence = |text: &str| highlighted(text, &shared.asked, MARK);
    let of_question = |text: &str| highlighted(text, &shared.found, MARK);
    let lines: Vec<Line> = exercise
        .sentences
        .iter()
        .map(|shown| Line::new(&shown.title, Some(&shown.heading), &shown.text, &of_sentence, shown.marks))
        .collect();
    let mut messages: Vec<Message> =
        quotes_chat(&exercise.question, &lines, &of_question, exercise.confidence);
    let mut answer = String::new();
    for (index, told) in &exercise.answer {
        answer.push_str(&Quotes::tag(index + 1));
        // What the line shows is what may be said.
        if let Some(told) = told.as_deref().filter(|told| words && lines[*index].text.contains(told)) {
            answer.push(' ');
            answer.push_str(told);
        }
    }
    if answer.is_empty() {
        answer.push_str(Quotes::NONE);
    }
    messages.push(Message::new(Role::Assistant, answer));
    json!({"id": format!("exercise-{number}"), "messages": messages})
}
