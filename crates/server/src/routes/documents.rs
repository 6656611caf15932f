//! `/v1/documents`: listing, showing, changing and deleting.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use jiff::civil::Date;
use lore_core::{Acl, ContentHash, Document};
use lore_index::{DocumentQuery, KeptVersion, MetaChange};
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

/// Which documents to list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Documents on a page, 1 to 200; 50 where it is left out.
    pub limit: Option<usize>,
    /// The cursor `next` of the page before.
    pub after: Option<String>,
    /// Words that the name or title must contain.
    pub q: Option<String>,
    /// Only `live`, `pending` or `failed` documents.
    pub state: Option<String>,
    /// Only names under this prefix.
    pub prefix: Option<String>,
}

/// A page of documents, by name.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DocumentList {
    /// The documents.
    pub documents: Vec<Document>,
    /// Cursor of the next page, where there is one.
    pub next: Option<String>,
    /// Documents in all that match.
    pub total: u64,
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
    let limit = query.limit.unwrap_or(50);
    if !(1..=PAGE).contains(&limit) {
        return Err(ApiError::invalid("bad_limit", format!("limit must be 1 to {PAGE}")));
    }
    if let Some(wanted) = &query.state
        && !matches!(wanted.as_str(), "live" | "pending" | "failed")
    {
        return Err(ApiError::invalid("bad_state", "state must be live, pending or failed"));
    }
    let wanted = DocumentQuery {
        text: query.q.filter(|q| !q.trim().is_empty()),
        name_prefix: query.prefix.filter(|prefix| !prefix.is_empty()),
        state: query.state,
        access: caller.access.clone(),
        limit,
        after: query.after,
        ..DocumentQuery::default()
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

/// Deletes a document with all its versions. From the moment that this returns, nothing answers from it.
#[utoipa::path(delete, path = "/v1/documents/{id}", tag = "documents",
    params(("id" = String, Path, description = "The document's id")), responses(
    (status = 204, description = "It is gone"),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn delete(
    State(state): State<AppState>,
    Admin(caller): Admin,
    DocumentPath(id): DocumentPath,
) -> Result<StatusCode, ApiError> {
    let deleted = state.catalog(move |catalog| catalog.delete(id)).await?;
    if deleted.is_none() {
        return Err(ApiError::not_found("document"));
    }
    tracing::info!(document = %id, caller = caller.id, "document deleted");
    state.documents_changed();
    Ok(StatusCode::NO_CONTENT)
}
