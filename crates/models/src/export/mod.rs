//! Models written as files: safetensors folders and GGUF.
//!
//! Everything is written tensor by tensor into a folder of a temporary name beside the one that is meant, synced, and
//! renamed once it is whole.
//!
//! - [`save_model`]: a net whose own weights were trained.
//! - [`gguf`]: GGUF files for llama.cpp, which `lore merge` writes.

mod encode;
mod folder;
pub mod gguf;
mod gguf_header;
mod model;
mod safetensors;
mod side_files;

pub use encode::FloatType;
pub use model::{SHARD_BYTES, save_model, save_model_as};

pub(crate) use encode::{encode, float_bytes};
pub(crate) use folder::NewFolder;
pub(crate) use safetensors::{Entry, SafetensorsFile, write_shards};
pub(crate) use side_files::{ConfigChanges, copy_side_files};
