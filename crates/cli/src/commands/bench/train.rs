//! `lore bench train`: training steps of a model with random weights on random tokens.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use lore_core::random::Random;
use lore_models::decoder::{DecoderConfig, Rope, RopeScaling};
use lore_models::training::{
    Batch, BottleneckActivation, BottleneckOptions, FreezeOptions, Gradients, Layers, LoraOptions, Method,
    Precision, Quantization, TrainNet, TrainOptions,
};
use lore_query::eval::metrics::percentile;
use lore_train::optim::{AdamW, OptimSettings, clipping};
use serde_json::json;

use super::peak_rss_mb;
use crate::settings::Settings;
use crate::{open, print};

/// Training: how fast steps are and how much memory they take, with random weights on random tokens
#[derive(Debug, Args)]
pub struct Train {
    /// Shape of the model
    #[arg(long, value_enum, default_value_t = Shape::Smollm2_135m)]
    shape: Shape,
    /// What is trained
    #[arg(long, value_enum, default_value_t = Kind::Lora)]
    method: Kind,
    /// Rank of low-rank differences, size of bottlenecks
    #[arg(long, default_value_t = 16)]
    rank: usize,
    /// Sequences of a step
    #[arg(long, default_value_t = 4)]
    batch: usize,
    /// Tokens of a sequence, all of them learned
    #[arg(long, default_value_t = 512)]
    length: usize,
    /// Examples as questions over passages have them instead: 400 to 1,200 tokens that are not learned, then 20 to 80 that
    /// are
    #[arg(long)]
    rag: bool,
    /// Steps that are measured, after one that is not
    #[arg(long, default_value_t = 3)]
    steps: usize,
    /// Type of activations and frozen weights
    #[arg(long, value_enum, default_value_t = PrecisionArg::Bf16)]
    precision: PrecisionArg,
    /// Type of frozen linears, where it has fewer bits
    #[arg(long, value_enum)]
    quantization: Option<QuantizationArg>,
    /// Compute most activations again instead of keeping them
    #[arg(long)]
    gradient_checkpointing: bool,
    /// Directions and magnitudes apart (DoRA)
    #[arg(long)]
    dora: bool,
}

