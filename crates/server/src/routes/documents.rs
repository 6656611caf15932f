//! `/v1/documents`: listing, showing and changing.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use jiff::civil::Date;
use lore_core::{Access, Acl, ContentHash, Document, Format};
use lore_index::{DocumentFacets, DocumentOrder, DocumentQuery, GroupFilter, KeptVersion, MetaChange};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::{Admin, Authenticated};
use crate::error::{ApiError, ErrorBody};
use crate::extract::{ApiJson, ApiQuery, DocumentPath};
use crate::routes::labels::{check_group, check_tag};
use crate::routes::{readable, shown_to};
use crate::state::AppState;

/// Most documents on a page.
const PAGE: usize = 200;
/// Most words that a name or title is looked for by.
const WORDS: usize = 32;

/// Which documents to list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Documents on a page, 1 to 200; 50 where it is left out.
    pub limit: Option<usize>,
    /// The cursor `next` of the page before; it holds for the same `sort` and `descending`.
    pub after: Option<String>,
    /// How many to pass over first, in place of a cursor.
    pub offset: Option<usize>,
    /// Words that the name or title must contain.
    pub q: Option<String>,
    /// Only `live`, `pending` or `failed` documents.
    pub state: Option<String>,
    /// Only names under this prefix.
    pub prefix: Option<String>,
    /// Only this format.
    pub format: Option<Format>,
    /// Only with this label, as `key=value`.
    pub tag: Option<String>,
    /// Only documents whose access list names this group; empty for those that everyone may read. Whoever is no
    /// administrator can ask for groups of their own only.
    pub group: Option<String>,
    /// What to order by: `name`, `updated`, `size`, `chunks` or `pages`.
    pub sort: Option<DocumentOrder>,
    /// The other way round.
    pub descending: bool,
}

/// A page of documents.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DocumentList {
    /// The documents.
    pub documents: Vec<Document>,
    /// Cursor of the next page, where there is one.
    pub next: Option<String>,
    /// Documents in all that match.
    pub total: u64,
}

impl ListQuery {
    /// What the catalog is asked for; `None` where `access` rules out that anything matches.
    fn wanted(self, access: &Access) -> Result<Option<DocumentQuery>, ApiError> {
        let limit = self.limit.unwrap_or(50);
        if !(1..=PAGE).contains(&limit) {
            return Err(ApiError::invalid("bad_limit", format!("limit must be 1 to {PAGE}")));
        }
        if let Some(wanted) = &self.state
            && !matches!(wanted.as_str(), "live" | "pending" | "failed")
        {
            return Err(ApiError::invalid("bad_state", "state must be live, pending or failed"));
        }
        if self.q.as_deref().is_some_and(|q| q.split_whitespace().nth(WORDS).is_some()) {
            return Err(ApiError::invalid("too_many_words", format!("q takes at most {WORDS} words")));
        }
        if self.after.is_some() && self.offset.is_some() {
            return Err(ApiError::invalid("bad_offset", "give either after or offset"));
        }
        let tag = match self.tag.as_deref().map(|tag| tag.split_once('=')) {
            Some(None) => return Err(ApiError::invalid("bad_tag", "tag must be key=value")),
            Some(Some((key, value))) => Some((key.to_owned(), value.to_owned())),
            None => None,
        };
        let group = match self.group {
            Some(group) if group.is_empty() => Some(GroupFilter::Everyone),
            // That a document names a group of others is nothing for its readers to find out.
            Some(group) if matches!(access, Access::Groups(own) if !own.contains(&group)) => return Ok(None),
            group => group.map(GroupFilter::Named),
        };
        Ok(Some(DocumentQuery {
            text: self.q.filter(|q| !q.trim().is_empty()),
            name_prefix: self.prefix.filter(|prefix| !prefix.is_empty()),
            source_prefix: None,
            state: self.state,
            format: self.format,
            tag,
            group,
            access: access.clone(),
            order: self.sort.unwrap_or_default(),
            descending: self.descending,
            limit,
            after: self.after,
            skip: self.offset.unwrap_or(0),
        }))
    }
}

