//! What the plain reference of training keeps in memory.
#![allow(clippy::unwrap_used, reason = "tests")]

mod live_bytes;
mod training_support;

use candle_core::DType;
use live_bytes::peak_bytes;
use lore_models::decoder::DecoderConfig;
use lore_models::training::{Batch, Gradients, LoraOptions, Method, TrainNet, TrainOptions};
use training_support::{numbers, tiny};

/// A pass's peak, with or without gradient checkpointing.
fn peak(layers: usize, gradient_checkpointing: bool) -> isize {
    let config = DecoderConfig {
        vocabulary: 64,
        hidden: 32,
        intermediate: 96,
        head_dim: 8,
        windows: vec![None; layers],
        ..tiny()
    };
    let method = Method::Lora(LoraOptions::default());
    let options = TrainOptions { gradient_checkpointing, ..TrainOptions::new(method) };
    let net = TrainNet::random(config, 0.1, options).unwrap().on_graph(DType::F32);
    let mut batch = Batch::default();
    for seed in 0..4 {
        let tokens: Vec<u32> = numbers(64, seed).into_iter().map(|v| (v * 32.0 + 32.0) as u32).collect();
        batch.push(&tokens, &[true; 64]);
    }
    let pass = || {
        let mut gradients = Gradients::new(net.parameters().len());
        net.forward_backward(&batch, 1.0, 0, &mut gradients).unwrap();
    };
    // The first makes the device's copies of what is frozen.
    pass();
    peak_bytes(pass)
}

#[test]
fn with_gradient_checkpointing_a_layer_keeps_its_input_only() {
    let (tokens, hidden) = (256, 32);
    let layer = |checkpointing| (peak(16, checkpointing) - peak(4, checkpointing)) / 12;
    let (kept, again) = (layer(false), layer(true));
    eprintln!("{kept} bytes a layer, {again} with checkpointing");
    // The input, the gradients of A and B, and what threads happen to hold.
    let input = tokens * hidden * 4;
    assert!(again < 6 * input, "{again} bytes a layer for an input of {input}");
    assert!(again * 10 < kept, "{again} bytes a layer with checkpointing, {kept} without");
}
