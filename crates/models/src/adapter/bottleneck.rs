//! Bottlenecks in files.

use super::Adapter;
use super::config::AdapterKind;
use crate::error::ModelsError;
use crate::nn::{Bottleneck, Linear};
use crate::weights::RawMatrix;

/// The bottleneck `name` (such as `model.layers.0.mlp.adapter`), frozen, if the adapter has bottlenecks.
pub(super) fn read(adapter: &Adapter, name: &str, hidden: usize) -> Result<Option<Bottleneck>, ModelsError> {
    let AdapterKind::Bottleneck(options) = adapter.kind() else { return Ok(None) };
    let linear = |part: &str, rows: usize, columns: usize| {
        let weight = adapter.read(&format!("{name}.{part}.weight"), &[rows, columns])?;
        let bias = adapter.read(&format!("{name}.{part}.bias"), &[rows])?;
        Ok::<_, ModelsError>(Linear::frozen(RawMatrix::F32(weight), rows, columns, Some(bias))?)
    };
    let (down, up) = (linear("down", options.size, hidden)?, linear("up", hidden, options.size)?);
    Ok(Some(Bottleneck { down, up, activation: options.activation }))
}
