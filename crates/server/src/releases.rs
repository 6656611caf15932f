//! Another model takes the place of the one that writes answers, while questions run.
//!
//! The new one is opened beside the old one and writes a few words; then the catalog's alias moves, then the handle. Whatever
//! fails before that leaves everything as it was. Questions keep the model that they began with ([`lore_core::Live`]).

use std::time::Instant;

use axum::http::StatusCode;
use lore_core::{Live, OpenError, Opener, ReleaseName, Serving};
use lore_index::Release;
use metrics::counter;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::state::AppState;

/// What writes the answers now.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Switched {
    /// The live release; null where the model of the settings writes, or none.
    pub release: Option<Release>,
    /// The language model that writes, or `extractive`.
    pub model: String,
    /// The one that wrote before; questions that it began it also ends.
    pub before: String,
    /// Seconds that it took; questions were answered meanwhile.
    pub seconds: f64,
}

/// The one switch that is under way.
struct Switch {
    state: AppState,
    live: Live,
    opener: Opener,
    started: Instant,
    _alone: OwnedMutexGuard<()>,
}

impl AppState {
    /// Makes the release that `wanted` names the one that writes, for `caller`.
    ///
    /// # Errors
    /// 404 where there is none such, 409 where another switch is under way, where it is not proven and not `forced` and
    /// where its folder is gone, 422 where it cannot be run, 503 without the memory for it and before the engine is there.
    pub async fn promote(
        &self,
        wanted: String,
        forced: Option<String>,
        caller: String,
    ) -> Result<Switched, ApiError> {
        let switch = self.switch()?;
        counted(alone(async move {
            let force = forced.clone();
            // Where no release is live and a model writes, it is that of the settings.
            let base = switch.live.now().is_some_and(|serving| serving.release.is_none());
            let release = switch
                .state
                .catalog(move |catalog| catalog.may_promote(&wanted, force.as_deref(), base))
                .await?;
            let name = release.release_name();
            // One whose engine has died is opened again.
            let runs = switch.live.now().is_some_and(|serving| {
                serving.release.as_ref() == Some(&name) && serving.generator.is_running()
            });
            let next = if runs { None } else { Some(switch.open(Some(name)).await?) };
            let id = release.id;
            let by = caller.clone();
            let release = switch
                .state
                .catalog(move |catalog| catalog.promote_release(&id, forced.as_deref(), &by))
                .await?;
            tracing::info!(release = release.label(), caller, "a release goes live");
            Ok(switch.done(next, Some(release)))
        }))
        .await
    }

    /// Goes back to what was live before the live release, which is to be the one that `wanted` names where that is said.
    ///
    /// # Errors
    /// As [`AppState::promote`]; 409 where no release is live, or another than `wanted`.
    pub async fn roll_back(&self, wanted: Option<String>, caller: String) -> Result<Switched, ApiError> {
        let switch = self.switch()?;
        counted(alone(async move {
            let back = switch.state.catalog(move |catalog| catalog.before_live(wanted.as_deref())).await?;
            let next = switch.open(back.to.as_ref().map(Release::release_name)).await?;
            let (from, by) = (back.from.id, caller.clone());
            let back = switch.state.catalog(move |catalog| catalog.roll_back(&from, &by)).await?;
            let to = back.to.as_ref().map_or_else(|| "none".to_owned(), Release::label);
            tracing::info!(from = back.from.label(), to, caller, "the live release is rolled back");
            Ok(switch.done(Some(next), back.to))
        }))
        .await
    }

    fn switch(&self) -> Result<Switch, ApiError> {
        let live = self.models()?.answerer.live().clone();
        let Some(opener) = self.options().opener.clone() else {
            return Err(ApiError::unavailable("no_switch", "this server cannot load another model"));
        };
        let Ok(alone) = self.switching().try_lock_owned() else {
            return Err(ApiError::new(
                StatusCode::CONFLICT,
                "switching",
                "another model is being put to work; try again when that is done",
            ));
        };
        Ok(Switch { state: self.clone(), live, opener, started: Instant::now(), _alone: alone })
    }
}

impl Switch {
    /// Opens what is to write from now on, beside what writes now.
    async fn open(&self, name: Option<ReleaseName>) -> Result<Option<Serving>, ApiError> {
        let label = name.as_ref().map_or_else(|| "the model of the settings".to_owned(), ReleaseName::label);
        let error = match (self.opener)(name.clone()).await {
            Ok(serving) => return Ok(serving),
            Err(error) => error,
        };
        tracing::error!(model = label, %error, "a model cannot be put to work; the one before goes on");
        let held = self.live.now().map_or(0, |serving| serving.bytes);
        Err(match &error {
            OpenError::NoRoom { .. } => ApiError::unavailable(
                "no_memory",
                format!(
                    "{label} cannot be loaded beside the model that writes now, which has about {held} bytes: {error}; \
                     free some, or stop the server, promote and start it again"
                ),
            ),
            error if error.is_of_release() => {
                if let Some(name) = name {
                    let reason = error.to_string();
                    self.state.catalog(move |catalog| catalog.fail_release(&name.id, &reason)).await?;
                }
                ApiError::invalid("unfit", format!("{label} cannot go live: {error}"))
            }
            error => ApiError::internal(error),
        })
    }

    /// Puts `next` in use, where it is not already.
    fn done(self, next: Option<Option<Serving>>, release: Option<Release>) -> Switched {
        let called = |serving: Option<&Serving>| Serving::called(serving).to_owned();
        let before = match next {
            Some(next) => called(self.live.swap(next).as_deref()),
            None => called(self.live.now().as_deref()),
        };
        self.state.lifecycle().trouble(crate::state::WRITER, None);
        let seconds = self.started.elapsed().as_secs_f64();
        Switched { release, model: called(self.live.now().as_deref()), before, seconds }
    }
}

/// A task of its own: a client that goes away does not break it off in the middle.
async fn alone<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::spawn(work).await?
}

async fn counted(work: impl Future<Output = Result<Switched, ApiError>>) -> Result<Switched, ApiError> {
    let done = work.await;
    let outcome = if done.is_ok() { "done" } else { "failed" };
    counter!("lore_model_switches_total", "outcome" => outcome).increment(1);
    done
}

/// What an error says of a release, where it is one of the catalog's: status and code.
pub(crate) fn refusal(error: &lore_index::IndexError) -> Option<(StatusCode, &'static str)> {
    use lore_index::IndexError as E;
    match error {
        E::UnknownRelease { .. } => Some((StatusCode::NOT_FOUND, "not_found")),
        E::AmbiguousRelease { .. } => Some((StatusCode::CONFLICT, "ambiguous")),
        E::Unproven { .. } => Some((StatusCode::CONFLICT, "unproven")),
        E::ReleaseRemoved { .. } => Some((StatusCode::CONFLICT, "removed")),
        E::NothingLive => Some((StatusCode::CONFLICT, "nothing_live")),
        E::NotLive { .. } => Some((StatusCode::CONFLICT, "not_live")),
        _ => None,
    }
}
