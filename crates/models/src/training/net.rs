//! A decoder in training, whichever back end computes it.

use std::path::Path;

use candle_core::Tensor;

use super::cpu::CpuNet;
use super::graph::GraphNet;
use super::modules::{Modules, Parameter};
use super::{Batch, BatchLoss, Gradients, TrainOptions, build};
use crate::adapter::{Adapter, load_into};
use crate::decoder::DecoderConfig;
use crate::error::ModelsError;

/// A decoder whose parameters can be changed.
#[derive(Debug)]
pub struct TrainNet {
    config: DecoderConfig,
    modules: Modules,
    parameters: Vec<Parameter>,
    options: TrainOptions,
    back_end: BackEnd,
}

#[derive(Debug)]
enum BackEnd {
    Cpu(CpuNet),
    Graph(GraphNet),
}

/// What a back end computes with; the parts of a [`TrainNet`] that both share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub config: &'a DecoderConfig,
    pub modules: &'a Modules,
    pub parameters: &'a [Parameter],
    pub options: &'a TrainOptions,
}

impl TrainNet {
    /// Makes the model at `path` (a Hugging Face folder or a GGUF file) ready for training.
    ///
    /// # Errors
    /// When it cannot be read, its family is not implemented, a module is named that it does not have, or nothing of it
    /// would be trained.
    pub fn open(path: &Path, options: TrainOptions) -> Result<Self, ModelsError> {
        let (config, modules, parameters) = build::from_files(path, &options)?;
        Ok(Self::over(config, modules, parameters, options))
    }

    /// A net of this shape with random weights: normal with a standard deviation of `deviation`, norms 1, biases 0.
    ///
    /// # Errors
    /// As [`TrainNet::open`].
    pub fn random(config: DecoderConfig, deviation: f32, options: TrainOptions) -> Result<Self, ModelsError> {
        let (modules, parameters) = build::random(&config, deviation, &options)?;
        Ok(Self::over(config, modules, parameters, options))
    }

    fn over(
        config: DecoderConfig,
        modules: Modules,
        parameters: Vec<Parameter>,
        options: TrainOptions,
    ) -> Self {
        let back_end = if options.device.is_cpu() {
            BackEnd::Cpu(CpuNet::new(options.precision.dtype()))
        } else {
            BackEnd::Graph(GraphNet::new(options.precision.dtype()))
        };
        Self { config, modules, parameters, options, back_end }
    }

    /// Puts the values of an adapter (PEFT's format, or ours of bottlenecks) into the parameters, to go on training. A
    /// low-rank difference takes the adapter's rank, also where that is another one; call this before anything else
    /// holds the parameters.
    ///
    /// # Errors
    /// When the adapter cannot be read, is of another kind than what is trained, or has other modules;
    /// [`Adapter::lora_options`](crate::adapter::Adapter::lora_options) gives the options that fit.
    pub fn load_adapter(&mut self, folder: &Path) -> Result<(), ModelsError> {
        let adapter = Adapter::open(folder)?;
        load_into(&adapter, &self.config, &self.options, &mut self.modules, &mut self.parameters)
    }

    /// The same net on the plain reference in this type, f64 included.
    #[must_use]
    pub fn on_graph(mut self, kind: candle_core::DType) -> Self {
        self.back_end = BackEnd::Graph(GraphNet::new(kind));
        self
    }

    /// The same net on the CPU's kernels in this type, f64 included.
    #[must_use]
    pub fn on_cpu(mut self, kind: candle_core::DType) -> Self {
        self.back_end = BackEnd::Cpu(CpuNet::new(kind));
        self
    }

    /// Shape and options.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// How it was made ready.
    pub fn options(&self) -> &TrainOptions {
        &self.options
    }

    /// Its parts.
    pub fn modules(&self) -> &Modules {
        &self.modules
    }

    /// What is trained.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Values that are trained.
    pub fn trained_values(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.value.elem_count()).sum()
    }

    /// Values in all, those of adapters included.
    pub fn values(&self) -> usize {
        self.modules.frozen_values() + self.trained_values()
    }

    /// Adds the gradient of `scale` times the batch's summed loss to `gradients`; `step` tells the dropout of one call from
    /// that of another.
    ///
    /// # Errors
    /// When the batch does not suit the net, or an operation fails.
    pub fn forward_backward(
        &self,
        batch: &Batch,
        scale: f64,
        step: u64,
        gradients: &mut Gradients,
    ) -> candle_core::Result<BatchLoss> {
        batch.check(self.config.vocabulary)?;
        if batch.labels() == 0 {
            return Ok(BatchLoss::default());
        }
        match &self.back_end {
            BackEnd::Cpu(net) => net.forward_backward(self.view(), batch, scale, step, gradients),
            BackEnd::Graph(net) => net.forward_backward(self.view(), batch, scale, step, gradients),
        }
    }

    /// The batch's loss without gradients or dropout.
    ///
    /// # Errors
    /// As [`TrainNet::forward_backward`].
    pub fn loss(&self, batch: &Batch) -> candle_core::Result<BatchLoss> {
        batch.check(self.config.vocabulary)?;
        if batch.labels() == 0 {
            return Ok(BatchLoss::default());
        }
        match &self.back_end {
            BackEnd::Cpu(net) => net.loss(self.view(), batch),
            BackEnd::Graph(net) => net.loss(self.view(), batch),
        }
    }

    /// The logits `[tokens, vocabulary]` of a batch, without dropout, f32 (f64 where that is the reference's type).
    ///
    /// # Errors
    /// As [`TrainNet::forward_backward`].
    pub fn logits(&self, batch: &Batch) -> candle_core::Result<Tensor> {
        batch.check(self.config.vocabulary)?;
        match &self.back_end {
            BackEnd::Cpu(net) => net.logits(self.view(), batch),
            BackEnd::Graph(net) => net.logits(self.view(), batch),
        }
    }

    fn view(&self) -> View<'_> {
        let Self { config, modules, parameters, options, .. } = self;
        View { config, modules, parameters, options }
    }
}
