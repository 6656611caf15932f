//! Chooses the next token from its logits.
//!
//! A choice depends on the logits, the seed and the place of the token in the text alone, so that what else runs
//! changes nothing. Ties go to the smaller id.

use std::cmp::Ordering;
use std::collections::HashSet;

use lore_core::Sampling;
use lore_core::random::{mix, unit};

/// Candidates that nucleus sampling sorts first; more only where these do not have the probability asked for.
const NUCLEUS: usize = 64;

/// The sampler of one text.
#[derive(Debug)]
pub(super) struct Sampler {
    sampling: Sampling,
    seed: u64,
    /// Tokens that were there, where they count.
    seen: HashSet<u32>,
}

/// Logits with what the request asks for worked in, and room to choose in; used again for each choice.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    logits: Vec<f32>,
    candidates: Vec<(f32, u32)>,
}

impl Scratch {
    /// Rules `token` out of this choice.
    pub fn forbid(&mut self, token: u32) {
        if let Some(logit) = self.logits.get_mut(token as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }

    /// Number of ids.
    pub fn vocabulary(&self) -> u32 {
        self.logits.len() as u32
    }

    /// The `count` likeliest tokens that are not ruled out.
    pub fn likeliest(&mut self, count: usize) -> Vec<u32> {
        self.gather();
        cut(&mut self.candidates, count);
        self.candidates.iter().map(|(_, id)| *id).collect()
    }

    /// How likely `token` is, relative to `other`.
    pub fn weight(&self, token: u32, other: u32) -> f32 {
        (self.logits[token as usize] - self.logits[other as usize]).exp()
    }

    /// Rules out all tokens but `kept`.
    pub fn keep(&mut self, kept: &[u32]) {
        let logits: Vec<f32> = kept.iter().map(|&id| self.logits[id as usize]).collect();
        self.logits.fill(f32::NEG_INFINITY);
        kept.iter().zip(logits).for_each(|(&id, logit)| self.logits[id as usize] = logit);
    }

    fn gather(&mut self) {
        self.candidates.clear();
        let possible = self.logits.iter().zip(0u32..).filter(|(logit, _)| **logit > f32::NEG_INFINITY);
        self.candidates.extend(possible.map(|(logit, id)| (*logit, id)));
    }
}

impl Sampler {
    /// The sampler of a text that begins with `prompt`.
    pub fn new(sampling: Sampling, prompt: &[u32]) -> Self {
        let seed = sampling.seed.unwrap_or_else(rand::random);
        let mut sampler = Self { sampling, seed, seen: HashSet::new() };
        prompt.iter().for_each(|&token| sampler.saw(token));
        sampler
    }

    /// `token` is in the text from now on.
    pub fn saw(&mut self, token: u32) {
        if self.sampling.repetition_penalty != 1.0 {
            self.seen.insert(token);
        }
    }

