//! Encoders and cross-encoders against transformers and sentence-transformers (`fixtures/make_minilm.py`).
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use lore_core::EmbedKind;
use lore_models::ops::Isa;
use lore_models::{Encoder, EncoderOptions, ModelsError, Reranker, bench};
use serde::Deserialize;
use serde::de::DeserializeOwned;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn read<T: DeserializeOwned>(path: PathBuf) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn most_apart(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[derive(Deserialize)]
struct Vectors {
    texts: Vec<String>,
    query: Vec<Vec<f32>>,
    passage: Vec<Vec<f32>>,
}

#[test]
fn tiny_encoders_match_transformers() {
    for name in ["tiny-bert", "tiny-xlmr"] {
        let expected: Vectors = read(fixture(name).join("expected.json"));
        for isa in Isa::available() {
            let encoder = Encoder::load_for(&fixture(name), EncoderOptions::default(), isa).unwrap();
            assert_eq!((encoder.info().dimension, encoder.info().max_tokens), (32, 12));
            for (kind, want) in [(EmbedKind::Query, &expected.query), (EmbedKind::Passage, &expected.passage)]
            {
                let got = encoder.embed(&expected.texts, kind).unwrap();
                for (got, want) in got.iter().zip(want) {
                    let error = most_apart(got, want);
                    assert!(error < 2e-6, "{name} {isa:?} {kind:?}: {error}");
                }
            }
        }
    }
}

#[test]
fn a_batch_gives_what_each_text_gives_alone() {
    let encoder = Encoder::load(&fixture("tiny-bert"), EncoderOptions::default()).unwrap();
    let tokens: Vec<Vec<u32>> =
        (0..200).map(|n| (0..1 + n % 23).map(|t| ((n * 7 + t * 3) % 20) as u32).collect()).collect();
    let together = encoder.embed_tokens(&tokens).unwrap();
    for (tokens, together) in tokens.chunks(1).zip(together) {
        let alone = encoder.embed_tokens(tokens).unwrap();
        assert!(most_apart(&alone[0], &together) < 2e-6);
        assert!((alone[0].iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5);
    }
}

#[derive(Deserialize)]
struct Scores {
    query: String,
    passages: Vec<String>,
    scores: Vec<f32>,
}

#[test]
fn tiny_rerankers_match_transformers() {
    for name in ["tiny-bert-rerank", "tiny-xlmr-rerank"] {
        let expected: Scores = read(fixture(name).join("expected.json"));
        let reranker = Reranker::load(&fixture(name), EncoderOptions::default()).unwrap();
        let got = reranker.score(&expected.query, &expected.passages).unwrap();
        let error = most_apart(&got, &expected.scores);
        assert!(error < 5e-6, "{name}: {error}");
        assert!(reranker.id().starts_with(&format!("{name}@")));
        assert!(reranker.score("days", &[]).unwrap().is_empty());
    }
}

#[derive(Deserialize)]
struct Row {
    text: String,
    vector: Vec<f32>,
}

/// The model's folder: named by `LORE_MINILM_DIR`, or in the model cache.
fn minilm() -> Option<PathBuf> {
    let cached = || {
        let cache = std::env::var_os("LORE_CACHE_DIR").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/lore")))?;
        Some(cache.join("models/sentence-transformers--all-MiniLM-L6-v2"))
    };
    let folder = std::env::var_os("LORE_MINILM_DIR").map(PathBuf::from).or_else(cached)?;
    folder.join("config.json").is_file().then_some(folder)
}

#[test]
fn minilm_matches_sentence_transformers() {
    let Some(folder) = minilm() else {
        println!("skipped: no all-MiniLM-L6-v2; set LORE_MINILM_DIR, or fetch it with `lore models pull`");
        return;
    };
    let rows: Vec<Row> = read(fixture("minilm_vectors.json"));
    let texts: Vec<String> = rows.iter().map(|row| row.text.clone()).collect();
    for isa in Isa::available() {
        let encoder = Encoder::load_for(&folder, EncoderOptions::default(), isa).unwrap();
        assert_eq!((encoder.info().dimension, encoder.info().max_tokens), (384, 256));
        for (row, got) in rows.iter().zip(encoder.embed(&texts, EmbedKind::Passage).unwrap()) {
            let cosine: f64 = row.vector.iter().zip(&got).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            assert!(cosine >= 0.99999, "{isa:?} {:?}: {cosine}", row.text);
            assert!(most_apart(&got, &row.vector) < 2e-6, "{isa:?} {:?}", row.text);
        }
    }
    let count = Encoder::load(&folder, EncoderOptions::default()).unwrap().token_counter();
    assert_eq!(count("vacation days"), 2);
    assert!(count(&texts[14]) > 256, "the counter does not truncate");
}

/// A copy of a fixture in which one file is rewritten.
fn spoilt(name: &str, file: &str, change: impl Fn(String) -> String) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in
        fs::read_dir(fixture(name)).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file())
    {
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let path = folder.path().join(file);
    fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
    folder
}

fn refused(folder: &Path) -> String {
    Encoder::load(folder, EncoderOptions::default()).unwrap_err().to_string()
}

#[test]
fn errors_name_the_file_and_what_is_wrong_with_it() {
    let empty = tempfile::tempdir().unwrap();
    assert!(refused(empty.path()).contains("has no config.json"));

    let other = spoilt("tiny-xlmr-rerank", "config.json", |text| text.replace("\"xlm-roberta\"", "\"t5\""));
    assert!(
        refused(other.path()).contains("config.json asks for model_type \"t5\""),
        "{}",
        refused(other.path())
    );

    let wider = spoilt("tiny-xlmr-rerank", "config.json", |text| {
        text.replace("\"intermediate_size\": 52", "\"intermediate_size\": 64")
    });
    let message = refused(wider.path());
    assert!(message.contains("intermediate.dense.weight") && message.contains("[52, 32]"), "{message}");

    let cut = spoilt("tiny-xlmr-rerank", "config.json", |text| text);
    let weights = cut.path().join("model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    assert!(refused(cut.path()).contains("model.safetensors"), "{}", refused(cut.path()));
    fs::remove_file(&weights).unwrap();
    assert!(refused(cut.path()).contains("has no model.safetensors"));

    let dense = spoilt("tiny-bert", "modules.json", |text| text.replace("models.Pooling", "models.Dense"));
    assert!(refused(dense.path()).contains("module sentence_transformers.models.Dense"));
    let outside = spoilt("tiny-bert", "modules.json", |text| text.replace("1_Pooling", "../1_Pooling"));
    assert!(refused(outside.path()).contains("leads out of the folder"));

    let encoder = Encoder::load(&fixture("tiny-bert"), EncoderOptions::default()).unwrap();
    for tokens in [vec![], vec![999], vec![1; 25]] {
        assert!(matches!(encoder.embed_tokens(&[tokens]), Err(ModelsError::Input { .. })));
    }
}

#[test]
fn options_that_change_vectors_change_the_id() {
    let load = |options| Encoder::load(&fixture("tiny-bert"), options).unwrap();
    let plain = load(EncoderOptions { name: Some("company/model".into()), ..Default::default() });
    assert!(plain.info().id.starts_with("company/model@"), "{}", plain.info().id);
    let prefixed = load(EncoderOptions {
        name: Some("company/model".into()),
        query_prefix: Some("the ".into()),
        threads: Some(1),
        ..Default::default()
    });
    assert_ne!(plain.info().id, prefixed.info().id);
    let vector =
        |encoder: &Encoder, text: &str, kind| encoder.embed(&[text.to_owned()], kind).unwrap().remove(0);
    let apart = most_apart(
        &vector(&prefixed, "handbook", EmbedKind::Query),
        &vector(&plain, "the handbook", EmbedKind::Passage),
    );
    assert!(apart < 2e-6);
}

#[test]
fn the_benchmark_reports_ordered_times() {
    let encoder = Encoder::load(&fixture("tiny-bert"), EncoderOptions::default()).unwrap();
    let result = bench::embed(&encoder, 8, 4, 0.01).unwrap();
    assert!(result.tokens_per_s > 0.0 && result.p50_ms <= result.p95_ms && result.p95_ms <= result.p99_ms);
    assert!(bench::embed(&encoder, 100, 1, 0.01).is_err());
    assert!(bench::embed(&encoder, 8, 0, 0.01).is_err());
}
