//! From a model's files, or from nothing, to [`Modules`] and [`Parameter`]s.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor, Var};
use half::{bf16, f16};
use sha2::{Digest, Sha256};

use super::cache::QuantisedBase;
use super::modules::{
    Bottleneck, FrozenMatrix, LayerModules, LoraParts, Matrix, Modules, Parameter, ParameterKind, Projection,
    Vector,
};
use super::{LoraOptions, Method, Precision, TrainOptions};
use crate::decoder::DecoderConfig;
use crate::decoder::random::Numbers;
use crate::error::ModelsError;
use crate::nn::lora::lora_scale;
use crate::weights::{DecoderWeights, RawMatrix};

type Built = (DecoderConfig, Modules, Vec<Parameter>);

/// The shape of the model at `path`: a Hugging Face folder, a GGUF file, or a folder with nothing but `config.json`.
///
/// # Errors
/// When there is none, or its family is not implemented.
pub fn shape(path: &Path) -> Result<DecoderConfig, ModelsError> {
    match DecoderWeights::open(path) {
        // Without weights nothing says whether the output layer is the embedding, if the file does not; then it is not.
        Err(ModelsError::Missing { .. }) if path.join("config.json").is_file() => {
            crate::decoder::from_folder(path, true)
        }
        weights => weights?.config(),
    }
}

/// The parts of the model at `path`.
pub(super) fn from_files(path: &Path, options: &TrainOptions) -> Result<Built, ModelsError> {
    let weights = DecoderWeights::open(path)?;
    let config = weights.config()?;
    let mut builder = Builder::new(&config, path, options);
    if let (Some(quantization), Some(folder)) = (options.quantization, &options.quantization_cache) {
        builder.check()?;
        builder.cache = QuantisedBase::open_or_make(folder, &weights, &config, quantization)?;
    }
    let (modules, parameters) = builder.build(&Values::Files(&weights))?;
    Ok((config, modules, parameters))
}

/// The parts of a net with random weights.
pub(super) fn random(
    config: &DecoderConfig,
    deviation: f32,
    options: &TrainOptions,
) -> Result<(Modules, Vec<Parameter>), ModelsError> {
    let values = Values::Random { seed: options.seed, deviation };
    Builder::new(config, Path::new("a random model"), options).build(&values)
}

/// Where the values come from.
enum Values<'a> {
    Files(&'a DecoderWeights),
    Random { seed: u64, deviation: f32 },
}

impl Values<'_> {
    fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<RawMatrix, ModelsError> {
        match self {
            Self::Files(weights) => weights.matrix(name, rows, columns),
            Self::Random { seed, deviation } => {
                Ok(RawMatrix::F32(numbers(*seed, name).normals(rows * columns, *deviation)))
            }
        }
    }

    fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, ModelsError> {
        match self {
            Self::Files(weights) => weights.vector(name, length),
            Self::Random { .. } => Ok(vec![if name.ends_with("bias") { 0.0 } else { 1.0 }; length]),
        }
    }
}

/// Numbers of a name's own, so that what one parameter starts from depends on no other.
fn numbers(seed: u64, name: &str) -> Numbers {
    let hash = Sha256::digest(name.as_bytes());
    let mut own = [0; 8];
    own.copy_from_slice(&hash[..8]);
    Numbers::new(seed ^ u64::from_le_bytes(own))
}

struct Builder<'a> {
    config: &'a DecoderConfig,
    path: PathBuf,
    options: &'a TrainOptions,
    parameters: Vec<Parameter>,
    streams: u64,
    /// The layers' linears, quantised on disk.
    cache: Option<QuantisedBase>,
}

impl<'a> Builder<'a> {
    fn new(config: &'a DecoderConfig, path: &Path, options: &'a TrainOptions) -> Self {
        Self { config, path: path.to_owned(), options, parameters: Vec::new(), streams: 0, cache: None }
    }

    fn build(mut self, values: &Values<'_>) -> Result<(Modules, Vec<Parameter>), ModelsError> {
        let DecoderConfig { vocabulary, hidden, .. } = *self.config;
        self.check()?;
        let embedding = self.matrix(values, "model.embed_tokens", vocabulary, hidden, None)?;
        let mut layers = Vec::with_capacity(self.config.layers());
        for layer in 0..self.config.layers() {
            layers.push(self.layer(values, layer)?);
        }
        let norm = self.vector(values, "model.norm.weight", hidden, None)?;
        let output = match self.config.tied {
            true => None,
            false => Some(Projection {
                name: "lm_head".into(),
                rows: vocabulary,
                columns: hidden,
                weight: self.matrix(values, "lm_head", vocabulary, hidden, None)?,
                bias: None,
                lora: None,
            }),
        };
        if self.parameters.is_empty() {
            return Err(ModelsError::unsupported(&self.path, "a training in which nothing is trained"));
        }
        Ok((Modules { embedding, layers, norm, output }, self.parameters))
    }

