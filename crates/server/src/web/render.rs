//! `POST /web/render`: Markdown of models and documents in, HTML in which nothing can run out.
//!
//! [`super::markdown`] writes only what it knows and escapes the rest; the sanitiser after it lets through only the same
//! elements, so that a mistake in one of both is none of the page.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use ammonia::{Builder, UrlRelative};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::language::Language;
use super::markdown::{self, Notes};
use super::marks::{CitationMark, Marks, SpanMark};
use crate::auth::Authenticated;
use crate::error::{ApiError, ErrorBody};
use crate::extract::ApiJson;
use crate::state::AppState;

/// Longest text, in bytes.
const TEXT_BYTES: usize = 256 << 10;
/// Most marks of a kind.
const MARKS: usize = 2000;

/// A text to be shown. All offsets are in Unicode code points.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenderRequest {
    /// Markdown.
    pub text: String,
    /// Citations whose numbers are to be shown at their ends.
    #[serde(default)]
    pub citations: Vec<CitationMark>,
    /// Statements that are to look different; those that overlap an earlier one are left out.
    #[serde(default)]
    pub spans: Vec<SpanMark>,
}

/// HTML that can be put into a page.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RenderResponse {
    /// The HTML: a citation is `<button type="button" class="cite" data-citation="N">`, a statement
    /// `<span class="unsupported" data-span="I">`, where I is its place in the request.
    pub html: String,
}

/// Turns Markdown into HTML in which nothing can run.
#[utoipa::path(post, path = "/web/render", tag = "web", request_body = RenderRequest, responses(
    (status = 200, description = "The HTML", body = RenderResponse),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn render(
    State(_): State<AppState>,
    _: Authenticated,
    headers: HeaderMap,
    ApiJson(request): ApiJson<RenderRequest>,
) -> Result<Json<RenderResponse>, ApiError> {
    let RenderRequest { text, citations, spans } = request;
    if text.len() > TEXT_BYTES {
        return Err(ApiError::invalid("too_long", format!("text is longer than {TEXT_BYTES} bytes")));
    }
    if citations.len() > MARKS || spans.len() > MARKS {
        return Err(ApiError::invalid("too_long", format!("there are more than {MARKS} citations or spans")));
    }
    let language = Language::of(&headers);
    let notes = Notes {
        table: language.words("core.cut.table", &[]).into_owned(),
        text: language.words("core.cut.text", &[]).into_owned(),
    };
    let html = tokio::task::spawn_blocking(move || {
        let marks = Marks::new(&text, &citations, &spans);
        safe(&text, marks, &notes)
    });
    Ok(Json(RenderResponse { html: html.await? }))
}

/// The HTML of a Markdown text.
fn safe(text: &str, marks: Marks, notes: &Notes) -> String {
    SANITISER.clean(&markdown::write(text, marks, notes)).to_string()
}

static SANITISER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let set = |names: &[&'static str]| names.iter().copied().collect::<HashSet<_>>();
    let map = |pairs: &[(&'static str, &[&'static str])]| {
        pairs.iter().map(|(name, values)| (*name, set(values))).collect::<HashMap<_, _>>()
    };
    let mut builder = Builder::empty();
    builder
        .tags(set(&[
            "a",
            "blockquote",
            "br",
            "button",
            "code",
            "del",
            "div",
            "em",
            "h3",
            "h4",
            "h5",
            "h6",
            "hr",
            "li",
            "ol",
            "p",
            "pre",
            "span",
            "strong",
            "table",
            "tbody",
            "td",
            "th",
            "thead",
            "tr",
            "ul",
        ]))
        .clean_content_tags(set(&["script", "style"]))
        .tag_attributes(map(&[
            ("a", &["href"]),
            ("button", &["type", "data-citation"]),
            ("div", &["tabindex"]),
            ("ol", &["start"]),
            ("pre", &["tabindex"]),
            ("span", &["data-span"]),
        ]))
        .allowed_classes(map(&[
            ("button", &["cite"]),
            ("div", &["table-box"]),
            ("p", &["cut"]),
            ("span", &["unsupported", "highlight"]),
            ("td", &["right", "center"]),
            ("th", &["right", "center"]),
        ]))
        .url_schemes(set(&["http", "https", "mailto"]))
        .url_relative(UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer nofollow"))
        .set_tag_attribute_value("a", "target", "_blank");
    builder
});

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
