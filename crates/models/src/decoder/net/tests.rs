#![allow(clippy::unwrap_used, reason = "tests")]

use candle_core::{D, Var};

use super::super::{Rope, RopeScaling};
use super::*;
use crate::nn::{Lora, LoraDelta};

const VOCABULARY: usize = 23;
const RANK: usize = 2;

struct Noise(u32);

impl Noise {
    fn many(&mut self, count: usize, scale: f32) -> Vec<f32> {
        let mut next = || {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((self.0 >> 8) as f32 / (1 << 23) as f32 - 1.0) * scale
        };
        (0..count).map(|_| next()).collect()
    }
}

impl Source for Noise {
    type Error = candle_core::Error;

    fn matrix(&mut self, _: &str, rows: usize, columns: usize) -> Result<RawMatrix> {
        Ok(RawMatrix::F32(self.many(rows * columns, 0.4)))
    }

    fn vector(&mut self, _: &str, length: usize) -> Result<Vec<f32>> {
        Ok(self.many(length, 0.3).into_iter().map(|v| 1.0 + v).collect())
    }
}

fn config() -> DecoderConfig {
    DecoderConfig {
        architecture: "test".into(),
        vocabulary: VOCABULARY,
        hidden: 16,
        intermediate: 24,
        heads: 4,
        kv_heads: 2,
        head_dim: 8,
        windows: vec![None, Some(3)],
        norm_epsilon: 1e-5,
        rope: Rope { theta: 100.0, scaling: RopeScaling::Default },
        qkv_bias: true,
        output_bias: false,
        mlp_bias: false,
        qk_norm: true,
        tied: true,
        context: 64,
    }
}

/// Low-rank differences over `place` of every layer, none of their factors zero.
fn adapt(net: &mut Net, place: impl Fn(&mut Block) -> &mut Linear, noise: &mut Noise) -> Vec<Var> {
    let mut vars = Vec::new();
    for layer in &mut net.layers {
        let linear = place(layer);
        let (outputs, inputs) = (linear.outputs(), linear.inputs());
        let var = |values, shape: (usize, usize)| Var::from_vec(values, shape, &Device::Cpu).unwrap();
        let a = var(noise.many(RANK * inputs, 0.3), (RANK, inputs));
        let b = var(noise.many(RANK * outputs, 0.3), (outputs, RANK));
        let delta = LoraDelta::new(a.as_tensor().clone(), b.as_tensor().clone(), 4.0, false).unwrap();
        let none = Linear::frozen(RawMatrix::F32(vec![0.0]), 1, 1, None).unwrap();
        let base = std::mem::replace(linear, none);
        *linear = Linear::Lora(Lora::new(base, delta).unwrap());
        vars.extend([a, b]);
    }
    vars
}

/// The mean cross-entropy of each next token.
fn loss(net: &Net) -> Tensor {
    let tokens: Vec<u32> = (0..12u32).map(|i| (i * i * 5 + i * 3 + 1) % VOCABULARY as u32).collect();
    let logits = net.whole(&tokens, &[7, 5]).unwrap();
    let next: Vec<u32> = tokens.iter().cycle().skip(1).take(12).copied().collect();
    let next = Tensor::new(next, &Device::Cpu).unwrap().unsqueeze(1).unwrap();
    let all = logits.exp().unwrap().sum_keepdim(D::Minus1).unwrap().log().unwrap();
    (all - logits.gather(&next, 1).unwrap()).unwrap().mean_all().unwrap()
}

/// Every value of every factor against the difference of two losses.
#[test]
fn gradients_of_low_rank_differences_are_the_losses_slopes() {
    let places: [fn(&mut Block) -> &mut Linear; 7] = [
        |block| &mut block.attention.q,
        |block| &mut block.attention.k,
        |block| &mut block.attention.v,
        |block| &mut block.attention.o,
        |block| &mut block.mlp.gate,
        |block| &mut block.mlp.up,
        |block| &mut block.mlp.down,
    ];
    // Each alone: what is plain around it takes the kernels. Then q and v together, as adapters are trained.
    let cases = places.iter().map(|place| vec![*place]).chain([vec![places[0], places[2]]]);
    for (case, places) in cases.enumerate() {
        let mut noise = Noise(3);
        let mut net = Net::read(&config(), &mut noise).unwrap();
        let vars: Vec<Var> =
            places.into_iter().flat_map(|place| adapt(&mut net, place, &mut noise)).collect();
        let gradients = loss(&net).backward().unwrap();
        for (at, var) in vars.iter().enumerate() {
            let gradient =
                gradients.get(var).unwrap_or_else(|| panic!("case {case}: factor {at} has no gradient"));
            let gradient: Vec<f32> = gradient.flatten_all().unwrap().to_vec1().unwrap();
            assert!(
                gradient.iter().any(|v| v.abs() > 1e-4),
                "case {case}: the gradient of factor {at} is zero"
            );
            let values: Vec<f32> = var.flatten_all().unwrap().to_vec1().unwrap();
            let most = gradient.iter().fold(0f32, |most, v| most.max(v.abs()));
            for index in (0..values.len()).step_by(5) {
                let at_offset = |offset: f32| {
                    let mut values = values.clone();
                    values[index] += offset;
                    var.set(&Tensor::from_vec(values, var.dims(), &Device::Cpu).unwrap()).unwrap();
                    loss(&net).to_scalar::<f32>().unwrap()
                };
                let slope = (at_offset(1e-2) - at_offset(-1e-2)) / 2e-2;
                at_offset(0.0);
                let off = (slope - gradient[index]).abs();
                assert!(
                    off < 2e-2 * most + 1e-4,
                    "case {case}, factor {at}, value {index}: {slope} but {}",
                    gradient[index]
                );
            }
        }
    }
}
