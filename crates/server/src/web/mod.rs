//! The web pages: frames from templates, everything else as embedded assets that call the API.
//!
//! - [`assets`]: what is embedded, by address. [`page`]: templates and [`language`]. [`headers`]: what pages may do.
//! - [`session`]: signing in with a key, signing out, who is signed in.
//! - [`render`]: Markdown of models and documents as HTML in which nothing can run.

pub mod assets;
pub mod headers;
pub mod language;
mod markdown;
mod marks;
pub mod page;
pub mod render;
pub mod session;

use axum::Router;
use axum::extract::State;
use axum::http::request::Parts;
use axum::routing::get;

use crate::state::AppState;

/// Addresses of the pages, each with the name of its template.
const PAGES: &[(&str, &str)] = &[
    ("/", "ask"),
    ("/c/{conversation}", "ask"),
    ("/documents", "documents"),
    ("/documents/{id}", "documents"),
    ("/search", "search"),
    ("/training", "training"),
    ("/training/{id}", "training"),
    ("/settings", "settings"),
];

/// The pages and their assets; they are no part of the API that is described.
pub fn pages() -> Router<AppState> {
    let mut router = Router::new()
        .route("/assets/{hash}/{*path}", get(assets::serve))
        .route("/signin", get(page::sign_in))
        .route("/api", get(page::api));
    for (path, name) in PAGES {
        let show = |State(state): State<AppState>, parts: Parts| page::show(name, state, parts);
        router = router.route(path, get(show));
    }
    router
}
