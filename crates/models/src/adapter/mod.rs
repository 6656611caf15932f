//! Adapters in files: what training adds to a model.
//!
//! - [`Adapter`]: a folder with `adapter_config.json` and `adapter_model.safetensors`, in PEFT's format for low-rank
//!   differences (LoRA, DoRA), or in ours for bottlenecks.
//! - [`save`]: a trained net's adapter into such a folder.
//! - [`merge()`]: an adapter added to its base, as a model of its own.
//!
//! PEFT (0.21) puts `base_model.model.` before the names of tensors; without it they are those of the parameters of a
//! [`TrainNet`](crate::training::TrainNet). Beside its two files lies `lore_adapter.json` with what PEFT has no key for:
//! in which type the base's linears were kept while the adapter was trained.

mod adapted;
mod bottleneck;
mod config;
mod load;
mod lowrank;
mod merge;
mod peft;
mod save;

pub use adapted::Adapted;
pub use config::{AdapterKind, LoraConfig, Record};
pub use lowrank::LowRank;
pub use merge::{BaseValues, Check, MergeOptions, MergeReport, OutputFormat, merge};
pub use peft::Adapter;
pub use save::save;

pub use crate::export::SHARD_BYTES;

pub(crate) use adapted::Beside;
pub(crate) use load::load_into;

/// The file with an adapter's settings.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// The file with an adapter's values.
pub const VALUES_FILE: &str = "adapter_model.safetensors";
/// The file with what PEFT has no key for.
pub const RECORD_FILE: &str = "lore_adapter.json";
/// What PEFT puts before names of tensors.
const PREFIX: &str = "base_model.model.";
