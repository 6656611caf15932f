//! Data sets: BEIR folders, SQuAD-format files, and our own question files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lore_core::Turn;
use serde::Deserialize;

use crate::error::{QueryError, Result};

/// A document of a data set, to be ingested under `name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalDocument {
    /// The data set's identifier; the document's name in the catalog.
    pub name: String,
    /// Its title, if it has one.
    pub title: Option<String>,
    /// Its text.
    pub text: String,
}

/// Documents, queries and relevance judgements.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetrievalSet {
    /// The documents.
    pub documents: Vec<EvalDocument>,
    /// Query id to text; only queries with judgements.
    pub queries: BTreeMap<String, String>,
    /// Query id to document name to gain (above 0).
    pub judgements: BTreeMap<String, BTreeMap<String, u32>>,
}

/// Where the answer of a question stands.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldSource {
    /// Name of the document.
    pub document: String,
    /// The supporting text, verbatim from the parsed text; empty where only the document is known.
    #[serde(default)]
    pub quote: String,
}

/// A question with its known answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalQuestion {
    /// Identifier.
    pub id: String,
    /// `en`, `zh`, ...
    pub lang: String,
    /// The question.
    pub question: String,
    /// Earlier turns.
    pub history: Vec<Turn>,
    /// Groups of the asker.
    pub groups: BTreeSet<String>,
    /// Right answers, any of which is right; each may have several parts that must all be there.
    pub answers: Vec<Vec<String>>,
    /// Where the answer stands.
    pub sources: Vec<GoldSource>,
    /// Whether the documents answer it.
    pub answerable: bool,
    /// `lookup`, `table`, ...
    pub kind: String,
}

#[derive(Deserialize)]
struct BeirDocument {
    _id: String,
    #[serde(default)]
    title: String,
    text: String,
}

#[derive(Deserialize)]
struct BeirQuery {
    _id: String,
    text: String,
}

#[derive(Deserialize)]
struct Squad {
    data: Vec<SquadArticle>,
}

#[derive(Deserialize)]
struct SquadArticle {
    #[serde(default)]
    title: String,
    paragraphs: Vec<SquadParagraph>,
}

#[derive(Deserialize)]
struct SquadParagraph {
    context: String,
    qas: Vec<SquadQuestion>,
}

#[derive(Deserialize)]
struct SquadQuestion {
    id: String,
    question: String,
    #[serde(default)]
    is_impossible: bool,
    #[serde(default)]
    answers: Vec<SquadAnswer>,
}

#[derive(Deserialize)]
struct SquadAnswer {
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnQuestion {
    id: String,
    lang: String,
    question: String,
    answer: String,
    sources: Vec<GoldSource>,
    answerable: bool,
    kind: String,
    #[serde(default)]
    history: Vec<Turn>,
    #[serde(default)]
    groups: BTreeSet<String>,
}

/// Reads a BEIR folder (`corpus.jsonl`, `queries.jsonl`, `qrels/SPLIT.tsv`; Thakur et al. 2021), or the answerable
/// questions of a SQuAD-format file with its paragraphs as documents.
///
/// # Errors
/// Names the file and line that cannot be read.
pub fn retrieval_set(path: &Path, split: &str) -> Result<RetrievalSet> {
    if path.is_file() {
        let (documents, questions) = squad(path)?;
        let mut set = RetrievalSet { documents, ..RetrievalSet::default() };
        for question in questions.into_iter().filter(|q| q.answerable) {
            let gains = question.sources.iter().map(|s| (s.document.clone(), 1)).collect();
            set.judgements.insert(question.id.clone(), gains);
            set.queries.insert(question.id, question.question);
        }
        return Ok(set);
    }
    let documents = lines(&path.join("corpus.jsonl"), |line| {
        let document: BeirDocument = serde_json::from_str(line)?;
        let title = Some(document.title).filter(|t| !t.is_empty());
        Ok(EvalDocument { name: document._id, title, text: document.text })
    })?;
    let all: BTreeMap<String, String> = lines(&path.join("queries.jsonl"), |line| {
        let query: BeirQuery = serde_json::from_str(line)?;
        Ok((query._id, query.text))
    })?
    .into_iter()
    .collect();
    let qrels = path.join("qrels").join(format!("{split}.tsv"));
    let mut judgements: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
    for (number, line) in read(&qrels)?.lines().enumerate() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [query, document, gain] = fields[..] else {
            if line.trim().is_empty() {
                continue;
            }
            return Err(bad(&qrels, number + 1, "expected `query<TAB>document<TAB>score`"));
        };
        match gain.trim().parse::<i64>() {
            Ok(gain) if gain > 0 => {
                judgements.entry(query.into()).or_default().insert(document.into(), gain as u32);
            }
            Ok(_) => {}
            Err(_) if number == 0 => {}
            Err(_) => return Err(bad(&qrels, number + 1, "the score is not a whole number")),
        }
    }
    let queries = all.into_iter().filter(|(id, _)| judgements.contains_key(id)).collect();
    Ok(RetrievalSet { documents, queries, judgements })
}

