//! `/v1/figures`: what happened in the last hours, for charts.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::extract::ApiQuery;
use crate::history::{Figures, MINUTES, Questions, Queues};
use crate::sketch::{ERROR, Sketch};
use crate::state::AppState;

/// Spans of a chart at least; there are fewer than three times as many.
const SPANS: usize = 60;
/// Minutes that a span may have.
const STEPS: [usize; 5] = [1, 2, 5, 10, 15];

/// What figures are wanted.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct FiguresQuery {
    /// Hours, 1 to 24; 6 by default.
    #[serde(default = "six")]
    pub hours: usize,
}

fn six() -> usize {
    6
}

/// Seconds that half, and 95 of 100, did not exceed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct Quantiles {
    /// How many there were.
    pub count: u64,
    /// The median.
    pub p50: f64,
    /// The 95th percentile.
    pub p95: f64,
}

/// What happened in a while.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Span {
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Questions by how they ended.
    pub questions: Questions,
    /// Seconds from a question's arrival to the end of its answer, waiting included; null where there was none.
    pub took: Option<Quantiles>,
    /// Seconds from a question's arrival to the first piece of its answer.
    pub first_token: Option<Quantiles>,
    /// Searches.
    pub searches: u32,
    /// Seconds of searches.
    pub search_took: Option<Quantiles>,
    /// Thumbs up.
    pub up: u32,
    /// Thumbs down.
    pub down: u32,
    /// The longest that each queue was when it was looked at, every few seconds; null where nobody looked.
    pub waiting: Option<Queues>,
}

/// What happened in the last hours.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FiguresBody {
    /// Since when figures are kept: the start of the process.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Now.
    #[schema(value_type = String, format = DateTime)]
    pub now: Timestamp,
    /// Minutes of a span.
    pub step_minutes: usize,
    /// A quantile is off by this share at most.
    pub quantile_error: f64,
    /// All of it together.
    pub total: Span,
    /// Span by span, oldest first; the last is not over yet.
    pub spans: Vec<Span>,
}

impl Span {
    fn of(at: Timestamp, figures: &Figures) -> Self {
        Self {
            at,
            questions: figures.questions,
            took: quantiles(&figures.took),
            first_token: quantiles(&figures.first_token),
            searches: figures.searches,
            search_took: quantiles(&figures.search_took),
            up: figures.up,
            down: figures.down,
            waiting: figures.waiting,
        }
    }
}

fn quantiles(sketch: &Sketch) -> Option<Quantiles> {
    let (p50, p95) = (sketch.quantile(0.5)?, sketch.quantile(0.95)?);
    Some(Quantiles { count: sketch.len(), p50, p95 })
}

/// Tells what happened in the last hours: questions, times, feedback, queues.
#[utoipa::path(get, path = "/v1/figures", tag = "service", params(FiguresQuery), responses(
    (status = 200, description = "The figures", body = FiguresBody),
    (status = "default", description = "An error", body = ErrorBody),
))]
pub async fn show(
    State(state): State<AppState>,
    Admin(_): Admin,
    ApiQuery(query): ApiQuery<FiguresQuery>,
) -> Result<Json<FiguresBody>, ApiError> {
    let most = MINUTES / 60;
    if !(1..=most).contains(&query.hours) {
        return Err(ApiError::invalid("bad_hours", format!("hours must be 1 to {most}")));
    }
    let minutes = query.hours * 60;
    let step = STEPS.into_iter().filter(|step| minutes / step >= SPANS).max().unwrap_or(1);
    state.metrics().look(&state).await;
    let (now, history) = (Timestamp::now(), state.metrics().history());
    let spans = history.spans(now, step, minutes / step);
    let mut all = Figures::default();
    spans.iter().for_each(|(_, figures)| all.merge(figures));
    let first = spans.first().map_or(now, |(at, _)| *at);
    Ok(Json(FiguresBody {
        since: history.began(),
        now,
        step_minutes: step,
        quantile_error: ERROR,
        total: Span::of(first, &all),
        spans: spans.iter().map(|(at, figures)| Span::of(*at, figures)).collect(),
    }))
}
