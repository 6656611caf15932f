//! `lore bench generate`: a language model on raw token ids.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use lore_core::random::Random;
use lore_core::{GenerateEvent, Generator, Prompt};
use lore_inference::GeneratorOptions;
use lore_inference::generator::spawn_raw;
use lore_models::decoder::{AnyDecoder, DecoderOptions};
use lore_query::eval::metrics::percentile;
use serde_json::json;

use super::peak_rss_mb;
use crate::settings::Settings;
use crate::{open, print};

/// Tokens at the end of a prompt that a second question has of its own.
const QUESTION: usize = 32;

/// Writing: how fast a model reads prompts and writes, on raw token ids
#[derive(Debug, Args)]
pub struct Generate {
    /// A GGUF file, or a folder with config.json and safetensors
    #[arg(long, value_name = "FILE_OR_FOLDER")]
    model: PathBuf,
    /// Tokens of each prompt
    #[arg(long, default_value_t = 512)]
    prompt_tokens: usize,
    /// Tokens to write
    #[arg(long, default_value_t = 64)]
    new_tokens: usize,
    /// Texts written at the same time
    #[arg(long, default_value_t = 1)]
    concurrency: usize,
    /// Times that it is measured; the report has the medians
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Memory for keys and values, in megabytes; by default what the texts need
    #[arg(long)]
    kv_mb: Option<u64>,
}

/// Most texts at the same time.
const MOST_TEXTS: usize = 1024;

/// One text's times from the common start, in seconds.
struct Written {
    first: f64,
    /// When each token had come.
    tokens: Vec<f64>,
}