    fn check(&self) -> Result<(), ModelsError> {
        self.options.method.check_names(self.config)?;
        let fail = |what: &str| Err(ModelsError::unsupported(&self.path, what));
        match &self.options.method {
            Method::Lora(lora) if lora.rank == 0 => fail("a low-rank difference of rank 0 (set lora_rank)"),
            Method::Lora(lora) if !(0.0..1.0).contains(&lora.dropout) => {
                fail("a dropout outside 0 to below 1 (set lora_dropout)")
            }
            Method::Bottleneck(bottleneck) if bottleneck.size == 0 => fail("a bottleneck of size 0"),
            Method::Full | Method::Freeze(_) if self.options.quantization.is_some() => {
                fail("training of quantised weights themselves (use finetuning_type: lora)")
            }
            _ => Ok(()),
        }
    }

    fn layer(&mut self, values: &Values<'_>, layer: usize) -> Result<LayerModules, ModelsError> {
        let DecoderConfig { hidden, head_dim, qk_norm, .. } = *self.config;
        let [q, k, v, o, gate, up, down] = self.config.linears(layer);
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let at = Some(layer);
        let attention_norm = self.vector(values, &name("input_layernorm.weight"), hidden, at)?;
        let q = self.projection(values, q, layer)?;
        let k = self.projection(values, k, layer)?;
        let v = self.projection(values, v, layer)?;
        let o = self.projection(values, o, layer)?;
        let qk_norms = if qk_norm {
            let q = self.vector(values, &name("self_attn.q_norm.weight"), head_dim, at)?;
            Some((q, self.vector(values, &name("self_attn.k_norm.weight"), head_dim, at)?))
        } else {
            None
        };
        let attention_adapter = self.bottleneck(&name("self_attn.adapter"))?;
        let mlp_norm = self.vector(values, &name("post_attention_layernorm.weight"), hidden, at)?;
        let gate = self.projection(values, gate, layer)?;
        let up = self.projection(values, up, layer)?;
        let down = self.projection(values, down, layer)?;
        let mlp_adapter = self.bottleneck(&name("mlp.adapter"))?;
        Ok(LayerModules {
            attention_norm,
            q,
            k,
            v,
            o,
            qk_norms,
            attention_adapter,
            mlp_norm,
            gate,
            up,
            down,
            mlp_adapter,
        })
    }

    fn projection(
        &mut self,
        values: &Values<'_>,
        (name, rows, columns, bias): (String, usize, usize, bool),
        layer: usize,
    ) -> Result<Projection, ModelsError> {
        let weight = self.matrix(values, &name, rows, columns, Some(layer))?;
        let bias = match bias {
            true => Some(self.vector(values, &format!("{name}.bias"), rows, Some(layer))?),
            false => None,
        };
        let lora = match &self.options.method {
            // What is trained whole has no difference, as in PEFT.
            Method::Lora(options)
                if options.targets.contain(&name) && !matches!(weight, Matrix::Trained(_)) =>
            {
                Some(self.lora(&name, &weight, rows, columns, options)?)
            }
            _ => None,
        };
        Ok(Projection { name, rows, columns, weight, bias, lora })
    }

    fn lora(
        &mut self,
        name: &str,
        weight: &Matrix,
        rows: usize,
        columns: usize,
        options: &LoraOptions,
    ) -> Result<LoraParts, ModelsError> {
        let rank = options.rank;
        let (a_name, b_name) = (format!("{name}.lora_A.weight"), format!("{name}.lora_B.weight"));
        // Kaiming's uniform with a = sqrt(5), as PEFT begins: within 1 / sqrt(inputs). B is zero, so that nothing changes
        // at first.
        let bound = 1.0 / (columns as f64).sqrt();
        let mut numbers = numbers(self.options.seed, &a_name);
        let a = (0..rank * columns).map(|_| ((2.0 * numbers.uniform() - 1.0) * bound) as f32).collect();
        let a = self.add(a_name, ParameterKind::LoraA, a, &[rank, columns])?;
        let b = self.add(b_name, ParameterKind::LoraB, vec![0.0; rows * rank], &[rows, rank])?;
        let magnitude = match (options.dora, weight) {
            (false, _) => None,
            (true, Matrix::Trained(_)) => {
                let what = format!("`{name}` both trained whole and with a low-rank difference");
                return Err(ModelsError::unsupported(&self.path, what));
            }
            (true, Matrix::Frozen(weight)) => {
                let mut row = vec![0f32; columns];
                let norms = (0..rows)
                    .map(|index| {
                        weight.copy(index * columns, &mut row);
                        row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt() as f32
                    })
                    .collect();
                let name = format!("{name}.lora_magnitude_vector");
                Some(self.add(name, ParameterKind::Magnitude, norms, &[rows])?)
            }
        };
        self.streams += 1;
        let scale = lora_scale(options.alpha, rank, options.rank_stabilised);
        Ok(LoraParts { a, b, magnitude, scale, dropout: options.dropout, stream: self.streams })
    }

