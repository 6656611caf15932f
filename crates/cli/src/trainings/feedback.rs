//! What people said of answers, as questions that can be learned from: with the better answer that they wrote, or the answer
//! that they liked, and the quotes beneath it as sources.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use lore_core::{Access, DocumentId};
use lore_index::{Catalog, Feedback, NewFeedback, Rating};
use lore_query::cite;
use lore_query::training::id_mark;
use serde_json::{Value, json};

/// The folder of data sets in the data folder.
pub const FOLDER: &str = "datasets";
/// The data set of feedback.
const FILE: &str = "feedback.jsonl";
/// Most pieces of feedback that are looked at.
const MOST: usize = 100_000;
/// The greatest number that is taken for a citation's.
const MARKERS: u32 = 999;

/// The file in `data_dir`.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FOLDER).join(FILE)
}

/// Writes the file anew; gives the number of pairs, and removes the file where there is none. Quotes of documents that were
/// deleted are left out.
///
/// # Errors
/// Fails where the catalog does, and where the file cannot be written.
pub fn renew(data_dir: &Path, catalog: &Catalog) -> anyhow::Result<u64> {
    let given = catalog.feedback(MOST)?;
    let cited = given.iter().flat_map(|one| one.feedback.documents()).collect();
    let there = catalog.readable_documents(&cited, &Access::All)?;
    let lines: Vec<String> =
        given.iter().filter_map(|one| pair(one, &there)).map(|pair| pair.to_string()).collect();
    let path = path(data_dir);
    let write = || {
        let folder = path.parent().unwrap_or(data_dir);
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        std::io::Write::write_all(&mut file, (lines.join("\n") + "\n").as_bytes())?;
        file.persist(&path)?;
        anyhow::Ok(())
    };
    if lines.is_empty() {
        let _ = std::fs::remove_file(&path);
        return Ok(0);
    }
    write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(lines.len() as u64)
}

/// As [`renew`], where a configuration names the file.
///
/// # Errors
/// As [`renew`].
pub fn renew_for(config: &str, data_dir: &Path, catalog: &Catalog) -> anyhow::Result<()> {
    if config.contains(FILE) {
        renew(data_dir, catalog)?;
    }
    Ok(())
}

/// How many pieces of feedback were learned, by the marks of what was.
///
/// # Errors
/// Fails where the catalog does.
pub fn learned(catalog: &Catalog, learned: &BTreeSet<String>) -> anyhow::Result<u64> {
    if learned.is_empty() {
        return Ok(0);
    }
    let of = |feedback: &&Feedback| learned.contains(&id_mark(&id(feedback)));
    Ok(catalog.feedback(MOST)?.iter().filter(of).count() as u64)
}

fn id(feedback: &Feedback) -> String {
    format!("feedback-{}", feedback.id)
}

/// A question with its answer and sources, as our own question files have them, sources in documents that are `there`; `None`
/// where nothing can be learned from it.
fn pair(feedback: &Feedback, there: &BTreeSet<DocumentId>) -> Option<Value> {
    let said = &feedback.feedback;
    let better = said.better_answer.as_deref().map(str::trim).filter(|answer| !answer.is_empty());
    let answer = match (better, said.rating) {
        (Some(better), _) => better.to_owned(),
        (None, Rating::Up) => cite::parse(&said.answer, MARKERS).0.trim().to_owned(),
        (None, Rating::Down) => return None,
    };
    let sources: Vec<Value> = said
        .citations
        .iter()
        .filter(|citation| NewFeedback::document_of(citation).is_some_and(|id| there.contains(&id)))
        .filter_map(|citation| {
            let text = |key: &str| citation[key].as_str().map(str::trim).filter(|text| !text.is_empty());
            Some(json!({"document": text("name")?, "quote": text("quote")?}))
        })
        .collect();
    if sources.is_empty() || answer.is_empty() || said.question.trim().is_empty() {
        return None;
    }
    let chinese = said.question.chars().any(|c| matches!(c as u32, 0x4e00..=0x9fff));
    Some(json!({
        "id": id(feedback), "lang": if chinese { "zh" } else { "en" }, "question": said.question.trim(),
        "answer": answer, "sources": sources, "answerable": true, "kind": "feedback",
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use lore_core::{DocumentMeta, Format};
    use lore_index::{AclChoice, NewDocument};
    use lore_query::eval::dataset::own_questions;
    use lore_query::training::marks;

    use super::*;

    #[test]
    fn feedback_becomes_questions_that_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(folder.path()).unwrap();
        assert_eq!(renew(folder.path(), &catalog).unwrap(), 0);
        let add = |rating, better: Option<&str>, citations: Vec<Value>| {
            let new = NewFeedback {
                question: "多少天?".into(),
                answer: "30 [1]".into(),
                rating,
                reason: None,
                better_answer: better.map(str::to_owned),
                citations,
            };
            catalog.add_feedback("local", &new, 100).unwrap()
        };
        let document = |name: &str| {
            let new = NewDocument {
                source: format!("upload:{name}"),
                name: name.to_owned(),
                format: Format::Md,
                meta: DocumentMeta::default(),
                acl: AclChoice::Keep,
            };
            catalog.commit_failure(&new, None, "unreadable", "test").unwrap()
        };
        let (kept, gone) = (document("a.md"), document("b.md"));
        let cited = || vec![json!({"document": kept, "name": "a.md", "quote": "30 days of vacation"})];
        let up = add(Rating::Up, None, cited());
        add(Rating::Down, None, cited());
        add(Rating::Down, Some("31"), cited());
        add(Rating::Up, None, Vec::new());
        add(Rating::Up, None, vec![json!({"document": gone, "name": "b.md", "quote": "no longer there"})]);
        assert_eq!(renew(folder.path(), &catalog).unwrap(), 3);
        catalog.delete(gone).unwrap();
        assert_eq!(renew(folder.path(), &catalog).unwrap(), 2);
        let read = own_questions(&path(folder.path())).unwrap();
        assert_eq!(read.iter().map(|q| q.answers[0][0].as_str()).collect::<Vec<_>>(), ["31", "30"]);
        assert_eq!((read[1].lang.as_str(), read[1].sources[0].document.as_str()), ("zh", "a.md"));
        let marks: BTreeSet<String> = marks(&read[1]).into();
        assert_eq!(read[1].id, format!("feedback-{}", up.id));
        assert_eq!(learned(&catalog, &marks).unwrap(), 1);
    }
}