impl Generate {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where the model cannot be loaded or the texts do not fit it.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let Self { prompt_tokens, new_tokens, concurrency, rounds, .. } = self;
        ensure!(
            prompt_tokens > 0 && new_tokens > 1 && concurrency > 0 && rounds > 0,
            "there must be at least 1 prompt token, 2 new tokens, 1 text and 1 round"
        );
        ensure!(concurrency <= MOST_TEXTS, "--concurrency is {concurrency}; it can be {MOST_TEXTS} at most");
        let path = self.model.clone();
        ensure!(
            path.exists(),
            "there is no model at {}; --model takes a GGUF file or a folder, and `lore models pull NAME` fetches one and \
             prints where it is",
            path.display()
        );
        let loading = Instant::now();
        let decoder = open::blocking(move || {
            let context = Some(prompt_tokens.saturating_add(new_tokens));
            AnyDecoder::open(&path, &DecoderOptions { context, ..DecoderOptions::default() })
                .with_context(|| format!("cannot load {}", path.display()))
        })
        .await?;
        let load_s = loading.elapsed().as_secs_f64();
        let (context, tokens) = (decoder.context(), prompt_tokens.saturating_add(new_tokens));
        ensure!(
            tokens <= context,
            "--prompt-tokens and --new-tokens are {tokens} together, and the model's context is {context} tokens"
        );
        let vocabulary = decoder.vocabulary();
        let (model, weight_mb) = (decoder.id().to_owned(), decoder.weight_bytes() as f64 / 1e6);
        let blocks = (prompt_tokens + new_tokens).div_ceil(lore_models::decoder::BLOCK_TOKENS) + 1;
        // Twice what runs at once, so that a second question finds the first one's prompt.
        let needed = (2 * concurrency * blocks * decoder.block_bytes()) as u64;
        let kv_bytes = self.kv_mb.map_or(needed, |mb| mb.saturating_mul(1_000_000));
        let least = (blocks * decoder.block_bytes()) as u64;
        ensure!(
            kv_bytes >= least,
            "--kv-mb has no room for a text; it takes {} at least",
            least.div_ceil(1_000_000)
        );
        let options = GeneratorOptions {
            max_running: concurrency,
            queue: 2 * concurrency + 2,
            kv_bytes,
            context_tokens: Some(tokens),
            ..GeneratorOptions::default()
        };
        let generator = spawn_raw(decoder, &options);
        let mut random = Random::new(0x5eed);
        let mut figures = Figures::default();
        // The first round warms caches, pages and threads, and is not counted.
        for round in 0..=rounds {
            let prompts: Vec<Vec<u32>> =
                (0..concurrency).map(|_| random_tokens(&mut random, prompt_tokens, vocabulary)).collect();
            let written = write(&generator, &prompts, new_tokens).await?;
            let own = QUESTION.min(prompt_tokens);
            let again: Vec<Vec<u32>> = prompts
                .iter()
                .map(|prompt| {
                    let mut prompt = prompt[..prompt_tokens - own].to_vec();
                    prompt.extend(random_tokens(&mut random, own, vocabulary));
                    prompt
                })
                .collect();
            let second = write(&generator, &again, 2).await?;
            if round > 0 {
                figures.add(prompt_tokens, &written, &second);
            }
        }
        let report = json!({
            "model": model,
            "prompt_tokens": prompt_tokens,
            "new_tokens": new_tokens,
            "concurrency": concurrency,
            "rounds": rounds,
            "load_s": load_s,
            "prefill_tok_s": quantile(&mut figures.prefill, 0.5),
            "decode_tok_s": quantile(&mut figures.decode, 0.5),
            "ttft_ms_p50": quantile(&mut figures.first, 0.5) * 1e3,
            "ttft_ms_p95": quantile(&mut figures.first, 0.95) * 1e3,
            "second_ttft_ms_p50": quantile(&mut figures.second, 0.5) * 1e3,
            "weights_mb": weight_mb,
            "kv_bound_mb": kv_bytes as f64 / 1e6,
            "peak_rss_mb": peak_rss_mb(),
        });
        print::report(settings.json, &report)?;
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Default)]
struct Figures {
    prefill: Vec<f64>,
    decode: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Figures {
    fn add(&mut self, prompt_tokens: usize, written: &[Written], second: &[Written]) {
        self.first.extend(written.iter().map(|text| text.first));
        self.second.extend(second.iter().map(|text| text.first));
        // From when all texts are being written to when the first one ends.
        let from = written.iter().map(|text| text.first).fold(0.0, f64::max);
        let to = written.iter().filter_map(|text| text.tokens.last()).copied().fold(f64::INFINITY, f64::min);
        let within = |at: &&f64| **at > from && **at <= to;
        let tokens: usize = written.iter().map(|text| text.tokens.iter().filter(within).count()).sum();
        self.prefill.push((prompt_tokens * written.len()) as f64 / from);
        if to > from {
            self.decode.push(tokens as f64 / (to - from));
        }
    }
}

/// Has one text written for each prompt, all at the same time.
async fn write(generator: &Generator, prompts: &[Vec<u32>], new: usize) -> anyhow::Result<Vec<Written>> {
    let start = Instant::now();
    let mut running = Vec::new();
    for tokens in prompts {
        let prompt =
            Prompt { tokens: tokens.clone(), max_tokens: new, ignore_end: true, ..Prompt::default() };
        let mut events = generator.generate(prompt)?;
        running.push(tokio::spawn(async move {
            let mut tokens = Vec::with_capacity(new);
            while let Some(event) = events.recv().await {
                match event {
                    GenerateEvent::Text(piece) => {
                        // A token is written as its id in angle brackets.
                        let count = piece.matches('<').count();
                        tokens.extend(std::iter::repeat_n(start.elapsed().as_secs_f64(), count));
                    }
                    GenerateEvent::Done(_) => break,
                    GenerateEvent::Failed(error) => return Err(anyhow::Error::from(error)),
                }
            }
            match tokens.first() {
                Some(first) if tokens.len() == new => Ok(Written { first: *first, tokens }),
                _ => bail!("{} tokens came instead of {new}", tokens.len()),
            }
        }));
    }
    let mut written = Vec::with_capacity(running.len());
    for text in running {
        written.push(tokio::time::timeout(Duration::from_secs(3600), text).await???);
    }
    Ok(written)
}

/// Token ids by chance.
fn random_tokens(random: &mut Random, count: usize, vocabulary: usize) -> Vec<u32> {
    std::iter::repeat_with(|| random.below(vocabulary) as u32).take(count).collect()
}

/// The value at `share` of the sorted values; NaN where there are none.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    if values.is_empty() { f64::NAN } else { percentile(values, share) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_rates() {
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 0.95), 3.0);
        let mut figures = Figures::default();
        let text = |first: f64| Written { first, tokens: vec![first, first + 1.0, first + 2.0] };
        figures.add(100, &[text(1.0), text(2.0)], &[text(0.5)]);
        assert_eq!(figures.prefill, [100.0]);
        // Between 2 s and 3 s each text had one token.
        assert_eq!(figures.decode, [2.0]);
        assert_eq!(figures.second, [0.5]);
    }
}
