//! `lore merge`: an adapter into its base, as a model of its own.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use lore_models::adapter::{self, Adapter, BaseValues, MergeOptions, OutputFormat};
use lore_models::export::FloatType;
use lore_models::export::gguf::GgufType;
use lore_models::source::ModelSpec;
use lore_models::training::Quantization;

use crate::settings::Settings;
use crate::{open, print, progress};

/// Merge an adapter of `lore train` or PEFT into its base
///
/// Tensors are read, changed and written one after the other; nothing is left at the place that --out names unless all of
/// it went well. At the end the logits of base and adapter side by side are compared with those of the merged model, over a
/// few random prompts.
///
/// An adapter that was trained on a quantised base (QLoRA) is merged into what quantising left of the base's weights, since
/// that is what it was trained to correct: `lore train` writes down which type that was. For such an adapter of PEFT's,
/// say --dequantized-base; --original-base merges into the base's own weights instead.
#[derive(Debug, Args)]
pub struct Merge {
    /// The adapter's folder
    #[arg(long, value_name = "DIR")]
    adapter: PathBuf,
    /// A new folder; with --format gguf a new file, if its name ends in .gguf
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The base: a folder, a .gguf file, or a name on the hub [default: the one that the adapter names]
    #[arg(long, value_name = "NAME")]
    base: Option<String>,
    /// What is written
    #[arg(long, value_enum, default_value_t = Format::Safetensors)]
    format: Format,
    /// Type of the weights [default: the base's for safetensors, f16 for gguf]
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    kind: Option<Kind>,
    /// Merge into what this type leaves of the base's linears, which is what an adapter that `lore train` made on a
    /// quantised base is merged into anyway [default with no TYPE: nf4-double]
    #[arg(long, value_enum, value_name = "TYPE", num_args = 0..=1, default_missing_value = "nf4-double")]
    dequantized_base: Option<Through>,
    /// Merge into the base's own weights, whatever the adapter was trained on
    #[arg(long, conflicts_with = "dequantized_base")]
    original_base: bool,
    /// Random prompts for the comparison of logits; 0 leaves it out
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(0..=256))]
    prompts: u16,
}

/// Formats of a merged model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A folder for transformers and for us
    Safetensors,
    /// One file for llama.cpp and for us
    Gguf,
}

/// Types of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    F32,
    F16,
    Bf16,
    #[value(name = "q8_0")]
    Q8_0,
    #[value(name = "q4_k")]
    Q4K,
}

/// Types that a base's linears were kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Through {
    Nf4,
    Nf4Double,
    Int8,
}

impl Merge {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where the base cannot be had, the adapter is not for it, a file cannot be written, or logits disagree.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let format = self.output()?;
        let base = self.base(&settings).await?;
        let base_values = match (self.dequantized_base, self.original_base) {
            (Some(through), _) => BaseValues::Through(through.quantization()),
            (None, true) => BaseValues::Original,
            (None, false) => BaseValues::Trained,
        };
        let options = MergeOptions {
            adapter: self.adapter,
            base,
            out: self.out,
            format,
            base_values,
            shard_bytes: adapter::SHARD_BYTES,
            prompts: usize::from(self.prompts),
        };
        let report = open::blocking(move || adapter::merge(&options)).await?;
        if settings.json {
            print::json(&report)?;
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(quantization) = report.quantization {
            let name = match quantization {
                Quantization::Nf4 { double: true, .. } => "NF4 with quantised scales",
                Quantization::Nf4 { .. } => "NF4",
                Quantization::Int8 => "8 bits",
            };
            progress::say(&format!("merged into what {name} leaves of the base's weights"));
        }
        if report.untied {
            progress::say("embedding and output layer are two matrices now; the base has one for both");
        }
        match &report.record {
            None => progress::say(
                "the adapter has no record of a run: the documents that it learned from are not known",
            ),
            Some(record) if !report.record_copied => progress::say(&format!(
                "a single file goes without the record of the run; `lore releases add --run {}` takes it along",
                record.display()
            )),
            Some(_) => {}
        }
        match report.check {
            Some(check) => print::line(&format!(
                "merged and unmerged logits differ by {:.1e} at most (standard deviation {:.2}), and by {:.1e} of their \
                 length, over {} tokens; the limit for this type is {:.0e}",
                check.largest, check.deviation, check.relative, check.tokens, check.tolerance
            ))?,
            None => progress::say("merged and unmerged logits were not compared"),
        }
        let megabytes = report.bytes as f64 / 1e6;
        print::line(&format!(
            "{}: {} tensors, {} changed, {megabytes:.1} MB",
            report.out.display(),
            report.tensors,
            report.changed
        ))?;
        Ok(ExitCode::SUCCESS)
    }

    fn output(&self) -> anyhow::Result<OutputFormat> {
        let gguf = self.out.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gguf"));
        if gguf && self.format == Format::Safetensors {
            bail!(
                "{} would be a folder of safetensors; add --format gguf, or name a folder",
                self.out.display()
            );
        }
        Ok(match (self.format, self.kind) {
            (Format::Safetensors, None) => OutputFormat::Safetensors(None),
            (Format::Safetensors, Some(Kind::F32)) => OutputFormat::Safetensors(Some(FloatType::F32)),
            (Format::Safetensors, Some(Kind::F16)) => OutputFormat::Safetensors(Some(FloatType::F16)),
            (Format::Safetensors, Some(Kind::Bf16)) => OutputFormat::Safetensors(Some(FloatType::Bf16)),
            (Format::Safetensors, Some(Kind::Q8_0 | Kind::Q4K)) => {
                bail!("safetensors files hold f32, f16 or bf16; add --format gguf for q8_0 and q4_k")
            }
            (Format::Gguf, Some(Kind::F32)) => OutputFormat::Gguf(GgufType::F32),
            (Format::Gguf, None | Some(Kind::F16)) => OutputFormat::Gguf(GgufType::F16),
            (Format::Gguf, Some(Kind::Bf16)) => OutputFormat::Gguf(GgufType::Bf16),
            (Format::Gguf, Some(Kind::Q8_0)) => OutputFormat::Gguf(GgufType::Q8_0),
            (Format::Gguf, Some(Kind::Q4K)) => OutputFormat::Gguf(GgufType::Q4K),
        })
    }

    /// Where the base is, fetched first where it is not here.
    async fn base(&self, settings: &Settings) -> anyhow::Result<PathBuf> {
        let name = match &self.base {
            Some(name) => name.clone(),
            None => {
                let adapter = Adapter::open(&self.adapter)?;
                let named = adapter.base().map(str::to_owned);
                named.context("the adapter names no base; say which it is with --base")?
            }
        };
        if !Path::new(&name).exists() {
            ModelSpec::parse(&name)
                .with_context(|| format!("the base {name} is not here; name it with --base"))?;
        }
        open::training_base(settings, &name)
            .await
            .with_context(|| format!("cannot get the base {name}; name its folder with --base"))
    }
}

impl Through {
    fn quantization(self) -> Quantization {
        match self {
            Self::Nf4 => Quantization::nf4(false),
            Self::Nf4Double => Quantization::nf4(true),
            Self::Int8 => Quantization::Int8,
        }
    }
}
