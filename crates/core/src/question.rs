//! Questions, filters and callers.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::document::{Access, DocumentMeta};
use crate::generate::Sampling;
use crate::ids::{ChunkId, DocumentId};

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Identifier of the API key, or `local` for the owner of the data folder.
    pub id: String,
    /// What may be read.
    pub access: Access,
    /// Whether documents, keys and jobs may be managed.
    pub admin: bool,
}

impl Caller {
    /// The person who owns the data folder.
    pub fn local() -> Self {
        Self { id: "local".into(), access: Access::All, admin: true }
    }

    /// A caller without rights beyond the given groups.
    pub fn with_groups<I: IntoIterator<Item = String>>(id: &str, groups: I) -> Self {
        Self { id: id.into(), access: Access::Groups(BTreeSet::from_iter(groups)), admin: false }
    }
}

/// Which retrievers look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SearchMode {
    /// Dense and lexical together.
    #[default]
    Hybrid,
    /// Vectors only.
    Dense,
    /// Words only.
    Lexical,
}

/// Restricts a search; empty parts do not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Each tag must have one of the values given for it.
    pub tags: BTreeMap<String, Vec<String>>,
    /// Only these documents.
    pub documents: Vec<DocumentId>,
    /// Only documents in these languages (ISO 639-1).
    pub languages: Vec<String>,
    /// Only documents dated on or after this day.
    #[schema(value_type = Option<String>, format = Date)]
    pub date_from: Option<Date>,
    /// Only documents dated on or before this day.
    #[schema(value_type = Option<String>, format = Date)]
    pub date_to: Option<Date>,
}

impl Filter {
    /// Whether nothing is restricted.
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    /// Whether a document passes.
    pub fn matches(&self, id: DocumentId, language: Option<&str>, meta: &DocumentMeta) -> bool {
        let tags = self
            .tags
            .iter()
            .all(|(key, values)| meta.tags.get(key).is_some_and(|value| values.contains(value)));
        let documents = self.documents.is_empty() || self.documents.contains(&id);
        let languages = self.languages.is_empty()
            || language.is_some_and(|l| self.languages.iter().any(|wanted| wanted == l));
        let from = self.date_from.is_none_or(|day| meta.date.is_some_and(|d| d >= day));
        let to = self.date_to.is_none_or(|day| meta.date.is_some_and(|d| d <= day));
        tags && documents && languages && from && to
    }
}

/// An earlier question and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Turn {
    /// What was asked.
    pub question: String,
    /// What was answered.
    pub answer: String,
}

/// What one question wants otherwise than the settings say, where a language model writes the answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnswerOptions {
    /// Whether statements without support are dropped.
    pub strict: Option<bool>,
    /// Most tokens of the answer.
    pub max_tokens: Option<usize>,
    /// How tokens are chosen.
    pub sampling: Option<Sampling>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
}

/// A question with its conversation and restrictions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Question {
    /// The question, as asked.
    pub text: String,
    /// Earlier turns, oldest first.
    pub history: Vec<Turn>,
    /// Restrictions.
    pub filter: Filter,
    /// How it is to be answered.
    pub options: AnswerOptions,
}

/// A chunk that an index found, with that index's own score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredChunk {
    /// The chunk.
    pub id: ChunkId,
    /// Higher is better; comparable only within one result list.
    pub score: f32,
}
