//! Random weights: for pretraining from nothing, for benchmarks without a file, and for tests.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use lore_core::random::Random;

use super::net::{Net, Source};
use super::{Decoder, DecoderConfig, DecoderOptions, KvType};
use crate::weights::RawMatrix;

/// Weights from a normal distribution, norms 1, biases 0.
struct Drawn {
    numbers: Numbers,
    deviation: f32,
    kind: GgmlDType,
}

/// Random weights that are the same for the same seed.
pub(crate) struct Numbers(Random);

impl Numbers {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(Random::new(seed))
    }

    /// From 0 to below 1.
    pub fn uniform(&mut self) -> f64 {
        self.0.unit()
    }

    /// Two normal values (Box and Muller 1958).
    fn normal(&mut self, deviation: f32) -> [f32; 2] {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.uniform();
        [radius * angle.cos(), radius * angle.sin()].map(|v| v as f32 * deviation)
    }

    /// `count` normal values.
    pub fn normals(&mut self, count: usize, deviation: f32) -> Vec<f32> {
        let mut values = Vec::with_capacity(count + 1);
        while values.len() < count {
            values.extend(self.normal(deviation));
        }
        values.truncate(count);
        values
    }
}

impl Source for Drawn {
    type Error = candle_core::Error;

    fn matrix(&mut self, _: &str, rows: usize, columns: usize) -> candle_core::Result<RawMatrix> {
        let values = self.numbers.normals(rows * columns, self.deviation);
        if self.kind == GgmlDType::F32 {
            return Ok(RawMatrix::F32(values));
        }
        let tensor = Tensor::from_vec(values, (rows, columns), &Device::Cpu)?;
        let bytes = QTensor::quantize(&tensor, self.kind)?.data()?.into_owned();
        Ok(RawMatrix::Quantized { kind: self.kind, bytes })
    }

    fn vector(&mut self, name: &str, length: usize) -> candle_core::Result<Vec<f32>> {
        Ok(vec![if name.ends_with("bias") { 0.0 } else { 1.0 }; length])
    }
}

impl Decoder {
    /// A decoder of this shape with weights drawn from a normal distribution of standard deviation `deviation`, kept as
    /// `kind`; the same seed gives the same weights.
    ///
    /// # Errors
    /// When the shape does not suit the type's blocks.
    pub fn random(
        config: DecoderConfig,
        seed: u64,
        deviation: f32,
        kind: GgmlDType,
        options: &DecoderOptions,
    ) -> candle_core::Result<Self> {
        let net = Net::read(&config, &mut Drawn { numbers: Numbers::new(seed), deviation, kind })?;
        let kv = match options.kv {
            KvType::Auto if kind == GgmlDType::F32 => KvType::F32,
            KvType::Auto => KvType::F16,
            other => other,
        };
        let id = options.name.clone().unwrap_or_else(|| format!("random-{seed}"));
        Ok(Self { config, net, id, kv })
    }
}
