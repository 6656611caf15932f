//! What a pass over a batch has at hand: parts, values in the type of the pass, buffers, gradients.

use candle_core::{CpuStorage, Result, Storage, Tensor};

use crate::ops::team::for_pieces;
use crate::ops::training::element::{Element, Real, converted};
use crate::ops::training::{Pool, View as Rows, norm};
use crate::training::modules::{FrozenMatrix, Matrix, Vector};
use crate::training::net::View;
use crate::training::{Batch, Gradients};

/// Buffers of the values' type and of the sums'.
#[derive(Debug)]
pub(super) struct Pools<E: Element> {
    pub values: Pool<E>,
    pub sums: Pool<E::Wide>,
    /// Tokens of the last batch; other lengths want other buffers.
    tokens: std::sync::Mutex<usize>,
}

impl<E: Element> Default for Pools<E> {
    fn default() -> Self {
        Self { values: Pool::default(), sums: Pool::default(), tokens: std::sync::Mutex::new(0) }
    }
}

impl<E: Element> Pools<E> {
    /// Forgets the buffers of a batch of another length.
    pub fn prepare(&self, tokens: usize) {
        let mut last = self.tokens.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *last != tokens {
            self.values.clear();
            self.sums.clear();
            *last = tokens;
        }
    }
}

/// One pass over a batch.
pub(super) struct Context<'a, E: Element> {
    pub view: View<'a>,
    pub pools: &'a Pools<E>,
    pub batch: &'a Batch,
    /// Tells its dropout from another's; `None` where nothing is left out.
    pub step: Option<u64>,
}

/// Values that are borrowed, or in a buffer that goes back to its pool.
pub(super) enum Values<'a, E: Element> {
    Borrowed(&'a [E]),
    Own(Vec<E>, &'a Pool<E>),
}

impl<E: Element> std::ops::Deref for Values<'_, E> {
    type Target = [E];
    fn deref(&self) -> &[E] {
        match self {
            Self::Borrowed(values) => values,
            Self::Own(values, _) => values,
        }
    }
}

impl<E: Element> Drop for Values<'_, E> {
    fn drop(&mut self) {
        if let Self::Own(values, pool) = self {
            pool.give(std::mem::take(values));
        }
    }
}

impl<'a, E: Element> Context<'a, E> {
    pub fn tokens(&self) -> usize {
        self.batch.tokens.len()
    }

    /// A buffer of `[tokens, width]` with any values in it.
    pub fn buffer(&self, width: usize) -> Vec<E> {
        self.pools.values.take(self.tokens() * width)
    }

    pub fn give(&self, buffer: Vec<E>) {
        self.pools.values.give(buffer);
    }

    /// A parameter's f32 values, as `work` gets them.
    pub fn parameter<T>(&self, index: usize, work: impl FnOnce(&[f32]) -> T) -> Result<T> {
        let value = self.view.parameters[index].value.as_tensor();
        let (storage, layout) = value.storage_and_layout();
        match (&*storage, layout.contiguous_offsets()) {
            (Storage::Cpu(CpuStorage::F32(values)), Some((from, to))) => Ok(work(&values[from..to])),
            _ => candle_core::bail!("a parameter wants contiguous f32 values in memory"),
        }
    }

    /// A parameter times `scale`, in the type of the pass.
    pub fn scaled(&self, index: usize, scale: f64) -> Result<Values<'a, E>> {
        self.parameter(index, |values| {
            let mut out = self.pools.values.take(values.len());
            if scale == 1.0 {
                converted(values, &mut out);
            } else {
                for (out, value) in out.iter_mut().zip(values) {
                    *out = E::narrow(E::Wide::of(f64::from(*value) * scale));
                }
            }
            Values::Own(out, &self.pools.values)
        })
    }

    /// A matrix in the type of the pass.
    pub fn matrix(&self, matrix: &'a Matrix) -> Result<Values<'a, E>> {
        match matrix {
            Matrix::Trained(index) => self.scaled(*index, 1.0),
            Matrix::Frozen(frozen) => Ok(self.frozen(frozen)),
        }
    }

    fn frozen(&self, matrix: &'a FrozenMatrix) -> Values<'a, E> {
        if let FrozenMatrix::Dense { values, .. } = matrix
            && let Some(same) = E::same(values)
        {
            return Values::Borrowed(same);
        }
        let columns = matrix.columns();
        let mut out = self.pools.values.take(matrix.rows() * columns);
        for_pieces(&mut out, 16 * columns, |at, out| {
            let mut row = vec![0f32; out.len()];
            matrix.copy(at, &mut row);
            for (out, value) in out.iter_mut().zip(row) {
                *out = E::of_f32(value);
            }
        });
        Values::Own(out, &self.pools.values)
    }

    /// A vector in the type of sums.
    pub fn vector(&self, vector: &Vector) -> Result<Vec<E::Wide>> {
        let wide = |values: &[f32]| values.iter().map(|value| E::Wide::of(f64::from(*value))).collect();
        match vector {
            Vector::Frozen(values) => Ok(wide(values)),
            Vector::Trained(index) => self.parameter(*index, wide),
        }
    }

    /// RMSNorm of rows.
    pub fn normed(&self, weight: &Vector, x: &[E]) -> Result<Vec<E>> {
        let weight = self.vector(weight)?;
        let mut out = self.pools.values.take(x.len());
        norm::forward(x, &weight, self.view.config.norm_epsilon, &mut out);
        Ok(out)
    }

    /// The gradient of a norm's input, added to `onto`; and that of its weight.
    pub fn norm_backward(
        &self,
        weight: &Vector,
        x: &[E],
        dy: &[E],
        onto: Option<&mut [E]>,
        gradients: &mut Gradients,
    ) -> Result<()> {
        let (values, epsilon) = (self.vector(weight)?, self.view.config.norm_epsilon);
        if let Vector::Trained(index) = weight {
            self.learn(gradients, *index, norm::weight_gradient(x, epsilon, dy, values.len()))?;
        }
        if let Some(onto) = onto {
            norm::backward(x, &values, epsilon, dy, onto);
        }
        Ok(())
    }

    /// `[rows, width]` of a buffer.
    pub fn rows<'b>(&self, values: &'b [E], width: usize) -> Rows<'b, E> {
        Rows::new(values, values.len() / width, width)
    }

    /// Adds to a parameter's gradient.
    pub fn learn(&self, gradients: &mut Gradients, index: usize, values: Vec<E::Wide>) -> Result<()> {
        let shape = self.view.parameters[index].value.shape().dims().to_vec();
        let gradient: Tensor = E::tensor(values, &shape)?;
        gradients.add(index, gradient)
    }
}
