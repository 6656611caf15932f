//! A decoder's parts with everything constant on the device.

use candle_core::{DType, Device, Result, Tensor};

use super::frozen::Frozen;
use super::leaves::wide;
use crate::training::{Bottleneck, LayerModules, LoraParts, Matrix, Modules, Projection, Vector};

/// As [`Modules`].
#[derive(Debug)]
pub(super) struct Parts {
    pub embedding: MatrixPart,
    pub layers: Vec<LayerParts>,
    pub norm: VectorPart,
    pub output: Option<LinearPart>,
}

/// As [`LayerModules`].
#[derive(Debug)]
pub(super) struct LayerParts {
    pub attention_norm: VectorPart,
    pub q: LinearPart,
    pub k: LinearPart,
    pub v: LinearPart,
    pub o: LinearPart,
    pub qk_norms: Option<(VectorPart, VectorPart)>,
    pub attention_adapter: Option<Bottleneck>,
    pub mlp_norm: VectorPart,
    pub gate: LinearPart,
    pub up: LinearPart,
    pub down: LinearPart,
    pub mlp_adapter: Option<Bottleneck>,
}

/// As [`Projection`].
#[derive(Debug)]
pub(super) struct LinearPart {
    pub weight: MatrixPart,
    pub bias: Option<VectorPart>,
    pub lora: Option<LoraParts>,
}

/// As [`Matrix`].
#[derive(Debug)]
pub(super) enum MatrixPart {
    Frozen(Frozen),
    Trained(usize),
}

/// As [`Vector`], in f32 or f64.
#[derive(Debug)]
pub(super) enum VectorPart {
    Frozen(Tensor),
    Trained(usize),
}

/// Where and in which type they are put.
struct Place<'a> {
    kind: DType,
    device: &'a Device,
}

impl Parts {
    /// Takes what is constant to the device.
    pub fn new(modules: &Modules, kind: DType, device: &Device) -> Result<Self> {
        let place = Place { kind, device };
        let mut layers = Vec::with_capacity(modules.layers.len());
        for layer in &modules.layers {
            layers.push(place.layer(layer)?);
        }
        Ok(Self {
            embedding: place.matrix(&modules.embedding)?,
            layers,
            norm: place.vector(&modules.norm)?,
            output: modules.output.as_ref().map(|output| place.linear(output)).transpose()?,
        })
    }
}

impl Place<'_> {
    fn layer(&self, layer: &LayerModules) -> Result<LayerParts> {
        let qk_norms = match &layer.qk_norms {
            Some((q, k)) => Some((self.vector(q)?, self.vector(k)?)),
            None => None,
        };
        Ok(LayerParts {
            attention_norm: self.vector(&layer.attention_norm)?,
            q: self.linear(&layer.q)?,
            k: self.linear(&layer.k)?,
            v: self.linear(&layer.v)?,
            o: self.linear(&layer.o)?,
            qk_norms,
            attention_adapter: layer.attention_adapter.clone(),
            mlp_norm: self.vector(&layer.mlp_norm)?,
            gate: self.linear(&layer.gate)?,
            up: self.linear(&layer.up)?,
            down: self.linear(&layer.down)?,
            mlp_adapter: layer.mlp_adapter.clone(),
        })
    }

    fn linear(&self, projection: &Projection) -> Result<LinearPart> {
        Ok(LinearPart {
            weight: self.matrix(&projection.weight)?,
            bias: projection.bias.as_ref().map(|bias| self.vector(bias)).transpose()?,
            lora: projection.lora.clone(),
        })
    }

    fn matrix(&self, matrix: &Matrix) -> Result<MatrixPart> {
        Ok(match matrix {
            Matrix::Frozen(frozen) => MatrixPart::Frozen(Frozen::new(frozen, self.kind, self.device)?),
            Matrix::Trained(parameter) => MatrixPart::Trained(*parameter),
        })
    }

    fn vector(&self, vector: &Vector) -> Result<VectorPart> {
        Ok(match vector {
            Vector::Frozen(values) => {
                let values = Tensor::from_slice(values, values.len(), self.device)?;
                VectorPart::Frozen(values.to_dtype(wide(self.kind))?)
            }
            Vector::Trained(parameter) => VectorPart::Trained(*parameter),
        })
    }
}
