//! The trained values, as others read them.

use std::path::{Path, PathBuf};

use lore_models::training::{Method, TrainNet};

use super::folder::{Disk, Staged};
use super::lineage::Base;
use super::tensors::{self, Entry, bytes_of};
use crate::error::TrainError;

/// Where an adapter lies in a run's folder.
pub const ADAPTER_FOLDER: &str = "adapter";
/// Where a whole model lies in a run's folder.
pub const MODEL_FOLDER: &str = "model";

/// Writes what `net` has learned on `base` into the run's folder; says where.
pub(super) fn save(disk: &Disk, net: &TrainNet, _base: &Base, folder: &Path) -> Result<PathBuf, TrainError> {
    let target = match net.options().method {
        Method::Lora(_) | Method::Bottleneck(_) => folder.join(ADAPTER_FOLDER),
        Method::Full | Method::Freeze(_) => folder.join(MODEL_FOLDER),
    };
    let mut staged = Staged::new(disk, &target, bytes_of(net.trained_values()))?;
    let entries: Vec<_> = net
        .parameters()
        .iter()
        .map(|parameter| Entry {
            name: parameter.name.clone(),
            shape: parameter.value.dims().to_vec(),
            values: Box::new(|| parameter.value.flatten_all()?.to_vec1()),
        })
        .collect();
    staged.file("parameters.safetensors", |out| tensors::write(out, &entries))?;
    staged.commit()
}
