#![allow(clippy::unwrap_used, reason = "tests")]

mod decoder;
mod fake;
mod other;
mod scheduling;
mod texts;
