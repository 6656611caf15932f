//! The last norm, the output layer and the cross-entropy, for the rows that have a target.

use candle_core::Result;

use super::context::{Context, Values};
use crate::ops::team::for_pieces;
use crate::ops::training::element::Element;
use crate::ops::training::linear::Out;
use crate::ops::training::{Segment, Shared, View as Rows, linear, softmax};
use crate::training::modules::Matrix;
use crate::training::{BatchLoss, Gradients, IGNORED};

/// Bytes of logits that are in memory at a time.
const LOGITS: usize = 64 << 20;
/// Inner values of a product at a time, where there are as many as words.
const INNER: usize = 4096;

/// The last hidden states of a batch.
pub(super) struct Head<'a, 'b, E: Element> {
    pub context: &'b Context<'a, E>,
}

impl<'a, E: Element> Head<'a, '_, E> {
    fn output(&self) -> &'a Matrix {
        let modules = self.context.view.modules;
        modules.output.as_ref().map_or(&modules.embedding, |output| &output.weight)
    }

    fn vocabulary(&self) -> usize {
        self.context.view.config.vocabulary
    }

    /// Rows of logits that are computed together.
    fn together(&self, rows: usize) -> usize {
        let vocabulary = self.vocabulary();
        let most = LOGITS / (vocabulary * size_of::<E::Wide>()).max(1);
        (most / 96 * 96).clamp(24, 960).min(rows.max(1))
    }

    /// The logits of all rows of `x`.
    pub fn logits(&self, x: &[E]) -> Result<Vec<E::Wide>> {
        let hidden = self.context.view.config.hidden;
        let (matrix, vocabulary) = (self.output(), self.vocabulary());
        let weight = self.context.matrix(matrix)?;
        let normed = self.context.normed(&self.context.view.modules.norm, x)?;
        let mut out = vec![E::Wide::default(); x.len() / hidden * vocabulary];
        let b = Rows::new(&weight, vocabulary, hidden).t();
        linear(
            &[Segment { a: self.context.rows(&normed, hidden), b }],
            Out::Wide { out: &mut out, accumulate: false },
        );
        self.context.give(normed);
        Ok(out)
    }

    /// The loss, and where gradients are wanted, that of `x` `[tokens, hidden]` times `scale`.
    pub fn loss(
        &self,
        x: &[E],
        scale: f64,
        mut gradients: Option<&mut Gradients>,
    ) -> Result<(BatchLoss, Option<Vec<E>>)> {
        let context = self.context;
        let hidden = context.view.config.hidden;
        let targets = &context.batch.targets;
        let rows: Vec<usize> = (0..targets.len()).filter(|row| targets[*row] != IGNORED).collect();
        let mut dx = gradients.is_some().then(|| context.pools.values.zeros(x.len()));
        let mut loss = BatchLoss { sum: 0.0, labels: rows.len() };
        let (matrix, vocabulary) = (self.output(), self.vocabulary());
        let weight = context.matrix(matrix)?;
        let mut dw = match (&gradients, matrix) {
            (Some(_), Matrix::Trained(_)) => Some(vec![E::Wide::default(); vocabulary * hidden]),
            _ => None,
        };
        for chunk in rows.chunks(self.together(rows.len())) {
            let gathered: Vec<E> =
                chunk.iter().flat_map(|row| &x[row * hidden..][..hidden]).copied().collect();
            let normed = context.normed(&context.view.modules.norm, &gathered)?;
            // Buffers of a last chunk have a length of their own, which hardly ever comes again; they are not kept.
            let whole = chunk.len() == self.together(usize::MAX);
            let (sum, gradient) = self.chunk(chunk, &normed, &weight, gradients.is_some().then_some(scale));
            loss.sum += sum;
            if let (Some(gradients), Some(dx), Some(gradient)) = (gradients.as_deref_mut(), &mut dx, gradient)
            {
                if let Some(dw) = &mut dw {
                    let a = Rows::new(&gradient, chunk.len(), vocabulary).t();
                    let b = Rows::new(&normed, chunk.len(), hidden);
                    linear(&[Segment { a, b }], Out::Wide { out: dw, accumulate: true });
                }
                let d_normed = self.input_gradient(&gradient, &weight, chunk.len());
                let give = |buffer: Vec<E>| {
                    if whole {
                        context.give(buffer);
                    }
                };
                give(gradient);
                let mut d = context.pools.values.zeros(gathered.len());
                let norm = &context.view.modules.norm;
                context.norm_backward(norm, &gathered, &d_normed, Some(&mut d), gradients)?;
                for (row, d) in chunk.iter().zip(d.chunks_exact(hidden)) {
                    dx[row * hidden..][..hidden].copy_from_slice(d);
                }
                give(d);
                give(d_normed);
            }
            if whole {
                context.give(normed);
            }
        }
        if let (Some(gradients), Some(dw), Matrix::Trained(index)) = (gradients, dw, matrix) {
            context.learn(gradients, *index, dw)?;
        }
        Ok((loss, dx))
    }

    /// The summed loss of some rows, and the gradient of their logits.
    fn chunk(
        &self,
        rows: &[usize],
        normed: &[E],
        weight: &Values<'_, E>,
        scale: Option<f64>,
    ) -> (f64, Option<Vec<E>>) {
        let context = self.context;
        let hidden = context.view.config.hidden;
        let vocabulary = self.vocabulary();
        let mut logits = context.pools.sums.take(rows.len() * vocabulary);
        let b = Rows::new(weight, vocabulary, hidden).t();
        let segment = Segment { a: Rows::new(normed, rows.len(), hidden), b };
        linear(&[segment], Out::Wide { out: &mut logits, accumulate: false });
        let mut gradient = scale.map(|_| context.pools.values.take(rows.len() * vocabulary));
        let mut losses = vec![0f64; rows.len()];
        {
            let parts = gradient.as_mut().map(|gradient| Shared::of(gradient));
            let sums = Shared::of(&mut losses);
            for_pieces(&mut logits, vocabulary, |at, logits| {
                let row = at / vocabulary;
                let target = context.batch.targets[rows[row]] as usize;
                let own = parts.as_ref().map(|parts| parts.part(at, vocabulary));
                sums.part(row, 1)[0] = softmax::cross_entropy::<E>(logits, target, scale.unwrap_or(0.0), own);
            });
        }
        if rows.len() == self.together(usize::MAX) {
            context.pools.sums.give(logits);
        }
        (losses.iter().sum(), gradient)
    }

    /// `gradient W`, `[rows, hidden]`: as many inner values as words, some at a time.
    fn input_gradient(&self, gradient: &[E], weight: &Values<'_, E>, rows: usize) -> Vec<E> {
        let context = self.context;
        let hidden = context.view.config.hidden;
        let vocabulary = self.vocabulary();
        let mut sums = context.pools.sums.take(rows * hidden);
        for first in (0..vocabulary).step_by(INNER) {
            let count = INNER.min(vocabulary - first);
            let a = Rows::new(gradient, rows, vocabulary).columns_part(first, count);
            let b = Rows::new(weight, vocabulary, hidden).part(first, count);
            linear(&[Segment { a, b }], Out::Wide { out: &mut sums, accumulate: first > 0 });
        }
        let mut out = context.pools.values.take(rows * hidden);
        out.iter_mut().zip(&sums).for_each(|(out, sum)| *out = E::narrow(*sum));
        if rows == self.together(usize::MAX) {
            context.pools.sums.give(sums);
        }
        out
    }
}
