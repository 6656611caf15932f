//! `/v1/models`: what can be asked for by name.

use std::sync::{Arc, LazyLock};

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use lore_core::Serving;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Authenticated;
use crate::dialect::OpenAiErrorBody;
use crate::error::ApiError;
use crate::extract::IdPath;
use crate::state::{AppState, Engine};

/// The model that answers from the documents.
pub const LORE: &str = "lore";

/// What a model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// Answers from the documents, with citations (`/v1/chat/completions`).
    Answers,
    /// Writes without documents (`/v1/chat/completions`).
    Chat,
    /// Turns texts into vectors (`/v1/embeddings`).
    Embeddings,
}

/// What Lore knows of a model beyond OpenAI's fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelDetails {
    /// What it does.
    pub kind: ModelKind,
    /// Most tokens that it reads, or reads and writes together; null where that does not bound a request.
    pub context_tokens: Option<usize>,
    /// Length of its vectors.
    pub dimension: Option<usize>,
    /// The id of the release that it is, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
}

/// A model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelObject {
    /// Its name in requests.
    pub id: String,
    /// Always `model`.
    pub object: String,
    /// When it was loaded, in seconds since 1970.
    pub created: i64,
    /// Always `lore`.
    pub owned_by: String,
    /// More about it.
    pub lore: ModelDetails,
}

/// The models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelList {
    /// Always `list`.
    pub object: String,
    /// The models.
    pub data: Vec<ModelObject>,
}

/// Lists the models: `lore`, which answers from the documents; the language model alone, where there is one; the embedder.
#[utoipa::path(get, path = "/v1/models", tag = "openai", responses(
    (status = 200, description = "The models", body = ModelList),
    (status = "default", description = "An error", body = OpenAiErrorBody),
))]
pub async fn list(
    State(state): State<AppState>,
    Authenticated(_): Authenticated,
) -> Result<Json<ModelList>, ApiError> {
    Ok(Json(ModelList { object: "list".to_owned(), data: models(state.models()?) }))
}

/// Shows a model. Of an id that holds an `@`, what stands before it is enough.
#[utoipa::path(get, path = "/v1/models/{id}", tag = "openai",
    params(("id" = String, Path, description = "The model's id, slashes and all")), responses(
    (status = 200, description = "The model", body = ModelObject),
    (status = "default", description = "An error", body = OpenAiErrorBody),
))]
pub async fn show(
    State(state): State<AppState>,
    Authenticated(_): Authenticated,
    IdPath(id): IdPath,
) -> Result<Json<ModelObject>, ApiError> {
    let found = models(state.models()?).into_iter().find(|model| is_named(&model.id, &id));
    found.map(Json).ok_or_else(|| unknown(&id, "it"))
}

fn models(engine: &Engine) -> Vec<ModelObject> {
    static STARTED: LazyLock<i64> = LazyLock::new(|| Timestamp::now().as_second());
    let model = |id: &str, lore| ModelObject {
        id: id.to_owned(),
        object: "model".to_owned(),
        created: *STARTED,
        owned_by: "lore".to_owned(),
        lore,
    };
    let embedder = engine.retriever.index().embedder().info();
    let answers =
        ModelDetails { kind: ModelKind::Answers, context_tokens: None, dimension: None, release: None };
    let embeds = ModelDetails {
        kind: ModelKind::Embeddings,
        context_tokens: Some(embedder.max_tokens),
        dimension: Some(embedder.dimension),
        release: None,
    };
    let chats = engine.writer().map(|writer| {
        let info = writer.generator.info();
        let context_tokens = Some(info.context_tokens);
        let release = writer.release_id();
        model(&info.id, ModelDetails { kind: ModelKind::Chat, context_tokens, dimension: None, release })
    });
    [Some(model(LORE, answers)), chats, Some(model(&embedder.id, embeds))].into_iter().flatten().collect()
}

/// Who writes.
#[derive(Clone, Debug)]
pub enum Writer {
    /// The answerer.
    Lore,
    /// The language model alone.
    Model(Arc<Serving>),
}

/// The writer that is called `wanted`; without a name it is [`LORE`].
///
/// # Errors
/// 404 where none is called that.
pub fn writer(engine: &Engine, wanted: Option<&str>) -> Result<Writer, ApiError> {
    let wanted = wanted.filter(|name| !name.is_empty()).unwrap_or(LORE);
    if wanted == LORE {
        return Ok(Writer::Lore);
    }
    let writer = engine.writer().filter(|writer| is_named(&writer.generator.info().id, wanted));
    writer.map(Writer::Model).ok_or_else(|| unknown(wanted, "for chat"))
}

/// Refuses a name that is not the embedder's; without a name it is meant.
///
/// # Errors
/// 404.
pub fn check_embedder(id: &str, wanted: Option<&str>) -> Result<(), ApiError> {
    let wanted = wanted.filter(|name| !name.is_empty()).unwrap_or(id);
    if wanted == LORE || is_named(id, wanted) { Ok(()) } else { Err(unknown(wanted, "for embeddings")) }
}

/// Whether `wanted` is `id`, or `id` without the hash of its weights.
fn is_named(id: &str, wanted: &str) -> bool {
    id == wanted || id.split_once('@').is_some_and(|(name, _)| name == wanted)
}

fn unknown(wanted: &str, what_for: &str) -> ApiError {
    let shown: String = wanted.chars().take(100).collect();
    let message = match what_for {
        "it" => format!("there is no model {shown:?}; GET /v1/models lists those there are"),
        _ => format!("there is no model {shown:?} {what_for}; GET /v1/models lists those there are"),
    };
    ApiError::new(axum::http::StatusCode::NOT_FOUND, "model_not_found", message).about("model")
}