/// A shape that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shape {
    #[value(name = "smollm2-135m")]
    Smollm2_135m,
    #[value(name = "smollm2-360m")]
    Smollm2_360m,
    #[value(name = "qwen2.5-0.5b")]
    Qwen25_05b,
    #[value(name = "qwen3-0.6b")]
    Qwen3_06b,
    /// 0.5 million values, to try the command
    #[value(name = "tiny")]
    Tiny,
}

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Full,
    Freeze,
    Lora,
    Adapter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PrecisionArg {
    Fp32,
    Bf16,
    Fp16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum QuantizationArg {
    Nf4,
    Nf4Double,
    /// The embedding, too
    Nf4All,
    Int8,
}

impl Shape {
    fn config(self) -> DecoderConfig {
        // vocabulary, hidden, intermediate, heads, heads of keys, length of a head, layers, tied
        let (vocabulary, hidden, intermediate, heads, kv_heads, head_dim, layers) = match self {
            Self::Smollm2_135m => (49_152, 576, 1536, 9, 3, 64, 30),
            Self::Smollm2_360m => (49_152, 960, 2560, 15, 5, 64, 32),
            Self::Qwen25_05b => (151_936, 896, 4864, 14, 2, 64, 24),
            Self::Qwen3_06b => (151_936, 1024, 3072, 16, 8, 128, 28),
            Self::Tiny => (1024, 128, 384, 4, 2, 32, 2),
        };
        DecoderConfig {
            architecture: "llama".into(),
            vocabulary,
            hidden,
            intermediate,
            heads,
            kv_heads,
            head_dim,
            windows: vec![None; layers],
            norm_epsilon: 1e-5,
            rope: Rope { theta: 10_000.0, scaling: RopeScaling::Default },
            qkv_bias: self == Self::Qwen25_05b,
            output_bias: false,
            mlp_bias: false,
            qk_norm: self == Self::Qwen3_06b,
            tied: true,
            context: 32_768,
        }
    }
}

impl Train {
    fn options(&self) -> TrainOptions {
        let method = match self.method {
            Kind::Full => Method::Full,
            Kind::Freeze => Method::Freeze(FreezeOptions {
                layers: Layers::Last(2),
                modules: Vec::new(),
                extra: Vec::new(),
            }),
            Kind::Lora => Method::Lora(LoraOptions {
                rank: self.rank,
                alpha: 2.0 * self.rank as f64,
                dora: self.dora,
                ..LoraOptions::default()
            }),
            Kind::Adapter => Method::Bottleneck(BottleneckOptions {
                size: self.rank,
                activation: BottleneckActivation::Silu,
            }),
        };
        TrainOptions {
            precision: match self.precision {
                PrecisionArg::Fp32 => Precision::Fp32,
                PrecisionArg::Bf16 => Precision::Bf16,
                PrecisionArg::Fp16 => Precision::Fp16,
            },
            quantization: self.quantization.map(|quantization| match quantization {
                QuantizationArg::Nf4 => Quantization::nf4(false),
                QuantizationArg::Nf4Double => Quantization::nf4(true),
                QuantizationArg::Nf4All => Quantization::Nf4 { double: true, embedding: true },
                QuantizationArg::Int8 => Quantization::Int8,
            }),
            gradient_checkpointing: self.gradient_checkpointing,
            ..TrainOptions::new(method)
        }
    }

    /// Runs the command.
    ///
    /// # Errors
    /// Fails where the sizes make no step, or an operation fails.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        ensure!(
            self.batch > 0 && self.length > 1 && self.steps > 0 && self.rank > 0,
            "there must be at least 1 sequence, 2 tokens, 1 step and rank 1"
        );
        let report = open::blocking(move || self.measure()).await?;
        print::report(settings.json, &report)?;
        Ok(ExitCode::SUCCESS)
    }

    fn measure(&self) -> anyhow::Result<serde_json::Value> {
        let config = self.shape.config();
        let vocabulary = config.vocabulary;
        let net = TrainNet::random(config, 0.02, self.options()).context("cannot make the model")?;
        let before = peak_rss_mb();
        let mut random = Random::new(0x7ea1);
        let mut gradients = Gradients::new(net.parameters().len());
        let optim = OptimSettings { learning_rate: 1e-4, ..OptimSettings::default() };
        let mut adam = AdamW::new(&optim, net.parameters().len());
        let (mut seconds, mut speeds, mut losses) = (Vec::new(), Vec::new(), Vec::new());
        // The first step takes memory and warms caches, and is not counted.
        for step in 0..=self.steps {
            let batch = self.batch(&mut random, vocabulary);
            let started = Instant::now();
            gradients.clear();
            let scale = 1.0 / batch.labels().max(1) as f64;
            let loss = net.forward_backward(&batch, scale, step as u64, &mut gradients)?;
            let factor = clipping(gradients.norm()?, optim.max_grad_norm);
            adam.step(net.parameters(), &gradients, optim.learning_rate, factor)?;
            if step > 0 {
                let elapsed = started.elapsed().as_secs_f64();
                seconds.push(elapsed);
                speeds.push(batch.tokens.len() as f64 / elapsed);
            }
            losses.push(loss.mean());
        }
        let value = |list: &clap::builder::PossibleValue| list.get_name().to_owned();
        Ok(json!({
            "shape": self.shape.to_possible_value().as_ref().map(value),
            "method": self.method.to_possible_value().as_ref().map(value),
            "precision": self.precision.to_possible_value().as_ref().map(value),
            "quantization": self.quantization.and_then(|q| q.to_possible_value()).as_ref().map(value),
            "gradient_checkpointing": self.gradient_checkpointing,
            "rank": self.rank,
            "values": net.values(),
            "trained_values": net.trained_values(),
            "frozen_mb": net.modules().frozen_bytes() as f64 / 1e6,
            "steps": self.steps,
            "tokens_per_s": median(&mut speeds),
            "step_s": median(&mut seconds),
            "rss_before_steps_mb": before,
            "peak_rss_mb": peak_rss_mb(),
            "losses": losses,
        }))
    }

    fn batch(&self, random: &mut Random, vocabulary: usize) -> Batch {
        let mut batch = Batch::default();
        for _ in 0..self.batch {
            let (prompt, answer) =
                if self.rag { (400 + random.below(801), 20 + random.below(61)) } else { (0, self.length) };
            let tokens: Vec<u32> = (0..prompt + answer).map(|_| random.below(vocabulary) as u32).collect();
            let labelled: Vec<bool> = (0..prompt + answer).map(|place| place >= prompt).collect();
            batch.push(&tokens, &labelled);
        }
        batch
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    percentile(values, 0.5)
}
