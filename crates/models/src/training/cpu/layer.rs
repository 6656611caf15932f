//! A layer, forwards and backwards.

use candle_core::Result;

use super::context::Context;
use crate::nn::Rotation;
use crate::ops::paged::Heads;
use crate::ops::training::element::Element;
use crate::ops::training::linear::Out;
use crate::ops::training::norm::column_sums;
use crate::ops::training::{Segment, View as Rows, attention, gate, linear, rope};
use crate::training::Gradients;
use crate::training::modules::{Bottleneck, LayerModules, Vector};

/// What a layer keeps for its backward pass; `None` is computed again.
pub(super) struct Kept<E: Element> {
    x: Vec<E>,
    /// Before norms of heads and rotation.
    qkv: Option<[Vec<E>; 3]>,
    attention: Vec<E>,
    /// Logarithms of the scores' sums, `[tokens, query heads]`.
    sums: Vec<E::Wide>,
    /// What went into the bottlenecks.
    adapted: [Option<Vec<E>>; 2],
    middle: Vec<E>,
    gate_up: Option<[Vec<E>; 2]>,
}

/// A layer's place and surroundings.
pub(super) struct Layer<'a, 'b, E: Element> {
    pub context: &'b Context<'a, E>,
    pub modules: &'a LayerModules,
    pub rotation: &'b Rotation,
    pub heads: Heads,
}

