//! Training decoders: what is trained, in which precision, over which base; a batch's loss and its gradients.
//!
//! [`TrainNet`] is a decoder whose [`Parameter`]s can be changed. [`TrainNet::forward_backward`] adds a batch's gradients
//! to [`Gradients`]; what is done with them (clipping, AdamW, schedules) is the trainer's. Two back ends compute the same:
//!
//! - [`graph`]: candle's differentiable operations. It runs on any device and in any precision, and is the plain
//!   reference of the other.
//! - [`cpu`]: our own forward and backward passes, layer by layer, over kernels that keep what the backward pass needs and
//!   nothing else.
//!
//! Sequences lie one after the other without padding, and do not see each other.

mod batch;
mod build;
mod cache;
mod dropout;
mod gradients;
mod modules;
mod named;
mod net;
mod options;

pub mod cpu;
pub mod graph;

pub use batch::{Batch, BatchLoss, IGNORED};
pub use build::shape;
pub use gradients::Gradients;
pub use modules::{
    Bottleneck, FrozenMatrix, LayerModules, LoraParts, Matrix, Modules, Parameter, ParameterKind, Projection,
    Vector,
};
pub use net::TrainNet;
pub(crate) use options::ends;
pub use options::{
    BottleneckActivation, BottleneckOptions, FreezeOptions, Layers, LoraOptions, Method, Precision,
    Quantization, Targets, TrainOptions,
};