/// Reads a SQuAD-format file (1.1 or 2.0; Rajpurkar et al. 2016, 2018): each paragraph is a document named
/// `ARTICLE/NUMBER`, each question has that paragraph as its source.
///
/// # Errors
/// Names the file, and the line where the JSON breaks.
pub fn squad(path: &Path) -> Result<(Vec<EvalDocument>, Vec<EvalQuestion>)> {
    let text = read(path)?;
    let squad: Squad =
        serde_json::from_str(&text).map_err(|e| bad(path, e.line(), &format!("not SQuAD's format: {e}")))?;
    let mut documents = Vec::new();
    let mut questions = Vec::new();
    for (a, article) in squad.data.into_iter().enumerate() {
        let title = if article.title.is_empty() { format!("article-{a}") } else { article.title };
        for (p, paragraph) in article.paragraphs.into_iter().enumerate() {
            let name = format!("{title}/{p:03}");
            let lang = crate::text::language(&paragraph.context).to_owned();
            for qa in paragraph.qas {
                let answerable = !qa.is_impossible && !qa.answers.is_empty();
                let mut answers: Vec<Vec<String>> = qa.answers.into_iter().map(|a| vec![a.text]).collect();
                answers.dedup();
                questions.push(EvalQuestion {
                    id: qa.id,
                    lang: lang.clone(),
                    question: qa.question,
                    history: Vec::new(),
                    groups: BTreeSet::new(),
                    answers: if answerable { answers } else { Vec::new() },
                    // What has no answer was asked about a paragraph, too.
                    sources: vec![GoldSource { document: name.clone(), quote: String::new() }],
                    answerable,
                    kind: if answerable { "lookup".into() } else { "unanswerable".into() },
                });
            }
            documents.push(EvalDocument {
                name,
                title: Some(title.replace('_', " ")),
                text: paragraph.context,
            });
        }
    }
    Ok((documents, questions))
}

/// Reads our own question file (JSON lines).
///
/// # Errors
/// Names the file and line that cannot be read.
pub fn own_questions(path: &Path) -> Result<Vec<EvalQuestion>> {
    lines(path, |line| {
        let own: OwnQuestion = serde_json::from_str(line)?;
        let parts: Vec<String> =
            own.answer.split("; ").map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()).collect();
        Ok(EvalQuestion {
            id: own.id,
            lang: own.lang,
            question: own.question,
            history: own.history,
            groups: own.groups,
            answers: if own.answerable { vec![parts] } else { Vec::new() },
            sources: own.sources,
            answerable: own.answerable,
            kind: own.kind,
        })
    })
}

fn lines<T>(path: &Path, parse: impl Fn(&str) -> serde_json::Result<T>) -> Result<Vec<T>> {
    read(path)?
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| parse(line).map_err(|e| bad(path, number + 1, &e.to_string())))
        .collect()
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|source| QueryError::Io { path: path.display().to_string(), source })
}

fn bad(path: &Path, line: usize, message: &str) -> QueryError {
    QueryError::Dataset { path: path.display().to_string(), line, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_bad_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("q.jsonl");
        let good = r#"{"id":"1","lang":"en","question":"q","answer":"30 days; 2 weeks","sources":[],"answerable":true,"kind":"lookup"}"#;
        std::fs::write(&path, format!("{good}\n{{\"id\":\"2\"}}\n")).unwrap();
        let error = own_questions(&path).unwrap_err().to_string();
        assert!(error.contains("q.jsonl, line 2: missing field `lang`"), "{error}");
        std::fs::write(&path, good).unwrap();
        assert_eq!(own_questions(&path).unwrap()[0].answers, [["30 days", "2 weeks"]]);
    }

    #[test]
    fn beir_folder() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("corpus.jsonl"), r#"{"_id":"d1","title":"T","text":"x"}"#).unwrap();
        std::fs::write(
            dir.path().join("queries.jsonl"),
            "{\"_id\":\"q1\",\"text\":\"x?\"}\n{\"_id\":\"q2\",\"text\":\"unjudged\"}",
        )
        .unwrap();
        std::fs::create_dir(dir.path().join("qrels")).unwrap();
        std::fs::write(
            dir.path().join("qrels/test.tsv"),
            "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t0\n",
        )
        .unwrap();
        let set = retrieval_set(dir.path(), "test").unwrap();
        assert_eq!(set.queries.len(), 1);
        assert_eq!(set.judgements["q1"].len(), 1);
        assert_eq!(set.documents[0].title.as_deref(), Some("T"));
    }
}
