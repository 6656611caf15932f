//! Lore over HTTP: questions, search, documents, feedback, keys, health and metrics.
//!
//! [`app()`] makes the router from an [`AppState`], so that everything can be tested without a socket; [`serve()`] puts it
//! on a listener and ends it gracefully. The crate talks to handles (catalog, retriever, answerer) and knows nothing of
//! what stands behind them.
//!
//! - [`state`], [`config`] and [`lifecycle`]: what handlers share, its settings, and starting up and ending.
//! - [`request`]: around every request: id, span, metrics, panics, the one shape of errors ([`error`]).
//! - [`auth`] and [`limits`]: who may, and how many at once.
//! - [`extract`]: bodies, queries and ids, with errors that name what is wrong.
//! - [`routes`]: one file per resource; [`work`] and [`sse`]: answers as a stream; [`record`]: answers kept;
//!   [`openapi`]: their description.
//! - [`metrics`] for Prometheus; [`history`] and [`sketch`]: the last day's figures, for charts.
//! - [`web`]: the pages, their assets and sessions.
//! - [`releases`]: another model takes the place of the one that writes.
//! - [`trainings`]: what reads the configurations of trainings, as functions.
//! - [`dialect`] and [`routes::openai`]: the same for programs that speak OpenAI's API.

pub mod app;
pub mod auth;
mod body;
mod compare;
pub mod config;
pub mod dialect;
pub mod error;
pub mod extract;
pub mod history;
pub mod lifecycle;
pub mod limits;
pub mod metrics;
pub mod openapi;
mod patient;
mod percent;
pub mod record;
pub mod releases;
pub mod request;
pub mod routes;
pub mod serve;
pub mod sketch;
pub mod sse;
pub mod state;
pub mod trainings;
pub mod web;
pub mod work;

pub use app::app;
pub use config::HttpConfig;
pub use error::{ApiError, ErrorBody};
pub use lifecycle::Lifecycle;
pub use metrics::Metrics;
pub use releases::Switched;
pub use serve::{ServeError, serve};
pub use state::{AppState, Engine, Options};
