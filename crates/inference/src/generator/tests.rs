#![allow(clippy::unwrap_used, reason = "tests")]

mod fake;
mod scheduling;
mod texts;