/// Lists the documents that the caller may read.
#[utoipa::path(get, path = "/v1/documents", tag = "documents", params(ListQuery), responses(
    (status = 200, description = "A page of documents", body = DocumentList),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn list(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Json<DocumentList>, ApiError> {
    let Some(wanted) = query.wanted(&caller.access)? else {
        return Ok(Json(DocumentList { documents: Vec::new(), next: None, total: 0 }));
    };
    let list = state
        .catalog(move |catalog| {
            let page = catalog.documents(&wanted)?;
            let documents = shown_to(catalog, &caller, page.documents)?;
            Ok(DocumentList { documents, next: page.next, total: page.total })
        })
        .await?;
    Ok(Json(list))
}

/// What the documents that the caller may read can be filtered by, with the number of documents each.
#[utoipa::path(get, path = "/v1/documents/facets", tag = "documents", responses(
    (status = 200, description = "States, formats, labels and groups", body = DocumentFacets),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn facets(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
) -> Result<Json<DocumentFacets>, ApiError> {
    Ok(Json(state.catalog(move |catalog| catalog.facets(&caller.access)).await?))
}

/// A version of a document that is kept.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VersionInfo {
    /// Its number, from 1.
    pub version: u32,
    /// SHA-256 of its original.
    pub content_hash: ContentHash,
    /// Size of its original in bytes.
    pub size: u64,
    /// When it went live.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A document with its versions.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DocumentDetail {
    /// The document.
    #[serde(flatten)]
    pub document: Document,
    /// The versions that are kept and that the caller may read: a version that was replaced stays closed to whoever
    /// could not read it then.
    pub versions: Vec<VersionInfo>,
}

/// Shows a document and its versions.
#[utoipa::path(get, path = "/v1/documents/{id}", tag = "documents",
    params(("id" = String, Path, description = "The document's id")), responses(
    (status = 200, description = "The document", body = DocumentDetail),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn show(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    DocumentPath(id): DocumentPath,
) -> Result<Json<DocumentDetail>, ApiError> {
    let (document, ..) = readable(&state, &caller, id, None).await?;
    let (versions, shown) = state
        .catalog(move |catalog| {
            let versions = catalog.versions(id, &caller.access)?;
            Ok((versions, shown_to(catalog, &caller, vec![document])?))
        })
        .await?;
    let document = shown.into_iter().next().ok_or_else(|| ApiError::not_found("document"))?;
    let versions = versions
        .into_iter()
        .map(|KeptVersion { version, content_hash, size, created_at }| VersionInfo {
            version,
            content_hash,
            size,
            created_at,
        })
        .collect();
    Ok(Json(DocumentDetail { document, versions }))
}

/// What to change of a document; what is left out stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DocumentChange {
    /// Groups that may read it; empty for everyone. It holds until it is set again, also when the document is ingested or
    /// uploaded anew; only where its `.lore.yaml` then names other groups than before is it cut to those.
    pub acl: Option<Acl>,
    /// All its labels.
    pub tags: Option<BTreeMap<String, String>>,
    /// Date from which it holds; null for none.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>, format = Date)]
    pub date: Option<Option<Date>>,
    /// Name of the document that replaces it; null for none.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub superseded_by: Option<Option<String>>,
}

/// Tells a null that was given from a field that was left out.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(input: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(input).map(Some)
}

/// Changes who may read a document, its labels, date or successor. It holds from the moment that this returns, and for an
/// upload that still waits, too.
#[utoipa::path(patch, path = "/v1/documents/{id}", tag = "documents", request_body = DocumentChange,
    params(("id" = String, Path, description = "The document's id")), responses(
    (status = 200, description = "The document as it is now", body = Document),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn change(
    State(state): State<AppState>,
    Admin(caller): Admin,
    DocumentPath(id): DocumentPath,
    ApiJson(change): ApiJson<DocumentChange>,
) -> Result<Json<Document>, ApiError> {
    for group in change.acl.iter().flat_map(|acl| &acl.0) {
        check_group(group)?;
    }
    for (key, value) in change.tags.iter().flatten() {
        check_tag(key, value)?;
    }
    let changed = state
        .catalog(move |catalog| {
            let DocumentChange { acl, tags, date, superseded_by } = change;
            catalog.change_meta(id, &MetaChange { acl, tags, date, superseded_by })
        })
        .await?;
    state.documents_changed();
    let (document, _) = changed.ok_or_else(|| ApiError::not_found("document"))?;
    tracing::info!(document = %id, caller = caller.id, "document changed");
    Ok(Json(document))
}
