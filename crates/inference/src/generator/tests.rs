#![allow(clippy::unwrap_used, reason = "tests")]

mod decoder;
mod fake;
mod scheduling;
mod texts;
