//! The HTTP API as its clients see it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod answers;
mod auth;
mod conversations;
mod documents;
mod errors;
mod figures;
mod model;
mod openai;
mod openai_chat;
mod openai_python;
mod releases;
mod removal;
mod searches;
mod service;
mod serving;
mod suggestions;
mod support;
mod trainings;
mod uploads;
mod web;
mod web_session;
mod writing;
mod zoo;
