//! Deleting documents, bringing them back, and trying again what failed.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use lore_core::{Document, DocumentId};
use lore_index::Job;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{ApiQuery, DocumentPath};
use crate::state::AppState;

/// How to delete.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeleteQuery {
    /// Whether the document can be brought back for a while, which the setting `http.undo_seconds` says. Without it, its
    /// content is gone for good when this returns.
    pub undo: bool,
}

/// A document that was deleted and can be brought back.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Deleted {
    /// The document.
    pub document: DocumentId,
    /// Until when; then its content is gone for good.
    #[schema(value_type = String, format = DateTime)]
    pub restorable_until: Timestamp,
}

/// Deletes a document with all its versions. From the moment that this returns, nothing answers from it.
#[utoipa::path(delete, path = "/v1/documents/{id}", tag = "documents",
    params(("id" = String, Path, description = "The document's id"), DeleteQuery), responses(
    (status = 200, description = "It is deleted, and can be brought back", body = Deleted),
    (status = 204, description = "It is gone"),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn delete(
    State(state): State<AppState>,
    Admin(caller): Admin,
    DocumentPath(id): DocumentPath,
    ApiQuery(DeleteQuery { undo }): ApiQuery<DeleteQuery>,
) -> Result<Response, ApiError> {
    let time = state.options().http.undo_time();
    if undo && time.is_zero() {
        return Err(ApiError::invalid(
            "no_undo",
            "this server keeps nothing of deleted documents (http.undo_seconds is 0); delete without undo",
        ));
    }
    let response = if undo {
        let until = state.catalog(move |catalog| catalog.delete_for(id, time)).await?;
        let restorable_until = until.ok_or_else(|| ApiError::not_found("document"))?;
        Json(Deleted { document: id, restorable_until }).into_response()
    } else {
        let deleted = state.catalog(move |catalog| catalog.delete(id)).await?;
        deleted.ok_or_else(|| ApiError::not_found("document"))?;
        StatusCode::NO_CONTENT.into_response()
    };
    tracing::info!(document = %id, caller = caller.id, undo, "document deleted");
    state.documents_changed();
    Ok(response)
}

/// Brings a document back that was deleted with `undo`, with its versions, labels and access list.
#[utoipa::path(post, path = "/v1/documents/{id}/restore", tag = "documents",
    params(("id" = String, Path, description = "The document's id")), responses(
    (status = 200, description = "The document as it was", body = Document),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn restore(
    State(state): State<AppState>,
    Admin(caller): Admin,
    DocumentPath(id): DocumentPath,
) -> Result<Json<Document>, ApiError> {
    let restored = state.catalog(move |catalog| catalog.restore(id)).await?;
    let document = restored.ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no such deleted document: its time is over, or it was taken in anew",
        )
    })?;
    tracing::info!(document = %id, caller = caller.id, "document restored");
    state.documents_changed();
    Ok(Json(document))
}

/// Reads the file of a document once more that could not be read, as it was uploaded.
#[utoipa::path(post, path = "/v1/documents/{id}/retry", tag = "documents",
    params(("id" = String, Path, description = "The document's id")), responses(
    (status = 202, description = "The job; `/v1/jobs/{id}` tells how it goes", body = Job),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn retry(
    State(state): State<AppState>,
    Admin(caller): Admin,
    DocumentPath(id): DocumentPath,
) -> Result<(StatusCode, Json<Job>), ApiError> {
    let max_queued = state.limits().queued_jobs;
    let job = state.catalog(move |catalog| catalog.retry(id, max_queued)).await?;
    let job = job.ok_or_else(|| ApiError::not_found("document"))?;
    tracing::info!(document = %id, caller = caller.id, "document tried again");
    state.documents_changed();
    Ok((StatusCode::ACCEPTED, Json(job)))
}
