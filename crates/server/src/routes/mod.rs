//! The routes, one file per resource.

pub mod ask;
pub mod configuration;
pub mod content;
pub mod conversations;
pub mod documents;
pub mod explained;
pub mod feedback;
pub mod figures;
pub mod groups;
pub mod health;
pub mod indexes;
pub mod jobs;
pub mod keys;
mod labels;
mod markdown;
pub mod openai;
pub mod releases;
pub mod removal;
pub mod search;
pub mod suggestions;
pub mod trainings;
pub mod upload;
pub mod versions;

use std::collections::BTreeSet;

use axum::http::{HeaderMap, header};
use lore_core::{Access, Caller, ContentHash, Document, DocumentId};
use lore_index::{Catalog, IndexError};

use crate::error::ApiError;
use crate::state::AppState;

/// A document and one of its versions (the live one by default) that `caller` may both read; what it may not is as if it
/// were not there.
async fn readable(
    state: &AppState,
    caller: &Caller,
    id: DocumentId,
    version: Option<u32>,
) -> Result<(Document, u32, Option<ContentHash>), ApiError> {
    let access = caller.access.clone();
    let found = state.catalog(move |catalog| catalog.readable_version(id, version, &access)).await?;
    let what = if version.is_some() { "version of the document" } else { "document" };
    found.ok_or_else(|| ApiError::not_found(what))
}

/// Documents as `caller` may see them. For administrators alone are: where files lie on the server, the names of
/// successors that the caller may not read, and the groups of an access list that the caller is not in.
fn shown_to(
    catalog: &Catalog,
    caller: &Caller,
    mut documents: Vec<Document>,
) -> Result<Vec<Document>, IndexError> {
    if caller.admin {
        return Ok(documents);
    }
    let successors: BTreeSet<String> =
        documents.iter().filter_map(|document| document.meta.superseded_by.clone()).collect();
    let readable = catalog.readable_names(&successors, &caller.access)?;
    for document in &mut documents {
        if document.source.starts_with("file:") {
            document.source = format!("file:{}", document.name);
        }
        let meta = &mut document.meta;
        meta.superseded_by = meta.superseded_by.take().filter(|name| readable.contains(name));
        if let Access::Groups(groups) = &caller.access {
            meta.acl.0.retain(|group| groups.contains(group));
        }
    }
    Ok(documents)
}

/// Whether the client asked for `wanted` by name (`*/*` does not count).
pub(crate) fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|range| range.trim().eq_ignore_ascii_case(wanted))
}
