//! OpenAI's API over Lore, for programs that speak it: `/v1/chat/completions`, `/v1/embeddings`, `/v1/models`.
//!
//! The model `lore` answers from the documents that the caller may read, with citations as `annotations`; the language
//! model under its own name writes without documents. What Lore knows beyond OpenAI's shapes stands in objects named
//! `lore`. Errors have OpenAI's shape ([`crate::dialect`]); fields that Lore does not know are ignored here.

pub mod chat;
pub mod embeddings;
pub mod fields;
pub mod messages;
pub mod models;
pub mod reply;
pub mod request;
mod stream;
mod writing;
