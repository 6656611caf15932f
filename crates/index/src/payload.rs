//! What both indexes keep of a chunk for filtering, and the conditions that a search puts on it.

use jiff::civil::Date;
use lore_core::{Access, Document, DocumentId, Filter};
use serde::{Deserialize, Serialize};

/// Mark of a document that everyone may read; groups are stored as `=NAME`, so no group can look like it.
const OPEN: &str = "*";

/// What an index keeps of a chunk beside its text or vector.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Payload {
    /// The chunk's document.
    pub document: DocumentId,
    /// Version of the document.
    pub version: u32,
    /// Position among the version's chunks.
    pub ordinal: u32,
    /// Who may read it, tags, language, date.
    #[serde(flatten)]
    pub labels: Labels,
}

/// The part of a [`Payload`] that all chunks of a document share and that changes without a new version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Labels {
    /// `*` for an open document, else `=GROUP` for each of its groups.
    pub access: Vec<String>,
    /// `KEY=VALUE` for each tag.
    pub tags: Vec<String>,
    /// ISO 639-1 code.
    pub language: Option<String>,
    /// The date as the number yyyymmdd.
    pub date: Option<i64>,
}

impl Payload {
    /// Payload of chunk number `ordinal` of the live version of `document`.
    pub fn of(document: &Document, ordinal: u32) -> Self {
        Self { document: document.id, version: document.version, ordinal, labels: Labels::of(document) }
    }
}

impl Labels {
    /// Labels of `document`.
    pub fn of(document: &Document) -> Self {
        let acl = &document.meta.acl.0;
        Self {
            access: if acl.is_empty() {
                vec![OPEN.to_owned()]
            } else {
                acl.iter().map(|g| group(g)).collect()
            },
            tags: document.meta.tags.iter().map(|(key, value)| tag(key, value)).collect(),
            language: document.language.clone(),
            date: document.meta.date.map(day),
        }
    }
}

/// A condition on a payload; a search's conditions must all hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// The field has one of these values.
    Any(&'static str, Vec<String>),
    /// The date lies between these numbers (inclusive).
    Days(Option<i64>, Option<i64>),
}

/// The conditions that `filter` and `access` put on a chunk.
pub(crate) fn conditions(filter: &Filter, access: &Access) -> Vec<Condition> {
    let mut all = Vec::new();
    if let Access::Groups(groups) = access {
        let allowed = std::iter::once(OPEN.to_owned()).chain(groups.iter().map(|g| group(g)));
        all.push(Condition::Any("access", allowed.collect()));
    }
    for (key, values) in &filter.tags {
        all.push(Condition::Any("tags", values.iter().map(|value| tag(key, value)).collect()));
    }
    if !filter.documents.is_empty() {
        all.push(Condition::Any("document", filter.documents.iter().map(ToString::to_string).collect()));
    }
    if !filter.languages.is_empty() {
        all.push(Condition::Any("language", filter.languages.clone()));
    }
    if filter.date_from.is_some() || filter.date_to.is_some() {
        all.push(Condition::Days(filter.date_from.map(day), filter.date_to.map(day)));
    }
    all
}

fn group(name: &str) -> String {
    format!("={name}")
}

fn tag(key: &str, value: &str) -> String {
    format!("{key}={value}")
}

fn day(date: Date) -> i64 {
    i64::from(date.year()) * 10_000 + i64::from(date.month()) * 100 + i64::from(date.day())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn no_group_reads_as_open() {
        let found = conditions(&Filter::default(), &Access::Groups(["*".to_owned()].into()));
        assert_eq!(found, [Condition::Any("access", vec!["*".into(), "=*".into()])]);
        assert!(conditions(&Filter::default(), &Access::All).is_empty());
    }

    #[test]
    fn days_keep_their_order() {
        let days: Vec<i64> = ["-0001-12-31", "0000-01-01", "2024-02-29", "2024-03-01", "2025-01-01"]
            .map(|d| day(d.parse().unwrap_or(Date::ZERO)))
            .to_vec();
        assert!(days.is_sorted());
        assert_eq!(day("2024-02-29".parse().unwrap()), 20_240_229);
    }
}
