//! Linear layers with what is trained of them.

use candle_core::Result;

use super::context::{Context, Values};
use crate::ops::team::for_pieces;
use crate::ops::training::element::{Element, Real, sum, vectorised};
use crate::ops::training::linear::Out;
use crate::ops::training::norm::column_sums;
use crate::ops::training::{Segment, View as Rows, linear};
use crate::training::Gradients;
use crate::training::dropout::keeps;
use crate::training::modules::{LoraParts, Matrix, Projection, Vector};

/// Values of a thread's piece of work.
const PIECE: usize = 16_384;

/// A low-rank difference's matrices in the type of the pass: `A` and `scale B`.
struct Low<'a, E: Element> {
    parts: &'a LoraParts,
    a: Values<'a, E>,
    b: Values<'a, E>,
    rank: usize,
    /// `x` with values left out, where some are.
    dropped: Option<Vec<E>>,
}

/// DoRA's factor of each row.
struct Factors<E: Element> {
    /// `1 / |W + scale B A|`.
    inverse: Vec<E::Wide>,
    /// `m / |W + scale B A|`.
    factor: Vec<E::Wide>,
}

impl<'a, E: Element> Context<'a, E> {
    fn low(&self, projection: &'a Projection, parts: &'a LoraParts, x: &[E]) -> Result<Low<'a, E>> {
        let a = self.scaled(parts.a, 1.0)?;
        let b = self.scaled(parts.b, parts.scale)?;
        let rank = a.len() / projection.columns;
        let dropped = match self.step {
            Some(step) if parts.dropout > 0.0 => Some(self.dropped(parts, step, x)),
            _ => None,
        };
        Ok(Low { parts, a, b, rank, dropped })
    }

    /// Some values left out, the others divided by the share that is kept.
    fn dropped(&self, parts: &LoraParts, step: u64, x: &[E]) -> Vec<E> {
        let mut out = self.pools.values.take(x.len());
        let (seed, share) = (self.view.options.seed, E::Wide::of(1.0 / (1.0 - parts.dropout)));
        for_pieces(&mut out, PIECE, |at, out| {
            for (index, (out, value)) in out.iter_mut().zip(&x[at..]).enumerate() {
                let kept = keeps(seed, step, parts.stream, (at + index) as u64, parts.dropout);
                *out = if kept { E::narrow(value.widen() * share) } else { E::default() };
            }
        });
        out
    }

    /// `x Aᵀ`, `[tokens, rank]`.
    fn down(&self, low: &Low<'_, E>, x: &[E], columns: usize) -> Vec<E> {
        let x = low.dropped.as_deref().unwrap_or(x);
        let mut out = self.pools.values.take(x.len() / columns * low.rank);
        let segment = Segment { a: self.rows(x, columns), b: Rows::new(&low.a, low.rank, columns).t() };
        linear(&[segment], Out::Rounded { out: &mut out, bias: None, residual: None });
        out
    }

    /// `projection(x)`, onto a residual where one is given; rows as `x` has.
    pub fn forward(&self, projection: &'a Projection, x: &[E], residual: Option<&[E]>) -> Result<Vec<E>> {
        let (rows, columns) = (projection.rows, projection.columns);
        let tokens = x.len() / columns;
        let weight = self.matrix(&projection.weight)?;
        let bias = projection.bias.as_ref().map(|bias| self.vector(bias)).transpose()?;
        let w = Rows::new(&weight, rows, columns).t();
        let mut out = self.pools.values.take(tokens * rows);
        let Some(parts) = &projection.lora else {
            let segment = Segment { a: self.rows(x, columns), b: w };
            linear(&[segment], Out::Rounded { out: &mut out, bias: bias.as_deref(), residual });
            return Ok(out);
        };
        let low = self.low(projection, parts, x)?;
        let h = self.down(&low, x, columns);
        let up = Segment { a: self.rows(&h, low.rank), b: Rows::new(&low.b, rows, low.rank).t() };
        match parts.magnitude {
            None => {
                let base = Segment { a: self.rows(x, columns), b: w };
                linear(&[base, up], Out::Rounded { out: &mut out, bias: bias.as_deref(), residual });
            }
            Some(magnitude) => {
                let factors = self.factors(&weight, &low, magnitude, rows, columns)?;
                let mut z = self.pools.sums.take(tokens * rows);
                let seen = low.dropped.as_deref().unwrap_or(x);
                let base = Segment { a: self.rows(seen, columns), b: w };
                linear(&[base, up], Out::Wide { out: &mut z, accumulate: false });
                for row in z.chunks_exact_mut(rows) {
                    row.iter_mut().zip(&factors.factor).for_each(|(z, factor)| *z *= *factor);
                }
                if low.dropped.is_some() {
                    // What the dropout took from the base comes back.
                    let left: Vec<E> =
                        x.iter().zip(seen).map(|(x, seen)| E::narrow(x.widen() - seen.widen())).collect();
                    let base = Segment { a: self.rows(&left, columns), b: w };
                    linear(&[base], Out::Wide { out: &mut z, accumulate: true });
                }
                for (at, row) in z.chunks_exact_mut(rows).enumerate() {
                    if let Some(bias) = &bias {
                        row.iter_mut().zip(bias).for_each(|(z, bias)| *z += *bias);
                    }
                    if let Some(residual) = residual {
                        let residual = &residual[at * rows..][..rows];
                        row.iter_mut().zip(residual).for_each(|(z, residual)| *z += residual.widen());
                    }
                }
                out.iter_mut().zip(&z).for_each(|(out, z)| *out = E::narrow(*z));
                self.pools.sums.give(z);
            }
        }
        self.give(h);
        if let Some(dropped) = low.dropped {
            self.give(dropped);
        }
        Ok(out)
    }

    fn factors(
        &self,
        weight: &[E],
        low: &Low<'_, E>,
        magnitude: usize,
        rows: usize,
        columns: usize,
    ) -> Result<Factors<E>> {
        let mut inverse = vec![E::Wide::default(); rows];
        // B [rows, rank] times A [rank, columns], some rows at a time.
        const TOGETHER: usize = 256;
        let mut difference = vec![E::Wide::default(); TOGETHER.min(rows) * columns];
        for first in (0..rows).step_by(TOGETHER) {
            let count = TOGETHER.min(rows - first);
            let b = Rows::new(&low.b, rows, low.rank).part(first, count);
            let segment = Segment { a: b, b: Rows::new(&low.a, low.rank, columns) };
            let difference = &mut difference[..count * columns];
            linear(&[segment], Out::Wide { out: difference, accumulate: false });
            for_pieces(&mut inverse[first..first + count], 16, |at, inverse| {
                for (index, inverse) in inverse.iter_mut().enumerate() {
                    let row = at + index;
                    let (d, w) = (
                        &difference[row * columns..][..columns],
                        &weight[(first + row) * columns..][..columns],
                    );
                    let square = vectorised(
                        #[inline(always)]
                        || {
                            sum::<E::Wide>(
                                columns,
                                #[inline(always)]
                                |i| (w[i].widen() + d[i]) * (w[i].widen() + d[i]),
                            )
                        },
                    );
                    *inverse = E::Wide::of(1.0) / square.root();
                }
            });
        }
        let factor = self.parameter(magnitude, |m| {
            m.iter().zip(&inverse).map(|(m, inverse)| E::Wide::of(f64::from(*m)) * *inverse).collect()
        })?;
        Ok(Factors { inverse, factor })
    }

    /// From the gradients of layers that share the input `x` to its own, and to those of their parameters.
    ///
    /// The input's gradient is left out where nobody wants it.
    pub fn backward(
        &self,
        layers: &[(&'a Projection, &[E])],
        x: &[E],
        wanted: bool,
        gradients: &mut Gradients,
    ) -> Result<Option<Vec<E>>> {
        let Some((first, _)) = layers.first() else { return Ok(None) };
        let columns = first.columns;
        let mut parts: Vec<Part<'a, E>> = Vec::with_capacity(layers.len());
        for (projection, dy) in layers {
            parts.push(self.learn_projection(projection, x, dy, gradients)?);
        }
        let mut dx = None;
        if wanted {
            let mut out = self.pools.values.take(x.len());
            let mut segments = Vec::with_capacity(2 * layers.len());
            for ((projection, dy), part) in layers.iter().zip(&parts) {
                let rows = projection.rows;
                // With a dropout, DoRA's base sees `x` as it is, and what is scaled sees it with values left out.
                let base = if part.base_dropped() { *dy } else { part.dz.as_deref().unwrap_or(dy) };
                segments
                    .push(Segment { a: self.rows(base, rows), b: Rows::new(&part.weight, rows, columns) });
                if let (Some(low), None) = (&part.low, &part.mask) {
                    let b = Rows::new(&low.a, low.rank, columns);
                    segments.push(Segment { a: self.rows(&part.g, low.rank), b });
                }
            }
            linear(&segments, Out::Rounded { out: &mut out, bias: None, residual: None });
            for ((projection, dy), part) in layers.iter().zip(&parts) {
                let (Some(low), Some(step)) = (&part.low, part.mask) else { continue };
                // Through the dropout: what was left out gets nothing.
                let a = Rows::new(&low.a, low.rank, columns);
                let mut segments = vec![Segment { a: self.rows(&part.g, low.rank), b: a }];
                let left: Vec<E>;
                if let Some(dz) = &part.dz {
                    left = dz.iter().zip(*dy).map(|(dz, dy)| E::narrow(dz.widen() - dy.widen())).collect();
                    let b = Rows::new(&part.weight, projection.rows, columns);
                    segments.push(Segment { a: self.rows(&left, projection.rows), b });
                }
                let mut through = self.pools.values.take(x.len());
                linear(&segments, Out::Rounded { out: &mut through, bias: None, residual: None });
                let seed = self.view.options.seed;
                let (stream, dropout) = (low.parts.stream, low.parts.dropout);
                let share = E::Wide::of(1.0 / (1.0 - dropout));
                for_pieces(&mut out, PIECE, |at, out| {
                    for (index, (out, through)) in out.iter_mut().zip(&through[at..]).enumerate() {
                        if keeps(seed, step, stream, (at + index) as u64, dropout) {
                            *out = E::narrow(out.widen() + through.widen() * share);
                        }
                    }
                });
                self.give(through);
            }
            dx = Some(out);
        }
        for part in parts {
            for buffer in [Some(part.g), part.dz, part.low.and_then(|low| low.dropped)].into_iter().flatten()
            {
                self.give(buffer);
            }
        }
        Ok(dx)
    }

    /// Adds the gradients of a layer's parameters, and gives what the input's gradient is made from.
    fn learn_projection(
        &self,
        projection: &'a Projection,
        x: &[E],
        dy: &[E],
        gradients: &mut Gradients,
    ) -> Result<Part<'a, E>> {
        let (rows, columns) = (projection.rows, projection.columns);
        let weight = self.matrix(&projection.weight)?;
        if let Some(Vector::Trained(bias)) = projection.bias {
            self.learn(gradients, bias, column_sums(dy, rows))?;
        }
        if let Matrix::Trained(index) = projection.weight {
            let mut dw = vec![E::Wide::default(); rows * columns];
            let segment = Segment { a: self.rows(dy, rows).t(), b: self.rows(x, columns) };
            linear(&[segment], Out::Wide { out: &mut dw, accumulate: false });
            self.learn(gradients, index, dw)?;
        }
        let Some(parts) = &projection.lora else {
            return Ok(Part { weight, low: None, g: Vec::new(), dz: None, mask: None });
        };
        let low = self.low(projection, parts, x)?;
        let h = self.down(&low, x, columns);
        let dz = match parts.magnitude {
            None => None,
            Some(magnitude) => {
                let factors = self.factors(&weight, &low, magnitude, rows, columns)?;
                self.learn_magnitude(&weight, &low, (x, &h, dy), magnitude, &factors, gradients)?;
                let mut dz = self.pools.values.take(dy.len());
                for (dz, dy) in dz.chunks_exact_mut(rows).zip(dy.chunks_exact(rows)) {
                    for ((dz, dy), factor) in dz.iter_mut().zip(dy).zip(&factors.factor) {
                        *dz = E::narrow(dy.widen() * *factor);
                    }
                }
                Some(dz)
            }
        };
        let own = dz.as_deref().unwrap_or(dy);
        // g = dz (scale B), dA = gᵀ x, dB = scale dzᵀ h; B's is computed transposed, as `h` has few columns.
        let tokens = dy.len() / rows;
        let mut g = self.pools.values.take(tokens * low.rank);
        let segment = Segment { a: self.rows(own, rows), b: Rows::new(&low.b, rows, low.rank) };
        linear(&[segment], Out::Rounded { out: &mut g, bias: None, residual: None });
        let mut da = vec![E::Wide::default(); low.rank * columns];
        let seen = low.dropped.as_deref().unwrap_or(x);
        let segment = Segment { a: self.rows(&g, low.rank).t(), b: self.rows(seen, columns) };
        linear(&[segment], Out::Wide { out: &mut da, accumulate: false });
        self.learn(gradients, parts.a, da)?;
        let mut transposed = vec![E::Wide::default(); low.rank * rows];
        let segment = Segment { a: self.rows(&h, low.rank).t(), b: self.rows(own, rows) };
        linear(&[segment], Out::Wide { out: &mut transposed, accumulate: false });
        let scale = E::Wide::of(parts.scale);
        let mut db = vec![E::Wide::default(); rows * low.rank];
        for (row, db) in db.chunks_exact_mut(low.rank).enumerate() {
            for (place, db) in db.iter_mut().enumerate() {
                *db = transposed[place * rows + row] * scale;
            }
        }
        self.learn(gradients, parts.b, db)?;
        self.give(h);
        let mask = self.step.filter(|_| low.dropped.is_some());
        Ok(Part { weight, low: Some(low), g, dz, mask })
    }

    /// The gradient of DoRA's magnitude: `sum(dy z) / |W + scale B A|`, with `z` what it scales.
    fn learn_magnitude(
        &self,
        weight: &[E],
        low: &Low<'_, E>,
        (x, h, dy): (&[E], &[E], &[E]),
        magnitude: usize,
        factors: &Factors<E>,
        gradients: &mut Gradients,
    ) -> Result<()> {
        let rows = factors.factor.len();
        let columns = weight.len() / rows;
        let seen = low.dropped.as_deref().unwrap_or(x);
        let base = Segment { a: self.rows(seen, columns), b: Rows::new(weight, rows, columns).t() };
        let up = Segment { a: self.rows(h, low.rank), b: Rows::new(&low.b, rows, low.rank).t() };
        let mut z = self.pools.sums.take(dy.len());
        linear(&[base, up], Out::Wide { out: &mut z, accumulate: false });
        let mut sums = vec![E::Wide::default(); rows];
        for (z, dy) in z.chunks_exact(rows).zip(dy.chunks_exact(rows)) {
            for ((sum, z), dy) in sums.iter_mut().zip(z).zip(dy) {
                *sum += *z * dy.widen();
            }
        }
        self.pools.sums.give(z);
        sums.iter_mut().zip(&factors.inverse).for_each(|(sum, inverse)| *sum *= *inverse);
        self.learn(gradients, magnitude, sums)
    }
}

/// What the input's gradient is made from.
struct Part<'a, E: Element> {
    weight: Values<'a, E>,
    low: Option<Low<'a, E>>,
    /// `dz scale B`, `[tokens, rank]`.
    g: Vec<E>,
    /// The gradient of what DoRA scales.
    dz: Option<Vec<E>>,
    /// The step whose dropout stands before `A`.
    mask: Option<u64>,
}

impl<E: Element> Part<'_, E> {
    /// Whether the base saw an input with values left out (DoRA).
    fn base_dropped(&self) -> bool {
        self.dz.is_some() && self.mask.is_some()
    }
}
