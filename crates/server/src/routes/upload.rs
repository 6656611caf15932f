//! `POST /v1/documents`: uploads, as a form with files or as JSON; stored at once, read by the worker.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::Date;
use lore_core::{Acl, ContentHash, DocumentId, DocumentMeta, Format};
use lore_index::{AclChoice, Job, NewDocument, Upload};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{has_type, json_within, over, refuse_declared, slow_body};
use crate::routes::labels::{add_groups, add_tag, check_name, named};
use crate::state::AppState;

/// Room in a form for everything beside the files.
const FORM_BYTES: usize = 1 << 20;
/// Longest text field of a form, in bytes.
const FIELD_BYTES: usize = 16 << 10;
/// Most files of a form.
const FILES: usize = 64;

/// A document as JSON.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonUpload {
    /// File name; its extension tells the format.
    pub name: String,
    /// The content, where it is text.
    #[serde(default)]
    pub content: Option<String>,
    /// The content in base64, where it is not.
    #[serde(default)]
    pub content_base64: Option<String>,
    /// Groups that may read it; left out, those that were set for the document before hold, or everyone may.
    #[serde(default)]
    pub acl: Option<Acl>,
    /// Free labels.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Date from which it holds.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Date)]
    pub date: Option<Date>,
    /// Name of the document that replaces it.
    #[serde(default)]
    pub superseded_by: Option<String>,
}

/// A form with files.
#[derive(Clone, Debug, ToSchema)]
pub struct FormUpload {
    /// The files, one or more fields of this name.
    #[schema(value_type = Vec<String>, format = Binary)]
    pub file: Vec<Vec<u8>>,
    /// Groups that may read them, comma-separated or repeated; left out, those that were set before hold, or everyone may.
    pub acl: Option<Vec<String>>,
    /// Labels as `key=value`, repeated.
    pub tags: Option<Vec<String>>,
    /// Date from which they hold, such as `2025-01-31`.
    pub date: Option<String>,
    /// Name of the document that replaces them.
    pub superseded_by: Option<String>,
}

/// An upload that the worker will read.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    /// The document.
    pub document: DocumentId,
    /// Its name.
    pub name: String,
    /// The job; `/v1/jobs/{id}` tells how it goes.
    pub job: String,
}

/// All uploads of a request.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AcceptedList {
    /// In the order of the files.
    pub documents: Vec<Accepted>,
}

/// A file whose content is stored.
struct Stored {
    name: String,
    format: Format,
    hash: ContentHash,
    size: u64,
}

