#![allow(clippy::unwrap_used, reason = "tests")]

use candle_core::quantized::GgmlDType;
use proptest::prelude::*;

use super::*;

fn config() -> DecoderConfig {
    DecoderConfig {
        architecture: "test".into(),
        vocabulary: 97,
        hidden: 64,
        intermediate: 96,
        heads: 6,
        kv_heads: 2,
        head_dim: 16,
        windows: vec![None, Some(40)],
        norm_epsilon: 1e-5,
        rope: Rope { theta: 10_000.0, scaling: RopeScaling::Default },
        qkv_bias: false,
        output_bias: false,
        mlp_bias: false,
        qk_norm: true,
        tied: true,
        context: 512,
    }
}

fn decoder(kind: GgmlDType) -> Decoder {
    Decoder::random(config(), 7, 0.15, kind, &DecoderOptions { kv: KvType::F32, ..DecoderOptions::default() })
        .unwrap()
}

fn tokens(count: usize, seed: usize) -> Vec<u32> {
    (0..count).map(|i| ((i * i * 31 + i * 7 + seed * 13) % 97) as u32).collect()
}

fn near(a: &[f32], b: &[f32], tolerance: f32, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let off = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(off <= tolerance, "{what}: off by {off}");
}

#[test]
fn steps_over_a_cache_give_what_the_whole_sequence_gives() {
    let decoder = decoder(GgmlDType::F32);
    let tokens = tokens(150, 1);
    let whole: Vec<f32> = decoder.whole(&tokens, &[150]).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    for chunk in [150, 37, 32, 1] {
        let mut cache = decoder.cache(8);
        // Blocks in any order.
        let blocks = [7, 0, 3, 5, 1];
        let mut rows = Vec::new();
        for start in (0..150).step_by(chunk) {
            let tokens = &tokens[start..150.min(start + chunk)];
            let stretch = Stretch { tokens, start, blocks: &blocks, want: Want::All };
            rows.extend(decoder.forward(&[stretch], &mut cache).unwrap().values);
        }
        near(&rows, &whole, 2e-5, &format!("chunks of {chunk}"));
    }
}

#[test]
fn sequences_of_one_step_do_not_see_each_other() {
    let decoder = decoder(GgmlDType::F32);
    let prompts: Vec<Vec<u32>> = (0..8).map(|i| tokens(20 + i * 9, i)).collect();
    let tables: Vec<Vec<u32>> = (0..8).map(|i| (i * 4..i * 4 + 4).collect()).collect();
    let mut cache = decoder.cache(32);
    let step: Vec<_> = prompts
        .iter()
        .zip(&tables)
        .map(|(tokens, blocks)| Stretch { tokens, start: 0, blocks, want: Want::Last })
        .collect();
    let together = decoder.forward(&step, &mut cache).unwrap();
    assert_eq!(together.rows(), 8);
    for (index, tokens) in prompts.iter().enumerate() {
        let mut alone = decoder.cache(4);
        let stretch = Stretch { tokens, start: 0, blocks: &[3, 2, 1, 0], want: Want::Last };
        let alone = decoder.forward(&[stretch], &mut alone).unwrap();
        near(together.row(index), alone.row(0), 1e-5, &format!("prompt {index}"));
    }
}

#[test]
fn half_precision_keys_and_quantised_weights_stay_near() {
    let tokens = tokens(100, 3);
    let blocks = [0, 1, 2, 3];
    let logits = |decoder: &Decoder| {
        let stretch = Stretch { tokens: &tokens, start: 0, blocks: &blocks, want: Want::All };
        decoder.forward(&[stretch], &mut decoder.cache(4)).unwrap().values
    };
    let exact = logits(&decoder(GgmlDType::F32));
    let norm = exact.iter().map(|v| v * v).sum::<f32>().sqrt();
    let error =
        |other: &[f32]| exact.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt() / norm;
    let halves = Decoder::random(
        config(),
        7,
        0.15,
        GgmlDType::F32,
        &DecoderOptions { kv: KvType::F16, ..DecoderOptions::default() },
    );
    let halves = error(&logits(&halves.unwrap()));
    assert!(halves < 2e-3, "{halves}");
    let quantised = error(&logits(&decoder(GgmlDType::Q8_0)));
    assert!(quantised < 6e-2, "{quantised}");
    let (one, two) = (decoder(GgmlDType::F32).block_bytes(), 2 * 32 * 2 * (16 + 32) * 4);
    assert_eq!(one, two);
}

