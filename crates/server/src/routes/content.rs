//! `/v1/documents/{id}/content` and `/text`: a document's original, and its parsed text.

use std::io::ErrorKind;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt as _, stream};
use lore_core::{Document, DocumentId, Format, Span};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Authenticated;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{ApiQuery, DocumentPath};
use crate::percent::encoded;
use crate::routes::readable;
use crate::state::AppState;

/// Bytes of a text file that are looked at to tell whether it is UTF-8.
const LOOK: usize = 64 << 10;
/// Most code points of text in one answer.
const TEXT_CHARS: usize = 200_000;

/// Which version.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ContentQuery {
    /// Version; the live one where it is left out. One that was replaced stays closed to whoever could not read it then.
    pub version: Option<u32>,
}

/// The original of a document, byte for byte.
#[utoipa::path(get, path = "/v1/documents/{id}/content", tag = "documents",
    params(("id" = String, Path, description = "The document's id"), ContentQuery), responses(
    (status = 200, description = "The original", body = Vec<u8>, content_type = "application/octet-stream"),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn content(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    DocumentPath(id): DocumentPath,
    ApiQuery(query): ApiQuery<ContentQuery>,
) -> Result<Response, ApiError> {
    let (document, _, hash) = readable(&state, &caller, id, query.version).await?;
    let hash = hash.ok_or_else(|| ApiError::not_found("version of the document"))?;
    let path = state.catalog(move |catalog| Ok(catalog.original_path(&hash))).await?;
    let mut file = match tokio::fs::File::open(&path).await {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(ApiError::not_found("document").because("its original is not stored"));
        }
        Err(error) => return Err(ApiError::internal(error)),
    };
    let length = file.metadata().await.map_err(ApiError::internal)?.len();
    let mut head = Vec::with_capacity(LOOK);
    (&mut file).take(LOOK as u64).read_to_end(&mut head).await.map_err(ApiError::internal)?;
    let media = media_type(document.format, is_utf8(&head));
    let rest = ReaderStream::new(file);
    let body = Body::from_stream(stream::once(async { Ok(Bytes::from(head)) }).chain(rest));

    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CONTENT_DISPOSITION, disposition(&document));
    if document.format == Format::Html {
        // A stored page must neither run scripts with this server's rights nor call out.
        let policy = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:";
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    }
    Ok(response)
}

fn media_type(format: Format, utf8: bool) -> &'static str {
    match (format, utf8) {
        (Format::Md, true) => "text/markdown; charset=utf-8",
        (Format::Md, false) => "text/markdown",
        (Format::Txt, true) => "text/plain; charset=utf-8",
        (Format::Txt, false) => "text/plain",
        (Format::Html, true) => "text/html; charset=utf-8",
        (Format::Html, false) => "text/html",
        (Format::Csv, true) => "text/csv; charset=utf-8",
        (Format::Csv, false) => "text/csv",
        (Format::Pdf, _) => "application/pdf",
        (Format::Docx, _) => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        (Format::Pptx, _) => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        (Format::Xlsx, _) => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        (Format::Eml, _) => "message/rfc822",
    }
}

/// Whether the start of a file is UTF-8; a character that the cut went through does not count.
fn is_utf8(head: &[u8]) -> bool {
    match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && head.len() == LOOK,
    }
}

/// `inline`, with the name twice: in ASCII for old clients, and as RFC 8187 (which follows RFC 5987) writes it.
fn disposition(document: &Document) -> HeaderValue {
    let name = document.name.rsplit('/').next().unwrap_or(&document.name);
    let plain: String = name
        .chars()
        .map(|c| if c == ' ' || (c.is_ascii_graphic() && !"\"\\%".contains(c)) { c } else { '_' })
        .collect();
    let encoded = encoded(name, b"!#$&+-.^_`|~");
    HeaderValue::from_str(&format!("inline; filename=\"{plain}\"; filename*=UTF-8''{encoded}"))
        .unwrap_or(HeaderValue::from_static("inline"))
}

/// Which part of the text.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TextQuery {
    /// First code point; 0 where it is left out.
    pub start: Option<usize>,
    /// One past the last code point; at most 200,000 after the first.
    pub end: Option<usize>,
    /// Version; the live one where it is left out. One that was replaced stays closed to whoever could not read it then.
    pub version: Option<u32>,
}

/// A part of a document's parsed text. Offsets are in Unicode code points, as in citations.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TextPart {
    /// Document.
    pub document: DocumentId,
    /// Its version.
    pub version: u32,
    /// First code point.
    pub start: usize,
    /// One past the last code point.
    pub end: usize,
    /// Code points of the whole text.
    pub total: usize,
    /// The text from `start` to `end`.
    pub text: String,
    /// Page on which it starts, where the format has pages.
    pub page: Option<u32>,
    /// Headings above its start, outermost first.
    pub headings: Vec<String>,
}

/// A part of the parsed text that citations point into.
#[utoipa::path(get, path = "/v1/documents/{id}/text", tag = "documents",
    params(("id" = String, Path, description = "The document's id"), TextQuery), responses(
    (status = 200, description = "The text", body = TextPart),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn text(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    DocumentPath(id): DocumentPath,
    ApiQuery(query): ApiQuery<TextQuery>,
) -> Result<Json<TextPart>, ApiError> {
    let (_, version, _) = readable(&state, &caller, id, query.version).await?;
    let start = query.start.unwrap_or(0);
    if query.end.is_some_and(|end| end < start) {
        return Err(ApiError::invalid("bad_span", "end must not be before start"));
    }
    let end = query.end.unwrap_or(usize::MAX).min(start.saturating_add(TEXT_CHARS));
    let part = state
        .catalog(move |catalog| {
            let Some(parsed) = catalog.parsed(id, version)? else { return Ok(None) };
            let index = parsed.char_index();
            let total = index.chars();
            let span = Span::new(start.min(total), end.min(total));
            Ok(Some(TextPart {
                document: id,
                version,
                start,
                end: span.end,
                total,
                text: index.slice(&parsed.text, span).to_owned(),
                page: parsed.pages_of(span).map(|pages| pages.first),
                headings: parsed.heading_path(span.start),
            }))
        })
        .await?
        .ok_or_else(|| ApiError::not_found("version of the document"))?;
    if part.start > part.total {
        let total = part.total;
        return Err(ApiError::invalid(
            "bad_span",
            format!("start is behind the end of the text, which is {total}"),
        ));
    }
    Ok(Json(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_character_is_still_utf8() {
        let mut head = vec![b'a'; LOOK - 1];
        head.push(0xe6);
        assert!(is_utf8(&head));
        assert!(!is_utf8(&[b'a', 0xe6]));
        assert!(!is_utf8(&[0xff, b'a']));
        assert!(is_utf8("手册".as_bytes()));
    }
}
