//! The whole net, forwards and backwards.

use candle_core::{Result, Tensor};

use super::context::{Context, Pools};
use super::head::Head;
use super::layer::Layer;
use crate::nn::{Frequencies, Rotation};
use crate::ops::paged::Heads;
use crate::ops::training::element::Element;
use crate::training::modules::{FrozenMatrix, Matrix};
use crate::training::net::View;
use crate::training::{Batch, BatchLoss, Gradients};

pub(super) fn forward_backward<E: Element>(
    view: View<'_>,
    pools: &Pools<E>,
    batch: &Batch,
    scale: f64,
    step: u64,
    gradients: &mut Gradients,
) -> Result<BatchLoss> {
    pools.prepare(batch.tokens.len());
    let context = Context { view, pools, batch, step: Some(step) };
    let rotation = rotation(&context);
    let lowest = view.modules.lowest_trained();
    let mut kept = Vec::with_capacity(view.modules.layers.len());
    let mut x = embed(&context)?;
    for index in 0..view.modules.layers.len() {
        let (out, own) = layer(&context, &rotation, index).forward(x, index >= lowest)?;
        kept.push(own);
        x = out;
    }
    let (loss, dx) = Head { context: &context }.loss(&x, scale, Some(gradients))?;
    context.give(x);
    let embedding = match view.modules.embedding {
        Matrix::Trained(index) => Some(index),
        Matrix::Frozen(_) => None,
    };
    let mut dx = dx;
    for (index, kept) in kept.into_iter().enumerate().rev() {
        let (Some(kept), Some(dy)) = (kept, dx.take()) else { break };
        let wanted = index > lowest || embedding.is_some();
        dx = layer(&context, &rotation, index).backward(kept, dy, wanted, gradients)?;
    }
    if let (Some(index), Some(dx)) = (embedding, &dx) {
        let hidden = view.config.hidden;
        let mut sums = vec![E::Wide::default(); view.config.vocabulary * hidden];
        for (token, dx) in batch.tokens.iter().zip(dx.chunks_exact(hidden)) {
            let row = &mut sums[*token as usize * hidden..][..hidden];
            row.iter_mut().zip(dx).for_each(|(sum, dx)| *sum += dx.widen());
        }
        context.learn(gradients, index, sums)?;
    }
    if let Some(dx) = dx {
        context.give(dx);
    }
    Ok(loss)
}

pub(super) fn loss<E: Element>(view: View<'_>, pools: &Pools<E>, batch: &Batch) -> Result<BatchLoss> {
    let context = Context { view, pools, batch, step: None };
    pools.prepare(batch.tokens.len());
    let x = hidden(&context)?;
    let (loss, _) = Head { context: &context }.loss(&x, 0.0, None)?;
    context.give(x);
    Ok(loss)
}

pub(super) fn logits<E: Element>(view: View<'_>, pools: &Pools<E>, batch: &Batch) -> Result<Tensor> {
    let context = Context { view, pools, batch, step: None };
    pools.prepare(batch.tokens.len());
    let x = hidden(&context)?;
    let logits = Head { context: &context }.logits(&x)?;
    context.give(x);
    E::tensor(logits, &[batch.tokens.len(), view.config.vocabulary])
}

/// The last layer's output.
fn hidden<E: Element>(context: &Context<'_, E>) -> Result<Vec<E>> {
    let rotation = rotation(context);
    let mut x = embed(context)?;
    for index in 0..context.view.modules.layers.len() {
        (x, _) = layer(context, &rotation, index).forward(x, false)?;
    }
    Ok(x)
}

fn layer<'a, 'b, E: Element>(
    context: &'b Context<'a, E>,
    rotation: &'b Rotation,
    index: usize,
) -> Layer<'a, 'b, E> {
    let config = context.view.config;
    let heads = Heads {
        query: config.heads,
        kv: config.kv_heads,
        dim: config.head_dim,
        window: config.windows[index],
    };
    Layer { context, modules: &context.view.modules.layers[index], rotation, heads }
}

fn rotation<E: Element>(context: &Context<'_, E>) -> Rotation {
    let positions: Vec<usize> = context.batch.lengths.iter().flat_map(|length| 0..*length).collect();
    Frequencies::new(&context.view.config.rope, context.view.config.head_dim).rotation(&positions)
}

fn embed<E: Element>(context: &Context<'_, E>) -> Result<Vec<E>> {
    let hidden = context.view.config.hidden;
    let mut out = context.buffer(hidden);
    let tokens = || context.batch.tokens.iter().map(|token| *token as usize);
    match &context.view.modules.embedding {
        Matrix::Trained(index) => context.parameter(*index, |values| {
            for (token, out) in tokens().zip(out.chunks_exact_mut(hidden)) {
                let row = &values[token * hidden..][..hidden];
                out.iter_mut().zip(row).for_each(|(out, value)| *out = E::of_f32(*value));
            }
        })?,
        Matrix::Frozen(frozen) => copy_rows(frozen, tokens(), hidden, &mut out),
    }
    Ok(out)
}

fn copy_rows<E: Element>(
    frozen: &FrozenMatrix,
    rows: impl Iterator<Item = usize>,
    width: usize,
    out: &mut [E],
) {
    let mut row = vec![0f32; width];
    for (index, out) in rows.zip(out.chunks_exact_mut(width)) {
        frozen.copy(index * width, &mut row);
        out.iter_mut().zip(&row).for_each(|(out, value)| *out = E::of_f32(*value));
    }
}
