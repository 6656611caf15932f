//! Around every request: its id, span, figures, panics, and the one shape of errors.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::body::Rest;
use crate::dialect::Dialect;
use crate::error::ApiError;
use crate::metrics;
use crate::web::page::Page;

/// Header that carries a request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Most characters of an id that a client may bring.
const ID_CHARS: usize = 64;

/// A request's id: the client's own where it is sane, else a new UUID version 7.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    fn of(headers: &HeaderMap) -> Self {
        let sane = |id: &&str| {
            (1..=ID_CHARS).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        match headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(sane) {
            Some(id) => Self(id.into()),
            None => Self(Uuid::now_v7().to_string().into()),
        }
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self::of(&parts.headers)))
    }
}

/// The layer around every request.
pub async fn around(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let dialect = Dialect::of(request.uri().path());
    request.extensions_mut().insert(dialect);
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let mut account = Account::open(label(request.method()), route);
    let span = tracing::info_span!("request", %id, method = account.method, route = account.route);
    let (request, rest) = Rest::of(request);
    async move {
        let (response, rest) = match AssertUnwindSafe(next.run(request)).catch_unwind().await {
            Ok(response) => (response, Some(rest)),
            Err(panic) => {
                let error = ApiError::internal(format_args!("a handler panicked: {}", words(&*panic)));
                (error.into_response(), None)
            }
        };
        let response = finish(response, &id, dialect);
        let status = response.status();
        account.close(status);
        let refused = status.is_client_error() || status.is_server_error();
        // A body that came too slowly would come no faster now.
        if let Some(rest) = rest.filter(|_| refused && status != StatusCode::REQUEST_TIMEOUT) {
            rest.discard().await;
        }
        response
    }
    .instrument(span)
    .await
}

/// Writes the body of an error, and the headers that every response has.
fn finish(mut response: Response, id: &RequestId, dialect: Dialect) -> Response {
    let status = response.status();
    let error = response.extensions_mut().remove::<ApiError>();
    // A page for a person is no error for a program.
    let page = response.extensions_mut().remove::<Page>().is_some();
    let error = error.filter(|_| !page).or_else(|| {
        (!page && (status.is_client_error() || status.is_server_error())).then(|| ApiError::of_status(status))
    });
    if let Some(error) = error {
        log(&error);
        let (mut parts, _) = response.into_parts();
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.remove(header::CONTENT_TYPE);
        let (body_parts, body) = dialect.body(&error, id.as_str()).into_parts();
        parts.status = dialect.status(&error);
        parts.headers.extend(body_parts.headers);
        if let Some(seconds) = error.retry_after() {
            parts.headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if error.status() == StatusCode::UNAUTHORIZED {
            parts.headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response = Response::from_parts(parts, body);
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn log(error: &ApiError) {
    let (status, code) = (error.status().as_u16(), error.code());
    let cause = error.cause().unwrap_or(error.message());
    // Not being ready, or busy, is a state and not a fault.
    if error.status().is_server_error() && error.status() != StatusCode::SERVICE_UNAVAILABLE {
        tracing::error!(status, code, cause, "request failed");
    } else {
        tracing::debug!(status, code, cause, "request refused");
    }
}

/// The message of a panic.
fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

/// The method as a label; clients may invent methods, and labels must stay few.
fn label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Counts a request once, also when its client goes away before the answer.
struct Account {
    method: &'static str,
    route: String,
    started: Instant,
    closed: bool,
}

impl Account {
    fn open(method: &'static str, route: String) -> Self {
        metrics::in_flight(1.0);
        Self { method, route, started: Instant::now(), closed: false }
    }

    fn close(&mut self, status: StatusCode) {
        self.closed = true;
        self.count(status.as_u16());
    }

    fn count(&self, status: u16) {
        let took = self.started.elapsed();
        metrics::request_done(self.method, &self.route, status, took);
        let ms = took.as_secs_f64() * 1e3;
        // Health checks come every few seconds and would drown the rest.
        if matches!(self.route.as_str(), "/healthz" | "/readyz" | "/metrics" | "/web/me")
            || self.route.starts_with("/assets/")
        {
            tracing::debug!(status, ms, "answered");
        } else {
            tracing::info!(status, ms, "answered");
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        metrics::in_flight(-1.0);
        if !self.closed {
            self.count(499);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_sane_ids_are_taken_over() {
        let with = |id: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(id).unwrap());
            RequestId::of(&headers).as_str().to_owned()
        };
        assert_eq!(with("abc-1_2.3"), "abc-1_2.3");
        for bad in ["", "a b", "a\"b", &"x".repeat(65)] {
            let made = with(bad);
            assert_eq!(Uuid::parse_str(&made).unwrap().get_version_num(), 7, "{bad:?} became {made}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error_like_others() {
        use axum::Router;
        use axum::body::{Body, to_bytes};
        use tower::ServiceExt as _;

        async fn handler() {
            panic!("a secret at /srv/private");
        }
        let app: Router =
            Router::new().route("/", axum::routing::get(handler)).layer(axum::middleware::from_fn(around));
        let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"]["code"], "internal");
        assert!(!body.to_string().contains("/srv"), "{body}");
    }
}
