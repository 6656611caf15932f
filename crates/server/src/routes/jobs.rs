//! `/v1/jobs`: how uploads go.

use axum::Json;
use axum::extract::State;
use lore_index::Job;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{ApiQuery, IdPath};
use crate::state::AppState;

/// Most jobs that are asked for at once.
const JOBS: usize = 200;

/// Which jobs.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JobsQuery {
    /// Their ids, comma-separated, 200 at most.
    pub ids: String,
}

/// Jobs, and how many there are to do.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobList {
    /// Those that were asked for and are known.
    pub jobs: Vec<Job>,
    /// Jobs in all that wait.
    pub queued: u64,
    /// Jobs in all that are worked on.
    pub running: u64,
}

/// Shows jobs, and how many there are to do in all.
#[utoipa::path(get, path = "/v1/jobs", tag = "documents", params(JobsQuery), responses(
    (status = 200, description = "The jobs", body = JobList),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn list(
    State(state): State<AppState>,
    Admin(_): Admin,
    ApiQuery(query): ApiQuery<JobsQuery>,
) -> Result<Json<JobList>, ApiError> {
    let ids: Vec<String> =
        query.ids.split(',').filter(|id| !id.is_empty()).take(JOBS + 1).map(str::to_owned).collect();
    if ids.len() > JOBS {
        return Err(ApiError::invalid("too_many_jobs", format!("ask for at most {JOBS} jobs at once")));
    }
    let list = state
        .catalog(move |catalog| {
            let (queued, running) = catalog.open_jobs()?;
            let mut jobs = Vec::with_capacity(ids.len());
            for id in &ids {
                jobs.extend(catalog.job(id)?);
            }
            Ok(JobList { jobs, queued, running })
        })
        .await?;
    Ok(Json(list))
}

/// Shows a job.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "documents",
    params(("id" = String, Path, description = "The job's id")), responses(
    (status = 200, description = "The job", body = Job),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn show(
    State(state): State<AppState>,
    Admin(_): Admin,
    IdPath(id): IdPath,
) -> Result<Json<Job>, ApiError> {
    let job = state.catalog(move |catalog| catalog.job(&id)).await?;
    job.map(Json).ok_or_else(|| ApiError::not_found("job"))
}
