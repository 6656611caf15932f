//! The trainer: from a company's questions, documents and feedback to an adapter.
//!
//! - [`config`]: a YAML file with LLaMA-Factory's key names becomes [`config::TrainConfig`].
//! - [`data`]: files of examples become token ids with labels, and those become batches.
//! - [`invent`]: exercises for a model that points at sentences, made of any documents.
//! - [`optim`]: AdamW, schedules, loss scaling.
//! - [`plan`](mod@plan): what a training would do, and how much memory that takes.
//! - [`run`](mod@run): the loop: steps, metrics, evaluation, checkpoints.

pub mod config;
pub mod data;
mod error;
mod exact;
pub mod invent;
mod open;
pub mod optim;
pub mod plan;
pub mod run;

pub use config::TrainConfig;
pub use error::TrainError;
pub use open::model_shape;
