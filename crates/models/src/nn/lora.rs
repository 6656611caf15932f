//! Low-rank adaptation (Hu et al. 2021): `W x + scale B A x`.

use candle_core::{D, Result, Tensor};

use super::Linear;

/// A frozen layer with a low-rank difference that can be trained.
#[derive(Debug)]
pub struct Lora {
    base: Box<Linear>,
    delta: LoraDelta,
    /// DoRA's factors of the outputs, `[outputs]`, and the bias that they leave alone.
    weighed: Option<(Tensor, Option<Tensor>)>,
}

impl Lora {
    /// A difference over a layer.
    ///
    /// # Errors
    /// When the difference is for a layer of another shape.
    pub fn new(base: Linear, delta: LoraDelta) -> Result<Self> {
        if (base.outputs(), base.inputs()) != (delta.outputs(), delta.inputs()) {
            let (of, over) = (base.outputs(), base.inputs());
            candle_core::bail!(
                "a low-rank difference of {delta:?} does not fit a layer of {of} outputs over {over}"
            );
        }
        Ok(Self { base: Box::new(base), delta, weighed: None })
    }

    /// A difference with a factor for each output (DoRA's magnitude over the norm of the sum's row): `f (W x + scale B A x)
    /// + b`. The base has no bias of its own.
    ///
    /// # Errors
    /// As [`Lora::new`].
    pub fn weighed(base: Linear, delta: LoraDelta, factors: Tensor, bias: Option<Tensor>) -> Result<Self> {
        if factors.dims() != [delta.outputs()] {
            candle_core::bail!("factors of {:?} for {} outputs", factors.shape(), delta.outputs());
        }
        Ok(Self { weighed: Some((factors, bias)), ..Self::new(base, delta)? })
    }

    /// `W x + b + scale B A x` for `[.., inputs]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = (self.base.forward(x)? + self.delta.forward(x)?)?;
        match &self.weighed {
            None => Ok(y),
            Some((factors, None)) => y.broadcast_mul(factors),
            Some((factors, Some(bias))) => y.broadcast_mul(factors)?.broadcast_add(bias),
        }
    }

    /// The layer without the difference.
    pub fn base(&self) -> &Linear {
        &self.base
    }

    /// The difference.
    pub fn delta(&self) -> &LoraDelta {
        &self.delta
    }
}

/// The difference alone: `scale B A x`, in candle's differentiable operations.
#[derive(Clone)]
pub struct LoraDelta {
    a: Tensor,
    b: Tensor,
    scale: f64,
}

impl std::fmt::Debug for LoraDelta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (outputs, inputs, rank) = (self.outputs(), self.inputs(), self.rank());
        write!(f, "LoraDelta({outputs} outputs over {inputs}, rank {rank}, scale {})", self.scale)
    }
}

/// What `B A x` is multiplied by: `alpha / rank`, or `alpha / sqrt(rank)` when rank-stabilised (Kalajdzievski 2023).
pub fn lora_scale(alpha: f64, rank: usize, rank_stabilised: bool) -> f64 {
    let rank = rank.max(1) as f64;
    if rank_stabilised { alpha / rank.sqrt() } else { alpha / rank }
}

impl LoraDelta {
    /// From `A` `[rank, inputs]` and `B` `[outputs, rank]` (PEFT's `lora_A.weight` and `lora_B.weight`).
    ///
    /// # Errors
    /// When they are no matrices of one rank.
    pub fn new(a: Tensor, b: Tensor, alpha: f64, rank_stabilised: bool) -> Result<Self> {
        let rank = a.dims2()?.0;
        Self::scaled(a, b, lora_scale(alpha, rank, rank_stabilised))
    }

    /// As [`LoraDelta::new`], multiplied by `scale`.
    ///
    /// # Errors
    /// As [`LoraDelta::new`].
    pub fn scaled(a: Tensor, b: Tensor, scale: f64) -> Result<Self> {
        let (rank, _) = a.dims2()?;
        let (_, other) = b.dims2()?;
        if rank != other || rank == 0 {
            candle_core::bail!("A of {:?} and B of {:?} have no rank in common", a.shape(), b.shape());
        }
        Ok(Self { a, b, scale })
    }

    /// `scale B A x` for `[.., inputs]`, in the type of `x`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let inputs = x.dim(D::Minus1)?;
        let mut shape = x.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = self.outputs();
        }
        let low = x.to_dtype(self.a.dtype())?.reshape(((), inputs))?.matmul(&self.a.t()?)?;
        // The scale goes onto the smaller of the two products.
        let high = (low * self.scale)?.matmul(&self.b.t()?)?;
        high.reshape(shape)?.to_dtype(x.dtype())
    }

    /// `scale B A`, `[outputs, inputs]`: what merging adds to the weight.
    ///
    /// # Errors
    /// When the product fails.
    pub fn weight(&self) -> Result<Tensor> {
        self.b.matmul(&self.a)? * self.scale
    }

    /// `A`, `[rank, inputs]`.
    pub fn a(&self) -> &Tensor {
        &self.a
    }

    /// `B`, `[outputs, rank]`.
    pub fn b(&self) -> &Tensor {
        &self.b
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.b.dims()[0]
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.a.dims()[1]
    }

    /// Rows of `A`.
    pub fn rank(&self) -> usize {
        self.a.dims()[0]
    }

    /// What the product is multiplied by.
    pub fn scale(&self) -> f64 {
        self.scale
    }
}
