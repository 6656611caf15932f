//! The router: every route once, with its method, so that the API's description can be checked against it.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::routing::{MethodFilter, on};

use crate::request;
use crate::routes::openai::{chat, embeddings, models};
use crate::routes::{
    ask, configuration, content, conversations, documents, explained, feedback, figures, groups, health,
    indexes, jobs, keys, releases, removal, search, suggestions, trainings, upload, versions,
};
use crate::state::AppState;
use crate::web::{self, page, render, session};

/// The whole service, to be put on a listener by [`crate::serve()`] or called directly.
pub fn app(state: AppState) -> Router {
    table()
        .router
        .merge(web::pages())
        .fallback(page::missing)
        .method_not_allowed_fallback(|| async { StatusCode::METHOD_NOT_ALLOWED })
        // Every handler that reads a body bounds it itself.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(request::around))
        .with_state(state)
}

/// Method (lower case) and path template of every route.
pub fn routes() -> Vec<(&'static str, &'static str)> {
    table().routes
}

fn table() -> Table {
    Table { router: Router::new(), routes: Vec::new() }
        .get("/healthz", health::healthz)
        .get("/readyz", health::readyz)
        .get("/metrics", health::metrics)
        .get("/openapi.json", health::openapi)
        .post("/session", session::sign_in)
        .delete("/session", session::sign_out)
        .get("/web/me", session::me)
        .post("/web/render", render::render)
        .post("/v1/ask", ask::ask)
        .post("/v1/search", search::search)
        .get("/v1/search/settings", explained::settings)
        .get("/v1/conversations", conversations::list)
        .get("/v1/conversations/{id}", conversations::show)
        .patch("/v1/conversations/{id}", conversations::rename)
        .delete("/v1/conversations/{id}", conversations::delete)
        .get("/v1/conversations/{id}/export", conversations::export)
        .post("/v1/chat/completions", chat::complete)
        .post("/v1/embeddings", embeddings::embed)
        .get("/v1/models", models::list)
        .get_below("/v1/models/{id}", "/v1/models/{*id}", models::show)
        .get("/v1/documents", documents::list)
        .post("/v1/documents", upload::upload)
        .get("/v1/documents/facets", documents::facets)
        .get("/v1/documents/{id}", documents::show)
        .patch("/v1/documents/{id}", documents::change)
        .delete("/v1/documents/{id}", removal::delete)
        .post("/v1/documents/{id}/restore", removal::restore)
        .post("/v1/documents/{id}/retry", removal::retry)
        .get("/v1/documents/{id}/content", content::content)
        .get("/v1/documents/{id}/text", content::text)
        .get("/v1/documents/{id}/chunks", versions::chunks)
        .get("/v1/documents/{id}/changes", versions::changes)
        .get("/v1/jobs", jobs::list)
        .get("/v1/jobs/{id}", jobs::show)
        .get("/v1/indexes", indexes::show)
        .post("/v1/indexes/rebuild", indexes::rebuild)
        .post("/v1/indexes/check", indexes::check)
        .post("/v1/feedback", feedback::give)
        .patch("/v1/feedback/{id}", feedback::change)
        .delete("/v1/feedback/{id}", feedback::delete)
        .get("/v1/labels", suggestions::labels)
        .get("/web/suggestions", suggestions::suggest)
        .get("/v1/keys", keys::list)
        .post("/v1/keys", keys::create)
        .delete("/v1/keys/{id}", keys::revoke)
        .get("/v1/groups", groups::list)
        .get("/v1/configuration", configuration::show)
        .get("/v1/figures", figures::show)
        .get("/v1/releases", releases::list)
        .post("/v1/releases/rollback", releases::rollback)
        .get("/v1/releases/{id}", releases::show)
        .post("/v1/releases/{id}/promote", releases::promote)
        .post("/v1/releases/{id}/rollback", releases::rollback_from)
        .get("/v1/releases/{id}/learned", trainings::learned)
        .get("/v1/trainings", trainings::list)
        .post("/v1/trainings", trainings::create)
        .post("/v1/trainings/check", trainings::check)
        .post("/v1/trainings/preview", trainings::preview)
        .get("/v1/trainings/choices", trainings::choices)
        .get("/v1/trainings/{id}", trainings::show)
        .delete("/v1/trainings/{id}", trainings::delete)
        .get("/v1/trainings/{id}/metrics", trainings::metrics)
        .post("/v1/trainings/{id}/pause", trainings::pause)
        .post("/v1/trainings/{id}/resume", trainings::resume)
        .post("/v1/trainings/{id}/stop", trainings::stop)
}

struct Table {
    router: Router<AppState>,
    routes: Vec<(&'static str, &'static str)>,
}

impl Table {
    fn get<H: Handler<T, AppState>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.route("get", MethodFilter::GET, path, path, handler)
    }

    /// A path whose last part may hold slashes: as it is described, and as it is matched.
    fn get_below<H: Handler<T, AppState>, T: 'static>(
        self,
        path: &'static str,
        matched: &'static str,
        handler: H,
    ) -> Self {
        self.route("get", MethodFilter::GET, path, matched, handler)
    }

    fn post<H: Handler<T, AppState>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.route("post", MethodFilter::POST, path, path, handler)
    }

    fn patch<H: Handler<T, AppState>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.route("patch", MethodFilter::PATCH, path, path, handler)
    }

    fn delete<H: Handler<T, AppState>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.route("delete", MethodFilter::DELETE, path, path, handler)
    }

    fn route<H: Handler<T, AppState>, T: 'static>(
        mut self,
        method: &'static str,
        filter: MethodFilter,
        path: &'static str,
        matched: &'static str,
        handler: H,
    ) -> Self {
        self.routes.push((method, path));
        self.router = self.router.route(matched, on(filter, handler));
        self
    }
}
