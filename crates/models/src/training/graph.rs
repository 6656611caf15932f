//! The same on candle's differentiable operations, on any device and in any precision.
//!
//! The graph of a layer is made on its own, over its input as a leaf: its backward pass is called with the gradient that the
//! layer above found, and what it held goes before the layer below has its turn. With gradient checkpointing only a layer's
//! input is kept, and its graph made a second time. Attention stands between a layer's two halves, and has no graph.

mod attention;
mod frozen;
mod head;
mod layer;
mod leaves;
mod parts;

use std::sync::OnceLock;

use candle_core::{DType, Result, Tensor, Var};

use self::attention::Arrangement;
use self::layer::{Context, Dropout, Graph};
use self::leaves::{Leaves, backward, wide};
use self::parts::{MatrixPart, Parts};
use super::net::View;
use super::{Batch, BatchLoss, Gradients};
use crate::nn::Frequencies;

/// Values of all sums over the vocabulary that are in memory at a time.
const SUMS: usize = 1 << 26;

/// The reference: candle's graph of a layer at a time.
#[derive(Debug)]
pub struct GraphNet {
    kind: DType,
    /// Made at the first call.
    parts: OnceLock<Box<Parts>>,
}

/// What is kept of a layer until its backward pass.
struct Kept<'a> {
    /// Its input, a leaf unless nothing below is trained.
    x: Tensor,
    /// Its graph, unless that is made again.
    halves: Option<Halves<'a>>,
}

/// The graphs of a layer's two halves.
struct Halves<'a> {
    leaves: [Leaves<'a>; 2],
    /// Rotated queries and keys, and values.
    qkv: [Tensor; 3],
    /// What attention saw, a leaf.
    seen: Tensor,
    out: Tensor,
}

/// A call's net and batch.
struct Pass<'a> {
    view: View<'a>,
    parts: &'a Parts,
    context: Context<'a>,
    arrangement: Arrangement,
    batch: &'a Batch,
}

impl GraphNet {
    pub(crate) fn new(kind: DType) -> Self {
        Self { kind, parts: OnceLock::new() }
    }

    pub(crate) fn forward_backward(
        &self,
        view: View<'_>,
        batch: &Batch,
        scale: f64,
        step: u64,
        gradients: &mut Gradients,
    ) -> Result<BatchLoss> {
        let dropout = Dropout { seed: view.options.seed, step };
        self.pass(view, batch, Some(dropout))?.forward_backward(scale, gradients)
    }

    pub(crate) fn loss(&self, view: View<'_>, batch: &Batch) -> Result<BatchLoss> {
        let pass = self.pass(view, batch, None)?;
        let (x, leaves) = (pass.states()?, pass.leaves(false));
        pass.graph(&leaves).loss(pass.parts, &x, batch)
    }

    pub(crate) fn logits(&self, view: View<'_>, batch: &Batch) -> Result<Tensor> {
        let vocabulary = view.config.vocabulary;
        if batch.tokens.is_empty() {
            return Tensor::zeros((0, vocabulary), wide(self.kind), &view.options.device);
        }
        let pass = self.pass(view, batch, None)?;
        let (x, leaves) = (pass.states()?, pass.leaves(false));
        let graph = pass.graph(&leaves);
        let normed = graph.norm(&pass.parts.norm, &x)?;
        graph.logits(pass.parts, &normed)?.to_dtype(wide(self.kind))
    }

    fn pass<'a>(&'a self, view: View<'a>, batch: &'a Batch, dropout: Option<Dropout>) -> Result<Pass<'a>> {
        let device = &view.options.device;
        let parts = match self.parts.get() {
            Some(parts) => parts,
            None => {
                let made = Parts::new(view.modules, self.kind, device)?;
                self.parts.get_or_init(|| Box::new(made))
            }
        };
        let positions: Vec<usize> = batch.lengths.iter().flat_map(|length| 0..*length).collect();
        let frequencies = Frequencies::new(&view.config.rope, view.config.head_dim);
        let rotation = frequencies.rotation(&positions).on(device, self.kind)?;
        let context = Context { config: view.config, kind: self.kind, rotation, dropout };
        let arrangement = Arrangement::new(&batch.lengths, device)?;
        Ok(Pass { view, parts, context, arrangement, batch })
    }
}

