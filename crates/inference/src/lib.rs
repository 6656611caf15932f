//! The engines that serve models: each a thread that owns its model and answers a bounded queue.
//!
//! - [`embedder`]: texts to vectors; waiting queries go before long ingestion requests.
//! - [`reranker`]: a query and passages to scores.
//! - [`generator`]: prompts to text.
//! - [`release`]: the folders of models that were taught, and what a model shows before it takes another's place.
//!
//! A request whose caller has gone is dropped when its turn comes. When the last handle is dropped, the engine answers
//! what waits and its thread ends.

pub mod embedder;
pub mod generator;
pub mod release;
pub mod reranker;

mod engine;

pub use generator::GeneratorOptions;
