//! `/v1/trainings`: a queue of trainings for `lore trainer`; for administrators.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lore_index::{NewTraining, TrainerSeen, Training, TrainingControl, TrainingFigure, TrainingOutcome};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{ApiJson, ApiQuery, IdPath};
use crate::state::AppState;
use crate::trainings::{
    CheckRequest, PreviewRequest, ReleaseLearned, TrainingCheck, TrainingChoices, TrainingDesk,
    TrainingPreview,
};

/// Longest configuration, in bytes.
const CONFIG_BYTES: usize = 64 << 10;
/// Most examples that are shown.
const EXAMPLES: usize = 20;
/// Most figures of an answer.
const FIGURES: usize = 2000;

/// A training that is to be done.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainingRequest {
    /// What it is called: 1 to 64 letters, digits, `-`, `_` or `.`; a release takes the same name.
    pub name: String,
    /// YAML text with LLaMA-Factory's keys, or an object of them; `output_dir` is set by the server.
    #[schema(value_type = Object)]
    pub config: serde_json::Value,
    /// What becomes of what it learns.
    #[serde(default)]
    pub outcome: TrainingOutcome,
}

/// Trainings, and who does them.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TrainingList {
    /// The trainings, newest first, without their configurations.
    pub trainings: Vec<Training>,
    /// The trainers of the last day.
    pub trainers: Vec<TrainerSeen>,
}

/// Which figures.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FiguresQuery {
    /// Only those of later steps.
    pub after: Option<u64>,
    /// At most so many, 1 to 2000; 2000 where it is left out.
    pub limit: Option<usize>,
}

/// Figures of a training, oldest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FigureList {
    /// The figures.
    pub figures: Vec<TrainingFigure>,
}

fn desk(state: &AppState) -> Result<&TrainingDesk, ApiError> {
    let desk = state.options().trainings.as_ref();
    desk.ok_or_else(|| ApiError::unavailable("no_trainings", "this server takes no trainings"))
}

/// The text of a configuration, which is YAML; JSON is, too.
fn text_of(config: &serde_json::Value) -> Result<String, ApiError> {
    let text = match config {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Object(_) => config.to_string(),
        _ => {
            return Err(ApiError::invalid(
                "bad_config",
                "config must be YAML text, or an object of its keys",
            ));
        }
    };
    if text.len() > CONFIG_BYTES {
        return Err(ApiError::invalid(
            "bad_config",
            format!("config has more than {CONFIG_BYTES} bytes, which is the limit"),
        ));
    }
    Ok(text)
}

/// Lists the trainings, and the trainers that are alive.
#[utoipa::path(get, path = "/v1/trainings", tag = "trainings", responses(
    (status = 200, description = "The trainings", body = TrainingList),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn list(State(state): State<AppState>, Admin(_): Admin) -> Result<Json<TrainingList>, ApiError> {
    let (trainings, trainers) =
        state.catalog(|catalog| Ok((catalog.trainings()?, catalog.trainers()?))).await?;
    Ok(Json(TrainingList { trainings, trainers }))
}

/// Puts a training into the queue, where its configuration could start.
#[utoipa::path(post, path = "/v1/trainings", tag = "trainings", request_body = TrainingRequest, responses(
    (status = 201, description = "It waits for a trainer", body = Training),
    (status = 422, description = "The configuration cannot start; the message names the key", body = ErrorBody),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn create(
    State(state): State<AppState>,
    Admin(caller): Admin,
    ApiJson(request): ApiJson<TrainingRequest>,
) -> Result<(StatusCode, Json<Training>), ApiError> {
    let TrainingRequest { name, config, outcome } = request;
    let desk = desk(&state)?;
    let text = text_of(&config)?;
    let asked = CheckRequest { config: text.clone().into(), whole: false };
    let found = (desk.check)(asked).await?;
    if let Some(problem) = found.problems.first() {
        return Err(ApiError::invalid("bad_config", problem.message.clone()));
    }
    let new = NewTraining { name, config: text, outcome, base: desk.base.clone(), by: caller.id.clone() };
    let training = state.catalog(move |catalog| catalog.add_training(&new)).await?;
    tracing::info!(training = training.id, name = training.name, caller = caller.id, "training queued");
    Ok((StatusCode::CREATED, Json(training)))
}

/// Reads a configuration: what its keys mean, what is wrong with them, how much memory it takes.
#[utoipa::path(post, path = "/v1/trainings/check", tag = "trainings", request_body = CheckRequest, responses(
    (status = 200, description = "What it means, or what is wrong", body = TrainingCheck),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn check(
    State(state): State<AppState>,
    Admin(_): Admin,
    ApiJson(request): ApiJson<CheckRequest>,
) -> Result<Json<TrainingCheck>, ApiError> {
    let desk = desk(&state)?;
    let text = text_of(&request.config)?;
    Ok(Json((desk.check)(CheckRequest { config: text.into(), ..request }).await?))
}

/// Shows the first examples as the model sees them.
#[utoipa::path(post, path = "/v1/trainings/preview", tag = "trainings", request_body = PreviewRequest, responses(
    (status = 200, description = "The examples", body = TrainingPreview),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn preview(
    State(state): State<AppState>,
    Admin(_): Admin,
    ApiJson(request): ApiJson<PreviewRequest>,
) -> Result<Json<TrainingPreview>, ApiError> {
    let desk = desk(&state)?;
    let count = request.count.unwrap_or(3);
    if !(1..=EXAMPLES).contains(&count) {
        return Err(ApiError::invalid("bad_count", format!("count must be 1 to {EXAMPLES}")));
    }
    let text = text_of(&request.config)?;
    Ok(Json((desk.preview)(PreviewRequest { config: text.into(), count: Some(count) }).await?))
}