impl<'a, E: Element> Layer<'a, '_, E> {
    /// Queries and keys after norms of heads and rotation.
    fn rotated(&self, q: &[E], k: &[E]) -> Result<[Vec<E>; 2]> {
        let norms = self.modules.qk_norms.as_ref();
        let of = |x: &[E], weight: Option<&Vector>, heads: usize| -> Result<Vec<E>> {
            let mut out = match weight {
                Some(weight) => self.context.normed(weight, x)?,
                None => {
                    let mut out = self.context.pools.values.take(x.len());
                    out.copy_from_slice(x);
                    out
                }
            };
            rope::rotate(self.rotation, &mut out, heads, false);
            Ok(out)
        };
        Ok([of(q, norms.map(|(q, _)| q), self.heads.query)?, of(k, norms.map(|(_, k)| k), self.heads.kv)?])
    }

    fn qkv(&self, normed: &[E]) -> Result<[Vec<E>; 3]> {
        let of = |projection| self.context.forward(projection, normed, None);
        Ok([of(&self.modules.q)?, of(&self.modules.k)?, of(&self.modules.v)?])
    }

    fn gate_up(&self, normed: &[E]) -> Result<[Vec<E>; 2]> {
        let of = |projection| self.context.forward(projection, normed, None);
        Ok([of(&self.modules.gate)?, of(&self.modules.up)?])
    }

    /// The layer's output, and what its backward pass needs where there will be one.
    pub fn forward(&self, x: Vec<E>, keep: bool) -> Result<(Vec<E>, Option<Kept<E>>)> {
        let (context, modules) = (self.context, self.modules);
        let lean = context.view.options.gradient_checkpointing;
        let normed = context.normed(&modules.attention_norm, &x)?;
        let qkv = self.qkv(&normed)?;
        context.give(normed);
        let [q, k] = self.rotated(&qkv[0], &qkv[1])?;
        let mut mixed = context.buffer(self.heads.query * self.heads.dim);
        let mut sums = context.pools.sums.take(context.tokens() * self.heads.query);
        let input =
            attention::Input { q: &q, k: &k, v: &qkv[2], heads: self.heads, lengths: &context.batch.lengths };
        attention::forward(&input, &mut mixed, &mut sums);
        context.give(q);
        context.give(k);
        let (middle, adapted) = self.residual(&modules.o, modules.attention_adapter.as_ref(), &mixed, &x)?;
        let mut kept = Kept {
            x,
            qkv: Some(qkv),
            attention: mixed,
            sums,
            adapted: [adapted, None],
            middle,
            gate_up: None,
        };
        if lean || !keep {
            for buffer in kept.qkv.take().into_iter().flatten() {
                context.give(buffer);
            }
        }
        let normed = context.normed(&modules.mlp_norm, &kept.middle)?;
        let gate_up = self.gate_up(&normed)?;
        context.give(normed);
        let mut gated = context.pools.values.take(gate_up[0].len());
        gate::swiglu(&gate_up[0], &gate_up[1], &mut gated);
        if lean || !keep {
            gate_up.into_iter().for_each(|buffer| context.give(buffer));
        } else {
            kept.gate_up = Some(gate_up);
        }
        let (out, adapted) =
            self.residual(&modules.down, modules.mlp_adapter.as_ref(), &gated, &kept.middle)?;
        context.give(gated);
        kept.adapted[1] = adapted;
        if keep {
            return Ok((out, Some(kept)));
        }
        kept.release(context);
        Ok((out, None))
    }

    /// `residual + adapter(projection(x))`, and what went into the adapter.
    fn residual(
        &self,
        projection: &'a crate::training::modules::Projection,
        adapter: Option<&Bottleneck>,
        x: &[E],
        residual: &[E],
    ) -> Result<(Vec<E>, Option<Vec<E>>)> {
        let Some(adapter) = adapter else {
            return Ok((self.context.forward(projection, x, Some(residual))?, None));
        };
        let own = self.context.forward(projection, x, None)?;
        let mut out = self.adapted(adapter, &own)?;
        for ((out, own), residual) in out.iter_mut().zip(&own).zip(residual) {
            *out = E::narrow(out.widen() + own.widen() + residual.widen());
        }
        Ok((out, Some(own)))
    }

    /// `down(x) + b` of a bottleneck, and its activation.
    fn between(&self, adapter: &Bottleneck, x: &[E]) -> Result<(Vec<E>, Vec<E>)> {
        let context = self.context;
        let hidden = context.view.config.hidden;
        let down = context.scaled(adapter.down, 1.0)?;
        let bias = context.vector(&Vector::Trained(adapter.down_bias))?;
        let mut out = context.buffer(bias.len());
        let b = Rows::new(&down, bias.len(), hidden).t();
        let bias = Some(bias.as_slice());
        linear(
            &[Segment { a: context.rows(x, hidden), b }],
            Out::Rounded { out: &mut out, bias, residual: None },
        );
        let mut active = context.pools.values.take(out.len());
        gate::activate(adapter.activation, &out, &mut active);
        Ok((out, active))
    }

    /// `up(activation(down(x) + b)) + b'`.
    fn adapted(&self, adapter: &Bottleneck, x: &[E]) -> Result<Vec<E>> {
        let context = self.context;
        let hidden = context.view.config.hidden;
        let (inner, active) = self.between(adapter, x)?;
        let size = inner.len() / context.tokens();
        let up = context.scaled(adapter.up, 1.0)?;
        let bias = context.vector(&Vector::Trained(adapter.up_bias))?;
        let mut out = context.buffer(hidden);
        let b = Rows::new(&up, hidden, size).t();
        let bias = Some(bias.as_slice());
        linear(
            &[Segment { a: context.rows(&active, size), b }],
            Out::Rounded { out: &mut out, bias, residual: None },
        );
        context.give(inner);
        context.give(active);
        Ok(out)
    }

    /// The gradient of a bottleneck's input, its own residual included.
    fn adapted_backward(
        &self,
        adapter: &Bottleneck,
        x: &[E],
        dy: &[E],
        gradients: &mut Gradients,
    ) -> Result<Vec<E>> {
        let context = self.context;
        let hidden = context.view.config.hidden;
        let (inner, active) = self.between(adapter, x)?;
        let size = inner.len() / context.tokens();
        context.learn(gradients, adapter.up_bias, column_sums(dy, hidden))?;
        let mut dw = vec![E::Wide::default(); hidden * size];
        let segment = Segment { a: context.rows(dy, hidden).t(), b: context.rows(&active, size) };
        linear(&[segment], Out::Wide { out: &mut dw, accumulate: false });
        context.learn(gradients, adapter.up, dw)?;
        let up = context.scaled(adapter.up, 1.0)?;
        let mut d = active;
        let segment = Segment { a: context.rows(dy, hidden), b: Rows::new(&up, hidden, size) };
        linear(&[segment], Out::Rounded { out: &mut d, bias: None, residual: None });
        gate::activate_backward(adapter.activation, &inner, &mut d);
        context.learn(gradients, adapter.down_bias, column_sums(&d, size))?;
        let mut dw = vec![E::Wide::default(); hidden * size];
        let segment = Segment { a: context.rows(&d, size).t(), b: context.rows(x, hidden) };
        linear(&[segment], Out::Wide { out: &mut dw, accumulate: false });
        context.learn(gradients, adapter.down, dw)?;
        let down = context.scaled(adapter.down, 1.0)?;
        let mut dx = context.buffer(hidden);
        let segment = Segment { a: context.rows(&d, size), b: Rows::new(&down, size, hidden) };
        linear(&[segment], Out::Rounded { out: &mut dx, bias: None, residual: Some(dy) });
        context.give(inner);
        context.give(d);
        Ok(dx)
    }

    /// From the output's gradient to the input's, where that is wanted, and to those of the parameters.
    pub fn backward(
        &self,
        mut kept: Kept<E>,
        dy: Vec<E>,
        wanted: bool,
        gradients: &mut Gradients,
    ) -> Result<Option<Vec<E>>> {
        let (context, modules) = (self.context, self.modules);
        let normed = context.normed(&modules.mlp_norm, &kept.middle)?;
        let [mut gate, mut up] = match kept.gate_up.take() {
            Some(gate_up) => gate_up,
            None => self.gate_up(&normed)?,
        };
        let mut gated = context.pools.values.take(gate.len());
        gate::swiglu(&gate, &up, &mut gated);
        let through = match (&modules.mlp_adapter, &kept.adapted[1]) {
            (Some(adapter), Some(x)) => Some(self.adapted_backward(adapter, x, &dy, gradients)?),
            _ => None,
        };
        let own = through.as_deref().unwrap_or(&dy);
        let d_gated = context.backward(&[(&modules.down, own)], &gated, true, gradients)?;
        context.give(gated);
        if let Some(through) = through {
            context.give(through);
        }
        let Some(d_gated) = d_gated else { return Ok(None) };
        gate::swiglu_backward(&mut gate, &mut up, &d_gated);
        context.give(d_gated);
        let halves = [(&modules.gate, gate.as_slice()), (&modules.up, up.as_slice())];
        let d_normed = context.backward(&halves, &normed, true, gradients)?;
        context.give(normed);
        context.give(gate);
        context.give(up);
        let mut dy = dy;
        if let Some(d_normed) = d_normed {
            context.norm_backward(&modules.mlp_norm, &kept.middle, &d_normed, Some(&mut dy), gradients)?;
            context.give(d_normed);
        }
        self.attention_backward(kept, dy, wanted, gradients)
    }

    fn attention_backward(
        &self,
        mut kept: Kept<E>,
        mut dy: Vec<E>,
        wanted: bool,
        gradients: &mut Gradients,
    ) -> Result<Option<Vec<E>>> {
        let (context, modules) = (self.context, self.modules);
        let through = match (&modules.attention_adapter, &kept.adapted[0]) {
            (Some(adapter), Some(x)) => Some(self.adapted_backward(adapter, x, &dy, gradients)?),
            _ => None,
        };
        let own = through.as_deref().unwrap_or(&dy);
        let d_mixed = context.backward(&[(&modules.o, own)], &kept.attention, true, gradients)?;
        if let Some(through) = through {
            context.give(through);
        }
        let Some(d_mixed) = d_mixed else { return Ok(None) };
        let normed = context.normed(&modules.attention_norm, &kept.x)?;
        let qkv = match kept.qkv.take() {
            Some(qkv) => qkv,
            None => self.qkv(&normed)?,
        };
        let [q, k] = self.rotated(&qkv[0], &qkv[1])?;
        let (mut dq, mut dk) = (context.pools.values.take(q.len()), context.pools.values.take(k.len()));
        let mut dv = context.pools.values.take(k.len());
        let lengths = &context.batch.lengths;
        let input = attention::Input { q: &q, k: &k, v: &qkv[2], heads: self.heads, lengths };
        attention::backward(&input, &kept.attention, &kept.sums, &d_mixed, (&mut dq, &mut dk, &mut dv));
        for buffer in [q, k, d_mixed] {
            context.give(buffer);
        }
        rope::rotate(self.rotation, &mut dq, self.heads.query, true);
        rope::rotate(self.rotation, &mut dk, self.heads.kv, true);
        if let Some((q_norm, k_norm)) = &modules.qk_norms {
            for (weight, x, d) in [(q_norm, &qkv[0], &mut dq), (k_norm, &qkv[1], &mut dk)] {
                let mut through = context.pools.values.zeros(x.len());
                context.norm_backward(weight, x, d, Some(&mut through), gradients)?;
                context.give(std::mem::replace(d, through));
            }
        }
        let layers = [(&modules.q, dq.as_slice()), (&modules.k, dk.as_slice()), (&modules.v, dv.as_slice())];
        let norm_trained = matches!(modules.attention_norm, Vector::Trained(_));
        let d_normed = context.backward(&layers, &normed, wanted || norm_trained, gradients)?;
        for buffer in [dq, dk, dv, normed].into_iter().chain(qkv) {
            context.give(buffer);
        }
        if let Some(d_normed) = d_normed {
            let onto = wanted.then_some(dy.as_mut_slice());
            context.norm_backward(&modules.attention_norm, &kept.x, &d_normed, onto, gradients)?;
            context.give(d_normed);
        }
        kept.release(context);
        if wanted {
            return Ok(Some(dy));
        }
        context.give(dy);
        Ok(None)
    }
}

impl<E: Element> Kept<E> {
    /// Gives all buffers back.
    fn release(self, context: &Context<'_, E>) {
        let Self { x, qkv, attention, sums, adapted, middle, gate_up } = self;
        let more = qkv.into_iter().flatten().chain(gate_up.into_iter().flatten());
        for buffer in [x, attention, middle].into_iter().chain(more).chain(adapted.into_iter().flatten()) {
            context.give(buffer);
        }
        context.pools.sums.give(sums);
    }
}
