//! From a configuration to a net that can be trained.

use std::path::Path;

use candle_core::Device;
use lore_models::adapter::{Adapter, AdapterKind};
use lore_models::decoder::DecoderConfig;
use lore_models::training::{Method, TrainNet, TrainOptions, shape};

use crate::config::{DeviceKind, ModelSettings, TrainConfig};
use crate::error::TrainError;

impl DeviceKind {
    /// The device.
    ///
    /// # Errors
    /// When there is none, or this program was built without its support.
    fn open(self) -> Result<Device, TrainError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(index) => Device::new_cuda(index).map_err(|error| {
                TrainError::Setup(format!(
                    "device cuda:{index} cannot be used: {error}; set device: cpu, or build with the feature `cuda`"
                ))
            }),
        }
    }
}

impl TrainConfig {
    /// Where the training goes on with an adapter (`adapter_name_or_path`), what is trained is what that adapter has: its
    /// rank, targets and modules, whatever the configuration says of them. Says so where they differ.
    ///
    /// # Errors
    /// When the adapter cannot be read.
    pub fn take_adapter(&mut self) -> Result<Option<String>, TrainError> {
        let ModelSettings::Files { adapter: Some(folder), .. } = &self.model else { return Ok(None) };
        let adapter = Adapter::open(folder)?;
        let own = match (adapter.kind(), &self.method) {
            (AdapterKind::Bottleneck(own), _) => Method::Bottleneck(own.clone()),
            (AdapterKind::Lora(_), method) => {
                let Some(mut own) = adapter.lora_options() else { return Ok(None) };
                if let Method::Lora(wanted) = method {
                    own.dropout = wanted.dropout;
                }
                Method::Lora(own)
            }
        };
        let note = format!("the adapter in {} says what is trained of the model", folder.display());
        let differs = own != self.method;
        self.method = own;
        Ok(differs.then_some(note))
    }

    /// How the net is made ready.
    ///
    /// # Errors
    /// When there is no such device, or this program was built without its support.
    pub fn options(&self) -> Result<TrainOptions, TrainError> {
        Ok(TrainOptions {
            method: self.method.clone(),
            precision: self.precision,
            quantization: self.quantization,
            quantization_cache: self.quantization_cache.clone(),
            gradient_checkpointing: self.gradient_checkpointing,
            seed: self.seed,
            device: self.device.open()?,
        })
    }

    /// The net over the model's files at `path`, with the values of the adapter that it goes on with.
    ///
    /// # Errors
    /// When the files cannot be read or do not suit what is to be trained, and as [`TrainConfig::options`].
    pub fn open_net(&self, path: &Path) -> Result<TrainNet, TrainError> {
        let options = self.options()?;
        match &self.model {
            ModelSettings::Random { deviation, .. } => {
                Ok(TrainNet::random(shape(path)?, *deviation, options)?)
            }
            ModelSettings::Files { adapter, .. } => {
                let mut net = TrainNet::open(path, options)?;
                if let Some(adapter) = adapter {
                    net.load_adapter(adapter)?;
                }
                Ok(net)
            }
        }
    }
}

/// The shape of the model's files at `path`; of a model with random weights only `config.json` need be there.
///
/// # Errors
/// When it cannot be read, or its family is not implemented.
pub fn model_shape(path: &Path) -> Result<DecoderConfig, TrainError> {
    Ok(shape(path)?)
}
