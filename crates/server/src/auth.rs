//! Who calls: a key, the local token, or the person at this machine.
//!
//! A browser that signed in brings the cookie of a session instead of a key. A cookie comes with requests that other pages
//! make, too, so it counts only where the browser or the page's own header says that the request is this server's page's.
//!
//! Keys are looked up in the catalog for every request, so that a revoked key stops at once. Without a key, a caller is
//! the owner of the data folder only where the server listens on loopback addresses alone, and only for requests that a
//! foreign web page in the owner's browser cannot make: the `Host` must be a loopback name (a page that rebinds its own
//! name to 127.0.0.1 sends that name), the `Origin`, where there is one, must be this server's own, and no proxy may
//! have passed the request on.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, Version, header};
use lore_core::{Access, Caller};
use lore_index::ApiKey;
use subtle::ConstantTimeEq as _;

use crate::dialect::Dialect;
use crate::error::ApiError;
use crate::routes::explained::OwnAccess;
use crate::state::AppState;
use crate::web::headers::cookie;
use crate::web::session::COOKIE;

/// Header in which an administrator names groups to ask as a member of.
pub const GROUPS: &str = "x-lore-groups";

/// Header that the pages of this server send with every call, and that a form of another page cannot.
pub const OWN_PAGE: &str = "x-lore-web";

/// Headers by which a proxy shows.
const FORWARDED: [&str; 9] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
    "cf-connecting-ip",
];

/// Longest secret that is looked up, in bytes.
const SECRET_BYTES: usize = 256;
/// How every key of Lore starts.
const KEY_PREFIX: &str = "lore_";

/// A caller who may ask, search and read.
#[derive(Clone, Debug)]
pub struct Authenticated(pub Caller);

/// A caller who may also manage documents, keys and jobs.
#[derive(Clone, Debug)]
pub struct Admin(pub Caller);

/// A caller, and how it came.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The caller.
    pub caller: Caller,
    /// Whether it is known by a session.
    pub signed_in: bool,
}

/// Who sent a request.
///
/// # Errors
/// 401 without a valid key or session where one is needed, 403 where the request may come from somewhere else.
pub async fn visitor(parts: &Parts, state: &AppState) -> Result<Visitor, ApiError> {
    let brought = secret(&parts.headers)?;
    let placeholder = brought.as_deref().is_some_and(|secret| is_placeholder(secret, parts, state));
    if let Some(secret) = brought.filter(|_| !placeholder) {
        return Ok(Visitor { caller: of_secret(secret, state).await?, signed_in: false });
    }
    if let Some(key) = of_session(&parts.headers, state).await? {
        if parts.method.is_safe() {
            not_from_elsewhere(parts)?;
        } else {
            from_own_page(parts)?;
        }
        return Ok(Visitor { caller: caller_of(key), signed_in: true });
    }
    if state.keys_required() {
        return Err(ApiError::unauthorized(
            "an API key is needed: send it as Authorization: Bearer lore_...; `lore keys create` makes one",
        ));
    }
    at_this_machine(parts)?;
    Ok(Visitor { caller: Caller::local(), signed_in: false })
}

/// The key of the session whose cookie a request brings; a session that ended is as none.
async fn of_session(headers: &HeaderMap, state: &AppState) -> Result<Option<ApiKey>, ApiError> {
    match cookie(headers, COOKIE).map(str::to_owned) {
        Some(token) => state.catalog(move |catalog| catalog.session(&token)).await,
        None => Ok(None),
    }
}

impl FromRequestParts<AppState> for Authenticated {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let Visitor { caller, .. } = visitor(parts, state).await?;
        if parts.headers.contains_key(GROUPS) {
            parts.extensions.insert(OwnAccess(caller.access.clone()));
        }
        as_member(&parts.headers, caller).map(Self)
    }
}

/// The caller as a member of the groups in `X-Lore-Groups` (UTF-8, separated by commas) and without other rights; an
/// administrator's way to see what those groups see.
fn as_member(headers: &HeaderMap, caller: Caller) -> Result<Caller, ApiError> {
    let Some(value) = headers.get(GROUPS) else { return Ok(caller) };
    if !caller.admin {
        return Err(ApiError::forbidden(
            "forbidden",
            "only an administrator may ask as a member of other groups",
        ));
    }
    let groups = std::str::from_utf8(value.as_bytes())
        .map_err(|_| ApiError::invalid("bad_groups", "X-Lore-Groups is not UTF-8"))?;
    let named = groups.split(',').map(str::trim).filter(|group| !group.is_empty()).map(str::to_owned);
    Ok(Caller::with_groups(&caller.id, named))
}

impl FromRequestParts<AppState> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, state).await?;
        if !caller.admin {
            return Err(ApiError::forbidden("forbidden", "this needs a key with the admin right"));
        }
        Ok(Self(caller))
    }
}

