//! The last norm, the output layer and the cross-entropy, a bounded number of logits at a time.

use candle_core::backprop::GradStore;
use candle_core::{D, DType, Result, Tensor, Var};

use super::layer::Graph;
use super::leaves::{backward, wide};
use super::parts::Parts;
use crate::training::{Batch, BatchLoss, Gradients, IGNORED};

/// Logits that are in memory at a time.
const LOGITS: usize = 1 << 23;

/// Positions with a target, and the targets.
fn labelled(batch: &Batch) -> (Vec<u32>, Vec<u32>) {
    let places = batch.targets.iter().zip(0u32..).filter(|(target, _)| **target != IGNORED);
    places.map(|(target, place)| (place, *target)).unzip()
}

impl Graph<'_> {
    /// The summed loss of the last layer's output `[tokens, hidden]`.
    pub fn loss(&self, parts: &Parts, x: &Tensor, batch: &Batch) -> Result<BatchLoss> {
        let (places, targets) = labelled(batch);
        let mut loss = BatchLoss { sum: 0.0, labels: targets.len() };
        let rows = self.rows();
        for (places, targets) in places.chunks(rows).zip(targets.chunks(rows)) {
            let x = x.index_select(&Tensor::new(places, x.device())?, 0)?;
            let logits = self.logits(parts, &self.norm(&parts.norm, &x)?)?;
            loss.sum += Entropy::of(&logits.to_dtype(wide(self.context.kind))?, targets)?.sum()?;
        }
        Ok(loss)
    }

    /// The same, adding to `gradients` those of `scale` times it; and, where `wanted`, the gradient of `x`.
    pub fn loss_backward(
        &self,
        parts: &Parts,
        x: &Tensor,
        batch: &Batch,
        scale: f64,
        wanted: bool,
        gradients: &mut Gradients,
    ) -> Result<(BatchLoss, Option<Tensor>)> {
        let (places, targets) = labelled(batch);
        let mut loss = BatchLoss { sum: 0.0, labels: targets.len() };
        let (kind, rows) = (self.context.kind, self.rows());
        let mut slopes = Vec::new();
        for (places, targets) in places.chunks(rows).zip(targets.chunks(rows)) {
            let own = x.index_select(&Tensor::new(places, x.device())?, 0)?;
            let own = if wanted { Var::from_tensor(&own)?.into_inner() } else { own };
            let logits = self.logits(parts, &self.norm(&parts.norm, &own)?)?;
            let entropy = Entropy::of(&logits.detach().to_dtype(wide(kind))?, targets)?;
            loss.sum += entropy.sum()?;
            let slope = (entropy.slope()? * scale)?.to_dtype(kind)?;
            let mut found: GradStore = backward([(&logits, slope)])?;
            self.leaves.collect(&mut found, gradients)?;
            slopes.extend(found.remove(&own).map(|slope| slope.detach()));
        }
        if !wanted || slopes.is_empty() {
            return Ok((loss, None));
        }
        let places = Tensor::new(places, x.device())?;
        let slope = x.zeros_like()?.index_add(&places, &Tensor::cat(&slopes, 0)?, 0)?;
        Ok((loss, Some(slope)))
    }

    /// The logits of normed states.
    pub fn logits(&self, parts: &Parts, normed: &Tensor) -> Result<Tensor> {
        match &parts.output {
            Some(output) => self.linear(output, normed),
            None => self.product(&parts.embedding, normed),
        }
    }

    fn rows(&self) -> usize {
        (LOGITS / self.context.config.vocabulary.max(1)).max(1)
    }
}

/// The cross-entropy of some rows of logits.
struct Entropy {
    /// `[rows, vocabulary]`.
    logits: Tensor,
    /// `[rows, 1]`.
    targets: Tensor,
    /// Logarithm of the sum of the logits' powers, `[rows, 1]`.
    partition: Tensor,
}

impl Entropy {
    fn of(logits: &Tensor, targets: &[u32]) -> Result<Self> {
        let most = logits.max_keepdim(D::Minus1)?;
        let powers = logits.broadcast_sub(&most)?.exp()?.sum_keepdim(D::Minus1)?;
        let partition = (most + powers.log()?)?;
        let targets = Tensor::new(targets, logits.device())?.reshape(((), 1))?;
        Ok(Self { logits: logits.clone(), targets, partition })
    }

    /// Of all rows, in nats.
    fn sum(&self) -> Result<f64> {
        let rows = (&self.partition - self.logits.gather(&self.targets, 1)?)?;
        Ok(rows.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?.into_iter().sum())
    }

    /// Its gradient in the logits: probabilities, less one at the target.
    fn slope(&self) -> Result<Tensor> {
        let p = self.logits.broadcast_sub(&self.partition)?.exp()?;
        let ones = Tensor::ones(self.targets.shape(), p.dtype(), p.device())?;
        p.scatter_add(&self.targets, &ones.neg()?, 1)
    }
}