/// Tells what can be chosen: models, data sets, settings with their bounds, configurations to begin with.
#[utoipa::path(get, path = "/v1/trainings/choices", tag = "trainings", responses(
    (status = 200, description = "The choices", body = TrainingChoices),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn choices(
    State(state): State<AppState>,
    Admin(_): Admin,
) -> Result<Json<TrainingChoices>, ApiError> {
    Ok(Json((desk(&state)?.choices)(()).await?))
}

/// Shows a training.
#[utoipa::path(get, path = "/v1/trainings/{id}", tag = "trainings",
    params(("id" = String, Path, description = "The training's id")), responses(
    (status = 200, description = "The training", body = Training),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn show(
    State(state): State<AppState>,
    Admin(_): Admin,
    IdPath(id): IdPath,
) -> Result<Json<Training>, ApiError> {
    state.catalog(move |catalog| catalog.training(&id)).await?.map(Json).ok_or_else(missing)
}

/// Gives the figures of a training: loss, learning rate, tokens a second, memory.
#[utoipa::path(get, path = "/v1/trainings/{id}/metrics", tag = "trainings",
    params(("id" = String, Path, description = "The training's id"), FiguresQuery), responses(
    (status = 200, description = "The figures", body = FigureList),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn metrics(
    State(state): State<AppState>,
    Admin(_): Admin,
    IdPath(id): IdPath,
    ApiQuery(query): ApiQuery<FiguresQuery>,
) -> Result<Json<FigureList>, ApiError> {
    let limit = query.limit.unwrap_or(FIGURES);
    if !(1..=FIGURES).contains(&limit) {
        return Err(ApiError::invalid("bad_limit", format!("limit must be 1 to {FIGURES}")));
    }
    let found = state.catalog(move |catalog| catalog.training_figures(&id, query.after, limit)).await?;
    found.map(|figures| Json(FigureList { figures })).ok_or_else(missing)
}

/// Has a training wait, with a checkpoint, so that others can run.
#[utoipa::path(post, path = "/v1/trainings/{id}/pause", tag = "trainings",
    params(("id" = String, Path, description = "The training's id")), responses(
    (status = 200, description = "It waits, or will when its step is done", body = Training),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn pause(
    State(state): State<AppState>,
    Admin(caller): Admin,
    IdPath(id): IdPath,
) -> Result<Json<Training>, ApiError> {
    control(&state, &caller.id, id, TrainingControl::Pause).await
}

/// Has a training go on from its last checkpoint: one that is paused, was stopped, or failed.
#[utoipa::path(post, path = "/v1/trainings/{id}/resume", tag = "trainings",
    params(("id" = String, Path, description = "The training's id")), responses(
    (status = 200, description = "It goes on, or waits for a trainer", body = Training),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn resume(
    State(state): State<AppState>,
    Admin(caller): Admin,
    IdPath(id): IdPath,
) -> Result<Json<Training>, ApiError> {
    control(&state, &caller.id, id, TrainingControl::Resume).await
}

/// Ends a training, with a checkpoint.
#[utoipa::path(post, path = "/v1/trainings/{id}/stop", tag = "trainings",
    params(("id" = String, Path, description = "The training's id")), responses(
    (status = 200, description = "It ended, or will when its step is done", body = Training),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn stop(
    State(state): State<AppState>,
    Admin(caller): Admin,
    IdPath(id): IdPath,
) -> Result<Json<Training>, ApiError> {
    control(&state, &caller.id, id, TrainingControl::Stop).await
}

/// Deletes a training that does not run, with its checkpoints; a release that came of it stays.
#[utoipa::path(delete, path = "/v1/trainings/{id}", tag = "trainings",
    params(("id" = String, Path, description = "The training's id")), responses(
    (status = 204, description = "It is gone"),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn delete(
    State(state): State<AppState>,
    Admin(caller): Admin,
    IdPath(id): IdPath,
) -> Result<StatusCode, ApiError> {
    let wanted = id.clone();
    if !state.catalog(move |catalog| catalog.delete_training(&wanted)).await? {
        return Err(missing());
    }
    tracing::info!(training = id, caller = caller.id, "training deleted");
    if let Some(desk) = &state.options().trainings {
        (desk.remove)(id).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Tells what a release learned from beside documents: examples, pairs, feedback; null where no record tells it.
#[utoipa::path(get, path = "/v1/releases/{id}/learned", tag = "releases",
    params(("id" = String, Path, description = "The release's id, a beginning of it that no other has, or `live`")),
    responses(
        (status = 200, description = "What it learned from", body = Option<ReleaseLearned>),
        (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn learned(
    State(state): State<AppState>,
    Admin(_): Admin,
    IdPath(id): IdPath,
) -> Result<Json<Option<ReleaseLearned>>, ApiError> {
    let release = state.catalog(move |catalog| catalog.release(&id)).await?.release;
    Ok(Json((desk(&state)?.learned)(release.id).await?))
}

async fn control(
    state: &AppState,
    caller: &str,
    id: String,
    control: TrainingControl,
) -> Result<Json<Training>, ApiError> {
    let training = state.catalog(move |catalog| catalog.control_training(&id, control)).await?;
    let training = training.ok_or_else(missing)?;
    tracing::info!(training = training.id, ?control, caller, "training controlled");
    Ok(Json(training))
}

fn missing() -> ApiError {
    ApiError::not_found("training")
}
