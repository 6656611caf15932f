//! Decoders: the language models that write text.

mod config;
mod config_check;
mod config_gguf;
mod config_hf;

pub use config::{DecoderConfig, Rope, RopeScaling};
pub(crate) use config_gguf::from_gguf;
pub(crate) use config_hf::from_folder;