    /// Works a row of logits into `scratch`: repetition penalty, then bias. Whether a token can be chosen at all: one
    /// logit at least is a number, and none is infinite.
    pub fn prepare(&self, row: &[f32], scratch: &mut Scratch) -> bool {
        scratch.logits.clear();
        scratch.logits.extend_from_slice(row);
        let penalty = self.sampling.repetition_penalty;
        for &token in &self.seen {
            if let Some(logit) = scratch.logits.get_mut(token as usize) {
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
        for &(token, bias) in &self.sampling.logit_bias {
            if let Some(logit) = scratch.logits.get_mut(token as usize) {
                *logit += bias;
            }
        }
        greatest(&scratch.logits).is_finite()
    }

    /// The token at `place` of the text, at the `attempt`th try; `None` when all are ruled out.
    ///
    /// Temperature, then `top_k`, then `top_p` of what that leaves, then `min_p`.
    pub fn choose(&self, scratch: &mut Scratch, place: usize, attempt: usize) -> Option<u32> {
        let Sampling { temperature, top_k, top_p, min_p, .. } = self.sampling;
        let greatest = greatest(&scratch.logits);
        if greatest == f32::NEG_INFINITY {
            return None;
        }
        if temperature == 0.0 || top_k == 1 {
            return scratch.logits.iter().position(|logit| *logit == greatest).map(|id| id as u32);
        }
        scratch.gather();
        let candidates = &mut scratch.candidates;
        if top_k > 0 {
            cut(candidates, top_k);
        }
        let weight = |logit: f32| f64::from((logit - greatest) / temperature).exp();
        if top_p < 1.0 {
            let all: f64 = candidates.iter().map(|(logit, _)| weight(*logit)).sum();
            nucleus(candidates, all * f64::from(top_p), weight);
        }
        if min_p > 0.0 {
            candidates.retain(|(logit, _)| weight(*logit) >= f64::from(min_p));
        }
        let all: f64 = candidates.iter().map(|(logit, _)| weight(*logit)).sum();
        let mut left = all * uniform(self.seed, place, attempt);
        let drawn = candidates.iter().find(|(logit, _)| {
            left -= weight(*logit);
            left < 0.0
        });
        drawn.or(candidates.last()).map(|(_, id)| *id)
    }
}

/// The greatest logit; NaN counts as ruled out. Lanes of their own let the compiler use vectors.
fn greatest(logits: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (chunks, rest) = logits.as_chunks::<16>();
    for chunk in chunks {
        for (lane, &logit) in lanes.iter_mut().zip(chunk) {
            *lane = if logit > *lane { logit } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |most, &logit| if logit > most { logit } else { most })
}

fn likelier(a: &(f32, u32), b: &(f32, u32)) -> Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

/// The `count` likeliest, likeliest first.
fn cut(candidates: &mut Vec<(f32, u32)>, count: usize) {
    if count < candidates.len() {
        candidates.select_nth_unstable_by(count, likelier);
        candidates.truncate(count);
    }
    candidates.sort_unstable_by(likelier);
}

/// The likeliest whose weights reach `wanted` together, the one that reaches it included (Holtzman et al. 2020).
fn nucleus(candidates: &mut Vec<(f32, u32)>, wanted: f64, weight: impl Fn(f32) -> f64) {
    let mut sorted = NUCLEUS;
    loop {
        let head = if sorted < candidates.len() {
            candidates.select_nth_unstable_by(sorted, likelier).0
        } else {
            &mut candidates[..]
        };
        head.sort_unstable_by(likelier);
        let mut sum = 0.0;
        let reached = head.iter().position(|(logit, _)| {
            sum += weight(*logit);
            sum >= wanted
        });
        match reached {
            Some(last) => return candidates.truncate(last + 1),
            // Rounding may leave the sum of all just below.
            None if sorted >= candidates.len() => return,
            None => sorted *= 8,
        }
    }
}

/// A number in [0, 1) for this place and attempt: a counter through SplitMix64's finaliser (Steele et al. 2014, fig. 16).
fn uniform(seed: u64, place: usize, attempt: usize) -> f64 {
    let counter = (place as u64) << 16 | (attempt as u64 & 0xffff);
    unit(mix(mix(seed) ^ counter.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn choose(sampling: &Sampling, prompt: &[u32], row: &[f32], place: usize) -> Option<u32> {
        let (sampler, mut scratch) = (Sampler::new(sampling.clone(), prompt), Scratch::default());
        sampler.prepare(row, &mut scratch).then(|| sampler.choose(&mut scratch, place, 0).unwrap())
    }

    /// The tokens that may come, by sorting all of them.
    fn allowed(sampling: &Sampling, row: &[f32]) -> Vec<u32> {
        let mut all: Vec<(f32, u32)> = row.iter().copied().zip(0..).collect();
        all.sort_by(likelier);
        let weights: Vec<f64> =
            all.iter().map(|(logit, _)| f64::from((logit - all[0].0) / sampling.temperature).exp()).collect();
        let most = if sampling.top_k == 0 { all.len() } else { sampling.top_k.min(all.len()) };
        let wanted = weights[..most].iter().sum::<f64>() * f64::from(sampling.top_p);
        let mut sum = 0.0;
        let mut kept = Vec::new();
        for ((_, id), weight) in all[..most].iter().zip(&weights) {
            if sum < wanted && *weight >= f64::from(sampling.min_p) {
                kept.push(*id);
            }
            sum += weight;
        }
        kept
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn only_allowed_tokens_and_all_of_them_come(
            row in prop::collection::vec((-30i32..30).prop_map(|logit| logit as f32 / 10.0), 1..300),
            temperature in 0.3f32..2.0, top_k in 0usize..20, top_p in 0.05f32..1.0, min_p in 0.0f32..0.5, seed: u64,
        ) {
            let sampling = Sampling { temperature, top_k, top_p, min_p, seed: Some(seed), ..Sampling::default() };
            let allowed = allowed(&sampling, &row);
            let mut drawn = HashSet::new();
            for place in 0..100 {
                let token = choose(&sampling, &[], &row, place).unwrap();
                prop_assert_eq!(Some(token), choose(&sampling, &[], &row, place));
                // Where sums lie at the border, rounding may let one more in.
                let next = allowed.contains(&token) || row[token as usize] >= row[*allowed.last().unwrap() as usize];
                prop_assert!(next, "{token} is not among {allowed:?}");
                drawn.insert(token);
            }
            prop_assert!(allowed.len() < 2 || drawn.len() > 1 || row[allowed[0] as usize] - row[allowed[1] as usize] > temperature);
        }
    }

    #[test]
    fn draws_have_their_probabilities() {
        let sampling = Sampling { temperature: 0.5, seed: Some(7), ..Sampling::default() };
        let row = [0.0f32, 0.5, -1.0, 1.0];
        let mut counts = [0.0f64; 4];
        (0..20_000).for_each(|place| {
            counts[choose(&sampling, &[], &row, place).unwrap() as usize] += 1.0 / 20_000.0
        });
        let weights = row.map(|logit| f64::from(logit / 0.5).exp());
        for (count, weight) in counts.iter().zip(weights) {
            assert!((count - weight / weights.iter().sum::<f64>()).abs() < 0.01, "{counts:?}");
        }
    }

    #[test]
    fn penalty_and_bias_change_the_choice_ties_go_to_the_smaller_id_and_no_number_is_no_choice() {
        let greedy = Sampling::default();
        assert_eq!(choose(&greedy, &[], &[1.0, 3.0, f32::NAN, 3.0], 0), Some(1));
        let penalty = Sampling { repetition_penalty: 2.0, ..Sampling::default() };
        assert_eq!(choose(&penalty, &[1], &[1.0, 3.0, 2.0], 0), Some(2));
        assert_eq!(choose(&penalty, &[0, 1], &[-1.0, -2.0, -3.0], 0), Some(0));
        let bias = Sampling { logit_bias: vec![(0, 5.0), (99, 5.0)], ..Sampling::default() };
        assert_eq!(choose(&bias, &[], &[1.0, 3.0, 2.0], 0), Some(0));
        assert_eq!(choose(&greedy, &[], &[f32::NAN, f32::NEG_INFINITY], 0), None);
        assert_eq!(choose(&greedy, &[], &[1.0, f32::INFINITY], 0), None);
    }
}
