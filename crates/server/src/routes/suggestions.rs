//! `/v1/labels` and `/web/suggestions`: what a person may filter by, and what could be asked.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use lore_core::{Document, DocumentId};
use lore_index::LabelCounts;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Authenticated;
use crate::error::{ApiError, ErrorBody};
use crate::extract::ApiQuery;
use crate::state::AppState;

/// Documents that are looked through for suggestions.
const LOOKED_AT: usize = 24;
/// Most suggestions.
const MOST: usize = 6;
/// Shortest and longest heading that makes a question, in characters.
const HEADING_CHARS: std::ops::RangeInclusive<usize> = 2..=60;
/// Longest title that is named in a question, in characters.
const TITLE_CHARS: usize = 80;
/// Headings that say nothing of what stands below them.
const EMPTY_WORDS: &str = "about|about this document|about this manual|appendix|background|changes|conclusion|contents|\
    general|introduction|miscellaneous|notes|overview|purpose|references|scope|summary|table of contents|timeline|\
    其他|前言|参考|总结|摘要|概述|目录|目的|附录|范围";

/// Gives the tags, languages and dates of the documents that the caller may read.
#[utoipa::path(get, path = "/v1/labels", tag = "documents", responses(
    (status = 200, description = "What documents may be filtered by", body = LabelCounts),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn labels(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
) -> Result<Json<LabelCounts>, ApiError> {
    state.catalog(move |catalog| catalog.labels(&caller.access)).await.map(Json)
}

/// In which language to suggest.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SuggestQuery {
    /// ISO 639-1 code; documents in it come first.
    pub language: Option<String>,
}

/// A question that a document should answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Suggestion {
    /// The question: a heading of the document that is one, else one that names the title and a heading.
    pub question: String,
    /// The document.
    pub document: DocumentId,
    /// Its title.
    pub title: String,
}

/// Questions to begin with.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Suggestions {
    /// At most six, each of another document.
    pub suggestions: Vec<Suggestion>,
}

/// Suggests questions, made of the headings of documents that changed last; they change from day to day.
#[utoipa::path(get, path = "/web/suggestions", tag = "web", params(SuggestQuery), responses(
    (status = 200, description = "Questions to begin with", body = Suggestions),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn suggest(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    ApiQuery(query): ApiQuery<SuggestQuery>,
) -> Result<Json<Suggestions>, ApiError> {
    let day = Timestamp::now().as_second().unsigned_abs() / 86_400;
    let suggestions = state
        .catalog(move |catalog| {
            let suggest =
                |language| Ok(of(&catalog.recent_outlines(&caller.access, language, LOOKED_AT)?, day));
            // Where those in the language have no heading that tells, others may.
            match suggest(query.language.as_deref())? {
                found if found.is_empty() && query.language.is_some() => suggest(None),
                found => Ok(found),
            }
        })
        .await?;
    Ok(Json(Suggestions { suggestions }))
}

/// One question for each of some documents; which documents and which headings depends on the day.
fn of(outlines: &[(Document, Vec<String>)], day: u64) -> Vec<Suggestion> {
    let usable: Vec<(&Document, Vec<&str>)> = outlines
        .iter()
        .map(|(document, headings)| {
            (document, headings.iter().filter_map(|heading| topic(heading)).collect::<Vec<_>>())
        })
        .filter(|(document, topics)| !topics.is_empty() && document.title.chars().count() <= TITLE_CHARS)
        .collect();
    let turn = usize::try_from(day).unwrap_or_default();
    let count = usable.len();
    (0..count.min(MOST))
        .filter_map(|i| {
            // Spread over what is there, so that a folder that came in at once does not fill the page.
            let (document, topics) = usable.get((i * count / count.min(MOST) + turn) % count)?;
            let question = question(document, topics.get((turn + i) % topics.len())?);
            Some(Suggestion { question, document: document.id, title: document.title.clone() })
        })
        .collect()
}

/// What a heading is about: its words without the number before them; `None` where they say nothing.
fn topic(heading: &str) -> Option<&str> {
    let words = heading
        .trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ')' | '(' | '§'))
        .trim_start();
    // As Chinese texts number their parts.
    let words = words
        .split_once('、')
        .filter(|(number, _)| number.chars().all(|c| "一二三四五六七八九十".contains(c)))
        .map_or(words, |(_, rest)| rest)
        .trim_matches(|c: char| c.is_whitespace() || matches!(c, '.' | '、' | ':' | '：'));
    let telling = HEADING_CHARS.contains(&words.chars().count())
        && words.chars().any(char::is_alphabetic)
        && !words.starts_with("Attachment:")
        && !words.contains(['|', '`', '<', '>', '[', ']'])
        && !EMPTY_WORDS.split('|').any(|empty| empty == words.to_lowercase());
    telling.then_some(words)
}

/// A question in the document's own language.
fn question(document: &Document, topic: &str) -> String {
    let title = &document.title;
    if topic.ends_with(['?', '？']) {
        topic.to_owned()
    } else if document.language.as_deref() == Some("zh") {
        format!("《{title}》里关于“{topic}”是怎么说的？")
    } else {
        format!("What does “{title}” say about “{topic}”?")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_is_a_topic_where_it_says_something() {
        assert_eq!(topic("5.1 Munich"), Some("Munich"));
        assert_eq!(topic("3. 年假"), Some("年假"));
        assert_eq!(topic("十二、常见错误"), Some("常见错误"));
        assert_eq!(topic("How do I reset my password?"), Some("How do I reset my password?"));
        for empty in ["", "7.", "2026", "1. Overview", "概述", "a | b", "<script>", &"long ".repeat(20)] {
            assert_eq!(topic(empty), None, "{empty:?}");
        }
    }
}
