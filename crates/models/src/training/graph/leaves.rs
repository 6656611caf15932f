//! Where gradients end: the parameters that a graph was made with; and where they begin.

use std::cell::RefCell;
use std::collections::BTreeMap;

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, Var};

use crate::training::{Gradients, Parameter};

/// The type in which sums are taken and parameters kept, where activations are of type `kind`.
pub(super) fn wide(kind: DType) -> DType {
    if kind == DType::F64 { kind } else { DType::F32 }
}

/// The parameters of a graph.
#[derive(Debug)]
pub(super) struct Leaves<'a> {
    parameters: &'a [Parameter],
    kind: DType,
    tracked: bool,
    used: RefCell<BTreeMap<usize, Leaf>>,
}

/// A parameter, and the same in the type of the activations.
#[derive(Clone, Debug)]
struct Leaf {
    own: Tensor,
    narrow: Tensor,
}

impl<'a> Leaves<'a> {
    /// Over these parameters; gradients are found where `tracked`.
    pub fn new(parameters: &'a [Parameter], kind: DType, tracked: bool) -> Self {
        Self { parameters, kind, tracked, used: RefCell::default() }
    }

    /// A parameter in f32 or f64.
    pub fn wide(&self, parameter: usize) -> Result<Tensor> {
        Ok(self.leaf(parameter)?.own)
    }

    /// A parameter in the type of the activations.
    pub fn narrow(&self, parameter: usize) -> Result<Tensor> {
        Ok(self.leaf(parameter)?.narrow)
    }

    fn leaf(&self, parameter: usize) -> Result<Leaf> {
        if let Some(leaf) = self.used.borrow().get(&parameter) {
            return Ok(leaf.clone());
        }
        let value = &self.parameters[parameter].value;
        let own = match (self.tracked, wide(self.kind)) {
            (true, DType::F32) => value.as_tensor().clone(),
            (true, kind) => Var::from_tensor(&value.as_detached_tensor().to_dtype(kind)?)?.into_inner(),
            (false, kind) => value.as_detached_tensor().to_dtype(kind)?,
        };
        let leaf = Leaf { narrow: own.to_dtype(self.kind)?, own };
        self.used.borrow_mut().insert(parameter, leaf.clone());
        Ok(leaf)
    }

    /// Adds what a backward pass found.
    pub fn collect(&self, found: &mut GradStore, gradients: &mut Gradients) -> Result<()> {
        for (parameter, leaf) in self.used.borrow().iter() {
            if let Some(gradient) = found.remove(&leaf.own) {
                // Without the operations that it was made by, which would keep the graph.
                gradients.add(*parameter, gradient.detach())?;
            }
        }
        Ok(())
    }
}

/// The backward pass from `outputs`, whose gradients are given.
pub(super) fn backward<'a>(outputs: impl IntoIterator<Item = (&'a Tensor, Tensor)>) -> Result<GradStore> {
    let mut root: Option<Tensor> = None;
    for (output, gradient) in outputs {
        let beginning = output.apply_op1(Beginning(gradient.detach()))?;
        root = Some(match root {
            Some(root) => (root + beginning)?,
            None => beginning,
        });
    }
    match root {
        Some(root) => root.backward(),
        None => candle_core::bail!("a backward pass from no outputs"),
    }
}

/// A scalar whose gradient in its argument is given.
struct Beginning(Tensor);

impl CustomOp1 for Beginning {
    fn name(&self) -> &'static str {
        "gradient-beginning"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        nothing(storage)
    }

    fn cuda_fwd(&self, storage: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        nothing(storage)
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.0.clone()))
    }
}

fn nothing<S>(beside: &S) -> Result<(S, Shape)>
where
    S: BackendStorage,
    S::Device: BackendDevice<Storage = S>,
{
    let shape = Shape::from(());
    Ok((beside.device().zeros_impl(&shape, beside.dtype())?, shape))
}