/// The secret that a request brings in `Authorization: Bearer` or `X-API-Key`.
fn secret(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let malformed =
        || ApiError::unauthorized("the key is malformed: send it as Authorization: Bearer lore_...");
    let value = match (headers.get(header::AUTHORIZATION), headers.get("x-api-key")) {
        (Some(value), _) => {
            let value = value.to_str().map_err(|_| malformed())?;
            let (scheme, secret) = value.split_once(' ').ok_or_else(malformed)?;
            if !scheme.eq_ignore_ascii_case("bearer") {
                return Err(malformed());
            }
            secret.trim()
        }
        (None, Some(value)) => value.to_str().map_err(|_| malformed())?.trim(),
        (None, None) => return Ok(None),
    };
    if value.is_empty() || value.len() > SECRET_BYTES {
        return Err(malformed());
    }
    Ok(Some(value.to_owned()))
}

/// Whether a secret only fills a place: clients of OpenAI's API cannot do without a key, also where none is needed. It
/// gives no rights; the caller is looked at as one who brings none.
fn is_placeholder(secret: &str, parts: &Parts, state: &AppState) -> bool {
    let openai = parts.extensions.get::<Dialect>() == Some(&Dialect::OpenAi);
    openai && !state.keys_required() && !secret.starts_with(KEY_PREFIX) && !is_local_token(secret, state)
}

fn is_local_token(secret: &str, state: &AppState) -> bool {
    let local = state.options().local_token.as_deref().filter(|token| !token.is_empty());
    local.is_some_and(|token| bool::from(token.as_bytes().ct_eq(secret.as_bytes())))
}

async fn of_secret(secret: String, state: &AppState) -> Result<Caller, ApiError> {
    if is_local_token(&secret, state) {
        return Ok(Caller::local());
    }
    let key = state.catalog(move |catalog| catalog.authenticate(&secret)).await?;
    key.map(caller_of).ok_or_else(|| ApiError::unauthorized("the key is unknown or was revoked"))
}

fn caller_of(key: ApiKey) -> Caller {
    let access = if key.admin { Access::All } else { Access::Groups(key.groups) };
    Caller { id: key.id, access, admin: key.admin }
}

/// Lets only such requests through as a program or a page of this server on this machine makes.
fn at_this_machine(parts: &Parts) -> Result<(), ApiError> {
    let headers = &parts.headers;
    // nginx adds none of the headers unless it is told to, but speaks HTTP/1.0 to what is behind it.
    let old = parts.version == Version::HTTP_10 || parts.version == Version::HTTP_09;
    if old || FORWARDED.iter().any(|name| headers.contains_key(*name)) {
        return Err(ApiError::forbidden("forbidden_proxy", "a request through a proxy needs an API key"));
    }
    let host = host(parts).filter(|host| is_loopback(host.host())).ok_or_else(|| {
        ApiError::forbidden(
            "forbidden_host",
            "without an API key the server must be called by a loopback name, such as localhost or 127.0.0.1",
        )
    })?;
    for origin in headers.get_all(header::ORIGIN) {
        let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
        if !origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host.as_str())) {
            return Err(cross_site());
        }
    }
    not_from_elsewhere(parts)
}

/// Refuses what the browser says another site's page asked for.
fn not_from_elsewhere(parts: &Parts) -> Result<(), ApiError> {
    let says =
        |name: &str, value: &str| parts.headers.get(name).is_some_and(|v| v.as_bytes() == value.as_bytes());
    // A person who follows a link from another page to a document sends this, and that page sees nothing of it.
    let followed_link = parts.method == Method::GET && says("sec-fetch-mode", "navigate");
    if (says("sec-fetch-site", "cross-site") || says("sec-fetch-site", "same-site")) && !followed_link {
        return Err(cross_site());
    }
    Ok(())
}

/// Lets only such requests through as a page of this server makes: with its header, and from this origin, which the
/// browser says in `Sec-Fetch-Site` or, where it does not send that, in `Origin`.
///
/// # Errors
/// 403.
pub fn from_own_page(parts: &Parts) -> Result<(), ApiError> {
    let headers = &parts.headers;
    let refused = || {
        ApiError::forbidden(
            "cross_site",
            "a session is good for pages of this server alone: send an API key, or X-Lore-Web: 1 from a page of this server",
        )
    };
    if headers.get(OWN_PAGE).is_none_or(|value| value.as_bytes() != b"1") {
        return Err(refused());
    }
    let own = match headers.get("sec-fetch-site") {
        Some(site) => site.as_bytes() == b"same-origin",
        None => {
            let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
            let origin =
                origin.and_then(|o| o.strip_prefix("https://").or_else(|| o.strip_prefix("http://")));
            let host = host(parts);
            origin.zip(host).is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host.as_str()))
        }
    };
    if own { Ok(()) } else { Err(refused()) }
}

fn cross_site() -> ApiError {
    ApiError::forbidden("cross_site", "a page of another site needs an API key")
}