/// Takes documents in, all of a form or none. An upload replaces the document of the same name.
///
/// The content before stays until the worker has read the new one, and so does its access list; to change who may read a
/// document at once, change the document.
#[utoipa::path(post, path = "/v1/documents", tag = "documents", request_body(content(
    (FormUpload = "multipart/form-data"), (JsonUpload = "application/json"),
)), responses(
    (status = 202, description = "Stored, to be read soon", body = AcceptedList),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn upload(
    State(state): State<AppState>,
    Admin(caller): Admin,
    request: Request,
) -> Result<Response, ApiError> {
    let _permit = state.uploads().enter().await?;
    let (files, meta) = if has_type(request.headers(), "multipart/form-data") {
        from_form(&state, request).await?
    } else {
        from_json(&state, request).await?
    };
    let max_queued = state.limits().queued_jobs;
    let documents = state
        .catalog(move |catalog| {
            let uploads: Vec<Upload> = files.into_iter().map(|file| uploaded(file, &meta)).collect();
            let jobs = catalog.enqueue(&uploads, max_queued)?;
            let accepted = |(job, upload): (Job, Upload)| Accepted {
                document: job.document,
                name: upload.document.name,
                job: job.id,
            };
            Ok(jobs.into_iter().zip(uploads).map(accepted).collect::<Vec<_>>())
        })
        .await?;
    tracing::info!(documents = documents.len(), caller = caller.id, "documents uploaded");
    state.documents_changed();
    let location = match documents.as_slice() {
        [only] => HeaderValue::from_str(&format!("/v1/jobs/{}", only.job)).ok(),
        _ => None,
    };
    let mut response = (StatusCode::ACCEPTED, Json(AcceptedList { documents })).into_response();
    if let Some(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// A stored file as the catalog takes it; the groups that its upload names are set by hand, no source gives any.
fn uploaded(file: Stored, meta: &DocumentMeta) -> Upload {
    let acl = if meta.acl.0.is_empty() { AclChoice::Keep } else { AclChoice::Set(meta.acl.clone()) };
    let document = NewDocument {
        source: format!("upload:{}", file.name),
        name: file.name,
        format: file.format,
        meta: DocumentMeta { acl: Acl::default(), ..meta.clone() },
        acl,
    };
    Upload { document, hash: file.hash, size: file.size }
}

async fn from_json(state: &AppState, request: Request) -> Result<(Vec<Stored>, DocumentMeta), ApiError> {
    let limit = document_limit(state);
    // Base64 makes four bytes of three.
    let body_limit = (limit / 3 + 1).saturating_mul(4).saturating_add(FORM_BYTES);
    let upload: JsonUpload =
        json_within(request, body_limit, state.options().http.body_timeout() * 4).await?;
    let (name, format) = named(&upload.name)?;
    let mut meta = DocumentMeta { date: upload.date, ..DocumentMeta::default() };
    if let Some(acl) = upload.acl {
        add_groups(&mut meta.acl.0, acl.0.iter().map(String::as_str))?;
    }
    for (key, value) in upload.tags {
        add_tag(&mut meta.tags, key, value)?;
    }
    meta.superseded_by = upload.superseded_by.map(|name| check_name(&name)).transpose()?;
    let content = match (upload.content, upload.content_base64) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(encoded)) => STANDARD.decode(encoded.trim()).map_err(|error| {
            ApiError::invalid("bad_base64", format!("content_base64 is not base64: {error}"))
        })?,
        _ => return Err(ApiError::invalid("bad_content", "give either content or content_base64")),
    };
    if content.len() > limit {
        return Err(over(limit));
    }
    let stored = store(state, name, format, content).await?;
    Ok((vec![stored], meta))
}

async fn from_form(state: &AppState, mut request: Request) -> Result<(Vec<Stored>, DocumentMeta), ApiError> {
    let limit = document_limit(state);
    refuse_declared(request.headers(), limit.saturating_add(FORM_BYTES))?;
    DefaultBodyLimit::max(limit.saturating_add(FORM_BYTES)).apply(&mut request);
    let bad_form = |message: String| ApiError::bad_request("bad_form", message);
    let mut form =
        Multipart::from_request(request, state).await.map_err(|error| bad_form(error.body_text()))?;
    let pause = state.options().http.body_timeout();
    let mut files: Vec<Stored> = Vec::new();
    let mut meta = DocumentMeta::default();
    loop {
        let next = tokio::time::timeout(pause, form.next_field()).await.map_err(|_| slow_body())?;
        let Some(mut field) = next.map_err(|error| form_error(&error, limit))? else { break };
        match field.name().unwrap_or_default().to_owned().as_str() {
            "file" => {
                let (name, format) = named(field.file_name().unwrap_or_default())?;
                if files.len() == FILES {
                    return Err(ApiError::invalid(
                        "too_many_files",
                        format!("a form takes at most {FILES} files"),
                    ));
                }
                if files.iter().any(|file| file.name == name) {
                    return Err(ApiError::invalid("bad_name", "two files of the form have the same name"));
                }
                let content = read(&mut field, limit, limit, pause).await?;
                files.push(store(state, name, format, content).await?);
            }
            "acl" => {
                let groups = text(&mut field, limit, pause).await?;
                add_groups(&mut meta.acl.0, groups.split(','))?;
            }
            "tags" => {
                let tag = text(&mut field, limit, pause).await?;
                let Some((key, value)) = tag.split_once('=') else {
                    return Err(ApiError::invalid("bad_tag", "tags must be key=value"));
                };
                add_tag(&mut meta.tags, key.to_owned(), value.to_owned())?;
            }
            "date" => {
                let date = text(&mut field, limit, pause).await?;
                let date = date.trim().parse();
                meta.date =
                    Some(date.map_err(|_| ApiError::invalid("bad_date", "date must be like 2025-01-31"))?);
            }
            "superseded_by" => meta.superseded_by = Some(check_name(&text(&mut field, limit, pause).await?)?),
            other => {
                let other: String = other.chars().take(64).collect();
                return Err(ApiError::bad_request(
                    "unknown_field",
                    format!("unknown field `{other}`, expected file, acl, tags, date or superseded_by"),
                ));
            }
        }
    }
    if files.is_empty() {
        return Err(bad_form("the form has no field `file` with a file".to_owned()));
    }
    Ok((files, meta))
}

/// A field's content, refused as soon as it is over `limit`.
async fn read(
    field: &mut Field<'_>,
    limit: usize,
    document_limit: usize,
    pause: Duration,
) -> Result<Vec<u8>, ApiError> {
    let mut content = Vec::new();
    loop {
        let piece = tokio::time::timeout(pause, field.chunk()).await.map_err(|_| slow_body())?;
        let Some(piece) = piece.map_err(|error| form_error(&error, document_limit))? else {
            return Ok(content);
        };
        if content.len() + piece.len() > limit {
            return Err(over(limit));
        }
        content.extend_from_slice(&piece);
    }
}

async fn text(field: &mut Field<'_>, document_limit: usize, pause: Duration) -> Result<String, ApiError> {
    let bytes = read(field, FIELD_BYTES, document_limit, pause).await?;
    String::from_utf8(bytes).map_err(|_| ApiError::bad_request("bad_form", "a text field is not UTF-8"))
}

fn form_error(error: &MultipartError, limit: usize) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        over(limit)
    } else {
        ApiError::bad_request("bad_form", error.body_text()).because(error)
    }
}

async fn store(state: &AppState, name: String, format: Format, content: Vec<u8>) -> Result<Stored, ApiError> {
    let size = content.len() as u64;
    let hash = state.catalog(move |catalog| catalog.store_original(&content)).await?;
    Ok(Stored { name, format, hash, size })
}

fn document_limit(state: &AppState) -> usize {
    usize::try_from(state.limits().document_bytes).unwrap_or(usize::MAX)
}
