//! A model folder's tensors as candle-transformers' nets ask for them, in 32 bits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Error, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

use crate::error::ModelsError;
use crate::weights::DecoderWeights;

/// Where a net's tensors come from, and what went wrong with one.
pub(super) struct Tensors {
    weights: DecoderWeights,
    bytes: AtomicUsize,
    fault: Mutex<Option<ModelsError>>,
}

impl Tensors {
    pub fn new(weights: DecoderWeights) -> Arc<Self> {
        Arc::new(Self { weights, bytes: AtomicUsize::new(0), fault: Mutex::new(None) })
    }

    /// For a net's constructor.
    pub fn builder(self: &Arc<Self>) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(Backend(self.clone())), DType::F32, Device::Cpu)
    }

    /// Bytes handed out.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Why a tensor could not be had, else `error`.
    pub fn fault(&self, error: Error) -> ModelsError {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        fault.take().unwrap_or(ModelsError::Operation(error))
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelsError> {
        let DecoderWeights::Folder(weights) = &self.weights else {
            return Err(ModelsError::tensor(
                self.weights.path(),
                name,
                "only folders have tensors of this family",
            ));
        };
        weights.read(name, shape)
    }
}

struct Backend(Arc<Tensors>);

impl SimpleBackend for Backend {
    fn get(&self, shape: Shape, name: &str, _: Init, _: DType, device: &Device) -> Result<Tensor, Error> {
        let values = self.0.read(name, shape.dims()).map_err(|fault| {
            let error = Error::msg(&fault);
            *self.0.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
            error
        })?;
        self.0.bytes.fetch_add(size_of_val(values.as_slice()), Ordering::Relaxed);
        Tensor::from_vec(values, shape, device)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor, Error> {
        Err(Error::msg(format!("the shape of {name} is not known")))
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.weights.contains(name)
    }
}
