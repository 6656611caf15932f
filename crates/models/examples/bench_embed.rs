//! Prints the speed of an encoder: `bench_embed FOLDER [SECONDS [BATCHxLENGTH ...]]`.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;
use std::path::Path;

use lore_models::{Encoder, EncoderOptions, bench};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("name the model's folder")?;
    let seconds: f64 = arguments.next().map_or(Ok(2.0), |seconds| seconds.parse())?;
    let mut shapes: Vec<String> = arguments.collect();
    if shapes.is_empty() {
        shapes = ["1x32", "1x256", "8x256", "32x256", "32x128", "32x32"].map(str::to_owned).to_vec();
    }
    let encoder = Encoder::load(Path::new(&folder), EncoderOptions::default())?;
    for shape in shapes {
        let (batch, length) = shape.split_once('x').ok_or("a shape is BATCHxLENGTH, such as 32x128")?;
        let result = bench::embed(&encoder, length.parse()?, batch.parse()?, seconds)?;
        println!(
            "{shape:>8} {:9.0} tokens/s, p50 {:8.2} ms, p99 {:8.2} ms",
            result.tokens_per_s, result.p50_ms, result.p99_ms
        );
    }
    Ok(())
}