/// The host that was called: the only `Host` header there is.
fn host(parts: &Parts) -> Option<Authority> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = hosts.next()?;
    if hosts.next().is_some() || host.as_bytes().contains(&b'@') {
        return None;
    }
    Authority::try_from(host.as_bytes()).ok()
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || bare.and_then(|h| h.parse::<Ipv6Addr>().ok()).is_some_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use axum::http::Request;

    fn allowed(headers: &[(&str, &str)]) -> Result<(), String> {
        let mut request = Request::builder().method("POST");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        at_this_machine(&request.body(()).unwrap().into_parts().0).map_err(|e| e.code().to_owned())
    }

    #[test]
    fn loopback_names_are_let_in() {
        for host in [
            "localhost",
            "localhost:8787",
            "LOCALHOST:1",
            "127.0.0.1:8787",
            "127.8.9.1",
            "[::1]:8787",
            "[::1]",
        ] {
            assert_eq!(allowed(&[("host", host)]), Ok(()), "{host}");
        }
    }

    #[test]
    fn names_that_only_resolve_to_loopback_are_not() {
        for host in [
            "evil.example",
            "evil.example:8787",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "user@localhost",
            "0.0.0.0",
            "[::]",
            "192.168.0.1",
            "",
        ] {
            assert_eq!(allowed(&[("host", host)]), Err("forbidden_host".into()), "{host}");
        }
        assert_eq!(allowed(&[]), Err("forbidden_host".into()));
        assert_eq!(allowed(&[("host", "localhost"), ("host", "localhost")]), Err("forbidden_host".into()));
    }

    #[test]
    fn other_origins_are_not_let_in() {
        let host = ("host", "localhost:8787");
        assert_eq!(allowed(&[host, ("origin", "http://localhost:8787")]), Ok(()));
        for origin in ["http://localhost:3000", "https://localhost:8787", "http://evil.example", "null", ""] {
            assert_eq!(allowed(&[host, ("origin", origin)]), Err("cross_site".into()), "{origin}");
        }
        assert_eq!(allowed(&[host, ("sec-fetch-site", "cross-site")]), Err("cross_site".into()));
        assert_eq!(allowed(&[host, ("sec-fetch-site", "same-origin")]), Ok(()));
        for name in FORWARDED {
            assert_eq!(allowed(&[host, (name, "10.0.0.1")]), Err("forbidden_proxy".into()), "{name}");
        }
        let old = Request::builder().version(Version::HTTP_10).header("host", "localhost").body(()).unwrap();
        let refused = at_this_machine(&old.into_parts().0).unwrap_err();
        assert_eq!(refused.code(), "forbidden_proxy");
    }

    #[test]
    fn a_page_of_this_server_is_known_by_its_header_and_its_origin() {
        let own = |headers: &[(&str, &str)]| {
            let mut request = Request::builder().method("POST").header("host", "lore.example");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            from_own_page(&request.body(()).unwrap().into_parts().0).is_ok()
        };
        let web = ("x-lore-web", "1");
        assert!(own(&[web, ("origin", "https://lore.example")]));
        assert!(own(&[web, ("origin", "http://LORE.example")]));
        assert!(own(&[web, ("sec-fetch-site", "same-origin")]));
        // A proxy may call this server by another name than the browser does.
        assert!(own(&[web, ("sec-fetch-site", "same-origin"), ("origin", "https://outside.example")]));
        for site in ["cross-site", "same-site", "none", ""] {
            assert!(!own(&[web, ("sec-fetch-site", site), ("origin", "https://lore.example")]), "{site}");
        }
        for origin in ["https://evil.example", "null", "lore.example", "https://lore.example.evil.example"] {
            assert!(!own(&[web, ("origin", origin)]), "{origin}");
        }
        assert!(!own(&[web]));
        assert!(!own(&[("origin", "https://lore.example")]));
        assert!(!own(&[("x-lore-web", "0"), ("sec-fetch-site", "same-origin")]));
    }

    #[test]
    fn administrators_may_ask_as_members_and_others_may_not() {
        let mut headers = HeaderMap::new();
        assert_eq!(as_member(&headers, Caller::local()).unwrap(), Caller::local());
        headers.insert(GROUPS, axum::http::HeaderValue::from_bytes(" board,人事 ,".as_bytes()).unwrap());
        let member = as_member(&headers, Caller::local()).unwrap();
        assert_eq!(member, Caller::with_groups("local", ["board".to_owned(), "人事".to_owned()]));
        assert!(!member.admin);
        assert_eq!(as_member(&headers, member).unwrap_err().status().as_u16(), 403);
        headers.insert(GROUPS, "".parse().unwrap());
        let nobody = as_member(&headers, Caller::local()).unwrap();
        assert_eq!(nobody.access, Access::Groups(Default::default()));
    }

    #[test]
    fn secrets_come_in_two_headers() {
        let with = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            secret(&headers).map_err(|e| e.status().as_u16())
        };
        assert_eq!(with("authorization", "Bearer lore_a_b"), Ok(Some("lore_a_b".into())));
        assert_eq!(with("authorization", "bearer  lore_a_b"), Ok(Some("lore_a_b".into())));
        assert_eq!(with("x-api-key", "lore_a_b"), Ok(Some("lore_a_b".into())));
        assert_eq!(with("accept", "*/*"), Ok(None));
        for bad in ["Basic bG9yZQ==", "lore_a_b", "Bearer ", &format!("Bearer {}", "x".repeat(300))] {
            assert_eq!(with("authorization", bad), Err(401), "{bad}");
        }
    }
}
