//! The trained values, as others read them.

use std::path::{Path, PathBuf};

use lore_models::record::MODEL;
use lore_models::training::{Method, TrainNet};
use lore_models::{ModelsError, adapter, export};

use super::folder::{ADAPTER, discard, failed};
use super::lineage::Base;
use super::tensors::bytes_of;
use crate::error::TrainError;

/// Writes what `net` has learned on `base` into the run's folder; says where.
///
/// `None` for a whole model whose base has no files: there is no tokenizer to put beside it, and its values are in the
/// last checkpoint.
pub(super) fn save(net: &TrainNet, base: &Base, folder: &Path) -> Result<Option<PathBuf>, TrainError> {
    let (target, bytes, result) = match (&net.options().method, &base.path) {
        (Method::Lora(_) | Method::Bottleneck(_), _) => {
            let target = folder.join(ADAPTER);
            discard(&target)?;
            let result = adapter::save(net, &base.name, &target);
            (target, bytes_of(net.trained_values()), result)
        }
        (Method::Full | Method::Freeze(_), Some(path)) => {
            let target = folder.join(MODEL);
            discard(&target)?;
            let result = export::save_model(net, path, &target);
            (target, bytes_of(net.values()), result)
        }
        (Method::Full | Method::Freeze(_), None) => return Ok(None),
    };
    match result {
        Ok(()) => Ok(Some(target)),
        Err(ModelsError::Write { path, source }) => Err(failed(&path, bytes, source)),
        Err(error) => Err(error.into()),
    }
}
