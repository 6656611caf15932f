//! The embedded assets: `/assets/{hash}/{path}`, compressed as the client takes it, cached for ever.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// One file as the browser gets it.
#[derive(Debug)]
pub struct Asset {
    /// Path below `/assets/{hash}/`.
    pub path: &'static str,
    /// Hash of its content.
    pub hash: &'static str,
    /// As it is.
    pub plain: &'static [u8],
    /// As Brotli, where that is smaller.
    pub brotli: Option<&'static [u8]>,
    /// As gzip, where that is smaller.
    pub gzip: Option<&'static [u8]>,
}

impl Asset {
    /// The bytes to send to a client with these headers, and what they are encoded with.
    fn encoded(&self, headers: &HeaderMap) -> (&'static [u8], Option<&'static str>) {
        if let Some(bytes) = self.brotli.filter(|_| takes(headers, "br")) {
            return (bytes, Some("br"));
        }
        match self.gzip.filter(|_| takes(headers, "gzip")) {
            Some(bytes) => (bytes, Some("gzip")),
            None => (self.plain, None),
        }
    }

    fn kind(&self) -> &'static str {
        match self.path.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some("json") => "application/json",
            Some("png") => "image/png",
            Some("woff2") => "font/woff2",
            _ => "application/octet-stream",
        }
    }

    fn text(&self) -> &'static str {
        std::str::from_utf8(self.plain).unwrap_or_default()
    }
}

/// The asset of a path.
pub fn asset(path: &str) -> Option<&'static Asset> {
    ASSETS.binary_search_by(|asset| asset.path.cmp(path)).ok().map(|at| &ASSETS[at])
}

/// Where assets are, with a slash at the end.
pub fn base() -> String {
    format!("/assets/{HASH}/")
}

/// Serves one; an address of another build is not there, as its modules might not fit together.
pub async fn serve(Path((hash, path)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let Some(asset) = asset(&path).filter(|_| hash == HASH) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (bytes, encoding) = asset.encoded(&headers);
    let tag = format!("\"{}{}\"", asset.hash, encoding.map(|e| format!("-{e}")).unwrap_or_default());
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let same =
        known.is_some_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag));
    let mut response = if same { StatusCode::NOT_MODIFIED.into_response() } else { bytes.into_response() };
    let out = response.headers_mut();
    let fixed = [
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::VARY, "Accept-Encoding"),
        (header::CONTENT_TYPE, asset.kind()),
    ];
    for (name, value) in fixed {
        out.insert(name, HeaderValue::from_static(value));
    }
    if let Some(encoding) = encoding.filter(|_| !same) {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        out.insert(header::ETAG, tag);
    }
    out.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}

/// Whether the client takes a coding: named, and not with a weight of zero.
fn takes(headers: &HeaderMap, coding: &str) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| {
        let (name, parameters) = one.split_once(';').unwrap_or((one, ""));
        let weight = parameters.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
        name.trim().eq_ignore_ascii_case(coding) && weight.is_ok_and(|weight| weight > 0.0)
    })
}

/// The style sheets of a page: those of all pages, then its own, `css/{page}.css` and `css/{page}-….css`.
pub fn styles(page: &str) -> Vec<&'static str> {
    let (own, more) = (format!("css/{page}.css"), format!("css/{page}-"));
    let shared = ["css/tokens.css", "css/base.css", "css/parts.css"];
    let of_page = ASSETS.iter().map(|asset| asset.path);
    let of_page = of_page.filter(|path| *path == own || (path.starts_with(&more) && path.ends_with(".css")));
    shared.into_iter().chain(of_page).collect()
}

/// What each module imports, by its path.
static IMPORTS: LazyLock<HashMap<&'static str, Vec<&'static str>>> = LazyLock::new(|| {
    let scripts = ASSETS.iter().filter(|asset| asset.path.ends_with(".js"));
    let wanted = |from: &'static Asset| {
        let paths = imports(from.text()).filter_map(|wanted| resolve(from.path, wanted));
        (from.path, paths.filter_map(|path| asset(&path)).map(|asset| asset.path).collect())
    };
    scripts.map(wanted).collect()
});

/// The modules that a page needs at once: its entries, what they import, and the words of the language. They are named
/// in its head, so that the browser asks for all of them together.
pub fn modules(page: &str, language: &str) -> Vec<&'static str> {
    let open = [
        "js/core/frame.js".to_owned(),
        format!("js/{page}/main.js"),
        format!("i18n/{language}/core.js"),
        format!("i18n/{language}/{page}.js"),
    ];
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = open.iter().filter_map(|path| asset(path)).map(|asset| asset.path).collect();
    while let Some(path) = open.pop() {
        if found.insert(path) {
            open.extend(IMPORTS.get(path).into_iter().flatten());
        }
    }
    found.into_iter().collect()
}

/// What a module imports by `import … from "…"`, `export … from "…"` and `import "…"`.
fn imports(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let statement = ["import ", "export ", "}"].iter().any(|start| line.starts_with(start));
        let after = line.split_once(" from \"").map(|(_, after)| after);
        let after = after.or_else(|| line.strip_prefix("import \""));
        after.filter(|_| statement)?.split_once('"').map(|(path, _)| path)
    })
}

/// A relative path as seen from a module.
fn resolve(from: &str, wanted: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in wanted.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_table_is_in_order_and_every_import_leads_somewhere() {
        assert!(ASSETS.is_sorted_by(|a, b| a.path < b.path));
        for asset in ASSETS.iter().filter(|asset| asset.path.ends_with(".js")) {
            for wanted in imports(asset.text()) {
                let path = resolve(asset.path, wanted).unwrap();
                assert!(super::asset(&path).is_some(), "{} imports {wanted}, which is not there", asset.path);
            }
        }
    }

    #[test]
    fn modules_of_a_page_are_all_that_it_imports() {
        let modules = modules("signin", "zh");
        for path in ["js/signin/main.js", "js/core/dom.js", "js/core/ui/dialog.js", "i18n/zh/core.js"] {
            assert!(modules.contains(&path), "{path} is not in {modules:?}");
        }
        assert!(!modules.contains(&"js/core/chart.js"));
    }

    #[test]
    fn codings_are_taken_as_the_client_says() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            (takes(&headers, "br"), takes(&headers, "gzip"))
        };
        assert_eq!(with("gzip, deflate, br, zstd"), (true, true));
        assert_eq!(with("br;q=0, gzip;q=0.5"), (false, true));
        assert_eq!(with("BR;q=x"), (false, false));
        assert_eq!(with("identity"), (false, false));
    }
}