#[test]
fn bookkeeping_that_does_not_fit_is_refused() {
    let decoder = decoder(GgmlDType::F32);
    let mut cache = decoder.cache(2);
    let tokens = tokens(40, 1);
    let mut refuse = |tokens: &[u32], start, blocks: &[u32]| {
        let stretch = Stretch { tokens, start, blocks, want: Want::Last };
        decoder.forward(&[stretch], &mut cache).unwrap_err().to_string()
    };
    assert_eq!(refuse(&tokens, 0, &[1]), "stretch 0 has 1 blocks and needs 2");
    assert_eq!(refuse(&tokens, 0, &[1, 2]), "stretch 0 names block 2, the cache has 2");
    assert_eq!(refuse(&[97], 0, &[1]), "token 97 is not below the vocabulary of 97");
    assert_eq!(
        refuse(&tokens, 0, &[1, 1]),
        "stretch 0 writes block 1, which is written in this step already"
    );
    assert_eq!(
        refuse(&tokens, usize::MAX - 5, &[1]),
        format!("stretch 0 has 1 blocks and needs {}", usize::MAX.div_ceil(32))
    );
    let stretch = |start| Stretch { tokens: &tokens[..32], start, blocks: &[0, 1], want: Want::Last };
    let error = decoder.forward(&[stretch(0), stretch(30)], &mut cache).unwrap_err();
    assert_eq!(error.to_string(), "stretch 1 writes block 0, which is written in this step already");
    decoder.forward(&[stretch(0), stretch(32)], &mut cache).unwrap();
    let none = Stretch { tokens: &[], start: 20, blocks: &[0], want: Want::All };
    assert_eq!(decoder.forward(&[stretch(0), none], &mut cache).unwrap().rows(), 1);
    let mut other = config();
    other.kv_heads = 3;
    let other = Decoder::random(other, 1, 0.1, GgmlDType::F32, &DecoderOptions::default()).unwrap();
    let stretch = Stretch { tokens: &[1], start: 0, blocks: &[0], want: Want::Last };
    assert!(matches!(other.forward(&[stretch], &mut cache), Err(StepError::OtherModel)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn any_cut_into_steps_gives_the_same(cuts in prop::collection::vec(1usize..50, 1..6)) {
        let decoder = decoder(GgmlDType::F32);
        let total: usize = cuts.iter().sum();
        let tokens = tokens(total, 5);
        let blocks: Vec<u32> = (0..10).rev().collect();
        let mut cache = decoder.cache(10);
        let mut last = Vec::new();
        let mut start = 0;
        for cut in cuts {
            let stretch = Stretch { tokens: &tokens[start..start + cut], start, blocks: &blocks, want: Want::Last };
            last = decoder.forward(&[stretch], &mut cache).unwrap().values;
            start += cut;
        }
        let whole: Vec<f32> = decoder.whole(&tokens, &[total]).unwrap().get(total - 1).unwrap().to_vec1().unwrap();
        near(&last, &whole, 2e-5, "the last row");
    }
}

#[test]
fn a_token_has_the_same_logits_to_the_last_bit_however_its_text_is_cut() {
    for kind in [GgmlDType::F32, GgmlDType::Q8_0] {
        let decoder = decoder(kind);
        let tokens = tokens(100, 2);
        let read = |chunk: usize| {
            let mut cache = decoder.cache(4);
            let mut rows = Vec::new();
            for (index, tokens) in tokens.chunks(chunk).enumerate() {
                let stretch =
                    Stretch { tokens, start: index * chunk, blocks: &[2, 0, 3, 1], want: Want::All };
                rows.extend(decoder.forward(&[stretch], &mut cache).unwrap().values);
            }
            rows
        };
        let one_by_one = read(1);
        for chunk in [2, 5, 8, 33, 100] {
            assert!(read(chunk) == one_by_one, "{kind:?} in chunks of {chunk}");
        }
    }
}

#[test]
fn no_tokens_have_no_logits() {
    for kind in [GgmlDType::F32, GgmlDType::Q8_0] {
        let decoder = decoder(kind);
        assert_eq!(decoder.whole(&[], &[]).unwrap().elem_count(), 0);
        assert_eq!(decoder.forward(&[], &mut decoder.cache(1)).unwrap().rows(), 0);
    }
}

#[test]
fn an_output_layer_of_its_own_counts_as_weights() {
    let bytes = |tied| {
        let config = DecoderConfig { tied, ..config() };
        Decoder::random(config, 7, 0.1, GgmlDType::F32, &DecoderOptions::default()).unwrap().weight_bytes()
    };
    // 97 rows in panels of 32.
    assert_eq!(bytes(false) - bytes(true), 128 * 64 * 4);
}
