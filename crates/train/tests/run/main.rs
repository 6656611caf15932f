//! Runs of a tiny net: what they leave behind, how they go on, and how they end.
#![allow(clippy::unwrap_used, reason = "tests")]

mod checkpoints;
mod ends;
mod refusals;
mod resume;
mod steps;
mod support;
