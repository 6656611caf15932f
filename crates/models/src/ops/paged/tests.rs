#![allow(clippy::unwrap_used, unsafe_code, reason = "tests over kernels")]

use half::f16;

use super::*;

fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A layer's memory, full of what is no number where nothing is written.
struct Memory<E> {
    keys: Vec<E>,
    values: Vec<E>,
}

impl<E: Float> Memory<E> {
    fn new(heads: Heads, blocks: usize) -> Self {
        let units = blocks * heads.kv * BLOCK;
        let mut values = vec![E::narrow(f32::NAN); units * heads.padded()];
        for value in values.chunks_exact_mut(heads.padded()) {
            value[heads.dim..].fill(E::narrow(0.0));
        }
        Self { keys: vec![E::narrow(f32::NAN); units * heads.dim], values }
    }

    fn layer(&mut self) -> Layer<E> {
        Layer { keys: self.keys.as_mut_ptr(), values: self.values.as_mut_ptr() }
    }
}

/// The attention of one sequence read in stretches of `cut` tokens.
fn run<E: Float>(isa: Isa, heads: Heads, cut: usize, [q, k, v]: [&[f32]; 3]) -> Vec<f32> {
    let tokens = k.len() / (heads.kv * heads.dim);
    let blocks: Vec<u32> = (0..tokens.div_ceil(BLOCK) as u32).rev().collect();
    let mut memory = Memory::<E>::new(heads, blocks.len());
    let mut out = Vec::new();
    for start in (0..tokens).step_by(cut) {
        let count = cut.min(tokens - start);
        let stretch = Stretch { row: 0, count, start, blocks: &blocks };
        let part =
            |x: &[f32], heads: usize, dim: usize| x[start * heads * dim..][..count * heads * dim].to_vec();
        let (q, k, v) =
            (part(q, heads.query, heads.dim), part(k, heads.kv, heads.dim), part(v, heads.kv, heads.dim));
        let mut own = vec![0.0; q.len()];
        // SAFETY: the memory has the blocks that the stretch names, and all before it are written.
        unsafe {
            write(memory.layer(), heads, &[stretch], &k, &v);
            attend(isa, memory.layer(), heads, &[stretch], &q, &mut own);
        }
        out.extend(own);
    }
    out
}

fn plain<E: Float>(heads: Heads, [q, k, v]: [&[f32]; 3]) -> Vec<f32> {
    let (dim, group) = (heads.dim, heads.group());
    let tokens = k.len() / (heads.kv * dim);
    let of = |x: &[f32], token: usize, head: usize, of: usize| -> Vec<f64> {
        x[(token * of + head) * dim..][..dim].iter().map(|v| f64::from(*v)).collect()
    };
    let kept =
        |x: Vec<f64>| -> Vec<f64> { x.iter().map(|v| f64::from(E::narrow(*v as f32).widen())).collect() };
    let mut out = Vec::new();
    for token in 0..tokens {
        for head in 0..heads.query {
            let q = of(q, token, head, heads.query);
            let first = heads.window.map_or(0, |window| (token + 1).saturating_sub(window));
            let scores: Vec<f64> = (first..=token)
                .map(|at| {
                    let k = kept(of(k, at, head / group, heads.kv));
                    q.iter().zip(k).map(|(q, k)| q * k).sum::<f64>() / (dim as f64).sqrt()
                })
                .collect();
            let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
            let total: f64 = weights.iter().sum();
            let mut sums = vec![0.0; dim];
            for (at, weight) in (first..).zip(&weights) {
                for (sum, v) in sums.iter_mut().zip(kept(of(v, at, head / group, heads.kv))) {
                    *sum += weight / total * v;
                }
            }
            out.extend(sums.into_iter().map(|sum| sum as f32));
        }
    }
    out
}

fn compare<E: Float>(heads: Heads, tokens: usize) {
    let q: Vec<f32> = noise(tokens * heads.query * heads.dim, 1).iter().map(|v| v * 4.0).collect();
    let (k, v) = (noise(tokens * heads.kv * heads.dim, 2), noise(tokens * heads.kv * heads.dim, 3));
    let input = [&q[..], &k, &v];
    let expected = plain::<E>(heads, input);
    for isa in Isa::available() {
        let one_by_one = run::<E>(isa, heads, 1, input);
        for (at, (own, expected)) in one_by_one.iter().zip(&expected).enumerate() {
            assert!((own - expected).abs() < 1e-5, "{isa:?} {heads:?} at {at}: {own} {expected}");
        }
        for cut in [2, 3, 7, 32, 45, tokens] {
            assert!(run::<E>(isa, heads, cut, input) == one_by_one, "{isa:?} {heads:?} cut by {cut}");
        }
    }
}

/// Groups of one to eight heads, so that kernels run for every number of rows; all lengths of heads, windows.
#[test]
fn attention_is_the_plain_sum_and_does_not_depend_on_how_a_prompt_is_cut() {
    for group in 1..=8 {
        let heads = Heads { query: 2 * group, kv: 2, dim: 8, window: None };
        compare::<f32>(heads, 70);
        compare::<f16>(Heads { window: Some(33), ..heads }, 70);
    }
    for dim in [2, 64, 80, 128] {
        compare::<f16>(Heads { query: 3, kv: 1, dim, window: None }, 70);
        compare::<f32>(Heads { query: 3, kv: 1, dim, window: Some(20) }, 130);
    }
    compare::<f32>(Heads { query: 1, kv: 1, dim: 16, window: Some(1) }, 70);
}

#[test]
fn keys_and_values_beyond_half_precision_are_its_largest() {
    let heads = Heads { query: 1, kv: 1, dim: 8, window: None };
    let (q, mut k, mut v) = (noise(40 * 8, 1), noise(40 * 8, 2), noise(40 * 8, 3));
    k[16] = 1e6;
    v[17] = -1e9;
    for isa in Isa::available() {
        let out = run::<f16>(isa, heads, 40, [&q, &k, &v]);
        assert!(out.iter().all(|value| value.is_finite()), "{isa:?}: {out:?}");
    }
}

#[test]
fn queries_that_are_no_numbers_give_none() {
    let heads = Heads { query: 1, kv: 1, dim: 8, window: None };
    let (mut q, k, v) = (noise(80 * 8, 1), noise(80 * 8, 2), noise(80 * 8, 3));
    q[79 * 8 + 1] = f32::NAN;
    for isa in Isa::available() {
        let out = run::<f32>(isa, heads, 80, [&q, &k, &v]);
        let (before, last) = out.split_at(79 * 8);
        assert!(before.iter().all(|v| v.is_finite()) && last.iter().all(|v| v.is_nan()), "{isa:?}");
    }
}