impl<'a> Pass<'a> {
    fn leaves(&self, tracked: bool) -> Leaves<'a> {
        Leaves::new(self.view.parameters, self.context.kind, tracked)
    }

    fn graph<'b>(&'b self, leaves: &'b Leaves<'a>) -> Graph<'b> {
        Graph { context: &self.context, leaves }
    }

    /// The tokens' embeddings, without a graph.
    fn embedded(&self) -> Result<Tensor> {
        let tokens = Tensor::new(self.batch.tokens.as_slice(), &self.view.options.device)?;
        let table = match &self.parts.embedding {
            MatrixPart::Frozen(frozen) => frozen.values()?,
            MatrixPart::Trained(parameter) => self.view.parameters[*parameter].value.as_detached_tensor(),
        };
        table.index_select(&tokens, 0)?.to_dtype(self.context.kind)
    }

    /// The last layer's output, without a graph.
    fn states(&self) -> Result<Tensor> {
        let mut x = self.embedded()?;
        for index in 0..self.parts.layers.len() {
            x = self.halves(index, &x, false)?.out;
        }
        Ok(x)
    }

    /// A layer over its input.
    fn halves(&self, index: usize, x: &Tensor, tracked: bool) -> Result<Halves<'a>> {
        let layer = &self.parts.layers[index];
        let leaves = [self.leaves(tracked), self.leaves(tracked)];
        let qkv = self.graph(&leaves[0]).before_attention(layer, x)?;
        let [q, k, v] = &qkv;
        let (q, k, v) = (q.detach(), k.detach(), v.detach());
        let seen = self.arrangement.forward(&self.context.heads(index), &q, &k, &v)?;
        // A leaf only where somebody below wants its gradient.
        let wanted = qkv.iter().any(Tensor::track_op);
        let seen = if wanted { Var::from_tensor(&seen)?.into_inner() } else { seen };
        let out = self.graph(&leaves[1]).after_attention(layer, x, &seen)?;
        Ok(Halves { leaves, qkv, seen, out })
    }

    fn forward_backward(&self, scale: f64, gradients: &mut Gradients) -> Result<BatchLoss> {
        let first = self.view.modules.lowest_trained();
        let trained_embedding = match self.parts.embedding {
            MatrixPart::Trained(parameter) => Some(parameter),
            MatrixPart::Frozen(_) => None,
        };
        let mut x = self.embedded()?;
        let mut layers: Vec<Kept<'_>> = Vec::new();
        for index in 0..self.parts.layers.len() {
            if index < first {
                x = self.halves(index, &x, false)?.out;
                continue;
            }
            let input = if index > first || trained_embedding.is_some() {
                Var::from_tensor(&x)?.into_inner()
            } else {
                x.clone()
            };
            if self.view.options.gradient_checkpointing {
                x = self.halves(index, &x, false)?.out;
                layers.push(Kept { x: input, halves: None });
            } else {
                let halves = self.halves(index, &input, true)?;
                x = halves.out.detach();
                layers.push(Kept { x: input, halves: Some(halves) });
            }
        }
        let wanted = first < self.parts.layers.len() || trained_embedding.is_some();
        let leaves = self.leaves(true);
        let (loss, slope) =
            self.graph(&leaves).loss_backward(self.parts, &x, self.batch, scale, wanted, gradients)?;
        drop((x, leaves));
        let Some(mut slope) = slope else { return Ok(loss) };
        while let Some(Kept { x, halves }) = layers.pop() {
            let index = first + layers.len();
            let halves = match halves {
                Some(halves) => halves,
                None => self.halves(index, &x, true)?,
            };
            match self.backward(index, &x, halves, slope, gradients)? {
                Some(below) => slope = below,
                None => return Ok(loss),
            }
        }
        if let Some(parameter) = trained_embedding {
            gradients.add(parameter, self.embedding_gradient(&slope)?)?;
        }
        Ok(loss)
    }

    /// From the gradient of a layer's output to that of its input; `None` where nobody wants it.
    fn backward(
        &self,
        index: usize,
        x: &Tensor,
        halves: Halves<'_>,
        slope: Tensor,
        gradients: &mut Gradients,
    ) -> Result<Option<Tensor>> {
        let Halves { leaves, qkv, seen, out } = halves;
        let mut found = backward([(&out, slope)])?;
        drop(out);
        leaves[1].collect(&mut found, gradients)?;
        let mut below = found.remove(x).map(|slope| slope.detach());
        let attention = found.remove(&seen).map(|slope| slope.detach());
        drop(found);
        if let Some(slope) = attention {
            let [q, k, v] = &qkv;
            let own = [&q.detach(), &k.detach(), &v.detach()];
            let heads = self.context.heads(index);
            let [dq, dk, dv] = self.arrangement.backward(&heads, own, &slope)?;
            let mut found = backward([(q, dq), (k, dk), (v, dv)])?;
            leaves[0].collect(&mut found, gradients)?;
            if let Some(slope) = found.remove(x) {
                below = Some(match below {
                    Some(below) => (below + slope.detach())?,
                    None => slope.detach(),
                });
            }
        }
        Ok(below)
    }

    /// Summed in some parts side by side: a device adds the rows of a sum one after the other.
    fn embedding_gradient(&self, slope: &Tensor) -> Result<Tensor> {
        let (device, kind) = (slope.device(), wide(self.context.kind));
        let (vocabulary, hidden) = (self.view.config.vocabulary, self.view.config.hidden);
        let tokens = &self.batch.tokens;
        let parts = (SUMS / (vocabulary * hidden)).clamp(1, 16).min(tokens.len().max(1));
        let rows = tokens.len().div_ceil(parts);
        // What is missing in the last part are rows of zeros, for any token.
        let padding = parts * rows - tokens.len();
        let slope = slope.to_dtype(kind)?.pad_with_zeros(0, 0, padding)?.reshape((parts, rows, hidden))?;
        let tokens: Vec<u32> = tokens.iter().copied().chain(std::iter::repeat_n(0, padding)).collect();
        let tokens = Tensor::from_vec(tokens, (parts, rows, 1), device)?.expand((parts, rows, hidden))?;
        Tensor::zeros((parts, vocabulary, hidden), kind, device)?
            .scatter_add(&tokens.contiguous()?, &slope.contiguous()?, 1)?
            .sum(0)
    }
}
