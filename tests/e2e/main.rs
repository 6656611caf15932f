//! The real binary from outside: journeys, wrong inputs, and kills.
//!
//! The embedder is fetched once into the user's model cache. `LORE_KILLS` says how often the kill test kills (8 when it
//! is not set; the full test is `LORE_KILLS=50 cargo test -p lore-cli --test e2e kill -- --nocapture`).
#![allow(clippy::unwrap_used, reason = "tests")]

mod house;
mod journeys;
mod kill;
mod nano;
mod releases;
mod talks;
mod tiny;
mod train;
mod trainer;
mod wrong;
