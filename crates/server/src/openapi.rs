//! The description of the API.

use std::sync::LazyLock;

use lore_core::AnswerEvent;
use lore_index::DocumentOrder;
use serde::Serialize;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, PathItem};
use utoipa::{Modify, OpenApi};

use crate::error::ErrorBody;
use crate::routes::openai::{chat, embeddings, models};
use crate::routes::{
    ask, configuration, content, conversations, documents, explained, feedback, figures, groups, health,
    indexes, jobs, keys, releases, removal, search, suggestions, trainings, upload, versions,
};
use crate::sse::SentEvent;
use crate::web::{render, session};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Lore",
        description = "Answers questions from a company's own documents and shows where every statement stands. \
                       All offsets are in Unicode code points. Every error has the same shape, `ErrorBody`; what speaks OpenAI's API has that one's, \
                       `OpenAiErrorBody`. \
                       An administrator who sends the header `X-Lore-Groups` (comma-separated) asks as a member of \
                       those groups.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        health::healthz,
        health::readyz,
        health::metrics,
        health::openapi,
        session::sign_in,
        session::sign_out,
        session::me,
        render::render,
        ask::ask,
        search::search,
        explained::settings,
        conversations::list,
        conversations::show,
        conversations::rename,
        conversations::delete,
        conversations::export,
        chat::complete,
        embeddings::embed,
        models::list,
        models::show,
        documents::list,
        upload::upload,
        documents::show,
        documents::change,
        documents::facets,
        removal::delete,
        removal::restore,
        removal::retry,
        content::content,
        content::text,
        versions::chunks,
        versions::changes,
        jobs::list,
        jobs::show,
        indexes::show,
        indexes::rebuild,
        indexes::check,
        feedback::give,
        feedback::change,
        feedback::delete,
        suggestions::labels,
        suggestions::suggest,
        keys::list,
        keys::create,
        keys::revoke,
        groups::list,
        configuration::show,
        figures::show,
        releases::list,
        releases::rollback,
        releases::show,
        releases::promote,
        releases::rollback_from,
        trainings::learned,
        trainings::list,
        trainings::create,
        trainings::check,
        trainings::preview,
        trainings::choices,
        trainings::show,
        trainings::delete,
        trainings::metrics,
        trainings::pause,
        trainings::resume,
        trainings::stop,
    ),
    components(schemas(ErrorBody, AnswerEvent, SentEvent, DocumentOrder)),
    modifiers(&Keys),
    security(("bearer" = []), ("api_key" = []), ("session" = [])),
    tags(
        (name = "questions", description = "Asking, searching, feedback"),
        (name = "conversations", description = "What a caller asked before; each caller's own, an administrator's too"),
        (name = "openai", description = "The same for programs that speak OpenAI's API"),
        (name = "documents", description = "Documents and their ingestion"),
        (name = "keys", description = "API keys and groups; for administrators"),
        (name = "releases", description = "Models that were taught from the documents; for administrators"),
        (name = "trainings", description = "Trainings that wait for `lore trainer`, and how they go; for administrators"),
        (name = "web", description = "What the pages of this server need beside the rest"),
        (name = "service", description = "Health and figures"),
    ),
)]
struct Description;

struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("lore_<id>_<secret>")
            .description(Some("An API key. On a server that listens on loopback only, none is needed."))
            .build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let header = ApiKey::Header(ApiKeyValue::new("X-API-Key"));
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(header));
        let cookie = ApiKey::Cookie(ApiKeyValue::with_description(
            session::COOKIE,
            "The session of a browser that signed in; what changes something also needs `X-Lore-Web: 1` from a page of this server.",
        ));
        components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
    }
}

/// The OpenAPI document.
pub fn document() -> Document {
    Description::openapi()
}

/// An operation as the page of the API shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Method, in capitals.
    pub method: &'static str,
    /// Path template.
    pub path: String,
    /// What it does.
    pub summary: String,
}

/// Every operation.
pub fn rows() -> &'static [Row] {
    // The page is for everybody, and the description takes a while to make.
    static ROWS: LazyLock<Vec<Row>> = LazyLock::new(made);
    &ROWS
}

fn made() -> Vec<Row> {
    let mut rows = Vec::new();
    for (path, item) in &document().paths.paths {
        for (method, operation) in operations(item) {
            let summary = operation.summary.clone().unwrap_or_default();
            rows.push(Row { method, path: path.clone(), summary });
        }
    }
    rows
}

/// The operations of a path, with their methods.
pub fn operations(item: &PathItem) -> impl Iterator<Item = (&'static str, &Operation)> {
    [
        ("GET", &item.get),
        ("POST", &item.post),
        ("PUT", &item.put),
        ("PATCH", &item.patch),
        ("DELETE", &item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| operation.as_ref().map(|operation| (method, operation)))
}
