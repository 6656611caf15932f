//! The routes, one file per resource.

pub mod ask;
pub mod content;
pub mod documents;
pub mod feedback;
pub mod health;
pub mod indexes;
pub mod jobs;
pub mod keys;
mod labels;
pub mod search;
pub mod upload;

use axum::http::{HeaderMap, header};
use lore_core::{Caller, Document, DocumentId};

use crate::error::ApiError;
use crate::state::AppState;

/// A document that `caller` may read; one that it may not is as if it were not there.
async fn readable(state: &AppState, caller: &Caller, id: DocumentId) -> Result<Document, ApiError> {
    let document = state.catalog(move |catalog| catalog.document(id)).await?;
    document
        .filter(|document| caller.access.allows(&document.meta.acl))
        .ok_or_else(|| ApiError::not_found("document"))
}

/// A document as `caller` may see it: where files lie on the server is for administrators.
fn shown_to(caller: &Caller, mut document: Document) -> Document {
    if !caller.admin && document.source.starts_with("file:") {
        document.source = format!("file:{}", document.name);
    }
    document
}

/// Whether the client asked for `wanted` by name (`*/*` does not count).
fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|range| range.trim().eq_ignore_ascii_case(wanted))
}