    fn bottleneck(&mut self, name: &str) -> Result<Option<Bottleneck>, ModelsError> {
        let Method::Bottleneck(options) = &self.options.method else { return Ok(None) };
        let (size, hidden) = (options.size, self.config.hidden);
        let down_name = format!("{name}.down.weight");
        // Small values down and zeros up: at first the adapter is the identity.
        let down = numbers(self.options.seed, &down_name).normals(size * hidden, 0.02);
        let kind = ParameterKind::Bottleneck;
        Ok(Some(Bottleneck {
            down: self.add(down_name, kind, down, &[size, hidden])?,
            down_bias: self.add(
                format!("{name}.down.bias"),
                ParameterKind::Bias,
                vec![0.0; size],
                &[size],
            )?,
            up: self.add(format!("{name}.up.weight"), kind, vec![0.0; size * hidden], &[hidden, size])?,
            up_bias: self.add(
                format!("{name}.up.bias"),
                ParameterKind::Bias,
                vec![0.0; hidden],
                &[hidden],
            )?,
            activation: options.activation,
        }))
    }

    /// Whether the tensor of this name is trained itself.
    fn trained(&self, name: &str, layer: Option<usize>) -> bool {
        self.options.method.trains(name, layer, self.config.layers())
    }

    fn matrix(
        &mut self,
        values: &Values<'_>,
        name: &str,
        rows: usize,
        columns: usize,
        layer: Option<usize>,
    ) -> Result<Matrix, ModelsError> {
        let tensor = format!("{name}.weight");
        if self.trained(&tensor, layer) {
            let kind = match name {
                "model.embed_tokens" => ParameterKind::Embedding,
                _ => ParameterKind::Weight,
            };
            let values = values.matrix(&tensor, rows, columns)?.into_f32(rows, columns)?;
            return Ok(Matrix::Trained(self.add(tensor, kind, values, &[rows, columns])?));
        }
        if let (Some(cache), Some(_)) = (&self.cache, layer) {
            return Ok(Matrix::Frozen(cache.matrix(&tensor, rows, columns)?));
        }
        let raw = values.matrix(&tensor, rows, columns)?;
        let quantization = self.options.quantization.filter(|own| own.covers(layer.is_some()));
        Ok(Matrix::Frozen(match quantization {
            Some(quantization) => {
                FrozenMatrix::quantised(&raw.into_f32(rows, columns)?, rows, columns, quantization)?
            }
            None => {
                let values = in_precision(raw, self.options.precision, rows, columns)?;
                FrozenMatrix::Dense { columns, values }
            }
        }))
    }

    fn vector(
        &mut self,
        values: &Values<'_>,
        name: &str,
        length: usize,
        layer: Option<usize>,
    ) -> Result<Vector, ModelsError> {
        let own = values.vector(name, length)?;
        if !self.trained(name, layer) {
            return Ok(Vector::Frozen(own));
        }
        let kind = if name.ends_with("bias") { ParameterKind::Bias } else { ParameterKind::Norm };
        Ok(Vector::Trained(self.add(name.to_owned(), kind, own, &[length])?))
    }

    fn add(
        &mut self,
        name: String,
        kind: ParameterKind,
        values: Vec<f32>,
        shape: &[usize],
    ) -> Result<usize, ModelsError> {
        let value = Tensor::from_vec(values, shape, &Device::Cpu)?.to_device(&self.options.device)?;
        let value = Var::from_tensor(&value)?;
        self.parameters.push(Parameter { name, kind, value });
        Ok(self.parameters.len() - 1)
    }
}

fn in_precision(
    raw: RawMatrix,
    precision: Precision,
    rows: usize,
    columns: usize,
) -> candle_core::Result<RawMatrix> {
    Ok(match (precision, raw) {
        (Precision::Bf16, raw @ RawMatrix::Bf16(_)) | (Precision::Fp16, raw @ RawMatrix::F16(_)) => raw,
        (Precision::Fp32, raw) => RawMatrix::F32(raw.into_f32(rows, columns)?),
        (Precision::Bf16, raw) => {
            RawMatrix::Bf16(raw.into_f32(rows, columns)?.into_iter().map(bf16::from_f32).collect())
        }
        (Precision::Fp16, raw) => {
            RawMatrix::F16(raw.into_f32(rows, columns)?.into_iter().map(f16::from_f32).collect())
        }
    })
}
