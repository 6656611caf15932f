//! Gradients of all parameters, summed over batches.

use candle_core::{CpuStorage, Result, Storage, Tensor};
use rayon::prelude::*;

/// One f32 gradient for each parameter, in the order of [`super::TrainNet::parameters`].
#[derive(Clone, Debug, Default)]
pub struct Gradients {
    /// `None` until something was added.
    values: Vec<Option<Tensor>>,
}

impl Gradients {
    /// None for any of `parameters`.
    pub fn new(parameters: usize) -> Self {
        Self { values: vec![None; parameters] }
    }

    /// The gradient of a parameter.
    pub fn get(&self, parameter: usize) -> Option<&Tensor> {
        self.values.get(parameter)?.as_ref()
    }

    /// Adds to the gradient of a parameter.
    ///
    /// # Errors
    /// When shapes differ.
    pub fn add(&mut self, parameter: usize, gradient: Tensor) -> Result<()> {
        if self.values.len() <= parameter {
            self.values.resize(parameter + 1, None);
        }
        let slot = &mut self.values[parameter];
        *slot = Some(match slot.take() {
            Some(sum) => (sum + gradient)?,
            None => gradient,
        });
        Ok(())
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.values.iter_mut().for_each(|value| *value = None);
    }

    /// Root of the sum of all squares, summed in f64.
    ///
    /// # Errors
    /// When a gradient cannot be read.
    pub fn norm(&self) -> Result<f64> {
        let mut sum = 0.0;
        for value in self.values.iter().flatten() {
            sum += squares(value)?;
        }
        Ok(sum.sqrt())
    }

    /// Multiplies all of them.
    ///
    /// # Errors
    /// When an operation fails.
    pub fn scale(&mut self, factor: f64) -> Result<()> {
        for value in self.values.iter_mut().flatten() {
            *value = (&*value * factor)?;
        }
        Ok(())
    }

    /// Number of parameters that it has room for.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether it has room for none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

fn squares(tensor: &Tensor) -> Result<f64> {
    let (storage, layout) = tensor.storage_and_layout();
    if let (Storage::Cpu(CpuStorage::F32(values)), Some((from, to))) =
        (&*storage, layout.contiguous_offsets())
    {
        // Pieces are summed in their order, so that the sum does not depend on threads.
        let piece =
            |piece: &[f32]| piece.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>();
        let sums: Vec<f64> = values[from..to].par_chunks(1 << 15).map(piece).collect();
        return Ok(sums.iter().sum());
    }
    drop(storage);
    tensor.to_dtype(candle_core::DType::F64)?.sqr()?.sum_all()?.to_scalar()
}
