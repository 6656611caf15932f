//! Measures the two indexes by themselves: `search_bench CHUNKS [QUERIES]` fills them with synthetic chunks and times a
//! dense and a word search side by side, as a hybrid search does. Vectors are random (the worst case for a graph), words
//! follow Zipf's law.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an example that prints")]

use std::sync::Arc;
use std::time::Instant;

use lore_core::{Access, ChunkId, DocumentId, Filter, NewChunk, Seq, Span};
use lore_index::lexical::{Entry, LexicalIndex};
use lore_index::payload::{Labels, Payload};
use lore_index::vector::{Point, VectorStore};
use lore_index::{IndexConfig, VectorBackend};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

const DIMENSION: usize = 384;
const WORDS: f64 = 50_000.0;
const CHUNK_WORDS: usize = 120;
const QUERY_WORDS: usize = 10;
const DOCUMENT_CHUNKS: u32 = 20;

fn vector(random: &mut SmallRng) -> Vec<f32> {
    // Sums of uniform numbers are near enough to normal for a direction at random.
    let mut vector: Vec<f32> =
        (0..DIMENSION).map(|_| (0..4).map(|_| random.random_range(-1.0..1.0_f32)).sum()).collect();
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|x| *x /= norm);
    vector
}

/// Rank r with a probability of about 1 / r.
fn words(random: &mut SmallRng, count: usize) -> String {
    let word = |random: &mut SmallRng| format!("w{} ", WORDS.powf(random.random_range(0.0..1.0)) as u32);
    (0..count).map(|_| word(random)).collect()
}

fn quantiles(name: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |q: f64| times[((times.len() - 1) as f64 * q).round() as usize];
    println!("{name:22} p50 {:7.2} ms, p95 {:7.2} ms, p99 {:7.2} ms", at(0.5), at(0.95), at(0.99));
}

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args().skip(1).map(|n| n.parse::<u32>().unwrap());
    let (chunks, queries) = (numbers.next().unwrap_or(10_000), numbers.next().unwrap_or(300));
    let folder = tempfile::tempdir().unwrap();
    let config = IndexConfig::default();
    let points = folder.path().join("vectors");
    let store = VectorStore::create(&VectorBackend::Edge, &points, "g", DIMENSION).await.unwrap();
    let index = Arc::new(LexicalIndex::create(&folder.path().join("words"), &config).unwrap());
    let mut random = SmallRng::seed_from_u64(1);

    let started = Instant::now();
    for first in (0..chunks).step_by(DOCUMENT_CHUNKS as usize) {
        let document = DocumentId::from_source(&first.to_string());
        let access = if first % 10 == 0 { "*" } else { "=staff" };
        let labels = Labels {
            access: vec![access.into()],
            tags: vec![format!("team={}", first % 7)],
            language: Some("en".into()),
            date: Some(20_240_101),
        };
        let count = DOCUMENT_CHUNKS.min(chunks - first);
        let payload = |ordinal| Payload { document, version: 1, ordinal, labels: labels.clone() };
        let batch: Vec<Point> = (0..count)
            .map(|n| Point {
                id: ChunkId::new(document, 1, n),
                vector: vector(&mut random),
                payload: payload(n),
            })
            .collect();
        let texts: Vec<String> = (0..count).map(|_| words(&mut random, CHUNK_WORDS)).collect();
        let place = NewChunk { span: Span::new(0, 0), pages: None, headings: Vec::new(), context: None };
        let entries = batch.iter().zip(&texts).map(|(point, text)| Entry {
            id: point.id,
            payload: &point.payload,
            title: "A title of words",
            place: &place,
            text,
        });
        index.replace(document, entries).unwrap();
        store.upsert(batch).await.unwrap();
    }
    index.commit(Seq(1)).unwrap();
    store.flush().await.unwrap();
    println!("{chunks} chunks written in {:.1} s", started.elapsed().as_secs_f64());

    for round in ["before optimising", "after optimising"] {
        if round == "after optimising" {
            let started = Instant::now();
            let blocking = store.clone();
            tokio::task::spawn_blocking(move || blocking.optimise()).await.unwrap().unwrap();
            store.flush().await.unwrap();
            println!("optimised in {:.1} s", started.elapsed().as_secs_f64());
        }
        for (kind, access) in [
            ("all", Access::All),
            ("a group", Access::Groups(["staff".to_owned()].into())),
            ("open only", Access::Groups(Default::default())),
        ] {
            let (mut dense, mut lexical, mut hybrid) = (Vec::new(), Vec::new(), Vec::new());
            for number in 0..queries + 20 {
                let (query, text) = (vector(&mut random), words(&mut random, QUERY_WORDS));
                let filter = Filter::default();
                let started = Instant::now();
                let searching = async {
                    assert!(!store.search(&query, &filter, &access, 100).await.unwrap().is_empty());
                    started.elapsed().as_secs_f64() * 1e3
                };
                let (index, access) = (Arc::clone(&index), access.clone());
                let reading = tokio::task::spawn_blocking(move || {
                    let started = Instant::now();
                    index.search(&text, &Filter::default(), &access, 100).unwrap();
                    started.elapsed().as_secs_f64() * 1e3
                });
                let (one, two) = tokio::join!(searching, reading);
                if number >= 20 {
                    dense.push(one);
                    lexical.push(two.unwrap());
                    hybrid.push(started.elapsed().as_secs_f64() * 1e3);
                }
            }
            println!("{round}, access: {kind}");
            quantiles("  dense", dense);
            quantiles("  words", lexical);
            quantiles("  both", hybrid);
        }
    }
    drop(store);
    drop(index);
    let started = Instant::now();
    VectorStore::open(&VectorBackend::Edge, &points, "g", DIMENSION).await.unwrap().unwrap();
    let vectors = started.elapsed().as_secs_f64() * 1e3;
    LexicalIndex::open(&folder.path().join("words"), &config).unwrap();
    println!(
        "opened in {vectors:.0} ms (vectors) and {:.0} ms (words)",
        started.elapsed().as_secs_f64() * 1e3 - vectors
    );
}
