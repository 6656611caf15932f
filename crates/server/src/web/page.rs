//! Pages: frames from templates, in the person's language and theme. What is in them is the browser's work.

use std::sync::LazyLock;

use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, UndefinedBehavior, context};

use super::assets::{self, TEMPLATES};
use super::headers::{cookie, secure};
use super::language::Language;
use crate::auth::{self, Visitor};
use crate::error::ApiError;
use crate::openapi;
use crate::percent::encoded;
use crate::routes::accepts;
use crate::state::AppState;

/// Cookie that keeps the theme.
const THEME: &str = "lore_theme";
/// What stays as it is in a path that is the value of a parameter, beside letters and digits.
const KEPT: &[u8] = b"/-_.~";
/// Longest path that signing in leads back to, in bytes.
const NEXT_BYTES: usize = 1024;
/// The pages of the header; the second half is for administrators.
const EVERYONES: [(&str, &str); 3] = [("ask", "/"), ("documents", "/documents"), ("search", "/search")];
const ADMINS: [(&str, &str); 2] = [("training", "/training"), ("settings", "/settings")];

/// Says that a response is a page: an error, too, keeps its body.
#[derive(Clone, Copy, Debug)]
pub struct Page;

/// A page for whoever may use this server; others are led to the sign-in page, or told why they may not.
pub async fn show(name: &'static str, state: AppState, parts: Parts) -> Response {
    match auth::visitor(&parts, &state).await {
        Ok(visitor) => answer(StatusCode::OK, name, &parts.headers, Some(&visitor), context! {}),
        Err(error) if error.status() == StatusCode::UNAUTHORIZED => {
            let wanted = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            let next: &str = if wanted.len() <= NEXT_BYTES { wanted } else { "/" };
            let mut response = Redirect::to(&format!("/signin?next={}", encoded(next, KEPT))).into_response();
            secure(response.headers_mut());
            response
        }
        Err(error) => {
            let reason = context! { reason => error.message() };
            answer(error.status(), "missing", &parts.headers, None, reason)
        }
    }
}

/// The page that takes a key.
pub async fn sign_in(parts: Parts) -> Response {
    answer(StatusCode::OK, "signin", &parts.headers, None, context! {})
}

/// The page that names every route of the API; it says nothing about this server's documents.
pub async fn api(State(state): State<AppState>, parts: Parts) -> Response {
    let visitor = auth::visitor(&parts, &state).await.ok();
    let more = context! {
        routes => openapi::rows(),
        host => called(&parts.headers).unwrap_or("localhost:8787"),
        keys => state.keys_required(),
    };
    answer(StatusCode::OK, "api", &parts.headers, visitor.as_ref(), more)
}

/// The host and port that were called, where they are plain enough to stand in a command.
fn called(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".:[]-".contains(c);
    (!host.is_empty() && !host.starts_with('-') && host.chars().all(plain)).then_some(host)
}

/// What is not there, as a page for browsers and as an error for programs.
pub async fn missing(State(state): State<AppState>, parts: Parts) -> Response {
    let api = parts.uri.path().starts_with("/v1/") || parts.method != Method::GET;
    if api || !accepts(&parts.headers, "text/html") {
        return StatusCode::NOT_FOUND.into_response();
    }
    let visitor = auth::visitor(&parts, &state).await.ok();
    answer(StatusCode::NOT_FOUND, "missing", &parts.headers, visitor.as_ref(), context! { reason => () })
}

fn answer(
    status: StatusCode,
    name: &'static str,
    headers: &HeaderMap,
    visitor: Option<&Visitor>,
    more: Value,
) -> Response {
    match render(name, headers, visitor, more) {
        Ok(text) => {
            let mut response = (status, Html(text)).into_response();
            response.extensions_mut().insert(Page);
            secure(response.headers_mut());
            response
        }
        Err(error) => ApiError::internal(format_args!("template {name}: {error:#}")).into_response(),
    }
}

fn render(
    name: &'static str,
    headers: &HeaderMap,
    visitor: Option<&Visitor>,
    more: Value,
) -> Result<String, minijinja::Error> {
    let language = Language::of(headers);
    let admin = visitor.is_some_and(|visitor| visitor.caller.admin);
    let offered: &[&[(&str, &str)]] = match visitor {
        None => &[],
        Some(_) if admin => &[&EVERYONES, &ADMINS],
        Some(_) => &[&EVERYONES],
    };
    let nav: Vec<(&str, Value)> =
        offered.iter().copied().flatten().map(|(name, path)| (*name, plain(path))).collect();
    let frame = context! {
        page => name,
        lang => language.name(),
        theme => theme(headers),
        assets => plain(&assets::base()),
        styles => assets::styles(name).into_iter().map(plain).collect::<Vec<_>>(),
        modules => assets::modules(name, language.name()).into_iter().map(plain).collect::<Vec<_>>(),
        signed_in => visitor.is_some_and(|visitor| visitor.signed_in),
        admin,
        nav,
    };
    TEMPLATING.get_template(&format!("{name}.html"))?.render(context! { ..more, ..frame })
}

/// A path of our own: the templates' escaping would turn its slashes into references.
fn plain(path: &str) -> Value {
    Value::from_safe_string(path.to_owned())
}

fn theme(headers: &HeaderMap) -> &'static str {
    match cookie(headers, THEME) {
        Some("light") => "light",
        Some("dark") => "dark",
        _ => "auto",
    }
}

static TEMPLATING: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::Html);
    environment.add_function("t", words);
    for (name, text) in TEMPLATES {
        if let Err(error) = environment.add_template(name, text) {
            tracing::error!(error = format!("{error:#}"), name, "a template is broken");
        }
    }
    environment
});

/// `t("key", name=value)`: words in the language of the page.
fn words(state: &minijinja::State<'_, '_>, key: &str, vars: Kwargs) -> Result<String, minijinja::Error> {
    let language = state.lookup("lang");
    let chinese = language.as_ref().and_then(Value::as_str) == Some("zh");
    let language = if chinese { Language::Zh } else { Language::En };
    let names: Vec<String> = vars.args().map(str::to_owned).collect();
    let vars: Result<Vec<(String, String)>, _> =
        names.into_iter().map(|name| vars.get::<String>(&name).map(|value| (name, value))).collect();
    Ok(language.words(key, &vars?).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_template_is_whole() {
        for (name, _) in TEMPLATES {
            assert!(TEMPLATING.get_template(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn only_a_plain_host_stands_in_a_command() {
        let named = |host: &str| {
            let headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            called(&headers).map(str::to_owned)
        };
        for host in ["lore.example:8787", "127.0.0.1", "[::1]:80"] {
            assert_eq!(named(host).as_deref(), Some(host));
        }
        for host in ["", "-o/tmp/x", "a b", "a;b", "a'b", "$(id)"] {
            assert_eq!(named(host), None, "{host}");
        }
        assert_eq!(called(&HeaderMap::new()), None);
    }
}
