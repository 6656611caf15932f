//! Decoders: the language models that write text.

mod config;

pub use config::{DecoderConfig, Rope, RopeScaling};
